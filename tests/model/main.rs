//! Model test: arbitrary operations on hosts of every kind have the results, drops and counts that plain maps predict.
//! `tests/world` has the operations and the maps, which `fuzz` shares for longer runs.
//!
//! `PROPTEST_CASES` sets the number of worlds. Proptest shrinks and prints a failure, and stores the failure in
//! `tests/model/main.regressions`, which later runs try first. The tests also replay the fuzzer's stored corpus.

use std::fs;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

mod world;

use support::{alone, fewer};
use world::bytes::Operations;
use world::operation::{Access, Act, Declaration, Field, Init, Kind, Next, Operation, PLACES, Place, Policy, Way};
use world::value::Temper;

fn place() -> impl Strategy<Value = Place> + Clone {
    (0..PLACES).prop_map(Place)
}

fn kind() -> impl Strategy<Value = Kind> {
    select(&[Kind::Task, Kind::Owned, Kind::Node, Kind::Named, Kind::Text, Kind::Fixed, Kind::Raw][..])
}

fn declaration() -> impl Strategy<Value = Declaration> {
    select(&[Declaration::First, Declaration::Second, Declaration::Third][..])
}

fn policy() -> impl Strategy<Value = Policy> {
    select(&[Policy::Once, Policy::Made, Policy::Newest, Policy::Copied][..])
}

fn field() -> impl Strategy<Value = Field> {
    (declaration(), policy()).prop_map(|(declaration, policy)| Field { declaration, policy })
}

fn temper() -> impl Strategy<Value = Temper> {
    prop_oneof![8 => Just(Temper::Calm), 1 => Just(Temper::PanicsWhenCloned), 1 => Just(Temper::PanicsWhenDropped)]
}

/// Accesses, nested up to `depth` levels.
fn access(depth: u32) -> impl Strategy<Value = Access> {
    (place(), declaration(), act(depth)).prop_map(|(place, declaration, act)| Access { place, declaration, act })
}

fn act(depth: u32) -> impl Strategy<Value = Act> {
    let way = select(&[Way::Declared, Way::Given, Way::Fallible][..]);
    prop_oneof![
        2 => policy().prop_map(Act::Read),
        2 => temper().prop_map(Act::Attach),
        3 => (way, init(depth)).prop_map(|(way, init)| Act::Make(way, init)),
        2 => (any::<bool>(), temper()).prop_map(|(copy, temper)| Act::Update { copy, temper }),
        3 => (any::<bool>(), next(depth)).prop_map(|(copy, next)| Act::UpdateWith { copy, next }),
        1 => Just(Act::Take),
    ]
}

fn init(depth: u32) -> impl Strategy<Value = Init> {
    let simple = prop_oneof![
        4 => temper().prop_map(Init::Makes),
        1 => Just(Init::Fails),
        1 => Just(Init::Panics),
        1 => Just(Init::AsksItself),
    ];
    if depth == 0 {
        return simple.boxed();
    }
    prop_oneof![2 => simple, 1 => access(depth - 1).prop_map(|access| Init::Uses(Box::new(access)))].boxed()
}

fn next(depth: u32) -> impl Strategy<Value = Next> {
    let simple = prop_oneof![
        4 => temper().prop_map(Next::Makes),
        1 => Just(Next::Panics),
        2 => Just(Next::Interferes),
        1 => Just(Next::Refuses),
    ];
    if depth == 0 {
        return simple.boxed();
    }
    let uses = (access(depth - 1), any::<bool>()).prop_map(|(access, refuses)| {
        if refuses { Next::UsesAndRefuses(Box::new(access)) } else { Next::Uses(Box::new(access)) }
    });
    prop_oneof![2 => simple, 1 => uses].boxed()
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        30 => access(2).prop_map(Operation::Access),
        4 => (place(), kind()).prop_map(|(place, kind)| Operation::Make(place, kind)),
        3 => place().prop_map(Operation::Drop),
        2 => (place(), place()).prop_map(|(from, to)| Operation::Clone(from, to)),
        1 => (place(), place()).prop_map(|(from, to)| Operation::View(from, to)),
        1 => (place(), place()).prop_map(|(one, other)| Operation::Swap(one, other)),
        1 => (place(), place()).prop_map(|(one, other)| Operation::SwapFields(one, other)),
        1 => (place(), place()).prop_map(|(from, to)| Operation::Take(from, to)),
        1 => place().prop_map(Operation::Unwrap),
        1 => place().prop_map(Operation::MakeMut),
        3 => (place(), field(), temper()).prop_map(|(place, field, temper)| Operation::Mutate(place, field, temper)),
        4 => (place(), field()).prop_map(|(place, field)| Operation::Detach(place, field)),
        1 => place().prop_map(Operation::DetachObject),
        1 => (field(), any::<bool>()).prop_map(|(field, panics)| Operation::DetachAll { field, panics }),
        1 => (place(), field()).prop_map(|(place, field)| Operation::Clash(place, field)),
        2 => place().prop_map(Operation::DetachAllOfArc),
        1 => Just(Operation::ListHosts),
        1 => Just(Operation::Sweep),
        1 => Just(Operation::Report),
    ]
}

/// Makes a host of an arbitrary kind in every place, and then runs arbitrary operations.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let hosts: [_; PLACES as usize] = std::array::from_fn(|_| kind());
    (hosts, vec(operation(), 0..fewer(100, 10))).prop_map(|(hosts, operations)| {
        let make = |(place, kind)| Operation::Make(place, kind);
        (0..).map(Place).zip(hosts).map(make).chain(operations).collect()
    })
}

#[test]
fn any_operations_do_what_the_maps_say() {
    let _alone = alone();
    let config = Config {
        cases: fewer(500, 1),
        // Miri does not replay stored failures.
        failure_persistence: (!cfg!(miri)).then(|| Box::new(FileFailurePersistence::WithSource("regressions")) as _),
        source_file: Some(file!()),
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&operations(), |operations| {
        world::run(&operations);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Replays the fuzzer's stored corpus, with a new world for every input. The fuzzer keeps inputs with new coverage.
#[test]
fn what_the_fuzzer_has_kept_does_what_the_maps_say() {
    let _alone = alone();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/model");
    let mut count = 0;
    for entry in fs::read_dir(corpus).expect("the corpus is in the repository").step_by(fewer(1, 160)) {
        let path = entry.expect("a directory can be read").path();
        let bytes = fs::read(&path).expect("a file can be read");
        // Input that ends within an operation is skipped, as by the fuzzer.
        if let Ok(Operations(mut operations)) = Operations::arbitrary_take_rest(Unstructured::new(&bytes)) {
            operations.truncate(fewer(usize::MAX, 10));
            world::run(&operations);
            count += 1;
        }
    }
    assert!(count > fewer(100, 2), "the corpus is there, or this test says nothing: {count}");
}
