//! The registry: the fields in use, the places of their declarations, and the counts of operations; the printed table;
//! and the warning about a refused attach.
//!
//! The registry is process-wide, so every test has a host type of its own, and searches for its rows.

use std::panic::AssertUnwindSafe;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;

use shadow_runtime::{Policy, Report, Row, Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::{capture, fewer};

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
    [row.live(), row.attached(), row.detached(), row.updates(), row.refused()]
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
            support::elsewhere(|| host.update_version(3));
        }
        before.unwrap() + 1
    });
    assert_eq!((runs, counts("Updated", "version")), (2, [1, 1, 0, 3, 0]));
    host.detach_version();
    host.update_version(5);
    assert_eq!(counts("Updated", "version"), [1, 2, 1, 3, 0]);
    assert_eq!((host.take_version(), host.take_version()), (Some(5), None));
    assert_eq!(counts("Updated", "version"), [0, 2, 2, 3, 0]);
    host.update_version_with(|_| 6);
    assert_eq!(counts("Updated", "version"), [1, 3, 2, 3, 0]);
    drop(host);
    assert_eq!(counts("Updated", "version"), [0, 3, 3, 3, 0]);
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
fn a_row_has_the_size_of_a_value_unless_the_host_decides_on_the_size() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach wide: [u64; 4])]
    #[shadow_field(get_or_attach text: String)]
    #[shadow_field(get_or_update newest: u16)]
    #[shadow_field(get_or_update(copy) nothing: ())]
    struct Sized {
        shadow: ShadowFields,
    }
    struct Generic<T, const N: usize>(T);
    shadow! {
        trait OfParameters<T, const N: usize> for Shadowed<Generic<T, N>> where T: Send + Sync + 'static {
            get_or_attach of_type: Option<T>;
            get_or_attach of_const: Vec<[u8; N]>;
            attach of_self: std::marker::PhantomData<Self>;
            get_or_attach of_neither: u8;
        }
    }
    const NUMBERED: raw::UpdateId<u32> = raw::UpdateId::new(405);
    let (host, generic, object) = (Sized::default(), Shadowed::new(Generic::<u8, 3>(1)), 0_u8);
    host.attach_wide([0; 4]).unwrap();
    host.text();
    host.update_newest(1);
    host.update_nothing(());
    let sizes = ["wide", "text", "newest", "nothing"].map(|field| row("Sized", field).bytes_each());
    assert_eq!(sizes, [Some(32), Some(size_of::<String>()), Some(2), Some(0)]);
    generic.of_type();
    generic.of_const();
    generic.of_neither();
    generic.attach_of_self(std::marker::PhantomData).unwrap();
    let of = |field| row("Shadowed<Generic<T, N>>", field).bytes_each();
    assert_eq!(["of_type", "of_const", "of_self", "of_neither"].map(of), [None, None, None, Some(1)]);
    let key = (&raw const object).cast();
    // SAFETY: the object outlives the field.
    unsafe { NUMBERED.get_or_update(key, 1) }.unwrap();
    // SAFETY: the field at this address is a field of the object.
    assert_eq!(unsafe { NUMBERED.detach(key) }.unwrap(), Some(1));
    assert_eq!(row_of(405).bytes_each(), Some(4));
}

#[test]
fn a_report_since_an_earlier_one_has_the_events_between_the_two() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach early: u8)]
    #[shadow_field(get_or_update newest: u8)]
    #[shadow_field(attach late: u8)]
    struct Watched {
        shadow: ShadowFields,
    }
    let counts_of = |report: &Report, field: &str| {
        let row = report.iter().find(|row| row.host() == "Watched" && row.field() == field).unwrap();
        [row.live(), row.attached(), row.detached(), row.updates(), row.refused()]
    };
    let mut hosts = [(); 3].map(|()| Watched::default());
    for host in &hosts {
        host.attach_early(1).unwrap();
        host.update_newest(1);
    }
    hosts[0].detach_early();
    let earlier = registry().report();
    hosts[1].detach_early();
    assert!(hosts[2].attach_early(2).is_err());
    hosts[2].attach_late(2).unwrap();
    hosts[2].update_newest(2);
    let later = registry().report();
    let between = later.since(&earlier);
    assert_eq!(counts_of(&between, "early"), [1, 0, 1, 0, 1]);
    assert_eq!(counts_of(&between, "newest"), [3, 0, 0, 1, 0]);
    assert_eq!(counts_of(&between, "late"), [1, 1, 0, 0, 0], "its first attach was between the two");
    assert_eq!(counts_of(&later, "early"), [1, 3, 2, 0, 1]);
    assert_eq!(between.iter().count(), later.iter().count());
    // The wrong way round: no count falls below 0.
    let backwards = earlier.since(&later);
    assert_eq!(counts_of(&backwards, "early"), [2, 0, 0, 0, 0]);
    assert_eq!(backwards.iter().count(), earlier.iter().count());
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
    assert_eq!(places.map(|place| place.line()), lines);
    let object = ptr::from_ref(&host).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    unsafe { PLACED.attach(object, 1) }.unwrap();
    // SAFETY: no reference to a value is kept.
    unsafe { raw::detach_object(object) };
    let place = row("*const ()", "402").declared_at();
    assert_eq!((place.file(), place.line()), (file!(), OF_RAW));
    let column = place.column().unwrap();
    assert_eq!(place.to_string(), format!("{}:{OF_RAW}:{column}", file!()));
}

/// The row of a number.
fn row_of(number: u64) -> Row {
    let report = registry().report();
    *report.iter().find(|row| row.number() == Some(number)).unwrap_or_else(|| panic!("no row of {number}"))
}

/// Attaches the field, and detaches the field.
fn use_once<V: Send + Sync + 'static>(id: raw::Id<V>, value: V) {
    let object = 0_u8;
    let key = (&raw const object).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    assert!(unsafe { id.attach(key, value) }.is_ok());
    // SAFETY: no reference to a value is kept.
    unsafe { raw::detach_object(key) };
}

#[test]
fn a_row_of_a_raw_id_has_the_name_of_the_first_id_that_attaches() {
    const NAMELESS: raw::Id<u8> = raw::Id::new(420);
    const LATER: raw::Id<u8> = raw::Id::named(420, "late");
    const NAMED: raw::Id<u8> = raw::Id::named(421, "early");
    const NEWEST: raw::UpdateId<u8> = raw::UpdateId::named(422, "newest");
    use_once(NAMELESS, 1);
    use_once(LATER, 1);
    use_once(NAMED, 1);
    let object = 0_u8;
    let key = (&raw const object).cast();
    // SAFETY: the object outlives the field.
    unsafe { NEWEST.get_or_update(key, 1) }.unwrap();
    // SAFETY: no reference to a value is kept.
    unsafe { raw::detach_object(key) };
    assert_eq!([420, 421, 422].map(|number| row_of(number).field()), ["420", "early", "newest"]);
    assert_eq!([420, 421, 422].map(|number| row_of(number).host()), ["*const ()"; 3]);
    assert_eq!(row_of(422).policy(), Policy::GetOrUpdate);
    let table = format!("{:400}", registry().report());
    for field in ["420", "early (421)", "newest (422)"] {
        assert!(table.lines().any(|line| line.starts_with(&format!("  {field} "))), "{field} of\n{table}");
    }
    Placed::default().four();
    assert_eq!(row("Placed", "four").number(), None);
}

#[test]
fn the_last_description_of_a_number_is_in_its_row_whenever_it_comes() {
    const BEFORE: raw::Id<u8> = raw::Id::named(423, "of the id");
    const AFTER: raw::Id<u8> = raw::Id::new(424);
    let full = raw::Description::new("counter").host("struct socket").value_type("int").declared_at("socket.c", 12);
    raw::describe(423, full);
    use_once(BEFORE, 1);
    use_once(AFTER, 1);
    let before = row_of(424);
    raw::describe(424, full);
    assert_eq!((before.field(), before.host()), ("424", "*const ()"), "a report is a snapshot");
    for number in [423, 424] {
        let row = row_of(number);
        assert_eq!((row.field(), row.host(), row.value_type()), ("counter", "struct socket", "int"));
        assert_eq!((row.declared_at().to_string().as_str(), row.declared_at().column()), ("socket.c:12", None));
        assert_eq!((row.module_path(), row.attached()), (None, 1));
    }
    let report = registry().report();
    raw::describe(424, raw::Description::new("leak"));
    let row = row_of(424);
    assert_eq!((row.field(), row.host(), row.value_type()), ("leak", "*const ()", "u8"));
    assert_eq!(row.declared_at().file(), file!());
    let paragraphs = format!("{report:#}");
    for line in ["host         struct socket\n", "field        counter (424)\n", "declared at  socket.c:12"] {
        assert!(paragraphs.contains(line), "{line} of\n{paragraphs}");
    }
}

#[test]
fn a_refusal_has_the_description_of_its_number() {
    const NUMBER: raw::Id<u8> = raw::Id::named(425, "described later");
    capture::start();
    let object = 0_u8;
    let key = (&raw const object).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    let attach = || unsafe { NUMBER.attach(key, 1) }.copied();
    attach().unwrap();
    let refused = attach().unwrap_err();
    assert_eq!(refused.to_string(), "shadow field `described later` is already attached to this `*const ()`");
    raw::describe(425, raw::Description::new("tally").host("struct task"));
    assert_eq!(refused.to_string(), "shadow field `tally` is already attached to this `struct task`");
    assert!(attach().is_err());
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    let refused = unsafe { NUMBER.attach_with(key, || Err(())) }.unwrap_err();
    assert!(matches!(refused, raw::InitError::AlreadyAttached(_)));
    assert_eq!(capture::lines_with("`tally` of `struct task` is already attached, at ").len(), 2);
    assert_eq!(row_of(425).refused(), 3);
    // SAFETY: no reference to a value is kept.
    unsafe { raw::detach_object(key) };
}

#[test]
fn a_refused_attach_with_of_a_newest_value_is_counted_and_logged() {
    const NEWEST: raw::UpdateId<u8> = raw::UpdateId::named(426, "replaced");
    capture::start();
    let object = 0_u8;
    let key = (&raw const object).cast();
    // SAFETY: the object outlives the field.
    let attach_with = |init: fn(*const ()) -> u8| unsafe { NEWEST.attach_with(key, || Ok::<_, ()>(init(key))) };
    // SAFETY: as above.
    let detach = || unsafe { NEWEST.detach(key) }.unwrap();
    let is_refused = |init| assert!(matches!(attach_with(init), Err(raw::InitError::AlreadyAttached(_))));
    assert_eq!(attach_with(|_| 1).unwrap(), 1);
    assert_eq!((row_of(426).attached(), row_of(426).live()), (1, 1));
    is_refused(|_| 2);
    assert_eq!(detach(), Some(1));
    // SAFETY: as above.
    is_refused(|key| unsafe { NEWEST.get_or_update(key, 3) }.unwrap().unwrap_or(4));
    assert_eq!(detach(), Some(3));
    let lines = capture::lines_with("`replaced` of `*const ()` is already attached; the second attach, at ");
    assert_eq!(lines.len(), 2);
    let row = row_of(426);
    assert_eq!([row.attached(), row.detached(), row.updates(), row.refused()], [2, 2, 0, 2]);
}

mod net {
    use super::*;

    #[derive(Shadow, Default)]
    #[shadow_field(pub(super) attach label: &'static str)]
    pub(super) struct Connection {
        shadow: ShadowFields,
    }
}

mod pool {
    use super::*;

    #[derive(Shadow, Default)]
    #[shadow_field(pub(super) attach label: &'static str)]
    pub(super) struct Connection {
        shadow: ShadowFields,
    }

    shadow! { pub(super) trait OfNet for net::Connection { get_or_attach idle: bool; } }
}

#[test]
fn two_hosts_of_one_name_are_told_apart_by_their_modules() {
    use pool::OfNet;
    let (one, other) = (net::Connection::default(), pool::Connection::default());
    one.attach_label("net").unwrap();
    other.attach_label("pool").unwrap();
    assert!(other.attach_label("again").is_err());
    one.idle();
    let report = registry().report();
    let modules = |host: &str, field: &str| -> Vec<_> {
        let rows = report.iter().filter(|row| row.host() == host && row.field() == field);
        rows.map(|row| (row.module_path().unwrap(), row.refused())).collect()
    };
    let [net, pool] = ["net", "pool"].map(|module| format!("{}::{module}", module_path!()));
    let mut labels = modules("Connection", "label");
    labels.sort_unstable();
    assert_eq!(labels, [(&*net, 0), (&*pool, 1)]);
    assert_eq!(modules("net::Connection", "idle"), [(&*pool, 0)], "the module of the declaration");

    let table = format!("{report:400}");
    let lines: Vec<&str> = table.lines().collect();
    for (host, field) in [
        (format!("Connection in {net}"), "label"),
        (format!("Connection in {pool}"), "label"),
        (format!("net::Connection in {pool}"), "idle"),
    ] {
        let line = lines.iter().position(|line| *line == host).unwrap_or_else(|| panic!("{host} of\n{table}"));
        assert!(lines[line + 1].starts_with(&format!("  {field} ")), "{table}");
        assert!(lines.get(line + 2).is_none_or(|next| !next.starts_with("  ")), "one field for each host:\n{table}");
    }
}

#[test]
fn a_field_of_a_macro_is_in_the_module_of_its_use_and_a_raw_field_in_none() {
    const NUMBERED: raw::Id<u8> = raw::Id::new(404);
    let host = Placed::default();
    host.five();
    assert_eq!(row("Placed", "five").module_path(), Some(module_path!()));
    let object = ptr::from_ref(&host).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    unsafe { NUMBERED.attach(object, 1) }.unwrap();
    // SAFETY: no reference to a value is kept.
    unsafe { raw::detach_object(object) };
    assert_eq!(row("*const ()", "404").module_path(), None);
    assert!(format!("{:400}", registry().report()).lines().any(|line| line == "*const ()"));
}

#[test]
fn a_report_has_every_name_in_full_at_every_width_and_in_both_forms() {
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
    let (name, report) =
        ("AHostWhoseNameGoesOnAndOnForLongerThanAnyNameOfATypeShouldAndThenSome<LENGTH>", registry().report());
    let place = row(name, "größe").declared_at();
    let names = [
        name,
        "a_field_whose_name_goes_on_and_on_for_longer_than_any_name_should",
        "Option<Vec<Option<(Kind, Kind, Kind)>>>",
        "größe",
        &format!("{}:{}", place.file(), place.line()),
        &UPDATES.to_string(),
    ];
    let widths = [40, 80, 120, 200].into_iter().step_by(fewer(1, 3)).map(|width| format!("{report:width$}"));
    let widths: Vec<String> = widths.collect();
    for printed in widths.iter().chain([&format!("{report:#}"), &report.to_string()]) {
        let missing: Vec<&str> = names.into_iter().filter(|name| !printed.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?} of\n{printed}");
    }
    let widest = &widths[widths.len() - 1];
    assert!(widest.lines().all(|line| line.chars().count() <= 200), "{widest}");
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
    assert_eq!((line.file.as_deref(), line.line), (Some(file!()), Some(second)));
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
    assert_eq!((lines[0].file.as_deref(), lines[0].line), (Some(file!()), Some(second)));
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
    assert_eq!((lines[0].file.as_deref(), lines[0].line), (Some(file!()), Some(second)));
    for words in [&format!("{}:{first}:", file!()), &format!("{}:{second}:", file!())] {
        assert!(lines[0].message.contains(words), "{words}: {}", lines[0].message);
    }
}
