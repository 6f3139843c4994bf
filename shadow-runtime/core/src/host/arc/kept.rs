//! The `Weak` of a table entry: the allocation, and so the address, is not reused while the entry exists.
//!
//! In: an `Arc`. Out: an [`Owner`] for the first node of the host's fields, which counts as one `Weak`. Neighbour:
//! `../arc.rs`.
//!
//! A `Weak` of a sized type is an address, and the entry's key determines the address. So the node need not store the
//! `Weak`: [`Thin`] is zero-sized. A node with a small value is then a quarter smaller, and fits in one cache line. A
//! `Weak` of an unsized type also has metadata, so the node stores the `Weak`.
//!
//! A key is an integer. The pointer of the `Weak` was exposed when the node was made, so a key can become a pointer
//! again with the exposed provenance.
//!
//! # The last `Arc` against the sweeper
//!
//! The sweeper must not drop a value before the last reader's use of the value. A reader uses a value while the reader
//! borrows an `Arc`, and gives up the `Arc` by a Release decrement of the strong count. The sweeper loads the strong
//! count, and then passes an Acquire fence: every use happens-before the drop.
//!
//! `try_unwrap` and `make_mut` take the strong count from 1 to 0 without a Release. Their Release follows a few steps
//! later, when they give up the weak count that all strong references share. So the sweeper loads the weak count with
//! Acquire too, by `Weak::weak_count`. A sweep may fall between these few steps. On a processor with a total store
//! order, the order of the sweep is then still right. On other processors, [`order_last_uses`] issues a process-wide
//! barrier before the fields of a dead host are dropped: the thread of `try_unwrap` has passed the exchange, so the
//! barrier comes after all earlier loads of the thread. `ARCHITECTURE.md` describes the remaining gap.

use std::any::type_name;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ptr;

use crate::fields::Owner;
use crate::host::arc::is_dead_by_table;
use crate::host::arc::log::Kind;
use crate::readers::barrier;
use crate::sync::{Arc, Ordering, Weak, fence};

/// The distance from the key to the object. The bytes at the key are the counts, or padding for the object's alignment;
/// both belong to the allocation alone.
const BEFORE: usize = 2 * size_of::<usize>();

/// The key of the allocation of `host` in the table. For most types, the key is the address that the `Arc` stores, so
/// the compiler has nothing to calculate.
#[inline]
pub(super) fn key_of<T: ?Sized>(host: &Arc<T>) -> usize {
    Arc::as_ptr(host).addr().wrapping_sub(BEFORE)
}

/// An owner that keeps the allocation of an `Arc<T>`.
///
/// # Safety
///
/// `keep` keeps the allocation of `host`, and so the address, until [`Owner::release`] and the drop. The kind's
/// `is_dead` returns whether the host of a key is dead, for a host in the table whose first node has an owner made by
/// `keep`.
pub(super) unsafe trait Keeps<T: ?Sized>: Owner {
    fn keep(host: &Arc<T>) -> Self;

    /// The kind of such hosts: how the log checks whether a host is dead.
    fn kind() -> &'static Kind;
}

/// A `Weak<T>` that the key determines. Only for types with [`is_thin`].
pub(super) struct Thin<T: ?Sized>(PhantomData<fn() -> *const T>);

/// Whether a pointer to a `T` is an address without metadata.
pub(super) const fn is_thin<T: ?Sized>() -> bool {
    size_of::<*const T>() == size_of::<*const ()>()
}

// SAFETY: `keep` turns a `Weak` into a raw pointer without a drop, and `release` drops the `Weak`. `is_dead` makes the
// same `Weak` from the key.
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
    /// Whether the host of this key is dead. Loads the counts only.
    ///
    /// # Safety
    ///
    /// `key` is the key of an `Arc<T>` that a `Thin<T>` keeps.
    unsafe fn is_dead(key: usize) -> bool {
        // SAFETY: by this function's contract, a `Thin<T>` keeps the `Arc<T>` of `key`.
        is_gone(&*unsafe { Self::weak(key) })
    }

    /// The kept `Weak`.
    ///
    /// # Safety
    ///
    /// `key` is the key of an `Arc<T>` that a `Thin<T>` keeps.
    unsafe fn weak(key: usize) -> ManuallyDrop<Weak<T>> {
        assert!(is_thin::<T>(), "there is more to it than its key");
        let pointer = ptr::with_exposed_provenance::<()>(key.wrapping_add(BEFORE));
        // SAFETY: both pointers are one address without metadata, by the assertion.
        let pointer = unsafe { mem::transmute_copy::<*const (), *const T>(&pointer) };
        // SAFETY: by this function's contract, `keep` has exposed this pointer, which `Weak::into_raw` returned.
        ManuallyDrop::new(unsafe { Weak::from_raw(pointer) })
    }
}

// SAFETY: `is_gone` returns `true` after a load of the strong count has returned 0, and after an Acquire fence. The
// module's header argues that all uses of the host then happen before the return.
unsafe impl<T: ?Sized + Send + Sync + 'static> Owner for Thin<T> {
    unsafe fn is_gone(&self, key: usize) -> bool {
        // SAFETY: by the contract of `is_gone`, `key` is the key of the host whose `Arc` this owner keeps.
        unsafe { Self::is_dead(key) }
    }

    unsafe fn release(&self, key: usize) {
        // SAFETY: by the contract of `release`, `key` is the key of the host whose `Arc` this owner keeps, and the call
        // is the only one.
        drop(ManuallyDrop::into_inner(unsafe { Self::weak(key) }));
    }
}

// SAFETY: a `Weak` keeps the allocation until the drop. `is_dead_by_table` asks the first node, which has the `Weak`.
unsafe impl<T: ?Sized + Send + Sync + 'static> Keeps<T> for Weak<T> {
    fn keep(host: &Arc<T>) -> Self {
        Arc::downgrade(host)
    }

    fn kind() -> &'static Kind {
        const { &Kind { is_dead: is_dead_by_table, name: type_name::<Arc<T>> } }
    }
}

// SAFETY: `is_gone` returns `true` after a load of the strong count has returned 0, and after an Acquire fence. The
// module's header argues that all uses of the host then happen before the return.
unsafe impl<T: ?Sized + Send + Sync + 'static> Owner for Weak<T> {
    unsafe fn is_gone(&self, _key: usize) -> bool {
        is_gone(self)
    }

    /// The drop of the `Weak` releases the allocation.
    unsafe fn release(&self, _key: usize) {}
}

/// Orders all uses of a host before a strong count of 0, which the caller has seen, before all that follows the call.
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
    // The header argues for both loads. The value of the weak count does not matter.
    let _ = weak.weak_count();
    // Acquire: pairs with the Release decrement of every `Arc` that was dropped.
    fence(Ordering::Acquire);
    #[cfg(thread_sanitizer)]
    acquire_strong_count(weak);
    true
}

/// Tells the thread sanitizer, which ignores fences, what the fence in [`is_gone`] orders: all uses before the
/// decrements of the strong count. Only `.ci/sanitize` compiles this function.
#[cfg(thread_sanitizer)]
fn acquire_strong_count<T: ?Sized>(weak: &Weak<T>) {
    unsafe extern "C" {
        fn __tsan_acquire(address: *mut ());
    }
    let object = weak.as_ptr();
    // SAFETY: the `Weak` keeps the memory, and `align_of_val` reads only the pointer's metadata.
    let align = align_of_val(unsafe { &*object });
    // The allocation begins with the strong count. Two counts, and padding for the object's alignment, lie before the
    // object.
    let strong_count = object.cast::<()>().wrapping_byte_sub(align.max(2 * size_of::<usize>()));
    // SAFETY: the function belongs to the sanitizer, and only looks up the sanitizer's own notes on the address.
    unsafe { __tsan_acquire(strong_count.cast_mut()) };
}
