//! Claims: one initialiser at a time for each value, and deadlock detection (rule R3), on the path of a miss.
//!
//! In: the place of a value before its initialisation. Out: a [`Claim`] on the place, or a panic that names the field,
//! if the wait for the place would be a deadlock. Neighbours: `accessor/get_or_attach.rs` and `raw`, which look for the
//! value before the claim, and again after the claim.
//!
//! # Slots
//!
//! A place is claimed before its value exists. So claims are kept here, in a fixed number of slots, by a hash of the
//! place. A slot is one atomic word: null, free; the address of a [`Record`] on the owner's stack, the record's place
//! is claimed; the address with the bit [`LISTED`], the claim is in the table besides; or [`OVERFLOWN`], claims of the
//! slot are in the table alone.
//!
//! The table has two intrusive lists of records: listed claims, and waiting threads. The links are in the records,
//! which live on the stacks of their threads. The global allocator may be user code and may itself initialise fields,
//! so no thread allocates under the table's lock (R4).
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
//! address to null. A failed CAS leads to the slow path: a claim of the place or of a second place is in the slot, or
//! the claim is listed.
//!
//! *Slow path*: lock the table. If the place is listed, link the own record into the waiting list, with a pointer to
//! the listed claim, and sleep until the pointer is null. Then return without a claim, and the caller looks for the
//! value again. If the slot holds the address of an unlisted record, list the claim of the record, and start again. If
//! the slot holds a listed claim of a second place, or `OVERFLOWN`, the new claim goes into the table alone. The drop
//! of a listed claim, by return or by unwinding, unlinks the claim, sets the pointers of its waiters to null, and wakes
//! the waiters.
//!
//! *Orderings*: the CAS that takes a slot is an `Acquire`, and pairs with the `Release` that freed the slot. So the
//! second look after the claim finds the value of the claim before. The CAS without the lock is also a `Release` of the
//! record, and pairs with the `Acquire` CAS that lists the record. The lock orders the other accesses.
//!
//! # Deadlocks
//!
//! Before a thread sleeps, it walks the wait-for graph: the owner of the place, the place for which this owner waits,
//! the next owner, and so on. If the walk arrives at the thread itself, the wait would close a cycle, a deadlock. The
//! thread panics instead: its initialisers unwind, their claims are dropped, and the other threads of the cycle go on.
//! The detection misses no cycle of claims: every wait starts under the lock, and every claim with a waiter is listed.
//! So the last thread of a cycle sees the complete cycle. The graph has no edges for other waits (an initialiser that
//! joins a thread, or waits for a message), so such deadlocks are not detected.
//!
//! Neither user code nor the allocator runs under the lock (R4).

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

/// The place of a value: a declared field of a host, or an address and a number of the raw interface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The host is borrowed while a field is claimed, so its identity is unique for as long as the claim.
    Field {
        host: Identity,
        set: TypeId,
        index: usize,
        /// The address of the declaration: the field set of a second image may have the same `TypeId`
        /// (`fields/node.rs`).
        declared: usize,
    },
    Raw {
        object: usize,
        id: u64,
    },
}

/// The name of a thread: the address of its [`HELD`]. `HELD` has no destructor, so a thread mostly has a name at any
/// time.
type Thread = usize;

/// The place that a thread claims. A record lives on the stack of the initialiser's caller; a slot or a list may hold
/// its address (I1, I3).
#[repr(align(8))]
pub(crate) struct Record {
    place: Place,
    /// The slot of the claim, by a hash of the place.
    slot: &'static Slot,
    owner: Thread,
    links: UnsafeCell<MaybeUninit<Links>>,
}

/// The links of a record in a list (I4).
#[derive(Clone, Copy)]
struct Links {
    /// The next record of the list.
    next: *const Record,
    /// In the waiting list: the listed claim for which the thread waits, or null after the release of the claim (I5).
    waits_for: *const Record,
}

/// The right to initialise one place, held by one thread.
#[must_use]
pub(crate) struct Claim<'record> {
    record: &'record Record,
    own_thread: PhantomData<*const ()>,
}

/// One slot under loom: all places share the slot, so a model's runs do not depend on addresses.
const SLOTS: usize = if cfg!(loom) { 1 } else { 64 };

const FREE: *mut Record = ptr::null_mut();
/// A sentinel that is never the address of a record: addresses of records are multiples of 8.
const OVERFLOWN: *mut Record = ptr::without_provenance_mut(2);
/// The bit in the address of a listed record.
const LISTED: usize = 1;

/// All claims of the process.
struct Claims {
    slots: [Slot; SLOTS],
    table: Mutex<Table>,
    released: Condvar,
}

/// Aligned to a cache line, against false sharing.
#[repr(align(64))]
struct Slot {
    record: AtomicPtr<Record>,
}

/// The data behind the lock. The process has one table, so a reference to the table or to a list implies the lock.
struct Table {
    /// The claims with waiters, the claims that a second claimer met in a slot, and the claims without a slot.
    listed: List,
    /// The records of waiting threads.
    waiting: List,
}

/// An intrusive list of records.
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
    /// The number of claims that this thread holds.
    static HELD: Cell<usize> = Cell::new(0);
}

/// Whether this thread is running an initialiser.
#[inline]
pub(crate) fn is_initialising() -> bool {
    // An emulated thread-local may be gone at the end of a thread.
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

    /// The word of a slot that holds this unlisted record.
    #[inline]
    fn address(&self) -> *mut Self {
        ptr::from_ref(self).cast_mut()
    }
}

/// The word of a slot that holds this listed record.
fn listed(record: *mut Record) -> *mut Record {
    record.map_addr(|address| address | LISTED)
}

impl<'record> Claim<'record> {
    /// Claims the place of `record`. If the place is claimed already, waits for the release and returns `None`: the
    /// caller looks for the value again.
    ///
    /// # Panics
    ///
    /// If the wait would be a deadlock.
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
    /// The slow path of a claim. Returns `false` after a wait for the release of the place.
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
            // Relaxed: a CAS below decides and orders; `OVERFLOWN` and listed addresses change under the lock alone.
            let seen = slot.load(Ordering::Relaxed);
            if seen == FREE {
                // Acquire: pairs with the Release that freed the slot, in `Claim::drop` or `let_go`. A lister of this
                // record locks the table after this thread, so the CAS need not be a Release.
                if slot.compare_exchange(FREE, record.address(), Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return true;
                }
            } else if seen == OVERFLOWN || seen.addr() & LISTED != 0 {
                // SAFETY: the caller's record is in no list. From now on the record has a claim, so by I3 `Claim::drop`
                // unlinks the record.
                unsafe { table.listed.push(record, ptr::null()) };
                return true;
            } else {
                // Acquire: pairs with the Release of the CAS in `Claim::take`, which published the record. The code
                // dereferences the CAS's result: the earlier load may have read a pointer to a record that is gone
                // (ABA, provenance).
                if let Ok(seen) = slot.compare_exchange(seen, listed(seen), Ordering::Acquire, Ordering::Relaxed) {
                    // SAFETY: the record's slot held the address until now, so by I1 the record stays while the lock is
                    // held.
                    let record = unsafe { &*seen };
                    // SAFETY: without the `LISTED` bit the record is in no list. The record has a claim, so by I3
                    // `Claim::drop` unlinks the record.
                    unsafe { table.listed.push(record, ptr::null()) };
                }
            }
        }
    }

    /// Sleeps until a listed claim is released.
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
        // SAFETY: the caller's record has no claim, so it is in no list; by I3 `remove` below unlinks it. The claim is
        // listed: this thread has held the lock since the search of the list (I5).
        unsafe { table.waiting.push(record, claim) };
        // SAFETY: the record is in the waiting list until `remove`.
        while !unsafe { record.links(&table.waiting) }.waits_for.is_null() {
            table = sleep(&self.released, table);
        }
        table.waiting.remove(record);
    }

    /// The slow path of a release, for a listed claim.
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
        // `others`: listed claims of this slot. By I2 the slot must not be free while a claim is in the table alone.
        let others = table.listed.iter().any(|listed| ptr::eq(listed.slot, slot));
        // Relaxed: by I1 a listed address enters and leaves the slot under the lock alone.
        let is_there = slot.record.load(Ordering::Relaxed) == listed(record.address());
        // If the claim was in the table alone and has no others, the slot holds `OVERFLOWN`: beside a claim in the
        // table alone, a record in the slot is listed, and would be among the others.
        if is_there || !others {
            // Release: pairs with the Acquire of the next claimer's CAS, as in `Claim::drop`.
            slot.record.store(if others { OVERFLOWN } else { FREE }, Ordering::Release);
        }
        drop(table);
        self.released.notify_all();
    }
}

impl Table {
    /// Whether `thread` is `goal`, or waits for `goal` along a path of the wait-for graph.
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
    /// The record is in no list, and is unlinked before the record moves or goes (I3); `waits_for` is null or listed
    /// (I5).
    unsafe fn push(&mut self, record: &Record, waits_for: *const Record) {
        let next = mem::replace(&mut self.first, record);
        record.set_links(self, Links { next, waits_for });
    }

    /// Unlinks a record of this list.
    fn remove(&mut self, record: &Record) {
        // SAFETY: the closure's arguments are `record` and records of the iterator, all in this list.
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
        // SAFETY: the iterator reached the record through this list.
        iter::successors(at(self.first), move |record| at(unsafe { record.links(self) }.next))
    }
}

impl Place {
    /// Spreads the fields of a host, and hosts, over the slots.
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

/// A name for a thread without a [`HELD`]: at the end of a thread, where thread-locals are emulated. Each call returns
/// a new name, so deadlocks of such a thread are not detected, and no deadlock is reported wrongly.
#[cold]
fn some_thread() -> Thread {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    // Relaxed: uniqueness needs no ordering. Names are odd, addresses of `HELD` are even.
    NEXT.fetch_add(2, Ordering::Relaxed)
}

/// Adds to the number of claims that this thread holds.
#[inline]
fn hold(more: isize) {
    // Without the thread-local, `is_initialising` returns false.
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add_signed(more)));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The records of three places with a common slot, which no other test uses.
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

    /// Checks that the slot is free, and that a new claim of each place does not list a record.
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
