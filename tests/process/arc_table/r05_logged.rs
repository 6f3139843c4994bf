//! Rules R5 and R11: a contained panic, if not raised again, is logged, with the field and the host type.
//!
//! The table of `Arc` hosts and the logger are process-wide, so the tests run sequentially.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use log::Level;
use shadow_runtime::{Shadow, ShadowFields, raw, registry, shadow};

use support::{alone_with_panics, capture, never_hangs, panic_of, without_backtraces};

/// Panics on drop, with its text.
#[derive(Clone)]
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[derive(Shadow, Default)]
#[shadow_field(attach one: Bomb)]
#[shadow_field(get_or_attach two: Bomb = Bomb("never"))]
#[shadow_field(get_or_update three: Bomb)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    impl Task { attach four: Bomb; }
    trait Stranger for Arc<u16> { attach bomb: Bomb; get_or_attach other: Bomb = Bomb("other of a stranger"); }
    trait Innocent for Arc<u8> { get_or_attach number: u8; }
}

fn begin() -> impl Drop {
    capture::start();
    alone_with_panics()
}

/// The number of logged errors that contain all `words`.
fn errors(words: &[&str]) -> usize {
    let lines = capture::lines_with(words[0]);
    let lines = lines.iter().filter(|line| words.iter().all(|word| line.message.contains(word)));
    lines.inspect(|line| assert_eq!((line.level, &*line.target), (Level::Error, "shadow_runtime"))).count()
}

fn full() -> Task {
    let task = Task::default();
    assert!(task.attach_one(Bomb("first of four")).is_ok());
    task.get_or_attach_two(|| Bomb("second of four"));
    assert!(task.update_three(Bomb("third of four")).is_none());
    assert!(task.attach_four(Bomb("fourth of four")).is_ok());
    task
}

const ALL: [(&str, &str); 4] =
    [("one", "first of four"), ("two", "second of four"), ("three", "third of four"), ("four", "fourth of four")];

fn logged_of_a_task() -> [usize; 4] {
    ALL.map(|(field, text)| errors(&[text, &format!("shadow field `{field}` of `Task`")]))
}

#[test]
fn of_the_panics_of_one_host_one_is_raised_and_the_others_are_logged() {
    let _alone = begin();
    let before = logged_of_a_task();
    let raised = panic_of(|| drop(full()));
    let logged = logged_of_a_task();
    for (number, (_, text)) in ALL.into_iter().enumerate() {
        assert_eq!(logged[number] - before[number], usize::from(text != raised), "{text}, where {raised} is raised");
    }
}

#[test]
fn the_panics_of_a_host_that_goes_by_a_panic_are_logged() {
    without_backtraces();
    let _alone = begin();
    let before = logged_of_a_task();
    let raised = panic_of(|| {
        let _task = full();
        panic!("the first panic");
    });
    assert_eq!(raised, "the first panic");
    assert_eq!(logged_of_a_task(), before.map(|count| count + 1));
}

#[test]
fn the_panics_of_strangers_that_an_attach_drops_are_logged_with_their_host_type() {
    let _alone = begin();
    never_hangs(|| {
        let words: [&[&str]; 2] = [
            &["bomb of a stranger", "shadow field `bomb` of `Arc<u16>`"],
            &["other of a stranger", "shadow field `other` of `Arc<u16>`"],
        ];
        let before = words.map(errors);
        for round in 1..=3 {
            let stranger = Arc::new(0_u16);
            assert!(stranger.attach_bomb(Bomb("bomb of a stranger")).is_ok());
            stranger.other();
            drop(stranger);
            // Attaches until the sweeps have dropped the fields of the stranger.
            while words.map(errors) != before.map(|count| count + round) {
                assert_eq!(Arc::new(0_u8).number(), &0);
            }
        }
    });
    registry().sweep();
}

#[test]
fn the_panics_of_a_raw_object_but_one_are_logged() {
    const BOMBS: [raw::Id<Bomb>; 3] = [raw::Id::new(6001), raw::Id::new(6002), raw::Id::new(6003)];
    let _alone = begin();
    let (object, other) = (0_u64, 1_u64);
    let key = |object: &u64| ptr::from_ref(object).cast();
    let raised = panic_of(|| {
        for id in BOMBS {
            // SAFETY: the object outlives its fields, and no reference to a value is kept.
            assert!(unsafe { id.attach(key(&object), Bomb("bomb of an object")) }.is_ok());
        }
        // SAFETY: no reference to a value is kept.
        unsafe { raw::detach_object(key(&object)) }
    });
    assert_eq!(raised, "bomb of an object");
    assert_eq!(errors(&["bomb of an object", "shadow field `600", "of `*const ()`"]), 2);

    for object in [&object, &other] {
        // SAFETY: the objects outlive their fields, and no reference to a value is kept.
        assert!(unsafe { BOMBS[0].attach(key(object), Bomb("bomb of an id")) }.is_ok());
    }
    // SAFETY: no reference to a value is kept.
    let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { BOMBS[0].detach_all(|_, bomb| drop(bomb)) }.is_ok()));
    assert!(outcome.is_err());
    assert_eq!(errors(&["bomb of an id", "shadow field `6001` of `*const ()`"]), 1);
}
