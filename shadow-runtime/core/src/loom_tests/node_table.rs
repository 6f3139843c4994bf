//! Loom models of a table of nodes that is replaced (`fields/node_table.rs`), in all interleavings with at most three
//! preemptions.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime-core --lib node_table::loom_tests
//! ```
//!
//! In: threads that insert and find field sets of a host with a table. Out: an error for a data race, or for a field
//! set that is lost or inserted twice. Neighbour: `tests/loom_nodes.rs` of `shadow-runtime`, with the models of nodes
//! and of a table with room.
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | `TableRef::larger`, the close of the vacant slots | `a_table_is_replaced_while_it_gets_a_node` |
//! | `TableRef::root_in`, `Acquire`; `TableRef::put`, `Release` | `a_table_is_replaced_while_it_gets_a_node` |
//! | `TableRef::nodes`, the slots that are not in the order | `a_table_is_replaced_while_it_gets_a_node` |
//!
//! No model has a table that is half full and not apart; a unit test of `fields/node_table.rs` covers the search of a
//! closed table.

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use super::{TableRef, hash_of};
use crate::cell::FieldCell;
use crate::field_set::FieldSet;
use crate::fields::ShadowFields;
use crate::registry::Field;

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

/// What a model does with a field set.
#[derive(Clone, Copy)]
struct Uses {
    reach: fn(&ShadowFields) -> usize,
    look: fn(&ShadowFields) -> Option<usize>,
    hash: fn() -> u32,
}

impl Uses {
    const fn of<const NUMBER: usize>() -> Self {
        Self {
            reach: |host| host.find_or_insert::<Set<NUMBER>>().place(),
            look: |host| host.find::<Set<NUMBER>>().map(|found| found.set().place()),
            hash: hash_of::<Set<NUMBER>>,
        }
    }
}

/// The first two have the table; the hashes of the others, which differ from compiler to compiler, decide which of them
/// collide.
const SETS: [Uses; 22] = [
    Uses::of::<1>(),
    Uses::of::<2>(),
    Uses::of::<3>(),
    Uses::of::<4>(),
    Uses::of::<5>(),
    Uses::of::<6>(),
    Uses::of::<7>(),
    Uses::of::<8>(),
    Uses::of::<9>(),
    Uses::of::<10>(),
    Uses::of::<11>(),
    Uses::of::<12>(),
    Uses::of::<13>(),
    Uses::of::<14>(),
    Uses::of::<15>(),
    Uses::of::<16>(),
    Uses::of::<17>(),
    Uses::of::<18>(),
    Uses::of::<19>(),
    Uses::of::<20>(),
    Uses::of::<21>(),
    Uses::of::<22>(),
];

/// A host with a table of two nodes, their addresses, a set that fits into the table, and a set that collides.
fn host() -> (Arc<ShadowFields>, [usize; 2], Uses, Uses) {
    let host = Arc::new(ShadowFields::new());
    let two = [0, 1].map(|index| (SETS[index].reach)(&host));
    let root = host.root().expect("it has nodes");
    // SAFETY: the host keeps the table meanwhile.
    let Ok(table) = (unsafe { root.table_or_node() }) else { panic!("it has two nodes") };
    let is_vacant = |table: TableRef<'_>, uses: &Uses| table.at_home((uses.hash)()).is_none();
    let fits = *SETS[2..].iter().find(|uses| is_vacant(table, uses)).expect("one of twenty is at home in six of eight");
    let collides = *SETS[2..].iter().find(|uses| !is_vacant(table, uses)).expect("one of twenty collides");
    (host, two, fits, collides)
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 5_000;
    builder.check(run);
}

fn beside<R: 'static>(
    host: &Arc<ShadowFields>,
    run: impl FnOnce(&ShadowFields) -> R + 'static,
) -> thread::JoinHandle<R> {
    let host = Arc::clone(host);
    thread::spawn(move || run(&host))
}

/// Outcomes: the table gets the node before it is closed, or the larger table gets the node. No node is lost.
#[test]
fn a_table_is_replaced_while_it_gets_a_node() {
    model(|| {
        let (host, two, fits, collides) = host();
        let other = beside(&host, move |host| ((collides.reach)(host), (collides.look)(host)));
        let mine = ((fits.reach)(&host), (fits.look)(&host));
        let others = other.join().unwrap();
        assert_eq!((mine.1, others.1), (Some(mine.0), Some(others.0)));
        let found = [SETS[0], SETS[1], fits, collides].map(|uses| (uses.look)(&host));
        assert_eq!(found, [two[0], two[1], mine.0, others.0].map(Some));
    });
}

/// Outcomes: both threads replace the table, and find the node that was published first.
#[test]
fn a_table_is_replaced_for_two_nodes_of_one_field_set() {
    model(|| {
        let (host, two, _, collides) = host();
        let other = beside(&host, move |host| (collides.reach)(host));
        assert_eq!((collides.reach)(&host), other.join().unwrap());
        assert_eq!([0, 1].map(|index| (SETS[index].look)(&host)), two.map(Some));
    });
}

/// Outcomes: the reader sees the nodes of the table in each table, and the new node or none.
#[test]
fn a_table_is_read_while_it_is_replaced() {
    model(|| {
        let (host, two, _, collides) = host();
        let other = beside(&host, move |host| (collides.reach)(host));
        let seen = (collides.look)(&host);
        assert_eq!([0, 1].map(|index| (SETS[index].look)(&host)), two.map(Some));
        let new = other.join().unwrap();
        assert!(seen.is_none_or(|seen| seen == new));
        assert_eq!((collides.look)(&host), Some(new));
    });
}
