//! `Arc<T>` as a host: any shared object, of any type.
//!
//! In: an `Arc`. Out: the fields of its allocation, as long as any `Arc` of it is there.
//!
//! # Identity and its reuse
//!
//! The key is the address of the `T` in the allocation. An entry keeps a `Weak`, so the allocation, and with it the
//! address, is not given to anybody else before the entry is gone. Two allocations cannot have the same key, also for
//! zero-sized types: the two counts of an `Arc` stand right before its `T`, so the bytes before the key belong to one
//! allocation alone. No other kind of host shares this table.
//!
//! # Invariants
//!
//! - **A1** An entry is removed only when the strong count of its `Weak` was seen to be 0 under the shard's write lock.
//!   While it is 0 nobody borrows an `Arc` of the allocation: there is none and never will be, or the one that is left
//!   is in the hands of an `Arc::make_mut`, exclusively, on its way to be an object without fields.
//! - **A2** A field set, once in an entry, stays where it is until the entry is removed and dropped (C3 of
//!   `fields/chain.rs`; that the entry itself moves within its shard does not move what it points to).
//!
//! So whoever borrows an `Arc` may borrow the fields of its allocation for as long (R1).
//!
//! # Reader, writer, sweeper
//!
//! *Reader*: lock the shard for reading, find the entry, find the field set in it, unlock. *Writer*: the same; if there
//! is no entry, lock for writing and look again before adding one. *Sweeper*: lock for writing, take the entries whose
//! `Arc`s are gone, unlock, and only then drop them, since that runs destructors (R4), each contained (R5).
//!
//! *The last `Arc` against the sweeper*: the sweeper must not drop a value before the last reader's use of it. Readers
//! use a value while they borrow an `Arc`, and give the `Arc` up by a `Release` decrement of the strong count; the
//! sweeper reads that count and then has an `Acquire` fence, which together order it after all of them. `try_unwrap`
//! and `make_mut` take the strong count from 1 to 0 without a `Release`, and have theirs a few steps later, where they
//! give up the weak count that all strong ones share. So the sweeper loads the weak count with `Acquire` too, which
//! `Weak::weak_count` does. Between those few steps the order rests on the processor, not on the language: see
//! `ARCHITECTURE.md`.
//!
//! # When dead hosts are dropped
//!
//! Every attach to an `Arc` sweeps [`STRIDE`] entries of its own shard, and as many of another, each shard in turn; and
//! `registry().sweep()` sweeps all. So a dead entry in a shard of `n` is met within `n / STRIDE + 1` attaches to hosts in
//! that shard, or `SHARDS` times as many to any hosts, whichever comes first, and the table is bounded by what is alive
//! (R7), however the addresses of new hosts are spread. If they are spread evenly, the dead are about a fifth of the
//! living at most.
//!
//! A sweep runs destructors of strangers, so an attach sweeps last, when it is done. Inside of an initialiser it puts the
//! sweep off until the initialiser is done, since a destructor that asks for the very field would find it busy; but no
//! more than [`MOST_OWED`] at a time, so that one initialiser that attaches for ever is bounded, too. Inside of a
//! destructor that a sweep runs it does not sweep, or one dead host after the other would pile up on the stack.

use std::cell::Cell;
use std::ptr;
use std::sync::{Arc, Weak};

use crate::claim;
use crate::field_set::FieldSet;
use crate::fields::ShadowFields;
use crate::host::{Host, Identity};
use crate::panics::Panics;
use crate::side_table::{AddressMap, SHARDS, SideTable, shrink};
use crate::sync::{AtomicUsize, Ordering, RwLock, fence, read, write};

/// How many entries each attach sweeps of a shard.
const STRIDE: usize = 3;

/// How many sweeps a thread puts off.
const MOST_OWED: usize = 1024;

static TABLE: SideTable<Shard> = SideTable::new([const { RwLock::new(Shard::new()) }; SHARDS]);

/// Whose turn it is to be swept.
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

struct Shard {
    /// Where each key's entry is.
    index: AddressMap<usize, usize>,
    entries: Vec<Entry>,
    /// The entry that is swept next.
    cursor: usize,
}

struct Entry {
    key: usize,
    object: Box<dyn Object>,
    fields: ShadowFields,
}

/// The `Weak` of an entry, whatever its type.
trait Object: Send + Sync {
    /// Whether no `Arc` is left; if so, what their holders did has happened before.
    fn is_gone(&self) -> bool;
}

impl<T: ?Sized + Send + Sync> Object for Weak<T> {
    fn is_gone(&self) -> bool {
        if self.strong_count() != 0 {
            return false;
        }
        // Both halves are argued in the header. The count itself does not matter.
        let _ = self.weak_count();
        // Acquire: pairs with the Release decrement of every `Arc` that was dropped.
        fence(Ordering::Acquire);
        true
    }
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Send + Sync + 'static> Host for Arc<T> {
    fn look<S: FieldSet + 'static>(host: &Self) -> Option<&S> {
        let key = key_of(host);
        let shard = read(TABLE.shard(key));
        let set = shard.entries[*shard.index.get(&key)?].fields.look::<S>()?;
        // SAFETY: the entry is that of `host`, by its key. `host` keeps the strong count above 0 for as long as it is
        // borrowed, so by A1 the entry stays, and by A2 the set with it.
        Some(unsafe { outlive(set) })
    }

    fn reach<S: FieldSet + 'static>(host: &Self) -> &S {
        if let Some(set) = Self::look(host) {
            return set;
        }
        let key = key_of(host);
        let mut object: Option<Box<dyn Object>> = Some(Box::new(Arc::downgrade(host)));
        let mut shard = write(TABLE.shard(key));
        let entry = shard.enter(key, &mut object);
        let set = entry.fields.reach::<S>();
        // SAFETY: as in `look`.
        unsafe { outlive(set) }
    }

    fn identity(host: &Self) -> Identity {
        // Its type plays no part: as `Arc<dyn Trait>` it is the same host, and has the same field sets.
        Identity { address: key_of(host), object: None }
    }

    #[inline]
    fn after_attach(host: &Self) {
        sweep_for(key_of(host));
    }
}

/// Lets go of the shard's lock, which a reference to a field set was found under.
///
/// # Safety
///
/// The set belongs to an entry whose object lives for `'host`.
unsafe fn outlive<'host, S>(set: &S) -> &'host S {
    // SAFETY: the caller says so; see A1 and A2.
    unsafe { &*ptr::from_ref(set) }
}

fn key_of<T: ?Sized>(host: &Arc<T>) -> usize {
    Arc::as_ptr(host).addr()
}

impl Shard {
    const fn new() -> Self {
        Self { index: AddressMap::with_hasher(std::hash::BuildHasherDefault::new()), entries: Vec::new(), cursor: 0 }
    }

    /// The entry of `key`; a new one takes `object`.
    fn enter(&mut self, key: usize, object: &mut Option<Box<dyn Object>>) -> &Entry {
        let Self { index, entries, .. } = self;
        let position = *index.entry(key).or_insert_with(|| {
            if let Some(object) = object.take() {
                entries.push(Entry { key, object, fields: ShadowFields::new() });
            }
            entries.len() - 1
        });
        &entries[position]
    }

    /// Takes out those of the next `count` entries whose objects are gone.
    fn take_dead(&mut self, count: usize, dead: &mut Vec<Entry>) {
        for _ in 0..count.min(self.entries.len()) {
            if self.cursor >= self.entries.len() {
                self.cursor = 0;
            }
            let Some(entry) = self.entries.get(self.cursor) else { break };
            if entry.object.is_gone() {
                dead.push(self.remove(self.cursor));
            } else {
                self.cursor += 1;
            }
        }
        shrink(&mut self.index);
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 8 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    fn take_all_dead(&mut self, dead: &mut Vec<Entry>) {
        // From the start, the entries that `remove` moves down are all still to come.
        self.cursor = 0;
        self.take_dead(usize::MAX, dead);
    }

    fn remove(&mut self, position: usize) -> Entry {
        let entry = self.entries.swap_remove(position);
        self.index.remove(&entry.key);
        if let Some(moved) = self.entries.get(position) {
            self.index.insert(moved.key, position);
        }
        entry
    }
}

/// Drops every host that is gone, also those that go when the values of others are dropped, and returns how many.
///
/// # Panics
///
/// If a destructor does, after all of them have run.
pub(crate) fn sweep() -> usize {
    let mut panics = Panics::none();
    let mut count = 0;
    loop {
        let before = count;
        for shard in TABLE.shards() {
            let mut dead = Vec::new();
            write(shard).take_all_dead(&mut dead);
            count += dead.len();
            end(dead, &mut panics);
        }
        if count == before {
            break;
        }
    }
    panics.raise();
    count
}

thread_local! {
    /// Whether this thread runs destructors of a sweep.
    static SWEEPING: Cell<bool> = const { Cell::new(false) };
    /// How many sweeps of this thread wait for the end of an initialiser.
    static OWED: Cell<usize> = const { Cell::new(0) };
}

/// Sweeps for an attach to a host in the shard of `key`, or puts it off, if this thread is in an initialiser.
#[cold]
fn sweep_for(key: usize) {
    if claim::is_initialising() && OWED.get() < MOST_OWED {
        OWED.set(OWED.get() + 1);
    } else {
        sweep_some(Some(key));
        sweep_owed();
    }
}

/// Sweeps what attaches inside of initialisers have put off, now that this thread is in none.
#[cold]
pub(crate) fn sweep_owed() {
    if !claim::is_initialising() {
        for _ in 0..OWED.take() {
            sweep_some(None);
        }
    }
}

/// Sweeps a few entries of the shard of `key`, and of the shard whose turn it is.
fn sweep_some(key: Option<usize>) {
    if SWEEPING.replace(true) {
        return;
    }
    let mut dead = Vec::new();
    if let Some(key) = key {
        write(TABLE.shard(key)).take_dead(STRIDE, &mut dead);
    }
    // Relaxed: only the number counts, so that shards have their turn.
    let turn = NEXT_SHARD.fetch_add(1, Ordering::Relaxed);
    write(&TABLE.shards()[turn % SHARDS]).take_dead(STRIDE, &mut dead);
    let mut panics = Panics::none();
    end(dead, &mut panics);
    // These are other hosts' destructors: their panics are not the caller's (R5).
    panics.discard();
    SWEEPING.set(false);
}

/// Drops what was taken out of the table, under no lock.
fn end(dead: Vec<Entry>, panics: &mut Panics) {
    for mut entry in dead {
        entry.fields.end(panics);
    }
}
