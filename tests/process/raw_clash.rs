//! A number names one value type in a process: a use with a different type accesses no value, also during the first
//! attach, which binds the number.
//!
//! The test names tens of thousands of numbers, and a number has a row in the registry for ever. So the test has a
//! process of its own.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use shadow_runtime::raw::{self, Id};

/// The first number of this test. Every round has a number of its own.
const FIRST: u64 = 1_000_000;
const ROUNDS: u64 = if cfg!(miri) { 20 } else { 60_000 };

/// A value that shows whether it is alive.
struct Checked(u64);

impl Drop for Checked {
    fn drop(&mut self) {
        self.0 = u64::MAX;
    }
}

#[test]
fn a_detach_by_another_type_leaves_the_value_alone_while_the_number_is_named() {
    let object = 0_u8;
    let clashes = AtomicUsize::new(0);
    let start = Barrier::new(2);
    let end = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in FIRST..FIRST + ROUNDS {
                start.wait();
                // The first attach may name the number during the call. The result is a mismatch, or no value.
                // SAFETY: no thread holds a reference to a value of this type.
                let detached = unsafe { Id::<String>::new(number).detach_all(|_, _| ()) }.unwrap_or(0);
                clashes.fetch_add(detached, Ordering::Relaxed);
                end.wait();
            }
        });
        let key = (&raw const object).cast();
        let (mut intact, mut detached) = (0, 0);
        for number in FIRST..FIRST + ROUNDS {
            start.wait();
            // SAFETY: the object outlives the value, and the detach below comes after the last use of the reference.
            let value = unsafe { Id::<Checked>::new(number).attach(key, Checked(number)) }.unwrap();
            end.wait();
            intact += u64::from(value.0 == number);
            // SAFETY: the reference is no longer in use.
            detached += unsafe { raw::detach_object(key) } as u64;
        }
        assert_eq!((intact, detached), (ROUNDS, ROUNDS));
    });
    assert_eq!(clashes.into_inner(), 0);
}
