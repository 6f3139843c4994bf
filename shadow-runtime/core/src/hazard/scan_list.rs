//! The scan list: the hazard slots that a writer visits, without most of the vacant ones.
//!
//! In: an owned slot, to be listed; a cell and a node. Out: a slot without an owner; whether the node is protected.
//! Neighbour: `slot.rs`, a slot.
//!
//! # States
//!
//! A scan visits the slots of the scan list, a singly linked list from [`SCANNED`]. The states of a slot:
//!
//! | state | owner | in the scan list |
//! |---|---|---|
//! | [`OWNED`] | a thread, a read, or [`unlink_vacant`] | yes, from before the first hazard |
//! | [`VACANT`] | none | yes |
//! | [`UNLINKED`] | none | no |
//!
//! [`try_acquire`] searches the list of all slots, which only grows, for a slot without an owner, and owns the slot by
//! a compare-and-swap of the state. An unlinked slot is then pushed to the front of the scan list.
//! [`Listing::release`] stores `VACANT`. A scan that meets more than [`MOST_VACANT`] vacant slots calls
//! [`unlink_vacant`], which owns each vacant slot but the first of the list, unlinks the slot, and stores `UNLINKED`. A
//! flag admits one thread at a time, and no thread waits for the flag. So reads take no lock (R10), and a read by the
//! thread's own slot executes no code of the list.
//!
//! *Bound*: a scan visits the slots in use, and at most [`MOST_VACANT`] vacant slots, from the second scan after slots
//! were released, in any order. (A thread that stops inside of `unlink_vacant`, or is missing in the child of a
//! `fork`, suspends the bound, but does no other harm.)
//!
//! # Why a scan misses no hazard
//!
//! - **H1** An owned slot is in the scan list, from before the owner's first hazard until after the last.
//! - **H2** Only the holder of the flag unlinks, only slots that the holder owns, and never the first of the list. So
//!   only the holder of the flag writes links of slots in the list; the pusher of a slot writes the slot's link before
//!   the push.
//! - **H3** Number the pushes by the modification order of `SCANNED`; a slot has the number of its last push. A link
//!   leads to the highest lower number that was in the list when the link was written.
//! - **H4** `LAST`, `SCANNED` and all links are null or pointers from [`try_make`], which leaks the slot: a slot is
//!   never freed. The initialisation of a slot happens before each store of a pointer to the slot in `SCANNED` or in a
//!   link of the scan list, and before each Acquire load of `LAST` that returns the slot or a slot that was made later.
//!
//! Let a hazard count for a scan (`cell/bias.rs`, O5), in slot S with number s. By H1, the push of S happens
//! before the hazard. So the order that shows the hazard to the scan also shows the push, and the scan begins at a
//! number from s on. Let the scan be at a slot with a number above s, and load the slot's link. By `Acquire`, the link
//! is from the slot's push or from later: when the link was written, the slot had a number above s, and S was in the
//! list. So by H3 the link leads to S or to a number above s. By induction the scan arrives at S.
//!
//! A scan ends, since links lead to lower numbers. The exception is a link from before an unlinking: the link may lead
//! to a slot that was unlinked and pushed again, and now has a higher number. By the `Release` of the slot's new link,
//! the scan does not load such an old link a second time. So each such push costs one restart at most.
//!
//! A scan may skip S only after S was released and unlinked. Then the scan acquires the reader's work: `release`,
//! `Release` → the compare-and-swap of `unlink_vacant`, `Acquire` → the new link, `Release` → the scan, `Acquire`.
//! Later links that skip S are written under the flag, too.

use std::{iter, ptr};

use crate::fallible::{OutOfMemory, try_box};
use crate::hazard::slot::HazardSlot;
use crate::sync::{AtomicPtr, AtomicU8, Ordering, shared};

/// The part of a slot that belongs to this file.
pub(super) struct Listing {
    /// [`OWNED`], [`VACANT`] or [`UNLINKED`].
    state: AtomicU8,
    /// The slot that was made before this slot. Never changes after the push to the list of all slots.
    older: AtomicPtr<HazardSlot>,
    /// The next slot of the scan list.
    next: AtomicPtr<HazardSlot>,
}

const OWNED: u8 = 0;
const VACANT: u8 = 1;
const UNLINKED: u8 = 2;

/// The most vacant slots that stay in the scan list: nested reads acquire and release a few slots all the time.
const MOST_VACANT: usize = if cfg!(loom) { 0 } else { 8 };

shared! {
    /// The list of all slots: the slot that was made last.
    static LAST: AtomicPtr<HazardSlot> = AtomicPtr::new(ptr::null_mut());
}

shared! {
    /// The scan list: the slot that was pushed last.
    static SCANNED: AtomicPtr<HazardSlot> = AtomicPtr::new(ptr::null_mut());
}

shared! {
    /// 1 while a thread unlinks slots.
    static UNLINKING: AtomicU8 = AtomicU8::new(0);
}

#[cfg(loom)]
std::thread_local! {
    /// Whether scans unlink vacant slots. Of the thread that runs a model, which also runs all threads of the model.
    pub(super) static UNLINKS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether a reader of `cell` may be using `node`.
///
/// The caller must have ordered this scan after the hazards that count; see O5 of `cell/bias.rs`.
#[inline]
pub(crate) fn is_protected(cell: usize, node: *mut ()) -> bool {
    let mut vacant = 0;
    for slot in scanned() {
        if slot.protects(cell, node) {
            return true;
        }
        // Adds 1 for a vacant slot, and 2 for a slot that is unlinked at this moment.
        vacant += usize::from(slot.listing.state_hint());
    }
    if vacant > MOST_VACANT {
        unlink_vacant();
    }
    false
}

/// The slots that a scan visits.
pub(super) fn scanned() -> impl Iterator<Item = &'static HazardSlot> {
    // SeqCst: for each hazard that counts, the push of the slot is seen. By that an Acquire, as are the loads of links:
    // pairs with the Release of `push` and of `unlink_vacant`.
    // SAFETY: by H4 and the Acquire, the slot's initialisation happens before.
    let first = unsafe { at(SCANNED.load(Ordering::SeqCst)) };
    iter::successors(first, |slot| slot.listing.next())
}

/// The list of all slots, from the last slot that was made to the first.
fn slots() -> impl Iterator<Item = &'static HazardSlot> {
    // Acquire: pairs with the Release of `try_make`.
    // SAFETY: by H4 and the Acquire, the slot's initialisation happens before.
    let last = unsafe { at(LAST.load(Ordering::Acquire)) };
    // Relaxed: the link never changes after the push of the slot, which the load of `LAST` has acquired.
    // SAFETY: the slot was made before the slot with the link, so by H4 its initialisation happens before the load of
    // `LAST`.
    iter::successors(last, |slot| unsafe { at(slot.listing.older.load(Ordering::Relaxed)) })
}

/// The slot at a pointer of a list.
///
/// # Safety
///
/// `slot` is null or comes from [`try_make`], and the slot's initialisation happens before the call.
unsafe fn at(slot: *mut HazardSlot) -> Option<&'static HazardSlot> {
    // SAFETY: by the contract; by H4 a slot from `try_make` is never freed.
    unsafe { slot.as_ref() }
}

/// The slots in use, for loom's [`barrier::heavy`]. Begins with a read-modify-write, so that a later push acquires the
/// accesses before.
#[cfg(loom)]
pub(super) fn all_slots() -> impl Iterator<Item = &'static HazardSlot> {
    // Pairs with the CAS of `push`, as the loads of `scanned` do.
    let first = SCANNED.fetch_update(Ordering::AcqRel, Ordering::Acquire, Some);
    let first = first.unwrap_or_else(|first| first);
    // SAFETY: by H4 and the Acquire, the slot's initialisation happens before.
    iter::successors(unsafe { at(first) }, |slot| slot.listing.next())
}

impl Listing {
    /// The next slot of the scan list.
    #[inline]
    fn next(&self) -> Option<&'static HazardSlot> {
        // Acquire: see `scanned`.
        // SAFETY: by H4 and the Acquire, the slot's initialisation happens before.
        unsafe { at(self.next.load(Ordering::Acquire)) }
    }

    pub(super) fn release(&self) {
        // Release: pairs with the Acquire of `try_acquire` and of `unlink_vacant`.
        self.state.store(VACANT, Ordering::Release);
    }

    /// The state, as a hint.
    #[inline]
    fn state_hint(&self) -> u8 {
        // Under loom, one more load for each slot would multiply the interleavings of every model, so most models do
        // without.
        #[cfg(loom)]
        if !UNLINKS.get() {
            return OWNED;
        }
        // Relaxed: the state is a hint; `own` decides.
        self.state.load(Ordering::Relaxed)
    }

    /// Owns the slot if its state is `state`.
    fn own(&self, state: u8) -> bool {
        // Acquire: the work of earlier owners happens before. Pairs with the Release of `release` and of
        // `unlink_vacant`.
        self.state.compare_exchange(state, OWNED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

/// Pushes an owned slot to the front of the scan list. The slot is not in the list.
fn push(slot: &'static HazardSlot) {
    // Acquire, here and below: a scan that has been at this slot since the slot's last push may arrive at the first
    // slot by the link alone. So the initialisation of the first slot happens before the store of the link (H4). Pairs
    // with the compare-and-swap of the first slot's push.
    let mut first = SCANNED.load(Ordering::Acquire);
    loop {
        // Release: for a scan that has been at this slot since the slot's last push (header: why a scan ends). Pairs
        // with the Acquire of `scanned`.
        slot.listing.next.store(first, Ordering::Release);
        let new = ptr::from_ref(slot).cast_mut();
        // SeqCst: before any hazard in the slot; pairs with the load of `scanned`. By that an AcqRel, which
        // releases the slot and its link, and continues the Release of the first slot's push.
        match SCANNED.compare_exchange(first, new, Ordering::SeqCst, Ordering::Acquire) {
            Ok(_) => return,
            Err(newer) => first = newer,
        }
    }
}

/// Owns a slot without an owner, or makes a slot.
pub(super) fn try_acquire() -> Result<&'static HazardSlot, OutOfMemory> {
    for slot in slots() {
        // Relaxed: a test without a write, which leaves the cache lines of owned slots shared.
        match slot.listing.state.load(Ordering::Relaxed) {
            VACANT if slot.listing.own(VACANT) => return Ok(slot),
            UNLINKED if slot.listing.own(UNLINKED) => {
                push(slot);
                return Ok(slot);
            }
            _ => (),
        }
    }
    try_make()
}

fn try_make() -> Result<&'static HazardSlot, OutOfMemory> {
    let slot: &HazardSlot = Box::leak(try_box(HazardSlot::new(Listing {
        state: AtomicU8::new(OWNED),
        older: AtomicPtr::new(ptr::null_mut()),
        next: AtomicPtr::new(ptr::null_mut()),
    }))?);
    push(slot);
    // Relaxed, here and below: the successful compare-and-swap validates the last slot.
    let mut last = LAST.load(Ordering::Relaxed);
    loop {
        slot.listing.older.store(last, Ordering::Relaxed);
        let new = ptr::from_ref(slot).cast_mut();
        // Release: publishes the slot and its link; pairs with the Acquire of `try_acquire`. This compare-and-swap
        // continues the release sequences of earlier slots.
        match LAST.compare_exchange(last, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return Ok(slot),
            Err(newer) => last = newer,
        }
    }
}

/// Unlinks all vacant slots of the scan list but the first slot, unless another thread already does so.
#[cold]
fn unlink_vacant() {
    // Acquire: pairs with the Release at the end, so that links are those of the last holder, or later.
    if UNLINKING.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return;
    }
    // Acquire: pairs with the push of the first slot, and so with all pushes before.
    // SAFETY: by H4 and the Acquire, the slot's initialisation happens before.
    let mut before = unsafe { at(SCANNED.load(Ordering::Acquire)) };
    while let Some(slot) = before {
        // Relaxed, here and below: a link was written before a push that this thread has acquired, or under the flag
        // (H2).
        // SAFETY: by H4 the slot's initialisation happens before the store of the link, which this thread has acquired.
        let Some(next) = (unsafe { at(slot.listing.next.load(Ordering::Relaxed)) }) else { break };
        if next.listing.state_hint() == VACANT && next.listing.own(VACANT) {
            // By H2 no other thread writes to either link. Release: of the work of the slot's readers, and of the slot
            // that is next; pairs with the Acquire of `scanned`.
            slot.listing.next.store(next.listing.next.load(Ordering::Relaxed), Ordering::Release);
            // Release: before the slot's next push; pairs with the Acquire of `own`.
            next.listing.state.store(UNLINKED, Ordering::Release);
        } else {
            before = Some(next);
        }
    }
    // Release: pairs with the Acquire of the next holder of the flag, above.
    UNLINKING.store(0, Ordering::Release);
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    #[cfg(not(miri))]
    use std::env;
    #[cfg(not(miri))]
    use std::process::Command;
    #[cfg(not(miri))]
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::fewer::fewer;
    use crate::hazard::{Fence, any_slot, own_slot, second_slot};

    const CELL: usize = 8;

    /// A node with an address that tells nodes apart. No test dereferences the node.
    fn node(number: usize) -> *mut () {
        ptr::without_provenance_mut(8 * number)
    }

    fn count() -> usize {
        slots().count()
    }

    #[test]
    fn a_hazard_is_seen_until_it_is_cleared() {
        for (number, order) in [Fence::Light, Fence::SeqCst, Fence::Full].into_iter().enumerate() {
            let (first, second) = (second_slot(), second_slot());
            let (one, other) = (node(10 + number), node(20 + number));
            assert!(!is_protected(CELL, one));
            first.slot().protect(order, CELL, one);
            second.slot().protect(order, 2 * CELL, other);
            assert!(is_protected(CELL, one) && is_protected(2 * CELL, other));
            assert!(!is_protected(2 * CELL, one) && !is_protected(CELL, other));
            first.slot().clear();
            assert!(!is_protected(CELL, one) && is_protected(2 * CELL, other));
            second.slot().clear();
            assert!(!is_protected(2 * CELL, other));
        }
    }

    #[test]
    fn a_thread_keeps_one_slot_and_takes_another_only_while_that_is_in_use() {
        thread::spawn(|| {
            assert!(own_slot().is_none());
            let first = any_slot();
            assert!(ptr::eq(own_slot().expect("it is kept"), first.slot()));
            assert!(ptr::eq(any_slot().slot(), first.slot()));
            first.slot().protect(Fence::SeqCst, CELL, node(1));
            assert!(own_slot().is_none());
            let second = any_slot();
            assert!(!ptr::eq(second.slot(), first.slot()));
            let third = any_slot();
            assert!(!ptr::eq(third.slot(), first.slot()) && !ptr::eq(third.slot(), second.slot()));
            first.slot().clear();
            drop(first);
            assert!(own_slot().is_some(), "it is still this thread's");
        })
        .join()
        .expect("it holds");
    }

    #[test]
    fn slots_are_used_again_after_reads_and_after_threads() {
        let before = count();
        for _ in 0..fewer(100, 25) {
            let thread = thread::spawn(|| {
                let own = any_slot();
                own.slot().protect(Fence::SeqCst, CELL, node(2));
                for _ in 0..3 {
                    drop(any_slot());
                }
                own.slot().clear();
            });
            thread.join().expect("it holds");
        }
        // The tests that run at the same time make slots, too.
        assert!(count() < before + 20, "{} more slots", count() - before);
    }

    /// Runs the test `name` alone in a process. Returns whether this process is that process.
    #[cfg(not(miri))]
    pub(in crate::hazard) fn is_alone(name: &str) -> bool {
        const IS_ALONE: &str = "SHADOW_TEST_IS_ALONE";
        if env::var_os(IS_ALONE).is_some() {
            return true;
        }
        let program = env::current_exe().expect("it runs");
        let alone = Command::new(program).args(["--exact", name]).env(IS_ALONE, "").output().expect("it runs");
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success() && said.contains("1 passed"), "{said}");
        false
    }

    /// The number of slots that a scan visits, from the second scan on.
    #[cfg(not(miri))]
    fn visited() -> usize {
        assert!(!is_protected(CELL, node(1)));
        let visited = scanned().count();
        assert!(!is_protected(CELL, node(1)));
        assert!(scanned().count() <= visited);
        visited
    }

    #[cfg(not(miri))]
    #[test]
    fn scans_visit_few_slots_after_many_nested_reads() {
        if !is_alone("hazard::scan_list::tests::scans_visit_few_slots_after_many_nested_reads") {
            return;
        }
        for depth in [1, MOST_VACANT, 5000, 5000] {
            let mut nested: Vec<_> = (0..depth).map(|_| second_slot()).collect();
            assert!(visited() >= depth);
            // Reads end in the reverse order of their beginning.
            while nested.pop().is_some() {}
            // This thread keeps a slot.
            assert!(visited() <= 1 + MOST_VACANT, "{}", visited());
        }
        assert!(count() <= 5001, "slots are used again");
    }

    #[cfg(not(miri))]
    #[test]
    fn scans_visit_few_slots_after_many_threads_whichever_of_them_is_left() {
        const THREADS: usize = 1000;
        if !is_alone("hazard::scan_list::tests::scans_visit_few_slots_after_many_threads_whichever_of_them_is_left") {
            return;
        }
        for survivor in [0, 1, THREADS / 2, THREADS - 2, THREADS - 1] {
            let mut threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (end, is_to_end) = mpsc::channel::<()>();
                    let (begin, has_begun) = mpsc::channel();
                    let work = move || {
                        begin.send(any_slot().slot().listing.state.load(Ordering::Relaxed)).expect("it is waited for");
                        let _ = is_to_end.recv();
                        // The slot is still this thread's, and is scanned.
                        let own = any_slot();
                        own.slot().protect(Fence::SeqCst, CELL, node(3));
                        let is_seen = is_protected(CELL, node(3));
                        own.slot().clear();
                        is_seen
                    };
                    let thread = thread::Builder::new().stack_size(64 * 1024).spawn(work).expect("there is room");
                    assert_eq!(has_begun.recv(), Ok(OWNED));
                    Some((end, thread))
                })
                .collect();
            assert!(visited() >= THREADS);
            let end = |(end, thread): (mpsc::Sender<()>, thread::JoinHandle<bool>)| {
                drop(end);
                assert!(thread.join().expect("it holds"));
            };
            let left = threads[survivor].take().expect("it is there");
            threads.into_iter().flatten().for_each(end);
            assert!(visited() <= 1 + MOST_VACANT, "{}", visited());
            end(left);
        }
        assert!(count() <= THREADS + 1, "slots are used again");
    }

    #[test]
    fn one_of_so_many_reads_is_due() {
        let taken = second_slot();
        let due = (0..160).filter(|_| taken.slot().is_due(16)).count();
        assert_eq!(due, 10);
    }
}
