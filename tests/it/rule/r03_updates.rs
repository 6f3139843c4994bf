//! Updates inside of closures of `update_f_with`: an update of the closure's own field is refused, as R3 refuses an
//! initialiser of its own field; an update of another field is allowed.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::thread;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

use support::{elsewhere, forever, never_hangs, panic_of};

#[derive(Shadow, Default)]
#[shadow_field(get_or_update first: String)]
#[shadow_field(get_or_update(copy) copied: u64)]
#[shadow_field(get_or_update second: String)]
struct Task {
    shadow: ShadowFields,
}

#[derive(Shadow, Default)]
#[shadow_field(get_or_update(copy) first: u64)]
#[shadow_field(get_or_update second: u64)]
struct Copied {
    shadow: ShadowFields,
}

shadow! {
    trait Owned for Shadowed<u8> { get_or_update first: String; get_or_update(copy) copied: u64; get_or_update second: String; }
    trait Counted for Arc<u8> { get_or_update first: String; get_or_update(copy) copied: u64; get_or_update second: String; }
    trait Fixed for &'static u8 { get_or_update first: String; get_or_update(copy) copied: u64; get_or_update second: String; }
}

/// Checks a refusal's message.
fn names(message: &str, field: &str) {
    let expected = format!("shadow field `{field}` of `");
    assert!(message.starts_with(&expected), "{message} names {field}");
    assert!(message.ends_with("is updated by its own closure, which has to return the value instead"), "{message}");
}

/// Updates one field of one host in the field's own closure, by every accessor: `$one` and `$other` are two values.
macro_rules! is_refused {
    ($host:expr, $field:ident, $update:ident, $update_with:ident, $one:expr, $other:expr) => {
        // The field is absent in the first round, and attached in later rounds.
        for _ in 0..3 {
            let before = $host.$field();
            let message = panic_of(|| {
                $host.$update_with(|_| {
                    $host.$update($one);
                    $other
                })
            });
            names(&message, stringify!($field));
            let message = panic_of(|| {
                $host.$update_with(|_| {
                    $host.$update_with(|_| $one);
                    $other
                })
            });
            names(&message, stringify!($field));
            // The outer closure catches the panic, and returns a value.
            let previous = $host.$update_with(|last| {
                names(&panic_of(|| $host.$update($one)), stringify!($field));
                assert_eq!((last.cloned(), $host.$field()), (before.clone(), before.clone()), "nothing has changed");
                $other
            });
            assert_eq!((previous, $host.$field()), (before, Some($other)));
            assert_eq!($host.$update($one), Some($other), "outside of the closure it is allowed");
        }
    };
}

macro_rules! all_are_refused {
    ($host:expr) => {
        is_refused!($host, second, update_second, update_second_with, "one".to_owned(), "other".to_owned());
        is_refused!($host, first, update_first, update_first_with, "one".to_owned(), "other".to_owned());
        is_refused!($host, copied, update_copied, update_copied_with, 1, 2);
    };
}

macro_rules! all_are_refused_by_every_host_of {
    ($make:expr) => {
        // On each host, the first update is of another field.
        let [one, two, three] = [(); 3].map(|()| $make);
        all_are_refused!(one);
        is_refused!(two, first, update_first, update_first_with, "one".to_owned(), "other".to_owned());
        is_refused!(three, copied, update_copied, update_copied_with, 1, 2);
    };
}

#[test]
fn an_update_in_the_closure_of_its_own_field_is_refused_on_every_kind_of_host() {
    never_hangs(|| {
        all_are_refused_by_every_host_of!(Task::default());
        all_are_refused_by_every_host_of!(Shadowed::new(0_u8));
        all_are_refused_by_every_host_of!(Arc::new(0_u8));
        all_are_refused_by_every_host_of!(forever(0_u8));
        let host = Copied::default();
        is_refused!(host, first, update_first, update_first_with, 1, 2);
        is_refused!(host, second, update_second, update_second_with, 1, 2);
    });
}

#[test]
fn a_take_in_the_closure_of_its_own_field_is_refused_on_every_kind_of_host() {
    macro_rules! is_refused {
        ($host:expr) => {
            for before in [None, Some("before".to_owned())] {
                let message = panic_of(|| {
                    $host.update_first_with(|_| {
                        $host.take_first();
                        "after".to_owned()
                    })
                });
                names(&message, "first");
                assert_eq!($host.first(), before, "nothing was taken");
                $host.update_first("before".to_owned());
                $host.update_second("second".to_owned());
                $host.update_first_with(|last| $host.take_second().map_or_else(String::new, |_| last.unwrap().clone()));
                assert_eq!(($host.first().as_deref(), $host.second()), (Some("before"), None), "others are allowed");
            }
        };
    }
    never_hangs(|| {
        let (task, owned, shared, fixed) = (Task::default(), Shadowed::new(0_u8), Arc::new(0_u8), forever(0_u8));
        is_refused!(task);
        is_refused!(owned);
        is_refused!(shared);
        is_refused!(fixed);
    });
}

#[test]
fn an_update_is_refused_by_another_reference_to_the_same_host() {
    never_hangs(|| {
        let host = Arc::new(0_u8);
        let same = Arc::clone(&host);
        names(
            &panic_of(|| Counted::update_first_with(&host, |_| Counted::update_first(&same, String::new()).unwrap())),
            "first",
        );
        let fixed = forever(0_u8);
        names(&panic_of(|| fixed.update_copied_with(|_| fixed.update_copied(1).unwrap())), "copied");
    });
}

#[test]
fn an_update_is_refused_through_the_closures_of_others() {
    never_hangs(|| {
        let (task, host) = (Task::default(), Arc::new(0_u8));
        let message = panic_of(|| {
            task.update_first_with(|_| {
                host.update_second_with(|_| {
                    task.update_copied_with(|_| u64::from(task.update_first("again".into()).is_some()));
                    "second".into()
                });
                "first".into()
            })
        });
        names(&message, "first");
        assert_eq!((task.first(), task.copied(), host.second()), (None, None, None));
    });
}

#[test]
fn a_closure_may_read_its_field_and_update_others_of_every_host() {
    never_hangs(|| {
        let (task, other, host) = (Task::default(), Task::default(), Arc::new(0_u8));
        for round in 0..3_u64 {
            let value = format!("round {round}");
            task.update_first_with(|last| {
                assert_eq!(task.first().as_ref(), last);
                task.update_copied_with(|_| {
                    task.update_second(value.clone());
                    round
                });
                other.update_first_with(|_| {
                    host.update_first(value.clone());
                    value.clone()
                });
                other.update_first(value.clone());
                value.clone()
            });
            assert_eq!((task.copied(), host.first().as_ref()), (Some(round), Some(&value)));
            for host in [&task, &other] {
                assert_eq!(host.first().as_ref(), Some(&value));
            }
            assert_eq!(task.second(), Some(value));
        }
    });
}

#[test]
fn a_closure_that_panics_leaves_its_field_to_be_updated() {
    never_hangs(|| {
        let task = Task::default();
        for _ in 0..2 {
            task.update_second_with(|_| {
                assert_eq!(panic_of(|| task.update_first_with(|_| panic!("no next"))), "no next");
                task.update_first("first".into());
                "second".into()
            });
            assert_eq!((task.first().as_deref(), task.second().as_deref()), (Some("first"), Some("second")));
        }
    });
}

#[test]
fn another_thread_may_update_what_a_closure_of_this_one_makes() {
    never_hangs(|| {
        let task = Task::default();
        let mut runs = 0;
        let previous = task.update_first_with(|_| {
            runs += 1;
            if runs == 1 {
                elsewhere(|| {
                    task.update_first("between".into());
                    task.update_first_with(|last| format!("{} others", last.unwrap()));
                });
            }
            "last".into()
        });
        assert_eq!((runs, previous.as_deref()), (2, Some("between others")));
        assert_eq!(task.first().as_deref(), Some("last"));
    });
}

/// The closure has returned before the drop.
#[test]
fn an_attempt_that_is_lost_may_update_its_field_when_it_is_dropped() {
    struct Leaves(Weak<u16>, u8);
    impl Drop for Leaves {
        fn drop(&mut self) {
            if let Some(host) = self.0.upgrade().filter(|_| self.1 == 1) {
                host.update_leaves(Self(Weak::new(), 5));
            }
        }
    }
    impl Clone for Leaves {
        fn clone(&self) -> Self {
            Self(Weak::new(), self.1)
        }
    }
    shadow! { trait Leaving for Arc<u16> { get_or_update leaves: Leaves; } }
    never_hangs(|| {
        let host = Arc::new(0);
        host.update_leaves(Leaves(Weak::new(), 3));
        let mut runs = 0;
        let previous = host.update_leaves_with(|_| {
            runs += 1;
            if runs == 1 {
                elsewhere(|| drop(host.update_leaves(Leaves(Weak::new(), 4))));
            }
            Leaves(Arc::downgrade(&host), runs)
        });
        assert_eq!((runs, previous.map(|leaves| leaves.1)), (2, Some(5)));
        assert_eq!(host.leaves().map(|leaves| leaves.1), Some(2));
    });
}

/// A closure may run in the destructor of a thread-local.
#[test]
fn an_update_by_its_own_closure_is_refused_at_the_end_of_a_thread() {
    struct Ends(Arc<Task>);
    impl Drop for Ends {
        fn drop(&mut self) {
            let Self(task) = self;
            names(&panic_of(|| task.update_first_with(|_| task.update_first("one".into()).unwrap())), "first");
            task.update_first_with(|last| format!("{}.", last.unwrap()));
            task.update_copied_with(|last| task.first().map_or(0, |_| last.unwrap() + 1));
        }
    }
    thread_local! { static ENDS: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) }; }
    never_hangs(|| {
        let task = Arc::new(Task::default());
        task.update_first("last words".into());
        task.update_copied(0);
        for is_known_first in [false, true] {
            let task = Arc::clone(&task);
            // The thread takes its hazard slot after it has made the thread-local, or before.
            let work = move || {
                if is_known_first {
                    ENDS.with_borrow_mut(|ends| ends.push(Ends(Arc::clone(&task))));
                }
                assert!(task.first().is_some());
                ENDS.with_borrow_mut(|ends| ends.push(Ends(Arc::clone(&task))));
            };
            thread::spawn(work).join().unwrap();
        }
        assert_eq!((task.first().as_deref(), task.copied()), (Some("last words..."), Some(3)));
    });
}
