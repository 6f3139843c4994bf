//! The wait-for graph of initialisers: waits for init locks, and deadlock detection.
//!
//! In: requests that hold the lock of a key, and requests that wait. Out: the end of a wait, or a [`Circle`], which
//! names the fields of the cycle. Neighbours: `mod.rs`, the locks; `circle.rs`, the error. One mutex guards the graph.
//!
//! The graph has two intrusive lists of requests: registered requests, which hold the lock of their key, and waiting
//! requests. The links are in the requests, which live on the stacks of their threads. The global allocator may be user
//! code and may itself initialise fields, so no thread allocates under the graph's lock, and no user code runs (R4).
//!
//! - **I3** A request does not move or go while a list holds its address. *Registered request*: the
//!   [`InitGuard`](super::InitGuard) borrows the request, and `InitGuard::drop` unlinks the request before the borrow
//!   ends: its CAS expects the request's address without [`REGISTERED`], which the slot of a registered request never
//!   holds. Every guard is a local variable of its owner, and no code forgets a guard. So `InitGuard::drop` runs when
//!   the initialiser returns and when the initialiser unwinds. *Waiting request*: [`InitLocks::wait`] borrows the
//!   request, links the request, and unlinks the request before the return. Nothing between the two unwinds: the thread
//!   sleeps and reads links, and the condition variable panics only for a second mutex, which is never used.
//! - **I4** The links of a request are initialised by `List::push`. After that, and until the request is unlinked,
//!   links are read and written under the graph's lock alone. A request is in one list at most: a waiting request holds
//!   no lock.
//! - **I5** A waiting request points to a registered request, or to null. `WaitGraph::remove` unlinks a registered
//!   request and sets all pointers to the request to null in the same critical section. So no pointer to a request
//!   outlives the request, and a later request at the same address does not keep a thread asleep (no ABA).
//!
//! # Deadlocks
//!
//! Before a thread sleeps, the thread walks the wait-for graph: the owner of the key, the key for which this owner
//! waits, the next owner, and so on. If the walk arrives at the thread itself, the wait would close a cycle, a
//! deadlock. The request fails instead, with the names of all fields in the cycle: the thread's initialisers return or
//! unwind, their locks are released, and the other threads of the cycle go on. The detection misses no cycle of init
//! locks: every wait starts under the graph's lock, and every request with a waiter is registered. So the last thread
//! of a cycle sees the complete cycle. The graph has no edges for other waits (an initialiser that joins a thread, or
//! waits for a message), so such deadlocks are not detected.

use std::{iter, mem, ptr};

use super::{Circle, FREE, InitKey, InitLocks, REGISTERED, Request, SPILLED, Slot, ThreadKey, registered_word};
use crate::fallible::try_room;
use crate::sync::{AtomicPtr, Locked, Ordering, lock, wait as sleep};

/// The links of a request in a list (I4).
#[derive(Clone, Copy)]
pub(super) struct Links {
    /// The next request of the list.
    next: *const Request,
    /// In the waiting list: the registered request for which the thread waits, or null after the release (I5).
    waits_for: *const Request,
}

/// The data behind the lock. The process has one graph, so a reference to the graph or to a list implies the lock.
pub(super) struct WaitGraph {
    /// The requests with waiters, the requests that a second request met in a slot, and the requests without a slot.
    registered: List,
    waiting: List,
}

/// An intrusive list of requests.
struct List {
    first: *const Request,
}

// SAFETY: by I3 the requests stay valid while the lock is held, by I4 links are accessed under the lock alone, and the
// rest of a request is immutable data that threads may share.
unsafe impl Send for WaitGraph {}

impl InitLocks {
    /// Sleeps until `holder`, a registered request, releases its lock.
    ///
    /// # Errors
    ///
    /// If the wait would be a deadlock. Then the request is in no list.
    ///
    /// # Safety
    ///
    /// `holder` is registered in `graph`, and `request` is in no list.
    pub(super) unsafe fn wait(
        &self,
        mut graph: Locked<'_, WaitGraph>,
        request: &Request,
        holder: *const Request,
    ) -> Result<(), Circle> {
        // SAFETY: by the contract `holder` is registered, so by I3 valid while the lock is held.
        let owner = unsafe { &*holder }.owner;
        if graph.leads_to(owner, request.owner) {
            drop(graph);
            return Err(self.circle(request.key, owner == request.owner));
        }
        // SAFETY: by the contract the request is in no list, and by I3 `remove` below unlinks it. By the contract
        // `holder` is registered: this thread has held the graph's lock since the call (I5).
        unsafe { graph.waiting.push(request, holder) };
        // SAFETY: the request is in the waiting list until `remove`.
        while !unsafe { request.links(&graph.waiting) }.waits_for.is_null() {
            graph = sleep(&self.released, graph);
        }
        // SAFETY: only this call takes the request out of the waiting list.
        unsafe { graph.waiting.remove(request) };
        Ok(())
    }

    /// The error that names all fields in the cycle that a wait for `key` would close, or no field without memory.
    ///
    /// The cycle does not change between the critical sections: its other threads sleep, and each waits for a lock of
    /// the next thread, the last one for a lock of this thread.
    #[cold]
    fn circle(&self, key: InitKey, alone: bool) -> Circle {
        let mut keys = Vec::new();
        loop {
            let mut graph = lock(&self.graph);
            for Slot { request: slot } in &self.slots {
                // Relaxed: the CAS of `register` orders, as in `acquire`.
                let seen = slot.load(Ordering::Relaxed);
                if seen != FREE && seen != SPILLED && seen.addr() & REGISTERED == 0 {
                    // SAFETY: `slot` is a slot of the init locks, and `seen` is the address of a request.
                    unsafe { graph.register(slot, seen) };
                }
            }
            let cycle = iter::successors(graph.holder(key), |held| graph.requested_by(held)).map(|held| held.key);
            let length = cycle.clone().count();
            if length <= keys.capacity() {
                keys.extend(cycle);
                break;
            }
            // The allocation is outside of the critical section (R4).
            drop(graph);
            match try_room(length) {
                Ok(room) => keys = room,
                Err(none) => return Circle::new(Err(none), alone),
            }
        }
        Circle::new(Ok(&keys), alone)
    }
}

impl WaitGraph {
    pub(super) const fn new() -> Self {
        Self { registered: List::new(), waiting: List::new() }
    }

    /// The registered request that holds the lock of `key`.
    pub(super) fn holder(&self, key: InitKey) -> Option<&Request> {
        self.registered.iter().find(|held| held.key == key)
    }

    /// Whether a registered request has this slot.
    pub(super) fn has_any_of(&self, slot: &Slot) -> bool {
        self.registered.iter().any(|held| ptr::eq(held.slot, slot))
    }

    /// Registers the request `seen`, if `slot` still has the request without [`REGISTERED`].
    ///
    /// # Safety
    ///
    /// `slot` is a slot of the init locks, and `seen` is not [`FREE`], not [`SPILLED`], and without [`REGISTERED`].
    pub(super) unsafe fn register(&mut self, slot: &AtomicPtr<Request>, seen: *mut Request) {
        // Acquire: pairs with the Release of the CAS in `InitGuard::acquire`, which published the request. The code
        // dereferences the CAS's result: the earlier load may have read a pointer to a request that is gone (ABA,
        // provenance).
        if let Ok(seen) = slot.compare_exchange(seen, registered_word(seen), Ordering::Acquire, Ordering::Relaxed) {
            // SAFETY: by the contract the word was the address of a request. The slot held the address until now, so by
            // I1 the request stays while the lock is held.
            let request = unsafe { &*seen };
            // SAFETY: without the bit `REGISTERED` the request was in no list, and holds its lock.
            unsafe { self.register_spilled(request) };
        }
    }

    /// Registers a request that is in no list.
    ///
    /// # Safety
    ///
    /// The request is in no list, and holds its lock from now on: by I3 `InitGuard::drop` unlinks the request.
    pub(super) unsafe fn register_spilled(&mut self, request: &Request) {
        // SAFETY: by the contract the request is in no list, and is unlinked by `InitGuard::drop`.
        unsafe { self.registered.push(request, ptr::null()) };
    }

    /// Unlinks a registered request, and sets the pointers of its waiters to null (I5).
    ///
    /// # Safety
    ///
    /// The request is registered.
    pub(super) unsafe fn remove(&mut self, request: &Request) {
        // SAFETY: by the contract the request is in the list of registered requests.
        unsafe { self.registered.remove(request) };
        for waiting in self.waiting.iter() {
            // SAFETY: the iterator yields requests of the list.
            let links = unsafe { waiting.links(&self.waiting) };
            if ptr::eq(links.waits_for, request) {
                // SAFETY: the request is in the waiting list, and keeps its next request.
                unsafe { waiting.set_links(&self.waiting, Links { waits_for: ptr::null(), ..links }) };
            }
        }
    }

    /// Whether `thread` is `goal`, or waits for `goal` along a path of the wait-for graph.
    fn leads_to(&self, thread: ThreadKey, goal: ThreadKey) -> bool {
        let next = |thread: &ThreadKey| Some(self.waits_for(*thread)?.owner);
        iter::successors(Some(thread), next).any(|thread| thread == goal)
    }

    /// The registered request for which a thread waits.
    fn waits_for(&self, thread: ThreadKey) -> Option<&Request> {
        let waiting = self.waiting.iter().find(|waiting| waiting.owner == thread)?;
        // SAFETY: the iterator yields requests of the list.
        let holder = unsafe { waiting.links(&self.waiting) }.waits_for;
        // SAFETY: by I5 the pointer is null or a registered request, and by I3 a registered request is valid while the
        // lock is held. Null: the thread is about to wake up.
        unsafe { holder.as_ref() }
    }

    /// The lock that the initialiser under `held` requests: the owner's next inner lock, or the lock for which the
    /// owner waits. All requests of the owner are registered.
    fn requested_by(&self, held: &Request) -> Option<&Request> {
        let inner = self.registered.iter().filter(|other| other.owner == held.owner && other.depth > held.depth);
        inner.min_by_key(|other| other.depth).or_else(|| self.waits_for(held.owner))
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn count(&self, slot: &Slot) -> usize {
        self.registered.iter().filter(|held| ptr::eq(held.slot, slot)).count()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn has_waiters(&self) -> bool {
        self.waiting.iter().next().is_some()
    }
}

impl Request {
    /// The links. The reference to a list stands for the lock.
    ///
    /// # Safety
    ///
    /// The request is in a list.
    unsafe fn links(&self, _: &List) -> Links {
        // SAFETY: by I4 the lock excludes other accesses.
        let links = self.links.with(|links| unsafe { *links });
        // SAFETY: by the contract the request is in a list. Only `push` puts a request into a list, and initialises the
        // links (I4).
        unsafe { links.assume_init() }
    }

    /// Sets the links. The reference to a list stands for the lock.
    ///
    /// # Safety
    ///
    /// The request is in the list, or the caller is pushing the request to the list. `links.next` is null or another
    /// request of the list, and `links.waits_for` is null or registered (I5).
    unsafe fn set_links(&self, _: &List, links: Links) {
        // SAFETY: by I4 the lock excludes other accesses.
        self.links.with_mut(|place| unsafe { (*place).write(links) });
    }
}

impl List {
    const fn new() -> Self {
        Self { first: ptr::null() }
    }

    /// # Safety
    ///
    /// The request is in no list, and is unlinked before the request moves or goes (I3); `waits_for` is null or
    /// registered (I5).
    unsafe fn push(&mut self, request: &Request, waits_for: *const Request) {
        let next = mem::replace(&mut self.first, request);
        // SAFETY: this call is pushing the request to the list. `next` was the first request, or null. By the contract
        // `waits_for` is null or registered.
        unsafe { request.set_links(self, Links { next, waits_for }) };
    }

    /// Unlinks a request of this list.
    ///
    /// # Safety
    ///
    /// The request is in this list.
    unsafe fn remove(&mut self, request: &Request) {
        // SAFETY: the closure's arguments are `request`, by the contract in this list, and requests of the iterator.
        let links = |request: &Request| unsafe { request.links(self) };
        let Links { next, .. } = links(request);
        if ptr::eq(self.first, request) {
            self.first = next;
            return;
        }
        let before = self.iter().find(|before| ptr::eq(links(before).next, request)).expect("it is in the list");
        // SAFETY: `before` is in the list. `next` is null or a request of the list, which follows `request`.
        unsafe { before.set_links(self, Links { next, ..links(before) }) };
    }

    fn iter(&self) -> impl Iterator<Item = &Request> {
        // SAFETY: by I3 a request of the list is valid while the lock is held, for which the borrow of the list stands.
        let at = |request: *const Request| unsafe { request.as_ref() };
        // SAFETY: the iterator reached the request through this list.
        iter::successors(at(self.first), move |request| at(unsafe { request.links(self) }.next))
    }
}
