//! The policy `attach`: one attach succeeds, and every later attach by any caller is refused.

use std::error::Error;
use std::sync::Barrier;
use std::{ptr, thread};

use shadow_runtime::{AlreadyAttached, Shadow, ShadowFields};

use support::fewer;

#[derive(Shadow, Default)]
#[shadow_field(attach newpid: u32)]
#[shadow_field(attach label: String)]
#[shadow_field(attach marker: ())]
#[shadow_field(attach opaque: Opaque)]
struct Task {
    shadow: ShadowFields,
}

/// A type without `Debug`, `Clone` and `PartialEq`: a field requires only `Send`, `Sync` and `'static`.
struct Opaque(u8);

#[test]
fn a_field_that_is_not_attached_is_none() {
    let mut task = Task::default();
    assert_eq!(task.newpid(), None);
    assert_eq!(task.newpid_mut(), None);
    assert_eq!(task.detach_newpid(), None);
    assert_eq!(task.newpid(), None, "none of these attaches anything");
}

#[test]
fn attaching_returns_the_reference_that_reading_returns() {
    let task = Task::default();
    let attached = task.attach_label("init".to_owned()).unwrap();
    assert_eq!(attached, "init");
    assert!(ptr::eq(attached, task.label().unwrap()));
}

#[test]
fn a_second_attach_is_refused_and_leaves_the_first_value_alone() {
    let task = Task::default();
    let first = task.attach_label("first".to_owned()).unwrap();
    let refused = task.attach_label("second".to_owned()).unwrap_err();
    assert_eq!(first, "first");
    assert!(ptr::eq(first, task.label().unwrap()));
    assert_eq!(refused.into_value(), "second");
}

#[test]
fn the_refusal_says_which_field_of_which_host() {
    let task = Task::default();
    task.attach_newpid(1).unwrap();
    let refused: AlreadyAttached<u32> = task.attach_newpid(2).unwrap_err();
    assert_eq!(refused.to_string(), "shadow field `newpid` is already attached to this `Task`");
    assert_eq!(refused.field(), "newpid");
    assert_eq!(refused.host(), "Task");
    let debug = format!("{refused:?}");
    assert!(debug.contains("newpid") && debug.contains("Task"), "{debug}");
}

#[test]
fn the_refusal_is_an_error_that_can_be_passed_on() {
    fn attach_twice(task: &Task) -> Result<(), Box<dyn Error + Send + Sync>> {
        task.attach_newpid(1)?;
        task.attach_newpid(2)?;
        Ok(())
    }
    let error = attach_twice(&Task::default()).unwrap_err();
    assert_eq!(error.to_string(), "shadow field `newpid` is already attached to this `Task`");
}

#[test]
fn a_value_needs_no_trait_but_those_of_threads() {
    let task = Task::default();
    assert_eq!(task.attach_opaque(Opaque(1)).unwrap().0, 1);
    let Err(refused) = task.attach_opaque(Opaque(2)) else { panic!("it is not refused") };
    assert!(!format!("{refused:?} {refused}").is_empty());
    assert_eq!(refused.into_value().0, 2);
    assert_eq!(task.opaque().unwrap().0, 1);
}

#[test]
fn a_zero_sized_value_is_attached_once_as_well() {
    let task = Task::default();
    assert_eq!(task.marker(), None);
    task.attach_marker(()).unwrap();
    assert_eq!(task.marker(), Some(&()));
    assert!(task.attach_marker(()).is_err());
}

#[test]
fn an_attached_value_can_be_changed_by_exclusive_access() {
    let mut task = Task::default();
    task.attach_label("in".to_owned()).unwrap();
    task.label_mut().unwrap().push_str("it");
    assert_eq!(task.label().unwrap(), "init");
}

#[test]
fn a_detached_field_gives_its_value_back_and_can_be_attached_again() {
    let mut task = Task::default();
    task.attach_label("first".to_owned()).unwrap();
    assert_eq!(task.detach_label().as_deref(), Some("first"));
    assert_eq!(task.label(), None);
    assert_eq!(task.detach_label(), None);
    assert_eq!(task.attach_label("second".to_owned()).unwrap(), "second");
}

#[test]
fn the_fields_of_one_host_do_not_touch_one_another() {
    let mut task = Task::default();
    task.attach_newpid(7).unwrap();
    assert_eq!(task.label(), None);
    task.attach_label("seven".to_owned()).unwrap();
    assert_eq!(task.detach_newpid(), Some(7));
    assert_eq!(task.label().unwrap(), "seven");
}

#[test]
fn of_many_that_attach_at_once_one_wins_and_each_other_gets_its_own_value_back() {
    const THREADS: usize = 8;
    for _ in 0..fewer(50, 2) {
        let task = Task::default();
        let start = Barrier::new(THREADS);
        let attach = |number: usize| {
            start.wait();
            let mine = number.to_string();
            match task.attach_label(mine.clone()) {
                Ok(attached) => {
                    assert_eq!(*attached, mine);
                    true
                }
                Err(refused) => {
                    assert_eq!(refused.into_value(), mine);
                    assert_ne!(*task.label().unwrap(), mine, "it is refused, and yet it is there");
                    false
                }
            }
        };
        let won: Vec<bool> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || attach(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(won.iter().filter(|&&won| won).count(), 1);
        let winner = won.iter().position(|&won| won).unwrap();
        assert_eq!(*task.label().unwrap(), winner.to_string());
    }
}
