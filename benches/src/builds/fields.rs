//! Row 16: 200 fields over 20 structs, as shadow fields, written by hand, and left out.
//!
//! In: the variant. Out: the text of its `lib.rs`. Policies and value types alternate. Shadow fields and handwritten
//! fields have accessors of the same names and functions. The same code attaches and reads each field once, so the
//! compiler generates every generic or inline function.

use std::fmt::Write;

/// The number of structs.
pub const STRUCTS: usize = 20;

/// The number of fields of all structs together.
pub const FIELDS: usize = 200;

const ATTACH: [&str; 3] = ["u64", "String", "[u8; 16]"];
const GET_OR_ATTACH: [&str; 3] = ["AtomicU64", "Mutex<Vec<u8>>", "RwLock<String>"];
const GET_OR_UPDATE: [&str; 3] = ["Arc<str>", "Duration", "u64"];

const USED: &str = "\
#![allow(unused_imports)]
use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;
";

/// One field.
struct Field {
    policy: &'static str,
    name: String,
    value: &'static str,
}

/// The fields of struct number `number`.
fn fields(number: usize) -> Vec<Field> {
    let each = FIELDS / STRUCTS;
    let field = |index: usize| {
        let name = format!("f{index}");
        let turn = index / 3 % 3;
        let (policy, value) = match index % 3 {
            0 => ("attach", ATTACH[turn]),
            1 => ("get_or_attach", GET_OR_ATTACH[turn]),
            _ => ("get_or_update", GET_OR_UPDATE[turn]),
        };
        Field { policy, name, value }
    };
    (number * each..(number + 1) * each).map(field).collect()
}

/// The structs without fields.
#[must_use]
pub fn structs() -> String {
    (0..STRUCTS).fold(USED.to_owned(), |text, number| text + &format!("pub struct S{number} {{ pub id: u64 }}\n"))
}

/// The structs with shadow fields.
#[must_use]
pub fn shadow() -> String {
    let mut text = format!("{USED}use shadow_runtime::{{Shadow, ShadowFields}};\n");
    for number in 0..STRUCTS {
        text += "#[derive(Shadow)]\n";
        for Field { policy, name, value } in fields(number) {
            let _ = writeln!(text, "#[shadow_field(pub {policy} {name}: {value})]");
        }
        let _ = writeln!(text, "pub struct S{number} {{ pub id: u64, shadow: ShadowFields }}");
        text += &uses(number);
    }
    text
}

/// The structs with handwritten accessors.
#[must_use]
pub fn by_hand() -> String {
    let mut text = format!("{USED}use arc_swap::ArcSwapOption;\n");
    for number in 0..STRUCTS {
        let fields = fields(number);
        let _ = writeln!(text, "pub struct S{number} {{ pub id: u64, ext: OnceLock<Box<Ext{number}>> }}");
        let _ = writeln!(text, "#[derive(Default)]\nstruct Ext{number} {{");
        for Field { policy, name, value } in &fields {
            let cell = if *policy == "get_or_update" { "ArcSwapOption" } else { "OnceLock" };
            let _ = writeln!(text, "    {name}: {cell}<{value}>,");
        }
        let _ = writeln!(text, "}}\nimpl S{number} {{");
        let _ = writeln!(text, "    fn ext(&self) -> &Ext{number} {{ self.ext.get_or_init(Box::default) }}");
        for Field { policy, name, value } in &fields {
            let accessors = match *policy {
                "attach" => BY_HAND_ATTACH,
                "get_or_attach" => BY_HAND_GET_OR_ATTACH,
                _ => BY_HAND_GET_OR_UPDATE,
            };
            text += &accessors.replace("FIELD", name).replace("VALUE", value);
        }
        text += "}\n";
        text += &uses(number);
    }
    text
}

/// A function that uses all fields of one struct.
fn uses(number: usize) -> String {
    let mut text = format!("pub fn use_s{number}(host: &mut S{number}) {{\n");
    for Field { policy, name, .. } in fields(number) {
        let _ = match policy {
            "attach" => writeln!(text, "    black_box(host.attach_{name}(Default::default()).is_ok());"),
            "get_or_update" => writeln!(text, "    black_box(host.update_{name}(Default::default()));"),
            _ => Ok(()),
        };
        let _ = writeln!(text, "    black_box(host.{name}());");
    }
    text + "}\n"
}

const BY_HAND_ATTACH: &str = "
    #[inline]
    pub fn FIELD(&self) -> Option<&VALUE> {
        self.ext.get()?.FIELD.get()
    }

    #[inline]
    pub fn attach_FIELD(&self, value: VALUE) -> Result<&VALUE, VALUE> {
        let cell = &self.ext().FIELD;
        cell.set(value)?;
        Ok(cell.get().expect(\"just attached\"))
    }

    #[inline]
    pub fn FIELD_mut(&mut self) -> Option<&mut VALUE> {
        self.ext.get_mut()?.FIELD.get_mut()
    }

    #[inline]
    pub fn detach_FIELD(&mut self) -> Option<VALUE> {
        self.ext.get_mut()?.FIELD.take()
    }
";

const BY_HAND_GET_OR_ATTACH: &str = "
    #[inline]
    pub fn FIELD(&self) -> &VALUE {
        self.ext().FIELD.get_or_init(Default::default)
    }

    #[inline]
    pub fn peek_FIELD(&self) -> Option<&VALUE> {
        self.ext.get()?.FIELD.get()
    }

    #[inline]
    pub fn get_or_attach_FIELD(&self, init: impl FnOnce() -> VALUE) -> &VALUE {
        self.ext().FIELD.get_or_init(init)
    }

    #[inline]
    pub fn get_or_try_attach_FIELD<E>(&self, init: impl FnOnce() -> Result<VALUE, E>) -> Result<&VALUE, E> {
        let cell = &self.ext().FIELD;
        if let Some(value) = cell.get() {
            return Ok(value);
        }
        let value = init()?;
        Ok(cell.get_or_init(|| value))
    }

    #[inline]
    pub fn FIELD_mut(&mut self) -> &mut VALUE {
        self.FIELD();
        self.ext.get_mut().and_then(|ext| ext.FIELD.get_mut()).expect(\"just attached\")
    }

    #[inline]
    pub fn detach_FIELD(&mut self) -> Option<VALUE> {
        self.ext.get_mut()?.FIELD.take()
    }
";

/// Without `FIELD_mut`: an `ArcSwapOption` gives no `&mut` access to its value.
const BY_HAND_GET_OR_UPDATE: &str = "
    #[inline]
    pub fn FIELD(&self) -> Option<VALUE> {
        self.ext.get()?.FIELD.load().as_deref().cloned()
    }

    #[inline]
    pub fn update_FIELD(&self, value: VALUE) -> Option<VALUE> {
        self.ext().FIELD.swap(Some(Arc::new(value))).map(|previous| (*previous).clone())
    }

    #[inline]
    pub fn update_FIELD_with(&self, mut next: impl FnMut(Option<&VALUE>) -> VALUE) -> Option<VALUE> {
        let previous = self.ext().FIELD.rcu(|current| Some(Arc::new(next(current.as_deref()))));
        previous.map(|previous| (*previous).clone())
    }

    #[inline]
    pub fn detach_FIELD(&mut self) -> Option<VALUE> {
        self.ext.get_mut()?.FIELD.swap(None).map(|previous| (*previous).clone())
    }
";
