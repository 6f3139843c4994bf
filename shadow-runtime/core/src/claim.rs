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
//! The table has two intrusive lists of records: listed claims, and waiting threads. The links are in the records,
//! which live on the stacks of their threads. The global allocator may be code of the user and may itself initialise
//! fields, so the table allocates nothing under its lock (R4).
//!
//! - **I1** A record does not move or go while a slot holds its address. The owner removes the address by a CAS, which
//!   fails once the claim is listed; then the owner removes the address under the table's lock. So the lister may
//!   dereference the address until the unlock.
//! - **I2** While a claim is in the table alone, its slot is not free. So a second claimer of the place looks into the
//!   table.
//! - **I3** A record does not move or go while a list holds its address. *Listed claim*: the [`Claim`] borrows the
//!   record, and `Claim::drop` unlinks the record before the borrow ends: its CAS expects the record's address without
//!   [`LISTED`], which the slot of a listed claim never holds. Every claim is a local variable of its owner, and no
//!   code forgets a claim. So `Claim::drop` runs when the initialiser returns and when the initialiser unwinds.
//!   *Waiting thread*: [`Claims::wait`] borrows the record, links the record, and unlinks the record before the return.
//!   Nothing between the two unwinds: the thread sleeps and reads links, and the condition variable panics only for a
//!   second mutex, which is never used.
//! - **I4** The links of a record are initialised by `List::push`. After that, and until the record is unlinked, links
//!   are read and written under the table's lock alone. A record is in one list at most: a record in the waiting list
//!   has no claim.
//! - **I5** The record of a waiting thread points to a listed claim, or to null. `Claims::let_go` unlinks a claim and
//!   sets all pointers to the claim to null in the same critical section. So no pointer to a record outlives the
//!   record, and a later claim at the same address does not keep a thread asleep (no ABA).
//!
//! *Claimer's path*: CAS null to the record's address, then run the initialiser under no lock. *Release*: CAS the
//! address to null. A failed CAS goes the cold way: the place is claimed already, or another place has the same slot,
//! or the claim is listed.
//!
//! *The cold way*: lock the table. If the place is listed, link the own record into the waiting list, with a pointer to
//! the listed claim, and sleep until the pointer is null; then return without a claim, and the caller looks for the
//! value again. If the slot holds the address of an unlisted record, list the claim of that record, and start again. If
//! the slot holds a claim of another place, the new claim goes into the table alone. The drop of a listed claim, by
//! return or by unwinding, unlinks the claim, sets the pointers of its waiters to null, and wakes the waiters.
//!
//! *Orders*: taking a slot is an `Acquire` of the `Release` by which the claim before was let go, so that its value is
//! found at the second look. Without the lock it is a `Release` too, of the record, for the `Acquire` of who lists it.
//! All else is under the lock.
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
//! Neither code of a user nor the allocator runs under the lock (R4).

use std::any::TypeId;
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicUsize;
use std::{fmt, iter, mem, ptr};

use crate::host::Identity;
use crate::sync::{
    AtomicPtr, Condvar, Locked, Mutex, Ordering, UnsafeCell, array_of, local, lock, shared, wait as sleep,
};

/// What is being initialised: a declared field of a host, or a numeric id of an address of the raw interface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A host is borrowed while one of its fields is claimed, so its identity is nobody else's meanwhile.
    Field {
        host: Identity,
        set: TypeId,
        index: usize,
        /// The address of what was declared: another image's set may have the same `TypeId` (`fields/node.rs`).
        declared: usize,
    },
    Raw {
        object: usize,
        id: u64,
    },
}

/// A thread, named by the address of its [`HELD`], which has no destructor, so that it can mostly be asked for at any
/// time.
type Thread = usize;

/// The place that a thread claims. A record lives on the stack of the initialiser's caller; a slot or a list may hold
/// its address (I1, I3).
#[repr(align(8))]
pub(crate) struct Record {
    place: Place,
    /// Where the claim is, by a hash of the place.
    slot: &'static Slot,
    owner: Thread,
    links: UnsafeCell<MaybeUninit<Links>>,
}

/// The links of a record in a list (I4).
#[derive(Clone, Copy)]
struct Links {
    /// The next record of the list.
    next: *const Record,
    /// In the waiting list: the listed claim on which the thread sleeps, or null after the claim was let go (I5).
    waits_for: *const Record,
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

/// The data behind the lock. The process has one table, so a reference to the table or to a list implies the lock.
struct Table {
    /// The claims that somebody waits for, or has met in a slot, or that found no slot.
    listed: List,
    /// The records of threads that wait.
    waiting: List,
}

/// Records, linked through themselves.
struct List {
    first: *const Record,
}

// SAFETY: by I3 the records stay valid while the lock is held, by I4 links are accessed under the lock alone, and the
// rest of a record is immutable data that threads may share.
unsafe impl Send for Table {}

shared! {
    static CLAIMS: Claims = Claims {
        slots: array_of!(SLOTS, Slot { record: AtomicPtr::new(FREE) }),
        table: Mutex::new(Table { listed: List::new(), waiting: List::new() }),
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
    // Where thread-locals are emulated, this one may be gone at the end of a thread.
    HELD.try_with(Cell::get).unwrap_or_default() > 0
}

impl Record {
    #[inline]
    pub(crate) fn new(place: Place) -> Self {
        let links = UnsafeCell::new(MaybeUninit::uninit());
        // A model checker records accesses; construction is not an access.
        #[cfg(loom)]
        links.with_mut(|_| ());
        Self { place, slot: &CLAIMS.slots[place.hash() % CLAIMS.slots.len()], owner: this_thread(), links }
    }

    /// The links. The reference to a list stands for the lock.
    ///
    /// # Safety
    ///
    /// The record is in a list.
    unsafe fn links(&self, _: &List) -> Links {
        // SAFETY: by I4 the lock excludes other accesses.
        let links = self.links.with(|links| unsafe { *links });
        // SAFETY: the caller promises that the record is in a list, and by I4 `push` has initialised the links.
        unsafe { links.assume_init() }
    }

    /// Sets the links. The reference to a list stands for the lock.
    fn set_links(&self, _: &List, links: Links) {
        // SAFETY: by I4 the lock excludes other accesses.
        self.links.with_mut(|place| unsafe { (*place).write(links) });
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
        hold(1);
        Some(Self { record, own_thread: PhantomData })
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        hold(-1);
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
            let there = table.listed.iter().find(|listed| listed.place == record.place);
            if let Some((claim, owner)) = there.map(|there| (ptr::from_ref(there), there.owner)) {
                self.wait(table, record, claim, owner, field);
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
                // SAFETY: the record is the caller's and in no list; from now on it has a claim, so I3 holds by the
                // drop of that.
                unsafe { table.listed.push(record, ptr::null()) };
                return true;
            } else {
                // Acquire: pairs with the Release by which the slot was taken; the record is seen as it was made.
                // What was exchanged is used, since what was seen may be the address of another record by now.
                if let Ok(seen) = slot.compare_exchange(seen, listed(seen), Ordering::Acquire, Ordering::Relaxed) {
                    // SAFETY: it is a record that was in its slot until now, and by I1 is there while the lock is held.
                    let record = unsafe { &*seen };
                    // SAFETY: the record had no `LISTED` bit, so it is in no list; it has a claim, so I3 holds by the
                    // drop of that.
                    unsafe { table.listed.push(record, ptr::null()) };
                }
            }
        }
    }

    /// Sleeps until a listed claim is gone.
    fn wait(
        &self,
        mut table: Locked<'_, Table>,
        record: &Record,
        claim: *const Record,
        owner: Thread,
        field: &dyn fmt::Display,
    ) {
        if table.leads_to(owner, record.owner) {
            drop(table);
            circle(field, owner == record.owner);
        }
        // SAFETY: the record is the caller's and has no claim, so it is in no list; I3 holds by `remove` below. The
        // claim is listed, since the lock has been held since the look.
        unsafe { table.waiting.push(record, claim) };
        // SAFETY: the record is in the waiting list until `remove`.
        while !unsafe { record.links(&table.waiting) }.waits_for.is_null() {
            table = sleep(&self.released, table);
        }
        table.waiting.remove(record);
    }

    /// The cold way of letting go, for a claim that is in the table.
    #[cold]
    fn let_go(&self, record: &Record) {
        let slot = record.slot;
        let mut table = lock(&self.table);
        table.listed.remove(record);
        for waiting in table.waiting.iter() {
            // SAFETY: the iterator yields records of the list.
            let links = unsafe { waiting.links(&table.waiting) };
            if ptr::eq(links.waits_for, record) {
                waiting.set_links(&table.waiting, Links { waits_for: ptr::null(), ..links });
            }
        }
        // I2: the slot is free for the next when nothing of it is in the table alone. Those that are listed, and in a
        // slot, are in this one only if it is theirs.
        let others = table.listed.iter().any(|listed| ptr::eq(listed.slot, slot));
        // Relaxed: by I1 this word comes and goes under the lock alone.
        let is_there = slot.record.load(Ordering::Relaxed) == listed(record.address());
        // If it was in the table alone and there are no others, `OVERFLOWN` is in the slot: beside such a claim, a
        // record that is in the slot is listed.
        if is_there || !others {
            // Release: as in `Claim::drop`.
            slot.record.store(if others { OVERFLOWN } else { FREE }, Ordering::Release);
        }
        drop(table);
        self.released.notify_all();
    }
}

impl Table {
    /// Whether `thread` is `goal`, or waits for it, directly or through others.
    fn leads_to(&self, mut thread: Thread, goal: Thread) -> bool {
        loop {
            if thread == goal {
                return true;
            }
            let Some(waiting) = self.waiting.iter().find(|waiting| waiting.owner == thread) else { return false };
            // SAFETY: the iterator yields records of the list.
            let claim = unsafe { waiting.links(&self.waiting) }.waits_for;
            // SAFETY: by I5 the pointer is null or a listed record, and by I3 a listed record is valid while the lock
            // is held. Null: `thread` is about to wake up.
            let Some(claim) = (unsafe { claim.as_ref() }) else { return false };
            thread = claim.owner;
        }
    }
}

impl List {
    const fn new() -> Self {
        Self { first: ptr::null() }
    }

    /// # Safety
    ///
    /// The record is in no list, and is unlinked before it moves or goes (I3); `waits_for` is null or listed (I5).
    unsafe fn push(&mut self, record: &Record, waits_for: *const Record) {
        let next = mem::replace(&mut self.first, record);
        record.set_links(self, Links { next, waits_for });
    }

    /// Unlinks a record of this list.
    fn remove(&mut self, record: &Record) {
        // SAFETY: the closure is called with `record` and with records of the iterator, all in this list.
        let links = |record: &Record| unsafe { record.links(self) };
        let Links { next, .. } = links(record);
        if ptr::eq(self.first, record) {
            self.first = next;
            return;
        }
        let before = self.iter().find(|before| ptr::eq(links(before).next, record)).expect("it is in the list");
        before.set_links(self, Links { next, ..links(before) });
    }

    fn iter(&self) -> impl Iterator<Item = &Record> {
        // SAFETY: by I3 a record of the list is valid while the lock is held, for which the borrow of the list stands.
        let at = |record: *const Record| unsafe { record.as_ref() };
        // SAFETY: the record was reached through this list.
        iter::successors(at(self.first), move |record| at(unsafe { record.links(self) }.next))
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
    HELD.try_with(|held| ptr::from_ref(held).addr()).unwrap_or_else(|_| some_thread())
}

/// The name of a thread whose [`HELD`] is gone: at the end of a thread, where thread-locals are emulated. Each call
/// returns another name, so such a thread's own circles are not detected, and no circle is reported wrongly.
#[cold]
fn some_thread() -> Thread {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    // Relaxed: uniqueness needs no ordering. Names are odd, addresses of `HELD` are even.
    NEXT.fetch_add(2, Ordering::Relaxed)
}

/// Counts the claims of this thread.
#[inline]
fn hold(more: isize) {
    // Where the thread-local is gone, `is_initialising` returns false.
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add_signed(more)));
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
        lock(&CLAIMS.table).listed.iter().filter(|listed| ptr::eq(listed.slot, slot)).count()
    }

    fn is_listed(record: &Record) -> bool {
        lock(&CLAIMS.table).listed.iter().any(|listed| listed.place == record.place)
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
        let place = records[1].place;
        std::thread::scope(|scope| {
            let other = scope.spawn(move || Claim::take(&Record::new(place), &"value").is_some());
            while lock(&CLAIMS.table).waiting.iter().next().is_none() {
                assert!(!other.is_finished(), "claimed by two");
                std::thread::yield_now();
            }
            drop(second);
            assert!(!other.join().unwrap(), "it is to look for the value again");
        });
        is_free_again(&records);
    }
}
