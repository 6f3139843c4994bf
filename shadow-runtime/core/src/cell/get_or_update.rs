//! The cell of a `get_or_update` field: the last update wins, and reads clone the value under a hazard pointer.
//!
//! In: a value, or a closure that makes the next value from the last. Out: clones of the value, the old or the new
//! (R2). Neighbours: `readers/mod.rs`, hazards; `readers/node.rs`, the memory of a value; `readers/retired.rs`, the
//! drop of a value that was announced when a writer replaced it; `readers/barrier.rs`, the process-wide barrier.
//!
//! A value is in a node on the heap. The cell's word is a tagged pointer to the newest node. Reads must neither contend
//! for a cache line nor wait for a thread. But a read runs a user's `Clone`, of any duration, and the value must stay
//! until the end of the clone. So a reader announces the node, as a hazard, in a slot of its own. A writer that has
//! replaced a node scans the slots before the drop of the node.
//!
//! # Reader's path
//!
//! Load the word; announce the node; load the word again. If the word still has the node, the hazard keeps the node. If
//! not, announce the newer node, and so on. Clone. Withdraw the hazard; load the word again. If the node was replaced
//! in the meantime, its writer may have retired the node and left the drop to the last reader (`readers/retired.rs`).
//!
//! # Writer's path
//!
//! Exchange the word. The previous node then belongs to the writer, until the writer frees or retires the node. Scan
//! the slots. Without a hazard, return the previous value. With a hazard, spin and scan again, since most clones take
//! less time than the spin. If the hazard is still there, return a clone of the value, and retire the node
//! (`readers/retired.rs`). So no writer waits for a reader, however long the reader's clone takes.
//!
//! # Why a node is not freed under a reader
//!
//! Announcement and exchange are a store-load (Dekker) race: a reader stores its slot and then loads the word; a writer
//! stores the word and then loads the slots. Either the reader must see the exchange, and try again, or the writer must
//! see the hazard. A store-load fence on both sides ensures this, but costs a reader as much as the rest of the read.
//! So the word selects one of two ways:
//!
//! - A *hot* (write-biased) cell was updated recently. Readers and writers have their fences: the four accesses are
//!   `SeqCst`, and the order of `SeqCst` operations is total.
//! - A *cold* (read-biased) cell was read often since the last update. Readers have no fence. A writer that replaces a
//!   cold word issues a process-wide barrier after the exchange (`readers/barrier.rs`, about a microsecond). If a
//!   reader announces before the barrier, the writer sees the hazard. If a reader announces after the barrier, the
//!   reader's second load also comes after the barrier, and sees the exchange.
//!
//! The low bits of the word are the *heat*. An update sets the heat to [`HOTTEST`]. Every [`DUE`]-th read of a hot cell
//! by a slot subtracts one. The cell with heat 0 is cold. So the cost of a barrier is amortised over more than a
//! hundred reads of hot cells. Only an update makes a cell hot. On a system without the barrier, no cell becomes cold.
//!
//! A reader with the light announcement of a cold cell must find the word unchanged, *heat included*: if the same
//! address is back in a hot word, the writer that replaces this word omits the barrier and could miss the hazard. A
//! reader with the announcement of a hot cell may find less heat: the barrier of a cold cell's writer only adds order.
//!
//! # Orderings
//!
//! - **O3** Every exchange that puts a node into the word is a `Release`. An exchange that lowers the heat continues
//!   the release sequence. Every load of a pointer that is dereferenced is an `Acquire`. So the initialisation of a
//!   node happens before its use. If the cell is filled before the publication of the field set, the `Release` that
//!   publishes the field set also publishes the node.
//! - **O4** A withdrawal is a `Release`, and the load of a writer's scan is an `Acquire`. So a reader's use of the
//!   value happens before the drop of the value.
//! - **O5** Announcement and second load, and exchange and scan, are ordered as argued above. So every reader of a node
//!   is seen by the scan of the node's writer, or does not use the node. Withdrawal and last load of the word are
//!   ordered as argued in `readers/retired.rs`.
//!
//! *ABA*: a node that is found in the word after its announcement is not freed, so its address is not recycled. A node
//! that is announced too late may be freed, and its address may come back as a newer node: then the hazard protects the
//! newer node. The reader uses the pointer of the second load, never the pointer of the first load, which may have the
//! provenance of freed memory.

use std::mem;
use std::ptr::{self, NonNull};

use crate::cell::Cell;
use crate::host::SweepDeferred;
use crate::panics::Panics;
use crate::readers::node::Node;
use crate::readers::retired::Retired;
use crate::readers::{self, Slot, barrier};
use crate::registry::Field;
use crate::sync::{AtomicPtr, Ordering, const_fn, full_fence};
use crate::value::{Replaceable, Value};

/// One `get_or_update` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrUpdate<V> {
    /// Null, or a tagged pointer: a node, with the cell's heat in the low bits.
    word: AtomicPtr<Node<V>>,
    retired: Retired<V>,
}

/// The heat after an update, and the number of reads by a slot that lower the heat by one.
const HOTTEST: usize = if cfg!(loom) { 1 } else { 7 };
const DUE: u32 = if cfg!(loom) { 1 } else { 16 };

/// The bits of the word with the heat. A node is aligned to 8 bytes, so these bits of its address are 0.
const HEAT: usize = 7;

// SAFETY: by V1 (`cell/mod.rs`) only `fill`, `update` and `update_with` fill the cell. The three methods require
// `V: Value`, which is `Send`. An empty cell holds no value to send.
unsafe impl<V> Send for GetOrUpdate<V> {}
// SAFETY: by V1 a filled cell has a `V: Value`. Threads that share the cell put values in, clone values at the same
// time, and take values out. So `V` must be `Send + Sync`, and every `Value` is.
unsafe impl<V> Sync for GetOrUpdate<V> {}

/// The hazard of this thread for the node of `word`, which was loaded from `cell`. Withdrawn on drop.
struct Reading<'cell, V> {
    cell: &'cell GetOrUpdate<V>,
    slot: &'static Slot,
    word: NonNull<Node<V>>,
    /// Whether the slot announced an earlier node, which a writer may have retired for this reader to drop.
    has_moved_on: bool,
}

/// Calls `Retired::collect` for the list of `cell` on drop, also during unwinding.
struct Collecting<'cell, V> {
    cell: &'cell GetOrUpdate<V>,
}

#[inline]
fn node_of<V>(word: *mut Node<V>) -> *mut Node<V> {
    word.map_addr(|address| address & !HEAT)
}

#[inline]
fn heat_of<V>(word: *mut Node<V>) -> usize {
    word.addr() & HEAT
}

fn hottest<V>(node: NonNull<Node<V>>) -> *mut Node<V> {
    node.as_ptr().map_addr(|address| address | HOTTEST)
}

impl<V> GetOrUpdate<V> {
    const_fn! {
        /// An empty cell.
        const fn new() -> Self {
            Self { word: AtomicPtr::new(ptr::null_mut()), retired: Retired::new() }
        }
    }

    /// Initialises an empty cell.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: the caller guarantees that `cell` is valid for writes and aligned.
        unsafe { cell.write(Self::new()) };
    }

    /// The cell's identity in hazards.
    #[inline]
    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// A clone of the newest value.
    #[inline]
    pub(crate) fn get(&self) -> Option<V>
    where
        V: Replaceable,
    {
        match readers::own() {
            Some(slot) => self.get_by(slot),
            None => self.get_by_another(),
        }
    }

    /// A clone of the newest value of a ready cell, without the test for an empty cell.
    ///
    /// # Safety
    ///
    /// The cell is ready: attached as long as the cell is borrowed. This thread has attached the value, or an `Acquire`
    /// of this thread has synchronised with a `Release` after the attach.
    #[inline]
    pub(crate) unsafe fn ready(&self) -> V
    where
        V: Replaceable,
    {
        let value = self.get();
        // SAFETY: the caller guarantees that the cell is attached, so by coherence no load of the word finds null, and
        // `get` returns a value.
        unsafe { value.unwrap_unchecked() }
    }

    #[inline]
    fn get_by(&self, slot: &'static Slot) -> Option<V>
    where
        V: Replaceable,
    {
        // Dropped last, after the withdrawal: runs the sweeps that attaches inside of the clone have deferred.
        let _sweep_deferred = SweepDeferred;
        let reading = self.read(slot)?;
        let clone = reading.value().duplicate();
        // The drop may run destructors, which may panic. The clone is still a local variable then; a clone in the place
        // of the returned value would leak.
        drop(reading);
        Some(clone)
    }

    #[cold]
    fn get_by_another(&self) -> Option<V>
    where
        V: Replaceable,
    {
        let taken = readers::take();
        self.get_by(taken.slot())
    }

    /// Finds the newest node, and announces the node.
    #[inline]
    fn read(&self, slot: &'static Slot) -> Option<Reading<'_, V>> {
        // Relaxed: this pointer is announced and compared, and never dereferenced; `announce` loads the pointer for the
        // use. A caller that has acquired a filled cell does not load null here, by coherence.
        let word = self.word.load(Ordering::Relaxed);
        let word = NonNull::new(word)?;
        match self.announce(slot, word) {
            Ok(word) => Some(Reading { cell: self, slot, word, has_moved_on: false }),
            Err(newer) => self.read_on(slot, newer),
        }
    }

    /// Continues `read` after an announcement that came too late.
    #[cold]
    fn read_on(&self, slot: &'static Slot, mut word: *mut Node<V>) -> Option<Reading<'_, V>> {
        loop {
            let Some(late) = NonNull::new(word) else {
                // Unreachable: a shared cell does not become empty.
                slot.withdraw();
                return None;
            };
            match self.announce(slot, late) {
                Ok(word) => return Some(Reading { cell: self, slot, word, has_moved_on: true }),
                Err(newer) => word = newer,
            }
        }
    }

    /// Announces the node of `word`, and loads the word again. Returns the newer word: as an error if its node differs,
    /// or if a writer could miss the hazard. The two nodes may have the same address and still differ, if the memory
    /// was recycled; so the caller must not use `word` afterwards.
    #[inline]
    fn announce(&self, slot: &Slot, word: NonNull<Node<V>>) -> Result<NonNull<Node<V>>, *mut Node<V>> {
        let node = node_of(word.as_ptr());
        let is_hot = heat_of(word.as_ptr()) != 0;
        let again = if is_hot {
            slot.announce(self.address(), node.cast());
            // SeqCst: O5. Pairs with the exchange of a writer; by that an Acquire: O3.
            self.word.load(Ordering::SeqCst)
        } else {
            slot.announce_lightly(self.address(), node.cast());
            // Acquire: O3. Pairs with the exchange of a writer. `barrier::light` and the writer's `barrier::heavy`
            // order the announcement before this load: O5.
            self.word.load(Ordering::Acquire)
        };
        if node_of(again) != node || (!is_hot && heat_of(again) != 0) {
            return Err(again);
        }
        if is_hot && slot.is_due(DUE) {
            self.cool(again);
        }
        // SAFETY: the node of `again` has the address of the node of `word`, which is not null.
        Ok(unsafe { NonNull::new_unchecked(again) })
    }

    /// Lowers the cell's heat by one, if the word is still `word`. The node is announced.
    #[cold]
    fn cool(&self, word: *mut Node<V>) {
        if heat_of(word) != 0 && barrier::is_available() {
            let cooler = word.map_addr(|address| address - 1);
            // Relaxed: as a read-modify-write, this exchange continues the release sequence of the exchange that put
            // the node there, if there was one (O3). O5 needs `SeqCst` in the exchanges of nodes alone: a `SeqCst` load
            // of an older word precedes such an exchange in the total order, also if the load reads a word of `cool`.
            // On failure another thread has lowered the heat, or has updated.
            let _ = self.word.compare_exchange(word, cooler, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Fills an empty cell, which the caller alone owns. The caller counts the attach after the publication of the
    /// cell.
    pub(crate) fn fill(&mut self, value: V)
    where
        V: Value,
    {
        // Relaxed, here and below: `self` is `&mut`, so no thread races.
        self.word.store(hottest(Node::make(value)), Ordering::Relaxed);
    }

    /// Takes the value out, without a count.
    pub(crate) fn take_back(&mut self) -> Option<V> {
        let node = self.take()?;
        // SAFETY: the node comes from `Node::make`, and `take` has emptied the word. A reader would borrow the cell,
        // which is borrowed by `&mut`. So this thread alone has the node.
        Some(unsafe { Node::unmake(node) })
    }

    /// Replaces the value. Returns the previous value, or a clone while a reader has announced the node.
    pub(crate) fn update(&self, field: &'static Field, value: V) -> Option<V>
    where
        V: Value + Replaceable,
    {
        // SeqCst: O5. Pairs with the second load of a reader. By that a Release of the node and an Acquire of the
        // previous node: O3.
        let word = self.word.swap(hottest(Node::make(value)), Ordering::SeqCst);
        Self::replaced(field, word);
        // SAFETY: the swap took `word` out of the cell, so this thread has replaced the node, and hands the node over
        // once.
        NonNull::new(word).map(|word| unsafe { self.hand_over(word) })
    }

    /// Replaces the value by the result of `next`. Runs `next` again after an update by another thread in the meantime.
    pub(crate) fn update_with(&self, field: &'static Field, mut next: impl FnMut(Option<&V>) -> V) -> Option<V>
    where
        V: Value + Replaceable,
    {
        loop {
            let taken = readers::any();
            let last = self.read(taken.slot());
            let attempt = Node::make(next(last.as_ref().map(Reading::value)));
            let expected = last.as_ref().map_or(ptr::null_mut(), |last| last.word.as_ptr());
            if let Some(word) = self.exchange(expected, hottest(attempt)) {
                Self::replaced(field, word);
                let last = last?;
                let word = NonNull::new(word)?;
                let collecting = last.end();
                // SAFETY: the CAS took `word` out of the cell, so this thread has replaced the node, and hands the node
                // over once.
                let previous = unsafe { self.hand_over(word) };
                // The drop may panic, so the previous value is still a local variable, as in `get_by`.
                drop(collecting);
                return Some(previous);
            }
            // The destructor is user code. The drop of `last` withdraws the hazard afterwards, also during unwinding.
            // SAFETY: the CAS failed, so the node from `Node::make` was never published, and this thread alone has the
            // node.
            drop(unsafe { Node::unmake(attempt) });
        }
    }

    /// Puts `next` into the word if the word has the node of `expected`, with whatever heat. Returns the previous word.
    fn exchange(&self, mut expected: *mut Node<V>, next: *mut Node<V>) -> Option<*mut Node<V>> {
        loop {
            // SeqCst: O5. Pairs with the second load of a reader. By that a Release of the node: O3. Relaxed on
            // failure: the pointer is only compared.
            match self.word.compare_exchange(expected, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(word) => return Some(word),
                Err(found) if !found.is_null() && node_of(found) == node_of(expected) => expected = found,
                Err(_) => return None,
            }
        }
    }

    /// The value of a replaced word. If a reader has announced the node, returns a clone, and retires the node.
    ///
    /// # Safety
    ///
    /// This thread has replaced the node of `word`, and hands the node over once.
    unsafe fn hand_over(&self, word: NonNull<Node<V>>) -> V
    where
        V: Replaceable,
    {
        // O5: readers of a cold cell have no fence, so the writer issues the process-wide barrier. `SeqCst` suffices
        // for a hot cell.
        let is_seen = heat_of(word.as_ptr()) != 0 || barrier::heavy();
        full_fence();
        // SAFETY: `word` is not null, so `word` without the heat is a pointer to a node.
        let node = unsafe { NonNull::new_unchecked(node_of(word.as_ptr())) };
        // SAFETY: the caller guarantees that this thread has replaced the node and may retire the node. By O5 the scan
        // sees the readers of a hot cell, and of a cold cell after a barrier that has not failed: `is_seen`.
        match unsafe { self.retired.reclaim(self.address(), node, is_seen, |_| true) } {
            // SAFETY: the node comes from `Node::make`, and by the result of `reclaim` this thread alone has the node.
            Ok(node) => unsafe { Node::unmake(node) },
            Err(retiring) => retiring.leave(V::duplicate),
        }
    }

    /// Counts an update. Must precede the handover of the previous value, which runs user code that may panic.
    fn replaced(field: &'static Field, previous: *mut Node<V>) {
        if previous.is_null() { field.attached() } else { field.counts().updated() }
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        let mut node = NonNull::new(node_of(self.word.load(Ordering::Relaxed)))?;
        // SAFETY: the word without its heat is a live node. A reader would borrow the cell, which is borrowed by
        // `&mut`.
        Some(unsafe { node.as_mut() }.value_mut())
    }

    pub(crate) fn detach(&mut self, field: &'static Field) -> Option<V> {
        let value = self.take_back()?;
        field.counts().detached();
        Some(value)
    }

    /// Takes the node out of the word.
    fn take(&mut self) -> Option<NonNull<Node<V>>> {
        let node = NonNull::new(node_of(self.word.load(Ordering::Relaxed)))?;
        self.word.store(ptr::null_mut(), Ordering::Relaxed);
        Some(node)
    }
}

impl<'cell, V> Reading<'cell, V> {
    #[inline]
    fn value(&self) -> &V {
        // SAFETY: the word without its heat is a node. By O5 no writer frees the node: `announce` found the node in the
        // word after the announcement, and the hazard is withdrawn after this borrow.
        unsafe { &*node_of(self.word.as_ptr()) }.value()
    }

    /// Withdraws the hazard for a caller that has replaced the node, so that no load of the word is needed. If the slot
    /// announced an earlier node, the drop of the result collects the list.
    fn end(self) -> Option<Collecting<'cell, V>> {
        self.slot.withdraw();
        let collecting = self.has_moved_on.then(|| Collecting { cell: self.cell });
        mem::forget(self);
        collecting
    }
}

impl<V> Drop for Collecting<'_, V> {
    fn drop(&mut self) {
        self.cell.retired.collect(self.cell.address(), |_| true);
    }
}

impl<V> Drop for Reading<'_, V> {
    #[inline]
    fn drop(&mut self) {
        self.slot.withdraw();
        // SeqCst: pairs with the exchange of a writer, and comes after the withdrawal (O5; E3 of `readers/retired.rs`).
        let now = self.cell.word.load(Ordering::SeqCst);
        if self.has_moved_on || node_of(now) != node_of(self.word.as_ptr()) {
            self.cell.retired.collect(self.cell.address(), |_| true);
        }
    }
}

impl<V> Cell for GetOrUpdate<V> {
    fn is_attached(&self) -> bool {
        // Relaxed: no access to memory depends on the answer.
        !self.word.load(Ordering::Relaxed).is_null()
    }

    fn end(&mut self, field: &'static Field, panics: &mut Panics) {
        if let Some(node) = self.take() {
            field.counts().detached();
            // SAFETY: the node comes from `Node::make`, and `take` has emptied the word. A reader would borrow the
            // cell, which is borrowed by `&mut`. So this thread alone has the node.
            panics.contain(field, || unsafe { Node::end(node) });
        }
        self.retired.end(field, panics);
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android"), not(any(loom, miri))))]
mod tests {
    use std::panic::{AssertUnwindSafe, Location, catch_unwind};
    use std::sync::Arc;

    use super::*;
    use crate::policy::Policy;
    use crate::sync::AtomicUsize;

    fn heat(cell: &GetOrUpdate<String>) -> usize {
        heat_of(cell.word.load(Ordering::Relaxed))
    }

    #[test]
    fn reads_cool_a_cell_and_an_update_heats_it() {
        let place = Location::caller();
        let field: &'static Field =
            Box::leak(Box::new(Field::declared_at(place, "Host", "field", "String", Policy::GetOrUpdate)));
        let there_is_a_fence = barrier::is_available();
        let mut cell = GetOrUpdate::new();
        let mut previous = None;
        for round in 0..3 {
            let value = round.to_string();
            assert_eq!(cell.update(field, value.clone()), previous);
            assert_eq!(heat(&cell), HOTTEST);
            for cooler in 1..=HOTTEST + 2 {
                for _ in 0..DUE {
                    assert_eq!(cell.get().as_ref(), Some(&value));
                }
                let expected = if there_is_a_fence { HOTTEST.saturating_sub(cooler) } else { HOTTEST };
                assert_eq!(heat(&cell), expected);
            }
            previous = Some(value);
        }
        let next = |last: Option<&String>| format!("{}!", last.expect("there is one"));
        assert_eq!(cell.update_with(field, next), previous);
        assert_eq!(heat(&cell), HOTTEST);
        assert!(cell.retired.is_empty(), "nobody else reads");
        assert_eq!(cell.detach(field).as_deref(), Some("2!"));
    }

    /// Reads by the thread's own slot, by a second slot inside of such a read, and of a value that is replaced during
    /// the clone.
    #[test]
    fn a_thread_is_in_a_clone_while_it_runs_one_and_at_no_other_time() {
        /// The clone of this value asserts that the thread is in a clone, and then runs a function.
        struct Asking(Option<fn(&Asked)>, Arc<Asked>);
        struct Asked {
            cells: [GetOrUpdate<Asking>; 2],
            clones: AtomicUsize,
        }
        impl Clone for Asking {
            fn clone(&self) -> Self {
                assert!(readers::is_in_clone());
                self.1.clones.fetch_add(1, Ordering::Relaxed);
                if let Some(act) = self.0 {
                    act(&self.1);
                    assert!(readers::is_in_clone());
                }
                Self(None, Arc::clone(&self.1))
            }
        }
        impl Drop for Asking {
            fn drop(&mut self) {
                assert!(!readers::is_in_clone());
            }
        }
        static FIELD: Field = Field::new("Host", "field", "Asking", Policy::GetOrUpdate);
        let asked = Arc::new(Asked { cells: [GetOrUpdate::new(), GetOrUpdate::new()], clones: AtomicUsize::new(0) });
        let [first, second] = &asked.cells;
        let value = |act| Asking(act, Arc::clone(&asked));
        assert!(first.update(&FIELD, value(Some(|asked| mem::forget(asked.cells[1].get())))).is_none());
        assert!(second.update(&FIELD, value(None)).is_none());
        for round in 1..=3 {
            mem::forget(first.get());
            assert_eq!(asked.clones.load(Ordering::Relaxed), 2 * round);
            assert!(!readers::is_in_clone());
        }
        // The clone replaces the value that is being cloned. So the writer also makes a clone.
        let replace: fn(&Asked) = |asked| {
            let newest = Asking(None, Arc::clone(&asked.cells[1].get().expect("there is one").1));
            mem::forget(asked.cells[0].update(&FIELD, newest));
        };
        assert!(first.update(&FIELD, value(Some(replace))).is_some());
        assert!(!readers::is_in_clone());
        let panics: fn(&Asked) = |_| panic!("no clone");
        assert!(second.update(&FIELD, value(Some(panics))).is_some());
        assert!(catch_unwind(AssertUnwindSafe(|| second.get())).is_err());
        assert!(!readers::is_in_clone());
    }

    /// A read announces a value, finds the value replaced, and goes on to the next value: the state after these steps.
    #[test]
    fn an_update_that_had_moved_on_collects_what_was_left_to_it() {
        let place = Location::caller();
        let field: &'static Field =
            Box::leak(Box::new(Field::declared_at(place, "Host", "field", "Arc<i32>", Policy::GetOrUpdate)));
        let [first, second] = [1, 2].map(Arc::new);
        let mut cell = GetOrUpdate::new();
        assert_eq!(cell.update(field, Arc::clone(&first)), None);
        let taken = readers::take();
        taken.slot().announce(cell.address(), node_of(cell.word.load(Ordering::Relaxed)).cast());
        let previous = cell.update(field, Arc::clone(&second));
        assert_eq!(Arc::strong_count(&first), 3, "the one that was replaced stays, and what is returned is a clone");
        drop(previous);

        let reading = cell.read_on(taken.slot(), cell.word.load(Ordering::Relaxed)).expect("there is a value");
        assert_eq!(**reading.value(), 2);
        let collecting = reading.end();
        assert_eq!(Arc::strong_count(&first), 2, "nobody has looked yet");
        drop(collecting);
        assert_eq!(Arc::strong_count(&first), 1);
        assert!(cell.retired.is_empty());
        assert_eq!(cell.detach(field), Some(second));
    }

    /// A reader has withdrawn, and is about to load the list. Then an update runs that has announced no earlier node.
    #[test]
    fn an_update_leaves_the_list_to_those_who_are_waited_for_and_gets_no_panics_of_what_is_there() {
        /// Panics on drop if the flag is set. The flag of a clone is not set.
        struct Bomb(bool, Arc<()>);
        impl Clone for Bomb {
            fn clone(&self) -> Self {
                Self(false, Arc::clone(&self.1))
            }
        }
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(!self.0, "boom");
            }
        }
        let place = Location::caller();
        let field: &'static Field =
            Box::leak(Box::new(Field::declared_at(place, "Host", "field", "Bomb", Policy::GetOrUpdate)));
        let [first, second, third] = [(); 3].map(Arc::new);
        let mut cell = GetOrUpdate::new();
        assert!(cell.update(field, Bomb(true, Arc::clone(&first))).is_none());
        let taken = readers::take();
        taken.slot().announce(cell.address(), node_of(cell.word.load(Ordering::Relaxed)).cast());
        drop(cell.update(field, Bomb(false, Arc::clone(&second))));
        taken.slot().withdraw();

        let previous = cell.update_with(field, |_| Bomb(false, Arc::clone(&third)));
        assert!(previous.is_some_and(|previous| Arc::ptr_eq(&previous.1, &second)));
        assert_eq!(Arc::strong_count(&second), 1, "nothing of it is left behind");
        assert_eq!(Arc::strong_count(&first), 2, "it is there for the reader");
        let look = AssertUnwindSafe(|| cell.retired.collect(cell.address(), |_| true));
        assert!(catch_unwind(look).is_err());
        assert!(cell.retired.is_empty());
        assert!(cell.detach(field).is_some_and(|last| Arc::ptr_eq(&last.1, &third)));
    }
}
