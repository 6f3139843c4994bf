//! The `Weak` of a table entry: the allocation, and so the address, is not reused while the entry exists.
//!
//! In: an `Arc`. Out: a [`HostOwner`] for the first node of the host's fields. The owner holds one `Weak`. Neighbours:
//! `mod.rs`, which makes the first node; `fields/node.rs`, the trait; `log/mod.rs`, which calls the check whether a
//! host is dead.
//!
//! A `Weak` of a sized type is an address, and the entry's key determines the address. So the node need not store the
//! `Weak`: [`ThinWeak`] is zero-sized. A node with a small value is then a quarter smaller, and fits in one cache line.
//! A `Weak` of an unsized type also has metadata, so the node stores the `Weak`.
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
//! order, the uses still come before the drop. On other processors, [`order_last_uses`] issues a process-wide
//! barrier before the fields of a dead host are dropped: the thread of `try_unwrap` has passed the exchange, so the
//! barrier comes after all earlier loads of the thread. `ARCHITECTURE.md` describes the remaining gap.

use std::any::{Any, type_name};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ptr;

use crate::fields::HostOwner;
use crate::hazard::barrier;
use crate::host::arc::log::HostType;
use crate::host::arc::{KEY_OFFSET, is_dead_by_table, is_thin_ptr};
use crate::sync::{Arc, Ordering, Weak, fence};

/// An owner that keeps the allocation of an `Arc<T>`.
///
/// # Safety
///
/// `keep` keeps the allocation of `host`, and so the address, until [`HostOwner::release`] and the drop. The `is_dead`
/// of `host_type` returns whether the host of a key is dead, for a host in the table whose first node has an owner made
/// by `keep`.
pub(super) unsafe trait WeakOwner<T: ?Sized>: HostOwner {
    fn keep(host: &Arc<T>) -> Self;

    /// The type of such hosts: how the log checks whether a host is dead.
    fn host_type() -> &'static HostType;
}

/// A `Weak<T>` that the key determines. Only for types with [`is_thin_ptr`].
pub(super) struct ThinWeak<T: ?Sized>(PhantomData<fn() -> *const T>);

// SAFETY: `keep` turns a `Weak` into a raw pointer without a drop, and `release` drops the `Weak`. `is_dead` makes the
// same `Weak` from the key.
unsafe impl<T: ?Sized + Send + Sync + 'static> WeakOwner<T> for ThinWeak<T> {
    fn keep(host: &Arc<T>) -> Self {
        assert!(is_thin_ptr::<T>(), "there is more to it than its key");
        Weak::into_raw(Arc::downgrade(host)).cast::<()>().expose_provenance();
        Self(PhantomData)
    }

    fn host_type() -> &'static HostType {
        const { &HostType { is_dead: Self::is_dead, name: type_name::<Arc<T>> } }
    }
}

impl<T: ?Sized + Send + Sync + 'static> ThinWeak<T> {
    /// Whether the host of this key is dead. Loads the counts only.
    ///
    /// # Safety
    ///
    /// `key` is the key of an `Arc<T>` that a `ThinWeak<T>` keeps.
    unsafe fn is_dead(key: usize) -> bool {
        // SAFETY: by this function's contract, a `ThinWeak<T>` keeps the `Arc<T>` of `key`.
        is_gone(&*unsafe { Self::weak(key) })
    }

    /// The kept `Weak`.
    ///
    /// # Safety
    ///
    /// `key` is the key of an `Arc<T>` that a `ThinWeak<T>` keeps.
    unsafe fn weak(key: usize) -> ManuallyDrop<Weak<T>> {
        assert!(is_thin_ptr::<T>(), "there is more to it than its key");
        let pointer = ptr::with_exposed_provenance::<()>(key.wrapping_add(KEY_OFFSET));
        // SAFETY: both pointers are one address without metadata, by the assertion.
        let pointer = unsafe { mem::transmute_copy::<*const (), *const T>(&pointer) };
        // SAFETY: by this function's contract, `keep` has exposed this pointer, which `Weak::into_raw` returned.
        ManuallyDrop::new(unsafe { Weak::from_raw(pointer) })
    }
}

// SAFETY: `is_gone` returns `true` after a load of the strong count has returned 0, and after an Acquire fence. The
// module's header argues that all uses of the host then happen before the return.
unsafe impl<T: ?Sized + Send + Sync + 'static> HostOwner for ThinWeak<T> {
    unsafe fn is_gone(&self, key: usize) -> bool {
        // SAFETY: by the contract of `is_gone`, `key` is the key of the host whose `Arc` this owner keeps.
        unsafe { Self::is_dead(key) }
    }

    unsafe fn release(&self, key: usize) {
        // SAFETY: by the contract of `release`, `key` is the key of the host whose `Arc` this owner keeps, and the call
        // is the only one.
        drop(ManuallyDrop::into_inner(unsafe { Self::weak(key) }));
    }

    unsafe fn set_counted(&self, key: usize, is_counted: bool) {
        // SAFETY: by the contract `key` is the key of the host; an `Arc` keeps the allocation while the count is given
        // up.
        let weak = unsafe { Self::weak(key) };
        if is_counted {
            mem::forget(Weak::clone(&weak));
        } else {
            drop(ManuallyDrop::into_inner(weak));
        }
    }

    unsafe fn upgrade(&self, key: usize, hosts: &mut dyn Any) {
        // SAFETY: by the contract of `upgrade`, `key` is the key of the host whose `Arc` this owner keeps.
        upgrade(&*unsafe { Self::weak(key) }, hosts);
    }
}

// SAFETY: a `Weak` keeps the allocation until the drop. `is_dead_by_table` asks the first node, which has the `Weak`.
unsafe impl<T: ?Sized + Send + Sync + 'static> WeakOwner<T> for Weak<T> {
    fn keep(host: &Arc<T>) -> Self {
        Arc::downgrade(host)
    }

    fn host_type() -> &'static HostType {
        const { &HostType { is_dead: is_dead_by_table, name: type_name::<Arc<T>> } }
    }
}

// SAFETY: `is_gone` returns `true` after a load of the strong count has returned 0, and after an Acquire fence. The
// module's header argues that all uses of the host then happen before the return.
unsafe impl<T: ?Sized + Send + Sync + 'static> HostOwner for Weak<T> {
    unsafe fn is_gone(&self, _key: usize) -> bool {
        is_gone(self)
    }

    /// The drop of the `Weak` releases the allocation.
    unsafe fn release(&self, _key: usize) {}

    unsafe fn set_counted(&self, _key: usize, is_counted: bool) {
        if is_counted {
            mem::forget(self.clone());
        } else {
            // SAFETY: the result is a second `Weak` with the count of `self`. By the contract an `Arc` keeps the
            // allocation until a call with `true` counts `self` again.
            drop(unsafe { ptr::read(self) });
        }
    }

    unsafe fn upgrade(&self, _key: usize, hosts: &mut dyn Any) {
        upgrade(self, hosts);
    }
}

/// Pushes the host of a `Weak` to `hosts`, if `hosts` is a `Vec` of such hosts.
fn upgrade<T: ?Sized + 'static>(weak: &Weak<T>, hosts: &mut dyn Any) {
    if let Some(hosts) = hosts.downcast_mut::<Vec<Arc<T>>>() {
        hosts.extend(weak.upgrade());
    }
}

/// Orders all uses of a dead host before the code after the call. The caller has loaded the strong count 0.
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
