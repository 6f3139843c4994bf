//! The cell of a `get_or_update` field: replaced by whoever updates last, while others clone what they have found.
//!
//! In: a value, or a closure that makes the next from the last. Out: clones of the value, the old or the new (R2).
//! Neighbours: `readers/`, the announcements of readers; `readers/node.rs`, the memory of a value;
//! `readers/retired.rs`, who drops one that is still being cloned.
//!
//! A value is in a node on the heap, and the cell's word points to the newest. A read must not write to memory that
//! other readers write to, nor wait; but it runs `Clone`, which may take its time, and the value must stay until it is
//! done. So a reader announces the node in a slot of its own, which is a hazard pointer, and a writer that has replaced
//! a node looks at all slots before it drops it.
//!
//! # Reader's path
//!
//! Load the word; announce its node; load the word again. If it still points there, the node stays as long as it is
//! announced. If not, announce what it points to now, and so on. Clone. Withdraw the announcement; load the word again:
//! if it points elsewhere, the node was replaced meanwhile, and who did that has perhaps left it to the last reader:
//! see `readers/retired.rs`.
//!
//! # Writer's path
//!
//! Exchange the word. The node that was there is now the writer's, to be dropped by it or by its last reader. Look at
//! all slots. If nobody has announced the node, its value is the previous one, and is returned. Otherwise wait a moment
//! and look again, since a clone mostly takes no longer than that; and if that does not help, return a clone of the
//! value, and retire the node (`readers/retired.rs`). So no writer waits for a reader, either, however long that takes
//! to clone.
//!
//! # Why a node is not freed under a reader
//!
//! A reader stores its slot, and then loads the word; a writer stores the word, and then loads the slots. One of them
//! has to see the other: the reader the exchange, so that it tries again, or the writer the announcement. That takes a
//! fence on both sides, which costs a reader as much as all the rest. So there are two ways, and the word says which:
//!
//! - A *hot* cell was updated not long ago. Its readers and writers have their fences: all four accesses are `SeqCst`,
//!   and for these there is one order that everybody agrees upon.
//! - A *cold* cell was read often since its last update. Its readers have none, and a writer that finds the cell cold
//!   has every thread pass a fence after the exchange (`readers/barrier.rs`), about a microsecond. A reader whose
//!   announcement comes before that fence is seen by the writer; one whose announcement comes after has its second load
//!   after it, too, and sees the exchange.
//!
//! The low bits of the word are the cell's *heat*: an update sets it to [`HOTTEST`], each of every [`DUE`] reads of a
//! thread takes one off, and at 0 the cell is cold. So a fence for all is paid for by more than a hundred reads without
//! one. A cell becomes hot by an update alone. Where the system has no such fence, no cell becomes cold.
//!
//! A reader that has announced as for a cold cell must find the word as it was, heat included: the same node, come back
//! hot, would have a writer that does not look for it. One that has announced as for a hot cell may find it colder: who
//! replaces it then sees more, not less.
//!
//! # Orderings
//!
//! - **O3** Every exchange of the word that puts a node there is a `Release`, and those that cool it continue it; every
//!   load of what is used is an `Acquire`: who sees a node sees it as it was made. What a cell is filled with before
//!   others see it is seen by who sees the field set, which is published by a `Release`.
//! - **O4** A withdrawal is a `Release`, and the writer's look at it an `Acquire`: what the reader did with the value
//!   comes before its drop.
//! - **O5** The order between announcement and second look, and between exchange and look at the slots, as above; and
//!   the same between withdrawal and last look at the word, for which `readers/retired.rs` has another way.
//!
//! There is no ABA: a node that is announced, and was in the word after that, is not freed, so its address is not used
//! again. One that was announced too late may come back, and is then as good as any; but it is used by the pointer that
//! was loaded after the announcement, since the one before it was perhaps to memory that was freed meanwhile.

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

/// Holds one `get_or_update` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrUpdate<V> {
    /// Null, or a node, with the cell's heat in the low bits.
    word: AtomicPtr<Node<V>>,
    retired: Retired<V>,
}

/// The heat after an update, and how many reads of one thread take one off.
const HOTTEST: usize = if cfg!(loom) { 1 } else { 7 };
const DUE: u32 = if cfg!(loom) { 1 } else { 16 };

/// The bits of a word that are its heat: a node is aligned to more.
const HEAT: usize = 7;

// SAFETY: by V1 (`cell/mod.rs`): only `fill`, `update` and `update_with` fill the cell, and they ask
// for `V: Value`, which is `Send`; an empty one holds nothing to send.
unsafe impl<V> Send for GetOrUpdate<V> {}
// SAFETY: as above. Who shares the cell puts values in, clones them while others do, and takes them out again; that
// asks for `Send + Sync`, which every `Value` is.
unsafe impl<V> Sync for GetOrUpdate<V> {}

/// A node that this thread has announced, so that it stays; of a word that was read from `cell`.
struct Reading<'cell, V> {
    cell: &'cell GetOrUpdate<V>,
    slot: &'static Slot,
    word: NonNull<Node<V>>,
    /// Whether another node was announced before, for which somebody may have waited.
    has_moved_on: bool,
}

/// Looks into the list of `cell` when it is dropped, also by a panic.
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
        /// Holds nothing yet.
        const fn new() -> Self {
            Self { word: AtomicPtr::new(ptr::null_mut()), retired: Retired::new() }
        }
    }

    /// Makes a cell that holds nothing yet.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: the caller says so.
        unsafe { cell.write(Self::new()) };
    }

    /// What announcements call it.
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

    /// The same, for who knows that the cell is ready: attached.
    ///
    /// # Safety
    ///
    /// It is, and stays so while the cell is borrowed.
    #[inline]
    pub(crate) unsafe fn ready(&self) -> V
    where
        V: Replaceable,
    {
        let value = self.get();
        // SAFETY: the caller says so.
        unsafe { value.unwrap_unchecked() }
    }

    #[inline]
    fn get_by(&self, slot: &'static Slot) -> Option<V>
    where
        V: Replaceable,
    {
        // Dropped last: attaches in the clone have deferred their sweeps.
        let _sweep_deferred = SweepDeferred;
        let reading = self.read(slot)?;
        let clone = reading.value().duplicate();
        // While the clone is a local: what is returned already would leak if a destructor panics.
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

    /// Finds the newest node, and announces it.
    #[inline]
    fn read(&self, slot: &'static Slot) -> Option<Reading<'_, V>> {
        // Relaxed: it is announced, and compared; what is used is loaded after that. Who knows that there is a node
        // does not find null for all that.
        let word = self.word.load(Ordering::Relaxed);
        let word = NonNull::new(word)?;
        match self.announce(slot, word) {
            Ok(word) => Some(Reading { cell: self, slot, word, has_moved_on: false }),
            Err(newer) => self.read_on(slot, newer),
        }
    }

    /// The same, after an announcement that came too late.
    #[cold]
    fn read_on(&self, slot: &'static Slot, mut word: *mut Node<V>) -> Option<Reading<'_, V>> {
        loop {
            let Some(late) = NonNull::new(word) else {
                // A shared cell does not become empty, so this is not reached.
                slot.withdraw();
                return None;
            };
            match self.announce(slot, late) {
                Ok(word) => return Some(Reading { cell: self, slot, word, has_moved_on: true }),
                Err(newer) => word = newer,
            }
        }
    }

    /// Announces the node of a word. Returns the word that is there after that, as an error if its node is another. If
    /// it is the same by its address, it may still be another that was made in the memory of the first, so the first
    /// word must not be used any more.
    #[inline]
    fn announce(&self, slot: &Slot, word: NonNull<Node<V>>) -> Result<NonNull<Node<V>>, *mut Node<V>> {
        let node = node_of(word.as_ptr());
        let is_hot = heat_of(word.as_ptr()) != 0;
        let again = if is_hot {
            slot.announce(self.address(), node.cast());
            // SeqCst: O5.
            self.word.load(Ordering::SeqCst)
        } else {
            slot.announce_lightly(self.address(), node.cast());
            // Acquire: O3. It comes after the announcement: O5.
            self.word.load(Ordering::Acquire)
        };
        if node_of(again) != node || (!is_hot && heat_of(again) != 0) {
            return Err(again);
        }
        if is_hot && slot.is_due(DUE) {
            self.cool(again);
        }
        // SAFETY: it has the node of a word that is not null.
        Ok(unsafe { NonNull::new_unchecked(again) })
    }

    /// Takes one off the cell's heat, if it is still that of `word`, whose node is announced.
    #[cold]
    fn cool(&self, word: *mut Node<V>) {
        if heat_of(word) != 0 && barrier::is_available() {
            let cooler = word.map_addr(|address| address - 1);
            // Relaxed: an exchange, so that it continues the Release of the one that has put the node there, if there
            // was one (O3). For O5 only those count: a SeqCst load that does not find one of them comes before it in
            // the one order, whatever it finds. On failure others see to it.
            let _ = self.word.compare_exchange(word, cooler, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Attaches `value` to a cell that nobody else has, and that is empty. It is counted when the cell is put
    /// somewhere.
    pub(crate) fn fill(&mut self, value: V)
    where
        V: Value,
    {
        // Relaxed, here and below: nobody races, since `self` is `&mut`.
        self.word.store(hottest(Node::make(value)), Ordering::Relaxed);
    }

    /// Takes the value out, without counting.
    pub(crate) fn take_back(&mut self) -> Option<V> {
        let node = self.take()?;
        // SAFETY: it is in the word no more, and a reader would borrow the cell.
        Some(unsafe { Node::unmake(node) })
    }

    /// Replaces the value and returns the previous one, or a clone of it if somebody is still cloning it.
    pub(crate) fn update(&self, field: &'static Field, value: V) -> Option<V>
    where
        V: Value + Replaceable,
    {
        // SeqCst: O3, O5.
        let word = self.word.swap(hottest(Node::make(value)), Ordering::SeqCst);
        Self::replaced(field, word);
        // SAFETY: it was in the word, and no more.
        NonNull::new(word).map(|word| unsafe { self.hand_over(word) })
    }

    /// Replaces the value by what `next` makes of it; `next` runs again if another update came between.
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
                // SAFETY: it was in the word, and no more.
                let previous = unsafe { self.hand_over(word) };
                // While the value is a local, as in `get_by`.
                drop(collecting);
                return Some(previous);
            }
            // Code of the user: what is announced is withdrawn after it, also if it panics. SAFETY: it was put nowhere.
            drop(unsafe { Node::unmake(attempt) });
        }
    }

    /// Puts `next` there if the node is still that of `expected`, however cool it may be now. Returns the word that was
    /// there.
    fn exchange(&self, mut expected: *mut Node<V>, next: *mut Node<V>) -> Option<*mut Node<V>> {
        loop {
            // SeqCst: O3, O5. Relaxed on failure: the pointer is only compared.
            match self.word.compare_exchange(expected, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(word) => return Some(word),
                Err(found) if !found.is_null() && node_of(found) == node_of(expected) => expected = found,
                Err(_) => return None,
            }
        }
    }

    /// The value of a word that was replaced, or a clone of it, if somebody has announced it; then it is retired.
    ///
    /// # Safety
    ///
    /// This thread has replaced it, and hands it over once.
    unsafe fn hand_over(&self, word: NonNull<Node<V>>) -> V
    where
        V: Replaceable,
    {
        // O5: a cold cell's readers have no fence of their own.
        let is_seen = heat_of(word.as_ptr()) != 0 || barrier::heavy();
        full_fence();
        // SAFETY: a word without its heat is a node, and not null.
        let node = unsafe { NonNull::new_unchecked(node_of(word.as_ptr())) };
        // SAFETY: the caller says that it was replaced, and is this thread's to retire.
        match unsafe { self.retired.reclaim(self.address(), node, is_seen, |_| true) } {
            // SAFETY: it is this thread's alone.
            Ok(node) => unsafe { Node::unmake(node) },
            Err(retiring) => retiring.leave(V::duplicate),
        }
    }

    /// Counts an update, before the previous value is handed out by code of the user, which may panic.
    fn replaced(field: &'static Field, previous: *mut Node<V>) {
        if previous.is_null() { field.attached() } else { field.counts().updated() }
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        let mut node = NonNull::new(node_of(self.word.load(Ordering::Relaxed)))?;
        // SAFETY: it is a node, and a reader would borrow the cell.
        Some(unsafe { node.as_mut() }.value_mut())
    }

    pub(crate) fn detach(&mut self, field: &'static Field) -> Option<V> {
        let value = self.take_back()?;
        field.counts().detached();
        Some(value)
    }

    /// Takes the node out.
    fn take(&mut self) -> Option<NonNull<Node<V>>> {
        let node = NonNull::new(node_of(self.word.load(Ordering::Relaxed)))?;
        self.word.store(ptr::null_mut(), Ordering::Relaxed);
        Some(node)
    }
}

impl<'cell, V> Reading<'cell, V> {
    #[inline]
    fn value(&self) -> &V {
        // SAFETY: a word without its heat is a node; it was announced, and found in the word after that, so it stays.
        unsafe { &*node_of(self.word.as_ptr()) }.value()
    }

    /// Ends it, for who has replaced the node. If another was announced before, what is returned looks into the list.
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
        // SeqCst: O5.
        let now = self.cell.word.load(Ordering::SeqCst);
        if self.has_moved_on || node_of(now) != node_of(self.word.as_ptr()) {
            self.cell.retired.collect(self.cell.address(), |_| true);
        }
    }
}

impl<V> Cell for GetOrUpdate<V> {
    fn is_attached(&self) -> bool {
        // Relaxed: nothing is concluded from it.
        !self.word.load(Ordering::Relaxed).is_null()
    }

    fn end(&mut self, field: &'static Field, panics: &mut Panics) {
        if let Some(node) = self.take() {
            field.counts().detached();
            // SAFETY: it is in the word no more, and a reader would borrow the cell.
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

    /// Reads by the thread's own slot, by another inside of that, and of a value that is replaced meanwhile.
    #[test]
    fn a_thread_is_in_a_clone_while_it_runs_one_and_at_no_other_time() {
        /// Its clones say whether the thread is in one, and may do something.
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
        // The clone replaces the value that it is a clone of, so a writer makes one, too.
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

    /// A read that announces a value, finds it replaced, and goes on to the next, as it is after that.
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

    /// A reader has withdrawn, and is about to look into the list, when somebody updates who has announced nothing
    /// before.
    #[test]
    fn an_update_leaves_the_list_to_those_who_are_waited_for_and_gets_no_panics_of_what_is_there() {
        /// Panics when it is dropped, if it is to; its clones do not.
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
