//! Hazards: a reader announces a value before the use, and a writer scans the announcements before the drop.
//!
//! In: a reader's cell and node. Out: whether a node is announced. These are hazard pointers (M. M. Michael, "Hazard
//! Pointers", IEEE TPDS 15/6, 2004) in slots of single threads, so readers write to no shared memory. Neighbours:
//! `cell/get_or_update.rs` and `raw/newest.rs`, which argue the protocol of a hazard; `barrier.rs`, the process-wide
//! barrier in place of a reader's fence; `node.rs`, the memory of a value; `retired.rs`, the drop of a value that was
//! announced when a writer replaced it.
//!
//! # Slots
//!
//! A hazard is in a [`Slot`]. A thread owns one slot from its first read to its end. A nested read owns a second slot
//! until its end. Slots are never freed; a later owner uses the slot of an earlier owner. So the memory is 128 bytes
//! for each slot of the peak, the most threads and nested reads at one time, and for one more.
//!
//! A slot has a node, null without a hazard, and the node's cell. Cells recycle nodes, so a slow reader of one cell may
//! announce a node of another cell, until its second look. The cell in the slot tells the two apart, and no writer
//! waits for such a reader. A reader stores the cell before the node, both with `Release`. A scan that acquires the
//! node sees this cell or a newer cell; with a newer cell, the reader is done with the node. For the same reason the
//! cell is stored with `Release` and loaded with `Acquire`: a scan that sees the newer cell also sees the withdrawal
//! before. The scan's second look at the node then rejects a cell that is right for another node.
//!
//! # The scan list
//!
//! A scan visits the slots of the scan list, a singly linked list from [`SCANNED`]. The states of a slot:
//!
//! | state | owner | in the scan list |
//! |---|---|---|
//! | [`OWNED`] | a thread, a read, or [`unlink_vacant`] | yes, from before the first hazard |
//! | [`VACANT`] | none | yes |
//! | [`UNLINKED`] | none | no |
//!
//! [`take_slot`] searches the list of all slots, which only grows, for a slot without an owner, and owns the slot by a
//! compare-and-swap of the state. An unlinked slot is then pushed to the front of the scan list. [`Slot::give_back`]
//! stores `VACANT`. A scan that meets more than [`MOST_VACANT`] vacant slots calls [`unlink_vacant`], which owns each
//! vacant slot but the first of the list, unlinks the slot, and stores `UNLINKED`. A flag admits one thread at a time,
//! and no thread waits for the flag. So reads take no lock (R10), and a read by the thread's own slot executes no code
//! of the list.
//!
//! *Bound*: a scan visits the slots in use, and at most [`MOST_VACANT`] vacant slots, from the second scan after slots
//! were given back, in any order. (A thread that stops inside of `unlink_vacant`, or is missing in the child of a
//! `fork`, suspends the bound, and nothing else.)
//!
//! # Why a scan misses no hazard
//!
//! - **H1** An owned slot is in the scan list, from before the owner's first hazard until after the last.
//! - **H2** Only the holder of the flag unlinks, only slots that it owns, and never the first of the list. So only the
//!   holder of the flag writes links of slots in the list; the pusher of a slot writes the slot's link before the push.
//! - **H3** Number the pushes by the modification order of `SCANNED`; a slot has the number of its last push. A link
//!   leads to the highest lower number that was in the list when the link was written.
//!
//! Let a hazard count for a scan (`cell/get_or_update.rs`, O5), in slot S with number s. By H1, the push of S happens
//! before the hazard. So the order that shows the hazard to the scan also shows the push, and the scan begins at a
//! number from s on. Let the scan be at a number above s, and load the link. By `Acquire`, this push or a later push
//! wrote the link, so a slot with a number above s did. By H3 the link leads to S or to a number above s: S stays in
//! the list, so no link from above s leads below s. By induction the scan arrives at S.
//!
//! A scan ends: links lead to lower numbers. A scan arrives at a slot that was pushed again only by a link from before
//! the unlinking. By the `Release` of the slot's new link, the scan never loads that old link again. So each such push
//! costs one restart at most.
//!
//! A scan may skip S only after S was given back and unlinked. Then the scan acquires the reader's work: `give_back`,
//! `Release` → the compare-and-swap of `unlink_vacant`, `Acquire` → the new link, `Release` → the scan, `Acquire`.
//! Later links that skip S are written under the flag, too.

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
    /// [`OWNED`], [`VACANT`] or [`UNLINKED`].
    state: AtomicU8,
    /// Stands for what a model checker has no word for: see `barrier.rs`.
    #[cfg(loom)]
    passed: AtomicU32,
    /// The slot that was made before this one. Never changes after the push to the list of all slots.
    older: AtomicPtr<Slot>,
    /// The next slot of the scan list.
    next: AtomicPtr<Slot>,
}

const OWNED: u8 = 0;
const VACANT: u8 = 1;
const UNLINKED: u8 = 2;

/// How many vacant slots stay in the scan list: nested reads take and give back a few slots all the time.
const MOST_VACANT: usize = if cfg!(loom) { 0 } else { 8 };

shared! {
    /// All slots: the one that was made last.
    static LAST: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());
}

shared! {
    /// The scan list: the slot that was pushed last.
    static SCANNED: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());
}

shared! {
    /// 1 while a thread unlinks slots.
    static UNLINKING: AtomicU8 = AtomicU8::new(0);
}

local! {
    /// This thread's slot. It has no destructor, so reading need not ask whether it is still there.
    static OWN: Cell<Option<&'static Slot>> = Cell::new(None);

    /// The same, given back when the thread ends.
    static KEPT: Kept = Kept(Cell::new(None));

    /// Whether this thread is in [`keep`].
    static KEEPING: Cell<bool> = Cell::new(false);

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
    let is_own = keep(slot);
    Taken { slot, unshown: (!is_own).then(Unshown::begin) }
}

/// Makes `slot` the thread's own until the thread ends, if it has none, and returns whether it is.
fn keep(slot: &'static Slot) -> bool {
    // The registration of the destructor of `KEPT` may allocate, and an allocator may read: then that read takes
    // another slot.
    if KEEPING.try_with(|keeping| keeping.replace(true)).unwrap_or(true) {
        return false;
    }
    // Fails from when the thread's slot is given back, at the end of the thread.
    let is_own = KEPT.try_with(|kept| kept.keep(slot)).unwrap_or(false);
    let _ = KEEPING.try_with(|keeping| keeping.set(false));
    is_own
}

/// Whether this thread is running a user's `Clone` that the library has called, or a closure that has a reference to a
/// value.
///
/// The hazard of the thread's own slot says so for most reads, which do nothing for this. [`Unshown`] counts the rest:
/// a read by another slot, and the clone that a writer makes of a value that it retires.
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
#[inline]
pub(crate) fn is_announced(cell: usize, node: *mut ()) -> bool {
    let mut vacant = 0;
    for slot in scanned() {
        // SeqCst, and by that Acquire: pairs with the Release of all kinds of `announce`, so that the cell is seen; and
        // with that of `withdraw`, so that what the reader did has happened before.
        let has_node = || slot.node.load(Ordering::SeqCst) == node;
        // Acquire: pairs with the Release of all kinds of `announce`, as a withdrawal does. See the header.
        if has_node() && slot.cell.load(Ordering::Acquire) == cell && has_node() {
            return true;
        }
        // Adds 1 for a vacant slot, and 2 for one that is being unlinked just now.
        vacant += usize::from(slot.state_hint());
    }
    if vacant > MOST_VACANT {
        unlink_vacant();
    }
    false
}

/// The slots that a scan visits.
fn scanned() -> impl Iterator<Item = &'static Slot> {
    // SeqCst: the push of the slot of each hazard that counts is seen. By that an Acquire, as the loads of links: pairs
    // with the Release of `push` and of `unlink_vacant`.
    iter::successors(at(SCANNED.load(Ordering::SeqCst)), |slot| at(slot.next.load(Ordering::Acquire)))
}

/// Every slot, from `last` to the first that was made.
fn slots(last: *mut Slot) -> impl Iterator<Item = &'static Slot> {
    // Relaxed: never changes.
    iter::successors(at(last), |slot| at(slot.older.load(Ordering::Relaxed)))
}

/// What a list points to.
fn at(slot: *mut Slot) -> Option<&'static Slot> {
    // SAFETY: every pointer in the lists is null or comes from `make_slot`, which leaks the slot. The caller has loaded
    // the pointer with Acquire, or from an older slot's immutable link, so the slot is seen as `make_slot` has made it.
    unsafe { slot.as_ref() }
}

/// The slots in use, for a model's [`barrier::heavy`]. It begins with an exchange, so a slot that is pushed later sees
/// what came before.
#[cfg(loom)]
fn all_slots() -> impl Iterator<Item = &'static Slot> {
    let first = SCANNED.fetch_update(Ordering::AcqRel, Ordering::Acquire, Some);
    let first = first.unwrap_or_else(|first| first);
    iter::successors(at(first), |slot| at(slot.next.load(Ordering::Acquire)))
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

    /// Ends an announcement, and orders that before `SeqCst` loads, for who passes [`barrier::heavy`] between its
    /// stores and its look, if there is that, and else has `SeqCst` there, too.
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
        // Release: pairs with the Acquire of `take_slot` and of `unlink_vacant`.
        self.state.store(VACANT, Ordering::Release);
    }

    /// The state, as a hint.
    #[inline]
    fn state_hint(&self) -> u8 {
        // Most models have enough to do without: one load more of each slot makes each of them run many times as often.
        #[cfg(loom)]
        if !modelled::slots_are_unlinked() {
            return OWNED;
        }
        self.state.load(Ordering::Relaxed)
    }

    /// Owns the slot if its state is `state`.
    fn own(&self, state: u8) -> bool {
        // Acquire: what earlier owners did happens before.
        self.state.compare_exchange(state, OWNED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Puts an owned slot, which is not in the scan list, to its front.
    fn push(&'static self) {
        // Relaxed, here and below: the exchange that succeeds says what the first one is.
        let mut first = SCANNED.load(Ordering::Relaxed);
        loop {
            // Release: for a scan that is here since the slot's last push. See the header: why a scan ends.
            self.next.store(first, Ordering::Release);
            let new = ptr::from_ref(self).cast_mut();
            // SeqCst: before any hazard in the slot, for `scanned`. As an AcqRel, it releases the slot and its link,
            // and continues the Release of the first slot's push.
            match SCANNED.compare_exchange(first, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => first = newer,
            }
        }
    }
}

/// Owns a slot without an owner, or makes one.
fn take_slot() -> &'static Slot {
    // Acquire: pairs with the Release of `make_slot`.
    for slot in slots(LAST.load(Ordering::Acquire)) {
        // Relaxed: a look that spares the cache lines of owned slots.
        match slot.state.load(Ordering::Relaxed) {
            VACANT if slot.own(VACANT) => return slot,
            UNLINKED if slot.own(UNLINKED) => {
                slot.push();
                return slot;
            }
            _ => (),
        }
    }
    make_slot()
}

fn make_slot() -> &'static Slot {
    let slot: &Slot = Box::leak(Box::new(Slot {
        node: AtomicPtr::new(ptr::null_mut()),
        cell: AtomicUsize::new(0),
        reads: AtomicU32::new(0),
        state: AtomicU8::new(OWNED),
        #[cfg(loom)]
        passed: AtomicU32::new(0),
        older: AtomicPtr::new(ptr::null_mut()),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    slot.push();
    // Relaxed, here and below: the exchange that succeeds says what the last one is.
    let mut last = LAST.load(Ordering::Relaxed);
    loop {
        slot.older.store(last, Ordering::Relaxed);
        let new = ptr::from_ref(slot).cast_mut();
        // Release: of the slot and its link; slots before it were released by exchanges that this one continues.
        match LAST.compare_exchange(last, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return slot,
            Err(newer) => last = newer,
        }
    }
}

/// Unlinks all vacant slots of the scan list but the first slot, unless another thread does so.
#[cold]
fn unlink_vacant() {
    // Acquire: pairs with the Release below, so that links are those of the last holder, or later.
    if UNLINKING.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return;
    }
    // Acquire: pairs with the push of that slot, and by that with all pushes before.
    let mut before = at(SCANNED.load(Ordering::Acquire));
    while let Some(slot) = before {
        // Relaxed, here and below: a link was written before a push that this thread has acquired, or under the flag
        // (H2).
        let Some(next) = at(slot.next.load(Ordering::Relaxed)) else { break };
        if next.state_hint() == VACANT && next.own(VACANT) {
            // By H2 nobody else writes to either link. Release: of what the slot's readers did, and of what it links
            // to.
            slot.next.store(next.next.load(Ordering::Relaxed), Ordering::Release);
            // Release: before the slot's next push.
            next.state.store(UNLINKED, Ordering::Release);
        } else {
            before = Some(next);
        }
    }
    UNLINKING.store(0, Ordering::Release);
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
    #[cfg(not(miri))]
    use std::env;
    #[cfg(not(miri))]
    use std::process::Command;
    #[cfg(not(miri))]
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::fewer::fewer;

    const CELL: usize = 8;

    /// A node that is told apart by its address, and is not looked at.
    fn node(number: usize) -> *mut () {
        ptr::without_provenance_mut(8 * number)
    }

    fn count() -> usize {
        slots(LAST.load(Ordering::Acquire)).count()
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
        for _ in 0..fewer(100, 25) {
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

    /// Runs the test of this name alone in a process, and returns whether this is that process.
    #[cfg(not(miri))]
    pub(in crate::readers) fn is_alone(name: &str) -> bool {
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

    /// How many slots a scan visits, from the second one on.
    #[cfg(not(miri))]
    fn visited() -> usize {
        assert!(!is_announced(CELL, node(1)));
        let visited = scanned().count();
        assert!(!is_announced(CELL, node(1)));
        assert!(scanned().count() <= visited);
        visited
    }

    #[cfg(not(miri))]
    #[test]
    fn scans_visit_few_slots_after_many_nested_reads() {
        if !is_alone("readers::tests::scans_visit_few_slots_after_many_nested_reads") {
            return;
        }
        for depth in [1, MOST_VACANT, 5000, 5000] {
            let mut nested: Vec<_> = (0..depth).map(|_| take()).collect();
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
        if !is_alone("readers::tests::scans_visit_few_slots_after_many_threads_whichever_of_them_is_left") {
            return;
        }
        for survivor in [0, 1, THREADS / 2, THREADS - 2, THREADS - 1] {
            let mut threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (end, is_to_end) = mpsc::channel::<()>();
                    let (begin, has_begun) = mpsc::channel();
                    let work = move || {
                        begin.send(any().slot().state.load(Ordering::Relaxed)).expect("it is waited for");
                        let _ = is_to_end.recv();
                        // The slot is still this thread's, and is scanned.
                        let own = any();
                        own.slot().announce(CELL, node(3));
                        let is_seen = is_announced(CELL, node(3));
                        own.slot().withdraw();
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
        let taken = take();
        let due = (0..160).filter(|_| taken.slot().is_due(16)).count();
        assert_eq!(due, 10);
    }
}
