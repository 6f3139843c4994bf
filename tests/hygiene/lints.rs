//! Generated code is warning-free under every lint of the compiler and clippy that a user may enable, and under
//! `forbid`, which an `allow` would violate. `cargo clippy --all-targets -- -D warnings` is the test; a forbidden lint
//! fails in every build.

#![forbid(unsafe_code, dead_code, missing_docs, unused_variables)]
#![warn(
    future_incompatible,
    let_underscore,
    nonstandard_style,
    rust_2018_idioms,
    rust_2021_compatibility,
    rust_2024_compatibility,
    absolute_paths_not_starting_with_crate,
    ambiguous_negative_literals,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    ffi_unwind_calls,
    if_let_rescope,
    keyword_idents,
    let_underscore_drop,
    macro_use_extern_crate,
    meta_variable_misuse,
    missing_abi,
    missing_copy_implementations,
    missing_debug_implementations,
    non_ascii_idents,
    redundant_imports,
    redundant_lifetimes,
    single_use_lifetimes,
    tail_expr_drop_order,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_crate_dependencies,
    unused_extern_crates,
    unused_import_braces,
    unused_lifetimes,
    unused_macro_rules,
    unused_qualifications,
    unused_results,
    variant_size_differences,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::cargo,
    clippy::restriction
)]
#![allow(
    unknown_lints,
    unused_crate_dependencies,
    clippy::blanket_clippy_restriction_lints,
    clippy::cargo_common_metadata,
    clippy::multiple_crate_versions,
    clippy::missing_trait_methods,
    clippy::arbitrary_source_item_ordering,
    clippy::implicit_return,
    clippy::std_instead_of_alloc,
    clippy::tests_outside_test_module,
    reason = "these are about this package and this file, not about what is generated"
)]

use core::fmt;
use core::sync::atomic::AtomicU64;
use std::sync::Arc;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Stats {
    /// A number.
    pub number: u64,
}

/// A host with unused accessors.
#[derive(Shadow, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[shadow_field(
    /// The number from the patch.
    pub attach newpid: u64
)]
#[shadow_field(pub get_or_attach stats: Stats)]
#[shadow_field(get_or_attach hits: AtomicU64 = AtomicU64::new(self.number))]
#[shadow_field(#[shadow(clone)] pub(crate) get_or_update last: Arc<str>)]
#[non_exhaustive]
pub struct Task {
    /// A number.
    pub number: u64,
    /// The fields.
    pub shadow: ShadowFields,
}

/// A host with generics.
#[derive(Shadow)]
#[shadow_field(pub attach first: Value)]
#[shadow_field(get_or_update second: Option<Arc<Value>>)]
#[non_exhaustive]
pub struct Borrows<'text, Value, const SIZE: usize>
where
    Value: Send + Sync + 'static,
{
    /// A borrowed array.
    pub text: &'text [Value; SIZE],
    /// The fields.
    pub shadow: ShadowFields,
}

impl<Value: Send + Sync, const SIZE: usize> fmt::Debug for Borrows<'_, Value, SIZE> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shadow.fmt(f)
    }
}

shadow! {
    impl Task {
        /// More.
        pub get_or_attach more: Stats;
        attach unused: u64;
        #[shadow(clone)]
        attach carried: Stats;
        /// Copied.
        #[shadow(clone)]
        pub get_or_update(copy) copied: u64;
    }

    /// Fields of sockets.
    pub trait SocketFields for Arc<Task> {
        /// Bytes.
        get_or_attach sent: AtomicU64;
        get_or_update seen: u64;
        attach peer: Stats;
    }

    trait PrivateFields for Arc<Stats> {
        get_or_attach sent: AtomicU64;
        get_or_update seen: u64;
        attach peer: Stats;
    }

    pub trait ListFields<Value> for Shadowed<Vec<Value>> {
        attach origin: Stats;
    }

    trait CarriedFields<Value> for Shadowed<Vec<Value>> where Value: Clone + Send + Sync + 'static {
        #[shadow(clone)]
        attach sample: Value;
        #[shadow(clone)]
        get_or_attach carried: Stats;
    }

    pub trait StaticFields for &'static Task {
        get_or_attach sent: AtomicU64 = AtomicU64::new(self.number);
        get_or_update seen: u64;
        attach peer: Stats;
    }
}

#[test]
fn nothing_is_to_be_said_about_generated_code() {
    assert_eq!(Task::default().peek_stats(), None, "nothing is attached");
}
