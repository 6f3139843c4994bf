//! `Shadowed<T>` as a host: an owned value of a foreign type, with fields beside the value.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{ptr, thread};

use shadow_runtime::{Shadowed, shadow};

use support::{Census, Diary, Life, Noted, fewer};

shadow! {
    trait PathFields for Shadowed<PathBuf> {
        attach origin: String;
        get_or_attach hits: AtomicU32;
        get_or_attach length: usize = self.as_os_str().len();
        get_or_update last_user: u32;
    }
    trait NotedFields for Shadowed<Noted> {
        attach field: Noted;
        attach life: Life;
    }
    /// Has the names of methods of `Vec`.
    trait VecFields<T> for Shadowed<Vec<T>> {
        get_or_attach len: String = "hidden".to_owned();
        attach first: u8;
    }
}

fn path() -> Shadowed<PathBuf> {
    Shadowed::new(PathBuf::from("/etc/hosts"))
}

#[test]
fn every_accessor_works_on_a_foreign_type() {
    let mut path = path();
    assert_eq!(path.origin(), None);
    assert_eq!(path.attach_origin("a user".to_owned()).unwrap(), "a user");
    assert_eq!(path.attach_origin("another".to_owned()).unwrap_err().into_value(), "another");
    path.origin_mut().unwrap().push('!');
    assert_eq!(path.detach_origin().as_deref(), Some("a user!"));

    assert!(path.peek_hits().is_none());
    path.hits().fetch_add(1, Ordering::Relaxed);
    *path.hits_mut().get_mut() += 1;
    assert_eq!(path.get_or_attach_hits(|| AtomicU32::new(9)).load(Ordering::Relaxed), 2);
    assert_eq!(path.detach_hits().map(AtomicU32::into_inner), Some(2));
    assert_eq!(path.get_or_try_attach_hits(|| Err("no")).unwrap_err(), "no");

    assert_eq!(path.update_last_user(1), None);
    assert_eq!(path.update_last_user_with(|before| before.unwrap() + 1), Some(1));
    *path.last_user_mut().unwrap() += 1;
    assert_eq!((path.last_user(), path.detach_last_user(), path.last_user()), (Some(3), Some(3), None));
}

#[test]
fn an_initialiser_sees_the_value() {
    assert_eq!(*path().length(), "/etc/hosts".len());
}

#[test]
fn the_refusal_names_the_host_as_it_was_declared() {
    let path = path();
    path.attach_origin(String::new()).unwrap();
    let refused = path.attach_origin(String::new()).unwrap_err();
    assert_eq!(refused.to_string(), "shadow field `origin` is already attached to this `Shadowed<PathBuf>`");
}

#[test]
fn it_dereferences_to_the_value() {
    let mut path = path();
    path.push("more");
    assert!(path.ends_with("hosts/more"));
    *path = PathBuf::from("/");
    assert_eq!(path.as_os_str(), "/");
}

#[test]
fn fields_stay_when_the_value_is_replaced() {
    let mut path = path();
    path.update_last_user(1);
    *path = PathBuf::new();
    assert_eq!(path.last_user(), Some(1));
}

#[test]
fn an_accessor_hides_a_method_of_the_same_name() {
    let list = Shadowed::new(vec![1, 2, 3]);
    assert_eq!(list.len(), "hidden");
    assert_eq!((*list).len(), 3);
    list.attach_first(9).unwrap();
    assert_eq!((VecFields::first(&list), (*list).first()), (Some(&9), Some(&1)));
}

#[test]
fn it_can_be_made_of_a_value_and_taken_apart_again() {
    let path = Shadowed::from(PathBuf::from("/tmp"));
    assert_eq!(Shadowed::into_inner(path), PathBuf::from("/tmp"));
}

#[test]
fn taking_it_apart_drops_the_fields_and_keeps_the_value() {
    let (census, diary) = (Census::default(), Diary::default());
    let host = Shadowed::new(Noted::quiet("value", &diary));
    assert!(host.attach_life(census.life()).is_ok());
    assert!(host.attach_field(Noted::quiet("field", &diary)).is_ok());
    let value = Shadowed::into_inner(host);
    assert_eq!((census.dropped(), diary.read()), (1, vec!["field"]));
    drop(value);
    assert_eq!(diary.read(), ["field", "value"]);
}

#[test]
fn fields_are_dropped_with_the_wrapper_and_before_the_value() {
    let diary = Diary::default();
    let host = Shadowed::new(Noted::quiet("value", &diary));
    assert!(host.attach_field(Noted::quiet("field", &diary)).is_ok());
    drop(host);
    assert_eq!(diary.read(), ["field", "value"]);
}

#[test]
fn a_clone_has_the_value_and_no_fields() {
    let path = path();
    path.update_last_user(1);
    let copy = path.clone();
    assert_eq!(copy, path);
    assert_eq!(copy.last_user(), None);
    copy.update_last_user(2);
    assert_eq!(path.last_user(), Some(1));
}

#[test]
fn two_wrappers_of_equal_values_have_fields_of_their_own() {
    let (one, other) = (path(), path());
    one.attach_origin("one".to_owned()).unwrap();
    assert_eq!(other.origin(), None);
    assert!(!ptr::eq(one.hits(), other.hits()));
}

#[test]
fn debug_shows_the_value_and_which_fields_are_attached() {
    let path = path();
    path.hits();
    path.update_last_user(1);
    let text = format!("{path:?}");
    assert!(text.contains("/etc/hosts") && text.contains(r#"{"hits", "last_user"}"#), "{text}");
}

#[test]
fn it_is_shared_between_threads_like_its_value() {
    const COUNT: u32 = fewer(500, 20);
    let path = path();
    let count = || {
        for _ in 0..COUNT {
            path.hits().fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(count);
        scope.spawn(count);
    });
    assert_eq!(path.hits().load(Ordering::Relaxed), 2 * COUNT);
}

#[test]
fn it_can_be_a_static() {
    static QUEUE: Shadowed<Mutex<Vec<u8>>> = Shadowed::new(Mutex::new(Vec::new()));
    shadow! { trait QueueFields for Shadowed<Mutex<Vec<u8>>> { get_or_attach pushed: AtomicU32; } }
    QUEUE.lock().unwrap().push(1);
    let pushed: &'static AtomicU32 = QUEUE.pushed();
    pushed.fetch_add(1, Ordering::Relaxed);
    assert_eq!(QUEUE.pushed().load(Ordering::Relaxed), 1);
}

#[test]
fn a_value_that_borrows_may_be_wrapped() {
    shadow! { trait WordFields<'a> for Shadowed<&'a str> { get_or_attach length: usize = self.len(); } }
    let text = "two words".to_owned();
    let words: Vec<_> = text.split(' ').map(Shadowed::new).collect();
    assert_eq!((*words[0].length(), *words[1].length()), (3, 5));
}
