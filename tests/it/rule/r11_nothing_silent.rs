//! Rule R11: no failure is silent. A failure that the compiler cannot detect returns an error or panics, and names the
//! field and the host type; a refused attach is also counted and logged. (`ui/` has the compile errors.)

use std::error::Error;
use std::fmt::Debug;
use std::ptr;
use std::sync::Arc;

use shadow_runtime::raw::{AttachError, Id, InitError, TypeMismatch, UpdateId, detach_object};
use shadow_runtime::{AlreadyAttached, Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{Census, capture, forever, panic_of};

#[derive(Shadow, Default)]
#[shadow_field(attach serial: Vec<u8>)]
#[shadow_field(get_or_attach ring: u32 = *self.ring())]
#[shadow_field(get_or_attach config: u32)]
struct Order {
    shadow: ShadowFields,
}

shadow! {
    trait Patch for Order { attach serial: Vec<u8>; }
    trait OwnedFields for Shadowed<String> { attach serial: Vec<u8>; get_or_attach ring: u32 = *self.ring(); }
    trait SharedFields<T: Debug + ?Sized + Send + Sync + 'static> for Arc<T> {
        attach serial: Vec<u8>;
        get_or_attach ring: u32 = *self.ring();
    }
    trait StaticFields for &'static u32 { attach serial: Vec<u8>; get_or_attach ring: u32 = *self.ring(); }
}

fn refusals(host: &str) -> u64 {
    let report = registry().report();
    report.iter().find(|row| row.host() == host && row.field() == "serial").unwrap().refused()
}

/// Attaches twice, and checks every report of the refusal.
fn is_refused_loudly(host: &str, attach: impl Fn(Vec<u8>) -> Result<(), AlreadyAttached<Vec<u8>>>) {
    capture::start();
    attach(vec![1]).unwrap();
    let words = format!("`serial` of `{host}`");
    let (refusals_before, lines_before) = (refusals(host), capture::lines_with(&words).len());
    let refused = attach(vec![2]).unwrap_err();
    assert_eq!(refused.to_string(), format!("shadow field `serial` is already attached to this `{host}`"));
    assert_eq!((refused.field(), refused.host()), ("serial", host));
    assert_eq!(refused.into_value(), [2]);
    assert_eq!(refusals(host), refusals_before + 1);
    assert_eq!(capture::lines_with(&words).len(), lines_before + 1);
}

#[test]
fn a_second_attach_is_refused_loudly_on_an_embedded_host() {
    /// No other test attaches to these hosts, so the refusals in the report are those of this test.
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: Vec<u8>)]
    struct Counted {
        shadow: ShadowFields,
    }
    let host = Counted::default();
    is_refused_loudly("Counted", |value| host.attach_serial(value).map(|_| ()));
}

#[test]
fn a_second_attach_is_refused_loudly_on_a_wrapper() {
    let host = Shadowed::new(String::new());
    is_refused_loudly("Shadowed<String>", |value| host.attach_serial(value).map(|_| ()));
}

#[test]
fn a_second_attach_is_refused_loudly_on_an_arc() {
    let host: Arc<str> = Arc::from("host");
    is_refused_loudly("Arc<T>", |value| SharedFields::attach_serial(&host, value).map(|_| ()));
}

#[test]
fn a_second_attach_is_refused_loudly_on_a_static() {
    let host: &'static u32 = Box::leak(Box::new(7));
    is_refused_loudly("&'static u32", |value| host.attach_serial(value).map(|_| ()));
}

#[test]
fn a_second_attach_is_refused_loudly_on_a_raw_object() {
    const SERIAL: Id<u8> = Id::new(1100);
    capture::start();
    let object = Box::new(0_u8);
    let key = ptr::from_ref(&*object).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    unsafe { SERIAL.attach(key, 1) }.unwrap();
    // SAFETY: the object outlives the field, and a refusal returns no reference.
    let refused = unsafe { SERIAL.attach(key, 2) }.unwrap_err();
    assert_eq!(refused.to_string(), "shadow field `1100` is already attached to this `*const ()`");
    assert_eq!(refused.into_value(), 2);
    let report = registry().report();
    assert_eq!(report.iter().find(|row| row.field() == "1100").unwrap().refused(), 1);
    let lines = capture::lines_with("`1100` of `*const ()`");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].level, log::Level::Warn);
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { detach_object(key) }, 1);
}

#[test]
fn the_same_field_of_another_host_or_declaration_is_not_refused() {
    let (one, other) = (Order::default(), Order::default());
    one.attach_serial(vec![1]).unwrap();
    other.attach_serial(vec![2]).unwrap();
    Patch::attach_serial(&one, vec![3]).unwrap();
    assert_eq!((one.serial(), Patch::serial(&one)), (Some(&vec![1]), Some(&vec![3])));
}

#[test]
fn an_initialiser_that_asks_for_itself_panics_and_says_which_field_of_which_host() {
    let (owned, shared) = (Shadowed::new(String::new()), Arc::new(7_u8));
    let fixed: &'static u32 = forever(7);
    let messages = [
        ("`ring` of `Order`", panic_of(|| *Order::default().ring())),
        ("`ring` of `Shadowed<String>`", panic_of(|| *owned.ring())),
        ("`ring` of `Arc<T>`", panic_of(|| *shared.ring())),
        ("`ring` of `&'static u32`", panic_of(|| *fixed.ring())),
    ];
    for (words, message) in messages {
        assert!(message.contains(words) && message.contains("its own initialiser"), "{words}: {message}");
    }
}

#[test]
fn the_panic_of_an_initialiser_is_passed_on_as_it_is() {
    let order = Order::default();
    assert_eq!(panic_of(|| *order.get_or_attach_config(|| panic!("no config"))), "no config");
}

#[test]
fn the_error_of_an_initialiser_is_passed_on_as_it_is() {
    let order = Order::default();
    let error: std::num::ParseIntError = order.get_or_try_attach_config(|| "x".parse()).unwrap_err();
    assert_eq!(error, "x".parse::<u32>().unwrap_err());
}

#[test]
fn a_number_that_is_used_for_two_types_says_for_which() {
    const SIZE: Id<u64> = Id::new(1101);
    const NAME: UpdateId<&str> = UpdateId::new(1101);
    const WRONG: Id<i64> = Id::new(1101);
    let object = Box::new(0_u8);
    let key = ptr::from_ref(&*object).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    unsafe { SIZE.attach(key, 8) }.unwrap();
    // SAFETY: the object outlives the field.
    let refused: TypeMismatch<&str> = unsafe { NAME.get_or_update(key, "eight") }.unwrap_err();
    assert_eq!(refused.to_string(), "raw id 1101 names `Id<u64>` in this process, not `UpdateId<&str>`");
    assert_eq!((refused.id(), refused.into_value()), (1101, "eight"));
    // SAFETY: the mismatch returns no reference.
    let refused = unsafe { WRONG.get(key) }.unwrap_err();
    assert_eq!(refused.to_string(), "raw id 1101 names `Id<u64>` in this process, not `Id<i64>`");
    // SAFETY: no reference to the value is kept.
    assert_eq!(unsafe { SIZE.detach(key) }.unwrap(), Some(8));
}

#[test]
fn every_error_is_an_error_whose_debug_says_what_its_display_does() {
    fn words(error: &(impl Error + Send + Sync + 'static)) -> [String; 2] {
        [error.to_string(), format!("{error:?}")]
    }
    const SIZE: Id<u64> = Id::new(1102);
    const WRONG: Id<i64> = Id::new(1102);
    let object = 0_u8;
    let key = (&raw const object).cast();
    // SAFETY: the field is detached before `object` ends, and no reference to a value is kept.
    unsafe { SIZE.attach(key, 8) }.unwrap();
    // SAFETY: the call fails, so no value is attached and no reference returned.
    let duplicate: AttachError<u64> = unsafe { SIZE.attach(key, 9) }.unwrap_err();
    // SAFETY: the call fails, so no value is attached and no reference returned.
    let mismatch: AttachError<i64> = unsafe { WRONG.attach(key, 9) }.unwrap_err();
    // SAFETY: the call fails, so no value is attached and no reference returned.
    let init: InitError<std::fmt::Error> = unsafe { WRONG.get_or_attach(key, || Ok(9)) }.unwrap_err();
    // SAFETY: the mismatch returns no reference.
    let get: TypeMismatch = unsafe { WRONG.get(key) }.unwrap_err();
    let order = Order::default();
    order.attach_serial(vec![1]).unwrap();
    let attached = order.attach_serial(vec![2]).unwrap_err();
    for (number, words) in [words(&duplicate), words(&mismatch), words(&init), words(&get)].into_iter().enumerate() {
        assert!(words.iter().all(|words| words.contains("1102")), "{number}: {words:?}");
        let both = words.iter().all(|words| words.contains("Id<u64>") && words.contains("Id<i64>"));
        assert_eq!(both, number > 0, "{words:?}");
    }
    assert!(words(&attached).iter().all(|words| words.contains("serial") && words.contains("Order")));
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { detach_object(key) }, 1);
}

#[test]
fn a_refusal_never_swallows_the_value() {
    shadow! { trait LifeFields for Shadowed<u64> { attach life: support::Life; } }
    let (census, host) = (Census::default(), Shadowed::new(1_u64));
    assert!(host.attach_life(census.life()).is_ok());
    let Err(refused) = host.attach_life(census.life()) else { panic!("it is not refused") };
    let value = refused.into_value();
    assert_eq!(census.dropped(), 0);
    drop(value);
    assert_eq!(census.dropped(), 1);
}
