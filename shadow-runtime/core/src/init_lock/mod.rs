//! Init locks: one initialiser at a time for each value (rule R3), on the path of a miss.
//!
//! In: the key of a value before its initialisation. Out: an [`InitGuard`] of the key, or a [`Circle`], which names the
//! fields of the cycle, if a wait for the lock would be a deadlock. Neighbours: `graph.rs`, the waits and the deadlock
//! detection; `circle.rs`, the error; `accessor/get_or_attach.rs` and `raw`, which look for the value before the lock,
//! and again under the lock.
//!
//! # Slots
//!
//! A key is locked before its value exists. So the locks are here, in a fixed number of slots, by a hash of the key. A
//! slot is one atomic word:
//!
//! | word | meaning |
//! |---|---|
//! | null | free |
//! | the address of a [`Request`], on the stack of the owner | the owner holds the lock of the request's key |
//! | the address with the bit [`REGISTERED`] | the same, and the request is registered in the wait-for graph |
//! | [`SPILLED`] | requests of the slot are registered in the graph alone |
//!
//! - **I1** A request does not move or go while a slot holds its address. The owner removes the address by a CAS, which
//!   fails once the request is registered; then the owner removes the address under the graph's lock. So a thread that
//!   registers the request of another thread may dereference the address until the unlock.
//! - **I2** While a request that holds its lock is in the graph alone, its slot is not free. So a second request for
//!   the key goes to the graph.
//!
//! *Acquire*: CAS null to the address of the request, then run the initialiser under no lock of the library. *Release*:
//! CAS the address to null. A failed CAS leads to the slow path: the slot has the lock of the same or of a second key,
//! or the request is registered.
//!
//! *Slow path*: lock the graph. If a registered request holds the lock of the key, wait for its release (`graph.rs`),
//! and return without a guard: the caller looks for the value again. If the slot holds the address of a request that is
//! not registered, register that request, and start again. If the slot holds a registered request of a second key, or
//! `SPILLED`, register the new request in the graph alone. The release of a registered request, by return or by
//! unwinding, wakes the waiting threads.
//!
//! *Orderings*: the CAS that takes a slot is an `Acquire`, and pairs with the `Release` that freed the slot. So the
//! caller, which looks again under the lock, finds the value of the previous owner. The CAS without the graph's lock is
//! also a `Release` of the request, and pairs with the `Acquire` CAS that registers the request. The lock orders the
//! other accesses.

mod circle;
mod graph;

use std::any::TypeId;
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicUsize;
use std::{fmt, ptr};

use crate::identity::Identity;
use crate::registry::{Field, RawNumber};
use crate::sync::{AtomicPtr, Condvar, Mutex, Ordering, UnsafeCell, array_of, local, lock, shared};
pub use circle::Circle;
use graph::{Links, WaitGraph};

/// The key of a value: a declared field of a host, or an address and a number of the raw interface.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum InitKey {
    /// The host is borrowed while the lock is held, so its identity is unique for as long.
    Field {
        host: Identity,
        set: TypeId,
        index: usize,
        /// The declaration, which differs by its address: the field set of a second image may have the same `TypeId`
        /// (`fields/node.rs`).
        declared: &'static Field,
    },
    Raw {
        object: usize,
        id: RawNumber,
    },
}

/// The name of a thread: the address of its [`HELD`]. `HELD` has no destructor, so a thread mostly has a name at any
/// time.
type ThreadKey = usize;

/// The request of a thread for the lock of a key, which the thread then holds or waits for. A request lives on the
/// stack of the initialiser's caller; a slot or a list may hold its address (I1, I3).
#[repr(align(8))]
pub(crate) struct Request {
    key: InitKey,
    /// The slot of the lock, by a hash of the key.
    slot: &'static Slot,
    owner: ThreadKey,
    /// The number of locks that the owner held before: the depth of nested initialisers.
    depth: usize,
    links: UnsafeCell<MaybeUninit<Links>>,
}

/// The lock of one key, held by one thread, which may initialise the value.
#[must_use]
pub(crate) struct InitGuard<'request> {
    request: &'request Request,
    own_thread: PhantomData<*const ()>,
}

/// One slot under loom: all keys share the slot, so a model's runs do not depend on addresses.
const SLOTS: usize = if cfg!(loom) { 1 } else { 64 };

const FREE: *mut Request = ptr::null_mut();
/// A sentinel that is never the address of a request: addresses of requests are multiples of 8.
const SPILLED: *mut Request = ptr::without_provenance_mut(2);
/// The bit in the address of a registered request.
const REGISTERED: usize = 1;

/// All init locks of the process.
struct InitLocks {
    slots: [Slot; SLOTS],
    graph: Mutex<WaitGraph>,
    released: Condvar,
}

/// Aligned to a cache line, against false sharing.
#[repr(align(64))]
struct Slot {
    request: AtomicPtr<Request>,
}

shared! {
    static INIT_LOCKS: InitLocks = InitLocks {
        slots: array_of!(SLOTS, Slot { request: AtomicPtr::new(FREE) }),
        graph: Mutex::new(WaitGraph::new()),
        released: Condvar::new(),
    };
}

local! {
    /// The number of locks that this thread holds.
    static HELD: Cell<usize> = Cell::new(0);
}

/// Whether this thread is running an initialiser.
#[inline]
pub(crate) fn is_initialising() -> bool {
    held() > 0
}

/// The number of locks that this thread holds.
#[inline]
fn held() -> usize {
    // An emulated thread-local may be gone at the end of a thread.
    HELD.try_with(Cell::get).unwrap_or_default()
}

impl Request {
    #[inline]
    pub(crate) fn new(key: InitKey) -> Self {
        let links = UnsafeCell::new(MaybeUninit::uninit());
        // A model checker records accesses; construction is not an access.
        #[cfg(loom)]
        links.with_mut(|_| ());
        let slot = &INIT_LOCKS.slots[key.hash() % INIT_LOCKS.slots.len()];
        Self { key, slot, owner: this_thread(), depth: held(), links }
    }

    /// The word of a slot that holds this request, which is not registered.
    #[inline]
    fn address(&self) -> *mut Self {
        ptr::from_ref(self).cast_mut()
    }
}

/// The word of a slot that holds this registered request.
fn registered_word(request: *mut Request) -> *mut Request {
    request.map_addr(|address| address | REGISTERED)
}

impl<'request> InitGuard<'request> {
    /// Acquires the lock of the request's key. If another request holds the lock, waits for the release and returns
    /// `None`: the caller looks for the value again.
    ///
    /// # Errors
    ///
    /// If the wait would be a deadlock.
    ///
    /// # Safety
    ///
    /// The request has no guard yet, and the returned guard is dropped before the request moves or goes: no code
    /// forgets the guard (I3).
    #[inline]
    pub(crate) unsafe fn acquire(request: &'request Request) -> Result<Option<Self>, Circle> {
        let slot = &request.slot.request;
        // Acquire: pairs with the Release that freed the slot, in `drop` or `InitLocks::release`. Release: publishes
        // the request; pairs with the Acquire of `WaitGraph::register`. Relaxed on failure: the slow path loads again.
        if slot.compare_exchange(FREE, request.address(), Ordering::AcqRel, Ordering::Relaxed).is_err()
            // SAFETY: by the contract the request has no guard, so the request is in no slot and in no list. This call
            // makes a guard of the request, and by the contract the guard is dropped before the request moves or goes.
            && !unsafe { INIT_LOCKS.acquire(request) }?
        {
            return Ok(None);
        }
        hold(1);
        Ok(Some(Self { request, own_thread: PhantomData }))
    }
}

impl Drop for InitGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        hold(-1);
        let slot = &self.request.slot.request;
        // Release: pairs with the Acquire of the next CAS that takes the slot. Relaxed on failure: the request is
        // registered, and the graph's lock orders the release.
        if slot.compare_exchange(self.request.address(), FREE, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: by I1 only the owner removes the address, and another thread only registers the request. So a
            // request that is not in the slot without `REGISTERED` is registered.
            unsafe { INIT_LOCKS.release(self.request) };
        }
    }
}

impl InitLocks {
    /// The slow path of an acquisition. Returns `false` after a wait for the release of the lock.
    ///
    /// # Errors
    ///
    /// If the wait would be a deadlock.
    ///
    /// # Safety
    ///
    /// The request is in no slot and in no list. If the call returns `true`, the caller makes an [`InitGuard`] of the
    /// request, which is dropped before the request moves or goes (I1, I3).
    #[cold]
    unsafe fn acquire(&self, request: &Request) -> Result<bool, Circle> {
        let slot = &request.slot.request;
        let mut graph = lock(&self.graph);
        loop {
            if let Some(holder) = graph.holder(request.key).map(ptr::from_ref) {
                // SAFETY: `holder` is registered in the locked graph. By the contract the request was in no list, and
                // this call has not put the request into a list.
                unsafe { self.wait(graph, request, holder) }?;
                return Ok(false);
            }
            // Relaxed: a CAS below decides and orders; `SPILLED` and registered addresses change under the lock alone.
            let seen = slot.load(Ordering::Relaxed);
            if seen == FREE {
                // Acquire: pairs with the Release that freed the slot, in `InitGuard::drop` or `release`. A thread that
                // registers this request locks the graph after this thread, so the CAS need not be a Release.
                if slot.compare_exchange(FREE, request.address(), Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return Ok(true);
                }
            } else if seen == SPILLED || seen.addr() & REGISTERED != 0 {
                // SAFETY: by the contract the caller makes a guard of the request, so the request holds its lock from
                // now on. By the contract the request was in no list, and this call has not put the request into a
                // list.
                unsafe { graph.register_spilled(request) };
                return Ok(true);
            } else {
                // SAFETY: `slot` is a slot of the init locks, and `seen` is the address of a request.
                unsafe { graph.register(slot, seen) };
            }
        }
    }

    /// The slow path of a release.
    ///
    /// # Safety
    ///
    /// The request is registered.
    #[cold]
    unsafe fn release(&self, request: &Request) {
        let slot = request.slot;
        let mut graph = lock(&self.graph);
        // SAFETY: by the contract the request is registered.
        unsafe { graph.remove(request) };
        // `others`: registered requests of this slot. By I2 the slot must not be free while a request is in the graph
        // alone.
        let others = graph.has_any_of(slot);
        // Relaxed: by I1 a registered address enters and leaves the slot under the lock alone.
        let is_there = slot.request.load(Ordering::Relaxed) == registered_word(request.address());
        // Without this request in the slot and without others, the slot holds `SPILLED`, and becomes free. For a second
        // request in the slot would be registered, since this request was in the graph alone, and so be one of the
        // others.
        if is_there || !others {
            // Release: pairs with the Acquire of the next CAS that takes the slot, as in `InitGuard::drop`.
            slot.request.store(if others { SPILLED } else { FREE }, Ordering::Release);
        }
        drop(graph);
        self.released.notify_all();
    }
}

/// The name of the field in messages.
impl fmt::Display for InitKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { declared, .. } => declared.fmt(formatter),
            Self::Raw { id, .. } => id.fmt(formatter),
        }
    }
}

impl InitKey {
    /// Spreads the fields of a host, and hosts, over the slots.
    #[inline]
    fn hash(&self) -> usize {
        let (object, which) = match self {
            Self::Field { host, index, .. } => (host.address, *index),
            #[expect(clippy::cast_possible_truncation, reason = "a hash")]
            Self::Raw { object, id } => (*object, id.number as usize),
        };
        (object >> 4) ^ (object >> 12) ^ which.wrapping_mul(7)
    }
}

#[inline]
fn this_thread() -> ThreadKey {
    HELD.try_with(|held| ptr::from_ref(held).addr()).unwrap_or_else(|_| some_thread())
}

/// A name for a thread without a [`HELD`]: at the end of a thread, where thread-locals are emulated. Each call returns
/// a new name, so deadlocks of such a thread are not detected, and no deadlock is reported wrongly.
#[cold]
fn some_thread() -> ThreadKey {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    // Relaxed: uniqueness needs no ordering. Names are odd, addresses of `HELD` are even.
    NEXT.fetch_add(2, Ordering::Relaxed)
}

/// Adds to the number of locks that this thread holds.
#[inline]
fn hold(more: isize) {
    // Without the thread-local, `is_initialising` returns false.
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add_signed(more)));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The requests of three keys with a common slot, which no other test uses.
    fn of_slot(id: usize) -> [Request; 3] {
        [0, 1, 2].map(|round| {
            Request::new(InitKey::Raw { object: 0, id: RawNumber { number: (id + round * SLOTS) as u64, name: None } })
        })
    }

    fn acquire(request: &Request) -> InitGuard<'_> {
        // SAFETY: no test acquires the lock of a request twice at a time, or forgets a guard.
        unsafe { InitGuard::acquire(request) }.expect("no cycle").expect("no other thread holds it")
    }

    fn word(request: &Request) -> *mut Request {
        request.slot.request.load(Ordering::Relaxed)
    }

    fn registered_of(slot: &Slot) -> usize {
        lock(&INIT_LOCKS.graph).count(slot)
    }

    fn is_registered(request: &Request) -> bool {
        lock(&INIT_LOCKS.graph).holder(request.key).is_some()
    }

    /// Checks that the slot is free, and that a new request for each key is not registered.
    fn is_free_again(requests: &[Request; 3]) {
        for request in requests {
            assert_eq!(word(request), FREE);
            assert_eq!(registered_of(request.slot), 0);
            let _guard = acquire(request);
            assert_eq!(word(request), request.address());
            assert_eq!(registered_of(request.slot), 0);
        }
    }

    #[test]
    fn a_slot_is_free_again_after_the_release_of_its_last_lock() {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for (id, order) in orders.into_iter().enumerate() {
            let requests = of_slot(id);
            assert!(requests.iter().all(|request| ptr::eq(request.slot, requests[0].slot)));
            let mut guards = requests.each_ref().map(|request| Some(acquire(request)));
            assert_eq!(word(&requests[0]), registered_word(requests[0].address()), "the slot was taken");
            assert_eq!(registered_of(requests[0].slot), 3);
            for (left, goes) in [2, 1, 0].into_iter().zip(order) {
                guards[goes] = None;
                assert_eq!(registered_of(requests[0].slot), left);
                for (request, guard) in requests.iter().zip(&guards) {
                    assert_eq!(is_registered(request), guard.is_some(), "after {goes} of {order:?}");
                }
                let expected = match left {
                    0 => FREE,
                    _ if guards[0].is_some() => registered_word(requests[0].address()),
                    _ => SPILLED,
                };
                assert_eq!(word(&requests[0]), expected, "after {goes} of {order:?}");
            }
            is_free_again(&requests);
        }
    }

    #[test]
    fn a_second_request_for_a_spilled_key_waits() {
        let requests = of_slot(6);
        let first = acquire(&requests[0]);
        let second = acquire(&requests[1]);
        drop(first);
        let key = requests[1].key;
        std::thread::scope(|scope| {
            let other = scope.spawn(move || {
                let request = Request::new(key);
                // SAFETY: the request is new, and the guard is dropped in the same expression.
                unsafe { InitGuard::acquire(&request) }.expect("no cycle").is_some()
            });
            while !lock(&INIT_LOCKS.graph).has_waiters() {
                assert!(!other.is_finished(), "two threads hold the lock");
                std::thread::yield_now();
            }
            drop(second);
            assert!(!other.join().unwrap(), "the caller looks for the value again");
        });
        is_free_again(&requests);
    }
}
