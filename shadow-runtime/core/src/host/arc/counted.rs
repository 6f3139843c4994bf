//! Counted pointers of other crates as hosts: `Counted`, and the functions of the `Host` that `counted_host!` writes.
//!
//! In: a pointer whose type is `Counted`. Out: the fields of its object, for as long as a pointer to the object exists.
//! The objects share the table, the log and the sweeps of `Arc` hosts. Neighbours: `mod.rs`, the table and the
//! invariants A1 and A2; `weak.rs`, the same for an `Arc`.

use std::any::{Any, type_name};
use std::mem::ManuallyDrop;
use std::ptr;

use crate::field_set::FieldSet;
use crate::fields::{Found, HostOwner, RootPtr, Unpublished};
use crate::host::arc::log::{HostType, LogEntry};
use crate::host::arc::{TABLE, insert_entry, is_dead_by_table, publish, sweep};
use crate::identity::Identity;
use crate::panics::Panics;

/// A counted pointer of another crate, whose object is to be a host as the object of an `Arc` is.
///
/// The orphan rule asks for a type of your crate: wrap the pointer in a struct. Then
/// [`counted_host!`](crate::counted_host) makes the struct a host. The object is a host for `shadow!` as an `Arc<T>`:
/// all pointers to the object share the fields, and sweeps drop the fields after the last pointer is gone.
///
/// ```
/// use std::pin::Pin;
/// use std::sync::{Arc, Weak};
/// use shadow_runtime::{Counted, counted_host, registry, shadow};
///
/// struct Socket { port: u16 }
///
/// #[derive(Clone)]
/// struct Pinned(Pin<Arc<Socket>>);
///
/// // SAFETY: A4: the address of a `Socket` in its `Arc`, and a `Socket` is not zero-sized. A5: a `Weak` keeps the
/// // allocation. A6, A7: no `Weak` leaves this `impl`, so 0 is final, and the fence acquires the drops of the
/// // pointers. A8: the functions load a pointer or a count.
/// unsafe impl Counted for Pinned {
///     type Weak = Weak<Socket>;
///
///     fn address(&self) -> usize {
///         std::ptr::from_ref(&*self.0).addr()
///     }
///
///     fn downgrade(&self) -> Self::Weak {
///         // SAFETY: the object is not moved.
///         Arc::downgrade(&unsafe { Pin::into_inner_unchecked(self.0.clone()) })
///     }
///
///     fn is_gone(weak: &Self::Weak) -> bool {
///         let is_gone = weak.strong_count() == 0;
///         std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
///         is_gone
///     }
/// }
/// counted_host!(Pinned);
///
/// shadow! { trait SocketFields for Pinned { attach peer: String; } }
///
/// let socket = Pinned(Arc::pin(Socket { port: 80 }));
/// socket.attach_peer("a client".to_owned()).unwrap();
/// assert_eq!(socket.clone().peer().unwrap(), "a client");
/// drop(socket);
/// assert_eq!(registry().sweep(), 1);
/// ```
///
/// # Safety
///
/// The *weak reference* of an object is the result of a `downgrade`. The library believes:
///
/// - **A4** `address` returns one number for all pointers to an object, as long as a pointer or a weak reference
///   exists. The byte at this address belongs to the object, or to the counts beside the object, and to no other
///   object. So a zero-sized object in the common memory of several objects is no host. If pointers of two types have
///   one address, as the two ends of a channel may, then each type's `is_gone` asks about all of these pointers; or
///   each type has a byte of its own.
/// - **A5** As long as a weak reference exists, the memory of the object is not freed, so no other object gets the
///   address.
/// - **A6** After `is_gone` has returned `true`, no thread has or gets a pointer of any type to the object, except for
///   the weak references themselves and for an owner that moves the object to another address.
/// - **A7** Before `is_gone` returns `true`, every use of a pointer to the object has happened: the drop of a pointer
///   is a `Release`, and `is_gone` passes an `Acquire`.
/// - **A8** `address` and `is_gone` return without a panic. The library calls `is_gone` under its locks, so `is_gone`
///   does not wait, does not allocate or free memory, and does not call this library.
///
/// A weak reference may be a strong count, if the type has no weak count: then `is_gone` asks whether the count is the
/// only one, and the object stays alive until a sweep. The drop of a weak reference may run any code. A panic of the
/// drop reaches the log.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a counted pointer: it does not implement `Counted`",
    label = "not `Counted`",
    note = "write `unsafe impl Counted for {Self}`: the library asks for the address of the object, and whether it is gone"
)]
pub unsafe trait Counted: 'static {
    /// A reference that keeps the memory of the object, and that any thread may ask and drop.
    type Weak: Send + Sync + 'static;

    /// The address of the object, or of another byte that belongs to the object.
    fn address(&self) -> usize;

    /// A weak reference to the object.
    fn downgrade(&self) -> Self::Weak;

    /// Whether the object of `weak` has no pointers any more.
    fn is_gone(weak: &Self::Weak) -> bool;
}

/// Makes a type that is [`Counted`] a host: `counted_host!(Pointer)`, or with generics
/// `counted_host!(for [T: Send + Sync + 'static] Pointer<T>)`.
#[macro_export]
macro_rules! counted_host {
    (for [$($generics:tt)*] $pointer:ty) => {
        // SAFETY: P1 to P3 hold by A4 to A8: the functions are those of a table by the address of the object.
        unsafe impl<$($generics)*> $crate::Host for $pointer
        where
            // Without `Counted`, the compiler reports this bound, and no call below.
            $pointer: $crate::Counted,
        {
            #[inline]
            fn find<__S: $crate::__private::FieldSet + 'static>(
                host: &Self,
            ) -> ::core::option::Option<$crate::__private::Found<'_, __S>> {
                $crate::__private::counted::find(host)
            }

            fn find_or_insert<__S: $crate::__private::FieldSet + 'static>(host: &Self) -> &__S {
                $crate::__private::counted::find_or_insert(host)
            }

            fn new_first<__S: $crate::__private::FieldSet + 'static>(
                host: &Self,
            ) -> ::core::option::Option<$crate::__private::Unpublished<__S>> {
                $crate::__private::counted::new_first(host)
            }

            unsafe fn insert_first<__S: $crate::__private::FieldSet + 'static>(
                host: &Self,
                new: $crate::__private::Unpublished<__S>,
            ) -> ::core::result::Result<&__S, $crate::__private::Unpublished<__S>> {
                // SAFETY: by the contract `new` comes from `new_first` of this host, with a ready first cell.
                unsafe { $crate::__private::counted::insert_first(host, new) }
            }

            fn identity(host: &Self) -> $crate::__private::Identity {
                $crate::__private::counted::identity(host)
            }

            fn after_attach(host: &Self) {
                $crate::__private::counted::after_attach(host);
            }
        }
    };
    ($pointer:ty) => {
        $crate::counted_host!(for [] $pointer);
    };
}

/// The weak reference of an object, in the first node of the object's fields.
struct CountedOwner<P: Counted> {
    weak: ManuallyDrop<P::Weak>,
}

impl<P: Counted> CountedOwner<P> {
    fn keep(host: &P) -> Self {
        Self { weak: ManuallyDrop::new(host.downgrade()) }
    }

    fn host_type() -> &'static HostType {
        const { &HostType { is_dead: is_dead_by_table, name: type_name::<P> } }
    }
}

// SAFETY: by A6 and A7 no thread can borrow a pointer to the object after `is_gone` has returned `true`, and all uses
// happen before.
unsafe impl<P: Counted> HostOwner for CountedOwner<P> {
    unsafe fn is_gone(&self, _key: usize) -> bool {
        P::is_gone(&self.weak)
    }

    unsafe fn release(&self, _key: usize) {
        // SAFETY: by the contract the owner is only dropped after this call, and the drop of a `ManuallyDrop` drops
        // nothing. So the weak reference is moved out once.
        let weak = unsafe { ptr::read(&raw const *self.weak) };
        let mut panics = Panics::with_context("a dead host");
        panics.contain(&type_name::<P>(), || drop(weak));
        panics.discard();
    }

    /// Not called: only `detach_all` of an `Arc` calls the function.
    unsafe fn set_counted(&self, _key: usize, _is_counted: bool) {}

    /// Only an `Arc` is a host of the registry's iteration.
    unsafe fn upgrade(&self, _key: usize, _hosts: &mut dyn Any) {}
}

/// The field set `S` of the host, if the host has one.
#[inline]
pub fn find<S: FieldSet + 'static, P: Counted>(host: &P) -> Option<Found<'_, S>> {
    let root = RootPtr::from_raw(TABLE.find(host.address())?);
    // SAFETY: by A4 and A5 `root` belongs to the object, and by A1 and A6 is not destroyed while `host` is borrowed. No
    // thread has exclusive access meanwhile. The table loads by an Acquire.
    unsafe { root.find::<S, CountedOwner<P>>() }
}

/// The field set `S` of the host, published if the host has none.
pub fn find_or_insert<S: FieldSet + 'static, P: Counted>(host: &P) -> &S {
    if let Some(found) = find(host) {
        return found.set();
    }
    let key = host.address();
    if TABLE.find(key).is_none() {
        // SAFETY: `key` is the key of `host`, and the owner is made from `host`.
        let new = unsafe { Unpublished::new(CountedOwner::keep(host), key) };
        // SAFETY: `new` was made for this host, with an owner.
        match unsafe { insert(host, new, sweep::log_now) } {
            Ok(set) => return set,
            // A weak reference may be a strong count. So a host has a single one, in its first node.
            Err(second) => drop(second),
        }
    }
    // SAFETY: the owner `()` refers to no host.
    let new = unsafe { Unpublished::new((), key) };
    // By A1 the host, which is borrowed, keeps its entry.
    let there = TABLE.find(key).map(RootPtr::from_raw);
    // SAFETY: `key` is the key of `host`, which is borrowed and has an entry; `new` was made for `host`, of this type.
    unsafe { publish(key, there, new, CountedOwner::<P>::host_type()) }
}

/// Inserts a host with its first field set into the table, and calls `log` with the host.
///
/// # Errors
///
/// If the host has an entry by now: returns `new`.
///
/// # Safety
///
/// `new` was made for this host, with an owner.
#[inline]
unsafe fn insert<S: FieldSet + 'static, P: Counted>(
    host: &P,
    new: Unpublished<S>,
    log: impl FnOnce(LogEntry),
) -> Result<&S, Unpublished<S>> {
    let key = host.address();
    if !insert_entry(key, new.root()) {
        return Err(new);
    }
    // SAFETY: this thread, and no other, has just inserted the host; the type is that of the host.
    log(unsafe { LogEntry::new(key, CountedOwner::<P>::host_type()) });
    // SAFETY: by A1, A2 and A6 the set is not destroyed while `host` is borrowed.
    Ok(unsafe { new.into_published() })
}

/// An unpublished field set for a host without field sets.
#[inline]
pub fn new_first<S: FieldSet + 'static, P: Counted>(host: &P) -> Option<Unpublished<S>> {
    let key = host.address();
    // SAFETY: `key` is the key of `host`, and the owner is made from `host`.
    TABLE.find(key).is_none().then(|| unsafe { Unpublished::new_first_ready(CountedOwner::keep(host), key) })
}

/// Publishes a set as the first field set of the host.
///
/// # Errors
///
/// If the host has a field set by now: returns `new`.
///
/// # Safety
///
/// `new` comes from [`new_first`] of this host, and its first cell is ready.
pub unsafe fn insert_first<S: FieldSet + 'static, P: Counted>(
    host: &P,
    new: Unpublished<S>,
) -> Result<&S, Unpublished<S>> {
    // SAFETY: by the contract `new` comes from `new_first`, which has made an owner from this host.
    unsafe { insert(host, new, sweep::log_later) }
}

/// The identity of the host: the address of the object.
pub fn identity<P: Counted>(host: &P) -> Identity {
    Identity { address: host.address(), type_id: None }
}

/// The sweep of an attach.
pub fn after_attach<P: Counted>(_host: &P) {
    sweep::after_attach();
}
