//! Memory for one value, accessed word by word by atomic operations, so that reads may race with writes.
//!
//! In: a value. Out: the value's words, and a value from words. Neighbour: `sequence.rs`, which decides whether words
//! belong to one value.
//!
//! **Pointers.** A word is an `AtomicPtr`, not an `AtomicUsize`, so a pointer in a value keeps its provenance on the
//! way through a word.
//!
//! **Padding.** Padding of a value may be uninitialised, and an uninitialised pointer must not be read. So a value
//! passes [`into_assembly`] before its bytes are read as words. The inline assembly is empty and opaque to the
//! compiler. The compiler must allow for every effect of assembly on the memory: for example, the assembly may write
//! back each byte as the machine finds it, and a machine has no uninitialised bytes. So after the assembly all bytes
//! are initialised, and the value is unchanged. This emulates LLVM's `freeze`, which Rust does not expose. (The
//! assembly receives a pointer to memory, not words in registers: the compiler may treat the load of a partly
//! uninitialised word as poison as a whole.)
//!
//! **Pointers across words.** In a packed value a pointer may span two words, and a word may have parts of two
//! pointers. Such a word has no provenance. So loaded words pass [`out_of_assembly`], where the provenance of any
//! exposed pointer may be restored to each byte, and `into_assembly` may expose the pointers of the value: Rust's
//! `expose_provenance` and `with_exposed_provenance`.
//!
//! **Under Miri**, which has no inline assembly, a [`Word`] is plain memory behind a mutex. Miri copies uninitialised
//! bytes and parts of pointers unchanged. The mutex is locked for one word at a time, so a value of several words can
//! tear as on other targets, and `sequence.rs` runs unchanged. A mutex orders more than an atomic operation does; the
//! loom models check the orderings.

#[cfg(not(miri))]
use std::arch::asm;
use std::mem::MaybeUninit;
use std::{ptr, slice};

#[cfg(not(miri))]
use crate::sync::AtomicPtr;
use crate::sync::Ordering;
#[cfg(miri)]
use crate::sync::{Mutex, lock};

/// Memory for a value, rounded up to whole words: by `repr(C)` the size is a multiple of the alignment, and the
/// alignment is at least that of a word.
#[repr(C)]
struct Room<V> {
    aligned: [*mut (); 0],
    value: MaybeUninit<V>,
}

impl<V> Room<V> {
    const fn of(value: MaybeUninit<V>) -> Self {
        const { assert!(Words::<V>::COUNT * size_of::<*mut ()>() <= size_of::<Self>()) };
        Self { aligned: [], value }
    }

    #[inline]
    fn words(&mut self) -> &mut [MaybeUninit<*mut ()>] {
        let words = ptr::from_mut(self).cast();
        // SAFETY: a room is aligned for words, and `of` asserts that the words fit in its size. Any bytes are a valid
        // `MaybeUninit`. The slice inherits the exclusive borrow of `self`.
        unsafe { slice::from_raw_parts_mut(words, Words::<V>::COUNT) }
    }
}

/// One atomic word, with all bytes initialised.
#[cfg(not(miri))]
#[repr(transparent)]
struct Word(AtomicPtr<()>);

#[cfg(not(miri))]
impl Word {
    #[cfg(loom)]
    fn null() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Stores a word, with the given ordering.
    ///
    /// # Safety
    ///
    /// All bytes of `bytes` are initialised.
    #[inline]
    unsafe fn store(&self, bytes: MaybeUninit<*mut ()>, ordering: Ordering) {
        // SAFETY: by the contract all bytes are initialised, and any initialised bytes are a valid pointer.
        self.0.store(unsafe { bytes.assume_init() }, ordering);
    }

    #[inline]
    fn load(&self, ordering: Ordering) -> MaybeUninit<*mut ()> {
        out_of_assembly(self.0.load(ordering))
    }
}

/// The mutex for single accesses to words of any value.
#[cfg(miri)]
static WORDS: Mutex<()> = Mutex::new(());

/// One word, possibly with uninitialised bytes. A thread that accesses a shared word holds the lock [`WORDS`].
#[cfg(miri)]
#[repr(transparent)]
struct Word(std::cell::UnsafeCell<MaybeUninit<*mut ()>>);

#[cfg(miri)]
impl Word {
    /// As for the atomic word, but here the bytes may be uninitialised.
    ///
    /// # Safety
    ///
    /// No requirement; unsafe to match the atomic word.
    unsafe fn store(&self, bytes: MaybeUninit<*mut ()>, _: Ordering) {
        let _locked = lock(&WORDS);
        // SAFETY: every access to a shared word holds the lock `WORDS`, so no access races with this write.
        unsafe { self.0.get().write(bytes) };
    }

    fn load(&self, _: Ordering) -> MaybeUninit<*mut ()> {
        let _locked = lock(&WORDS);
        // SAFETY: every access to a shared word holds the lock `WORDS`, so no write races with this read.
        unsafe { self.0.get().read() }
    }
}

/// A value in words. The words are initialised by [`clear`](Words::clear).
pub(super) struct Words<V> {
    #[cfg(not(loom))]
    room: std::cell::UnsafeCell<Room<V>>,
    /// Loom's atomics are larger than a word, so they are separate from the room.
    #[cfg(loom)]
    all: Vec<Word>,
    /// For loom only: written when the words are initialised, and read at each access, so that loom detects a race.
    #[cfg(loom)]
    made: crate::sync::UnsafeCell<()>,
    #[cfg(loom)]
    value: std::marker::PhantomData<V>,
}

impl<V> Words<V> {
    /// Number of words of a value.
    pub(super) const COUNT: usize = size_of::<V>().div_ceil(size_of::<*mut ()>());

    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { room: std::cell::UnsafeCell::new(Room::of(MaybeUninit::uninit())) }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        let all = (0..Self::COUNT).map(|_| Word::null()).collect();
        Self { all, made: crate::sync::UnsafeCell::new(()), value: std::marker::PhantomData }
    }

    /// As [`new`](Self::new), in place.
    ///
    /// # Safety
    ///
    /// `words` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub(super) unsafe fn init(words: *mut Self) {
        // Any bytes are a valid room, so no write is necessary.
        #[cfg(not(loom))]
        let _ = words;
        #[cfg(loom)]
        // SAFETY: by the contract `words` is valid for writes and aligned.
        unsafe {
            words.write(Self::new());
        }
    }

    /// Initialises all words with null.
    ///
    /// # Safety
    ///
    /// No other thread accesses the words during the call.
    #[cfg(not(loom))]
    pub(super) unsafe fn clear(&self) {
        // SAFETY: by the contract no other thread accesses the words, so the room, and any bytes are a valid room.
        unsafe { self.room.get().write_bytes(0, 1) };
    }

    #[cfg(loom)]
    pub(super) unsafe fn clear(&self) {
        self.made.with_mut(|_| ());
    }

    /// Borrows the words.
    ///
    /// # Safety
    ///
    /// The words have been cleared, and the seqlock has not moved since (Q4).
    #[cfg(not(loom))]
    #[inline]
    unsafe fn words(&self) -> &[Word] {
        // SAFETY: a room is aligned for words, and `Room::of` asserts that the words fit in its size. The words are
        // cleared, and by Q4 stay initialised. The words are in an `UnsafeCell`, and by Q3 all shared accesses are
        // atomic.
        unsafe { slice::from_raw_parts(self.room.get().cast(), Self::COUNT) }
    }

    #[cfg(loom)]
    unsafe fn words(&self) -> &[Word] {
        self.made.with(|_| ());
        &self.all
    }

    /// Stores a value, word by word.
    ///
    /// # Safety
    ///
    /// The words have been cleared, and the seqlock has not moved since (Q4).
    #[inline]
    pub(super) unsafe fn store(&self, value: V, ordering: Ordering) {
        let mut room = Room::of(MaybeUninit::new(value));
        #[cfg(not(miri))]
        into_assembly(&mut room);
        // SAFETY: by the contract the words have been cleared, and the seqlock has not moved since (Q4).
        let words = unsafe { self.words() };
        for (word, from) in words.iter().zip(room.words()) {
            // SAFETY: the assembly has initialised all bytes of the room; under Miri, any bytes may be stored.
            unsafe { word.store(*from, ordering) };
        }
    }

    /// Loads a value, word by word. The result is a valid value if all words come from one stored value.
    ///
    /// # Safety
    ///
    /// The words have been cleared, and the seqlock has not moved since (Q4).
    #[inline]
    pub(super) unsafe fn load(&self, ordering: Ordering) -> MaybeUninit<V> {
        let mut room = Room::of(MaybeUninit::uninit());
        // SAFETY: by the contract the words have been cleared, and the seqlock has not moved since (Q4).
        let words = unsafe { self.words() };
        for (word, to) in words.iter().zip(room.words()) {
            *to = word.load(ordering);
        }
        room.value
    }
}

/// Passes a value through opaque assembly, which initialises all bytes of the room, and may expose the value's
/// pointers.
#[cfg(not(miri))]
#[inline]
fn into_assembly<V>(room: &mut Room<V>) {
    // SAFETY: the assembly has no instructions, so the value does not change. The compiler must assume that the
    // assembly writes to the room; the exclusive borrow permits such writes.
    unsafe { asm!("/* {0} */", in(reg) ptr::from_mut(room), options(nostack, preserves_flags)) };
}

/// Passes a word through opaque assembly. The bytes do not change, and may get the provenance of exposed pointers.
#[cfg(not(miri))]
#[inline]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "nothing is read or written through it")]
fn out_of_assembly(word: *mut ()) -> MaybeUninit<*mut ()> {
    let bytes;
    // SAFETY: the assembly has no instructions, so the word does not change.
    unsafe { asm!("/* {0} */", inout(reg) word => bytes, options(nomem, nostack, preserves_flags)) };
    bytes
}
