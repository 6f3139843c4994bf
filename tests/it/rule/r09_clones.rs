//! Rule R9: a clone of a host with embedded fields has clones of the values of fields with `#[shadow(clone)]`, and no
//! other fields.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Weak, mpsc};
use std::thread;

use shadow_runtime::{Row, Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{AtEnd, Census, Diary, Life, Noted, capture, elsewhere, fewer, never_hangs, panic_of};

#[derive(Shadow, Clone, Default)]
#[shadow_field(#[shadow(clone)] attach name: String)]
#[shadow_field(attach bare: Opaque)]
#[shadow_field(#[shadow(clone)] get_or_attach log: Vec<u8> = vec![self.pid])]
#[shadow_field(get_or_attach bare_log: Vec<u8>)]
#[shadow_field(#[shadow(clone)] get_or_update newest: Arc<str>)]
#[shadow_field(get_or_update bare_newest: Arc<str>)]
#[shadow_field(#[shadow(clone)] get_or_update(copy) place: [u64; 3])]
#[shadow_field(get_or_update(copy) bare_place: [u64; 3])]
struct Task {
    pid: u8,
    shadow: ShadowFields,
}

/// Implements no trait.
struct Opaque;

shadow! {
    impl Task {
        attach bare_later: u8;
    }

    impl Task {
        attach bare_last: u8;
        /// The cell is not the first.
        #[shadow(clone)]
        attach last: String;
    }

    trait OwnedFields<T> for Shadowed<Vec<T>> {
        attach bare: Opaque;
        #[shadow(clone)]
        get_or_attach origin: String;
    }
}

fn full(pid: u8) -> Task {
    let task = Task { pid, shadow: ShadowFields::new() };
    task.attach_name("init".to_owned()).unwrap();
    assert!(task.attach_bare(Opaque).is_ok());
    task.log();
    task.bare_log();
    task.update_newest("one".into());
    task.update_bare_newest("one".into());
    task.update_place([1; 3]);
    task.update_bare_place([1; 3]);
    task.attach_bare_later(1).unwrap();
    task.attach_bare_last(1).unwrap();
    task.attach_last("last".to_owned()).unwrap();
    task
}

fn attached(fields: &ShadowFields) -> String {
    format!("{fields:?}")
}

const CARRIED: &str = r#"ShadowFields {"name", "log", "newest", "place", "last"}"#;

#[test]
fn a_clone_has_clones_of_the_values_that_say_so_and_of_no_others() {
    let original = full(7);
    let clone = original.clone();
    assert_eq!(attached(&clone.shadow), CARRIED);
    assert_eq!(clone.name().unwrap(), "init");
    assert_eq!(clone.peek_log().unwrap(), &[7]);
    assert_eq!(clone.newest().as_deref(), Some("one"));
    assert_eq!(clone.place(), Some([1; 3]));
    assert_eq!(clone.last().unwrap(), "last");
    assert!(clone.bare().is_none() && clone.peek_bare_log().is_none() && clone.bare_newest().is_none());
    assert!(clone.bare_place().is_none() && clone.bare_later().is_none() && clone.bare_last().is_none());
    assert!(attached(&original.shadow).contains("bare_last"), "the original keeps its own");
}

#[test]
fn the_values_of_a_clone_are_its_own() {
    let original = full(7);
    let mut clone = original.clone();
    assert!(!ptr::eq(original.name().unwrap(), clone.name().unwrap()));
    clone.name_mut().unwrap().push_str(" of the clone");
    clone.log_mut().push(8);
    assert_eq!(clone.update_newest("two".into()).as_deref(), Some("one"));
    original.update_place([2; 3]);
    assert_eq!((original.name().unwrap().as_str(), original.log().as_slice()), ("init", &[7][..]));
    assert_eq!((original.newest().as_deref(), clone.newest().as_deref()), (Some("one"), Some("two")));
    assert_eq!((original.place(), clone.place()), (Some([2; 3]), Some([1; 3])));
    let of_clone = clone.clone();
    drop((original, clone));
    assert_eq!(of_clone.name().unwrap(), "init of the clone");
    assert_eq!((of_clone.log().as_slice(), of_clone.newest().as_deref()), (&[7, 8][..], Some("two")));
}

#[test]
fn what_is_not_attached_is_not_carried() {
    let task = Task::default();
    assert_eq!(attached(&task.clone().shadow), "ShadowFields {}");
    assert!(task.attach_bare(Opaque).is_ok());
    assert_eq!(attached(&task.clone().shadow), "ShadowFields {}", "the host has the field set, and no value to carry");
    task.update_place([1; 3]);
    assert_eq!(attached(&task.clone().shadow), r#"ShadowFields {"place"}"#);
    task.update_newest("one".into());
    assert!(task.take_newest().is_some());
    let mut clone = task.clone();
    assert_eq!(attached(&clone.shadow), r#"ShadowFields {"place"}"#, "a value that was taken is not there");
    // The clone is a host as any other.
    assert!(clone.name().is_none() && clone.attach_name("late".to_owned()).is_ok());
    assert_eq!(clone.log(), &[0]);
    assert_eq!(clone.detach_place(), Some([1; 3]));
    assert_eq!(attached(&clone.shadow), r#"ShadowFields {"name", "log"}"#);
}

#[test]
fn a_wrapper_carries_its_fields_too() {
    let list = Shadowed::new(vec![1_u16, 2]);
    assert!(list.attach_bare(Opaque).is_ok());
    list.get_or_attach_origin(|| "a file".to_owned());
    let clone = list.clone();
    assert_eq!((clone.peek_origin().unwrap().as_str(), clone.bare().is_none()), ("a file", true));
    assert_eq!(*clone, [1, 2]);
}

#[test]
fn a_generic_host_carries_a_value_of_its_parameter() {
    #[derive(Shadow, Clone)]
    #[shadow_field(#[shadow(clone)] get_or_update last: T)]
    struct Queue<T: Clone + Send + Sync + 'static> {
        items: Vec<T>,
        shadow: ShadowFields,
    }

    let queue = Queue { items: vec!["a"], shadow: ShadowFields::new() };
    queue.update_last("b");
    let clone = queue.clone();
    assert_eq!((clone.items.as_slice(), clone.last()), (&["a"][..], Some("b")));
    let other = Queue { items: vec![1], shadow: ShadowFields::new() };
    other.update_last(2);
    assert_eq!(other.clone().last(), Some(2));
}

#[test]
fn who_becomes_the_clone_of_another_has_the_values_of_the_other() {
    let (mut task, other) = (full(1), full(2));
    task.update_newest("its own".into());
    task.clone_from(&other);
    assert_eq!((task.pid, task.log().as_slice(), task.newest().as_deref()), (2, &[2][..], Some("one")));
    assert_eq!(attached(&task.shadow), CARRIED);
}

#[test]
fn a_second_attach_to_a_clone_names_the_attach_to_the_original() {
    capture::start();
    let task = Task::default();
    let line = line!() + 1;
    task.attach_name("init".to_owned()).unwrap();
    let refused = task.clone().attach_name("again".to_owned()).unwrap_err();
    assert_eq!((refused.field(), refused.host(), refused.into_value().as_str()), ("name", "Task", "again"));
    let place = format!("is already attached, at {}:{line}:", file!());
    assert_eq!(capture::lines_with(&place).len(), 1);
}

/// A value whose `Clone` runs a function first.
struct Acting {
    act: fn(&Host),
    host: Weak<Host>,
    life: Life,
}

impl Clone for Acting {
    fn clone(&self) -> Self {
        (self.act)(&self.host.upgrade().expect("the test has the host"));
        Self { act: self.act, host: Weak::clone(&self.host), life: self.life.clone() }
    }
}

#[derive(Shadow, Clone, Default)]
#[shadow_field(#[shadow(clone)] attach before: Life)]
#[shadow_field(#[shadow(clone)] attach acting: Acting)]
#[shadow_field(#[shadow(clone)] get_or_attach after: Life = Census::default().life())]
#[shadow_field(#[shadow(clone)] get_or_update acting_newest: Acting)]
struct Host {
    shadow: ShadowFields,
}

shadow! {
    impl Host { #[shadow(clone)] attach later: u8; }
    impl Host { attach much_later: u8; }
    trait NumberFields for Arc<u16> { attach once: Life; }
}

fn acting(act: fn(&Host), census: &Census) -> Arc<Host> {
    let host = Arc::new(Host::default());
    let value = || Acting { act, host: Arc::downgrade(&host), life: census.life() };
    assert!(host.attach_before(census.life()).is_ok());
    assert!(host.attach_acting(value()).is_ok());
    host.get_or_attach_after(|| census.life());
    assert!(host.update_acting_newest(value()).is_none());
    host
}

#[test]
fn the_clone_of_a_value_may_use_its_own_host() {
    let act = |host: &Host| {
        // Reads, also of the value that is being cloned; attaches, also of a first field of a declaration, which makes
        // a list of the only node; and a clone of the host, which must not clone this value again.
        thread_local! { static INSIDE: RefCell<bool> = const { RefCell::new(false) }; }
        if INSIDE.replace(true) {
            return;
        }
        assert!(host.before().is_some() && host.acting().is_some() && host.peek_after().is_some());
        assert!(host.acting_newest().is_some());
        let _ = host.attach_later(1);
        let _ = host.attach_much_later(2);
        assert!(Host::clone(host).acting().is_some());
        let number = Arc::new(3_u16);
        assert!(number.attach_once(Census::default().life()).is_ok());
        drop(number);
        registry().sweep();
        INSIDE.replace(false);
    };
    let census = Census::default();
    let host = never_hangs(|| {
        let host = acting(act, &census);
        let clone = Host::clone(&host);
        assert!(clone.before().is_some() && clone.acting().is_some() && clone.peek_after().is_some());
        assert!(clone.acting_newest().is_some() && clone.much_later().is_none());
        assert_eq!((host.later(), host.much_later()), (Some(&1), Some(&2)));
        // The host has three declarations by now.
        assert_eq!(Host::clone(&host).later(), Some(&1));
        host
    });
    drop(host);
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn a_panic_of_a_values_clone_drops_what_was_cloned_and_reaches_the_caller() {
    let (census, panics) = (Census::default(), |_: &Host| panic!("no clone of this"));
    let host = acting(panics, &census);
    let before = (census.made(), census.dropped());
    assert_eq!(panic_of(|| Host::clone(&host)), "no clone of this");
    // `before` was cloned and dropped; `acting` panicked; `after` and `acting_newest` were not cloned.
    assert_eq!((census.made() - before.0, census.dropped() - before.1), (1, 1));
    assert!(host.before().is_some() && host.acting().is_some() && host.peek_after().is_some());
    // The panic goes on during unwinding, too: the caller never has a clone with a part of the fields.
    let mut inside = None;
    let outer = catch_unwind(AssertUnwindSafe(|| {
        let _at_end = AtEnd(|| inside = Some(panic_of(|| Host::clone(&host))));
        panic!("outside");
    }));
    assert_eq!(outer.unwrap_err().downcast_ref(), Some(&"outside"));
    assert_eq!(inside.as_deref(), Some("no clone of this"));
    drop(host);
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn a_panic_in_the_second_declaration_drops_the_values_of_the_first() {
    #[derive(Shadow, Clone, Default)]
    #[shadow_field(#[shadow(clone)] attach noted: Copied)]
    #[shadow_field(#[shadow(clone)] get_or_update newest: Life)]
    struct Two {
        shadow: ShadowFields,
    }
    shadow! {
        impl Two { #[shadow(clone)] get_or_attach bomb: Bomb; }
        impl Two { #[shadow(clone)] attach after: Life; }
    }
    /// The destructor of a clone panics.
    struct Copied(Noted);
    impl Clone for Copied {
        fn clone(&self) -> Self {
            Self(Noted::panicking("the clone", &self.0.diary))
        }
    }
    #[derive(Default)]
    struct Bomb;
    impl Clone for Bomb {
        fn clone(&self) -> Self {
            panic!("no clone of this");
        }
    }

    let (diary, census, two) = (Diary::default(), Census::default(), Two::default());
    assert!(two.attach_noted(Copied(Noted::quiet("the original", &diary))).is_ok());
    two.update_newest(census.life());
    two.bomb();
    assert!(two.attach_after(census.life()).is_ok());
    assert_eq!(panic_of(|| two.clone()), "no clone of this");
    assert_eq!(diary.read(), ["the clone"]);
    assert_eq!(
        (census.made(), census.dropped()),
        (3, 1),
        "`newest` was cloned and dropped, and `after` was not cloned"
    );
    drop(two);
    assert_eq!((census.made(), census.dropped(), diary.read().len()), (3, 3, 2));
}

#[test]
fn a_field_whose_initialiser_is_running_is_not_carried() {
    let task = Task::default();
    task.get_or_attach_log(|| {
        task.update_place([4; 3]);
        // A clone by the same thread, and by another thread: neither waits.
        let clones = never_hangs(|| [task.clone(), elsewhere(|| task.clone())]);
        assert!(clones.iter().all(|clone| attached(&clone.shadow) == r#"ShadowFields {"place"}"#));
        vec![1]
    });
    assert_eq!(task.clone().peek_log().unwrap(), &[1]);
}

#[test]
fn a_clone_inside_of_an_update_has_the_value_before_the_update() {
    let task = full(1);
    let mut clone = None;
    task.update_newest_with(|_| {
        clone = Some(task.clone());
        "two".into()
    });
    assert_eq!(clone.unwrap().newest().as_deref(), Some("one"));
    assert_eq!(task.clone().newest().as_deref(), Some("two"));
}

#[test]
fn an_update_does_not_wait_for_the_clone_of_a_value() {
    #[derive(Shadow, Clone, Default)]
    #[shadow_field(#[shadow(clone)] get_or_update slow: Slow)]
    struct Slowly {
        shadow: ShadowFields,
    }
    /// The clone waits for the test, once.
    struct Slow {
        number: u8,
        stop: Option<StopFn>,
    }
    type StopFn = Arc<dyn Fn() + Send + Sync>;
    impl Clone for Slow {
        fn clone(&self) -> Self {
            if let Some(stop) = &self.stop {
                stop();
            }
            Self { number: self.number, stop: None }
        }
    }

    let host = Slowly::default();
    let (reached, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let is_first = AtomicUsize::new(0);
    let stop: StopFn = {
        let (reached, go_on) = (Arc::clone(&reached), Arc::clone(&go_on));
        Arc::new(move || {
            if is_first.fetch_add(1, Ordering::SeqCst) == 0 {
                reached.wait();
                go_on.wait();
            }
        })
    };
    host.update_slow(Slow { number: 1, stop: Some(stop) });
    never_hangs(|| {
        thread::scope(|scope| {
            let clone = scope.spawn(|| host.clone());
            reached.wait();
            assert_eq!(host.update_slow(Slow { number: 2, stop: None }).unwrap().number, 1);
            go_on.wait();
            assert_eq!(clone.join().unwrap().slow().unwrap().number, 1);
        });
    });
    assert_eq!(host.slow().unwrap().number, 2);
}

#[test]
fn an_attach_of_another_thread_goes_on_during_a_clone() {
    #[derive(Shadow, Clone, Default)]
    #[shadow_field(#[shadow(clone)] attach first: Stops)]
    #[shadow_field(#[shadow(clone)] attach second: u8)]
    struct Pair {
        shadow: ShadowFields,
    }
    /// The clone runs the function that the thread has put here.
    struct Stops;
    thread_local! { static STOP: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) }; }
    impl Clone for Stops {
        fn clone(&self) -> Self {
            STOP.take().expect("one clone")();
            Self
        }
    }

    let pair = Pair::default();
    assert!(pair.attach_first(Stops).is_ok());
    let (arrive, arrived) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let clone = never_hangs(|| {
        thread::scope(|scope| {
            let clone = scope.spawn(|| {
                STOP.set(Some(Box::new(move || {
                    arrive.send(()).unwrap();
                    may_go_on.recv().unwrap();
                })));
                pair.clone()
            });
            arrived.recv().unwrap();
            pair.attach_second(2).unwrap();
            go_on.send(()).unwrap();
            clone.join().unwrap()
        })
    });
    // The clone of `first` ran before the attach of `second`, and the look at `second` came afterwards.
    assert_eq!(clone.second(), Some(&2));
}

#[test]
fn clones_race_with_writers() {
    #[derive(Shadow, Clone, Default)]
    #[shadow_field(#[shadow(clone)] get_or_update text: String)]
    #[shadow_field(#[shadow(clone)] get_or_update(copy) numbers: [u64; 4])]
    #[shadow_field(#[shadow(clone)] get_or_update life: Life)]
    struct Racing {
        shadow: ShadowFields,
    }
    shadow! { impl Racing { #[shadow(clone)] attach once: u64; } }

    const ROUNDS: usize = fewer(2_000, 3);
    let (host, census) = (Racing::default(), Census::default());
    never_hangs(|| {
        thread::scope(|scope| {
            for thread in 0..2_u64 {
                let (host, census) = (&host, &census);
                scope.spawn(move || {
                    for round in 0..ROUNDS as u64 {
                        let number = 2 * round + thread;
                        host.update_text(number.to_string().repeat(4));
                        host.update_numbers([number; 4]);
                        host.update_life(census.life());
                        if round == 2 {
                            let _ = host.attach_once(number);
                        }
                        if round % 8 == 7 {
                            host.take_life();
                        }
                    }
                });
            }
            for _ in 0..ROUNDS {
                let clone = host.clone();
                if let Some(text) = clone.text() {
                    assert!(
                        text.as_bytes().chunks(text.len() / 4).all(|part| part == &text.as_bytes()[..text.len() / 4])
                    );
                }
                assert!(clone.numbers().is_none_or(|numbers| numbers == [numbers[0]; 4]));
                drop(clone);
            }
        });
    });
    assert!(host.clone().once().is_some(), "both writers have ended");
    drop(host);
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn the_report_counts_a_carried_value_as_an_attach() {
    #[derive(Shadow, Clone, Default)]
    #[shadow_field(#[shadow(clone)] attach counted: Life)]
    #[shadow_field(#[shadow(clone)] get_or_update counted_newest: u8)]
    #[shadow_field(#[shadow(clone)] get_or_update(copy) counted_copy: u8)]
    #[shadow_field(attach counted_bare: u8)]
    struct CountedCarrier {
        shadow: ShadowFields,
    }
    fn count(row: &Row) -> [u64; 3] {
        [row.attached(), row.detached(), row.live()]
    }

    const FIELDS: [&str; 4] = ["counted", "counted_newest", "counted_copy", "counted_bare"];
    let counts = || {
        let report = registry().report();
        let row = |field| report.iter().find(|row| row.host() == "CountedCarrier" && row.field() == field).map(count);
        FIELDS.map(|field| row(field).unwrap_or_default())
    };
    let (census, host) = (Census::default(), CountedCarrier::default());
    assert!(host.attach_counted(census.life()).is_ok());
    host.update_counted_newest(1);
    host.update_counted_copy(1);
    host.attach_counted_bare(1).unwrap();
    let [first, second] = [host.clone(), host.clone()];
    assert_eq!(counts(), [[3, 0, 3], [3, 0, 3], [3, 0, 3], [1, 0, 1]]);
    drop(first);
    assert_eq!(counts(), [[3, 1, 2], [3, 1, 2], [3, 1, 2], [1, 0, 1]]);
    drop((host, second));
    assert_eq!(counts(), [[3, 3, 0], [3, 3, 0], [3, 3, 0], [1, 1, 0]]);
    assert_eq!((census.made(), census.dropped()), (3, 3));
}
