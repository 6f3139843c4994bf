//! `&'static T` as a host: the address and the type identify the host, and its fields stay for ever.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{ptr, thread};

use shadow_runtime::shadow;

use support::{fewer, forever};

/// `repr(C)` keeps the members in order.
#[repr(C)]
struct Config {
    /// Has the address of the whole struct.
    level: Level,
    _name: &'static str,
}

struct Level(u32);

shadow! {
    trait ConfigFields for &'static Config {
        attach origin: String;
        get_or_attach hits: AtomicU64;
        get_or_attach doubled: u32 = self.level.0 * 2;
        get_or_update version: u32;
    }
    trait LevelFields for &'static Level {
        attach origin: String;
        get_or_attach hits: AtomicU64;
    }
    trait AnyFields<T: Sync> for &'static T {
        get_or_attach number: AtomicU32;
    }
}

fn config(level: u32) -> &'static Config {
    forever(Config { level: Level(level), _name: "config" })
}

#[test]
fn every_shared_accessor_works_on_a_static() {
    static ONE: Config = Config { level: Level(4), _name: "one" };
    let config = &ONE;
    assert_eq!(config.origin(), None);
    assert_eq!(config.attach_origin("a file".to_owned()).unwrap(), "a file");
    assert_eq!(config.origin().unwrap(), "a file");

    assert!(config.peek_hits().is_none());
    config.hits().fetch_add(1, Ordering::Relaxed);
    assert_eq!(config.get_or_attach_hits(|| AtomicU64::new(9)).load(Ordering::Relaxed), 1);
    assert_eq!(config.get_or_try_attach_doubled(|| Err("no")), Err("no"));
    assert_eq!((config.peek_doubled(), config.doubled()), (None, &8));

    assert_eq!((config.version(), config.update_version(1)), (None, None));
    assert_eq!(config.update_version_with(|before| before.unwrap() + 1), Some(1));
    assert_eq!(config.version(), Some(2));
}

#[test]
fn the_refusal_names_the_host_as_it_was_declared() {
    let config = config(1);
    config.attach_origin("first".to_owned()).unwrap();
    let refused = config.attach_origin("second".to_owned()).unwrap_err();
    assert_eq!(refused.to_string(), "shadow field `origin` is already attached to this `&'static Config`");
    assert_eq!((refused.into_value(), &**config.origin().unwrap()), ("second".to_owned(), "first"));
}

#[test]
fn what_accessors_return_is_static() {
    static ONE: Config = Config { level: Level(1), _name: "one" };
    fn attached() -> &'static String {
        (&ONE).attach_origin(String::new()).unwrap()
    }
    let hits: &'static AtomicU64 = {
        let config: &'static Config = &ONE;
        config.hits()
    };
    let origin: Option<&'static String> = {
        attached();
        (&ONE).origin()
    };
    thread::spawn(move || hits.fetch_add(1, Ordering::Relaxed)).join().unwrap();
    assert_eq!((hits.load(Ordering::Relaxed), origin.map(String::len)), (1, Some(0)));
    let peeked: Option<&'static AtomicU64> = (&ONE).peek_hits();
    assert!(ptr::eq(peeked.unwrap(), hits));
}

#[test]
fn a_static_and_its_first_member_are_two_hosts_at_one_address() {
    static WHOLE: Config = Config { level: Level(1), _name: "whole" };
    let (whole, part): (&'static Config, &'static Level) = (&WHOLE, &WHOLE.level);
    assert_eq!(ptr::from_ref(whole).addr(), ptr::from_ref(part).addr(), "otherwise this test says nothing");
    whole.attach_origin("whole".to_owned()).unwrap();
    assert_eq!(part.origin(), None);
    part.attach_origin("part".to_owned()).unwrap();
    assert_eq!((&**whole.origin().unwrap(), &**part.origin().unwrap()), ("whole", "part"));
}

#[test]
fn one_declaration_for_all_types_tells_objects_at_one_address_apart() {
    static WHOLE: [[u8; 2]; 2] = [[1, 2], [3, 4]];
    let (whole, row, byte) = (&WHOLE, &WHOLE[0], &WHOLE[0][0]);
    assert_eq!(ptr::from_ref(whole).addr(), ptr::from_ref(byte).addr(), "otherwise this test says nothing");
    whole.number().store(1, Ordering::Relaxed);
    row.number().store(2, Ordering::Relaxed);
    byte.number().store(3, Ordering::Relaxed);
    let numbers = [whole.number(), row.number(), byte.number()].map(|number| number.load(Ordering::Relaxed));
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn two_objects_of_one_type_are_two_hosts_and_two_references_to_one_are_one() {
    static PAIR: [Level; 2] = [Level(1), Level(2)];
    PAIR[0].hits().fetch_add(1, Ordering::Relaxed);
    assert!(LevelFields::peek_hits(&PAIR[1]).is_none());
    let again: &'static Level = &PAIR[0];
    assert_eq!(again.hits().load(Ordering::Relaxed), 1);
}

#[test]
fn what_was_leaked_is_a_host_too() {
    let (one, other) = (config(1), config(1));
    one.hits().fetch_add(1, Ordering::Relaxed);
    assert_eq!(other.hits().load(Ordering::Relaxed), 0);
    assert_eq!(one.hits().load(Ordering::Relaxed), 1);
}

#[test]
fn an_object_that_can_change_is_a_host_too() {
    static QUEUE: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    let queue = &QUEUE;
    queue.number().store(1, Ordering::Relaxed);
    queue.lock().unwrap().push(1);
    assert_eq!(queue.number().load(Ordering::Relaxed), 1);
}

#[test]
fn threads_share_the_fields_of_a_static() {
    const COUNT: u64 = fewer(500, 20);
    static ONE: Config = Config { level: Level(1), _name: "one" };
    let count = || {
        for _ in 0..COUNT {
            (&ONE).hits().fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(count);
        scope.spawn(count);
    });
    assert_eq!((&ONE).hits().load(Ordering::Relaxed), 2 * COUNT);
}
