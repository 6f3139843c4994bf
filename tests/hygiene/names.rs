//! Hygiene of generated code: the code is independent of names that the user may have redefined, and a user's name
//! resolves where the user wrote it.
//!
//! This file has no prelude, and redefines many short names that generated code could use.

#![no_implicit_prelude]
#![allow(non_upper_case_globals, non_camel_case_types, dead_code, reason = "the names are hostile on purpose")]

/// A decoy.
mod core {}
/// A decoy.
mod std {}
/// A decoy.
mod shadow_runtime {}
/// A decoy.
mod alloc {}

struct Option;
struct Result;
struct Some;
struct Ok;
struct FnOnce;
struct FnMut;
struct Sized;
struct Send;
struct Sync;
struct Attach;
struct GetOrAttach;
struct GetOrUpdate;
struct FieldSet;
struct CarriedValue;
struct CloneCarried;
struct NewSet;
struct Field;
struct Host;
struct ShadowFields;
struct V;
#[derive(::std::default::Default)]
struct E;
struct D;
struct S;
struct H;
struct T;
/// A type with the name of a primitive type.
struct u32;
/// A type with the name of a primitive type.
struct usize;

// A constant turns an argument of the same name into a pattern. Of the names that a user could write, generated code
// has the arguments `value`, `init` and `next` alone, which the documentation shows.
const set: u8 = 0;
const visit: u8 = 0;
const host: u8 = 0;
static FIELDS: u8 = 0;

#[derive(::std::clone::Clone, ::std::default::Default)]
struct Value(u8);

#[derive(::shadow_runtime::Shadow, ::std::clone::Clone, ::std::default::Default)]
#[shadow_field(attach one: Value)]
#[shadow_field(get_or_attach two: Value)]
#[shadow_field(get_or_attach three: Value = Value(self.seed))]
#[shadow_field(get_or_update four: Value)]
#[shadow_field(get_or_attach cell: Value)]
#[shadow_field(get_or_attach look: Value)]
#[shadow_field(get_or_attach get: Value)]
#[shadow_field(attach reach: Value)]
#[shadow_field(attach attach: Value)]
#[shadow_field(get_or_update update: Value)]
#[shadow_field(attach fields: Value)]
#[shadow_field(#[shadow(clone)] attach r#type: Value)]
#[shadow_field(get_or_attach value: Value)]
#[shadow_field(get_or_attach init: E)]
#[shadow_field(#[shadow(clone)] get_or_update next: Value)]
struct Task {
    seed: u8,
    shadow: ::shadow_runtime::ShadowFields,
}

/// Inherent methods with names of the library's own methods (`find`, `empty`), and of an accessor of `More` (`five`).
impl Task {
    fn find(&self) -> u8 {
        self.seed
    }
    fn empty(&self) -> u8 {
        self.seed
    }
    fn five(&self) -> u8 {
        self.seed
    }
}

::shadow_runtime::shadow! {
    trait More for Task {
        get_or_attach five: Value = Value(self.seed + 1);
    }
    trait Shared for ::std::sync::Arc<Task> {
        get_or_attach one: Value;
        get_or_attach six: Value = Value(self.find() + 2);
        get_or_update seven: Value;
        attach eight: Value;
    }
    trait Fixed for &'static Task {
        get_or_attach nine: Value = Value(self.seed + 3);
        get_or_update ten: Value;
        attach eleven: Value;
    }
    trait Wrapped for ::shadow_runtime::Shadowed<Value> {
        get_or_attach twelve: Value = Value(self.0 + 4);
    }
}

static TASK: Task = Task { seed: 5, shadow: ::shadow_runtime::ShadowFields::new() };

#[::std::prelude::v1::test]
fn generated_code_does_not_care_what_names_mean_here() {
    let mut task = Task { seed: 7, shadow: ::shadow_runtime::ShadowFields::new() };
    ::std::assert!(task.attach_one(Value(1)).is_ok());
    ::std::assert_eq!(task.one().unwrap().0, 1);
    ::std::assert_eq!(task.three().0, 7);
    ::std::assert_eq!(task.get_or_attach_two(|| Value(2)).0, 2);
    ::std::assert!(task.update_four(Value(4)).is_none());
    ::std::assert_eq!(task.update_four_with(|last| Value(last.unwrap().0 + 1)).unwrap().0, 4);
    ::std::assert!(task.attach_type(Value(1)).is_ok());
    ::std::assert!(task.attach_attach(Value(1)).is_ok());
    ::std::assert_eq!(task.r#type().unwrap().0, 1);
    let error = task.get_or_try_attach_init(|| ::std::result::Result::Err(8)).err();
    ::std::assert_eq!(error, ::std::option::Option::Some(8));
    ::std::assert_eq!(task.get_or_attach_value(|| Value(9)).0, 9);
    ::std::assert!(task.update_next(Value(1)).is_none());
    ::std::assert_eq!(task.cell().0 + task.look().0 + task.get().0, 0);
    let clone = ::std::clone::Clone::clone(&task);
    ::std::assert_eq!(clone.r#type().unwrap().0 + clone.next().unwrap().0, 2);
    ::std::assert!(clone.one().is_none());

    // The accessor of `More` attaches the field, independent of the inherent method of the same name.
    ::std::assert_eq!(task.five(), 7);
    More::five_mut(&mut task).0 += 1;
    ::std::assert_eq!(More::five(&task).0, 9);

    let shared = ::std::sync::Arc::new(task);
    ::std::assert_eq!(shared.six().0, 9);
    ::std::assert_eq!(shared.one().0, 0);
    ::std::assert_eq!((&TASK).nine().0, 8);
    ::std::assert_eq!(::shadow_runtime::Shadowed::new(Value(1)).twelve().0, 5);
}
