//! What an entry keeps of its `Arc`, so that the allocation, and with it the address, is not given to anybody else.
//!
//! In: an `Arc`. Out: an [`Owner`] for the first node of its fields, that counts as one `Weak`. Neighbour: `../arc.rs`.
//!
//! A `Weak` of a sized type is known by the entry's key, so the node need not have it once more: [`Thin`] is
//! of no size. A node with a small value is then a quarter smaller, and lies in one cache line. A `Weak` of an unsized
//! type has more to it than the address, and is kept as it is.
//!
//! A key is a number. What makes a pointer of it again is that the `Weak`'s pointer was exposed when it was kept.
//!
//! # The last `Arc` against the sweeper
//!
//! The sweeper must not drop a value before the last reader's use of it. Readers use a value while they borrow an `Arc`,
//! and give the `Arc` up by a `Release` decrement of the strong count; the sweeper reads that count and then has an
//! `Acquire` fence, which together order it after all of them. `try_unwrap` and `make_mut` take the strong count from 1
//! to 0 without a `Release`, and have theirs a few steps later, where they give up the weak count that all strong ones
//! share. So the sweeper loads the weak count with `Acquire` too, which `Weak::weak_count` does. For a sweep that falls between
//! those few steps, a processor with a total store order has the order that is needed. On others [`order_last_uses`] makes a
//! process-wide barrier before the fields of a dead host are dropped: `try_unwrap` has passed its exchange, so the
//! barrier on its thread comes after all loads that came before. What is left is in `ARCHITECTURE.md`.

use std::any::type_name;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ptr;

use crate::fields::Owner;
use crate::host::arc::is_dead_by_table;
use crate::host::arc::log::Kind;
use crate::readers::barrier;
use crate::sync::{Arc, Ordering, Weak, fence};

/// How far before the object the key is: where the counts are, or what aligns the object, which is the allocation's alone.
const BEFORE: usize = 2 * size_of::<usize>();

/// The number by which the table knows the allocation of `host`. It is a little before the object, which for most is
/// where the `Arc` itself points to, so that there is nothing to calculate.
#[inline]
pub(super) fn key_of<T: ?Sized>(host: &Arc<T>) -> usize {
    Arc::as_ptr(host).addr().wrapping_sub(BEFORE)
}

/// What keeps the allocation of an `Arc<T>`.
///
/// # Safety
///
/// `keep` keeps the allocation of `host`, and with it the address, until [`Owner::release`] and the drop. The kind's `is_dead`
/// tells whether the host of a key is dead, for a host in the table whose first node has what `keep` returned.
pub(super) unsafe trait Keeps<T: ?Sized>: Owner {
    fn keep(host: &Arc<T>) -> Self;

    /// How the log tells whether such a host is dead.
    fn kind() -> &'static Kind;
}

/// A `Weak<T>` that is known by its key: only for types of which [`is_thin`].
pub(super) struct Thin<T: ?Sized>(PhantomData<fn() -> *const T>);

/// Whether a pointer to a `T` is an address, and nothing else.
pub(super) const fn is_thin<T: ?Sized>() -> bool {
    size_of::<*const T>() == size_of::<*const ()>()
}

// SAFETY: `keep` gives up a `Weak` without its drop, and `release` drops it. `is_dead` makes the same `Weak` of the key.
unsafe impl<T: ?Sized + Send + Sync + 'static> Keeps<T> for Thin<T> {
    fn keep(host: &Arc<T>) -> Self {
        assert!(is_thin::<T>(), "there is more to it than its key");
        Weak::into_raw(Arc::downgrade(host)).cast::<()>().expose_provenance();
        Self(PhantomData)
    }

    fn kind() -> &'static Kind {
        const { &Kind { is_dead: Self::is_dead, name: type_name::<Arc<T>> } }
    }
}

impl<T: ?Sized + Send + Sync + 'static> Thin<T> {
    /// Whether the host of this key is dead. Reads its counts, and nothing else.
    ///
    /// # Safety
    ///
    /// `key` is that of an `Arc<T>` that is kept by a `Thin<T>`.
    unsafe fn is_dead(key: usize) -> bool {
        // SAFETY: the caller says that `key` is that of the `Arc` that is kept.
        is_gone(&*unsafe { Self::weak(key) })
    }

    /// The `Weak` again.
    ///
    /// # Safety
    ///
    /// `key` is that of the `Arc` that is kept.
    unsafe fn weak(key: usize) -> ManuallyDrop<Weak<T>> {
        assert!(is_thin::<T>(), "there is more to it than its key");
        let pointer = ptr::with_exposed_provenance::<()>(key.wrapping_add(BEFORE));
        // SAFETY: both are one address, as is asserted.
        let pointer = unsafe { mem::transmute_copy::<*const (), *const T>(&pointer) };
        // SAFETY: the caller says that this is the pointer that `keep` has exposed.
        ManuallyDrop::new(unsafe { Weak::from_raw(pointer) })
    }
}

// SAFETY: argued in the header.
unsafe impl<T: ?Sized + Send + Sync + 'static> Owner for Thin<T> {
    unsafe fn is_gone(&self, key: usize) -> bool {
        // SAFETY: the caller says that `key` is that of the host, whose `Arc` this keeps.
        unsafe { Self::is_dead(key) }
    }

    unsafe fn release(&self, key: usize) {
        // SAFETY: the caller's promise is the same, and that this happens once.
        drop(ManuallyDrop::into_inner(unsafe { Self::weak(key) }));
    }
}

// SAFETY: a `Weak` keeps its allocation until it is dropped. `is_dead_by_table` asks the first node, which has the `Weak`.
unsafe impl<T: ?Sized + Send + Sync + 'static> Keeps<T> for Weak<T> {
    fn keep(host: &Arc<T>) -> Self {
        Arc::downgrade(host)
    }

    fn kind() -> &'static Kind {
        const { &Kind { is_dead: is_dead_by_table, name: type_name::<Arc<T>> } }
    }
}

// SAFETY: argued in the header.
unsafe impl<T: ?Sized + Send + Sync + 'static> Owner for Weak<T> {
    unsafe fn is_gone(&self, _key: usize) -> bool {
        is_gone(self)
    }

    /// It lets go when it is dropped.
    unsafe fn release(&self, _key: usize) {}
}

/// Orders all that other threads did before they took the strong count of a host to 0, which was seen, before what follows.
#[inline]
pub(super) fn order_last_uses() {
    if cfg!(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "s390x"))) && barrier::is_available() {
        let _ = barrier::heavy();
    }
}

fn is_gone<T: ?Sized>(weak: &Weak<T>) -> bool {
    if weak.strong_count() != 0 {
        return false;
    }
    // Both halves are argued in the header. The count itself does not matter.
    let _ = weak.weak_count();
    // Acquire: pairs with the Release decrement of every `Arc` that was dropped.
    fence(Ordering::Acquire);
    #[cfg(thread_sanitizer)]
    acquire_strong_count(weak);
    true
}

/// Tells the thread sanitizer, which sees no fences, what the one in [`is_gone`] orders: what was done before the strong
/// count was decremented. Only `.ci/sanitize` compiles it.
#[cfg(thread_sanitizer)]
fn acquire_strong_count<T: ?Sized>(weak: &Weak<T>) {
    unsafe extern "C" {
        fn __tsan_acquire(address: *mut ());
    }
    let object = weak.as_ptr();
    // SAFETY: the memory stays as long as the `Weak`, and nothing of it is read but what the pointer itself says.
    let align = align_of_val(unsafe { &*object });
    // The memory begins with the strong count. Two counts, and what aligns the object, lie before it.
    let strong_count = object.cast::<()>().wrapping_byte_sub(align.max(2 * size_of::<usize>()));
    // SAFETY: it is the sanitizer's own, and only looks up what that has noted of the address.
    unsafe { __tsan_acquire(strong_count.cast_mut()) };
}
