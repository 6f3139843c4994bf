//! Who initialises what: rule R3, on the path of a miss.
//!
//! In: the place of a value that is about to be initialised. Out: a [`Claim`] on it, or a panic that names the field,
//! if waiting for it would never end. Neighbours: `cell/get_or_attach.rs` and `raw`, which look for the value before
//! they claim, and again after.
//!
//! **Claimer's path**: lock the table. If the place is free, enter it with this thread as its owner, unlock, and run
//! the initialiser under no lock. If another thread owns it, enter that this thread waits for it, and sleep until the
//! owner is done; then leave without a claim, to look for the value again. Dropping a claim, also by a panic of the
//! initialiser, takes it out of the table and wakes those who wait.
//!
//! **Circles**: before a thread sleeps it follows the waits: the place's owner, the place that this owner waits for,
//! that one's owner, and so on. If the way leads back to the thread itself, sleeping would close a circle, so it
//! panics instead; its own initialisers unwind, their claims are dropped, and the others in the circle go on. A circle
//! cannot form unseen: every wait is entered under the one lock, so the last thread of a would-be circle sees it all.
//! What goes through other means (an initialiser that joins a thread, or waits for a message) is not seen here.
//!
//! A hit never comes here, so one lock for the process is enough: it is held for a few steps over as many entries as
//! there are initialisers running, and no code of a user runs under it (R4).
#![forbid(unsafe_code)]

use std::any::TypeId;
use std::cell::Cell;
use std::marker::PhantomData;
use std::{fmt, ptr};

use crate::host::Identity;
use crate::sync::{Condvar, Mutex, PoisonError, lock};

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

/// The right to initialise one place, held by one thread.
#[must_use]
pub(crate) struct Claim {
    number: u64,
    own_thread: PhantomData<*const ()>,
}

thread_local! {
    /// How many claims this thread holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is in the middle of an initialiser.
pub(crate) fn is_initialising() -> bool {
    HELD.get() > 0
}

/// A thread, named by the address of a thread-local that has no destructor, so that it can be asked for at any time.
type Thread = usize;

struct Claimed {
    /// No two claims have the same, so that a place that is claimed anew, by whomever, is not taken for the old claim.
    number: u64,
    place: Place,
    owner: Thread,
    /// Whether somebody has to be woken.
    awaited: bool,
}

struct Waiting {
    thread: Thread,
    claim: u64,
}

struct Table {
    claimed: Vec<Claimed>,
    waiting: Vec<Waiting>,
    next_number: u64,
}

static TABLE: Mutex<Table> = Mutex::new(Table { claimed: Vec::new(), waiting: Vec::new(), next_number: 0 });
static RELEASED: Condvar = Condvar::new();

impl Claim {
    /// Claims `place`, or waits until whoever holds it is done and returns `None`: look for the value again.
    ///
    /// # Panics
    ///
    /// If this thread would wait for itself.
    #[cold]
    pub(crate) fn take(place: Place, field: &dyn fmt::Display) -> Option<Self> {
        let me = this_thread();
        let mut table = lock(&TABLE);
        let Some(held) = table.claimed.iter_mut().find(|claimed| claimed.place == place) else {
            let number = table.next_number;
            table.next_number += 1;
            table.claimed.push(Claimed { number, place, owner: me, awaited: false });
            HELD.set(HELD.get() + 1);
            return Some(Self { number, own_thread: PhantomData });
        };
        held.awaited = true;
        let (claim, owner) = (held.number, held.owner);
        if table.leads_to(owner, me) {
            drop(table);
            circle(field, owner == me);
        }
        table.waiting.push(Waiting { thread: me, claim });
        let held = |table: &mut Table| table.holds(claim).is_some();
        let mut table = RELEASED.wait_while(table, held).unwrap_or_else(PoisonError::into_inner);
        table.waiting.retain(|waiting| waiting.thread != me);
        None
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
        let mut table = lock(&TABLE);
        let Some(index) = table.claimed.iter().position(|held| held.number == self.number) else { return };
        let awaited = table.claimed.swap_remove(index).awaited;
        drop(table);
        if awaited {
            RELEASED.notify_all();
        }
    }
}

impl Table {
    fn holds(&self, claim: u64) -> Option<&Claimed> {
        self.claimed.iter().find(|held| held.number == claim)
    }

    /// Whether `thread` is `goal`, or waits for it, directly or through others.
    fn leads_to(&self, mut thread: Thread, goal: Thread) -> bool {
        loop {
            if thread == goal {
                return true;
            }
            let Some(waiting) = self.waiting.iter().find(|waiting| waiting.thread == thread) else { return false };
            // If the claim is dropped, `thread` is about to wake up.
            let Some(held) = self.holds(waiting.claim) else { return false };
            thread = held.owner;
        }
    }
}

#[cold]
fn circle(field: &dyn fmt::Display, alone: bool) -> ! {
    assert!(!alone, "{field} is asked for by its own initialiser");
    panic!("{field} is asked for in a circle: its initialiser waits for one that this thread is running");
}

fn this_thread() -> Thread {
    thread_local! { static MARK: u8 = const { 0 }; }
    MARK.with(|mark| ptr::from_ref(mark).addr())
}
