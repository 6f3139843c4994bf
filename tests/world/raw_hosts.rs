//! Addresses as hosts, with fields by `raw`.
//!
//! In: an address, a declaration and an action. Out: the result of the library. The unsafe calls meet the contract of
//! `raw`:
//!
//! - No other code uses the addresses of a world, and no code dereferences an address. So the object of an address
//!   outlives its fields.
//! - A world belongs to one thread, detaches only between accesses, and keeps no reference to a value from one
//!   operation to the next. So no field is detached while a reference to its value is in use.

use shadow_runtime::raw::{self, AttachError, Id, InitError, UpdateId};

use super::hosts::{Detached, Failed, Initialiser, Refused, Shared, number_of, refused};
use super::operation::{Declaration, Field, Policy};
use super::value::{Small, Value, declared};

/// An address with fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object(pub(crate) *const ());

const ONCE: [Id<Value>; 3] = [Id::new(1), Id::new(5), Id::new(9)];
const MADE: [Id<Value>; 3] = [Id::new(2), Id::new(6), Id::new(10)];
const NEWEST: [UpdateId<Value>; 3] = [UpdateId::new(3), UpdateId::new(7), UpdateId::new(11)];
const COPIED: [UpdateId<Small>; 3] = [UpdateId::new(4), UpdateId::new(8), UpdateId::new(12)];

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
            AttachError::TypeMismatch(error) => panic!("{error}"),
        })
    }

    fn made(&self, declaration: Declaration) -> &Value {
        self.get_or_attach_made(declaration, &mut || Ok(declared()))
    }

    fn peek_made(&self, declaration: Declaration) -> Option<&Value> {
        // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
        unsafe { MADE[declaration as usize].get(self.0) }.unwrap()
    }

    fn get_or_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> &Value {
        self.get_or_try_attach_made(declaration, init).expect("it does not fail")
    }

    fn get_or_try_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> Result<&Value, Failed> {
        // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
        let made = unsafe { MADE[declaration as usize].get_or_attach(self.0, init) };
        made.map_err(|error| match error {
            InitError::Init(error) => error,
            InitError::TypeMismatch(error) => panic!("{error}"),
        })
    }

    fn newest(&self, declaration: Declaration) -> Option<Value> {
        // SAFETY: only this world uses the address, so its fields are the object's.
        unsafe { NEWEST[declaration as usize].get(self.0) }.unwrap()
    }

    fn update_newest(&self, declaration: Declaration, value: Value) -> Option<Value> {
        // SAFETY: no code dereferences the address, so the object outlives the field.
        unsafe { NEWEST[declaration as usize].get_or_update(self.0, value) }.unwrap()
    }

    /// `raw` has no accessor with a closure, so the world never calls this method or `update_copied_with`.
    fn update_newest_with(
        &self,
        declaration: Declaration,
        next: &mut dyn FnMut(Option<&Value>) -> Value,
    ) -> Option<Value> {
        let _ = (declaration, next);
        unreachable!("nobody asks for it")
    }

    fn copied(&self, declaration: Declaration) -> Option<Small> {
        // SAFETY: only this world uses the address, so its fields are the object's.
        unsafe { COPIED[declaration as usize].get(self.0) }.unwrap()
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
        let _ = (declaration, next);
        unreachable!("nobody asks for it")
    }
}

/// Calls `detach` of a raw id.
pub(crate) fn detach_raw(object: Object, Field { declaration, policy }: Field) -> Option<Detached> {
    let index = declaration as usize;
    match policy {
        // SAFETY: a world keeps no reference to a value between operations.
        Policy::Once => unsafe { ONCE[index].detach(object.0) }.unwrap().map(Detached::Value),
        // SAFETY: a world keeps no reference to a value between operations.
        Policy::Made => unsafe { MADE[index].detach(object.0) }.unwrap().map(Detached::Value),
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
        // SAFETY: a world keeps no reference to a value between operations.
        Policy::Made => unsafe { MADE[index].detach_all(&mut value) }.unwrap(),
        // SAFETY: only this world uses the addresses with fields of this id.
        Policy::Newest => unsafe { NEWEST[index].detach_all(&mut value) }.unwrap(),
        Policy::Copied => {
            // SAFETY: only this world uses the addresses with fields of this id.
            unsafe { COPIED[index].detach_all(|object, small| each(Object(object), Detached::Small(small))) }.unwrap()
        }
    }
}

/// Uses the number of a field with the type `String`, by both kinds of id, and with the field's own type by the other
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
        Policy::Once | Policy::Made => unsafe { UpdateId::<Value>::new(number).get(object.0) }.is_err(),
        // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
        Policy::Newest => unsafe { Id::<Value>::new(number).get(object.0) }.is_err(),
        // SAFETY: a world detaches only between accesses, so the field is not detached during the borrow.
        Policy::Copied => unsafe { Id::<Small>::new(number).get(object.0) }.is_err(),
    };
    // SAFETY: a world keeps no reference to a value between operations, and only this world uses the address.
    let ends = [unsafe { once.detach(object.0) }.is_err(), unsafe { newest.detach(object.0) }.is_err()];
    matches!(init, Err(InitError::TypeMismatch(error)) if error.id() == number)
        && matches!(&attach, Err(AttachError::TypeMismatch(error)) if error.id() == number)
        && matches!(&update, Err(error) if error.id() == number)
        && attach.is_err_and(|error| error.into_value() == "text")
        && update.is_err_and(|error| error.into_value() == "text")
        && reads == [true; 2]
        && ends == [true; 2]
        && other
}
