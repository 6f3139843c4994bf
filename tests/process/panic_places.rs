//! The locations of the library's panics: the user's call, not the library. This file has a process of its own, because
//! it replaces the panic hook.

use std::cell::Cell;
use std::panic;
use std::sync::{Arc, Once};

use shadow_runtime::{Shadow, ShadowFields, shadow};

use support::{forever, never_hangs, panic_of};

/// The lines of two initialisers.
const OWN_AT: u32 = line!() + 4;
const SECOND_AT: u32 = line!() + 5;

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach own: u8 = *self.own())]
#[shadow_field(get_or_attach first: u8 = *self.second())]
#[shadow_field(get_or_attach second: u8 = *self.first())]
#[shadow_field(get_or_attach one: u8)]
#[shadow_field(get_or_update two: u8)]
#[shadow_field(get_or_update(copy) three: u8)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait Counted for Arc<u8> { get_or_attach one: u8; get_or_update two: u8; get_or_update(copy) three: u8; }
    trait Fixed for &'static u8 { get_or_attach one: u8; get_or_update two: u8; get_or_update(copy) three: u8; }
}

thread_local! {
    /// The line of the last call in `here!`.
    static CALLED_AT: Cell<u32> = const { Cell::new(0) };
    /// The file and the line of the last panic.
    static PANICKED_AT: Cell<(bool, u32)> = const { Cell::new((false, 0)) };
}

/// Makes a call, and keeps its line.
macro_rules! here {
    ($call:expr) => {{
        CALLED_AT.set(line!());
        $call
    }};
}

/// Runs `body`, which must panic, and returns the message and the line of the panic in this file.
fn panic_and_line<R>(body: impl FnOnce() -> R) -> (String, u32) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().expect("std always has a location");
            PANICKED_AT.set((place.file() == file!(), place.line()));
            before(info);
        }));
    });
    let message = panic_of(body);
    let (is_here, line) = PANICKED_AT.get();
    assert!(is_here, "the location is in another file: {message}");
    (message, line)
}

/// The messages of the library: a refused request, and a refused update.
const OWN: [&str; 2] = ["is asked for by its own initialiser", "is updated by its own closure"];

/// Runs `body`, which must panic in its call in `here!`.
fn panics_here<R>(body: impl FnOnce() -> R) {
    let (message, line) = panic_and_line(body);
    assert!(OWN.iter().any(|own| message.contains(own)), "another panic: {message}");
    assert_eq!(line, CALLED_AT.get(), "{message}");
}

/// Requests a field inside of its own initialiser or closure, by every accessor of three hosts.
#[test]
fn the_location_is_the_call_inside_of_the_initialiser_or_the_closure() {
    macro_rules! of_host {
        ($host:expr) => {
            let host = $host;
            panics_here(|| host.get_or_attach_one(|| *here!(host.one())));
            panics_here(|| host.get_or_attach_one(|| *here!(host.get_or_attach_one(|| 1))));
            panics_here(|| host.get_or_attach_one(|| *here!(host.get_or_try_attach_one(|| Err(()))).unwrap()));
            // The field is absent in the first round, and attached in the second round.
            for _ in 0..2 {
                panics_here(|| host.update_two_with(|_| here!(host.update_two(1)).unwrap()));
                panics_here(|| host.update_two_with(|_| here!(host.update_two_with(|_| 1)).unwrap()));
                panics_here(|| host.update_three_with(|_| here!(host.update_three(1)).unwrap()));
                panics_here(|| host.update_three_with(|_| here!(host.update_three_with(|_| 1)).unwrap()));
                host.update_two(1);
                host.update_three(1);
            }
        };
    }
    never_hangs(|| {
        of_host!(Task::default());
        of_host!(Arc::new(1_u8));
        of_host!(forever(1_u8));
    });
}

#[test]
fn the_location_is_in_the_declared_initialiser_and_the_message_gives_advice() {
    never_hangs(|| {
        let mut task = Task::default();
        let own = "is asked for by its own initialiser, which has to compute the value without the field";
        for (message, line) in [panic_and_line(|| *task.own()), panic_and_line(|| *task.own_mut())] {
            assert!(message.ends_with(own), "{message}");
            assert_eq!(line, OWN_AT, "{message}");
        }
        // `first` asks for `second`, and the initialiser of `second` asks for `first`.
        let (message, line) = panic_and_line(|| *task.first());
        let cycle = "; one of these initialisers has to compute its value without the next field";
        assert!(message.contains("by its own initialiser: ") && message.ends_with(cycle), "{message}");
        assert_eq!(line, SECOND_AT, "{message}");
    });
}
