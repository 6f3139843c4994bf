//! Room for one value, that is read and written word by word, while others do.
//!
//! In: a value. Out: its words, and from those a value again; whether they belong together is for `sequence.rs` to say.
//!
//! **Pointers.** A word is an `AtomicPtr`, not an `AtomicUsize`, so a pointer in a value stays a pointer, with its
//! provenance, on its way through a word.
//!
//! **Padding.** Bytes of a value that mean nothing may be uninitialised, and an uninitialised pointer must not be read.
//! So a value goes [`into_assembly`] before it is taken for words. The assembly is empty, but the compiler does not
//! look into it, and has to allow for all that assembly could do with the memory that it is shown: for one, to write
//! what is there, a byte for a byte, where the machine has no uninitialised ones. After that, all bytes are
//! initialised, and those that mean something are the same. It is the freeze that Rust has no word for. (It is shown
//! memory and not words in registers, since a load of a word of which a byte is uninitialised may be taken to have no
//! meaning at all.)
//!
//! **Pointers across words.** In a packed value a pointer may lie across two words, and a word may have parts of two
//! pointers; such a word has no provenance. So words come [`out_of_assembly`], where each of their bytes may be given
//! the provenance of any pointer that was exposed, and `into_assembly` may expose those of the value: what Rust calls
//! `expose_provenance` and `with_exposed_provenance`.
//!
//! **Under Miri**, which has no assembly, a [`Word`] is plain memory under a lock. Miri copies uninitialised bytes and
//! parts of pointers unchanged. The lock is held for one word at a time, so a value of several words can be torn as
//! elsewhere, and `sequence.rs` runs unchanged. A lock orders more than an atomic operation; the loom models check the
//! orderings.

#[cfg(not(miri))]
use std::arch::asm;
use std::mem::MaybeUninit;
use std::{ptr, slice};

#[cfg(not(miri))]
use crate::sync::AtomicPtr;
use crate::sync::Ordering;
#[cfg(miri)]
use crate::sync::{Mutex, lock};

/// Room for a value, rounded up to whole words: `repr(C)` makes the size a multiple of the alignment, which is a word's
/// at least.
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
        // SAFETY: a room is aligned for words, and has as many as is asserted in `of`; any byte is a `MaybeUninit`. The
        // borrow is that of `self`.
        unsafe { slice::from_raw_parts_mut(words, Words::<V>::COUNT) }
    }
}

/// One word, all of whose bytes are initialised.
#[cfg(not(miri))]
#[repr(transparent)]
struct Word(AtomicPtr<()>);

#[cfg(not(miri))]
impl Word {
    #[cfg(loom)]
    fn null() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// # Safety
    ///
    /// All bytes are initialised.
    #[inline]
    unsafe fn store(&self, bytes: MaybeUninit<*mut ()>, ordering: Ordering) {
        // SAFETY: the caller says so, and any initialised bytes are a pointer.
        self.0.store(unsafe { bytes.assume_init() }, ordering);
    }

    #[inline]
    fn load(&self, ordering: Ordering) -> MaybeUninit<*mut ()> {
        out_of_assembly(self.0.load(ordering))
    }
}

/// Guards one access to one word, of any value.
#[cfg(miri)]
static WORDS: Mutex<()> = Mutex::new(());

/// One word, any of whose bytes may be uninitialised. All accesses to a word that is shared are under [`WORDS`].
#[cfg(miri)]
#[repr(transparent)]
struct Word(std::cell::UnsafeCell<MaybeUninit<*mut ()>>);

#[cfg(miri)]
impl Word {
    /// # Safety
    ///
    /// As elsewhere; here any bytes will do.
    unsafe fn store(&self, bytes: MaybeUninit<*mut ()>, _: Ordering) {
        let _locked = lock(&WORDS);
        // SAFETY: all accesses to a shared word are under the lock.
        unsafe { self.0.get().write(bytes) };
    }

    fn load(&self, _: Ordering) -> MaybeUninit<*mut ()> {
        let _locked = lock(&WORDS);
        // SAFETY: all accesses to a shared word are under the lock.
        unsafe { self.0.get().read() }
    }
}

/// A value in words, which are there once [`clear`](Words::clear) has been called.
pub(super) struct Words<V> {
    #[cfg(not(loom))]
    room: std::cell::UnsafeCell<Room<V>>,
    /// The words of the model checker are not as large as a word.
    #[cfg(loom)]
    all: Vec<Word>,
    /// Written where the words are made, and read where they are used.
    #[cfg(loom)]
    made: crate::sync::UnsafeCell<()>,
    #[cfg(loom)]
    value: std::marker::PhantomData<V>,
}

impl<V> Words<V> {
    /// How many words a value takes.
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

    /// The same, where they are to stay.
    ///
    /// # Safety
    ///
    /// `words` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub(super) unsafe fn init(words: *mut Self) {
        // Any bytes will do for a room, so that there is nothing to write.
        #[cfg(not(loom))]
        let _ = words;
        #[cfg(loom)]
        // SAFETY: the caller says so.
        unsafe {
            words.write(Self::new());
        }
    }

    /// Makes the words: all of them null.
    ///
    /// # Safety
    ///
    /// Nobody else uses them meanwhile.
    #[cfg(not(loom))]
    pub(super) unsafe fn clear(&self) {
        // SAFETY: the caller says that nobody else uses the room, and any bytes will do for it.
        unsafe { self.room.get().write_bytes(0, 1) };
    }

    #[cfg(loom)]
    pub(super) unsafe fn clear(&self) {
        self.made.with_mut(|_| ());
    }

    /// The words.
    ///
    /// # Safety
    ///
    /// They have been cleared, and the latch has not moved since (Q4).
    #[cfg(not(loom))]
    #[inline]
    unsafe fn words(&self) -> &[Word] {
        // SAFETY: a room is aligned for words, and has as many as is asserted in `Room::of`; the caller says that they
        // are initialised. They are in an `UnsafeCell`, and changed by atomic operations only (Q3).
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
    /// They have been cleared, and the latch has not moved since (Q4).
    #[inline]
    pub(super) unsafe fn store(&self, value: V, ordering: Ordering) {
        let mut room = Room::of(MaybeUninit::new(value));
        #[cfg(not(miri))]
        into_assembly(&mut room);
        // SAFETY: the caller says what is asked for.
        let words = unsafe { self.words() };
        for (word, from) in words.iter().zip(room.words()) {
            // SAFETY: the assembly has initialised all bytes of the room.
            unsafe { word.store(*from, ordering) };
        }
    }

    /// Loads a value, word by word. It is a valid one if all words are those of one that was stored.
    ///
    /// # Safety
    ///
    /// They have been cleared, and the latch has not moved since (Q4).
    #[inline]
    pub(super) unsafe fn load(&self, ordering: Ordering) -> MaybeUninit<V> {
        let mut room = Room::of(MaybeUninit::uninit());
        // SAFETY: the caller says what is asked for.
        let words = unsafe { self.words() };
        for (word, to) in words.iter().zip(room.words()) {
            *to = word.load(ordering);
        }
        room.value
    }
}

/// Shows a value to assembly that the compiler does not look into. After that, all bytes of the room are initialised.
#[cfg(not(miri))]
#[inline]
fn into_assembly<V>(room: &mut Room<V>) {
    // SAFETY: there are no instructions. What the compiler has to allow for, that they write the room, is allowed to
    // who borrows it exclusively; they leave a valid value as it is.
    unsafe { asm!("/* {0} */", in(reg) ptr::from_mut(room), options(nostack, preserves_flags)) };
}

/// Shows a word to assembly that the compiler does not look into. Its bytes are the same, and have their provenance.
#[cfg(not(miri))]
#[inline]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "nothing is read or written through it")]
fn out_of_assembly(word: *mut ()) -> MaybeUninit<*mut ()> {
    let bytes;
    // SAFETY: there are no instructions, and they leave the word as it is.
    unsafe { asm!("/* {0} */", inout(reg) word => bytes, options(nomem, nostack, preserves_flags)) };
    bytes
}
