//! Values that record their construction, clones and drop, and detect use after drop and double drop.
//!
//! In: values that the world makes, and that the library moves, clones and drops. Out: the tags of live values, and a
//! list of faults. The record is thread-local, as the world is.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::thread;

use arbitrary::Arbitrary;

/// The behaviour of a value in `Clone` and `Drop`.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    Calm,
    PanicsWhenCloned,
    PanicsWhenDropped,
}

/// The payload of a planned panic, with the tag of the value that panics. `resume_unwind` skips the panic hook, so the
/// panic is fast and silent.
pub(crate) struct Planned(pub(crate) u32);

/// Panics with a [`Planned`] payload.
pub(crate) fn panic_as_planned(tag: u32) -> ! {
    resume_unwind(Box::new(Planned(tag)))
}

#[derive(Clone, Copy)]
struct Life {
    /// The origin of this value through all clones, or the value itself.
    root: u32,
    temper: Temper,
    is_alive: bool,
}

/// The record of all values of one world.
struct Record {
    /// The number of the world. Values of an earlier world may live for ever on statics, and are ignored.
    world: u32,
    /// Indexed by tag.
    lives: Vec<Life>,
    faults: Vec<String>,
    /// The next action of the declared initialiser.
    declared: Option<Declared>,
}

/// The action of a declared initialiser.
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

/// Clears the record for the next world.
pub(crate) fn begin() {
    with(|record| {
        record.world += 1;
        record.lives.clear();
        record.faults.clear();
        record.declared = None;
    });
}

/// The tags of the live values, in ascending order.
pub(crate) fn alive() -> Vec<u32> {
    with(|record| (0_u32..).zip(&record.lives).filter(|(_, life)| life.is_alive).map(|(tag, _)| tag).collect())
}

/// The recorded faults.
pub(crate) fn faults() -> Vec<String> {
    with(|record| record.faults.clone())
}

/// The origin of a value, through all clones.
pub(crate) fn root_of(tag: u32) -> u32 {
    with(|record| record.lives[tag as usize].root)
}

/// The tag of the next value.
pub(crate) fn next_tag() -> u32 {
    with(|record| u32::try_from(record.lives.len()).expect("a world is small"))
}

/// The first value since `first` that is a clone of the value `tag`, or of a clone of the same origin.
pub(crate) fn clone_since(first: u32, tag: u32) -> Option<u32> {
    (first..next_tag()).find(|&clone| root_of(clone) == root_of(tag))
}

/// The temper of a value.
pub(crate) fn temper_of(tag: u32) -> Temper {
    with(|record| record.lives[tag as usize].temper)
}

/// Sets the next action of the declared initialiser.
pub(crate) fn declare(next: Declared) {
    with(|record| record.declared = Some(next));
}

/// Returns whether the declared initialiser has not run since the last `declare`.
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

/// A value of a field, or of a host itself.
#[derive(Debug)]
pub(crate) struct Value {
    world: u32,
    tag: u32,
    temper: Temper,
    /// A checksum of `world` and `tag`, which detects reads of other memory.
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

    /// Asserts that the memory holds a live value, and returns the value's tag.
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

/// A fault is recorded, not raised, since the library contains panics of destructors.
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
        // During unwinding after a failed assertion, a second panic would hide the first.
        if is_of_this_world && self.temper == Temper::PanicsWhenDropped && !thread::panicking() {
            panic_as_planned(self.tag);
        }
    }
}

/// A value of a `get_or_update(copy)` field: the number in three forms, with padding.
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

    /// Asserts that the value is not torn, and returns the number.
    pub(crate) fn number(self) -> u32 {
        let is_whole = self.inverted == !u64::from(self.number) && self.last == self.number.to_le_bytes()[0];
        assert!(is_whole, "{self:?} is torn");
        self.number
    }
}
