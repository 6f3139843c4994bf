//! Models of `side_table/shard.rs`, whose every interleaving loom runs, up to three preemptions:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_table
//! ```
//!
//! The value of a key has a cell of loom's, which is written when the value is made: a reader that finds a value before
//! it is made is an error. A reader that finds the value of another key fails an assertion. Each `Acquire` and each
//! `Release` of `side_table/shard.rs` and `side_table/shard/writer.rs`, weakened to `Relaxed` alone, fails one of these
//! models:
//!
//! | ordering | model that fails |
//! |---|---|
//! | `Current::array`, `Acquire`; `grow`, `Release` | `keys_are_looked_for_while_the_array_is_replaced_by_a_larger_one` |
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
//! The allocator runs while the shard is not locked. Each of these, left out of `make_room`, fails a model:
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

// SAFETY: `key` is written where the value is made, and only read after that, which is what the models check.
unsafe impl Sync for Value {}

impl Value {
    fn of(key: usize) -> Self {
        let value = Self { key: UnsafeCell::new(0) };
        // SAFETY: nobody else has it yet.
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

/// A shard with these keys.
fn with(keys: &[usize]) -> Arc<Shard> {
    let shard = Shard::default();
    for &key in keys {
        shard.insert(key, Value::of(key));
    }
    Arc::new(shard)
}

/// Whether the key is found; if so, its value is its own, as it was made.
fn finds(shard: &Shard, key: usize) -> bool {
    // SAFETY: nobody writes to it any more.
    shard.find(key).map(|value| value.key.with(|found| unsafe { assert_eq!(*found, key) })).is_some()
}

fn beside<R: 'static>(shard: &Arc<Shard>, run: impl FnOnce(&Shard) -> R + 'static) -> thread::JoinHandle<R> {
    let shard = Arc::clone(shard);
    thread::spawn(move || run(&shard))
}

/// Outcomes: the reader finds it or not; when the writer is done it is there.
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

/// Outcomes: whoever has found a key finds it from then on, also who has seen the tag that its slot had before, and so
/// has found it before the insert was done.
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

/// Outcomes: a key that is there is found, whichever array the reader has; the new one is found or not.
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

/// Outcomes: both find the array full, and allocate; one replaces it, the other finds it replaced, frees its own and
/// finds room. Both keys are there, and those that were.
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

/// Outcomes: a key is removed and another inserted before a writer allocates, meanwhile, or after; either way the first
/// is gone, and is not copied to the new array, and the second is there.
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

/// Outcomes: a key that moves back, because another of its home group is removed, is always found.
#[test]
fn a_key_is_looked_for_while_it_moves_back() {
    model(|| {
        // Four fill the group, the fifth is in the next.
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

/// Outcomes: a key that is two groups from its home, and moves back to the next one, is always found. The reader passes
/// the groups in between, so that what it has seen of the last does not order what it has seen of those.
#[test]
fn a_key_is_looked_for_while_it_moves_back_from_further_on() {
    model(|| {
        // For more than six there are four groups. Eight keys of the first fill that and the second; the ninth is in
        // the third.
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

/// Outcomes: the slot of a key that moves back is given to another key meanwhile; each is found with its own value.
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

/// Outcomes: a key that moves back is always found, also by a reader to whom the group that it has left shows no more
/// than the mark of another key, which has passed it later.
#[test]
fn a_key_is_looked_for_while_the_group_that_it_has_left_is_passed() {
    model(|| {
        // For more than six there are four groups. The fifth key of the first fills the second, with three of its own.
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

/// Outcomes: an absent key is not found, whatever moves.
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

/// Outcomes: the first value is found, or the second, each as it was made.
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

/// Outcomes: both have inserted, in either order.
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

/// Outcomes: one is gone and the other there, in either order.
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
