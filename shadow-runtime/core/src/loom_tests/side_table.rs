//! Loom models of one shard of a side table (`side_table/mod.rs`), in all interleavings with at most three preemptions.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime-core --lib loom_tests::side_table
//! ```
//!
//! In: readers that look keys up while writers insert, remove, move and grow. Out: an error for a data race, a wrong
//! value or a missed key.
//!
//! The value of a key contains a loom `UnsafeCell`, to which the constructor writes. Loom reports a data race if a
//! reader's lookup is not ordered after the constructor. An assertion fails if a reader finds the value of another key.
//! Each `Acquire` and each `Release` of `side_table/mod.rs` and `side_table/writer.rs`, alone weakened to `Relaxed`,
//! fails one of these models:
//!
//! | ordering | model that fails |
//! |---|---|
//! | `ArrayPtr::array`, `Acquire`; `replace_array`, `Release` | `keys_are_looked_for_while_the_array_is_replaced_by_a_larger_one` |
//! | `search`, the move counter, `Acquire`; `shift_back`, the same, `Release` | `a_key_is_looked_for_while_it_moves_back_from_further_on` |
//! | `probe_group`, tags, `Acquire`; `make_vacant`, tags, `Release` | `a_key_is_looked_for_while_it_moves_back` |
//! | `value_at_home`, key, `Acquire`; `fill`, key, `Release` | `a_key_is_looked_for_while_it_moves_back` |
//! | `value_at_home`, value, `Acquire`; `replace`, `Release` | `a_key_is_looked_for_while_its_value_is_replaced` |
//! | `value_of`, key, `Acquire`; `mark_deleted`, `DELETED_KEY`, `Release` | `a_key_is_looked_for_while_it_moves_back` |
//! | `value_of`, value, `Acquire`; `fill`, value, `Release` | `a_slot_is_looked_at_while_it_gets_another_key` |
//! | `value_of`, the key again, `Acquire` | `a_key_is_looked_for_while_it_moves_back_from_further_on` |
//! | `put`, tags, `Release` | `a_key_is_looked_for_while_the_group_that_it_has_left_overflows` |
//! | `fill`, tags, `Release` | `a_slot_is_looked_at_while_it_gets_another_key` |
//!
//! The allocator runs while the shard is unlocked. Each step of the next table, left out of `make_room`, fails a model:
//!
//! | left out | model that fails |
//! |---|---|
//! | the check whether growth is due, under the lock | `two_keys_are_inserted_where_the_array_is_full` |
//! | the lock, around copy and store | `one_key_is_removed_and_one_inserted_while_the_array_is_replaced_by_a_larger_one` |
//!
//! Each step of a counted removal or lookup, left out or weakened, fails a model:
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | the count of a removal, or its place before the slot's next value | `a_key_is_looked_for_while_it_is_removed_and_another_moves_to_its_slot` |
//! | the second load of the counter in `find_counted_at_home` | `a_key_is_looked_for_while_its_slot_is_another_keys_for_a_while` |
//! | the second load of the counter in `search_counted` | `a_key_that_has_overflowed_is_looked_for_while_its_slot_is_another_keys_for_a_while` |
//!
//! If `fill` stores the key before the tags, `a_key_that_was_found_while_it_is_inserted_is_found_again` fails.

#![expect(clippy::unnecessary_box_returns, reason = "the owner of a value drops the box")]

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::side_table::{ArrayPtr, Shard, WriterState, hash};

struct Value {
    key: UnsafeCell<usize>,
}

// SAFETY: only `of` writes to `key`, before any sharing; threads only read afterwards. The models check this claim:
// loom reports every data race on `key`.
unsafe impl Sync for Value {}

impl Value {
    fn of(key: usize) -> Self {
        let value = Self { key: UnsafeCell::new(0) };
        // SAFETY: `of` has not returned `value`, so no other thread can access `key`.
        value.key.with_mut(|place| unsafe { *place = key });
        value
    }
}

/// A shard that owns boxed values, and drops them with the shard.
struct Table {
    array: ArrayPtr<Value>,
    state: WriterState,
}

// SAFETY: a shard hands out shared references and boxes of values; threads may share and move values.
unsafe impl Send for Table {}
// SAFETY: a shard hands out shared references and boxes of values; threads may share and move values.
unsafe impl Sync for Table {}

impl Default for Table {
    fn default() -> Self {
        Self { array: ArrayPtr::new(), state: WriterState::new() }
    }
}

impl Table {
    fn shard(&self) -> Shard<'_, Value> {
        Shard::of(&self.array, &self.state)
    }

    fn find(&self, key: usize) -> Option<&Value> {
        // SAFETY: the value was boxed by `insert` or `replace`. No model looks up a key that the model removes (T5),
        // and a box from `replace` or `remove` is dropped only when no reader has the value.
        self.shard().find(key, hash(key)).map(|value| unsafe { value.as_ref() })
    }

    fn insert(&self, key: usize, value: Value) {
        self.shard().lock_with_room().insert(key, hash(key), NonNull::from(Box::leak(Box::new(value))));
    }

    /// Replaces a value. The caller drops the returned box only when no reader can have a reference to the value.
    fn replace(&self, key: usize, value: Value) -> Box<Value> {
        let mut shard = self.shard().lock();
        let first = shard.find(key, hash(key)).expect("there is one");
        shard.replace(key, hash(key), NonNull::from(Box::leak(Box::new(value))));
        // SAFETY: the value was boxed by `insert` or `replace`, and is no longer in the shard, so the box has one
        // owner.
        unsafe { Box::from_raw(first.as_ptr()) }
    }

    /// Removes a key. No reader looks up the key during or after the call (T5).
    fn remove(&self, key: usize) -> Option<Box<Value>> {
        let value = self.shard().lock().remove(key, hash(key))?;
        // SAFETY: the value was boxed by `insert` or `replace`, and is no longer in the shard; by T5 no reader uses the
        // value.
        Some(unsafe { Box::from_raw(value.as_ptr()) })
    }

    /// Removes a key that readers may look up meanwhile. The caller drops the box when no reader is left.
    fn remove_counted(&self, key: usize) -> Box<Value> {
        let value = self.shard().lock().remove_counted(key, hash(key)).expect("it is there");
        // SAFETY: the value was boxed by `insert` or `replace`, and is no longer in the shard, so the box has one
        // owner.
        unsafe { Box::from_raw(value.as_ptr()) }
    }

    fn entries(&self) -> usize {
        self.shard().entries()
    }

    /// Number of groups of the current array.
    fn groups(&self) -> usize {
        self.shard().groups()
    }

    /// Number of arrays so far, except for the empty array.
    fn arrays(&self) -> usize {
        self.shard().arrays()
    }

    /// The first `count` keys with the first of two groups as home group, or with the second.
    fn keys(count: usize, of_second_group: bool) -> Vec<usize> {
        let is_one = |key: &usize| (hash(*key) >> 63 == 1) == of_second_group;
        (1..).map(|number| number * 16).filter(is_one).take(count).collect()
    }

    /// Two keys with the first of two groups as home group, and with the same tag for the first slot.
    fn keys_alike() -> [usize; 2] {
        let tags = |key: usize| hash(key) & 0x7e;
        let keys = Self::keys(200, false);
        let alike = keys[1..].iter().find(|key| tags(**key) == tags(keys[0]));
        [keys[0], *alike.expect("there are 64 tags")]
    }

    /// The first `count` keys with the given home group out of four groups.
    fn keys_of_four(count: usize, group: u64) -> Vec<usize> {
        (1..).map(|number| number * 16).filter(|key| hash(*key) >> 62 == group).take(count).collect()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let mut values = Vec::new();
        self.shard().lock().each(|_, value| values.push(value));
        for value in values {
            // SAFETY: the value was boxed by `insert` or `replace`, and the exclusive borrow of the table excludes
            // readers.
            drop(unsafe { Box::from_raw(value.as_ptr()) });
        }
        // SAFETY: the exclusive borrow of the table excludes other threads, and the table is not used after the drop.
        unsafe { self.shard().free() };
    }
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    model_with_preemptions(3, run);
}

fn model_with_preemptions(most: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(most);
    builder.check(run);
}

/// Makes a shard with the given keys.
fn with(keys: &[usize]) -> Arc<Table> {
    let shard = Table::default();
    for &key in keys {
        shard.insert(key, Value::of(key));
    }
    Arc::new(shard)
}

/// Returns whether the lookup finds the key. Asserts that the value is fully initialised, and belongs to the key.
fn finds(shard: &Table, key: usize) -> bool {
    // SAFETY: only `Value::of` writes to `key`, before the insertion.
    shard.find(key).map(|value| value.key.with(|found| unsafe { assert_eq!(*found, key) })).is_some()
}

/// As [`finds`], for a key that a writer removes meanwhile by [`Table::remove_counted`].
fn finds_counted(shard: &Table, key: usize) -> bool {
    // SAFETY: the value was boxed by `insert`. A box from `remove_counted` is dropped only when no reader is left.
    let value = shard.shard().find_counted(key, hash(key)).map(|value| unsafe { value.as_ref() });
    // SAFETY: only `Value::of` writes to `key`, before the insertion.
    value.map(|value| value.key.with(|found| unsafe { assert_eq!(*found, key) })).is_some()
}

fn beside<R: 'static>(shard: &Arc<Table>, run: impl FnOnce(&Table) -> R + 'static) -> thread::JoinHandle<R> {
    let shard = Arc::clone(shard);
    thread::spawn(move || run(&shard))
}

/// Outcomes: the reader finds the key or not. After the insertion, every lookup finds the key.
#[test]
fn a_key_is_looked_for_while_it_is_inserted() {
    model(|| {
        let keys = Table::keys(2, false);
        let (there, new) = (keys[0], keys[1]);
        let shard = with(&[there]);
        let writer = beside(&shard, move |shard| shard.insert(new, Value::of(new)));
        let reader = beside(&shard, move |shard| {
            finds(shard, new);
        });
        assert!(finds(&shard, there));
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(finds(&shard, new));
    });
}

/// Outcomes: after one lookup of a thread has found a key, each later lookup of the thread finds the key. This holds
/// also for a lookup that reaches the slot through a stale tag, before the insertion is complete.
#[test]
fn a_key_that_was_found_while_it_is_inserted_is_found_again() {
    model(|| {
        let [gone, new] = Table::keys_alike();
        let shard = with(&[gone]);
        let writer = beside(&shard, move |shard| {
            assert!(shard.remove(gone).is_some());
            shard.insert(new, Value::of(new));
        });
        let reader = beside(&shard, move |shard| assert!(!finds(shard, new) || finds(shard, new)));
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(finds(&shard, new));
    });
}

/// Outcomes: the reader finds a present key, in the old or the new array, and finds the new key or not.
#[test]
fn keys_are_looked_for_while_the_array_is_replaced_by_a_larger_one() {
    model(|| {
        let keys = [Table::keys(3, false), Table::keys(4, true)].concat();
        let shard = with(&keys[..6]);
        let (there, new) = (keys[1], keys[6]);
        let writer = beside(&shard, move |shard| shard.insert(new, Value::of(new)));
        let reader = beside(&shard, move |shard| {
            assert!(finds(shard, there));
            finds(shard, new);
        });
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(keys.iter().all(|&key| finds(&shard, key)));
    });
}

/// Outcomes: both writers find the array full, and allocate. One writer replaces the array; the other writer finds the
/// replaced array, frees its own array, and has room. All old keys and both new keys are present.
#[test]
fn two_keys_are_inserted_where_the_array_is_full() {
    model(|| {
        let keys = [Table::keys(4, false), Table::keys(4, true)].concat();
        let shard = with(&keys[..6]);
        let writers = [6, 7].map(|index| {
            let new = keys[index];
            beside(&shard, move |shard| {
                shard.insert(new, Value::of(new));
                assert!(finds(shard, new));
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(keys.iter().all(|&key| finds(&shard, key)));
        assert_eq!(shard.entries(), 8);
        assert_eq!((shard.groups(), shard.arrays()), (4, 2), "grown by one of the two");
    });
}

/// Outcomes: a thread removes one key and inserts another key before, during or after the allocation by a writer. In
/// each case the first key is removed and not copied to the new array, and the second key is present.
#[test]
fn one_key_is_removed_and_one_inserted_while_the_array_is_replaced_by_a_larger_one() {
    model(|| {
        let keys = [Table::keys(4, false), Table::keys(4, true)].concat();
        let shard = with(&keys[..6]);
        let (gone, new, other) = (keys[0], keys[6], keys[7]);
        let writer = beside(&shard, move |shard| shard.insert(new, Value::of(new)));
        let remover = beside(&shard, move |shard| {
            assert!(shard.remove(gone).is_some());
            shard.insert(other, Value::of(other));
        });
        writer.join().unwrap();
        remover.join().unwrap();
        assert!(!finds(&shard, gone));
        assert!(keys[1..].iter().all(|&key| finds(&shard, key)));
        assert_eq!((shard.entries(), shard.groups(), shard.arrays()), (7, 4, 2));
    });
}

/// Outcomes: a lookup always finds a key that moves back (backward-shift deletion) after the removal of another key of
/// the same home group.
#[test]
fn a_key_is_looked_for_while_it_moves_back() {
    model(|| {
        // Four keys fill the group; the fifth key is in the next group.
        let keys = Table::keys(5, false);
        let shard = with(&keys);
        let (gone, moved) = (keys[0], keys[4]);
        let writer = beside(&shard, move |shard| assert!(shard.remove(gone).is_some()));
        let reader = beside(&shard, move |shard| assert!(finds(shard, moved)));
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(finds(&shard, moved) && !finds(&shard, gone));
    });
}

/// Outcomes: a lookup always finds a key that moves back from two groups beyond the home group to the next group. The
/// reader's probe sequence includes the groups in between, so the reader's load in the last group does not order the
/// loads in the groups before.
#[test]
fn a_key_is_looked_for_while_it_moves_back_from_further_on() {
    model(|| {
        // More than six keys need four groups. Eight keys of the first group fill the first and the second group; the
        // ninth key is in the third.
        let keys = Table::keys_of_four(9, 0);
        let shard = with(&keys);
        let (gone, moved) = (keys[4], keys[8]);
        let writer = beside(&shard, move |shard| assert!(shard.remove(gone).is_some()));
        let reader = beside(&shard, move |shard| assert!(finds(shard, moved)));
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(finds(&shard, moved) && !finds(&shard, gone));
    });
}

/// Outcomes: a writer gives the slot of a key that has moved back to another key. The reader finds each key with the
/// key's own value.
#[test]
fn a_slot_is_looked_at_while_it_gets_another_key() {
    model(|| {
        let keys = Table::keys(5, false);
        let other = Table::keys(1, true)[0];
        let shard = with(&keys);
        let (gone, moved) = (keys[0], keys[4]);
        let writer = beside(&shard, move |shard| {
            assert!(shard.remove(gone).is_some());
            shard.insert(other, Value::of(other));
        });
        let reader = beside(&shard, move |shard| assert!(finds(shard, moved)));
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(finds(&shard, moved) && finds(&shard, other));
    });
}

/// Looks `key` up while a writer gives the slot of `key` to `other`, and back.
fn look_while_the_slot_is_lent(shard: &Arc<Table>, key: usize, other: usize) {
    let writer = beside(shard, move |shard| {
        let first = shard.remove_counted(key);
        shard.insert(other, Value::of(other));
        let second = shard.remove_counted(other);
        shard.insert(key, Value::of(key));
        [first, second]
    });
    let reader = beside(shard, move |shard| finds_counted(shard, key));
    let removed = writer.join().unwrap();
    reader.join().unwrap();
    assert!(finds_counted(shard, key) && !finds_counted(shard, other));
    drop(removed);
}

/// Outcomes: the reader finds the key with the key's own value, or not. The slot of the key is another key's for a
/// while. At most two preemptions: a third takes a minute, and every step left out fails with two.
#[test]
fn a_key_is_looked_for_while_its_slot_is_another_keys_for_a_while() {
    model_with_preemptions(2, || {
        let [key, other] = Table::keys_alike();
        let shard = with(&[key]);
        look_while_the_slot_is_lent(&shard, key, other);
    });
}

/// Outcomes: the reader finds the key with the key's own value, or not. A key that has overflowed moves to the slot of
/// the removed key.
#[test]
fn a_key_is_looked_for_while_it_is_removed_and_another_moves_to_its_slot() {
    model(|| {
        let keys = Table::keys(5, false);
        let shard = with(&keys);
        let (gone, moved) = (keys[0], keys[4]);
        let writer = beside(&shard, move |shard| shard.remove_counted(gone));
        let reader = beside(&shard, move |shard| finds_counted(shard, gone));
        let removed = writer.join().unwrap();
        reader.join().unwrap();
        assert!(finds_counted(&shard, moved) && !finds_counted(&shard, gone));
        drop(removed);
    });
}

/// Outcomes: as before, for a key outside of its home group. The key is removed and inserted again in the same slot, so
/// the two loads of the key that belong to a lookup there do not show the other key in between.
#[test]
fn a_key_that_has_overflowed_is_looked_for_while_its_slot_is_another_keys_for_a_while() {
    model(|| {
        let keys = Table::keys(5, false);
        let (key, other) = (keys[4], Table::keys(1, true)[0]);
        let shard = with(&keys);
        look_while_the_slot_is_lent(&shard, key, other);
    });
}

/// Outcomes: the reader, which has seen the removal, finds no key, whatever the slot has meanwhile.
#[test]
fn a_key_that_is_seen_to_be_removed_is_not_found() {
    model(|| {
        let [key, other] = Table::keys_alike();
        let shard = with(&[key]);
        let seen = Arc::new(AtomicUsize::new(0));
        let writer = beside(&shard, {
            let seen = Arc::clone(&seen);
            move |shard| {
                let removed = shard.remove_counted(key);
                seen.store(1, Ordering::Release);
                shard.insert(other, Value::of(other));
                removed
            }
        });
        let reader = beside(&shard, move |shard| {
            let was_seen = seen.load(Ordering::Acquire) == 1;
            assert!(!(finds_counted(shard, key) && was_seen));
        });
        let removed = writer.join().unwrap();
        reader.join().unwrap();
        drop(removed);
    });
}

/// Outcomes: a lookup always finds a key that moves back. This holds also for a reader to which the group that the key
/// left shows only the overflow bit of another key, inserted later beyond the group.
#[test]
fn a_key_is_looked_for_while_the_group_that_it_has_left_overflows() {
    model(|| {
        // More than six keys need four groups. The fifth key of the first group fills the second group, together with
        // three keys of the second group.
        let (first, second) = (Table::keys_of_four(5, 0), Table::keys_of_four(5, 1));
        let shard = with(&[&first[..], &second[..3]].concat());
        let (gone, moved) = (first[0], first[4]);
        let (fills, overflows) = (second[3], second[4]);
        let writer = beside(&shard, move |shard| {
            assert!(shard.remove(gone).is_some());
            shard.insert(fills, Value::of(fills));
            shard.insert(overflows, Value::of(overflows));
        });
        let reader = beside(&shard, move |shard| assert!(finds(shard, moved)));
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(finds(&shard, moved) && finds(&shard, fills) && finds(&shard, overflows) && !finds(&shard, gone));
    });
}

/// Outcomes: a lookup never finds an absent key, whichever keys move.
#[test]
fn an_absent_key_is_looked_for_while_others_move() {
    model(|| {
        let keys = Table::keys(6, false);
        let shard = with(&keys[..5]);
        let (gone, absent) = (keys[0], keys[5]);
        let writer = beside(&shard, move |shard| assert!(shard.remove(gone).is_some()));
        let reader = beside(&shard, move |shard| assert!(!finds(shard, absent)));
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

/// Outcomes: the reader finds the first or the second value, fully initialised.
#[test]
fn a_key_is_looked_for_while_its_value_is_replaced() {
    model(|| {
        let key = Table::keys(1, false)[0];
        let shard = with(&[key]);
        let reader = beside(&shard, move |shard| assert!(finds(shard, key)));
        let first = shard.replace(key, Value::of(key));
        reader.join().unwrap();
        drop(first);
    });
}

/// Outcomes: both keys are inserted, in either order.
#[test]
fn two_writers_insert() {
    model(|| {
        let keys = Table::keys(2, false);
        let shard = with(&[]);
        let (mine, other) = (keys[0], keys[1]);
        let writer = beside(&shard, move |shard| shard.insert(other, Value::of(other)));
        shard.insert(mine, Value::of(mine));
        writer.join().unwrap();
        assert!(finds(&shard, mine) && finds(&shard, other));
    });
}

/// Outcomes: one key is removed and the other key inserted, in either order.
#[test]
fn one_writer_inserts_and_one_removes() {
    model(|| {
        let keys = Table::keys(6, false);
        let shard = with(&keys[..5]);
        let (gone, new) = (keys[1], keys[5]);
        let writer = beside(&shard, move |shard| assert!(shard.remove(gone).is_some()));
        shard.insert(new, Value::of(new));
        writer.join().unwrap();
        assert!(!finds(&shard, gone));
        assert!(keys.iter().all(|&key| key == gone || finds(&shard, key)));
    });
}
