//! `Arc<T>` as a host: the clones are the same host, and the fields end after the last clone.
//!
//! A sweep affects every `Arc` host of the process, so the tests run sequentially.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::{ptr, thread};

use shadow_runtime::{registry, shadow};

use support::{Census, Diary, Life, Noted, alone, fewer};

shadow! {
    trait PathFields for Arc<PathBuf> {
        attach origin: String;
        get_or_attach hits: AtomicU32;
        get_or_attach length: usize = self.as_os_str().len();
        get_or_update last_user: u32;
    }
    trait LifeFields<T: ?Sized + Send + Sync + 'static> for Arc<T> {
        attach life: Life;
        get_or_attach number: AtomicU32;
    }
    trait DebugFields for Arc<dyn Debug + Send + Sync> { attach seen_as: &'static str; }
    trait StrFields for Arc<str> { attach language: &'static str; }
    trait SliceFields for Arc<[u16]> { attach sum: u16; }
    trait NotedFields for Arc<Noted> { attach beside: Noted; }
}

fn attach_life<T: ?Sized + Send + Sync + 'static>(host: &Arc<T>, census: &Census) {
    assert!(host.attach_life(census.life()).is_ok());
}

#[test]
fn every_shared_accessor_works_on_an_arc() {
    let _alone = alone();
    let path = Arc::new(PathBuf::from("/etc"));
    assert_eq!(path.origin(), None);
    assert_eq!(path.attach_origin("a user".to_owned()).unwrap(), "a user");
    assert_eq!(path.origin().unwrap(), "a user");

    assert!(path.peek_hits().is_none());
    path.hits().fetch_add(1, Ordering::Relaxed);
    assert_eq!(path.get_or_attach_hits(|| AtomicU32::new(9)).load(Ordering::Relaxed), 1);
    assert_eq!(path.get_or_try_attach_length(|| Err("no")), Err("no"));
    assert_eq!((path.peek_length(), *path.length()), (None, 4));

    assert_eq!((path.last_user(), path.update_last_user(1)), (None, None));
    assert_eq!(path.update_last_user_with(|before| before.unwrap() + 1), Some(1));
    assert_eq!(path.last_user(), Some(2));
}

#[test]
fn the_refusal_names_the_host_as_it_was_declared() {
    let _alone = alone();
    let path = Arc::new(PathBuf::new());
    path.attach_origin("first".to_owned()).unwrap();
    let refused = path.attach_origin("second".to_owned()).unwrap_err();
    assert_eq!(refused.to_string(), "shadow field `origin` is already attached to this `Arc<PathBuf>`");
    assert_eq!(refused.into_value(), "second");
    assert_eq!(path.origin().unwrap(), "first");
}

#[test]
fn the_clones_of_an_arc_are_one_host_and_another_arc_is_another() {
    let _alone = alone();
    let path = Arc::new(PathBuf::from("/etc"));
    let (clone, equal) = (Arc::clone(&path), Arc::new(PathBuf::from("/etc")));
    path.attach_origin("mine".to_owned()).unwrap();
    assert!(ptr::eq(clone.origin().unwrap(), path.origin().unwrap()));
    assert_eq!(equal.origin(), None);
    assert!(!ptr::eq(equal.hits(), path.hits()));
}

#[test]
fn clones_in_other_threads_are_the_same_host() {
    let _alone = alone();
    let path = Arc::new(PathBuf::new());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = Arc::clone(&path);
            thread::spawn(move || {
                for _ in 0..fewer(100, 10) {
                    path.hits().fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(path.hits().load(Ordering::Relaxed), 4 * fewer(100, 10));
}

#[test]
fn a_trait_object_a_string_and_a_slice_are_hosts() {
    let _alone = alone();
    let object: Arc<dyn Debug + Send + Sync> = Arc::new(7);
    assert_eq!(object.attach_seen_as("a number").unwrap(), &"a number");
    let text: Arc<str> = Arc::from("guten Tag");
    text.attach_language("de").unwrap();
    assert_eq!((text.language(), Arc::<str>::from("guten Tag").language()), (Some(&"de"), None));
    let slice: Arc<[u16]> = Arc::from([1, 2, 3]);
    slice.attach_sum(slice.iter().sum()).unwrap();
    assert_eq!(slice.sum(), Some(&6));
    let empty: Arc<[u16]> = Arc::from(Vec::new());
    assert_eq!(empty.sum(), None);
}

#[test]
fn an_object_is_one_host_whatever_it_is_seen_as() {
    let _alone = alone();
    let number = Arc::new(7_u64);
    number.number().store(70, Ordering::Relaxed);
    let object: Arc<dyn Any + Send + Sync> = number.clone();
    assert_eq!(object.number().load(Ordering::Relaxed), 70);
    assert!(ptr::eq(object.number(), number.number()));
}

#[test]
fn the_first_field_of_a_host_need_not_be_the_first_of_its_declaration() {
    let _alone = alone();
    let (sized, text) = (Arc::new(7_u8), Arc::<str>::from("guten Tag"));
    let (of_sized, of_text) = (sized.number(), text.number());
    assert!(ptr::eq(of_sized, sized.peek_number().unwrap()) && ptr::eq(of_sized, sized.number()));
    assert!(ptr::eq(of_text, text.peek_number().unwrap()) && ptr::eq(of_text, text.number()));
    drop((sized, text));
    assert_eq!(registry().sweep(), 2);
}

#[test]
fn fields_of_another_declaration_are_put_beside_those_that_are_there() {
    let _alone = alone();
    let census = Census::default();
    let path = Arc::new(PathBuf::from("/etc"));
    let hits = path.hits();
    attach_life(&path, &census);
    assert!(path.life().is_some());
    assert!(ptr::eq(hits, path.peek_hits().unwrap()));
    assert!(ptr::eq(path.number(), path.peek_number().unwrap()));
    drop(path);
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

#[test]
fn zero_sized_objects_are_hosts_of_their_own() {
    const COUNT: u8 = fewer(100, 10);
    #[derive(Debug)]
    struct Nothing;
    #[derive(Debug)]
    #[repr(align(64))]
    struct AlignedNothing;
    let _alone = alone();
    let nothings: Vec<Arc<Nothing>> = (0..COUNT).map(|_| Arc::new(Nothing)).collect();
    let aligned: Vec<Arc<AlignedNothing>> = (0..COUNT).map(|_| Arc::new(AlignedNothing)).collect();
    let bytes: Vec<Arc<u8>> = (0..COUNT).map(Arc::new).collect();
    let mut number = 0;
    let mut next = || {
        number += 1;
        AtomicU32::new(number)
    };
    for ((nothing, aligned), byte) in nothings.iter().zip(&aligned).zip(&bytes) {
        nothing.get_or_attach_number(&mut next);
        aligned.get_or_attach_number(&mut next);
        byte.get_or_attach_number(&mut next);
    }
    assert_eq!(number, 3 * u32::from(COUNT), "each of them attached a value of its own");
    // A `Weak` of a zero-sized object points past the allocation, so a leak sanitizer would report the allocation.
    drop((nothings, aligned));
    registry().sweep();
}

#[test]
fn fields_stay_as_long_as_one_arc_is_there_and_go_at_the_next_sweep() {
    let _alone = alone();
    let census = Census::default();
    let first = Arc::new(1_u8);
    let last = Arc::clone(&first);
    attach_life(&first, &census);
    drop(first);
    assert_eq!((registry().sweep(), census.dropped()), (0, 0));
    assert!(last.life().is_some());
    drop(last);
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
    assert_eq!((registry().sweep(), census.dropped()), (0, 1));
}

#[test]
fn a_sweep_counts_the_dead_hosts_and_not_their_fields_or_the_living() {
    const THIRD: usize = fewer(100, 10);
    let _alone = alone();
    let census = Census::default();
    let mut hosts: Vec<Arc<u32>> = (0..).take(3 * THIRD).map(Arc::new).collect();
    for host in &hosts {
        attach_life(host, &census);
        host.number().store(1, Ordering::Relaxed);
    }
    let living = hosts.split_off(2 * THIRD);
    drop(hosts);
    let sweeps = registry().sweep();
    // The attaches above have dropped no host: all hosts were alive.
    assert_eq!((sweeps, census.dropped()), (2 * THIRD, 2 * THIRD));
    assert!(living.iter().all(|host| host.life().is_some()));
    drop(living);
    assert_eq!((registry().sweep(), census.dropped()), (THIRD, 3 * THIRD));
}

#[test]
fn a_dead_host_is_dropped_within_a_bounded_number_of_later_attaches() {
    let _alone = alone();
    let (census, count) = (Census::default(), fewer(1000, 30));
    let dead: Vec<Arc<u32>> = (0..).take(count).map(Arc::new).collect();
    for host in &dead {
        attach_life(host, &census);
    }
    drop(dead);
    let mut living = Vec::new();
    while census.dropped() < count {
        assert!(living.len() < 5000, "{} of {count} dead hosts are still there", count - census.dropped());
        let host = Arc::new(0_u64);
        host.number();
        living.push(host);
    }
    assert_eq!(registry().sweep(), 0);
}

/// Attaches to `hosts` hosts. Each host dies after `at_a_time` further attaches.
fn pass_by(census: &Census, hosts: usize, at_a_time: usize) {
    let mut alive = VecDeque::new();
    for _ in 0..hosts {
        let host = Arc::new(0_u64);
        attach_life(&host, census);
        alive.push_back(host);
        if alive.len() > at_a_time {
            alive.pop_front();
        }
    }
}

#[test]
fn a_dead_host_is_dropped_a_few_attaches_later_also_after_an_initialiser() {
    let _alone = alone();
    let census = Census::default();
    // A new thread, without earlier attaches.
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                assert_eq!(Arc::new(PathBuf::from("/etc")).length(), &4);
                let before = census.dropped();
                pass_by(&census, 50, 0);
                assert!(census.dropped() - before >= 40, "{}", census.dropped() - before);
            }
        });
    });
}

#[test]
fn dead_hosts_are_dropped_also_when_the_table_does_not_grow() {
    let _alone = alone();
    let (census, count) = (Census::default(), fewer(10_000, 20));
    let crowd: Vec<Arc<u32>> = (0..).take(count).map(Arc::new).collect();
    for host in &crowd {
        attach_life(host, &census);
    }
    // Completes the looks that are due for the growth, while all hosts of the crowd are alive.
    pass_by(&Census::default(), 2 * count, 0);
    drop(crowd);
    // An attach drops at most 8 dead hosts.
    let mut before = 0;
    for _ in 0..fewer(count, 5 * count) {
        pass_by(&Census::default(), 1, 0);
        assert!(census.dropped() - before <= 8, "{} in one attach", census.dropped() - before);
        before = census.dropped();
    }
    assert_eq!(census.dropped(), count);
}

#[test]
fn dead_hosts_are_dropped_before_they_are_as_many_as_a_part_of_the_living() {
    let _alone = alone();
    let count = fewer(10_000, 30);
    let living: Vec<Arc<u32>> = (0..).take(count).map(Arc::new).collect();
    for host in &living {
        attach_life(host, &Census::default());
    }
    let census = Census::default();
    for _ in 0..4 {
        pass_by(&census, count, fewer(100, 1));
        let dead = census.made() - census.dropped();
        assert!(dead < count / 3, "{dead} dead hosts");
    }
}

#[test]
fn the_object_itself_is_dropped_with_its_last_arc_and_does_not_wait_for_a_sweep() {
    let _alone = alone();
    let diary = Diary::default();
    let host = Arc::new(Noted::quiet("object", &diary));
    assert!(host.attach_beside(Noted::quiet("field", &diary)).is_ok());
    drop(host);
    assert_eq!(diary.read(), ["object"]);
    registry().sweep();
    assert_eq!(diary.read(), ["object", "field"]);
}

#[test]
fn a_weak_leads_back_to_the_fields_but_does_not_keep_them() {
    let _alone = alone();
    let census = Census::default();
    let host = Arc::new(1_u8);
    let weak = Arc::downgrade(&host);
    attach_life(&host, &census);
    let again = weak.upgrade().unwrap();
    assert!(ptr::eq(again.life().unwrap(), host.life().unwrap()));
    drop((host, again));
    assert!(weak.upgrade().is_none(), "the fields do not keep the object alive");
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_value_may_hold_a_weak_of_its_own_host() {
    shadow! { trait Knot for Arc<u128> { attach knot: (Weak<u128>, Life); } }
    let _alone = alone();
    let census = Census::default();
    let host = Arc::new(5_u128);
    assert!(host.attach_knot((Arc::downgrade(&host), census.life())).is_ok());
    let (weak, _) = host.knot().unwrap();
    assert_eq!(weak.upgrade().as_deref(), Some(&5));
    drop(host);
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

#[test]
fn what_is_unwrapped_leaves_its_fields_behind() {
    let _alone = alone();
    let census = Census::default();
    let (one, other) = (Arc::new("one".to_owned()), Arc::new("other".to_owned()));
    attach_life(&one, &census);
    attach_life(&other, &census);
    assert_eq!(Arc::try_unwrap(one).unwrap(), "one");
    assert_eq!(Arc::into_inner(other).unwrap(), "other");
    assert_eq!((registry().sweep(), census.dropped()), (2, 2));
}

#[test]
fn unwrapping_fails_as_ever_while_there_is_another_arc() {
    let _alone = alone();
    let census = Census::default();
    let host = Arc::new(1_u8);
    attach_life(&host, &census);
    let clone = Arc::clone(&host);
    let host = Arc::try_unwrap(host).unwrap_err();
    drop(clone);
    assert_eq!(registry().sweep(), 0);
    assert!(host.life().is_some());
}

#[test]
fn a_host_with_fields_is_not_borrowed_mutably_by_get_mut() {
    let _alone = alone();
    let mut host = Arc::new(1_u8);
    assert!(Arc::get_mut(&mut host).is_some());
    host.number();
    assert!(Arc::get_mut(&mut host).is_none(), "its fields keep its address, as a `Weak` does");
}

#[test]
fn make_mut_moves_the_value_into_a_new_host() {
    let _alone = alone();
    let census = Census::default();
    let mut host = Arc::new("alone".to_owned());
    attach_life(&host, &census);
    let before = Arc::as_ptr(&host);
    Arc::make_mut(&mut host).push('!');
    assert_eq!(*host, "alone!");
    assert_ne!(Arc::as_ptr(&host), before);
    assert!(host.life().is_none(), "the fields belong to the allocation that it left");
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
    attach_life(&host, &census);
}

#[test]
fn make_mut_of_a_shared_host_makes_a_clone_and_leaves_the_fields_where_they_are() {
    let _alone = alone();
    let census = Census::default();
    let host = Arc::new("shared".to_owned());
    attach_life(&host, &census);
    let mut clone = Arc::clone(&host);
    Arc::make_mut(&mut clone).push('!');
    assert!(clone.life().is_none());
    assert!(host.life().is_some());
    assert_eq!((registry().sweep(), census.dropped()), (0, 0));
}

#[test]
fn an_object_that_knows_itself_is_a_host() {
    struct Knowing {
        itself: Weak<Self>,
    }
    let _alone = alone();
    let census = Census::default();
    let host = Arc::new_cyclic(|itself| {
        assert!(itself.upgrade().is_none());
        Knowing { itself: itself.clone() }
    });
    attach_life(&host, &census);
    let again = host.itself.upgrade().unwrap();
    assert!(ptr::eq(again.life().unwrap(), host.life().unwrap()));
    drop((host, again));
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

#[test]
fn a_host_whose_last_arc_goes_in_another_thread_is_swept_from_here() {
    let _alone = alone();
    let census = Census::default();
    let host = Arc::new(vec![1_u8]);
    attach_life(&host, &census);
    thread::spawn(move || drop(host)).join().unwrap();
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

#[test]
fn a_value_that_holds_the_last_arc_of_another_host_lets_it_go() {
    shadow! { trait Chained for Arc<i32> { attach next: Arc<i32>; } }
    let _alone = alone();
    let census = Census::default();
    let last = Arc::new(0);
    attach_life(&last, &census);
    let mut first = last;
    for number in 1..=9 {
        let host = Arc::new(number);
        host.attach_next(first).unwrap();
        first = host;
    }
    assert_eq!(registry().sweep(), 0);
    drop(first);
    let swept: usize = (0..10).map(|_| registry().sweep()).sum();
    assert_eq!((swept, census.dropped()), (10, 1));
}

#[test]
fn a_first_attach_to_another_field_leaves_the_first_field_as_it_is() {
    let _alone = alone();
    let path = Arc::new(PathBuf::from("/etc"));
    assert_eq!(path.length(), &4);
    assert_eq!(path.origin(), None);
    path.attach_origin("a user".to_owned()).unwrap();
    assert_eq!((path.origin().map(String::as_str), path.peek_length()), (Some("a user"), Some(&4)));
}
