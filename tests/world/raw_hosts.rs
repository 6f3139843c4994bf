//! Addresses as hosts, which have fields by `raw`.
//!
//! The unsafe calls keep to what `raw` asks for: a world is used by one thread, holds no reference to a value from one
//! operation to the next, detaches only between accesses, and has addresses of its own that nothing else uses.

use shadow_runtime::raw::{self, AttachError, Id, InitError, UpdateId};

use super::hosts::{Detached, Failed, Initialiser, Refused, Shared, number_of, refused};
use super::operation::{Declaration, Field, Policy};
use super::value::{Small, Value, declared};

/// An address that has fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object(pub(crate) *const ());

const ONCE: [Id<Value>; 3] = [Id::new(1), Id::new(5), Id::new(9)];
const MADE: [Id<Value>; 3] = [Id::new(2), Id::new(6), Id::new(10)];
const NEWEST: [UpdateId<Value>; 3] = [UpdateId::new(3), UpdateId::new(7), UpdateId::new(11)];
const COPIED: [UpdateId<Small>; 3] = [UpdateId::new(4), UpdateId::new(8), UpdateId::new(12)];

impl Shared for Object {
    fn once(&self, declaration: Declaration) -> Option<&Value> {
        // SAFETY: see above.
        unsafe { ONCE[declaration as usize].get(self.0) }.unwrap()
    }

    fn attach_once(&self, declaration: Declaration, value: Value) -> Result<&Value, Refused> {
        // SAFETY: see above.
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
        // SAFETY: see above.
        unsafe { MADE[declaration as usize].get(self.0) }.unwrap()
    }

    fn get_or_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> &Value {
        self.get_or_try_attach_made(declaration, init).expect("it does not fail")
    }

    fn get_or_try_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> Result<&Value, Failed> {
        // SAFETY: see above.
        let made = unsafe { MADE[declaration as usize].get_or_attach(self.0, init) };
        made.map_err(|error| match error {
            InitError::Init(error) => error,
            InitError::TypeMismatch(error) => panic!("{error}"),
        })
    }

    fn newest(&self, declaration: Declaration) -> Option<Value> {
        // SAFETY: see above.
        unsafe { NEWEST[declaration as usize].get(self.0) }.unwrap()
    }

    fn update_newest(&self, declaration: Declaration, value: Value) -> Option<Value> {
        // SAFETY: see above.
        unsafe { NEWEST[declaration as usize].get_or_update(self.0, value) }.unwrap()
    }

    /// `raw` has no such accessor, so nobody asks for it; nor below.
    fn update_newest_with(
        &self,
        declaration: Declaration,
        next: &mut dyn FnMut(Option<&Value>) -> Value,
    ) -> Option<Value> {
        let _ = (declaration, next);
        unreachable!("nobody asks for it")
    }

    fn copied(&self, declaration: Declaration) -> Option<Small> {
        // SAFETY: see above.
        unsafe { COPIED[declaration as usize].get(self.0) }.unwrap()
    }

    fn update_copied(&self, declaration: Declaration, value: Small) -> Option<Small> {
        // SAFETY: see above.
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

/// `detach` of a raw id.
pub(crate) fn detach_raw(object: Object, Field { declaration, policy }: Field) -> Option<Detached> {
    let index = declaration as usize;
    match policy {
        // SAFETY: see above.
        Policy::Once => unsafe { ONCE[index].detach(object.0) }.unwrap().map(Detached::Value),
        // SAFETY: see above.
        Policy::Made => unsafe { MADE[index].detach(object.0) }.unwrap().map(Detached::Value),
        // SAFETY: see above.
        Policy::Newest => unsafe { NEWEST[index].detach(object.0) }.unwrap().map(Detached::Value),
        // SAFETY: see above.
        Policy::Copied => unsafe { COPIED[index].detach(object.0) }.unwrap().map(Detached::Small),
    }
}

/// `raw::detach_object`.
pub(crate) fn detach_object(object: Object) -> usize {
    // SAFETY: see above.
    unsafe { raw::detach_object(object.0) }
}

/// `detach_all` of a raw id.
pub(crate) fn detach_all(Field { declaration, policy }: Field, mut each: impl FnMut(Object, Detached)) -> usize {
    let index = declaration as usize;
    let mut value = |object, value| each(Object(object), Detached::Value(value));
    match policy {
        // SAFETY: see above.
        Policy::Once => unsafe { ONCE[index].detach_all(&mut value) }.unwrap(),
        // SAFETY: see above.
        Policy::Made => unsafe { MADE[index].detach_all(&mut value) }.unwrap(),
        // SAFETY: see above.
        Policy::Newest => unsafe { NEWEST[index].detach_all(&mut value) }.unwrap(),
        Policy::Copied => {
            // SAFETY: see above.
            unsafe { COPIED[index].detach_all(|object, small| each(Object(object), Detached::Small(small))) }.unwrap()
        }
    }
}

/// Uses the number of a field for text, written once and replaced, and for its own type in the other way. Returns
/// whether all of it was refused, and what was to be attached handed back.
pub(crate) fn clash(object: Object, field: Field) -> bool {
    let number = u64::from(number_of(field)) + 1;
    let (once, newest) = (Id::<String>::new(number), UpdateId::<String>::new(number));
    let text = || "text".to_owned();
    // SAFETY: see above.
    let attach = unsafe { once.attach(object.0, text()) };
    // SAFETY: see above.
    let init = unsafe { once.get_or_attach(object.0, || -> Result<String, Failed> { unreachable!("it is refused") }) };
    // SAFETY: see above.
    let update = unsafe { newest.get_or_update(object.0, text()) };
    // SAFETY: see above.
    let reads = [unsafe { once.get(object.0) }.is_err(), unsafe { newest.get(object.0) }.is_err()];
    let other = match field.policy {
        // SAFETY: see above.
        Policy::Once | Policy::Made => unsafe { UpdateId::<Value>::new(number).get(object.0) }.is_err(),
        // SAFETY: see above.
        Policy::Newest => unsafe { Id::<Value>::new(number).get(object.0) }.is_err(),
        // SAFETY: see above.
        Policy::Copied => unsafe { Id::<Small>::new(number).get(object.0) }.is_err(),
    };
    // SAFETY: see above.
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
