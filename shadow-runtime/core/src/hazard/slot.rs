//! Hazard slots: the place of one hazard, and the ways to a slot for a read.
//!
//! In: a cell and a node, and the fence of the reader. Out: a slot, which protects the node until the clear.
//! Neighbours: `scan_list.rs`, which finds and lists slots; `barrier.rs`, the process-wide barrier in place of a
//! reader's fence.
//!
//! A hazard is in a [`HazardSlot`]. A thread owns one slot from its first read to its end. A nested read owns a second
//! slot until its end. Slots are never freed; a later owner uses the slot of an earlier owner. So the memory is 128
//! bytes for each slot of the peak, the most threads and nested reads at one time, and for one more.
//!
//! A slot has a node, null without a hazard, and the node's cell. Cells recycle nodes, so a slow reader of one cell may
//! protect a node of another cell, until the reader's second load. The cell in the slot tells the two apart, so no
//! writer keeps a node because of such a reader.
//!
//! A reader stores the cell before the node, both with `Release`. A scan loads the node, the cell, and the node again.
//! A scan that acquires a node sees the cell of this hazard or of a later hazard. If the cell is that of a later
//! hazard, the reader is done with the node. `Release` and `Acquire` of the cell show this to the scan: the clear of
//! the earlier hazard happens before the scan's second load of the node, so the second load does not read the earlier
//! hazard.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::ptr;

use crate::fallible::OutOfMemory;
use crate::hazard::barrier;
use crate::hazard::scan_list::{self, Listing};
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence, full_fence, local};

/// A slot for the hazard of one read at a time. Aligned to two cache lines against false sharing, since every read
/// writes to its slot.
#[repr(align(128))]
pub(crate) struct HazardSlot {
    node: AtomicPtr<()>,
    cell: AtomicUsize,
    /// The count of reads of write-biased cells by this slot, for [`is_due`](Self::is_due).
    reads: AtomicU32,
    pub(super) listing: Listing,
    /// Models the process-wide barrier, for which loom has no operation: see `barrier.rs`.
    #[cfg(loom)]
    pub(super) passed: AtomicU32,
}

/// The order between the store of a hazard and the reader's next load, at which the reader checks that the node was not
/// replaced meanwhile.
#[derive(Clone, Copy)]
pub(crate) enum Fence {
    /// No fence. The writer calls [`barrier::heavy`] between its exchange and its scan.
    Light,
    /// Before a `SeqCst` load. The writer's exchange and scan are `SeqCst`, too.
    SeqCst,
    /// Before loads of any ordering. The writer passes a `SeqCst` fence between its stores and its scan.
    Full,
}

local! {
    /// This thread's slot. Without a destructor, so that a read need not test for a destroyed thread-local.
    static THREAD_SLOT: Cell<Option<&'static HazardSlot>> = Cell::new(None);

    /// The same slot, with a destructor that releases the slot at the end of the thread.
    static AT_EXIT: ThreadSlot = ThreadSlot(Cell::new(None));

    /// Whether this thread is in [`adopt`], which calls the allocator.
    static ADOPTING: Cell<bool> = Cell::new(false);

    /// The number of running clones of this thread that the thread's own slot does not show.
    static UNSHOWN: Cell<usize> = Cell::new(0);
}

/// A thread's slot.
struct ThreadSlot(Cell<Option<&'static HazardSlot>>);

/// A slot of one read.
pub(crate) struct SlotGuard {
    slot: &'static HazardSlot,
    /// `None` for the thread's own slot.
    unshown: Option<Unshown>,
}

/// Counts a running clone that the thread's own slot does not show, until the drop: see [`is_in_clone`].
pub(super) struct Unshown(());

/// This thread's slot, if the thread has a slot and no read uses the slot.
#[inline]
pub(crate) fn own_slot() -> Option<&'static HazardSlot> {
    // An emulated thread-local may be destroyed before the end of the thread.
    let slot = THREAD_SLOT.try_with(Cell::get).ok().flatten()?;
    // Relaxed: only this thread stores to the node.
    slot.node.load(Ordering::Relaxed).is_null().then_some(slot)
}

/// The thread's own slot, or a second slot while the own slot is in use. Without memory, ends the process.
pub(crate) fn any_slot() -> SlotGuard {
    own_slot().map_or_else(second_slot, |slot| SlotGuard { slot, unshown: None })
}

/// As [`any_slot`], with an error if there is no memory for a slot.
pub(crate) fn try_any_slot() -> Result<SlotGuard, OutOfMemory> {
    own_slot().map_or_else(try_second_slot, |slot| Ok(SlotGuard { slot, unshown: None }))
}

/// A slot for a thread without a slot, or with its own slot in use. Without memory, ends the process.
#[cold]
pub(crate) fn second_slot() -> SlotGuard {
    try_second_slot().unwrap_or_else(|_| handle_alloc_error(Layout::new::<HazardSlot>()))
}

/// As [`second_slot`], with an error if there is no memory for a slot.
#[cold]
fn try_second_slot() -> Result<SlotGuard, OutOfMemory> {
    let slot = scan_list::try_acquire()?;
    let is_own = adopt(slot);
    Ok(SlotGuard { slot, unshown: (!is_own).then(Unshown::begin) })
}

/// Makes `slot` the thread's own until the end of the thread, if the thread has none. Returns whether `slot` is the
/// thread's own.
fn adopt(slot: &'static HazardSlot) -> bool {
    // The registration of the destructor of `AT_EXIT` may allocate, and an allocator may read a field: then this inner
    // read takes a second slot.
    if ADOPTING.try_with(|adopting| adopting.replace(true)).unwrap_or(true) {
        return false;
    }
    // Fails at the end of the thread, from the destructor of `AT_EXIT` on.
    let is_own = AT_EXIT.try_with(|at_exit| at_exit.adopt(slot)).unwrap_or(false);
    let _ = ADOPTING.try_with(|adopting| adopting.set(false));
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
    let is_in_use = |slot: &HazardSlot| !slot.node.load(Ordering::Relaxed).is_null();
    // An emulated thread-local may be destroyed before the end of the thread.
    THREAD_SLOT.try_with(Cell::get).ok().flatten().is_some_and(is_in_use)
        || UNSHOWN.try_with(Cell::get).unwrap_or(0) > 0
}

impl HazardSlot {
    pub(super) fn new(listing: Listing) -> Self {
        Self {
            node: AtomicPtr::new(ptr::null_mut()),
            cell: AtomicUsize::new(0),
            reads: AtomicU32::new(0),
            listing,
            #[cfg(loom)]
            passed: AtomicU32::new(0),
        }
    }

    /// Protects `node` of `cell` until the clear, and orders the hazard by `order`.
    #[inline]
    pub(crate) fn protect(&self, order: Fence, cell: usize, node: *mut ()) {
        // Release: after the last clear, and the reader's use of the value before the clear. Pairs with the Acquire of
        // `protects`.
        self.cell.store(cell, Ordering::Release);
        match order {
            // `barrier::light` pairs with the writer's `barrier::heavy` (O5 of `cell/bias.rs`). The stores of
            // the node, here and below, pair with the loads of `protects`.
            Fence::Light => {
                self.node.store(node, Ordering::Release);
                barrier::light(self);
            }
            // SeqCst: before the reader's `SeqCst` load in the total order. Pairs with the `SeqCst` loads of the
            // writer's scan, which follow the writer's exchange (O5 of `cell/bias.rs`).
            Fence::SeqCst => {
                self.node.swap(node, Ordering::SeqCst);
                full_fence();
            }
            // The fence pairs with the writer's fence before the scan (J2 of `raw/update_table.rs`).
            Fence::Full => {
                self.node.store(node, Ordering::Release);
                fence(Ordering::SeqCst);
            }
        }
    }

    /// Clears the hazard, and orders the store before later `SeqCst` loads. The writer calls [`barrier::heavy`]
    /// between its stores and its scan if the barrier is available, and otherwise uses `SeqCst` for stores and scan.
    #[inline]
    pub(crate) fn clear(&self) {
        // Release, and SeqCst below: the reader's use of the value happens before a drop; pairs with the loads of
        // `protects`. The order before the reader's next loads pairs with `push` of `retired.rs` (E3).
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

    /// Whether the slot protects `node` of `cell`.
    #[inline]
    pub(super) fn protects(&self, cell: usize, node: *mut ()) -> bool {
        // SeqCst, and by that Acquire. Pairs with the Release of `protect`, so that the cell is seen, and with the
        // Release of `clear`, so that the reader's use of the value happens before the caller's drop.
        let has_node = || self.node.load(Ordering::SeqCst) == node;
        // Acquire: pairs with the Release of `protect`, so that the clear before is seen. See the header.
        has_node() && self.cell.load(Ordering::Acquire) == cell && has_node()
    }
}

impl ThreadSlot {
    /// Makes `slot` the thread's own, if the thread has none. Returns whether `slot` is the thread's own.
    fn adopt(&self, slot: &'static HazardSlot) -> bool {
        let is_first = self.0.get().is_none();
        if is_first {
            self.0.set(Some(slot));
            let _ = THREAD_SLOT.try_with(|own| own.set(Some(slot)));
        }
        is_first
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        let _ = THREAD_SLOT.try_with(|own| own.set(None));
        if let Some(slot) = self.0.take() {
            slot.listing.release();
        }
    }
}

impl Unshown {
    pub(super) fn begin() -> Self {
        let _ = UNSHOWN.try_with(|count| count.set(count.get() + 1));
        Self(())
    }
}

impl Drop for Unshown {
    fn drop(&mut self) {
        let _ = UNSHOWN.try_with(|count| count.set(count.get().saturating_sub(1)));
    }
}

impl SlotGuard {
    pub(crate) fn slot(&self) -> &'static HazardSlot {
        self.slot
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        if self.unshown.is_some() {
            self.slot.listing.release();
        }
    }
}
