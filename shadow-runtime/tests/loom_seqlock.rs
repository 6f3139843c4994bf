//! Loom models of the seqlock of `get_or_update(copy)` fields (`seqlock/sequence.rs`).
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_seqlock
//! ```
//!
//! In: threads that read and update fields. Out: an error for a torn value, a lost update, or a missing happens-before
//! edge. Loom runs all interleavings with at most two preemptions.
//!
//! The reader has a thread of its own: loom does not run some of the interleavings of the model's main thread. Each
//! ordering of the table, alone weakened to `Relaxed` or left out, fails at least the named model:
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | `read`, the number, `Acquire` (Q5) | `a_reader_sees_the_first_value_whole` |
//! | `read_unchecked`, the number, `Acquire` (Q5) | `a_reader_by_the_mark_sees_one_of_two_updates_whole` |
//! | `read_words`, the number again, `Acquire` (Q5) | `a_reader_sees_one_of_two_updates_whole` |
//! | `write_copy`, the number, `Release` (Q5) | `a_reader_sees_the_first_value_whole` |
//! | `read_words`, the fence; the second look (Q6) | `a_reader_sees_one_of_two_updates_whole` |
//! | `write_copy`, the fence (Q6) | `a_reader_by_the_mark_sees_one_of_two_updates_whole` |
//! | a word of its own, `Acquire` or `Release` (Q7) | `a_reader_sees_one_of_the_updates_of_a_word` |
//! | `side`, `Acquire`; `make_side`, `Release` | `an_update_is_made_of_one_on_its_way` |
//! | the lock, in `replace` | `two_writers_attach` |
//! | the lock, in `replace_version` | `two_writers_count` |
//! | `replace_version`, the comparison | `two_writers_count` |
//! | `replace_version`, the next even number | `an_update_is_made_of_one_on_its_way` |
//! | `write`, the write to the backup | `a_reader_sees_one_of_two_updates_whole` |
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use shadow_runtime::{Shadow, ShadowFields};

/// Two words that are equal in every valid value.
type Pair = [usize; 2];

#[derive(Shadow, Default)]
#[shadow_field(get_or_update(copy) word: usize)]
#[shadow_field(get_or_update(copy) pair: Pair)]
struct Host {
    shadow: ShadowFields,
}

/// A host whose pair is the first field, which has the first-ready mark (N4).
#[derive(Shadow, Default)]
#[shadow_field(get_or_update(copy) pair: Pair)]
struct Marked {
    shadow: ShadowFields,
}

/// A host, and a number that a writer stores before each update. A reader of the update must see the number (Q5, Q7).
#[derive(Default)]
struct Model {
    host: Host,
    before: AtomicU64,
}

impl Model {
    fn write_pair(&self, number: usize) -> Option<usize> {
        self.before.store(number as u64, Ordering::Relaxed);
        self.host.update_pair([number; 2]).map(agreed)
    }

    fn write_word(&self, number: usize) -> Option<usize> {
        self.before.store(number as u64, Ordering::Relaxed);
        self.host.update_word(number)
    }

    /// Asserts that the writer's store before the update is visible to the reader of `number`.
    fn said(&self, number: Option<usize>) -> usize {
        let number = number.unwrap_or(0);
        assert!(self.before.load(Ordering::Relaxed) >= number as u64);
        number
    }

    fn read_pair(&self) -> usize {
        self.said(self.host.pair().map(agreed))
    }

    /// Reads twice: a number in the range, and then no older number.
    fn reads_pairs(&self, first: usize, last: usize) {
        let seen = self.read_pair();
        assert!((first..=last).contains(&seen) && self.read_pair() >= seen);
    }

    fn read_word(&self) -> usize {
        self.said(self.host.word())
    }
}

fn agreed([one, other]: Pair) -> usize {
    assert_eq!(one, other, "half of an update");
    one
}

/// Runs all interleavings with at most two preemptions: an update has two steps.
fn model(body: impl Fn(&Arc<Model>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || body(&Arc::new(Model::default())));
}

fn spawn<R: 'static>(model: &Arc<Model>, body: impl FnOnce(&Model) -> R + 'static) -> thread::JoinHandle<R> {
    let model = Arc::clone(model);
    thread::spawn(move || body(&model))
}

/// Outcomes: the reader sees no value, or the whole first value.
#[test]
fn a_reader_sees_the_first_value_whole() {
    model(|model| {
        // The field set already exists, so its publication does not order the writer and the reader.
        model.host.update_word(0);
        let reader = spawn(model, |model| assert!(model.read_pair() <= 1));
        let writer = spawn(model, |model| model.write_pair(1));
        reader.join().unwrap();
        assert_eq!(writer.join().unwrap(), None);
        assert_eq!(model.read_pair(), 1);
    });
}

/// Outcomes: the reader sees one of the values, whole, and never an older value afterwards. The second of the two
/// updates writes to the words that a slow reader still reads.
#[test]
fn a_reader_sees_one_of_two_updates_whole() {
    model(|model| {
        model.write_pair(1);
        model.write_pair(2);
        let writer = spawn(model, |model| (model.write_pair(3), model.write_pair(4)));
        let reader = spawn(model, |model| model.reads_pairs(2, 4));
        reader.join().unwrap();
        assert_eq!(writer.join().unwrap(), (Some(2), Some(3)));
    });
}

/// Outcomes: the reader sees one of the values, whole, and never an older value afterwards. The first value is in
/// `primary`, and no update has stored a value in `backup` yet.
#[test]
fn a_reader_sees_the_first_value_or_one_of_two_updates() {
    model(|model| {
        model.write_pair(1);
        let writer = spawn(model, |model| (model.write_pair(2), model.write_pair(3)));
        let reader = spawn(model, |model| model.reads_pairs(1, 3));
        reader.join().unwrap();
        assert_eq!(writer.join().unwrap(), (Some(1), Some(2)));
    });
}

/// Outcomes: the reader sees a whole value. Two threads make the two updates, so only the writers' lock orders the
/// updates.
#[test]
fn a_reader_sees_one_of_the_updates_of_two_writers_whole() {
    model(|model| {
        model.host.update_pair([1; 2]);
        model.host.update_pair([2; 2]);
        let writers = [3, 4].map(|number| spawn(model, move |model| model.host.update_pair([number; 2]).map(agreed)));
        let seen = model.host.pair().map_or(0, agreed);
        assert!((2..=4).contains(&seen));
        let previous = writers.map(|writer| writer.join().unwrap());
        let last = model.host.pair().map(agreed);
        assert!([[Some(2), Some(3)], [Some(4), Some(2)]].contains(&previous) && last != Some(2));
        assert_eq!(last, if previous[0] == Some(2) { Some(4) } else { Some(3) });
    });
}

/// Outcomes: one of two first updates attaches, and the other update replaces the value.
#[test]
fn two_writers_attach() {
    model(|model| {
        let other = spawn(model, |model| model.host.update_pair([1; 2]).map(agreed));
        let mine = model.host.update_pair([2; 2]).map(agreed);
        let previous = (mine, other.join().unwrap());
        let last = model.host.pair().map(agreed);
        assert!([((None, Some(2)), Some(1)), ((Some(1), None), Some(2))].contains(&(previous, last)));
    });
}

/// Outcomes: no increment is lost.
#[test]
fn two_writers_count() {
    model(|model| {
        let count = |model: &Model| {
            model.host.update_word_with(|last| last.map_or(1, |last| last + 1));
            model.host.update_pair_with(|last| last.map_or([1; 2], |last| last.map(|word| word + 1)));
        };
        let other = spawn(model, count);
        count(model);
        other.join().unwrap();
        assert_eq!((model.host.word(), model.host.pair()), (Some(2), Some([2; 2])));
    });
}

/// Outcomes: the reader of a one-word field sees no value, or one of the values with the writer's preceding store, and
/// never an older value afterwards.
#[test]
fn a_reader_sees_one_of_the_updates_of_a_word() {
    model(|model| {
        let writer = spawn(model, |model| (model.write_word(1), model.write_word(2), model.write_word(3)));
        let reader = spawn(model, |model| {
            let seen = model.read_word();
            assert!(seen <= 3 && model.read_word() >= seen);
        });
        reader.join().unwrap();
        assert_eq!(writer.join().unwrap(), (None, Some(1), Some(2)));
        assert_eq!(model.read_word(), 3);
    });
}

/// Outcomes: both writers find no side buffer, and allocate one. One of the two allocations is freed again.
#[test]
fn two_writers_make_room() {
    model(|model| {
        model.host.update_pair([1; 2]);
        let writers = [2, 3].map(|number| spawn(model, move |model| model.host.update_pair([number; 2]).map(agreed)));
        let previous = writers.map(|writer| writer.join().unwrap());
        assert!([[Some(1), Some(2)], [Some(3), Some(1)]].contains(&previous));
    });
}

/// Outcomes: a closure gets the value of an update whose second step is missing. The closure's update then counts as
/// made from the complete update: the closure does not run for the same value again.
#[test]
fn an_update_is_made_of_one_on_its_way() {
    model(|model| {
        model.host.update_pair([1; 2]);
        let writer = spawn(model, |model| model.host.update_pair([5; 2]).map(agreed));
        let counter = spawn(model, |model| {
            let mut seen = Vec::new();
            let previous = model.host.update_pair_with(|last| {
                seen.push(last.map_or(0, |last| agreed(*last)));
                last.map_or([0; 2], |[one, other]| [one + 1, other + 1])
            });
            assert!([vec![1], vec![5], vec![1, 5]].contains(&seen));
            previous.map(agreed)
        });
        let outcome = (writer.join().unwrap(), counter.join().unwrap(), model.host.pair().map(agreed));
        assert!([(Some(1), Some(5), Some(6)), (Some(2), Some(1), Some(5))].contains(&outcome));
    });
}

/// Outcomes: a reader that uses the first-ready mark sees one of the values, whole, and never an older value
/// afterwards.
#[test]
fn a_reader_by_the_mark_sees_one_of_two_updates_whole() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let host = Arc::new(Marked::default());
        host.update_pair([1; 2]);
        let writer = thread::spawn({
            let host = Arc::clone(&host);
            move || (host.update_pair([2; 2]).map(agreed), host.update_pair([3; 2]).map(agreed))
        });
        let reader = thread::spawn(move || {
            let seen = host.pair().map_or(0, agreed);
            assert!((1..=3).contains(&seen) && host.pair().map_or(0, agreed) >= seen);
        });
        reader.join().unwrap();
        assert_eq!(writer.join().unwrap(), (Some(1), Some(2)));
    });
}
