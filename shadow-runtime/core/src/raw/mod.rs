//! Fields of any address: the kernel's own interface, typed.
//!
//! This module is the interface of the Linux kernel's shadow variables (`Documentation/livepatch/shadow-vars.rst`) for
//! objects that safe Rust cannot vouch for: objects of C, objects behind a plugin interface, objects whose lifetime
//! only the program knows. A number names a field. The type parameter is the type of the field's values: [`Id<V>`] for
//! write-once values, [`UpdateId<V>`] for values that are replaced.
//!
//! ```
//! use std::sync::Mutex;
//! use shadow_runtime::raw;
//!
//! const PS_LOCK: raw::Id<Mutex<()>> = raw::Id::new(1);
//!
//! let object = Box::into_raw(Box::new(0_u8));
//! let key = object.cast_const().cast();
//! // SAFETY: the object lives until the end of this block, where its fields are detached first; nobody else knows it.
//! unsafe {
//!     let lock = PS_LOCK.get_or_attach(key, || Ok::<_, ()>(Mutex::new(()))).unwrap();
//!     drop(lock.lock());
//!     assert_eq!(raw::detach_object(key), 1);
//!     drop(Box::from_raw(object));
//! }
//! ```
//!
//! # What the caller promises
//!
//! Every method is unsafe, for the two reasons that the kernel's documentation gives its callers:
//!
//! 1. **The object outlives its fields.** The program detaches all fields before the end of the object
//!    ([`detach_object`] detaches all at once). Otherwise the next object at this address inherits the fields.
//! 2. **No detach during a use.** While a thread holds a `&V` from `get`, `attach` or `get_or_attach`, or runs one of
//!    these three methods, no thread detaches this field: not by [`Id::detach`], not by [`Id::detach_all`], not by
//!    [`detach_object`]. The caller chooses the lifetime of the `&V`, and keeps the promise for this lifetime. Detaches
//!    of other fields of the object, and of the same field of other objects, are allowed.
//!
//! [`UpdateId::get`] returns a clone, without a borrow of the field. So the program may keep the clone, and may detach
//! the field during the call.
//!
//! All other uses are safe, on any thread and at any time: methods may race on one object or on many. No method
//! dereferences the address, so the address need not be a valid pointer.
//!
//! # One number, one type
//!
//! From the first attach by a number on, the number names one value type and one kind of id in this process, for ever.
//! A use of the number with a second type or kind returns a [`TypeMismatch`], which names both, for any object.
//!
//! # Cost
//!
//! A field of an object costs two allocations, one of 40 bytes. A number has its own table: a kilobyte, and memory in
//! proportion to its fields. A `get` takes no lock: the lookup of the number also detects a type mismatch, and the
//! lookup of the object follows in the number's table. Attach, update and detach take the lock of one shard of the
//! table, and the lock of the object if the object gains or loses a field, for a moment each. Neither user code nor the
//! global allocator runs under a lock.
//!
//! | method | blocks | allocates | panics | runs user code |
//! |---|---|---|---|---|
//! | [`Id::get`] | no | no | no | no |
//! | [`UpdateId::get`] | no | on a thread's first read, and on a read inside of a clone; as `Clone` does | as `Clone` and `Drop` do | `Clone`; `Drop` of values that were replaced or detached meanwhile |
//! | [`Id::attach`] | for a moment; while an initialiser of the field runs | yes, except on a refusal | inside of an initialiser of the field | the logger, on a refusal |
//! | [`Id::get_or_attach`] on a miss | for a moment; while an initialiser of the field runs on a second thread | yes | as the initialiser does; on a request for its own field | the initialiser; `Drop` of dead `Arc` hosts, if the initialiser attached to `Arc` hosts |
//! | [`UpdateId::get_or_update`] | for a moment | yes, except for a small value in place of a value, on a thread that has just replaced or detached a value of this size | as `Clone` and `Drop` do | `Clone` and `Drop`, if a reader is cloning the previous value |
//! | [`Id::detach`] | for a moment | no | no | no |
//! | [`UpdateId::detach`] | for a moment | no; as `Clone` does | as `Clone` and `Drop` do | `Clone` and `Drop`, if a reader is cloning the value |
//! | [`Id::detach_all`], [`UpdateId::detach_all`] | for a moment | yes | as the callback and `detach` do, after the last object | the callback; as `detach` does |
//! | [`detach_object`] | for a moment | no; as `Drop` does | as `Drop` does, after the last field | `Drop` |

mod error;
mod id;
mod kind;
mod newest;
mod objects;
mod once;
mod table;
mod update_id;

pub use error::{AttachError, InitError, TypeMismatch};
pub use id::Id;
#[cfg(loom)]
#[doc(hidden)]
pub use newest::modelled;
pub use update_id::UpdateId;

use crate::panics::Panics;

/// Detaches every field of one address, whatever the id, and returns the number of fields. Locks for a moment. The
/// destructors run under no lock, after the removal of all fields.
///
/// ```
/// use shadow_runtime::raw;
///
/// const SIZE: raw::Id<usize> = raw::Id::new(1);
/// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
///
/// let object = 0_u8;
/// let key = (&raw const object).cast();
/// // SAFETY: the object outlives its fields, and no reference to a value is kept.
/// unsafe {
///     SIZE.attach(key, 8).unwrap();
///     NAME.get_or_update(key, "first").unwrap();
///     assert_eq!(raw::detach_object(key), 2);
///     assert_eq!(SIZE.get(key).unwrap(), None);
/// }
/// ```
///
/// # Panics
///
/// If a destructor panics: the first panic is raised again after the last destructor.
///
/// # Safety
///
/// No thread holds a reference to a value of this object. See [the module](self#what-the-caller-promises).
#[expect(clippy::must_use_candidate, reason = "mostly called for what it does")]
pub unsafe fn detach_object(object: *const ()) -> usize {
    let mut panics = Panics::none();
    let mut count = 0;
    for taken in objects::lock(object.addr()).take_all() {
        count += 1;
        taken.kind.field.counts().detached();
        panics.contain(&taken.kind.field, || drop(taken));
    }
    panics.raise();
    count
}
