//! Loom models of the field sets of one host (`fields/mod.rs` and its files), in all interleavings.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_nodes
//! ```
//!
//! In: threads that insert and find field sets. Out: an error for a data race, or for a field set that is lost or
//! inserted twice. Tables are long, so models of tables run with at most three preemptions. Neighbour:
//! `core/src/loom_tests/node_table.rs`, with the models of a table that is replaced.
//!
//! A field set of these models contains a loom `UnsafeCell`, to which the constructor writes; so does every header.
//! Loom reports a data race if a reader's load is not ordered after the construction of a node or a table. Each
//! ordering of the table, alone weakened to `Relaxed`, fails a model, here or in `loom_cells.rs`:
//!
//! | ordering | model that fails |
//! |---|---|
//! | `ShadowFields::root`, `Acquire` | `two_threads_push_the_same_field_set` |
//! | `ShadowFields::insert_first`, `Release` | `a_field_is_read_while_it_is_attached_first` of `loom_cells.rs` |
//! | `ShadowFields::insert`, exchange for a node, `Release`, and `Acquire` on failure | `two_threads_push_the_same_field_set` |
//! | the same, exchange for a table, `Release`, and `Acquire` on failure | `two_threads_push_two_field_sets` |
//
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use shadow_runtime::__private::embedded::{self, Embeds};
use shadow_runtime::__private::{Field, FieldCell, FieldSet};
use shadow_runtime::ShadowFields;

/// A field set without fields. A loom `UnsafeCell` detects an access that is not ordered after the construction.
struct Set<const NUMBER: usize> {
    made: UnsafeCell<usize>,
}

// SAFETY: only `init` writes to `made`, before the publication; threads only read afterwards. The models check this
// claim: loom reports every data race on `made`.
unsafe impl<const NUMBER: usize> Sync for Set<NUMBER> {}

// SAFETY: the set has no cells, so D1 and D2 hold for `init`, `each` and `each_mut`. `fields` always returns the empty
// slice, and the `TypeId` determines the type, so D3 holds.
unsafe impl<const NUMBER: usize> FieldSet for Set<NUMBER> {
    unsafe fn init(place: *mut Self) {
        let made = UnsafeCell::new(0);
        // SAFETY: `made` is a local of this thread.
        made.with_mut(|made| unsafe { *made = NUMBER });
        // SAFETY: by the contract of `init`, `place` is valid for writes of a `Self`, and aligned.
        unsafe { place.write(Self { made }) };
    }

    fn fields() -> &'static [Field] {
        &[]
    }

    fn each(&self, _: &mut dyn FnMut(&dyn FieldCell)) {}

    fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn FieldCell)) {}
}

impl<const NUMBER: usize> Set<NUMBER> {
    /// Asserts that the field set is seen fully initialised, and returns its address.
    fn place(&self) -> usize {
        // SAFETY: only `init` writes to `made`, before the publication.
        assert_eq!(self.made.with(|made| unsafe { *made }), NUMBER);
        std::ptr::from_ref(self).addr()
    }
}

#[derive(Default)]
struct Host {
    shadow: ShadowFields,
}

impl Embeds for Host {
    fn fields(host: &Self) -> &ShadowFields {
        &host.shadow
    }
}

fn reach<const NUMBER: usize>(host: &Host) -> usize {
    embedded::find_or_insert::<Set<NUMBER>, _>(host).place()
}

fn look<const NUMBER: usize>(host: &Host) -> Option<usize> {
    embedded::find::<Set<NUMBER>, _>(host).map(|found| found.set().place())
}

/// Outcomes: both threads find the node that was inserted first.
#[test]
fn two_threads_push_the_same_field_set() {
    loom::model(|| {
        let host = Arc::new(Host::default());
        let other = thread::spawn({
            let host = Arc::clone(&host);
            move || reach::<1>(&host)
        });
        let mine = reach::<1>(&host);
        assert_eq!(mine, other.join().unwrap());
        assert_eq!(look::<1>(&host), Some(mine));
    });
}

/// Outcomes: both nodes are present, in either order.
#[test]
fn two_threads_push_two_field_sets() {
    loom::model(|| {
        let host = Arc::new(Host::default());
        let other = thread::spawn({
            let host = Arc::clone(&host);
            move || (reach::<1>(&host), reach::<2>(&host))
        });
        let (second, first) = (reach::<2>(&host), reach::<1>(&host));
        assert_eq!((first, second), other.join().unwrap());
        assert_ne!(first, second);
    });
}

/// Outcomes: the reader sees no node, the first node, or both nodes, each fully initialised, and never the second node
/// alone.
#[test]
fn a_reader_sees_field_sets_as_they_were_made() {
    loom::model(|| {
        let host = Arc::new(Host::default());
        let writer = thread::spawn({
            let host = Arc::clone(&host);
            move || (reach::<1>(&host), reach::<2>(&host))
        });
        let (second, first) = (look::<2>(&host), look::<1>(&host));
        assert!(second.is_none() || first.is_some());
        let places = writer.join().unwrap();
        assert!(first.is_none_or(|first| first == places.0) && second.is_none_or(|second| second == places.1));
    });
}

/// Runs all interleavings with at most three preemptions: tables are long.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Outcomes: the host has a table with room. Two field sets are both inserted, in either order; or both threads insert
/// the same field set, and find the node that was inserted first.
#[test]
fn two_threads_push_the_third_field_set() {
    for is_same in [false, true] {
        model(move || {
            let host = Arc::new(Host::default());
            let _ = [reach::<1>, reach::<2>].map(|reach| reach(&host));
            let fourth: fn(&Host) -> usize = if is_same { reach::<3> } else { reach::<4> };
            let pushes = [reach::<3>, fourth];
            let pushes = pushes.map(|push| {
                let host = Arc::clone(&host);
                thread::spawn(move || push(&host))
            });
            let [one, other] = pushes.map(|push| push.join().unwrap());
            assert_eq!(one == other, is_same);
            assert_eq!((look::<3>(&host), look::<4>(&host)), (Some(one), (!is_same).then_some(other)));
        });
    }
}

/// Outcomes: a thread that has found or inserted a node finds the node again, also before the order has the node.
#[test]
fn a_node_is_found_before_the_order_has_it() {
    model(|| {
        let host = Arc::new(Host::default());
        let _ = [reach::<1>, reach::<2>].map(|reach| reach(&host));
        let both = |host: &Host| (reach::<3>(host), look::<3>(host));
        let other = thread::spawn({
            let host = Arc::clone(&host);
            move || both(&host)
        });
        let mine = both(&host);
        assert_eq!(mine.1, Some(mine.0));
        assert_eq!(other.join().unwrap(), mine);
    });
}
