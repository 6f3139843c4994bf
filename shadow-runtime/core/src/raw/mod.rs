//! Fields of any address: the kernel's own interface, typed.
//!
//! This module is the interface of the Linux kernel's shadow variables (`Documentation/livepatch/shadow-vars.rst`) for
//! objects whose lifetime the compiler does not know: objects of C, or objects behind a plugin interface. A number
//! names a field. The type parameter is the type of the field's values: [`Id<V>`] for write-once values,
//! [`UpdateId<V>`] for values that are replaced, [`PointerId<P>`] for owning pointers that a lookup copies.
//!
//! ```
//! use std::sync::Mutex;
//! use shadow_runtime::raw;
//!
//! const PS_LOCK: raw::Id<Mutex<()>> = raw::Id::new(1);
//!
//! let object = Box::into_raw(Box::new(0_u8));
//! let key = object.cast_const().cast();
//! // SAFETY: the object lives until the end of this block, where its fields are detached first; no other code uses it.
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
//! Every method that uses a field is unsafe. The caller makes two promises, as in the kernel's documentation:
//!
//! 1. **The object outlives its fields.** The program detaches all fields before the end of the object
//!    ([`detach_object`] detaches all at once). Otherwise the next object at this address inherits the fields.
//! 2. **No detach during a use.** While a thread holds a `&V` from `get`, `attach`, `attach_with` or `get_or_attach`,
//!    or runs one of these four methods, no thread detaches this field: not by [`Id::detach`], not by
//!    [`Id::detach_all`] or [`Id::drain`], not by [`Id::drain_object`] or [`detach_object`]. The caller chooses the
//!    lifetime of the `&V`, and keeps the promise for this lifetime. Detaches of other fields of the object, and of the
//!    same field of other objects, are allowed.
//!
//! The methods of [`UpdateId`] and [`PointerId`] return no borrow of the field, so a thread may detach the field during
//! a call. The methods of [`UpdateId`] return values and clones, which outlive the field. The methods of [`PointerId`]
//! return copies of a pointer: the program dereferences the pointer only while no thread detaches the field.
//!
//! All other uses are safe, on any thread and at any time: methods may race on one object or on many. No method
//! dereferences the address, so the address need not be a valid pointer.
//!
//! # One number, one type
//!
//! The first attach by a number binds the number to one value type and one kind of id, in the whole process, for ever.
//! A use of the number with another type or kind, for any object, returns a [`TypeMismatch`]. This error names both
//! types.
//!
//! # Names
//!
//! An id may have a name, by [`Id::named`], [`UpdateId::named`] or [`PointerId::named`]. A program that names numbers
//! at run time calls [`describe`]. The report of the [registry](crate::registry()) and all messages have the names:
//! `raw id 1 "counter"`.
//!
//! # Initialisers
//!
//! `get_or_attach` of each kind of id runs an initialiser if the field is empty. `attach_with` of each kind is a unique
//! attach: an error if the field is attached. One initialiser of a field runs at a time, under no lock. A cycle of
//! initialisers, each of which waits for the next, may contain fields of `raw` and declared fields. If the request that
//! would close the cycle is a call of `raw`, the call returns the error [`Circle`]. If the request is a call of an
//! accessor of a declared field, the accessor panics.
//!
//! # Cost
//!
//! A field of an object costs two allocations: one with the value, and one of 40 bytes, an entry in the list of the
//! object's fields. A field of a [`PointerId`] costs only the entry, beside the pointee. Each number has its own table,
//! which costs a kilobyte, and memory in proportion to the number's fields. A `get` takes no lock. The lookup of the
//! number finds the table, and detects a type mismatch; the lookup of the object follows in this table. Attach, update
//! and detach take the lock of one shard of the table for a moment, and an attach or a detach also takes the lock of
//! the object. Neither user code nor the global allocator runs under these locks, apart from the closure of
//! [`PointerId::inspect`].
//!
//! A detach of a field of all objects, or a list of the objects, visits each slot of the number's table: at most five
//! for each field of the table's peak. Each object is a step of its own, and takes the lock of a shard for the time of
//! the step.
//!
//! | method | blocks | allocates | panics | runs user code |
//! |---|---|---|---|---|
//! | [`Id::get`] | no | no | no | no |
//! | [`UpdateId::get`] | no | on a thread's first read, and on a read inside of a clone; as `Clone` does | as `Clone` and `Drop` do | `Clone`; `Drop` of values that were replaced or detached meanwhile |
//! | [`UpdateId::inspect`] | no | on a thread's first read, and on a read inside of a clone or of the closure; as the closure does | as the closure and `Drop` do | the closure; `Drop` as in `get` |
//! | [`PointerId::get`] | no | no | no | no |
//! | [`Id::attach`] | for a moment; while an initialiser of the field runs | yes, except on a refusal | no | the logger, on a refusal |
//! | [`Id::get_or_attach`] on a miss | for a moment; while an initialiser of the field runs on a second thread | yes | as the initialiser does | the initialiser; `Drop` of dead `Arc` hosts, if the initialiser attached to `Arc` hosts |
//! | [`Id::attach_with`] | as `get_or_attach` does | yes, except on a refusal | as the initialiser does | the initialiser, except on a refusal; the logger, on a refusal; `Drop` as in `get_or_attach` |
//! | [`PointerId::get_or_attach`] on a miss, [`PointerId::attach_with`] | as the methods of an `Id` do | as the methods of an `Id` do | as the initialiser does | as the methods of an `Id` do |
//! | [`PointerId::inspect`] | for a moment | no | no | the closure, which follows the rules of `inspect` |
//! | [`UpdateId::get_or_attach`] on a miss | for a moment; while an initialiser of the field runs on a second thread | yes | as the initialiser, `Clone` and `Drop` do | the initialiser; `Clone` of the result; `Drop` of the result, if an update attaches a value meanwhile; `Drop` as in `get_or_attach` of an `Id` |
//! | [`UpdateId::attach_with`] | as `get_or_attach` does | yes, except on a refusal before the initialiser | as the initialiser, `Clone` and `Drop` do | as `get_or_attach` does; the logger, on a refusal |
//! | [`UpdateId::get_or_update`], [`UpdateId::try_get_or_update`] | for a moment | yes, except for a small value in place of a value, on a thread that has just replaced or detached a value of this size | as `Clone` and `Drop` do; in a closure that makes the field's next value | `Clone` and `Drop`, if a reader is cloning the previous value |
//! | [`UpdateId::update_with`], [`UpdateId::try_update_with`] | for a moment | as `get_or_update` does | as the closure and `get_or_update` do | the closure; `Drop` of its result, if the field changes meanwhile; as `get_or_update` does |
//! | [`Id::detach`], [`PointerId::detach`] | for a moment | no | no | no |
//! | [`UpdateId::detach`] | for a moment | no; as `Clone` does | as `Clone` and `Drop` do | `Clone` and `Drop`, if a reader is cloning the value |
//! | [`Id::detach_all`], [`UpdateId::detach_all`], [`PointerId::detach_all`] | for a moment | no; as the callback and `detach` do | as the callback and `detach` do, after the last object | the callback; as `detach` does |
//! | a step of a [`Drain`] | for a moment | as `detach` does | as `detach` does | as `detach` does |
//! | a step of a [`DrainObject`], whose making blocks for a moment | no | no; as `Clone` does | as `detach` does | as `detach` does |
//! | the drop of a [`Drain`] or a [`DrainObject`] | for a moment | no; as `Drop` does | as `Drop` does, after the last field | `Drop` |
//! | a step of [`Objects`] | for a moment | no | no | no |
//! | [`detach_object`] | for a moment | no; as `Drop` does | as `Drop` does, after the last field | `Drop` |
//! | [`describe`], [`try_describe`] | for a moment | yes | no | no |
//!
//! With the feature `counts`, the first attach, update, detach or refusal of a thread also allocates the thread's
//! counters, and locks the registry for a moment.
//!
//! # Without memory
//!
//! These methods return [`OutOfMemory`], and change nothing: `get_or_attach` and `attach_with` of a [`PointerId`] and
//! of an [`UpdateId`]; and `inspect`, `try_get_or_update` and `try_update_with` of an `UpdateId`. Only the number may
//! be bound to the type from then on. Lookups, detaches, [`Drain`], [`DrainObject`] and [`Objects`] need no memory,
//! except for the `Clone` of a value. Other methods end the process, as `Box::new` does.

mod drain;
mod error;
mod field_lock;
mod id;
mod ids;
mod objects;
mod pointer_id;
mod pointer_table;
mod table;
mod update_id;
mod update_table;
mod write_once;

pub use crate::fallible::OutOfMemory;
pub use crate::init_lock::Circle;
pub use crate::registry::Description;
pub use drain::{Drain, DrainObject, Objects};
pub use error::{AttachError, InitError, TypeMismatch};
pub use id::Id;
pub use pointer_id::{Pointer, PointerId};
pub use update_id::UpdateId;

use std::alloc::{Layout, handle_alloc_error};

use crate::registry;

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
    objects::lock(object.addr()).take_all(|_| true).end()
}

/// Describes a number in the report and in messages: for a program that names numbers at run time, or whose ids are in
/// another language. An id in Rust has a name by [`Id::named`], [`UpdateId::named`] or [`PointerId::named`].
///
/// The call may come before or after the first attach by the number, and the last description wins. A report has the
/// texts of the time of its snapshot, and a message those of the time of its print. The library keeps a description for
/// ever, so the program leaks texts that it makes at run time.
///
/// Takes the lock of the registry, allocates, and moves the descriptions of higher numbers.
///
/// ```
/// use shadow_runtime::{raw, registry};
///
/// let counter: raw::Id<u64> = raw::Id::new(1);
/// raw::describe(1, raw::Description::new("counter").host("struct socket").declared_at("net/socket.c", 12));
/// assert_eq!(counter.to_string(), r#"raw id 1 "counter""#);
///
/// let object = 0_u8;
/// let key = (&raw const object).cast();
/// // SAFETY: the object outlives its fields, and no reference to a value is kept.
/// unsafe {
///     counter.attach(key, 8).unwrap();
///     raw::detach_object(key);
/// }
/// let report = registry().report();
/// let row = report.iter().find(|row| row.number() == Some(1)).unwrap();
/// assert_eq!((row.host(), row.field(), row.value_type()), ("struct socket", "counter", "u64"));
/// assert_eq!(row.declared_at().to_string(), "net/socket.c:12");
/// ```
pub fn describe(number: u64, description: Description) {
    try_describe(number, description).unwrap_or_else(|_| handle_alloc_error(Layout::new::<(u64, Description)>()));
}

/// As [`describe`], for a program that goes on without memory.
///
/// ```
/// use shadow_runtime::raw;
///
/// raw::try_describe(1, raw::Description::new("counter"))?;
/// assert_eq!(raw::Id::<u64>::new(1).to_string(), r#"raw id 1 "counter""#);
/// # Ok::<_, raw::OutOfMemory>(())
/// ```
///
/// # Errors
///
/// If there is no memory for the description. The number keeps its previous description.
pub fn try_describe(number: u64, description: Description) -> Result<(), OutOfMemory> {
    registry::try_describe(number, description)
}
