//! Hazards: a reader announces a value before the use, and a writer scans the announcements before the drop.
//!
//! In: a reader's cell and node. Out: whether a node is announced. These are hazard pointers (M. M. Michael, "Hazard
//! Pointers", IEEE TPDS 15/6, 2004) in slots of single threads, so readers write to no shared memory. Neighbours:
//! `cell/get_or_update.rs` and `raw/newest.rs`, which argue the protocol of a hazard; `barrier.rs`, the process-wide
//! barrier in place of a reader's fence; `node.rs`, the memory of a value; `retired.rs`, the drop of a value that was
//! announced when a writer replaced the value.
//!
//! # Slots
//!
//! A hazard is in a [`Slot`]. A thread owns one slot from its first read to its end. A nested read owns a second slot
//! until its end. Slots are never freed; a later owner uses the slot of an earlier owner. So the memory is 128 bytes
//! for each slot of the peak, the most threads and nested reads at one time, and for one more.
//!
//! A slot has a node, null without a hazard, and the node's cell. Cells recycle nodes, so a slow reader of one cell may
//! announce a node of another cell, until the reader's second look. The cell in the slot tells the two apart, and no
//! writer waits for such a reader. A reader stores the cell before the node, both with `Release`. A scan that acquires
//! the node sees this cell or a newer cell; with a newer cell, the reader is done with the node. For the same reason
//! the cell is stored with `Release` and loaded with `Acquire`: a scan that sees the newer cell also sees the
//! withdrawal before. The scan's second look at the node then rejects a cell that is right for another node.
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

/// A slot for the hazard of one read at a time. Aligned to two cache lines against false sharing, since every read
/// writes to its slot.
#[repr(align(128))]
pub(crate) struct Slot {
    node: AtomicPtr<()>,
    cell: AtomicUsize,
    /// The count of reads of hot cells by this slot, for [`is_due`](Self::is_due).
    reads: AtomicU32,
    /// [`OWNED`], [`VACANT`] or [`UNLINKED`].
    state: AtomicU8,
    /// Models the process-wide barrier, for which loom has no operation: see `barrier.rs`.
    #[cfg(loom)]
    passed: AtomicU32,
    /// The slot that was made before this slot. Never changes after the push to the list of all slots.
    older: AtomicPtr<Slot>,
    /// The next slot of the scan list.
    next: AtomicPtr<Slot>,
}

const OWNED: u8 = 0;
const VACANT: u8 = 1;
const UNLINKED: u8 = 2;

/// The most vacant slots that stay in the scan list: nested reads take and give back a few slots all the time.
const MOST_VACANT: usize = if cfg!(loom) { 0 } else { 8 };

shared! {
    /// The list of all slots: the slot that was made last.
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
    /// This thread's slot. Without a destructor, so that a read need not test for a destroyed thread-local.
    static OWN: Cell<Option<&'static Slot>> = Cell::new(None);

    /// The same slot, with a destructor that gives the slot back at the end of the thread.
    static KEPT: Kept = Kept(Cell::new(None));

    /// Whether this thread is in [`keep`], which calls the allocator.
    static KEEPING: Cell<bool> = Cell::new(false);

    /// The number of running clones of this thread that the thread's own slot does not show.
    static UNSHOWN: Cell<usize> = Cell::new(0);
}

/// A thread's slot.
struct Kept(Cell<Option<&'static Slot>>);

/// A slot of one read.
pub(crate) struct Taken {
    slot: &'static Slot,
    /// `None` for the thread's own slot.
    unshown: Option<Unshown>,
}

/// Counts a running clone that the thread's own slot does not show, until the drop: see [`is_in_clone`].
struct Unshown(());

/// This thread's slot, if the thread has a slot and no read uses the slot.
#[inline]
pub(crate) fn own() -> Option<&'static Slot> {
    // An emulated thread-local may be destroyed before the end of the thread.
    let slot = OWN.try_with(Cell::get).ok().flatten()?;
    // Relaxed: only this thread stores to the node.
    slot.node.load(Ordering::Relaxed).is_null().then_some(slot)
}

/// The thread's own slot, or a second slot while the own slot is in use.
pub(crate) fn any() -> Taken {
    own().map_or_else(take, |slot| Taken { slot, unshown: None })
}

/// A slot for a thread without a slot, or with its own slot in use.
#[cold]
pub(crate) fn take() -> Taken {
    let slot = take_slot();
    let is_own = keep(slot);
    Taken { slot, unshown: (!is_own).then(Unshown::begin) }
}

/// Makes `slot` the thread's own until the end of the thread, if the thread has none. Returns whether `slot` is the
/// thread's own.
fn keep(slot: &'static Slot) -> bool {
    // The registration of the destructor of `KEPT` may allocate, and an allocator may read a field: then this inner
    // read takes a second slot.
    if KEEPING.try_with(|keeping| keeping.replace(true)).unwrap_or(true) {
        return false;
    }
    // Fails at the end of the thread, from the destructor of `KEPT` on.
    let is_own = KEPT.try_with(|kept| kept.keep(slot)).unwrap_or(false);
    let _ = KEEPING.try_with(|keeping| keeping.set(false));
    is_own
}

/// Whether this thread is inside of a user's `Clone` that the library has called, or of a closure that has a reference
/// to a value.
///
/// The hazard of the thread's own slot shows most such reads, at no cost. [`Unshown`] counts the rest: reads by a
/// second slot, and the clone that a writer makes of a value before the writer retires its node.
#[inline]
pub(crate) fn is_in_clone() -> bool {
    // Relaxed: only this thread stores to the node.
    let is_in_use = |slot: &Slot| !slot.node.load(Ordering::Relaxed).is_null();
    // An emulated thread-local may be destroyed before the end of the thread.
    OWN.try_with(Cell::get).ok().flatten().is_some_and(is_in_use) || UNSHOWN.try_with(Cell::get).unwrap_or(0) > 0
}

/// Whether a reader of `cell` may be using `node`.
///
/// The caller must have ordered this scan after the hazards that count; see `cell/get_or_update.rs`.
#[inline]
pub(crate) fn is_announced(cell: usize, node: *mut ()) -> bool {
    let mut vacant = 0;
    for slot in scanned() {
        // SeqCst, and by that Acquire. Pairs with the Release of the `announce` methods, so that the cell is seen, and
        // with the Release of `withdraw`, so that the reader's use of the value happens before the caller's drop.
        let has_node = || slot.node.load(Ordering::SeqCst) == node;
        // Acquire: pairs with the Release of `tell`, so that the withdrawal before is seen. See the header.
        if has_node() && slot.cell.load(Ordering::Acquire) == cell && has_node() {
            return true;
        }
        // Adds 1 for a vacant slot, and 2 for a slot that is unlinked at this moment.
        vacant += usize::from(slot.state_hint());
    }
    if vacant > MOST_VACANT {
        unlink_vacant();
    }
    false
}

/// The slots that a scan visits.
fn scanned() -> impl Iterator<Item = &'static Slot> {
    // SeqCst: for each hazard that counts, the push of the slot is seen. By that an Acquire, as are the loads of links:
    // pairs with the Release of `push` and of `unlink_vacant`.
    iter::successors(at(SCANNED.load(Ordering::SeqCst)), |slot| at(slot.next.load(Ordering::Acquire)))
}

/// The list of all slots, from `last` to the first slot that was made.
fn slots(last: *mut Slot) -> impl Iterator<Item = &'static Slot> {
    // Relaxed: the link never changes after the push of the slot, which the load of `last` has acquired.
    iter::successors(at(last), |slot| at(slot.older.load(Ordering::Relaxed)))
}

/// The slot at a pointer of a list.
fn at(slot: *mut Slot) -> Option<&'static Slot> {
    // SAFETY: every pointer in the lists is null or comes from `make_slot`, which leaks the slot. The caller has loaded
    // the pointer with Acquire, or from an older slot's immutable link, so the initialisation by `make_slot` happens
    // before.
    unsafe { slot.as_ref() }
}

/// The slots in use, for loom's [`barrier::heavy`]. Begins with a read-modify-write, so that a later push acquires the
/// accesses before.
#[cfg(loom)]
fn all_slots() -> impl Iterator<Item = &'static Slot> {
    let first = SCANNED.fetch_update(Ordering::AcqRel, Ordering::Acquire, Some);
    let first = first.unwrap_or_else(|first| first);
    iter::successors(at(first), |slot| at(slot.next.load(Ordering::Acquire)))
}

impl Slot {
    /// Announces `node` of a cell with writers that call [`barrier::heavy`] between exchange and scan.
    #[inline]
    pub(crate) fn announce_lightly(&self, cell: usize, node: *mut ()) {
        self.tell(cell);
        self.node.store(node, Ordering::Release);
        barrier::light(self);
    }

    /// Announces `node`, and orders the announcement before later `SeqCst` loads. The writer's exchange and scan must
    /// be `SeqCst`, too.
    #[inline]
    pub(crate) fn announce(&self, cell: usize, node: *mut ()) {
        self.tell(cell);
        self.node.swap(node, Ordering::SeqCst);
        full_fence();
    }

    /// Announces `node`, and orders the announcement before later loads of any ordering, for a writer with a `SeqCst`
    /// fence between its stores and its scan.
    #[inline]
    pub(crate) fn announce_by_fence(&self, cell: usize, node: *mut ()) {
        self.tell(cell);
        self.node.store(node, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Stores the cell of the next announcement.
    #[inline]
    fn tell(&self, cell: usize) {
        // Release: after the last withdrawal, and the reader's use of the value before the withdrawal. Pairs with the
        // Acquire of `is_announced`.
        self.cell.store(cell, Ordering::Release);
    }

    /// Ends an announcement, and orders the withdrawal before later `SeqCst` loads. The writer calls [`barrier::heavy`]
    /// between its stores and its scan if the barrier is available, and otherwise uses `SeqCst` for stores and scan.
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

    /// Counts a read, and returns whether the count is a multiple of `every`.
    #[inline]
    pub(crate) fn is_due(&self, every: u32) -> bool {
        // Relaxed: only the owner of the slot counts.
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
        // Under loom, one more load for each slot would multiply the interleavings of every model, so most models do
        // without.
        #[cfg(loom)]
        if !modelled::slots_are_unlinked() {
            return OWNED;
        }
        self.state.load(Ordering::Relaxed)
    }

    /// Owns the slot if its state is `state`.
    fn own(&self, state: u8) -> bool {
        // Acquire: the work of earlier owners happens before. Pairs with the Release of `give_back` and of
        // `unlink_vacant`.
        self.state.compare_exchange(state, OWNED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Pushes an owned slot to the front of the scan list. The slot is not in the list.
    fn push(&'static self) {
        // Relaxed, here and below: the successful compare-and-swap validates the first slot.
        let mut first = SCANNED.load(Ordering::Relaxed);
        loop {
            // Release: for a scan that has been at this slot since the slot's last push. See the header: why a scan
            // ends.
            self.next.store(first, Ordering::Release);
            let new = ptr::from_ref(self).cast_mut();
            // SeqCst: before any hazard in the slot; pairs with the load of `scanned`. By that an AcqRel, which
            // releases the slot and its link, and continues the Release of the first slot's push.
            match SCANNED.compare_exchange(first, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => first = newer,
            }
        }
    }
}

/// Owns a slot without an owner, or makes a slot.
fn take_slot() -> &'static Slot {
    // Acquire: pairs with the Release of `make_slot`.
    for slot in slots(LAST.load(Ordering::Acquire)) {
        // Relaxed: a test without a write, which leaves the cache lines of owned slots shared.
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
    // Relaxed, here and below: the successful compare-and-swap validates the last slot.
    let mut last = LAST.load(Ordering::Relaxed);
    loop {
        slot.older.store(last, Ordering::Relaxed);
        let new = ptr::from_ref(slot).cast_mut();
        // Release: of the slot and its link, for the Acquire of `take_slot`. This compare-and-swap continues the
        // release sequences of earlier slots.
        match LAST.compare_exchange(last, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return slot,
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
    let mut before = at(SCANNED.load(Ordering::Acquire));
    while let Some(slot) = before {
        // Relaxed, here and below: a link was written before a push that this thread has acquired, or under the flag
        // (H2).
        let Some(next) = at(slot.next.load(Ordering::Relaxed)) else { break };
        if next.state_hint() == VACANT && next.own(VACANT) {
            // By H2 no other thread writes to either link. Release: of the work of the slot's readers, and of the slot
            // that is next; pairs with the Acquire of `scanned`.
            slot.next.store(next.next.load(Ordering::Relaxed), Ordering::Release);
            // Release: before the slot's next push; pairs with the Acquire of `own`.
            next.state.store(UNLINKED, Ordering::Release);
        } else {
            before = Some(next);
        }
    }
    UNLINKING.store(0, Ordering::Release);
}

impl Kept {
    /// Makes `slot` the thread's own, if the thread has none. Returns whether `slot` is the thread's own.
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

    /// A node with an address that tells nodes apart. No test dereferences the node.
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
        // The tests that run at the same time make slots, too.
        assert!(count() < before + 20, "{} more slots", count() - before);
    }

    /// Runs the test `name` alone in a process. Returns whether this process is that process.
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

    /// The number of slots that a scan visits, from the second scan on.
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
