//! Who reads what: announcements, by which a writer knows whether a value that it has replaced is still in use.
//!
//! In: a reader's cell and node, before it touches the node's value. Out: whether anybody has announced that. These are
//! hazard pointers (M. M. Michael, "Hazard Pointers", IEEE TPDS 15/6, 2004), of a thread's own, so that readers write to
//! no memory that others write to. Neighbours: `cell/get_or_update.rs` and `raw/newest.rs`, which argue what they are good
//! for; `barrier.rs`, by which the announcement of a value that is seldom replaced needs no fence; `node.rs`, what is
//! announced; `retired.rs`, who drops what still was when it was replaced.
//!
//! # Slots
//!
//! An announcement is in a [`Slot`]. A thread has one of its own, from its first read to its end; a read inside of a read
//! takes another for as long as it lasts. Slots are in a list, and none is ever taken out or freed; one that is given
//! back is taken again. So there are at most as many as there once were reads at the same time, and threads that read.
//! Taking one is an exchange of its `taken`: reads take no lock, here neither (R10).
//!
//! A slot has the node, null if there is no announcement, and the cell that the node is of. A node's memory may have been
//! another cell's a moment ago, and a slow reader of that may still have it in its slot, for as long as it takes it to
//! see that it came too late; the cell tells whose reader it is, so nobody waits for it in vain. The cell is stored
//! before the node, by whose `Release` and `Acquire` whoever sees the node sees that cell, or a later one: then this
//! reader is done with that node. That has to have happened before what comes of it, so the cell is stored by `Release`
//! and loaded by `Acquire`, too; and then the withdrawal is seen, so that the node is not there when it is looked for
//! again: the cell may be the right one, for another node.

pub(crate) mod barrier;
#[cfg(loom)]
pub mod modelled;
pub(crate) mod node;
pub(crate) mod retired;
mod spare;

use std::cell::Cell;
use std::{iter, ptr};

use crate::sync::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering, fence, full_fence, local, shared};

/// The announcement of one read. It has cache lines of its own, since its thread writes to it at every read.
#[repr(align(128))]
pub(crate) struct Slot {
    node: AtomicPtr<()>,
    cell: AtomicUsize,
    /// How many reads of hot cells there were by this slot, for [`is_due`](Self::is_due).
    reads: AtomicU32,
    /// 1 if it belongs to a thread or to a read.
    taken: AtomicU8,
    /// Stands for what a model checker has no word for: see `barrier.rs`.
    #[cfg(loom)]
    passed: AtomicU32,
    /// The slot that was made before this one. It does not change once the slot is in the list.
    next: AtomicPtr<Slot>,
}

shared! {
    /// The slot that was made last.
    static LAST: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());
}

local! {
    /// This thread's slot. It has no destructor, so reading need not ask whether it is still there.
    static OWN: Cell<Option<&'static Slot>> = Cell::new(None);

    /// The same, given back when the thread ends.
    static KEPT: Kept = Kept(Cell::new(None));

    /// How many clones this thread is running that its own slot does not show.
    static UNSHOWN: Cell<usize> = Cell::new(0);
}

/// A thread's slot.
struct Kept(Cell<Option<&'static Slot>>);

/// A slot of one read.
pub(crate) struct Taken {
    slot: &'static Slot,
    /// `None` if it is the thread's own slot.
    unshown: Option<Unshown>,
}

/// A clone that the thread's own slot does not show, for as long as this is there: see [`is_in_clone`].
struct Unshown(());

/// This thread's slot, if it has one that is not in use.
#[inline]
pub(crate) fn own() -> Option<&'static Slot> {
    // Where thread-locals are emulated, this one may be gone at the end of a thread.
    let slot = OWN.try_with(Cell::get).ok().flatten()?;
    // Relaxed: only this thread stores there.
    slot.node.load(Ordering::Relaxed).is_null().then_some(slot)
}

/// A slot, whichever.
pub(crate) fn any() -> Taken {
    own().map_or_else(take, |slot| Taken { slot, unshown: None })
}

/// A slot for a thread that has none, or whose own is in use.
#[cold]
pub(crate) fn take() -> Taken {
    let slot = take_slot();
    // Fails from when the thread's slot is given back, at the end of the thread.
    let is_own = KEPT.try_with(|kept| kept.keep(slot)).unwrap_or(false);
    Taken { slot, unshown: (!is_own).then(Unshown::begin) }
}

/// Whether this thread is running a user's `Clone` that the library has called, or a closure that has a reference to a value.
///
/// The hazard of the thread's own slot says so for most reads, which do nothing for this. [`Unshown`] counts the rest: a read by
/// another slot, and the clone that a writer makes of a value that it retires.
#[allow(dead_code, reason = "the sweep of `Arc` hosts is to ask, before it runs destructors")]
#[inline]
pub(crate) fn is_in_clone() -> bool {
    // Relaxed: only this thread stores there.
    let is_in_use = |slot: &Slot| !slot.node.load(Ordering::Relaxed).is_null();
    // Where thread-locals are emulated, these may be gone at the end of a thread.
    OWN.try_with(Cell::get).ok().flatten().is_some_and(is_in_use) || UNSHOWN.try_with(Cell::get).unwrap_or(0) > 0
}

/// Whether a reader of `cell` may be using `node`.
///
/// The caller has made sure that announcements are seen that count; see `cell/get_or_update.rs`.
pub(crate) fn is_announced(cell: usize, node: *mut ()) -> bool {
    // SeqCst: a slot that was made for an announcement that counts is seen.
    slots(LAST.load(Ordering::SeqCst)).any(|slot| {
        // SeqCst, and by that Acquire: pairs with the Release of all kinds of `announce`, so that the cell is seen; and
        // with that of `withdraw`, so that what the reader did has happened before.
        let has_node = || slot.node.load(Ordering::SeqCst) == node;
        // Acquire: pairs with the Release of all kinds of `announce`, as a withdrawal does. See the header.
        has_node() && slot.cell.load(Ordering::Acquire) == cell && has_node()
    })
}

/// The slots from `last` to the first that was made.
fn slots(last: *mut Slot) -> impl Iterator<Item = &'static Slot> {
    // SAFETY: it is null, or a slot that is never freed. What is loaded from the list is seen as it was made: see
    // `make_slot`.
    let at = |pointer: *mut Slot| unsafe { pointer.as_ref() };
    // Relaxed: it does not change any more.
    iter::successors(at(last), move |slot| at(slot.next.load(Ordering::Relaxed)))
}

/// All slots that there are, for a model's [`barrier::heavy`]. It is an exchange, so that who makes a slot after it sees
/// what came before it.
#[cfg(loom)]
fn all_slots() -> impl Iterator<Item = &'static Slot> {
    let last = LAST.fetch_update(Ordering::AcqRel, Ordering::Acquire, Some);
    slots(last.unwrap_or_else(|last| last))
}

impl Slot {
    /// Announces, for a cell whose writers pass [`barrier::heavy`] before they look.
    #[inline]
    pub(crate) fn announce_lightly(&self, cell: usize, node: *mut ()) {
        self.tell(cell);
        self.node.store(node, Ordering::Release);
        barrier::light(self);
    }

    /// Announces, and orders that before the loads that follow, by `SeqCst` in all of them.
    #[inline]
    pub(crate) fn announce(&self, cell: usize, node: *mut ()) {
        self.tell(cell);
        self.node.swap(node, Ordering::SeqCst);
        full_fence();
    }

    /// Announces, and orders that before all that follows, of whatever ordering, for a writer that has a `SeqCst` fence
    /// between its stores and its look.
    #[inline]
    pub(crate) fn announce_by_fence(&self, cell: usize, node: *mut ()) {
        self.tell(cell);
        self.node.store(node, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Says of what cell the next announcement is.
    #[inline]
    fn tell(&self, cell: usize) {
        // Release: after the last withdrawal, and what the reader did before that. Pairs with the Acquire of
        // `is_announced`.
        self.cell.store(cell, Ordering::Release);
    }

    /// Ends an announcement, and orders that before `SeqCst` loads, for who passes [`barrier::heavy`] between its stores
    /// and its look, if there is that, and else has `SeqCst` there, too.
    #[inline]
    pub(crate) fn withdraw(&self) {
        if barrier::is_available() {
            self.node.store(ptr::null_mut(), Ordering::Release);
            barrier::light(self);
        } else {
            self.node.swap(ptr::null_mut(), Ordering::SeqCst);
            full_fence();
        }
    }

    /// Counts a read, and says whether this is one of `every`.
    #[inline]
    pub(crate) fn is_due(&self, every: u32) -> bool {
        // Relaxed: only the thread that has the slot counts.
        let reads = self.reads.load(Ordering::Relaxed).wrapping_add(1);
        self.reads.store(reads, Ordering::Relaxed);
        reads % every == 0
    }

    fn give_back(&self) {
        // Release: pairs with the Acquire of `take_slot`.
        self.taken.store(0, Ordering::Release);
    }
}

/// Takes a slot that nobody has, or makes one.
fn take_slot() -> &'static Slot {
    // Acquire: pairs with the Release of `make_slot`.
    let mut slots = slots(LAST.load(Ordering::Acquire));
    // Relaxed: a look that spares the lines of slots that are taken. Acquire: what was stored by who had it before comes
    // before what is stored now.
    let free = slots.find(|slot| {
        slot.taken.load(Ordering::Relaxed) == 0
            && slot.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    });
    free.unwrap_or_else(make_slot)
}

fn make_slot() -> &'static Slot {
    let slot: &Slot = Box::leak(Box::new(Slot {
        node: AtomicPtr::new(ptr::null_mut()),
        cell: AtomicUsize::new(0),
        reads: AtomicU32::new(0),
        taken: AtomicU8::new(1),
        #[cfg(loom)]
        passed: AtomicU32::new(0),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    // Relaxed, here and below: the exchange that succeeds says what the last one is.
    let mut last = LAST.load(Ordering::Relaxed);
    loop {
        slot.next.store(last, Ordering::Relaxed);
        let new = ptr::from_ref(slot).cast_mut();
        // SeqCst: before any announcement in it, for `is_announced`. It is a Release of the slot; those before it were
        // released by exchanges that this one continues.
        match LAST.compare_exchange(last, new, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => return slot,
            Err(newer) => last = newer,
        }
    }
}

impl Kept {
    /// Makes `slot` the thread's own, if it has none yet, and returns whether it is.
    fn keep(&self, slot: &'static Slot) -> bool {
        let is_first = self.0.get().is_none();
        if is_first {
            self.0.set(Some(slot));
            let _ = OWN.try_with(|own| own.set(Some(slot)));
        }
        is_first
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = OWN.try_with(|own| own.set(None));
        if let Some(slot) = self.0.take() {
            slot.give_back();
        }
    }
}

impl Unshown {
    fn begin() -> Self {
        let _ = UNSHOWN.try_with(|count| count.set(count.get() + 1));
        Self(())
    }
}

impl Drop for Unshown {
    fn drop(&mut self) {
        let _ = UNSHOWN.try_with(|count| count.set(count.get().saturating_sub(1)));
    }
}

impl Taken {
    pub(crate) fn slot(&self) -> &'static Slot {
        self.slot
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.unshown.is_some() {
            self.slot.give_back();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    const CELL: usize = 8;

    /// A node that is told apart by its address, and is not looked at.
    fn node(number: usize) -> *mut () {
        ptr::without_provenance_mut(8 * number)
    }

    fn count() -> usize {
        slots(LAST.load(Ordering::SeqCst)).count()
    }

    #[test]
    fn what_is_announced_is_seen_until_it_is_withdrawn() {
        let announce = [Slot::announce, Slot::announce_lightly, Slot::announce_by_fence];
        for (number, announce) in announce.into_iter().enumerate() {
            let (first, second) = (take(), take());
            let (one, other) = (node(10 + number), node(20 + number));
            assert!(!is_announced(CELL, one));
            announce(first.slot(), CELL, one);
            announce(second.slot(), 2 * CELL, other);
            assert!(is_announced(CELL, one) && is_announced(2 * CELL, other));
            assert!(!is_announced(2 * CELL, one) && !is_announced(CELL, other));
            first.slot().withdraw();
            assert!(!is_announced(CELL, one) && is_announced(2 * CELL, other));
            second.slot().withdraw();
            assert!(!is_announced(2 * CELL, other));
        }
    }

    #[test]
    fn a_thread_keeps_one_slot_and_takes_another_only_while_that_is_in_use() {
        thread::spawn(|| {
            assert!(own().is_none());
            let first = any();
            assert!(ptr::eq(own().expect("it is kept"), first.slot()));
            assert!(ptr::eq(any().slot(), first.slot()));
            first.slot().announce(CELL, node(1));
            assert!(own().is_none());
            let second = any();
            assert!(!ptr::eq(second.slot(), first.slot()));
            let third = any();
            assert!(!ptr::eq(third.slot(), first.slot()) && !ptr::eq(third.slot(), second.slot()));
            first.slot().withdraw();
            drop(first);
            assert!(own().is_some(), "it is still this thread's");
        })
        .join()
        .expect("it holds");
    }

    #[test]
    fn slots_are_used_again_after_reads_and_after_threads() {
        let before = count();
        for _ in 0..100 {
            let thread = thread::spawn(|| {
                let own = any();
                own.slot().announce(CELL, node(2));
                for _ in 0..3 {
                    drop(any());
                }
                own.slot().withdraw();
            });
            thread.join().expect("it holds");
        }
        // Those of the other tests, which run at the same time.
        assert!(count() < before + 20, "{} more slots", count() - before);
    }

    #[test]
    fn one_of_so_many_reads_is_due() {
        let taken = take();
        let due = (0..160).filter(|_| taken.slot().is_due(16)).count();
        assert_eq!(due, 10);
    }
}
