//! Addresses as hosts, with fields by `raw`.
//!
//! In: an address, a declaration and an action. Out: the result of the library. The unsafe calls meet the contract of
//! `raw`:
//!
//! - No other code uses the addresses of a world, and no code dereferences an address. So the object of an address
//!   outlives its fields.
//! - A world belongs to one thread, detaches write-once values only between accesses, and keeps no reference to a value
//!   from one operation to the next. So no field is detached while a reference to its value is in use.

use std::ptr::NonNull;

use shadow_runtime::raw::{self, AttachError, Id, InitError, PointerId, UpdateId};

use super::hosts::{Detached, Failed, Initialiser, Refusable, Refused, Shared, number_of, refused};
use super::operation::{Declaration, Field, Policy};
use super::value::{Small, Value, declared};

/// An address with fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object(pub(crate) *const ());

const ONCE: [Id<Value>; 3] = [Id::new(1), Id::new(5), Id::new(9)];
const MADE: [Made; 3] = [Made::Value(Id::new(2)), Made::Value(Id::new(6)), Made::Pointer(PointerId::new(10))];
const NEWEST: [UpdateId<Value>; 3] = [UpdateId::new(3), UpdateId::new(7), UpdateId::new(11)];
const COPIED: [UpdateId<Small>; 3] = [UpdateId::new(4), UpdateId::new(8), UpdateId::new(12)];

/// An id with an initialiser, of one of two kinds. For the oracle, the kinds do not differ.
#[derive(Clone, Copy)]
enum Made {
    Value(Id<Value>),
    Pointer(PointerId<Box<Value>>),
}

/// The value of a pointer.
///
/// # Safety
///
/// The pointer comes from a `PointerId` of boxes, and the field is not detached during `'a`.
unsafe fn pointee<'a>(pointer: NonNull<Value>) -> &'a Value {
    // SAFETY: by the contract the box stays during `'a`. The world borrows values as shared.
    unsafe { pointer.as_ref() }
}

impl Shared for Object {
    fn once(&self, declaration: Declaration) -> Option<&Value> {
        // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
        unsafe { ONCE[declaration as usize].get(self.0) }.unwrap()
    }

    fn attach_once(&self, declaration: Declaration, value: Value) -> Result<&Value, Refused> {
        // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
        let attached = unsafe { ONCE[declaration as usize].attach(self.0, value) };
        attached.map_err(|error| match error {
            AttachError::AlreadyAttached(error) => refused(error),
            other => panic!("{other}"),
        })
    }

    fn made(&self, declaration: Declaration) -> &Value {
        self.get_or_attach_made(declaration, &mut || Ok(declared()))
    }

    fn peek_made(&self, declaration: Declaration) -> Option<&Value> {
        match MADE[declaration as usize] {
            // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
            Made::Value(id) => unsafe { id.get(self.0) }.unwrap(),
            Made::Pointer(id) => {
                // SAFETY: only this world uses the address, so its fields are the object's.
                let pointer = unsafe { id.get(self.0) }.unwrap();
                // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
                pointer.map(|pointer| unsafe { pointee(pointer) })
            }
        }
    }

    fn get_or_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> &Value {
        self.get_or_try_attach_made(declaration, init).expect("it does not fail")
    }

    fn get_or_try_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> Result<&Value, Failed> {
        let made = match MADE[declaration as usize] {
            // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
            Made::Value(id) => unsafe { id.get_or_attach(self.0, init) },
            Made::Pointer(id) => {
                // SAFETY: no code dereferences the address, so the object outlives the field.
                let pointer = unsafe { id.get_or_attach(self.0, || init().map(Box::new)) };
                // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
                pointer.map(|pointer| unsafe { pointee(pointer) })
            }
        };
        made.map_err(|error| match error {
            InitError::Init(error) => error,
            InitError::Circle(circle) => panic!("{circle}"),
            other => panic!("{other:?}"),
        })
    }

    fn newest(&self, declaration: Declaration) -> Option<Value> {
        let id = NEWEST[declaration as usize];
        if declaration == Declaration::Third {
            // SAFETY: only this world uses the address, so its fields are the object's.
            return unsafe { id.inspect(self.0, Value::clone) }.unwrap();
        }
        // SAFETY: only this world uses the address, so its fields are the object's.
        unsafe { id.get(self.0) }.unwrap()
    }

    fn update_newest(&self, declaration: Declaration, value: Value) -> Option<Value> {
        // SAFETY: no code dereferences the address, so the object outlives the field.
        unsafe { NEWEST[declaration as usize].get_or_update(self.0, value) }.unwrap()
    }

    fn update_newest_with(
        &self,
        declaration: Declaration,
        next: &mut dyn FnMut(Option<&Value>) -> Value,
    ) -> Option<Value> {
        // SAFETY: no code dereferences the address, so the object outlives the field.
        unsafe { NEWEST[declaration as usize].update_with(self.0, next) }.unwrap()
    }

    fn try_update_newest_with(
        &self,
        declaration: Declaration,
        next: Refusable<'_, Value>,
    ) -> Result<Option<Value>, Failed> {
        // SAFETY: no code dereferences the address, so the object outlives the field.
        unsafe { NEWEST[declaration as usize].try_update_with(self.0, next) }.map_err(failed)
    }

    fn take_newest(&self, declaration: Declaration) -> Option<Value> {
        // SAFETY: only this world uses the address, so its fields are the object's; a read returns a clone.
        unsafe { NEWEST[declaration as usize].detach(self.0) }.unwrap()
    }

    fn copied(&self, declaration: Declaration) -> Option<Small> {
        let id = COPIED[declaration as usize];
        if declaration == Declaration::Third {
            // SAFETY: only this world uses the address, so its fields are the object's.
            return unsafe { id.inspect(self.0, |small| *small) }.unwrap();
        }
        // SAFETY: only this world uses the address, so its fields are the object's.
        unsafe { id.get(self.0) }.unwrap()
    }

    fn update_copied(&self, declaration: Declaration, value: Small) -> Option<Small> {
        // SAFETY: no code dereferences the address, so the object outlives the field.
        unsafe { COPIED[declaration as usize].get_or_update(self.0, value) }.unwrap()
    }

    fn update_copied_with(
        &self,
        declaration: Declaration,
        next: &mut dyn FnMut(Option<&Small>) -> Small,
    ) -> Option<Small> {
        // SAFETY: no code dereferences the address, so the object outlives the field.
        unsafe { COPIED[declaration as usize].update_with(self.0, next) }.unwrap()
    }

    fn try_update_copied_with(
        &self,
        declaration: Declaration,
        next: Refusable<'_, Small>,
    ) -> Result<Option<Small>, Failed> {
        // SAFETY: no code dereferences the address, so the object outlives the field.
        unsafe { COPIED[declaration as usize].try_update_with(self.0, next) }.map_err(failed)
    }
}

fn failed(error: InitError<Failed>) -> Failed {
    match error {
        InitError::Init(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Calls `detach` of a raw id.
pub(crate) fn detach_raw(object: Object, Field { declaration, policy }: Field) -> Option<Detached> {
    let index = declaration as usize;
    match policy {
        // SAFETY: a world keeps no reference to a value between operations.
        Policy::Once => unsafe { ONCE[index].detach(object.0) }.unwrap().map(Detached::Value),
        Policy::Made => match MADE[index] {
            // SAFETY: a world keeps no reference to a value between operations.
            Made::Value(id) => unsafe { id.detach(object.0) }.unwrap().map(Detached::Value),
            // SAFETY: a world keeps no reference to a value between operations.
            Made::Pointer(id) => unsafe { id.detach(object.0) }.unwrap().map(|value| Detached::Value(*value)),
        },
        // SAFETY: only this world uses the address, so its fields are the object's.
        Policy::Newest => unsafe { NEWEST[index].detach(object.0) }.unwrap().map(Detached::Value),
        // SAFETY: only this world uses the address, so its fields are the object's.
        Policy::Copied => unsafe { COPIED[index].detach(object.0) }.unwrap().map(Detached::Small),
    }
}

/// Calls `raw::detach_object`.
pub(crate) fn detach_object(object: Object) -> usize {
    // SAFETY: a world keeps no reference to a value between operations.
    unsafe { raw::detach_object(object.0) }
}

/// Calls `detach_all` of a raw id.
pub(crate) fn detach_all(Field { declaration, policy }: Field, mut each: impl FnMut(Object, Detached)) -> usize {
    let index = declaration as usize;
    let mut value = |object, value| each(Object(object), Detached::Value(value));
    match policy {
        // SAFETY: a world keeps no reference to a value between operations.
        Policy::Once => unsafe { ONCE[index].detach_all(&mut value) }.unwrap(),
        Policy::Made => match MADE[index] {
            // SAFETY: a world keeps no reference to a value between operations.
            Made::Value(id) => unsafe { id.detach_all(&mut value) }.unwrap(),
            // SAFETY: a world keeps no reference to a value between operations.
            Made::Pointer(id) => unsafe { id.detach_all(|object, boxed| value(object, *boxed)) }.unwrap(),
        },
        // SAFETY: only this world uses the addresses with fields of this id.
        Policy::Newest => unsafe { NEWEST[index].detach_all(&mut value) }.unwrap(),
        Policy::Copied => {
            // SAFETY: only this world uses the addresses with fields of this id.
            unsafe { COPIED[index].detach_all(|object, small| each(Object(object), Detached::Small(small))) }.unwrap()
        }
    }
}

/// Calls `drain` of a raw id, and then `each` with all values.
pub(crate) fn drain(Field { declaration, policy }: Field, mut each: impl FnMut(Object, Detached)) -> usize {
    let index = declaration as usize;
    let of_value = |(object, value)| (Object(object), Detached::Value(value));
    let values: Vec<(Object, Detached)> = match policy {
        // SAFETY: a world keeps no reference to a value between operations.
        Policy::Once => unsafe { ONCE[index].drain() }.unwrap().map(of_value).collect(),
        Policy::Made => match MADE[index] {
            // SAFETY: a world keeps no reference to a value between operations.
            Made::Value(id) => unsafe { id.drain() }.unwrap().map(of_value).collect(),
            Made::Pointer(id) => {
                // SAFETY: a world keeps no reference to a value between operations.
                let drain = unsafe { id.drain() }.unwrap();
                drain.map(|(object, boxed)| of_value((object, *boxed))).collect()
            }
        },
        // SAFETY: only this world uses the addresses with fields of this id.
        Policy::Newest => unsafe { NEWEST[index].drain() }.unwrap().map(of_value).collect(),
        Policy::Copied => {
            // SAFETY: only this world uses the addresses with fields of this id.
            let drain = unsafe { COPIED[index].drain() }.unwrap();
            drain.map(|(object, small)| (Object(object), Detached::Small(small))).collect()
        }
    };
    let count = values.len();
    for (object, value) in values {
        each(object, value);
    }
    count
}

/// Uses the number of a field with the type `String`, by all kinds of id, and with the field's own type by a second
/// kind. Returns whether the library refuses every call, and hands every value back.
pub(crate) fn clash(object: Object, field: Field) -> bool {
    let number = u64::from(number_of(field)) + 1;
    let (once, newest) = (Id::<String>::new(number), UpdateId::<String>::new(number));
    let text = || "text".to_owned();
    // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
    let attach = unsafe { once.attach(object.0, text()) };
    // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
    let init = unsafe { once.get_or_attach(object.0, || -> Result<String, Failed> { unreachable!("it is refused") }) };
    // SAFETY: no code dereferences the address, so the object outlives the field.
    let update = unsafe { newest.get_or_update(object.0, text()) };
    // SAFETY: a world detaches only between accesses, and only this world uses the address.
    let reads = [unsafe { once.get(object.0) }.is_err(), unsafe { newest.get(object.0) }.is_err()];
    let other = match field.policy {
        // SAFETY: only this world uses the address, so its fields are the object's.
        Policy::Once => unsafe { PointerId::<Box<Value>>::new(number).get(object.0) }.is_err(),
        // SAFETY: only this world uses the address, so its fields are the object's.
        Policy::Made => unsafe { UpdateId::<Value>::new(number).get(object.0) }.is_err(),
        // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
        Policy::Newest => unsafe { Id::<Value>::new(number).get(object.0) }.is_err(),
        // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
        Policy::Copied => unsafe { Id::<Small>::new(number).get(object.0) }.is_err(),
    };
    let pointer = PointerId::<Box<String>>::new(number);
    let init_pointer = || -> Result<Box<String>, Failed> { unreachable!("it is refused") };
    // SAFETY: no code dereferences the address, so the object outlives the field.
    let attach_pointer = unsafe { pointer.attach_with(object.0, init_pointer) };
    // SAFETY: only this world uses the address, so its fields are the object's.
    let pointers = [unsafe { pointer.get(object.0) }.is_err(), unsafe { pointer.detach(object.0) }.is_err()];
    // SAFETY: a world keeps no reference to a value between operations, and only this world uses the address.
    let ends = [unsafe { once.detach(object.0) }.is_err(), unsafe { newest.detach(object.0) }.is_err()];
    matches!(init, Err(InitError::TypeMismatch(error)) if error.id() == number)
        && matches!(&attach, Err(AttachError::TypeMismatch(error)) if error.id() == number)
        && matches!(&update, Err(error) if error.id() == number)
        && attach.is_err_and(|error| error.into_value() == "text")
        && update.is_err_and(|error| error.into_value() == "text")
        && matches!(attach_pointer, Err(InitError::TypeMismatch(error)) if error.id() == number)
        && pointers == [true; 2]
        && reads == [true; 2]
        && ends == [true; 2]
        && other
}
