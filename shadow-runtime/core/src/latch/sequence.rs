//! The latch whose readers never wait: a writer that is stopped anywhere keeps no reader from reading.
//!
//! In: values that are `Copy`. Out: copies of the newest, each whole. Neighbours: `sequence/words.rs`, which has the
//! memory that is read while it is written; `locked.rs`, which stands in for this file where that cannot be.
//!
//! # Where the value is
//!
//! Writers take turns by one of a few locks that all latches share, and count the updates in `sequence`; it says where
//! the newest value is:
//!
//! | `sequence` | the value is |
//! |---|---|
//! | [`EMPTY`], 0 | nowhere |
//! | [`BORROWED`], 1 | in `borrowed`, a plain place, since it was last borrowed mutably |
//! | n, from [`FIRST`], 2, on | in the words of `home`, if n is even, or of `spare`; if it is one word, in `home` |
//!
//! Values of more than one word are in a *latch* (`seqcount_latch_t` of the Linux kernel, in its
//! `Documentation/locking/seqlock.rst`). A writer leaves the value at home alone, writes the spare, and moves readers
//! over to it by the next number; then it writes the same value at home, and moves them back. So between updates the
//! value is at home, where it is found soonest. A reader that finds the number unchanged after it has copied has a
//! whole value. If it finds another, it reads again; so it reads again only if a writer has got on meanwhile. A value
//! of one word needs no such check: it is written at once.
//!
//! # Invariants
//!
//! - **Q1** While `sequence` is `EMPTY`, only the writer whose turn it is touches anything else. Before the `Release`
//!   of `FIRST` it makes the words at home, and makes them a valid value. Those of the spare are made before any number
//!   names them.
//! - **Q2** `borrowed` is written through `&mut` alone, before the number is `BORROWED`, which it becomes through
//!   `&mut` alone. So whoever has seen that, by an `Acquire`, may read it plainly. It is there so that `get_mut` has
//!   something to hand out: who writes through a `&mut V` may leave padding uninitialised, which must not be read as
//!   words, and nobody is told when the borrow ends. Words that were made stay so.
//! - **Q3** While the latch is shared, words are read and written by atomic operations, but by Q1. Those of the copy
//!   that n, from `FIRST` on, names are those of one valid value from before the `Release` of n until a writer has
//!   stored n + 1; of a value of one word, until the latch is borrowed mutably. When no writer has its turn, n is even.
//! - **Q4** A latch that is filled does not move: a move need not take padding along, and `Words` may have some at its
//!   end. It is in a cell, in a field set, and those do not move while anything is attached (R8).
//!
//! # Orderings
//!
//! As in H.-J. Boehm, *Can seqlocks get along with programming language memory models?* (MSPC 2012). Each of them,
//! weakened, fails one of the models in `tests/loom_latch.rs`.
//!
//! - **Q5** The number is stored with `Release` and loaded, first, with `Acquire`: who sees n sees what was written
//!   before it, the value of n above all, and what its writer did before the update.
//! - **Q6** A reader of n must not accept words that are not of n. Such words are of n + 2 or later, since n + 1 is in
//!   the other copy. Their writer has stored n + 1, or found it in its turn, and a `Release` fence stands between that
//!   and its words, which are stored `Relaxed`; the reader loads words `Relaxed`, and an `Acquire` fence stands between
//!   them and its second load of the number. So if any word is of n + 2, the fences synchronise, and the second load
//!   sees n + 1 at least. Without the writer's fence its words could be seen before n + 1, which it stored before them;
//!   a `Release` store keeps back what comes before it, not what comes after.
//! - **Q7** A word that is all of a value is stored with `Release` and loaded with `Acquire`, since it may be newer
//!   than the number that was seen.
//! - Under the lock, and through `&mut`, a `Relaxed` load does: the lock, or however the `&mut` came about, orders it.
//!
//! The number has 64 bits and does not come round, so there is no ABA, for readers or for `replace_version`.

mod words;

use std::mem::MaybeUninit;
use std::ptr;

use crate::sync::{AtomicPtr, AtomicU64, Locked, Mutex, Ordering, UnsafeCell, array_of, fence, lock, shared};
use crate::value::Copied;
use words::Words;

const EMPTY: u64 = 0;
const BORROWED: u64 = 1;
const FIRST: u64 = 2;

/// A value, and how often it was replaced.
///
/// What is read between updates is all that is here, so that a host's field set is as small as if the value were
/// written once; and it comes first, so that of the first cell it is next to the kind of the node.
#[repr(C)]
pub(crate) struct Latch<V> {
    home: Words<V>,
    sequence: AtomicU64,
    /// Null, until it is needed.
    rest: AtomicPtr<Rest<V>>,
}

/// Where a value is while it is replaced, or since it was borrowed.
struct Rest<V> {
    spare: Words<V>,
    borrowed: UnsafeCell<MaybeUninit<V>>,
}

/// Whose turn it is to write, for all latches together. A latch has one of these, by its address; under a model
/// checker, for which every run has to be the same, whatever the addresses, all have one.
const TURNS: usize = if cfg!(loom) { 1 } else { 64 };

/// With a cache line of its own.
#[repr(align(64))]
struct Turn(Mutex<()>);

shared! {
    static ALL_TURNS: [Turn; TURNS] = array_of!(TURNS, Turn(Mutex::new(())));
}

impl<V> Latch<V> {
    const ONE_WORD: bool = Words::<V>::COUNT <= 1;

    /// Makes a latch without a value, and does not touch the words at home (Q1).
    ///
    /// # Safety
    ///
    /// `latch` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub(crate) unsafe fn init(latch: *mut Self) {
        // SAFETY: the caller says that there is memory for a latch, of which this is a part.
        let home = unsafe { &raw mut (*latch).home };
        // SAFETY: as above.
        unsafe { Words::init(home) };
        // SAFETY: as above.
        let sequence = unsafe { &raw mut (*latch).sequence };
        // SAFETY: as above.
        unsafe { sequence.write(AtomicU64::new(EMPTY)) };
        // SAFETY: as above.
        let rest = unsafe { &raw mut (*latch).rest };
        // SAFETY: as above.
        unsafe { rest.write(AtomicPtr::new(ptr::null_mut())) };
    }

    /// The newest value, and its version, for [`replace_version`](Self::replace_version). A value of one word may be
    /// newer than the version that comes with it; but then its writer has its turn, and the version is out of date
    /// after that.
    #[inline]
    pub(crate) fn read(&self) -> (u64, Option<V>)
    where
        V: Copied,
    {
        // Acquire: Q5.
        match self.sequence.load(Ordering::Acquire) {
            EMPTY => (EMPTY, None),
            // SAFETY: the number was loaded with `Acquire`.
            BORROWED => (BORROWED, Some(unsafe { self.borrowed() })),
            sequence => {
                // SAFETY: as above.
                let (sequence, value) = unsafe { self.read_words(sequence) };
                (sequence, Some(value))
            }
        }
    }

    /// The newest value, for who knows that it is in words.
    ///
    /// # Safety
    ///
    /// It was replaced since it was empty or borrowed mutably, and what this thread has seen of that was an `Acquire`
    /// of a `Release` after it.
    #[inline]
    pub(crate) unsafe fn read_ready(&self) -> V
    where
        V: Copied,
    {
        // Acquire: Q5. A value of one word does not ask for the number.
        let sequence = if Self::ONE_WORD { FIRST } else { self.sequence.load(Ordering::Acquire) };
        // SAFETY: the caller says that a number from `FIRST` on was seen; it does not become less while this is shared.
        unsafe { self.read_words(sequence) }.1
    }

    /// The newest value, and its number; or of a value of one word the given number.
    ///
    /// # Safety
    ///
    /// `sequence` is from `FIRST` on, and was seen by an `Acquire`.
    #[inline]
    unsafe fn read_words(&self, mut sequence: u64) -> (u64, V)
    where
        V: Copied,
    {
        loop {
            // Acquire: Q7. Relaxed: Q6.
            let order = if Self::ONE_WORD { Ordering::Acquire } else { Ordering::Relaxed };
            // SAFETY: by Q1 the words have been made.
            let value = unsafe { self.copy(sequence).load(order) };
            let is_whole = Self::ONE_WORD || {
                // Acquire: Q6.
                fence(Ordering::Acquire);
                self.sequence.load(Ordering::Relaxed) == sequence
            };
            if is_whole {
                // SAFETY: by Q6 all words are those of `sequence`, and by Q3 they are a valid value.
                return (sequence, unsafe { value.assume_init() });
            }
            // Acquire: Q5.
            sequence = self.sequence.load(Ordering::Acquire);
        }
    }

    /// Replaces the value and returns the previous one.
    pub(crate) fn replace(&self, next: V) -> Option<V>
    where
        V: Copied,
    {
        let _turn = self.take_turn();
        // Nobody else writes, so this is the newest, at once.
        let (sequence, previous) = self.read();
        // SAFETY: it is this thread's turn.
        unsafe { self.write(sequence, next) };
        previous
    }

    /// Replaces the value, unless there was an update after `version`.
    pub(crate) fn replace_version(&self, version: u64, next: V) -> bool
    where
        V: Copied,
    {
        let _turn = self.take_turn();
        // A reader may have found an update on its way, with the value that is now at home.
        let version = if Self::ONE_WORD || version < FIRST { version } else { version.next_multiple_of(2) };
        let as_expected = self.sequence.load(Ordering::Relaxed) == version;
        if as_expected {
            // SAFETY: it is this thread's turn.
            unsafe { self.write(version, next) };
        }
        as_expected
    }

    /// Waits for this thread's turn to write, with the room that is then needed.
    fn take_turn(&self) -> Locked<'static, ()> {
        loop {
            let turn = lock(&ALL_TURNS[ptr::from_ref(self).addr() / align_of::<Turn>() % ALL_TURNS.len()].0);
            // Relaxed: under the lock.
            let needs_spare = !Self::ONE_WORD && self.sequence.load(Ordering::Relaxed) >= FIRST;
            if !needs_spare || self.rest().is_some() {
                return turn;
            }
            // An allocator may be code of the user, so not under the lock.
            drop(turn);
            self.make_rest();
        }
    }

    fn rest(&self) -> Option<&Rest<V>> {
        // Acquire: pairs with the Release of `make_rest`. SAFETY: it is null, or what that has put there, which goes
        // with the latch.
        unsafe { self.rest.load(Ordering::Acquire).as_ref() }
    }

    #[cold]
    fn make_rest(&self) -> &Rest<V> {
        let new = Box::new(Rest { spare: Words::new(), borrowed: UnsafeCell::new(MaybeUninit::uninit()) });
        // SAFETY: nobody else has it yet; and it does not move any more (Q4).
        unsafe { new.spare.clear() };
        let new = Box::into_raw(new);
        // Release: after its words were made. Relaxed on failure: it is loaded again.
        if self.rest.compare_exchange(ptr::null_mut(), new, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: it comes from `Box`, and was put nowhere.
            drop(unsafe { Box::from_raw(new) });
        }
        self.rest().expect("somebody has just put it there")
    }

    /// Writes the value that comes after `sequence`.
    ///
    /// # Safety
    ///
    /// It is the caller's turn, and `sequence` is the number that it has found.
    unsafe fn write(&self, sequence: u64, next: V)
    where
        V: Copied,
    {
        if sequence == EMPTY {
            // SAFETY: by Q1 nobody else touches it.
            unsafe { self.home.clear() };
        }
        if Self::ONE_WORD || sequence < FIRST {
            // SAFETY: it is the caller's turn; nobody reads words that are no value's, or it is one word.
            unsafe { self.step(FIRST.max(sequence + 1), next) };
        } else {
            // SAFETY: it is the caller's turn, and the value is at home.
            unsafe { self.step(sequence + 1, next.copied()) };
            // SAFETY: as above, and it is in the spare.
            unsafe { self.step(sequence + 2, next) };
        }
    }

    /// Writes the value to where the next number says it is, and stores that.
    ///
    /// # Safety
    ///
    /// It is the caller's turn, and the number that it has found is one less; or it is less than [`FIRST`].
    unsafe fn step(&self, number: u64, value: V) {
        let order = if Self::ONE_WORD {
            // Q7.
            Ordering::Release
        } else {
            // Release: Q6.
            fence(Ordering::Release);
            Ordering::Relaxed
        };
        // SAFETY: by Q1 the words have been made.
        unsafe { self.copy(number).store(value, order) };
        // Release: Q5.
        self.sequence.store(number, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_filled(&self) -> bool {
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
            // SAFETY: `self` is borrowed exclusively.
            rest.borrowed.with_mut(|borrowed| unsafe { borrowed.cast::<V>().write(value) });
            self.sequence.store(BORROWED, Ordering::Relaxed);
        }
        // SAFETY: by Q2 there is a valid value; and the borrow is that of `self`, which is exclusive.
        Some(rest.borrowed.with_mut(|borrowed| unsafe { &mut *borrowed.cast::<V>() }))
    }

    pub(crate) fn empty(&mut self) {
        self.sequence.store(EMPTY, Ordering::Relaxed);
    }

    /// The value in `borrowed`.
    ///
    /// # Safety
    ///
    /// The caller has seen `BORROWED`, by an `Acquire`.
    #[cold]
    unsafe fn borrowed(&self) -> V
    where
        V: Copied,
    {
        let rest = self.rest().expect("it was made before the number was stored");
        // SAFETY: by Q2 there is a valid value, and nobody writes there; it is `Copied`, so this is a copy.
        rest.borrowed.with(|borrowed| unsafe { borrowed.cast::<V>().read() })
    }

    /// Where the value of a number from `FIRST` on is.
    #[inline]
    fn copy(&self, number: u64) -> &Words<V> {
        if Self::ONE_WORD || number % 2 == 0 { &self.home } else { self.spare() }
    }

    /// A call, so that the way there is a branch, and what is at home is loaded without waiting for the number.
    #[cold]
    #[inline(never)]
    fn spare(&self) -> &Words<V> {
        &self.rest().expect("it was made before the number was stored").spare
    }
}

impl<V> Drop for Latch<V> {
    fn drop(&mut self) {
        // Relaxed: nobody races.
        let rest = self.rest.load(Ordering::Relaxed);
        if !rest.is_null() {
            // SAFETY: it comes from `Box`, and whoever used it has borrowed the latch.
            drop(unsafe { Box::from_raw(rest) });
        }
    }
}
