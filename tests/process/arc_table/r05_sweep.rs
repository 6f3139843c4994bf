//! Rules R3 and R5 in sweeps: destructors of dead hosts run at the end of the attach that sweeps, never inside of an
//! initialiser, and a sweep on demand ends every dead host.
//!
//! The table of `Arc` hosts is process-wide, so the tests run sequentially.

use std::mem;
use std::panic::{catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use shadow_runtime::{registry, shadow};

use support::{alone, fewer};

static ASKED: AtomicUsize = AtomicUsize::new(0);

/// The last number of the further hosts: so many that the sweeps of their attaches would find the dead hosts.
const MANY: u8 = fewer(u8::MAX, 31);

/// Requests a field of a host on drop.
struct Asks(Weak<u8>);

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(host) = self.0.upgrade() {
            host.answer();
            ASKED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Owns the next host of a chain.
struct Holds(Option<Arc<u16>>);

/// Panics on drop, with a payload that panics on drop.
struct Throws;

struct Thrown;

impl Drop for Throws {
    fn drop(&mut self) {
        panic_any(Thrown);
    }
}

impl Drop for Thrown {
    fn drop(&mut self) {
        panic!("the payload panics");
    }
}

shadow! {
    trait ByteFields for Arc<u8> {
        get_or_attach answer: usize;
        attach asks: Asks;
        attach plain: u8;
    }
    trait ChainFields for Arc<u16> {
        attach next: Holds;
    }
    trait ThrowingFields for Arc<u32> {
        attach throws: Throws;
    }
}

#[test]
fn a_destructor_that_asks_for_the_field_that_is_being_initialised_is_not_run_by_its_initialiser() {
    let _alone = alone();
    let asked = ASKED.load(Ordering::Relaxed);
    let host = Arc::new(0_u8);
    let dead = Arc::new(1_u8);
    assert!(dead.attach_asks(Asks(Arc::downgrade(&host))).is_ok());
    drop(dead);
    let mut others = Vec::new();
    host.get_or_attach_answer(|| {
        for number in 0..=MANY {
            let other = Arc::new(number);
            assert!(other.attach_plain(number).is_ok());
            others.push(other);
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), asked);
        7
    });
    registry().sweep();
    assert_eq!(ASKED.load(Ordering::Relaxed), asked + 1);
    assert_eq!(host.answer(), &7);
}

#[test]
fn nor_at_the_end_of_an_initialiser_inside_of_it() {
    let _alone = alone();
    registry().sweep();
    let asked = ASKED.load(Ordering::Relaxed);
    let host = Arc::new(0_u8);
    let dead = Arc::new(1_u8);
    assert!(dead.attach_asks(Asks(Arc::downgrade(&host))).is_ok());
    drop(dead);
    let mut others = Vec::new();
    host.get_or_attach_answer(|| {
        let inside = Arc::new(2_u8);
        inside.get_or_attach_answer(|| {
            for number in 0..=MANY {
                let other = Arc::new(number);
                assert!(other.attach_plain(number).is_ok());
                others.push(other);
            }
            1
        });
        others.push(inside);
        assert_eq!(ASKED.load(Ordering::Relaxed), asked);
        7
    });
    registry().sweep();
    assert_eq!(ASKED.load(Ordering::Relaxed), asked + 1);
    assert_eq!(host.answer(), &7);
}

#[test]
fn a_sweep_drops_also_those_that_go_with_the_values_of_others() {
    const LENGTH: u16 = fewer(100, 10);
    let _alone = alone();
    registry().sweep();
    let mut last = None;
    for number in 0..LENGTH {
        let host = Arc::new(number);
        assert!(host.attach_next(Holds(last.take())).is_ok());
        last = Some(host);
    }
    let length = std::iter::successors(last.as_ref(), |host| host.next().and_then(|next| next.0.as_ref())).count();
    assert_eq!(length, usize::from(LENGTH));
    drop(last);
    assert_eq!(registry().sweep(), usize::from(LENGTH));
    assert_eq!(registry().sweep(), 0);
}

#[test]
fn a_failed_initialiser_leaves_nothing_in_the_table() {
    let _alone = alone();
    registry().sweep();
    let host = Arc::new(3_u8);
    assert!(host.get_or_try_attach_answer(|| Err(())).is_err());
    assert_eq!(Arc::weak_count(&host), 0);
    drop(host);
    assert_eq!(registry().sweep(), 0);
}

#[test]
fn a_panic_whose_payload_panics_is_not_for_who_attaches_either() {
    let _alone = alone();
    registry().sweep();
    let host = Arc::new(4_u32);
    assert!(host.attach_throws(Throws).is_ok());
    drop(host);
    let swept = catch_unwind(|| {
        let others: Vec<_> = (0..=MANY).map(Arc::<u8>::new).collect();
        assert!(others.iter().all(|other| other.attach_plain(1).is_ok()));
    });
    // `forget` prevents the drop of a payload, since the drop would panic.
    assert!(swept.map_err(mem::forget).is_ok());
    assert_eq!(registry().sweep(), usize::from(MANY) + 1);
}

/// On drop, attaches a further `Again` to a host that dies at once, inside of an initialiser, until the count is zero.
struct Again(usize);

static AGAIN: AtomicUsize = AtomicUsize::new(0);

impl Drop for Again {
    fn drop(&mut self) {
        AGAIN.fetch_add(1, Ordering::Relaxed);
        if let Some(left) = self.0.checked_sub(1) {
            Arc::new(5_u8).get_or_attach_answer(|| {
                assert!(Arc::new(6_u64).attach_again(Again(left)).is_ok());
                left
            });
        }
    }
}

shadow! {
    trait AgainFields for Arc<u64> { attach again: Again; }
}

/// Otherwise the deferred sweeps of destructors would make the next attach drop as many hosts again, and so on.
#[test]
fn an_attach_drops_a_few_hosts_also_if_their_destructors_attach_in_initialisers() {
    let _alone = alone();
    registry().sweep();
    let dead: Vec<Arc<u64>> = (0..fewer(1000, 10)).map(Arc::new).collect();
    assert!(dead.iter().all(|host| host.attach_again(Again(fewer(30, 5))).is_ok()));
    drop(dead);
    let mut living = Vec::new();
    let mut most = 0;
    for _ in 0..fewer(500, 20) {
        let before = AGAIN.load(Ordering::Relaxed);
        let host = Arc::new(7_u8);
        assert!(host.attach_plain(1).is_ok());
        living.push(host);
        most = most.max(AGAIN.load(Ordering::Relaxed) - before);
    }
    assert!((1..100).contains(&most), "{most}");
    // A sweep begins again for attaches of its destructors, but only a few times.
    while registry().sweep() > 0 {}
}
