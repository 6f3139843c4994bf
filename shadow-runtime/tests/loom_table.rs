//! Loom models of one shard of a side table (`side_table/shard.rs`), in all interleavings with at most three
//! preemptions.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_table
//! ```
//!
//! In: readers that look keys up while writers insert, remove, move and grow. Out: an error for a data race, a wrong
//! value or a missed key.
//!
//! The value of a key contains a loom `UnsafeCell`, to which the constructor writes. Loom reports a data race if a
//! reader's lookup is not ordered after the constructor. An assertion fails if a reader finds the value of another key.
//! Each `Acquire` and each `Release` of `side_table/shard.rs` and `side_table/shard/writer.rs`, alone weakened to
//! `Relaxed`, fails one of these models:
//!
//! | ordering | model that fails |
//! |---|---|
//! | `Current::array`, `Acquire`; `replace_array`, `Release` | `keys_are_looked_for_while_the_array_is_replaced_by_a_larger_one` |
//! | `search`, the count of moves, `Acquire`; `move_back`, that, `Release` | `a_key_is_looked_for_while_it_moves_back_from_further_on` |
//! | `look_in`, tags, `Acquire`; `make_vacant`, tags, `Release` | `a_key_is_looked_for_while_it_moves_back` |
//! | `value_at_home`, key, `Acquire`; `fill`, key, `Release` | `a_key_is_looked_for_while_it_moves_back` |
//! | `value_at_home`, value, `Acquire`; `replace`, `Release` | `a_key_is_looked_for_while_its_value_is_replaced` |
//! | `value_of`, key, `Acquire`; `take_away`, `NOBODY`, `Release` | `a_key_is_looked_for_while_it_moves_back` |
//! | `value_of`, value, `Acquire`; `fill`, value, `Release` | `a_slot_is_looked_at_while_it_gets_another_key` |
//! | `value_of`, the key again, `Acquire` | `a_key_is_looked_for_while_it_moves_back_from_further_on` |
//! | `put`, tags, `Release` | `a_key_is_looked_for_while_the_group_that_it_has_left_is_passed` |
//! | `fill`, tags, `Release` | `a_slot_is_looked_at_while_it_gets_another_key` |
//!
//! The allocator runs while the shard is unlocked. Each step of the next table, left out of `make_room`, fails a model:
//!
//! | left out | model that fails |
//! |---|---|
//! | the look at whether it is due, under the lock | `two_keys_are_inserted_where_the_array_is_full` |
//! | the lock, around copy and store | `one_key_is_removed_and_one_inserted_while_the_array_is_replaced_by_a_larger_one` |
//!
//! If `fill` stores the key before the tags, `a_key_that_was_found_while_it_is_inserted_is_found_again` fails.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use shadow_runtime::__private::modelled::Table;

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

type Shard = Table<Value>;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Makes a shard with the given keys.
fn with(keys: &[usize]) -> Arc<Shard> {
    let shard = Shard::default();
    for &key in keys {
        shard.insert(key, Value::of(key));
    }
    Arc::new(shard)
}

/// Returns whether the lookup finds the key. Asserts that the value is fully initialised, and belongs to the key.
fn finds(shard: &Shard, key: usize) -> bool {
    // SAFETY: only `Value::of` writes to `key`, before the insertion.
    shard.find(key).map(|value| value.key.with(|found| unsafe { assert_eq!(*found, key) })).is_some()
}

fn beside<R: 'static>(shard: &Arc<Shard>, run: impl FnOnce(&Shard) -> R + 'static) -> thread::JoinHandle<R> {
    let shard = Arc::clone(shard);
    thread::spawn(move || run(&shard))
}

/// Outcomes: the reader finds the key or not. After the insertion, every lookup finds the key.
#[test]
fn a_key_is_looked_for_while_it_is_inserted() {
    model(|| {
        let keys = Shard::keys(2, false);
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
        let [gone, new] = Shard::keys_alike();
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
        let keys = [Shard::keys(3, false), Shard::keys(4, true)].concat();
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
        let keys = [Shard::keys(4, false), Shard::keys(4, true)].concat();
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
        let keys = [Shard::keys(4, false), Shard::keys(4, true)].concat();
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
        let keys = Shard::keys(5, false);
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
        let keys = Shard::keys_of_four(9, 0);
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
        let keys = Shard::keys(5, false);
        let other = Shard::keys(1, true)[0];
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

/// Outcomes: a lookup always finds a key that moves back. This holds also for a reader to which the group that the key
/// left shows only the overflow bit of another key, inserted later beyond the group.
#[test]
fn a_key_is_looked_for_while_the_group_that_it_has_left_is_passed() {
    model(|| {
        // More than six keys need four groups. The fifth key of the first group fills the second group, together with
        // three keys of the second group.
        let (first, second) = (Shard::keys_of_four(5, 0), Shard::keys_of_four(5, 1));
        let shard = with(&[&first[..], &second[..3]].concat());
        let (gone, moved) = (first[0], first[4]);
        let (fills, passes) = (second[3], second[4]);
        let writer = beside(&shard, move |shard| {
            assert!(shard.remove(gone).is_some());
            shard.insert(fills, Value::of(fills));
            shard.insert(passes, Value::of(passes));
        });
        let reader = beside(&shard, move |shard| assert!(finds(shard, moved)));
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(finds(&shard, moved) && finds(&shard, fills) && finds(&shard, passes) && !finds(&shard, gone));
    });
}

/// Outcomes: a lookup never finds an absent key, whichever keys move.
#[test]
fn an_absent_key_is_looked_for_while_others_move() {
    model(|| {
        let keys = Shard::keys(6, false);
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
        let key = Shard::keys(1, false)[0];
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
        let keys = Shard::keys(2, false);
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
        let keys = Shard::keys(6, false);
        let shard = with(&keys[..5]);
        let (gone, new) = (keys[1], keys[5]);
        let writer = beside(&shard, move |shard| assert!(shard.remove(gone).is_some()));
        shard.insert(new, Value::of(new));
        writer.join().unwrap();
        assert!(!finds(&shard, gone));
        assert!(keys.iter().all(|&key| key == gone || finds(&shard, key)));
    });
}
