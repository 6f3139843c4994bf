//! Who initialises what: rule R3, on the path of a miss.
//!
//! In: the place of a value that is about to be initialised. Out: a [`Claim`] on it, or a panic that names the field,
//! if waiting for it would never end. Neighbours: `accessor/get_or_attach.rs` and `raw`, which look for the value
//! before they claim, and again after.
//!
//! # Slots
//!
//! A place is claimed before anything exists for it, so claims are kept here, in a fixed number of slots, by a hash of
//! the place. A slot is one word: null, free; the address of a [`Record`], which the owner has on its stack, that
//! place is claimed; the same with the bit [`LISTED`], the claim is in the table besides; or [`OVERFLOWN`], claims of
//! this slot are in the table alone.
//!
//! - **L1** A record stays where it is as long as a slot has its address. Its owner takes it out of the slot by an
//!   exchange that fails once it is listed, and then under the table's lock: so who lists it may look at it until the
//!   lock is let go.
//! - **L2** While a claim is in the table alone, its slot is not free. So whoever claims the same place looks there.
//!
//! *Claimer's path*: exchange null for one's record, and run the initialiser under no lock. *When it is done*:
//! exchange the record for null. Both are cold only when the slot is not as expected, that is for a race, for a place
//! that shares the slot with another, and for one that was waited for.
//!
//! *The cold way*: lock the table. If it has the place, wait for it: enter that this thread does, and sleep until that
//! claim is gone; then leave without a claim, to look for the value again. If the slot has somebody's record, list it,
//! and look again. If what is there is another place, the claim goes into the table alone. Dropping a claim that is
//! listed, also by a panic of the initialiser, takes it out of the table and wakes those who wait.
//!
//! *Orders*: taking a slot is an `Acquire` of the `Release` by which the claim before was let go, so that its value is
//! found at the second look. Without the lock it is a `Release` too, of the record, for the `Acquire` of who lists it. All
//! else is under the lock.
//!
//! # Circles
//!
//! Before a thread sleeps it follows the waits: the place's owner, the place that this owner waits for, that one's
//! owner, and so on. If the way leads back to the thread itself, sleeping would close a circle, so it panics instead;
//! its own initialisers unwind, their claims are dropped, and the others in the circle go on. A circle cannot form
//! unseen: every wait is entered under the one lock, and every claim that is waited for is listed, so the last thread
//! of a would-be circle sees it all. What goes through other means (an initialiser that joins a thread, or waits for a
//! message) is not seen here.
//!
//! No code of a user runs under the lock (R4).

use std::any::TypeId;
use std::cell::Cell;
use std::marker::PhantomData;
use std::{fmt, ptr};

use crate::host::Identity;
use crate::sync::{AtomicPtr, Condvar, Mutex, MutexGuard, Ordering, PoisonError, array_of, local, lock, shared};

/// What is being initialised: a declared field of a host, or a numeric id of an address of the raw interface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A host is borrowed while one of its fields is claimed, so its identity is nobody else's meanwhile.
    Field {
        host: Identity,
        set: TypeId,
        index: usize,
    },
    Raw {
        object: usize,
        id: u64,
    },
}

/// A thread, named by the address of its [`HELD`], which has no destructor, so that it can be asked for at any time.
type Thread = usize;

/// What a claim is about. It is on the stack of the initialiser's caller, and a slot has its address.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(crate) struct Record {
    place: Place,
    /// Where the claim is, by a hash of the place.
    slot: &'static Slot,
    owner: Thread,
    /// Written where the record is made, and read by who lists it.
    #[cfg(loom)]
    made: &'static crate::sync::AtomicU8,
}

/// The right to initialise one place, held by one thread.
#[must_use]
pub(crate) struct Claim<'record> {
    record: &'record Record,
    own_thread: PhantomData<*const ()>,
}

/// One under a model checker, for which every run has to be the same, whatever the addresses; so there places share it.
const SLOTS: usize = if cfg!(loom) { 1 } else { 64 };

const FREE: *mut Record = ptr::null_mut();
/// Not the address of a record, which is a multiple of 8.
const OVERFLOWN: *mut Record = ptr::without_provenance_mut(2);
/// Set in the address of a record that is in the table.
const LISTED: usize = 1;

/// All claims of the process.
struct Claims {
    slots: [Slot; SLOTS],
    table: Mutex<Table>,
    released: Condvar,
}

/// With a cache line of its own.
#[repr(align(64))]
struct Slot {
    record: AtomicPtr<Record>,
}

/// The claims that somebody waits for, or has met in a slot, or that found no slot.
struct Table {
    listed: Vec<Listed>,
    waiting: Vec<Waiting>,
    next_number: u64,
}

struct Listed {
    /// No two claims have the same, so that a place that is claimed anew, by whomever, is not taken for the old claim.
    number: u64,
    record: Record,
}

struct Waiting {
    thread: Thread,
    claim: u64,
}

shared! {
    static CLAIMS: Claims = Claims {
        slots: array_of!(SLOTS, Slot { record: AtomicPtr::new(FREE) }),
        table: Mutex::new(Table { listed: Vec::new(), waiting: Vec::new(), next_number: 0 }),
        released: Condvar::new(),
    };
}

local! {
    /// How many claims this thread holds.
    static HELD: Cell<usize> = Cell::new(0);
}

/// Whether this thread is in the middle of an initialiser.
#[inline]
pub(crate) fn is_initialising() -> bool {
    HELD.with(Cell::get) > 0
}

impl Record {
    #[inline]
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            slot: &CLAIMS.slots[place.hash() % CLAIMS.slots.len()],
            owner: this_thread(),
            #[cfg(loom)]
            made: {
                let made = Box::leak(Box::new(crate::sync::AtomicU8::new(0)));
                made.with_mut(|_| ());
                made
            },
        }
    }

    /// What a slot has when it has this.
    #[inline]
    fn address(&self) -> *mut Self {
        ptr::from_ref(self).cast_mut()
    }
}

/// What a slot has when it has a record that is in the table.
fn listed(record: *mut Record) -> *mut Record {
    record.map_addr(|address| address | LISTED)
}

impl<'record> Claim<'record> {
    /// Claims the place of `record`, or waits until whoever holds it is done and returns `None`: look for the value
    /// again.
    ///
    /// # Panics
    ///
    /// If this thread would wait for itself.
    #[inline]
    pub(crate) fn take(record: &'record Record, field: &dyn fmt::Display) -> Option<Self> {
        let slot = &record.slot.record;
        if slot.compare_exchange(FREE, record.address(), Ordering::AcqRel, Ordering::Relaxed).is_err()
            && !CLAIMS.take(record, field)
        {
            return None;
        }
        HELD.with(|held| held.set(held.get() + 1));
        Some(Self { record, own_thread: PhantomData })
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        HELD.with(|held| held.set(held.get() - 1));
        let slot = &self.record.slot.record;
        if slot.compare_exchange(self.record.address(), FREE, Ordering::Release, Ordering::Relaxed).is_err() {
            CLAIMS.let_go(self.record);
        }
    }
}

impl Claims {
    /// The cold way to a claim. Returns `false` if the place was claimed, and no longer is.
    #[cold]
    fn take(&self, record: &Record, field: &dyn fmt::Display) -> bool {
        let slot = &record.slot.record;
        let mut table = lock(&self.table);
        loop {
            if let Some(there) = table.listed.iter().find(|listed| listed.record.place == record.place) {
                let (claim, owner) = (there.number, there.record.owner);
                self.wait(table, claim, owner, record.owner, field);
                return false;
            }
            // Relaxed: what is found is only acted upon after an exchange.
            let seen = slot.load(Ordering::Relaxed);
            if seen == FREE {
                // Acquire: as in `Claim::take`. Who lists the record has the lock, so it need not be released here.
                if slot.compare_exchange(FREE, record.address(), Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return true;
                }
            } else if seen == OVERFLOWN || seen.addr() & LISTED != 0 {
                table.enter(*record);
                return true;
            } else {
                // Acquire: pairs with the Release by which the slot was taken; the record is seen as it was made.
                // What was exchanged is used, since what was seen may be the address of another record by now.
                if let Ok(seen) = slot.compare_exchange(seen, listed(seen), Ordering::Acquire, Ordering::Relaxed) {
                    // SAFETY: it is a record that was in its slot until now, and by L1 is there while the lock is held.
                    let record = unsafe { *seen };
                    #[cfg(loom)]
                    // SAFETY: nobody stores there.
                    unsafe {
                        record.made.unsync_load()
                    };
                    table.enter(record);
                }
            }
        }
    }

    /// Sleeps until a claim is gone.
    fn wait(&self, mut table: MutexGuard<'_, Table>, claim: u64, owner: Thread, me: Thread, field: &dyn fmt::Display) {
        if table.leads_to(owner, me) {
            drop(table);
            circle(field, owner == me);
        }
        table.waiting.push(Waiting { thread: me, claim });
        while table.find(claim).is_some() {
            table = self.released.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        table.waiting.retain(|waiting| waiting.thread != me);
    }

    /// The cold way of letting go, for a claim that is in the table.
    #[cold]
    fn let_go(&self, record: &Record) {
        let slot = record.slot;
        let mut table = lock(&self.table);
        // No place is claimed twice, so none is there twice.
        let is_it = |listed: &Listed| listed.record.place == record.place;
        let Some(position) = table.listed.iter().position(is_it) else { return };
        table.listed.swap_remove(position);
        // L2: the slot is free for the next when nothing of it is in the table alone. Those that are listed, and in a
        // slot, are in this one only if it is theirs.
        let others = table.listed.iter().any(|listed| ptr::eq(listed.record.slot, slot));
        // Relaxed: by L1 this word comes and goes under the lock alone.
        let is_there = slot.record.load(Ordering::Relaxed) == listed(record.address());
        // If it was in the table alone and there are no others, `OVERFLOWN` is in the slot: beside such a claim, a record
        // that is in the slot is listed.
        if is_there || !others {
            // Release: as in `Claim::drop`.
            slot.record.store(if others { OVERFLOWN } else { FREE }, Ordering::Release);
        }
        drop(table);
        self.released.notify_all();
    }
}

impl Table {
    fn enter(&mut self, record: Record) {
        self.listed.push(Listed { number: self.next_number, record });
        self.next_number += 1;
    }

    fn find(&self, claim: u64) -> Option<&Listed> {
        self.listed.iter().find(|listed| listed.number == claim)
    }

    /// Whether `thread` is `goal`, or waits for it, directly or through others.
    fn leads_to(&self, mut thread: Thread, goal: Thread) -> bool {
        loop {
            if thread == goal {
                return true;
            }
            let Some(waiting) = self.waiting.iter().find(|waiting| waiting.thread == thread) else { return false };
            // If the claim is dropped, `thread` is about to wake up.
            let Some(listed) = self.find(waiting.claim) else { return false };
            thread = listed.record.owner;
        }
    }
}

impl Place {
    /// Fields of one host lie apart from one another, and so do hosts.
    #[inline]
    fn hash(&self) -> usize {
        let (object, which) = match self {
            Self::Field { host, index, .. } => (host.address, *index),
            #[expect(clippy::cast_possible_truncation, reason = "a hash")]
            Self::Raw { object, id } => (*object, *id as usize),
        };
        (object >> 4) ^ (object >> 12) ^ which.wrapping_mul(7)
    }
}

#[cold]
fn circle(field: &dyn fmt::Display, alone: bool) -> ! {
    assert!(!alone, "{field} is asked for by its own initialiser");
    panic!("{field} is asked for in a circle: its initialiser waits for one that this thread is running");
}

#[inline]
fn this_thread() -> Thread {
    HELD.with(|held| ptr::from_ref(held).addr())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The records of three places that share a slot with one another, and with nothing else that is tested.
    fn of_slot(id: usize) -> [Record; 3] {
        [0, 1, 2].map(|round| Record::new(Place::Raw { object: 0, id: (id + round * SLOTS) as u64 }))
    }

    fn take(record: &Record) -> Claim<'_> {
        Claim::take(record, &"value").expect("nobody else claims it")
    }

    fn word(record: &Record) -> *mut Record {
        record.slot.record.load(Ordering::Relaxed)
    }

    fn listed_of(slot: &Slot) -> usize {
        lock(&CLAIMS.table).listed.iter().filter(|listed| ptr::eq(listed.record.slot, slot)).count()
    }

    fn is_listed(record: &Record) -> bool {
        lock(&CLAIMS.table).listed.iter().any(|listed| listed.record.place == record.place)
    }

    /// It is free, and whoever claims one of its places next needs no table.
    fn is_free_again(records: &[Record; 3]) {
        for record in records {
            assert_eq!(word(record), FREE);
            assert_eq!(listed_of(record.slot), 0);
            let _claim = take(record);
            assert_eq!(word(record), record.address());
            assert_eq!(listed_of(record.slot), 0);
        }
    }

    #[test]
    fn a_slot_is_free_again_when_its_last_claim_goes() {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for (id, order) in orders.into_iter().enumerate() {
            let records = of_slot(id);
            assert!(records.iter().all(|record| ptr::eq(record.slot, records[0].slot)));
            let mut claims = records.each_ref().map(|record| Some(take(record)));
            assert_eq!(word(&records[0]), listed(records[0].address()), "the slot was taken");
            assert_eq!(listed_of(records[0].slot), 3);
            for (left, goes) in [2, 1, 0].into_iter().zip(order) {
                claims[goes] = None;
                assert_eq!(listed_of(records[0].slot), left);
                for (record, claim) in records.iter().zip(&claims) {
                    assert_eq!(is_listed(record), claim.is_some(), "after {goes} of {order:?}");
                }
                let expected = match left {
                    0 => FREE,
                    _ if claims[0].is_some() => listed(records[0].address()),
                    _ => OVERFLOWN,
                };
                assert_eq!(word(&records[0]), expected, "after {goes} of {order:?}");
            }
            is_free_again(&records);
        }
    }

    #[test]
    fn who_claims_a_place_that_is_in_the_table_alone_waits() {
        let records = of_slot(6);
        let first = take(&records[0]);
        let second = take(&records[1]);
        drop(first);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| Claim::take(&Record::new(records[1].place), &"value").is_some());
            while lock(&CLAIMS.table).waiting.is_empty() {
                assert!(!other.is_finished(), "claimed by two");
                std::thread::yield_now();
            }
            drop(second);
            assert!(!other.join().unwrap(), "it is to look for the value again");
        });
        is_free_again(&records);
    }
}
