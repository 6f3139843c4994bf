//! The registry: the fields in use, the places of their declarations, and the counts of operations; the printed table;
//! and the warning about a refused attach.
//!
//! The registry is process-wide, so every test has a host type of its own, and searches for its rows.

use std::panic::AssertUnwindSafe;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;

use shadow_runtime::{Policy, Row, Shadow, ShadowFields, Shadowed, raw, registry, shadow};

mod common;

use common::{capture, fewer};

fn find(host: &str, field: &str) -> Option<Row> {
    let mut rows = registry().report().into_iter().filter(|row| row.host() == host && row.field() == field);
    let found = rows.next();
    assert!(rows.next().is_none(), "one row for each field");
    found
}

fn row(host: &str, field: &str) -> Row {
    find(host, field).unwrap_or_else(|| panic!("no row for `{field}` of `{host}`"))
}

/// Live, attached, detached, updates, refused.
fn counts(host: &str, field: &str) -> [u64; 5] {
    let row = row(host, field);
    [row.live(), row.attached(), row.detached(), row.updates(), row.duplicates()]
}

#[test]
fn a_row_says_what_was_declared() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u64)]
    #[shadow_field(get_or_attach cache: std::collections::HashMap<String, Vec<Option<u8>>>)]
    #[shadow_field(get_or_update route: (u8, [u16; 3], &'static str))]
    struct Described {
        shadow: ShadowFields,
    }
    let host = Described::default();
    host.attach_serial(1).unwrap();
    host.cache();
    host.update_route((1, [2; 3], "three"));
    let rows = ["serial", "cache", "route"].map(|field| row("Described", field));
    assert_eq!(rows.map(|row| row.policy()), [Policy::Attach, Policy::GetOrAttach, Policy::GetOrUpdate]);
    let types = ["u64", "std::collections::HashMap<String, Vec<Option<u8>>>", "(u8, [u16; 3], &'static str)"];
    assert_eq!(rows.map(|row| row.value_type()), types);
}

#[test]
fn policies_print_as_they_are_written() {
    let all = [Policy::Attach, Policy::GetOrAttach, Policy::GetOrUpdate, Policy::GetOrUpdateCopy];
    let words = all.map(|policy| policy.to_string());
    assert_eq!(words, ["attach", "get_or_attach", "get_or_update", "get_or_update(copy)"]);
}

#[test]
fn a_field_has_a_row_from_its_first_attach_on() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach used: u8)]
    #[shadow_field(attach unused: u8)]
    struct Entered {
        shadow: ShadowFields,
    }
    let mut host = Entered::default();
    assert!(host.used().is_none() && host.unused().is_none());
    assert!(find("Entered", "used").is_none());
    host.attach_used(1).unwrap();
    assert!(find("Entered", "used").is_some());
    assert!(find("Entered", "unused").is_none());
    host.detach_used();
    drop(host);
    assert_eq!(counts("Entered", "used"), [0, 1, 1, 0, 0], "it stays when nothing is attached any more");
}

#[test]
fn rows_come_in_the_order_of_their_first_attach() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach third: u8)]
    #[shadow_field(attach first: u8)]
    #[shadow_field(attach second: u8)]
    struct Ordered {
        shadow: ShadowFields,
    }
    for _ in 0..2 {
        let host = Ordered::default();
        host.attach_first(1).unwrap();
        host.attach_second(2).unwrap();
        host.attach_third(3).unwrap();
    }
    let report = registry().report();
    let names: Vec<&str> = report.iter().filter(|row| row.host() == "Ordered").map(Row::field).collect();
    assert_eq!(names, ["first", "second", "third"]);
    let again: Vec<&str> = (&report).into_iter().filter(|row| row.host() == "Ordered").map(Row::field).collect();
    assert_eq!(again, names);
}

#[test]
fn attaches_detaches_and_drops_of_an_attach_field_are_counted() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u64)]
    struct Counted {
        shadow: ShadowFields,
    }
    let (mut one, other, never) = (Counted::default(), Counted::default(), Counted::default());
    one.attach_serial(1).unwrap();
    other.attach_serial(2).unwrap();
    assert_eq!(counts("Counted", "serial"), [2, 2, 0, 0, 0]);
    assert!(one.attach_serial(3).is_err());
    assert!(one.attach_serial(4).is_err());
    assert_eq!(counts("Counted", "serial"), [2, 2, 0, 0, 2]);
    one.detach_serial();
    one.detach_serial();
    assert_eq!(counts("Counted", "serial"), [1, 2, 1, 0, 2]);
    one.attach_serial(5).unwrap();
    assert_eq!(counts("Counted", "serial"), [2, 3, 1, 0, 2]);
    drop((one, other, never));
    assert_eq!(counts("Counted", "serial"), [0, 3, 3, 0, 2]);
}

#[test]
fn only_initialisers_that_succeed_are_counted() {
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_attach answer: u32)]
    struct Asked {
        shadow: ShadowFields,
    }
    let mut host = Asked::default();
    assert!(host.peek_answer().is_none());
    assert!(host.get_or_try_attach_answer(|| Err(())).is_err());
    std::panic::catch_unwind(AssertUnwindSafe(|| *host.get_or_attach_answer(|| panic!("no")))).unwrap_err();
    assert!(find("Asked", "answer").is_none());
    host.answer();
    host.answer();
    assert_eq!(counts("Asked", "answer"), [1, 1, 0, 0, 0]);
    host.detach_answer();
    host.answer_mut();
    assert_eq!(counts("Asked", "answer"), [1, 2, 1, 0, 0]);
    drop(host);
    assert_eq!(counts("Asked", "answer"), [0, 2, 2, 0, 0]);
}

#[test]
fn replacements_are_counted_apart_from_attaches() {
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_update version: u32)]
    struct Updated {
        shadow: ShadowFields,
    }
    let mut host = Updated::default();
    host.update_version(1);
    assert_eq!(counts("Updated", "version"), [1, 1, 0, 0, 0]);
    host.update_version(2);
    let mut runs = 0;
    host.update_version_with(|before| {
        runs += 1;
        if runs == 1 {
            common::elsewhere(|| host.update_version(3));
        }
        before.unwrap() + 1
    });
    assert_eq!((runs, counts("Updated", "version")), (2, [1, 1, 0, 3, 0]));
    host.detach_version();
    host.update_version(5);
    assert_eq!(counts("Updated", "version"), [1, 2, 1, 3, 0]);
    drop(host);
    assert_eq!(counts("Updated", "version"), [0, 2, 2, 3, 0]);
}

#[test]
fn every_kind_of_host_is_counted() {
    shadow! {
        trait OfOwned for Shadowed<u16> { attach mark: u8; }
        trait OfShared for Arc<u16> { attach mark: u8; }
        trait OfStatic for &'static u16 { attach mark: u8; }
    }
    const RAW: raw::Id<u8> = raw::Id::new(400);
    const RAW_UPDATE: raw::UpdateId<u8> = raw::UpdateId::new(401);
    static STATIC: u16 = 1;
    let (owned, shared, fixed) = (Shadowed::new(1_u16), Arc::new(1_u16), &STATIC);
    let object = ptr::from_ref(fixed).cast();
    for refused in [false, true] {
        assert_eq!(owned.attach_mark(1).is_err(), refused);
        assert_eq!(OfShared::attach_mark(&shared, 1).is_err(), refused);
        assert_eq!(OfStatic::attach_mark(fixed, 1).is_err(), refused);
        // SAFETY: the object is a static, and no reference to the value is kept.
        assert_eq!(unsafe { RAW.attach(object, 1) }.is_err(), refused);
        // SAFETY: the object is a static.
        assert!(unsafe { RAW_UPDATE.get_or_update(object, 1) }.is_ok());
    }
    let hosts = ["Shadowed<u16>", "Arc<u16>", "&'static u16"];
    assert_eq!(hosts.map(|host| counts(host, "mark")), [[1, 1, 0, 0, 1]; 3]);
    assert_eq!((counts("*const ()", "400"), counts("*const ()", "401")), ([1, 1, 0, 0, 1], [1, 1, 0, 1, 0]));
    drop((owned, shared));
    registry().sweep();
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { raw::detach_object(object) }, 2);
    assert_eq!(hosts.map(|host| counts(host, "mark")), [[0, 1, 1, 0, 1], [0, 1, 1, 0, 1], [1, 1, 0, 0, 1]]);
    assert_eq!((counts("*const ()", "400"), counts("*const ()", "401")), ([0, 1, 1, 0, 1], [0, 1, 1, 1, 0]));
}

#[test]
fn the_instances_of_a_generic_host_share_a_row() {
    #[derive(Shadow)]
    #[shadow_field(attach item: T)]
    struct Holder<T: Send + Sync + 'static> {
        _item: Option<T>,
        shadow: ShadowFields,
    }
    let bytes = Holder { _item: None, shadow: ShadowFields::new() };
    let words = Holder { _item: None, shadow: ShadowFields::new() };
    bytes.attach_item(1_u8).unwrap();
    words.attach_item(1_u16).unwrap();
    assert_eq!(counts("Holder<T>", "item"), [2, 2, 0, 0, 0]);
    assert_eq!(row("Holder<T>", "item").value_type(), "T");
}

#[test]
fn threads_lose_no_count() {
    const ROUNDS: u32 = fewer(500, 4);
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u32)]
    #[shadow_field(get_or_update version: u32)]
    struct Busy {
        shadow: ShadowFields,
    }
    let shared = Busy::default();
    let work = || {
        for number in 0..ROUNDS {
            let host = Busy::default();
            host.attach_serial(number).unwrap();
            assert!(host.attach_serial(number).is_err());
            shared.update_version(number);
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    assert_eq!(counts("Busy", "serial"), [0, 4 * u64::from(ROUNDS), 4 * u64::from(ROUNDS), 0, 4 * u64::from(ROUNDS)]);
    assert_eq!(counts("Busy", "version"), [1, 1, 0, 4 * u64::from(ROUNDS) - 1, 0]);
}

const DERIVED: u32 = line!();
#[derive(Shadow, Default)]
#[shadow_field(attach one: u8)] // DERIVED + 2
#[shadow_field(
    /// With a doc comment.
    get_or_update
    two: u8 // DERIVED + 6
)]
struct Placed {
    shadow: ShadowFields,
}

const IN_BLOCKS: u32 = line!();
shadow! {
    impl Placed {
        attach three: u8; // IN_BLOCKS + 3
    }
    trait PlacedFields for Placed {
        /// With a doc comment.
        get_or_attach four: u8; // IN_BLOCKS + 7
    }
}

macro_rules! declare {
    ($name:ident for $host:ty) => {
        shadow! { trait DeclaredByMacro for $host { get_or_attach $name: u8; } }
    };
}

const BY_MACRO: u32 = line!() + 1;
declare!(five for Placed);

const OF_RAW: u32 = line!() + 1;
const PLACED: raw::Id<u8> = raw::Id::new(402);

#[test]
fn a_row_says_in_which_line_the_field_is_declared() {
    let host = Placed::default();
    host.attach_one(1).unwrap();
    host.update_two(2);
    host.attach_three(3).unwrap();
    host.four();
    host.five();
    let places = ["one", "two", "three", "four", "five"].map(|field| row("Placed", field).declared_at());
    assert!(places.iter().all(|place| place.file() == file!()), "{places:?}");
    let lines = [DERIVED + 2, DERIVED + 6, IN_BLOCKS + 3, IN_BLOCKS + 7, BY_MACRO];
    assert_eq!(places.map(std::panic::Location::line), lines);
    let object = ptr::from_ref(&host).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    unsafe { PLACED.attach(object, 1) }.unwrap();
    // SAFETY: no reference to a value is kept.
    unsafe { raw::detach_object(object) };
    let place = row("*const ()", "402").declared_at();
    assert_eq!((place.file(), place.line()), (file!(), OF_RAW));
}

#[test]
fn the_table_has_a_line_for_each_field_and_fits_120_columns() {
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_attach a_field_whose_name_goes_on_and_on_for_longer_than_any_name_should: AtomicU32)]
    #[shadow_field(get_or_update many_times_replaced: Option<Vec<Option<(Kind, Kind, Kind)>>>)]
    #[shadow_field(attach größe: u8)]
    struct AHostWhoseNameGoesOnAndOnForLongerThanAnyNameOfATypeShouldAndThenSome<const LENGTH: usize> {
        shadow: ShadowFields,
    }
    #[derive(Clone)]
    struct Kind;
    type Host = AHostWhoseNameGoesOnAndOnForLongerThanAnyNameOfATypeShouldAndThenSome<3>;
    const UPDATES: usize = fewer(300_000, 111);
    let host = Host::default();
    host.a_field_whose_name_goes_on_and_on_for_longer_than_any_name_should();
    host.attach_größe(1).unwrap();
    for _ in 0..=UPDATES {
        host.update_many_times_replaced(None);
    }
    let table = registry().report().to_string();
    let lines: Vec<&str> = table.lines().collect();
    let widest = lines.iter().map(|line| line.chars().count()).max().unwrap();
    assert!((100..=120).contains(&widest), "{widest} columns:\n{table}");

    let header: Vec<&str> = lines[0].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    let columns =
        ["host", "field", "value", "policy", "live", "attached", "detached", "updates", "refused", "declared at"];
    assert_eq!(header, columns);

    // Numbers and policies are never cut. Names are cut at the end, places at the start, and both show the cut.
    let of_host: Vec<&&str> = lines.iter().filter(|line| line.starts_with("AHostW")).collect();
    assert_eq!(of_host.len(), 3, "{table}");
    let replaced = of_host.iter().find(|line| line.contains(&format!(" {UPDATES} "))).unwrap();
    assert!(replaced.contains("…") && replaced.contains("get_or_update"), "{replaced}");
    let place = row("AHostWhoseNameGoesOnAndOnForLongerThanAnyNameOfATypeShouldAndThenSome<LENGTH>", "größe");
    assert!(of_host.iter().any(|line| line.ends_with(&format!(":{}", place.declared_at().line()))), "{table}");
}

#[test]
fn columns_stand_under_their_headings() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach aligned: u8)]
    struct Aligned {
        shadow: ShadowFields,
    }
    Aligned::default().attach_aligned(1).unwrap();
    let table = registry().report().to_string();
    let header = table.lines().next().unwrap();
    let line = table.lines().find(|line| line.starts_with("Aligned ")).unwrap();
    let at = |text: &str, column: usize| text.chars().skip(column).collect::<String>();
    let column = |name: &str| header[..header.find(name).unwrap()].chars().count();
    assert!(at(line, column("policy")).starts_with("attach "), "{table}");
    assert!(at(line, column("value")).starts_with("u8 "), "{table}");
    let end_of_attached = column("attached") + "attached".len();
    assert!(at(line, end_of_attached - 2).starts_with(" 1 "), "numbers stand to the right:\n{table}");
}

#[test]
fn a_refused_attach_is_a_warning_with_the_field_the_host_and_both_places() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach newpid: u32)]
    struct Warned {
        shadow: ShadowFields,
    }
    capture::start();
    let host = Warned::default();
    let (first, attached) = (line!(), host.attach_newpid(1));
    attached.unwrap();
    assert!(capture::lines_with("`Warned`").is_empty(), "an attach that succeeds is silent");
    let (second, refused) = (line!(), host.attach_newpid(2));
    assert!(refused.is_err());
    let lines = capture::lines_with("`Warned`");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!((line.level, &*line.target), (log::Level::Warn, "shadow_runtime"));
    for words in ["`newpid`", &format!("{}:{first}:", file!()), &format!("{}:{second}:", file!())] {
        assert!(line.message.contains(words), "{words}: {}", line.message);
    }
}

#[test]
fn the_warning_of_an_extension_trait_names_the_places_of_its_callers() {
    shadow! { trait WarnedFields for Arc<i8> { attach label: u8; } }
    fn attach_label(host: &Arc<i8>) -> Result<u32, u32> {
        let (line, attached) = (line!(), host.attach_label(1));
        attached.map(|_| line).map_err(|_| line)
    }
    capture::start();
    let host = Arc::new(1_i8);
    let first = attach_label(&host).unwrap();
    let (second, refused) = (line!(), host.attach_label(2));
    assert!(refused.is_err());
    let lines = capture::lines_with("`Arc<i8>`");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for words in ["`label`", &format!("{}:{first}:", file!()), &format!("{}:{second}:", file!())] {
        assert!(lines[0].message.contains(words), "{words}: {}", lines[0].message);
    }
}

#[test]
fn the_warning_of_a_raw_field_names_its_number_and_both_places() {
    const NUMBERED: raw::Id<u8> = raw::Id::new(403);
    capture::start();
    let object = Box::new(0_u8);
    let key = ptr::from_ref(&*object).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    let (first, attached) = (line!(), unsafe { NUMBERED.attach(key, 1) }.is_ok());
    // SAFETY: the object outlives the field, and the refusal returns no reference.
    let (second, refused) = (line!(), unsafe { NUMBERED.attach(key, 2) }.is_err());
    // SAFETY: no reference to a value is kept.
    unsafe { raw::detach_object(key) };
    assert!(attached && refused);
    let lines = capture::lines_with("`403`");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for words in [&format!("{}:{first}:", file!()), &format!("{}:{second}:", file!())] {
        assert!(lines[0].message.contains(words), "{words}: {}", lines[0].message);
    }
}
