//! The latch whose readers never wait: a writer that is stopped anywhere keeps no reader from reading.
//!
//! In: values that are `Copy`. Out: copies of the newest, each whole. Neighbours: `sequence/words.rs`, which has the
//! memory that is read while it is written; `locked.rs`, which stands in for this file where that cannot be.
//!
//! # Where the value is
//!
//! Writers take turns by a lock, and count the updates in `sequence`; it says where the newest value is:
//!
//! | `sequence` | the value is |
//! |---|---|
//! | [`EMPTY`], 0 | nowhere |
//! | [`FIRST`], 1 | in `first`, a plain place |
//! | n, from 2 on | in the words of `copies[n % 2]`; if it fits into one word, in those of `copies[0]` |
//!
//! Values of more than one word are in a *latch* (`seqcount_latch_t` of the Linux kernel, in its
//! `Documentation/locking/seqlock.rst`). A writer leaves the newest value alone, writes the other copy, and then moves
//! readers over to it by the next number. A reader that finds the number unchanged after it has copied has a whole
//! value. If it finds another, it reads again; so it reads again only if an update was completed meanwhile. A value of
//! one word needs no such check: it is written at once.
//!
//! # Invariants
//!
//! - **L1** While `sequence` is `EMPTY`, only the writer whose turn it is touches anything else. What it writes, it
//!   writes before the `Release` of `FIRST`: a valid value into `first`, and words into both copies.
//! - **L2** `first` is written then, and through `&mut`, and not otherwise. So whoever has seen a number other than
//!   `EMPTY`, by an `Acquire`, may read it plainly. It is there so that `get_mut` has something to hand out: who writes
//!   through a `&mut V` may leave padding uninitialised, which must not be read as words, and nobody is told when the
//!   borrow ends. So it starts the count anew, at `FIRST`.
//! - **L3** While the latch is shared, words are read and written by atomic operations, but by L1. Those of the copy
//!   that n, from 2 on, names are those of one valid value from before the `Release` of n until a writer has its turn
//!   that finds n + 1 there; of a value of one word, for ever.
//! - **L4** A latch that is filled does not move: a move need not take padding along, and `Words` may have some at its
//!   end. It is in a cell, in a field set, and those do not move while anything is attached (R8).
//!
//! # Orderings
//!
//! As in H.-J. Boehm, *Can seqlocks get along with programming language memory models?* (MSPC 2012). Each of them,
//! weakened, fails one of the models in `tests/loom_latch.rs`.
//!
//! - **O1** The number is stored with `Release` and loaded, first, with `Acquire`: who sees n sees what was written
//!   before it, the value of n above all, and what its writer did before the update.
//! - **O2** A reader of n must not accept words that are not of n. Such words are of n + 2 or later, since n + 1 is in
//!   the other copy. Their writer has found n + 1 in its turn, and a `Release` fence stands between that and its words,
//!   which are stored `Relaxed`; the reader loads words `Relaxed`, and an `Acquire` fence stands between them and its
//!   second load of the number. So if any word is of n + 2, the fences synchronise, and the second load sees n + 1 at
//!   least. Without the writer's fence its words could be seen before n + 1, which it stored in its turn before; a
//!   `Release` store keeps back what comes before it, not what comes after.
//! - **O3** A word that is all of a value is stored with `Release` and loaded with `Acquire`, since it may be newer
//!   than the number that was seen.
//! - Under the lock, and through `&mut`, a `Relaxed` load does: the lock, or however the `&mut` came about, orders it.
//!
//! The number has 64 bits and does not come round, so there is no ABA, for readers or for `replace_version`.

mod words;

use std::mem::MaybeUninit;

use crate::sync::{AtomicU64, Mutex, Ordering, UnsafeCell, const_fn, fence, lock};
use crate::value::Copied;
use words::Words;

const EMPTY: u64 = 0;
const FIRST: u64 = 1;

/// A value, and how often it was replaced.
pub(crate) struct Latch<V> {
    sequence: AtomicU64,
    turn: Mutex<()>,
    first: UnsafeCell<MaybeUninit<V>>,
    copies: [Words<V>; 2],
}

impl<V> Latch<V> {
    const ONE_WORD: bool = Words::<V>::COUNT <= 1;

    const_fn! {
        pub(crate) const fn new() -> Self {
            Self {
                sequence: AtomicU64::new(EMPTY),
                turn: Mutex::new(()),
                first: UnsafeCell::new(MaybeUninit::uninit()),
                copies: [Words::new(), Words::new()],
            }
        }
    }

    /// The newest value, and its version, for [`replace_version`](Self::replace_version). A value of one word may be
    /// newer than the version that comes with it; but then its writer has its turn, and the version is out of date
    /// after that.
    #[inline]
    pub(crate) fn read(&self) -> (u64, Option<V>)
    where
        V: Copied,
    {
        loop {
            // Acquire: O1.
            let sequence = self.sequence.load(Ordering::Acquire);
            if sequence == EMPTY {
                return (sequence, None);
            }
            if sequence == FIRST {
                // SAFETY: `sequence` is not `EMPTY`, and was loaded with `Acquire`.
                return (sequence, Some(unsafe { self.first() }));
            }
            let copy = self.copy(sequence);
            if Self::ONE_WORD {
                // Acquire: O3.
                // SAFETY: `sequence` is neither `EMPTY` nor `FIRST`, so by L1 the words are there.
                let value = unsafe { copy.load(Ordering::Acquire) };
                // SAFETY: by L3 it is a valid value.
                return (sequence, Some(unsafe { value.assume_init() }));
            }
            // SAFETY: as above.
            let value = unsafe { copy.load(Ordering::Relaxed) };
            // Acquire: O2.
            fence(Ordering::Acquire);
            if self.sequence.load(Ordering::Relaxed) == sequence {
                // SAFETY: by O2 all words are those of `sequence`, and by L3 they are a valid value.
                return (sequence, Some(unsafe { value.assume_init() }));
            }
        }
    }

    /// Replaces the value and returns the previous one.
    pub(crate) fn replace(&self, next: V) -> Option<V>
    where
        V: Copied,
    {
        let _turn = lock(&self.turn);
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
        let _turn = lock(&self.turn);
        let as_expected = self.sequence.load(Ordering::Relaxed) == version;
        if as_expected {
            // SAFETY: it is this thread's turn.
            unsafe { self.write(version, next) };
        }
        as_expected
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
            // SAFETY: by L1 nobody else touches it.
            self.first.with_mut(|first| unsafe { first.cast::<V>().write(next) });
            for copy in &self.copies {
                // SAFETY: by L1 nobody else touches it.
                unsafe { copy.clear() };
            }
        } else if Self::ONE_WORD {
            // Release: O3.
            // SAFETY: `sequence` is not `EMPTY`, so by L1 the words are there.
            unsafe { self.copy(sequence + 1).store(next, Ordering::Release) };
        } else {
            // Release: O2.
            fence(Ordering::Release);
            // SAFETY: as above.
            unsafe { self.copy(sequence + 1).store(next, Ordering::Relaxed) };
        }
        // Release: O1.
        self.sequence.store(sequence + 1, Ordering::Release);
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
        if sequence != FIRST {
            // SAFETY: `self` is borrowed exclusively.
            self.first.with_mut(|first| unsafe { first.cast::<V>().write(value) });
            self.sequence.store(FIRST, Ordering::Relaxed);
        }
        // SAFETY: by L1 and L2 there is a valid value; and the borrow is that of `self`, which is exclusive.
        Some(self.first.with_mut(|first| unsafe { &mut *first.cast::<V>() }))
    }

    pub(crate) fn empty(&mut self) {
        self.sequence.store(EMPTY, Ordering::Relaxed);
    }

    /// The value in `first`.
    ///
    /// # Safety
    ///
    /// The caller has seen a number other than `EMPTY`, by an `Acquire`.
    #[inline]
    unsafe fn first(&self) -> V
    where
        V: Copied,
    {
        // SAFETY: by L1 and L2 there is a valid value, and nobody writes there; it is `Copied`, so this is a copy.
        self.first.with(|first| unsafe { first.cast::<V>().read() })
    }

    /// Where the value of a number from 2 on is.
    #[inline]
    const fn copy(&self, sequence: u64) -> &Words<V> {
        &self.copies[if Self::ONE_WORD { 0 } else { (sequence % 2) as usize }]
    }
}
