//! A seqlock with two copies of the value: readers take no lock and never wait, even if a writer stops midway.
//!
//! In: values that are `Copy`. Out: copies of the newest value, never torn. Neighbours: `sequence/words.rs`, the memory
//! that readers load while a writer stores; `locked.rs`, the replacement of this file on targets without such memory.
//!
//! # Location of the value
//!
//! Writers serialise on one of 64 global mutexes, the *writer lock* of the latch, selected by the latch's address.
//! Writers count the updates in `sequence`, and the number encodes the location of the newest value:
//!
//! | `sequence` | location of the value |
//! |---|---|
//! | [`EMPTY`], 0 | no value |
//! | [`BORROWED`], 1 | in `borrowed`, as a plain value, since the last mutable borrow |
//! | n, from [`FIRST`], 2, on | in the words of `home`, if n is even, or of `spare`; a value of one word always in `home` |
//!
//! A value of more than one word is in a *latch* (`seqcount_latch_t` of the Linux kernel, in its
//! `Documentation/locking/seqlock.rst`). A writer first stores the new value to `spare` and publishes the odd number,
//! which directs readers to `spare`. Then the writer stores the value to `home`, and publishes the even number. So
//! between updates the value is in `home`, the copy that a reader loads fastest. A reader copies the words and loads
//! the number again. If the number is unchanged, the copy is whole; otherwise the reader retries. A reader retries only
//! if a writer has made progress. A value of one word needs no such validation: one atomic store writes the value.
//!
//! # Invariants
//!
//! - **Q1** While `sequence` is `EMPTY`, only the holder of the writer lock accesses the rest of the latch. Before the
//!   Release store of `FIRST`, that writer clears the words of `home`, and stores a valid value there. The words of
//!   `spare` are cleared before any number names `spare`.
//! - **Q2** `borrowed` is written only through `&mut`, before `sequence` becomes `BORROWED`, also through `&mut`. So a
//!   thread that has acquired `BORROWED` may read `borrowed` by a plain read. `get_mut` returns a reference to
//!   `borrowed`, and not to the words: a write through `&mut V` may leave padding uninitialised, an uninitialised byte
//!   must not be loaded as part of a word, and no code runs when the borrow ends. Words stay initialised once they are
//!   cleared.
//! - **Q3** While the latch is shared, all accesses to words are atomic, except for the clearing of `home` under Q1.
//!   For n from `FIRST` on, the copy that n names has the words of one valid value, from before the Release store of n
//!   until a writer has stored n + 1; for a value of one word, until the latch is borrowed mutably. While no thread
//!   holds the writer lock, the number of a value of more than one word is even, or `BORROWED`.
//! - **Q4** A filled latch does not move: a move may lose padding, and `Words` may have padding at its end. A latch is
//!   part of a cell in a field set, and a field set does not move while any field is attached (R8).
//!
//! # Orderings
//!
//! The orderings are those of H.-J. Boehm, *Can seqlocks get along with programming language memory models?* (MSPC
//! 2012). Each ordering, weakened, fails a model in `tests/loom_latch.rs`.
//!
//! - **Q5** The number is stored by Release, and first loaded by Acquire. So a reader that sees n also sees every
//!   earlier write of n's writer: the value of n, and what the writer did before the update.
//! - **Q6** A reader of n must not accept words of a later number. Since n + 1 is in the other copy, such words are of
//!   n + 2 or later. Their writer has stored n + 1, or has found n + 1 under the writer lock; then the writer passes a
//!   Release fence, and stores the words by Relaxed. The reader loads the words by Relaxed, passes an Acquire fence,
//!   and loads the number again. If any word is of n + 2, the Release fence synchronizes with the Acquire fence, so the
//!   second load of the number returns at least n + 1, and the reader retries. Without the writer's fence, the words
//!   could become visible before n + 1: a Release store orders earlier accesses, but not later ones.
//! - **Q7** The word of a value of one word is stored by Release and loaded by Acquire, since the word may be newer
//!   than the number that the reader has loaded.
//! - Under the writer lock, or through `&mut`, Relaxed loads suffice: the mutex, or the origin of the `&mut`, orders
//!   them.
//!
//! The number has 64 bits and does not wrap around. While the latch is shared, the number only grows. So neither
//! readers nor `replace_version` are subject to ABA.

mod words;

use std::mem::MaybeUninit;
use std::ptr;

use crate::sync::{AtomicPtr, AtomicU64, Locked, Mutex, Ordering, UnsafeCell, array_of, fence, lock, shared};
use crate::value::Copied;
use words::Words;

const EMPTY: u64 = 0;
const BORROWED: u64 = 1;
const FIRST: u64 = 2;

/// A value with the number of its updates.
///
/// The latch contains only what a reader needs between updates: a host's field set is as small as with a write-once
/// value. `home` is first, so in the first cell of a field set the value is next to the type tag of the node.
#[repr(C)]
pub(crate) struct Latch<V> {
    home: Words<V>,
    sequence: AtomicU64,
    /// Side buffer; null until first needed.
    rest: AtomicPtr<Rest<V>>,
}

/// Side buffer: the value during an update, or since a mutable borrow.
struct Rest<V> {
    spare: Words<V>,
    borrowed: UnsafeCell<MaybeUninit<V>>,
}

/// Number of writer locks, shared by all latches. The address of a latch selects the latch's lock. A model checker
/// repeats runs, and needs runs that do not depend on addresses, so under loom all latches share one lock.
const TURNS: usize = if cfg!(loom) { 1 } else { 64 };

/// A writer lock in a cache line of its own, against false sharing.
#[repr(align(64))]
struct Turn(Mutex<()>);

shared! {
    static ALL_TURNS: [Turn; TURNS] = array_of!(TURNS, Turn(Mutex::new(())));
}

impl<V> Latch<V> {
    const ONE_WORD: bool = Words::<V>::COUNT <= 1;

    /// Initialises an empty latch. The words of `home` stay untouched (Q1).
    ///
    /// # Safety
    ///
    /// `latch` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub(crate) unsafe fn init(latch: *mut Self) {
        // SAFETY: `latch` is valid for writes of a `Self`, of which `home` is a part.
        let home = unsafe { &raw mut (*latch).home };
        // SAFETY: `home`, a part of `*latch`, is valid for writes and aligned.
        unsafe { Words::init(home) };
        // SAFETY: `latch` is valid for writes of a `Self`, of which `sequence` is a part.
        let sequence = unsafe { &raw mut (*latch).sequence };
        // SAFETY: `sequence`, a part of `*latch`, is valid for writes and aligned.
        unsafe { sequence.write(AtomicU64::new(EMPTY)) };
        // SAFETY: `latch` is valid for writes of a `Self`, of which `rest` is a part.
        let rest = unsafe { &raw mut (*latch).rest };
        // SAFETY: `rest`, a part of `*latch`, is valid for writes and aligned.
        unsafe { rest.write(AtomicPtr::new(ptr::null_mut())) };
    }

    /// Returns the newest value with its version, for [`replace_version`](Self::replace_version). Takes no lock.
    ///
    /// A value of one word may be newer than the returned version. Then the writer of the value still holds the writer
    /// lock, and the version is out of date as soon as that writer releases the lock.
    #[inline]
    pub(crate) fn read(&self) -> (u64, Option<V>)
    where
        V: Copied,
    {
        // Acquire: pairs with the Release store in `step` (Q5).
        match self.sequence.load(Ordering::Acquire) {
            EMPTY => (EMPTY, None),
            // SAFETY: the Acquire load has returned `BORROWED`.
            BORROWED => (BORROWED, Some(unsafe { self.borrowed() })),
            sequence => {
                // SAFETY: the Acquire load has returned `sequence`, which is neither `EMPTY` nor `BORROWED`, so at
                // least `FIRST`.
                let (sequence, value) = unsafe { self.read_words(sequence) };
                (sequence, Some(value))
            }
        }
    }

    /// Returns the newest value, when the caller knows that the value is in words. Takes no lock.
    ///
    /// # Safety
    ///
    /// The value was replaced since the latch was last empty or borrowed mutably. This thread has learnt of the
    /// replacement by an Acquire load of a Release store after it.
    #[inline]
    pub(crate) unsafe fn read_ready(&self) -> V
    where
        V: Copied,
    {
        // Acquire: pairs with the Release store in `step` (Q5). A value of one word does not depend on the number.
        let sequence = if Self::ONE_WORD { FIRST } else { self.sequence.load(Ordering::Acquire) };
        // SAFETY: the caller has acquired a replacement, so the number is at least `FIRST`, and does not fall while the
        // latch is shared.
        unsafe { self.read_words(sequence) }.1
    }

    /// Returns the newest value and its number; for a value of one word, the given number.
    ///
    /// # Safety
    ///
    /// `sequence` is at least `FIRST`, and this thread has acquired `sequence`.
    #[inline]
    unsafe fn read_words(&self, mut sequence: u64) -> (u64, V)
    where
        V: Copied,
    {
        loop {
            // Acquire (Q7) or Relaxed (Q6): pairs with the store of the words in `step`.
            let order = if Self::ONE_WORD { Ordering::Acquire } else { Ordering::Relaxed };
            // SAFETY: by Q1 the words of a copy that a number names are cleared, and by Q4 the latch has not moved
            // since.
            let value = unsafe { self.copy(sequence).load(order) };
            let is_whole = Self::ONE_WORD || {
                // Acquire: pairs with the Release fence in `step`, and orders the words before the Relaxed load of the
                // number (Q6).
                fence(Ordering::Acquire);
                self.sequence.load(Ordering::Relaxed) == sequence
            };
            if is_whole {
                // SAFETY: by Q6 all words are of `sequence`, or there is one word; by Q3 the words are those of a valid
                // value.
                return (sequence, unsafe { value.assume_init() });
            }
            // Acquire: pairs with the Release store in `step` (Q5).
            sequence = self.sequence.load(Ordering::Acquire);
        }
    }

    /// Replaces the value and returns the previous value. Takes the writer lock; may allocate, without the lock.
    pub(crate) fn replace(&self, next: V) -> Option<V>
    where
        V: Copied,
    {
        let _turn = self.take_turn();
        // The writer lock excludes other writers, so the first attempt of `read` returns the newest value.
        let (sequence, previous) = self.read();
        // SAFETY: this thread holds the writer lock, and has found `sequence` under it.
        unsafe { self.write(sequence, next) };
        previous
    }

    /// Replaces the value, unless an update came after `version`. Returns whether the value was replaced.
    pub(crate) fn replace_version(&self, version: u64, next: V) -> bool
    where
        V: Copied,
    {
        let _turn = self.take_turn();
        // A reader may have seen the odd number of an unfinished update. The finished update has the next even number,
        // and the same value.
        let version = if Self::ONE_WORD || version < FIRST { version } else { version.next_multiple_of(2) };
        // Relaxed: under the writer lock.
        let as_expected = self.sequence.load(Ordering::Relaxed) == version;
        if as_expected {
            // SAFETY: this thread holds the writer lock, and has found `version` under it.
            unsafe { self.write(version, next) };
        }
        as_expected
    }

    /// Takes the writer lock, with the side buffer allocated if the update needs one.
    fn take_turn(&self) -> Locked<'static, ()> {
        loop {
            let turn = lock(&ALL_TURNS[ptr::from_ref(self).addr() / align_of::<Turn>() % ALL_TURNS.len()].0);
            // Relaxed: under the writer lock.
            let needs_spare = !Self::ONE_WORD && self.sequence.load(Ordering::Relaxed) >= FIRST;
            if !needs_spare || self.rest().is_some() {
                return turn;
            }
            // The global allocator may be user code, so the allocation runs without the lock (R4).
            drop(turn);
            self.make_rest();
        }
    }

    fn rest(&self) -> Option<&Rest<V>> {
        // Acquire: pairs with the Release exchange in `make_rest`.
        // SAFETY: the pointer is null, or comes from `make_rest`; the side buffer is freed only with the latch.
        unsafe { self.rest.load(Ordering::Acquire).as_ref() }
    }

    #[cold]
    fn make_rest(&self) -> &Rest<V> {
        let new = Box::new(Rest { spare: Words::new(), borrowed: UnsafeCell::new(MaybeUninit::uninit()) });
        // SAFETY: no other thread has the new side buffer, and the buffer stays at its address on the heap (Q4).
        unsafe { new.spare.clear() };
        let new = Box::into_raw(new);
        // Release: publishes the cleared words; pairs with the Acquire load in `rest`. Relaxed on failure: `rest` loads
        // the winner's pointer.
        if self.rest.compare_exchange(ptr::null_mut(), new, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: `new` comes from `Box::into_raw`, and the failed exchange has not published it.
            drop(unsafe { Box::from_raw(new) });
        }
        self.rest().expect("somebody has just put it there")
    }

    /// Writes the value that follows `sequence`.
    ///
    /// # Safety
    ///
    /// This thread holds the writer lock, and has found `sequence` under it.
    unsafe fn write(&self, sequence: u64, next: V)
    where
        V: Copied,
    {
        if sequence == EMPTY {
            // SAFETY: by Q1 only the holder of the writer lock, this thread, accesses the words while the number is
            // `EMPTY`.
            unsafe { self.home.clear() };
        }
        if Self::ONE_WORD || sequence < FIRST {
            // SAFETY: this thread holds the writer lock. The number that was found is less than `FIRST` or, for a value
            // of one word, one less than the new number.
            unsafe { self.step(FIRST.max(sequence + 1), next) };
        } else {
            // SAFETY: this thread holds the writer lock, and the number that was found is one less. So the value is in
            // `home`, and no reader needs `spare`.
            unsafe { self.step(sequence + 1, next.copied()) };
            // SAFETY: this thread holds the writer lock, and the last step has stored the number before this one. So
            // the value is in `spare`, and no reader needs `home`.
            unsafe { self.step(sequence + 2, next) };
        }
    }

    /// Stores the value to the copy that `number` names, and then publishes `number`.
    ///
    /// # Safety
    ///
    /// This thread holds the writer lock. The number that it has found is one less than `number`, or less than
    /// [`FIRST`].
    unsafe fn step(&self, number: u64, value: V) {
        let order = if Self::ONE_WORD {
            // Release: pairs with the Acquire load of the word in `read_words` (Q7).
            Ordering::Release
        } else {
            // Release: pairs with the Acquire fence in `read_words` (Q6).
            fence(Ordering::Release);
            Ordering::Relaxed
        };
        // SAFETY: by Q1 the words of the named copy are cleared, and by Q4 the latch has not moved since.
        unsafe { self.copy(number).store(value, order) };
        // Release: pairs with the Acquire loads of the number (Q5).
        self.sequence.store(number, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_filled(&self) -> bool {
        // Relaxed: compared only; no other memory is accessed by means of the number.
        self.sequence.load(Ordering::Relaxed) != EMPTY
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut V>
    where
        V: Copied,
    {
        let (sequence, value) = self.read();
        let value = value?;
        let rest = self.rest().unwrap_or_else(|| self.make_rest());
        if sequence != BORROWED {
            // SAFETY: the exclusive borrow of `self` excludes other accesses to `borrowed`.
            rest.borrowed.with_mut(|borrowed| unsafe { borrowed.cast::<V>().write(value) });
            // Relaxed: the exclusive borrow orders the store, also for a later reader.
            self.sequence.store(BORROWED, Ordering::Relaxed);
        }
        // SAFETY: by Q2 `borrowed` has a valid value; the reference inherits the exclusive borrow of `self`.
        Some(rest.borrowed.with_mut(|borrowed| unsafe { &mut *borrowed.cast::<V>() }))
    }

    pub(crate) fn empty(&mut self) {
        // Relaxed: the exclusive borrow orders the store, also for a later reader.
        self.sequence.store(EMPTY, Ordering::Relaxed);
    }

    /// Copies the value out of `borrowed`.
    ///
    /// # Safety
    ///
    /// This thread has acquired `BORROWED`.
    #[cold]
    unsafe fn borrowed(&self) -> V
    where
        V: Copied,
    {
        let rest = self.rest().expect("it was made before the number was stored");
        // SAFETY: by Q2 `borrowed` has a valid value, and no thread writes to it while the latch is shared. `V` is
        // `Copied`, so a bitwise copy is a value.
        rest.borrowed.with(|borrowed| unsafe { borrowed.cast::<V>().read() })
    }

    /// Returns the copy that `number`, from `FIRST` on, names.
    #[inline]
    fn copy(&self, number: u64) -> &Words<V> {
        if Self::ONE_WORD || number % 2 == 0 { &self.home } else { self.spare() }
    }

    /// A separate function, so that the compiler emits a branch: the load from `home` then does not wait for the
    /// number.
    #[cold]
    #[inline(never)]
    fn spare(&self) -> &Words<V> {
        &self.rest().expect("it was made before the number was stored").spare
    }
}

impl<V> Drop for Latch<V> {
    fn drop(&mut self) {
        // Relaxed: the exclusive borrow orders the load.
        let rest = self.rest.load(Ordering::Relaxed);
        if !rest.is_null() {
            // SAFETY: the pointer comes from `Box::into_raw` in `make_rest`. References to the side buffer borrow the
            // latch, so none is left.
            drop(unsafe { Box::from_raw(rest) });
        }
    }
}
