//! The macros accept every type of a field, a member or a host: types with constant expressions, types from variables
//! of a `macro_rules!`, and renamed types.

#![allow(clippy::match_single_binding, clippy::no_effect, reason = "expressions of every kind")]
#![allow(unused_parens, reason = "types of every kind")]

use std::sync::Arc;

use shadow_runtime::{Shadow, ShadowFields, shadow};

struct Sized<const N: usize>;

trait Makes<T>: Send + Sync {
    type Output;
}

#[derive(Shadow)]
#[shadow_field(attach block: [u8; { let a = 1; a + 1 }])]
#[shadow_field(get_or_attach branch: [u8; if true { 3 } else { 4 }])]
#[shadow_field(get_or_attach nested: Option<Arc<[[u8; 2]; match 1 { _ => 2 }]>> = None)]
#[shadow_field(get_or_attach generic: Option<Arc<Sized<{ const X: usize = 3; X }>>>)]
#[shadow_field(attach arrow: &'static dyn Makes<fn() -> [u8; if true { 3 } else { 4 }], Output = u8>)]
#[shadow_field(get_or_attach function: Option<Arc<dyn Fn(u8) -> Vec<u8> + Send + Sync>>)]
struct Odd {
    matched: [u8; match 1 {
        _ => 2,
    }],
    indexed: [u8; [1, 2][0]],
    generic: Option<Sized<{ 1 + 2 }>>,
    shadow: ShadowFields,
}

#[test]
fn constant_expressions_stand_in_types_of_fields_and_of_members() {
    let odd = Odd { matched: [0; 2], indexed: [0; 1], generic: None, shadow: ShadowFields::new() };
    assert_eq!(odd.attach_block([1, 2]).unwrap(), &[1, 2]);
    assert_eq!(odd.branch().len(), 3);
    assert!(odd.nested().is_none() && odd.generic().is_none() && odd.function().is_none());
    assert!(odd.arrow().is_none());
    assert_eq!(odd.matched.len() + odd.indexed.len(), 3);
    assert!(odd.generic.is_none());
}

macro_rules! host {
    ($name:ident { $($member:ident: $type:ty),* }, $initial:expr) => {
        #[derive(Shadow)]
        #[shadow_field(get_or_attach text: String = $initial)]
        struct $name {
            $($member: $type),*
        }
    };
}

host!(Made { number: u8, shadow: ShadowFields }, format!("{self:p} {}", self.number));

#[test]
fn members_and_initialisers_come_from_variables_of_macros() {
    let made = Made { number: 7, shadow: ShadowFields::new() };
    assert_eq!(*made.text(), format!("{:p} 7", &raw const made));
}

macro_rules! fields_of {
    ($name:ident, $host:ty) => {
        shadow! { trait $name for $host { get_or_attach hits: u32; } }
    };
}

struct Config(u8);
static CONFIG: Config = Config(1);

fields_of!(StaticFields, &'static Config);
fields_of!(ArcFields, Arc<Config>);

#[test]
fn hosts_come_from_variables_of_macros() {
    let hits: &'static u32 = CONFIG.by_reference().hits();
    assert_eq!(hits, &0);
    assert_eq!(Arc::new(Config(2)).hits(), &0);
}

impl Config {
    fn by_reference(&'static self) -> &'static Self {
        assert_eq!(self.0, 1);
        self
    }
}

/// The macros cannot see that this is a reference.
type Reference = &'static Config;

shadow! {
    trait AliasFields for Reference {
        get_or_attach by_alias: u32 = u32::from(self.0);
        get_or_update last: u8;
    }
}

#[test]
fn a_static_host_may_have_another_name() {
    let reference: Reference = &CONFIG;
    assert_eq!(reference.by_alias(), &1);
    let copy: Reference = reference;
    assert_eq!(copy.get_or_attach_by_alias(|| unreachable!("it is the same host")), &1);
    assert_eq!(reference.update_last(1), None);
    assert_eq!(reference.last(), Some(1));
}

shadow! {
    trait ParenthesesFields for (&'static Config) {
        get_or_attach in_parentheses: u32 = u32::from(self.0);
    }
}

#[derive(Shadow)]
#[shadow_field(get_or_attach hits: (u32))]
struct Parenthesised {
    shadow: (ShadowFields),
}

#[test]
fn types_may_stand_in_parentheses() {
    let value: &'static u32 = CONFIG.by_reference().in_parentheses();
    assert_eq!(value, &1);
    assert_eq!(Parenthesised { shadow: ShadowFields::new() }.hits(), &0);
}

#[derive(Shadow)]
#[shadow_field(get_or_attach hits: u32)]
struct Marked {
    #[shadow { fields }]
    marked: ShadowFields,
    other: Option<ShadowFields>,
}

#[test]
fn the_attribute_of_a_member_may_have_braces() {
    let marked = Marked { marked: ShadowFields::new(), other: None };
    assert_eq!(marked.hits(), &0);
    assert!(marked.other.is_none());
}
