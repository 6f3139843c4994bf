//! Hosts with fields of several declarations, compiled as in a user's program. The recognition of a node must not
//! depend on inlining, so this test is worth running with optimisation, too.

use std::sync::{Arc, Barrier, Mutex};
use std::{ptr, thread};

use shadow_runtime::{Shadow, ShadowFields, shadow};

use support::{Census, Life, fewer};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach first: u64 = 1)]
struct Host {
    shadow: ShadowFields,
}

shadow! { impl Host { get_or_attach second: u64; } }
shadow! { impl Host { attach third: u64; } }
shadow! { impl Host { get_or_update fourth: u64; } }

#[test]
fn a_field_is_found_again_whatever_is_attached_after_it() {
    let host = Host::default();
    let first = host.first();
    let second = host.get_or_attach_second(|| 2);
    assert!(host.attach_third(3).is_ok());
    assert_eq!(host.update_fourth(4), None);
    assert!(ptr::eq(first, host.first()));
    assert!(ptr::eq(second, host.get_or_attach_second(|| unreachable!("it is attached"))));
    assert!(host.attach_third(5).is_err());
    assert_eq!(host.update_fourth(6), Some(4));
    assert_eq!(format!("{:?}", host.shadow), r#"ShadowFields {"first", "second", "third", "fourth"}"#);
}

/// A host with so many declarations that the table of its nodes grows several times.
#[derive(Shadow, Default)]
#[shadow_field(get_or_attach first: Life = Census::default().life())]
struct Crowded {
    shadow: ShadowFields,
}

/// A value that notes its end.
struct Noted {
    number: usize,
    ends: Arc<Mutex<Vec<usize>>>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.ends.lock().unwrap().push(self.number);
    }
}

/// What a test does with a declaration.
struct Uses {
    /// The address of the value, which the initialiser makes if there is none.
    made: fn(&Crowded, &Census) -> usize,
    /// The address of the value, if there is one.
    peek: fn(&Crowded) -> Option<usize>,
    note: fn(&Crowded, Noted),
}

macro_rules! declarations {
    ($($name:ident)*) => {
        $(shadow! { trait $name for Crowded { get_or_attach made: Life = Census::default().life(); attach noted: Noted; } })*

        const EACH: &[Uses] = &[$(
            Uses {
                made: |host, census| ptr::from_ref($name::get_or_attach_made(host, || census.life())).addr(),
                peek: |host| $name::peek_made(host).map(|value| ptr::from_ref(value).addr()),
                note: |host, value| assert!($name::attach_noted(host, value).is_ok()),
            },
        )*];
    };
}

declarations! {
    A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 C0 C1 C2 C3 C4 C5 C6 C7 C8 C9 D0 D1 D2 D3 D4 D5 D6 D7 D8 D9
}

/// The declarations that a test uses, and orders of them: the steps and the numbers have no common divisor.
const ALL: &[Uses] = EACH.split_at(fewer(40, 13)).0;
const STEPS: [usize; 4] = [1, 3, 7, 11];

#[test]
fn fields_of_forty_declarations_stay_where_they_are_and_end_in_the_order_of_their_attaches() {
    for step in STEPS.into_iter().skip(fewer(0, 2)) {
        let (host, census, ends) = (Crowded::default(), Census::default(), Arc::default());
        let order: Vec<usize> = (0..ALL.len()).map(|index| index * step % ALL.len()).collect();
        let mut places = vec![None; ALL.len()];
        for &number in &order {
            (ALL[number].note)(&host, Noted { number, ends: Arc::clone(&ends) });
            places[number] = Some((ALL[number].made)(&host, &census));
            assert!(ALL.iter().map(|uses| (uses.peek)(&host)).eq(places.iter().copied()), "{number} of {step}");
        }
        assert_eq!(census.made(), ALL.len());
        drop(host);
        assert_eq!((census.dropped(), &*ends.lock().unwrap()), (ALL.len(), &order));
    }
}

#[test]
fn threads_that_add_forty_declarations_in_different_orders_find_the_same_values() {
    const THREADS: usize = fewer(STEPS.len(), 2);
    for round in 0..fewer(200, 1) {
        let (host, census, start) = (Crowded::default(), Census::default(), Barrier::new(THREADS));
        let add = |thread: usize| {
            start.wait();
            let mut places = vec![None; ALL.len()];
            for index in 0..ALL.len() {
                let number = (index * STEPS[thread] + round) % ALL.len();
                places[number] = Some((ALL[number].made)(&host, &census));
                // What this thread has found is found again, whatever the other threads add.
                let again = (index + 1).saturating_sub(4)..=index;
                for earlier in again.map(|index| (index * STEPS[thread] + round) % ALL.len()) {
                    assert_eq!((ALL[earlier].peek)(&host), places[earlier]);
                }
            }
            places
        };
        let places: Vec<_> = thread::scope(|scope| {
            let add = &add;
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || add(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(places.iter().all(|found| *found == places[0]));
        assert_eq!(census.made(), ALL.len(), "one initialiser of each field runs");
        drop(host);
        assert_eq!(census.dropped(), ALL.len());
    }
}
