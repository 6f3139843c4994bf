//! `detach_all` of an `Arc` host: the only reference to a host ends all fields of the host.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Weak};
use std::thread;

use shadow_runtime::{registry, shadow};

use support::{AtEnd, Census, Life, alone, elsewhere, fewer, never_hangs, panic_of};

struct Buffer(u32);

shadow! {
    trait BufferFields for Arc<Buffer> {
        attach user: String;
        get_or_attach life: Life = unreachable!();
        get_or_update newest: Vec<u8>;
        get_or_update(copy) word: u64;
    }
    trait MoreFields for Arc<Buffer> { attach more: Life; }
    trait YetMoreFields for Arc<Buffer> { get_or_update(copy) yet_more: [u64; 3]; get_or_attach made: u8 = 9; }
    trait AnyFields<T: ?Sized + Send + Sync + 'static> for Arc<T> { attach first: Life; attach second: Life; }
}

/// Attaches and detaches on one host, again and again. The fields are found empty in between.
#[test]
fn the_only_arc_ends_all_fields_and_may_get_new_ones() {
    let _alone = alone();
    let census = Census::default();
    let mut buffer = Arc::new(Buffer(7));
    assert_eq!(registry().detach_all(&mut buffer), Some(0), "nothing was attached yet");
    for round in 0..4_u8 {
        buffer.attach_user(round.to_string()).unwrap();
        assert_eq!(registry().detach_all(&mut buffer), Some(1 + usize::from(round > 0)), "with what the end attaches");
        assert_eq!((buffer.user(), buffer.newest(), buffer.word()), (None, None, None));
        buffer.update_word(3);
        assert_eq!((buffer.user(), buffer.word()), (None, Some(3)), "the first field is empty while another is not");
        buffer.attach_user(round.to_string()).unwrap();
        buffer.get_or_attach_life(|| census.life());
        buffer.update_newest(vec![round]);
        buffer.update_newest(vec![round; 2]);
        assert!(buffer.attach_more(census.life()).is_ok());
        buffer.update_yet_more([1; 3]);
        buffer.update_yet_more([2; 3]);
        assert_eq!(registry().detach_all(&mut buffer), Some(6));
        assert_eq!(census.made(), census.dropped());
        assert!(buffer.user().is_none() && buffer.peek_life().is_none() && buffer.newest().is_none());
        assert!(buffer.word().is_none() && buffer.more().is_none() && buffer.yet_more().is_none());
        assert_eq!(registry().detach_all(&mut buffer), Some(0));
        assert_eq!(*buffer.made(), 9);
        buffer.update_newest(vec![1]);
        assert_eq!((buffer.take_newest(), buffer.0), (Some(vec![1]), 7));
    }
    buffer.get_or_attach_life(|| census.life());
    drop(buffer);
    assert_eq!(registry().sweep(), 1);
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn an_arc_of_any_type_can_end_its_fields() {
    fn ends<T: ?Sized + Send + Sync + 'static>(mut host: Arc<T>, count: usize) {
        let census = Census::default();
        for _ in 0..3 {
            assert!(host.attach_second(census.life()).is_ok());
            assert!(host.first().is_none());
            assert_eq!(registry().detach_all(&mut host), Some(count));
            assert!(host.first().is_none() && host.second().is_none());
            assert!(host.attach_first(census.life()).is_ok());
            assert_eq!(registry().detach_all(&mut host), Some(1));
        }
        assert_eq!((census.made(), census.dropped()), (6, 6));
    }
    let _alone = alone();
    ends(Arc::new(()), 1);
    ends::<str>(Arc::from("text"), 1);
    ends::<dyn Debug + Send + Sync>(Arc::new(1), 1);
    // The first field is attached by an `Arc` of another type.
    let sized = Arc::new(2_u16);
    assert!(sized.attach_first(Census::default().life()).is_ok());
    let mut host: Arc<dyn Debug + Send + Sync> = sized;
    assert_eq!(registry().detach_all(&mut host), Some(1));
    ends(host, 1);
    registry().sweep();
}

#[test]
fn a_second_arc_or_a_weak_keeps_the_fields() {
    let _alone = alone();
    let census = Census::default();
    let mut host = Arc::new(Buffer(1));
    for attaches in [false, true] {
        if attaches {
            host.get_or_attach_life(|| census.life());
        }
        let second = Arc::clone(&host);
        assert_eq!(registry().detach_all(&mut host), None);
        let any: Arc<dyn Send + Sync> = second;
        assert_eq!(registry().detach_all(&mut host), None);
        let weak = Arc::downgrade(&any);
        drop(any);
        assert_eq!(registry().detach_all(&mut host), None, "a `Weak` may become an `Arc`");
        assert_eq!(host.peek_life().is_some(), attaches);
        drop(weak);
    }
    assert_eq!((census.made(), census.dropped()), (1, 0));
    assert_eq!(registry().detach_all(&mut host), Some(1));
    let weak = Arc::downgrade(&host);
    drop(host);
    assert!(weak.upgrade().is_none(), "the counts are right");
    assert_eq!(registry().sweep(), 1);
}

/// The host of a value's destructor has no fields meanwhile, and is not dead.
#[test]
fn destructors_may_use_the_registry_and_other_hosts() {
    struct Nosy(Arc<u64>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            assert!(self.0.attach_first(Census::default().life()).is_ok());
            let mut other = Arc::new(5_u64);
            assert!(other.attach_first(Census::default().life()).is_ok());
            assert_eq!(registry().detach_all(&mut other), Some(1));
            assert_eq!(registry().hosts::<u32>().count(), 0);
            assert_eq!(registry().sweep(), 0);
            elsewhere(|| assert_eq!((registry().hosts::<u32>().count(), registry().sweep()), (0, 0)));
        }
    }
    shadow! { trait NosyFields for Arc<u32> { attach nosy: Nosy; } }
    let _alone = alone();
    registry().sweep();
    never_hangs(|| {
        let (mut host, other) = (Arc::new(1_u32), Arc::new(2_u64));
        assert!(host.attach_nosy(Nosy(Arc::clone(&other))).is_ok());
        assert_eq!(registry().detach_all(&mut host), Some(1));
        assert!(other.first().is_some() && host.nosy().is_none());
        assert_eq!(registry().hosts::<u32>().count(), 1);
    });
    registry().sweep();
}

#[test]
fn a_panic_of_a_destructor_is_raised_when_all_values_are_dropped() {
    struct Bomb(#[expect(dead_code, reason = "the drop is counted")] Life);
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom")
        }
    }
    shadow! { trait BombFields for Arc<u32> { attach bomb: Bomb; attach life: Life; } }
    let _alone = alone();
    let census = Census::default();
    let mut host = Arc::new(1_u32);
    for _ in 0..2 {
        assert!(host.attach_bomb(Bomb(census.life())).is_ok() && host.attach_life(census.life()).is_ok());
        assert!(host.attach_first(census.life()).is_ok());
        assert_eq!(panic_of(|| registry().detach_all(&mut host)), "boom");
        assert_eq!(census.made(), census.dropped());
        assert!(host.bomb().is_none() && host.life().is_none() && host.first().is_none());
    }
    assert_eq!(registry().detach_all(&mut host), Some(0));
    drop(host);
    registry().sweep();
}

/// A value that keeps its own host alive is the second reference.
#[test]
fn a_host_that_its_own_value_keeps_alive_is_left_alone() {
    shadow! { trait Cycle for Arc<u128> { get_or_update itself: Arc<u128>; get_or_update weak: Weak<u128>; } }
    let _alone = alone();
    let mut host = Arc::new(1_u128);
    host.update_itself(Arc::clone(&host));
    assert_eq!(registry().detach_all(&mut host), None);
    drop(host.take_itself());
    host.update_weak(Arc::downgrade(&host));
    assert_eq!(registry().detach_all(&mut host), None);
    drop(host.take_weak());
    assert_eq!(registry().detach_all(&mut host), Some(0));
    drop(host);
    registry().sweep();
}

/// One thread ends and attaches the fields of hosts of two types. Other threads drop `Arc`s of the hosts, iterate over
/// the hosts, use the fields, and sweep.
#[test]
fn whoever_finds_a_host_meanwhile_finds_whole_values_or_none() {
    const ROUNDS: u32 = fewer(400, 6);
    type Any = dyn Debug + Send + Sync;
    shadow! { trait Checked<T: ?Sized + Send + Sync + 'static> for Arc<T> { attach whole: Vec<u32>; get_or_update seen: Vec<u32>; } }
    fn check<T: ?Sized + Send + Sync + 'static>(host: &Arc<T>) {
        assert!(host.whole().is_none_or(|whole| whole.len() == 3 && whole[0] == whole[2]));
        assert!(host.seen().is_none_or(|seen| seen.len() == 2 && seen[0] == seen[1]));
    }
    fn cycle<T: ?Sized + Send + Sync + 'static>(host: &mut Arc<T>, round: u32) -> bool {
        assert!(host.whole().is_some() || host.attach_whole(vec![round; 3]).is_ok());
        host.update_seen(vec![round; 2]);
        let user = Arc::clone(host);
        thread::scope(|scope| {
            scope.spawn(move || {
                check(&user);
                drop(user);
            });
            // The user and the iteration may have an `Arc`.
            let detached = (0..fewer(1000, 4)).find_map(|_| {
                thread::yield_now();
                registry().detach_all(host)
            });
            let is_empty = host.whole().is_none() && host.seen().is_none();
            assert_eq!(is_empty, detached.is_some());
            detached.is_some()
        })
    }
    let _alone = alone();
    let (done, start) = (AtomicBool::new(false), Barrier::new(3));
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            while !done.load(Ordering::Relaxed) {
                registry().hosts::<u8>().for_each(|host| check(&host));
                registry().hosts::<Any>().for_each(|host| check(&host));
            }
        });
        scope.spawn(|| {
            start.wait();
            while !done.load(Ordering::Relaxed) {
                registry().sweep();
            }
        });
        // Also after a failure, or the other threads would run for ever.
        let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
        start.wait();
        let (mut thin, mut unsized_): (_, Arc<Any>) = (Arc::new(1_u8), Arc::new(2_u8));
        let mut ends = 0;
        for round in 0..ROUNDS {
            ends += u32::from(cycle(&mut thin, round)) + u32::from(cycle(&mut unsized_, round));
        }
        drop((thin, unsized_));
        assert!(cfg!(miri) || ends > 0, "at some time nobody else had an `Arc`");
    });
    registry().sweep();
}
