//! Rule R9: a host may derive `Clone`, `PartialEq`, `Eq`, `Ord`, `Hash`, `Debug` and `Default`. A clone starts without
//! shadow fields, comparisons and hashes ignore shadow fields, and `Debug` lists the attached fields.

use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

use support::{Census, Life};

/// Implements no trait that the host derives.
struct Opaque;

#[derive(Shadow, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[shadow_field(attach first: Opaque)]
#[shadow_field(get_or_attach second: Life = Census::default().life())]
#[shadow_field(get_or_update third: Life)]
struct Task {
    pid: u32,
    shadow: ShadowFields,
    name: &'static str,
}

shadow! {
    trait Later for Task { attach fourth: Opaque; }
    trait NumberFields for Shadowed<u32> { attach first: Opaque; get_or_update third: Life; }
}

fn task(pid: u32, name: &'static str) -> Task {
    Task { pid, shadow: ShadowFields::new(), name }
}

fn with_fields(pid: u32, name: &'static str) -> Task {
    let task = task(pid, name);
    assert!(task.attach_first(Opaque).is_ok());
    task.second();
    task
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn a_clone_starts_with_no_fields() {
    let census = Census::default();
    let original = with_fields(1, "init");
    original.update_third(census.life());
    let clone = original.clone();
    assert_eq!((clone.pid, clone.name), (1, "init"));
    assert!(clone.first().is_none() && clone.peek_second().is_none() && clone.third().is_none());
    assert!(clone.attach_first(Opaque).is_ok(), "and gets its own");
    drop(clone);
    assert!(original.first().is_some() && original.peek_second().is_some());
    assert_eq!((census.made(), census.dropped()), (1, 0), "no value was cloned with it");
}

#[test]
fn who_becomes_the_clone_of_another_loses_its_fields() {
    let census = Census::default();
    let (mut task, other) = (with_fields(1, "one"), with_fields(2, "two"));
    task.update_third(census.life());
    task.clone_from(&other);
    assert_eq!((task.pid, task.name), (2, "two"));
    assert!(task.first().is_none() && task.peek_second().is_none() && task.third().is_none());
    assert_eq!(census.dropped(), 1);
    assert!(other.first().is_some());
}

#[test]
fn fields_that_become_the_clone_of_others_are_dropped() {
    let census = Census::default();
    let (mut task, other) = (with_fields(1, "one"), with_fields(2, "two"));
    task.update_third(census.life());
    task.shadow.clone_from(&other.shadow);
    assert!(task.first().is_none() && task.peek_second().is_none() && task.third().is_none());
    assert_eq!(census.dropped(), 1);
    assert!(other.first().is_some());
}

#[test]
fn fields_take_no_part_in_equality() {
    assert_eq!(with_fields(1, "init"), task(1, "init"));
    assert_eq!(task(1, "init"), with_fields(1, "init"));
    assert_ne!(with_fields(1, "init"), with_fields(2, "init"));
    assert_ne!(with_fields(1, "init"), with_fields(1, "exit"));
}

#[test]
fn fields_take_no_part_in_order() {
    assert_eq!(with_fields(1, "init").cmp(&task(1, "init")), Ordering::Equal);
    assert_eq!(task(1, "init").partial_cmp(&with_fields(1, "init")), Some(Ordering::Equal));
    // The comparison includes the part behind the shadow fields.
    assert!(with_fields(1, "exit") < task(1, "init") && task(1, "exit") < with_fields(1, "init"));
    assert!(with_fields(2, "exit") > with_fields(1, "init"));
}

#[test]
fn fields_take_no_part_in_hashes() {
    assert_eq!(hash(&with_fields(1, "init")), hash(&task(1, "init")));
    assert_eq!(hash(&task(1, "init")), hash(&(1_u32, "init")), "they add nothing to it");
    assert_ne!(hash(&with_fields(1, "init")), hash(&with_fields(2, "init")));
}

#[test]
#[expect(clippy::mutable_key_type, reason = "what can change in a key has no part in what it is")]
fn a_key_is_found_whatever_is_attached_to_it() {
    let key = task(1, "init");
    let map = HashMap::from([(key, "found")]);
    let (key, _) = map.get_key_value(&task(1, "init")).unwrap();
    assert!(key.attach_first(Opaque).is_ok());
    key.second();
    assert_eq!(map[&task(1, "init")], "found");
    let set = BTreeSet::from([with_fields(2, "b"), task(1, "a")]);
    set.first().unwrap().second();
    assert!(set.contains(&task(1, "a")) && set.contains(&task(2, "b")) && !set.contains(&task(3, "c")));
}

#[test]
fn debug_lists_the_fields_that_are_attached() {
    let mut task = task(1, "init");
    assert_eq!(format!("{task:?}"), r#"Task { pid: 1, shadow: ShadowFields {}, name: "init" }"#);
    task.update_third(Census::default().life());
    assert!(task.peek_second().is_none());
    assert_eq!(format!("{:?}", task.shadow), r#"ShadowFields {"third"}"#);
    assert!(task.attach_first(Opaque).is_ok());
    task.second();
    assert!(task.attach_fourth(Opaque).is_ok());
    assert_eq!(
        format!("{task:?}"),
        r#"Task { pid: 1, shadow: ShadowFields {"first", "second", "third", "fourth"}, name: "init" }"#
    );
    task.detach_second();
    task.detach_third();
    assert_eq!(format!("{:?}", task.shadow), r#"ShadowFields {"first", "fourth"}"#);
    assert_eq!(format!("{:#?}", task.shadow), "ShadowFields {\n    \"first\",\n    \"fourth\",\n}");
    task.update_third(Census::default().life());
    assert_eq!(format!("{:?}", task.shadow), r#"ShadowFields {"first", "third", "fourth"}"#);
    assert!(task.take_third().is_some());
    assert_eq!(format!("{:?}", task.shadow), r#"ShadowFields {"first", "fourth"}"#);
}

#[test]
fn debug_does_not_list_what_is_being_made() {
    let task = task(1, "init");
    task.get_or_attach_second(|| {
        assert_eq!(format!("{:?}", task.shadow), "ShadowFields {}");
        Census::default().life()
    });
    assert_eq!(format!("{:?}", task.shadow), r#"ShadowFields {"second"}"#);
}

#[test]
fn a_default_host_has_no_fields() {
    let task = Task::default();
    assert_eq!((task.pid, task.name), (0, ""));
    assert!(task.first().is_none() && task.peek_second().is_none() && task.third().is_none());
}

#[test]
fn shadow_fields_themselves_compare_as_if_they_were_not_there() {
    let with = with_fields(1, "init").shadow;
    let without = ShadowFields::default();
    assert!(with == without && with.cmp(&without) == Ordering::Equal);
    assert_eq!(with.partial_cmp(&without), Some(Ordering::Equal));
    assert_eq!(hash(&with), hash(&()));
    assert_eq!(format!("{:?}", with.clone()), "ShadowFields {}");
}

#[test]
fn a_wrapper_compares_clones_and_hashes_as_its_value() {
    let (with, without) = (Shadowed::new(7_u32), Shadowed::new(7_u32));
    assert!(with.attach_first(Opaque).is_ok());
    with.update_third(Census::default().life());
    assert_eq!(with, without);
    assert_eq!(with.cmp(&without), Ordering::Equal);
    assert!(with < Shadowed::new(8) && with > Shadowed::new(6) && with != Shadowed::new(8));
    assert_eq!((hash(&with), hash(&with)), (hash(&without), hash(&7_u32)));
    let clone = with.clone();
    assert!(*clone == 7 && clone.first().is_none() && clone.third().is_none());
    assert!(*Shadowed::<u32>::default() == 0 && Shadowed::<u32>::default().first().is_none());
}

#[test]
fn a_wrapper_can_do_what_its_value_can_and_no_more() {
    fn all<T: Clone + Debug + Default + Eq + Ord + Hash + Send + Sync>(value: &T) -> T {
        value.clone()
    }
    struct Plain;
    let _clone = all(&Shadowed::new("text".to_owned()));
    let plain = Shadowed::new(Plain);
    let Plain = Shadowed::into_inner(plain);
}
