//! A seqlock with two copies of the value: readers take no lock and never wait, even if a writer stops midway.
//!
//! In: values that are `Copy`. Out: copies of the newest value, never torn. Neighbours: `sequence/words.rs`, the memory
//! that readers load while a writer stores; `fallback.rs`, the replacement of this file on targets without such memory.
//!
//! # Location of the value
//!
//! Writers serialise on one of 64 global mutexes, the *writer lock* of the seqlock, selected by the seqlock's address.
//! Writers count the updates in `sequence`, and the number encodes the location of the newest value:
//!
//! | `sequence` | location of the value |
//! |---|---|
//! | [`EMPTY`], 0 | no value |
//! | [`BORROWED`], 1 | in `borrowed`, as a plain value, since the last mutable borrow |
//! | n, from [`FIRST`], 2, on | in the words of `primary`, if n is even, or of `backup`; a value of one word always in `primary` |
//!
//! A value of more than one word is in two copies, a *latch* (`seqcount_latch_t` of the Linux kernel, in its
//! `Documentation/locking/seqlock.rst`). A writer first stores the new value to `backup` and publishes the odd number,
//! which directs readers to `backup`. Then the writer stores the value to `primary`, and publishes the even number. So
//! between updates the value is in `primary`, the copy that a reader loads fastest. A reader copies the words and loads
//! the number again. If the number is unchanged, the copy is whole; otherwise the reader retries. A reader retries only
//! if a writer has made progress. A value of one word needs no such validation: one atomic store writes the value.
//!
//! # Invariants
//!
//! - **Q1** While `sequence` is `EMPTY`, only the holder of the writer lock accesses the other parts of the seqlock.
//!   Before the Release store of `FIRST`, that writer clears the words of `primary`, and stores a valid value there.
//!   The words of `backup` are cleared before any number names `backup`.
//! - **Q2** `borrowed` is written only through `&mut`, before `sequence` becomes `BORROWED`, also through `&mut`. So a
//!   thread that has acquired `BORROWED` may read `borrowed` by a plain read. `get_mut` returns a reference to
//!   `borrowed`, and not to the words: a write through `&mut V` may leave padding uninitialised, an uninitialised byte
//!   must not be loaded as part of a word, and no code runs when the borrow ends. Words stay initialised once they are
//!   cleared.
//! - **Q3** While the seqlock is shared, all accesses to words are atomic, except for the clearing of `primary` under
//!   Q1. For n from `FIRST` on, the copy that n names has the words of one valid value, from before the Release store
//!   of n until a writer has stored n + 1. A value of one word is replaced by one atomic store, so the word is a valid
//!   value until the seqlock is borrowed mutably. While no thread holds the writer lock, the number of a value of more
//!   than one word is even, or `BORROWED`.
//! - **Q4** A filled seqlock does not move: a move may lose padding, and `Words` may have padding at its end. A seqlock
//!   is part of a cell in a field set, and a field set does not move while any field is attached (R8).
//!
//! # Orderings
//!
//! The orderings are those of H.-J. Boehm, *Can seqlocks get along with programming language memory models?* (MSPC
//! 2012). Each ordering, weakened, fails a model in `tests/loom_seqlock.rs`.
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
//! The number has 64 bits and does not wrap around. While the seqlock is shared, the number only grows. So neither
//! readers nor `replace_version` are subject to ABA.

mod words;

use std::mem::MaybeUninit;
use std::ptr;

use crate::sync::{AtomicPtr, AtomicU64, Locked, Mutex, Ordering, UnsafeCell, array_of, fence, lock, shared};
use crate::value::CopyValue;
use words::Words;

/// Whether readers are wait-free, for tests. Then the update of a value of several words may allocate the side buffer.
pub const IS_WAIT_FREE: bool = true;

const EMPTY: u64 = 0;
const BORROWED: u64 = 1;
const FIRST: u64 = 2;

/// A value with the number of its updates.
///
/// The seqlock contains only what a reader needs between updates: a host's field set is as small as with a write-once
/// value. `primary` is first, so in the first cell of a field set the value is next to the type tag of the node.
#[repr(C)]
pub(crate) struct Seqlock<V> {
    primary: Words<V>,
    sequence: AtomicU64,
    /// Side buffer; null until first needed.
    side: AtomicPtr<Side<V>>,
}

/// Side buffer: the value during an update, or since a mutable borrow.
struct Side<V> {
    backup: Words<V>,
    borrowed: UnsafeCell<MaybeUninit<V>>,
}

/// Number of writer locks, shared by all seqlocks. The address of a seqlock selects the seqlock's lock. A model checker
/// repeats runs, and needs runs that do not depend on addresses, so under loom all seqlocks share one lock.
const LOCK_COUNT: usize = if cfg!(loom) { 1 } else { 64 };

/// A writer lock in a cache line of its own, against false sharing.
#[repr(align(64))]
struct WriterLock(Mutex<()>);

shared! {
    static WRITER_LOCKS: [WriterLock; LOCK_COUNT] = array_of!(LOCK_COUNT, WriterLock(Mutex::new(())));
}

impl<V> Seqlock<V> {
    const ONE_WORD: bool = Words::<V>::COUNT <= 1;

    /// Initialises an empty seqlock. The words of `primary` stay untouched (Q1).
    ///
    /// # Safety
    ///
    /// `seqlock` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub(crate) unsafe fn init(seqlock: *mut Self) {
        // SAFETY: `seqlock` is valid for writes of a `Self`, of which `primary` is a part.
        let primary = unsafe { &raw mut (*seqlock).primary };
        // SAFETY: `primary`, a part of `*seqlock`, is valid for writes and aligned.
        unsafe { Words::init(primary) };
        // SAFETY: `seqlock` is valid for writes of a `Self`, of which `sequence` is a part.
        let sequence = unsafe { &raw mut (*seqlock).sequence };
        // SAFETY: `sequence`, a part of `*seqlock`, is valid for writes and aligned.
        unsafe { sequence.write(AtomicU64::new(EMPTY)) };
        // SAFETY: `seqlock` is valid for writes of a `Self`, of which `side` is a part.
        let side = unsafe { &raw mut (*seqlock).side };
        // SAFETY: `side`, a part of `*seqlock`, is valid for writes and aligned.
        unsafe { side.write(AtomicPtr::new(ptr::null_mut())) };
    }

    /// Returns the newest value with its version, for [`replace_version`](Self::replace_version). Takes no lock.
    ///
    /// A value of one word may be newer than the returned version. Then the writer of the value still holds the writer
    /// lock, and the version is out of date as soon as that writer releases the lock.
    #[inline]
    pub(crate) fn read(&self) -> (u64, Option<V>)
    where
        V: CopyValue,
    {
        // Acquire: pairs with the Release store in `write_copy` (Q5).
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
    /// The value was replaced since the seqlock was last empty or borrowed mutably. This thread has learnt of the
    /// replacement by an Acquire load of a Release store after it.
    #[inline]
    pub(crate) unsafe fn read_unchecked(&self) -> V
    where
        V: CopyValue,
    {
        // Acquire: pairs with the Release store in `write_copy` (Q5). A value of one word does not depend on the
        // number.
        let sequence = if Self::ONE_WORD { FIRST } else { self.sequence.load(Ordering::Acquire) };
        // SAFETY: by the contract this thread has acquired a replacement, so the number is at least `FIRST`, and does
        // not fall while the seqlock is shared.
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
        V: CopyValue,
    {
        loop {
            // Acquire (Q7) or Relaxed (Q6): pairs with the store of the words in `write_copy`.
            let order = if Self::ONE_WORD { Ordering::Acquire } else { Ordering::Relaxed };
            // SAFETY: by Q1 the words of a copy that a number names are cleared, and by Q4 the seqlock has not moved
            // since.
            let value = unsafe { self.copy(sequence).load(order) };
            let is_whole = Self::ONE_WORD || {
                // Acquire: pairs with the Release fence in `write_copy`, and orders the words before the Relaxed load
                // of the number (Q6).
                fence(Ordering::Acquire);
                self.sequence.load(Ordering::Relaxed) == sequence
            };
            if is_whole {
                // SAFETY: by Q6 all words are of `sequence`, or there is one word; by Q3 the words are those of a valid
                // value.
                return (sequence, unsafe { value.assume_init() });
            }
            // Acquire: pairs with the Release store in `write_copy` (Q5).
            sequence = self.sequence.load(Ordering::Acquire);
        }
    }

    /// Replaces the value and returns the previous value. Takes the writer lock; may allocate, without the lock.
    pub(crate) fn replace(&self, next: V) -> Option<V>
    where
        V: CopyValue,
    {
        let _lock = self.lock_for_write();
        // The writer lock excludes other writers, so the first attempt of `read` returns the newest value.
        let (sequence, previous) = self.read();
        // SAFETY: this thread holds the writer lock, and has found `sequence` under it.
        unsafe { self.write(sequence, next) };
        previous
    }

    /// Replaces the value, unless an update came after `version`. Returns whether the value was replaced.
    pub(crate) fn replace_version(&self, version: u64, next: V) -> bool
    where
        V: CopyValue,
    {
        let _lock = self.lock_for_write();
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
    fn lock_for_write(&self) -> Locked<'static, ()> {
        loop {
            let locked =
                lock(&WRITER_LOCKS[ptr::from_ref(self).addr() / align_of::<WriterLock>() % WRITER_LOCKS.len()].0);
            // Relaxed: under the writer lock.
            let needs_backup = !Self::ONE_WORD && self.sequence.load(Ordering::Relaxed) >= FIRST;
            if !needs_backup || self.side().is_some() {
                return locked;
            }
            // The global allocator may be user code, so the allocation runs without the lock (R4).
            drop(locked);
            self.make_side();
        }
    }

    fn side(&self) -> Option<&Side<V>> {
        // Acquire: pairs with the Release exchange in `make_side`.
        // SAFETY: the pointer is null, or comes from `make_side`; the side buffer is freed only with the seqlock.
        unsafe { self.side.load(Ordering::Acquire).as_ref() }
    }

    #[cold]
    fn make_side(&self) -> &Side<V> {
        let new = Box::new(Side { backup: Words::new(), borrowed: UnsafeCell::new(MaybeUninit::uninit()) });
        // SAFETY: no other thread has the new side buffer, and the buffer stays at its address on the heap (Q4).
        unsafe { new.backup.clear() };
        let new = Box::into_raw(new);
        // Release: publishes the cleared words; pairs with the Acquire load in `side`. Relaxed on failure: `side` loads
        // the winner's pointer.
        if self.side.compare_exchange(ptr::null_mut(), new, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: `new` comes from `Box::into_raw`, and the failed exchange has not published it.
            drop(unsafe { Box::from_raw(new) });
        }
        self.side().expect("this thread or another has just published the buffer")
    }

    /// Writes the value that follows `sequence`.
    ///
    /// # Safety
    ///
    /// This thread holds the writer lock, and has found `sequence` under it.
    unsafe fn write(&self, sequence: u64, next: V)
    where
        V: CopyValue,
    {
        if sequence == EMPTY {
            // SAFETY: by Q1 only the holder of the writer lock, this thread, accesses the words while the number is
            // `EMPTY`.
            unsafe { self.primary.clear() };
        }
        if Self::ONE_WORD || sequence < FIRST {
            // SAFETY: this thread holds the writer lock. The number that was found is less than `FIRST` or, for a value
            // of one word, one less than the new number.
            unsafe { self.write_copy(FIRST.max(sequence + 1), next) };
        } else {
            // SAFETY: this thread holds the writer lock, and the number that was found is one less. So the value is in
            // `primary`, and no reader needs `backup`.
            unsafe { self.write_copy(sequence + 1, next.copy_value()) };
            // SAFETY: this thread holds the writer lock, and the last step has stored the number before this one. So
            // the value is in `backup`, and no reader needs `primary`.
            unsafe { self.write_copy(sequence + 2, next) };
        }
    }

    /// Stores the value to the copy that `number` names, and then publishes `number`.
    ///
    /// # Safety
    ///
    /// This thread holds the writer lock. The number that it has found is one less than `number`, or less than
    /// [`FIRST`].
    unsafe fn write_copy(&self, number: u64, value: V) {
        let order = if Self::ONE_WORD {
            // Release: pairs with the Acquire load of the word in `read_words` (Q7).
            Ordering::Release
        } else {
            // Release: pairs with the Acquire fence in `read_words` (Q6).
            fence(Ordering::Release);
            Ordering::Relaxed
        };
        // SAFETY: by Q1 the words of the named copy are cleared, and by Q4 the seqlock has not moved since.
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
        V: CopyValue,
    {
        let (sequence, value) = self.read();
        let value = value?;
        let side = self.side().unwrap_or_else(|| self.make_side());
        if sequence != BORROWED {
            // SAFETY: the exclusive borrow of `self` excludes other accesses to `borrowed`.
            side.borrowed.with_mut(|borrowed| unsafe { borrowed.cast::<V>().write(value) });
            // Relaxed: the exclusive borrow orders the store, also for a later reader.
            self.sequence.store(BORROWED, Ordering::Relaxed);
        }
        // SAFETY: by Q2 `borrowed` has a valid value; the reference inherits the exclusive borrow of `self`.
        Some(side.borrowed.with_mut(|borrowed| unsafe { &mut *borrowed.cast::<V>() }))
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
        V: CopyValue,
    {
        let side = self.side().expect("it was made before the number was stored");
        // SAFETY: by Q2 `borrowed` has a valid value, and no thread writes to it while the seqlock is shared. `V` is
        // `CopyValue`, so a bitwise copy is a value.
        side.borrowed.with(|borrowed| unsafe { borrowed.cast::<V>().read() })
    }

    /// Returns the copy that `number`, from `FIRST` on, names.
    #[inline]
    fn copy(&self, number: u64) -> &Words<V> {
        if Self::ONE_WORD || number % 2 == 0 { &self.primary } else { self.backup() }
    }

    /// A separate function, so that the compiler emits a branch: the load from `primary` then does not wait for the
    /// number.
    #[cold]
    #[inline(never)]
    fn backup(&self) -> &Words<V> {
        &self.side().expect("it was made before the number was stored").backup
    }
}

impl<V> Drop for Seqlock<V> {
    fn drop(&mut self) {
        // Relaxed: the exclusive borrow orders the load.
        let side = self.side.load(Ordering::Relaxed);
        if !side.is_null() {
            // SAFETY: the pointer comes from `Box::into_raw` in `make_side`. References to the side buffer borrow the
            // seqlock, so none is left.
            drop(unsafe { Box::from_raw(side) });
        }
    }
}
