//! Fields of any address: the kernel's own interface, typed.
//!
//! This is the interface of the Linux kernel's shadow variables (`Documentation/livepatch/shadow-vars.rst`) for objects
//! that safe Rust cannot vouch for: those of C, those behind a plugin interface, those whose life only the program
//! knows. A field is named by a number; [`Id<V>`] adds the type of its values, which are written once, [`UpdateId<V>`]
//! is for values that are replaced.
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
//! 1. **The object outlives its fields.** Fields are detached before the object goes ([`detach_object`] does it for
//!    all). Otherwise the next object at this address has them.
//! 2. **Nobody uses what is detached.** While somebody holds a `&V` that `get`, `attach` or `get_or_attach` returned,
//!    or is about to be returned one, the field is not detached: not by [`Id::detach`], not by [`Id::detach_all`], not
//!    by [`detach_object`]. The lifetime of that `&V` is the caller's to choose, and to keep. So these three do not run
//!    at the same time as a detach of the very field that they ask for; whatever happens to other fields of that
//!    object, or to that field of other objects, is no matter.
//!
//! Values that [`UpdateId::get`] returned are clones, and may be kept, and its fields may be detached while it runs.
//!
//! Everything else is safe to do from any thread at any time: methods may race with one another on one object or on
//! many. Nothing looks behind the address; it need not even be valid.
//!
//! # One number, one type
//!
//! One number names one value type of one kind in this process, from the first time that something is attached by it,
//! for good. Any other type or kind that uses it gets a [`TypeMismatch`], which names both, whatever the object.
//!
//! # Cost
//!
//! Each field of an object is two allocations, one of them of 40 bytes; each number has a table of its own, of a
//! kilobyte and what its fields take. A `get` takes no lock: it looks the number up, which finds a clash of numbers as
//! well, and in its table the object. Attach, update and detach lock a part of that table, and the object if it gets or
//! loses a field, for a moment each. Neither code of the caller nor the global allocator runs under a lock.
//!
//! | method | blocks | allocates | panics | runs code of yours |
//! |---|---|---|---|---|
//! | [`Id::get`] | no | no | no | no |
//! | [`UpdateId::get`] | no | on a thread's first read, and on one inside of a clone; as `Clone` does | as `Clone` and `Drop` do | `Clone`; `Drop`, of values replaced or detached meanwhile |
//! | [`Id::attach`] | for a moment; while an initialiser of the field runs | yes, but on a refusal | inside of an initialiser of the field | the logger, on a refusal |
//! | [`Id::get_or_attach`] on a miss | for a moment; while another's initialiser runs | yes | as the initialiser does; if it asks for its own field | the initialiser; `Drop` of gone `Arc` hosts, if it has attached to others |
//! | [`UpdateId::get_or_update`] | for a moment | yes, but not for a small value, where there is one already, and its thread has just replaced or detached one of that size | as `Clone` and `Drop` do | `Clone`, `Drop`, if somebody is cloning what is replaced |
//! | [`Id::detach`] | for a moment | no | no | no |
//! | [`UpdateId::detach`] | for a moment | no; as `Clone` does | as `Clone` and `Drop` do | `Clone`, `Drop`, if somebody is cloning what is detached |
//! | [`Id::detach_all`], [`UpdateId::detach_all`] | for a moment | yes | as what is called does, when all are done | what is given; and as `detach` does |
//! | [`detach_object`] | for a moment | no; as `Drop` does | as `Drop` does, when all are done | `Drop` |

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

/// Detaches every field of one address, whatever their ids, and returns how many there were. Locks for a moment; the
/// destructors run under no lock, when all fields are out.
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
/// If destructors do: the first panic is raised again after all of them have run.
///
/// # Safety
///
/// Nobody holds a reference to a value of this object. See [the module](self#what-the-caller-promises).
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
