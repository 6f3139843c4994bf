//! Values whose lives are recorded: what is made, cloned and dropped, what is used or dropped again after its end.
//!
//! In: values that the world makes, and that the library moves, clones and drops. Out: which of them are alive, and
//! what was wrong. All of it belongs to the thread, as the world does.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::thread;

use arbitrary::Arbitrary;

/// What a value does besides being there.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    Calm,
    PanicsWhenCloned,
    PanicsWhenDropped,
}

/// The payload of a panic that was asked for, with the tag of the value that it comes from. It is raised without the
/// panic hook, so it is quick and prints nothing.
pub(crate) struct Planned(pub(crate) u32);

/// Panics as planned.
pub(crate) fn panic_as_planned(tag: u32) -> ! {
    resume_unwind(Box::new(Planned(tag)))
}

#[derive(Clone, Copy)]
struct Life {
    /// The value that this one is a clone of, through any number of clones, or itself.
    root: u32,
    temper: Temper,
    is_alive: bool,
}

/// What is known of all values of one world.
struct Record {
    /// Which world. Values of an earlier one may be alive for ever, on statics; nothing is asked of those.
    world: u32,
    /// One for each tag.
    lives: Vec<Life>,
    faults: Vec<String>,
    /// What the declared initialiser does when it is run next.
    declared: Option<Declared>,
}

/// What a declared initialiser does.
#[derive(Clone, Copy)]
pub(crate) enum Declared {
    Makes(Temper),
    Panics,
}

thread_local! {
    static RECORD: RefCell<Record> =
        const { RefCell::new(Record { world: 0, lives: Vec::new(), faults: Vec::new(), declared: None }) };
}

fn with<R>(body: impl FnOnce(&mut Record) -> R) -> R {
    RECORD.with_borrow_mut(body)
}

/// Forgets all values, for the next world.
pub(crate) fn begin() {
    with(|record| {
        record.world += 1;
        record.lives.clear();
        record.faults.clear();
        record.declared = None;
    });
}

/// The tags of the values that are alive, in order.
pub(crate) fn alive() -> Vec<u32> {
    with(|record| (0_u32..).zip(&record.lives).filter(|(_, life)| life.is_alive).map(|(tag, _)| tag).collect())
}

/// What was wrong with any value.
pub(crate) fn faults() -> Vec<String> {
    with(|record| record.faults.clone())
}

/// What a value is a clone of.
pub(crate) fn root_of(tag: u32) -> u32 {
    with(|record| record.lives[tag as usize].root)
}

/// What a value does.
pub(crate) fn temper_of(tag: u32) -> Temper {
    with(|record| record.lives[tag as usize].temper)
}

/// Says what the declared initialiser does if it is run.
pub(crate) fn declare(next: Declared) {
    with(|record| record.declared = Some(next));
}

/// Whether the declared initialiser was not run since.
pub(crate) fn was_not_run() -> bool {
    with(|record| record.declared.take().is_some())
}

/// The declared initialiser of every `get_or_attach` field.
pub(crate) fn declared() -> Value {
    match with(|record| record.declared.take()) {
        Some(Declared::Makes(temper)) => Value::new(temper),
        Some(Declared::Panics) => panic_as_planned(0),
        None => panic!("an initialiser runs that nobody has asked for, or twice"),
    }
}

/// A value of a field, or what a host holds.
#[derive(Debug)]
pub(crate) struct Value {
    world: u32,
    tag: u32,
    temper: Temper,
    /// Follows from the other members, so that other bytes are not taken for a value.
    check: u64,
}

const SALT: u64 = 0x9e37_79b9_7f4a_7c15;

fn check_of(world: u32, tag: u32) -> u64 {
    ((u64::from(world) << 32) | u64::from(tag)).wrapping_mul(SALT) ^ SALT
}

impl Value {
    pub(crate) fn new(temper: Temper) -> Self {
        Self::enter(temper, None)
    }

    fn enter(temper: Temper, root: Option<u32>) -> Self {
        with(|record| {
            let tag = u32::try_from(record.lives.len()).expect("a world is small");
            record.lives.push(Life { root: root.unwrap_or(tag), temper, is_alive: true });
            Self { world: record.world, tag, temper, check: check_of(record.world, tag) }
        })
    }

    /// Which value it is, once it is sure that it is one, and alive.
    pub(crate) fn tag(&self) -> u32 {
        assert_eq!(self.check, check_of(self.world, self.tag), "what is read is not a value");
        with(|record| {
            assert_eq!(self.world, record.world, "a value of another world is read");
            assert!(record.lives[self.tag as usize].is_alive, "value {} is read after its end", self.tag);
        });
        self.tag
    }

    pub(crate) fn temper(&self) -> Temper {
        self.temper
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::new(Temper::Calm)
    }
}

/// A clone is calm.
impl Clone for Value {
    fn clone(&self) -> Self {
        let tag = self.tag();
        if self.temper == Temper::PanicsWhenCloned {
            panic_as_planned(tag);
        }
        Self::enter(Temper::Calm, Some(root_of(tag)))
    }
}

/// A fault is written down instead of raised, since the library contains what destructors raise.
impl Drop for Value {
    fn drop(&mut self) {
        let is_of_this_world = with(|record| {
            if self.check != check_of(self.world, self.tag) {
                record.faults.push("what is dropped is not a value".to_owned());
                return false;
            }
            if self.world != record.world {
                return false;
            }
            let life = &mut record.lives[self.tag as usize];
            if !life.is_alive {
                record.faults.push(format!("value {} is dropped twice", self.tag));
            }
            life.is_alive = false;
            true
        });
        // After a failed assertion of the world, a second panic would only hide the first.
        if is_of_this_world && self.temper == Temper::PanicsWhenDropped && !thread::panicking() {
            panic_as_planned(self.tag);
        }
    }
}

/// A value of a `get_or_update(copy)` field: its number, three times, with a hole between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    number: u32,
    inverted: u64,
    last: u8,
}

impl Small {
    pub(crate) fn new(number: u32) -> Self {
        Self { number, inverted: !u64::from(number), last: number.to_le_bytes()[0] }
    }

    /// The number, once it is sure that it is one.
    pub(crate) fn number(self) -> u32 {
        let is_whole = self.inverted == !u64::from(self.number) && self.last == self.number.to_le_bytes()[0];
        assert!(is_whole, "{self:?} is torn");
        self.number
    }
}
