//! Declarations in the output of a `macro_rules!`: hosts, names, types and initialisers may be macro parameters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use shadow_runtime::{Shadow, ShadowFields, registry, shadow};

macro_rules! task_with {
    ($name:ident { $($fields:tt)* }) => {
        #[derive(Shadow, Default)]
        $($fields)*
        struct $name {
            pid: u32,
            shadow: ShadowFields,
        }
    };
}

macro_rules! fields_of {
    ($host:ty, $trait:ident, $policy:ident $field:ident: $value:ty $(= $init:expr)?) => {
        shadow! { trait $trait for $host { $policy $field: $value $(= $init)?; } }
    };
}

macro_rules! counter_of {
    ($host:ident, $field:ident) => {
        shadow! { impl $host { get_or_attach $field: AtomicU32 = AtomicU32::new(self.pid); } }
    };
}

#[test]
fn declarations_may_be_written_by_macros() {
    task_with!(Wrapped {
        #[shadow_field(attach mark: u8)]
        #[shadow_field(get_or_attach doubled: u32 = self.pid * 2)]
    });
    fields_of!(Wrapped, WrappedTripled, get_or_attach tripled: u32 = self.pid * 3);
    fields_of!(Wrapped, WrappedNested, get_or_attach nested: u32 = [(self.pid, { self.pid })].map(|(a, b)| a + b)[0]);
    fields_of!(Arc<Wrapped>, WrappedShared, get_or_attach quadrupled: u32 = self.pid * 4);
    fields_of!(&'static Wrapped, WrappedFixed, get_or_attach quintupled: u32 = self.pid * 5);
    fields_of!(Wrapped, WrappedSeen, get_or_update seen: Option<u8>);
    counter_of!(Wrapped, count);
    let host = Arc::new(Wrapped { pid: 3, ..Wrapped::default() });
    host.attach_mark(1).unwrap();
    host.update_seen(Some(2));
    assert_eq!((host.mark(), host.doubled(), host.tripled()), (Some(&1), &6, &9));
    assert_eq!((host.nested(), host.quadrupled(), host.seen()), (&6, &12, Some(Some(2))));
    assert_eq!(host.count().load(Ordering::Relaxed), 3);
    let fixed: &'static Wrapped = Box::leak(Box::new(Wrapped { pid: 3, ..Wrapped::default() }));
    assert_eq!(fixed.quintupled(), &15);
}

/// A value whose type a macro names by `$crate`.
#[derive(Debug)]
pub struct Named;

macro_rules! field_of_this_crate {
    ($host:ty, $trait:ident) => {
        shadow! { trait $trait for Arc<$host> { attach named: Option<$crate::macros::in_macros::Named>; } }
    };
}

#[test]
fn the_report_names_types_as_a_user_writes_types() {
    field_of_this_crate!((u8, u16), PairFields);
    Arc::new((1_u8, 2_u16)).attach_named(None).unwrap();
    let report = registry().report();
    let row = report
        .iter()
        .find(|row| row.host() == "Arc<(u8, u16)>" && row.field() == "named")
        .expect("the field is in use");
    assert_eq!((row.host(), row.value_type()), ("Arc<(u8, u16)>", "Option<crate::macros::in_macros::Named>"));
}
