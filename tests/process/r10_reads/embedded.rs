//! Rule R10 for embedded hosts and `Shadowed`: reads take no lock. A thread stopped inside of any operation on a host
//! blocks no reader of the host. `raw.rs` has the tests for raw objects.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

use support::{in_the_middle_of, never_hangs};

#[derive(Shadow, Default)]
#[shadow_field(attach once: u32)]
#[shadow_field(get_or_attach made: AtomicU32)]
#[shadow_field(get_or_update newest: Pair)]
#[shadow_field(get_or_update(copy) copied: Four)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait Later for Task { attach later: u32; get_or_attach much_later: AtomicU32; }
    trait OwnedFields for Shadowed<u32> { attach once: u32; get_or_attach made: AtomicU32; get_or_update newest: Pair; }
    trait CopiedFields for Shadowed<u32> { get_or_update(copy) word: u32; get_or_update(copy) copied: Four; }
}

/// Larger than the value of one atomic store.
type Four = [u64; 4];

#[derive(Clone, Copy, PartialEq, Debug)]
struct Pair(u32, u32);

#[test]
fn a_field_can_be_looked_at_while_its_initialiser_runs() {
    let task = Task::default();
    task.attach_once(1).unwrap();
    task.update_newest(Pair(1, 2));
    in_the_middle_of(
        |stay| {
            task.get_or_attach_made(|| {
                stay();
                AtomicU32::new(3)
            });
        },
        || {
            assert!(task.peek_made().is_none());
            assert_eq!((task.once(), task.newest()), (Some(&1), Some(Pair(1, 2))));
            assert!(task.later().is_none());
            assert_eq!(format!("{:?}", task.shadow), r#"ShadowFields {"once", "newest"}"#);
        },
    );
    assert_eq!(task.made().load(Ordering::Relaxed), 3);
}

#[test]
fn a_field_can_be_read_while_an_update_of_it_is_made() {
    let task = Task::default();
    task.update_newest(Pair(1, 2));
    in_the_middle_of(
        |stay| {
            task.update_newest_with(|before| {
                stay();
                Pair(before.unwrap().1, 9)
            });
        },
        || assert_eq!(task.newest(), Some(Pair(1, 2))),
    );
    assert_eq!(task.newest(), Some(Pair(2, 9)));
}

#[test]
fn a_field_can_be_read_and_replaced_while_somebody_clones_it() {
    struct Slow(u32, Option<mpsc::Sender<()>>, Option<mpsc::Receiver<()>>);
    type Shared = std::sync::Mutex<Slow>;
    struct Value(std::sync::Arc<Shared>, u32);
    impl Clone for Value {
        fn clone(&self) -> Self {
            // Only the first clone blocks.
            let mut slow = self.0.lock().unwrap();
            slow.0 += 1;
            let (arrive, may_go_on) = (slow.1.take(), slow.2.take());
            drop(slow);
            if let (Some(arrive), Some(may_go_on)) = (arrive, may_go_on) {
                arrive.send(()).unwrap();
                may_go_on.recv().unwrap();
            }
            Self(std::sync::Arc::clone(&self.0), self.1)
        }
    }
    shadow! { trait SlowFields for Shadowed<u32> { get_or_update slow: Value; } }
    never_hangs(|| {
        let (arrive, arrived) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let slow = std::sync::Arc::new(Shared::new(Slow(0, Some(arrive), Some(may_go_on))));
        let host = Shadowed::new(1_u32);
        host.update_slow(Value(std::sync::Arc::clone(&slow), 1));
        thread::scope(|scope| {
            let reader = scope.spawn(|| host.slow().unwrap().1);
            arrived.recv().unwrap();
            assert_eq!(host.slow().unwrap().1, 1);
            host.update_slow(Value(std::sync::Arc::clone(&slow), 2));
            assert_eq!(host.slow().unwrap().1, 2);
            go_on.send(()).unwrap();
            assert_eq!(reader.join().unwrap(), 1);
        });
    });
}

/// Stops a thread by a signal, at an arbitrary instruction.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod stopping {
    use std::sync::atomic::AtomicUsize;

    use super::{AtomicU32, CopiedFields, Later, Ordering, OwnedFields, Pair, Shadowed, Task};
    use support::stopping::stopped_anywhere;

    struct World {
        task: Task,
        owned: Shadowed<u32>,
        /// Hosts that get their first fields while the main thread reads the fields.
        fresh: Vec<Task>,
        next: AtomicUsize,
    }

    impl World {
        fn new() -> Self {
            let world = Self {
                task: Task::default(),
                owned: Shadowed::new(1),
                fresh: (0..50_000).map(|_| Task::default()).collect(),
                next: AtomicUsize::new(0),
            };
            world.task.attach_once(1).unwrap();
            world.task.attach_later(2).unwrap();
            world.task.made();
            world.task.much_later();
            world.task.update_newest(Pair(0, 0));
            world.task.update_copied([0; 4]);
            world.owned.attach_once(3).unwrap();
            world.owned.made();
            world.owned.update_newest(Pair(0, 0));
            world.owned.update_copied([0; 4]);
            world.owned.update_word(0);
            world
        }

        /// Every operation on a shared host.
        fn work(&self, round: u32) {
            self.task.update_newest(Pair(round, round));
            self.owned.update_newest(Pair(round, round));
            self.task.update_copied([round.into(); 4]);
            self.task.update_copied_with(|_| [round.into(); 4]);
            self.owned.update_copied([round.into(); 4]);
            self.owned.update_word(round);
            self.task.update_newest_with(|_| Pair(round, round));
            assert!(self.task.attach_once(9).is_err() && self.task.attach_later(9).is_err());
            self.read();
            let next = self.next.load(Ordering::Relaxed);
            if let Some(task) = self.fresh.get(next) {
                task.attach_later(5).unwrap();
                task.made();
                task.update_newest(Pair(round, round));
                task.update_copied([round.into(); 4]);
                task.attach_once(6).unwrap();
                self.next.store(next + 1, Ordering::Relaxed);
            }
        }

        /// Every way to read. Allocates no memory, since the worker may have stopped inside of the allocator.
        fn read(&self) {
            let Some(Pair(one, other)) = self.task.newest() else { panic!("it is attached") };
            assert_eq!(one, other);
            assert_eq!((self.task.once(), self.task.later()), (Some(&1), Some(&2)));
            assert!(self.task.peek_made().is_some() && self.task.peek_much_later().is_some());
            assert_eq!(self.task.made().load(Ordering::Relaxed), 0);
            assert_eq!(self.task.get_or_attach_much_later(AtomicU32::default).load(Ordering::Relaxed), 0);
            for copied in [self.task.copied(), self.owned.copied()] {
                let Some([first, rest @ ..]) = copied else { panic!("it is attached") };
                assert_eq!(rest, [first; 3]);
            }
            assert!(self.owned.word().is_some());
            let Some(Pair(one, other)) = self.owned.newest() else { panic!("it is attached") };
            assert_eq!(one, other);
            assert_eq!((self.owned.once(), self.owned.made().load(Ordering::Relaxed)), (Some(&3), 0));
        }

        /// Reads the host to which the worker is attaching fields.
        fn look(&self) {
            let next = self.next.load(Ordering::Relaxed);
            for task in self.fresh.iter().skip(next.saturating_sub(1)).take(3) {
                assert!(task.later().is_none_or(|&value| value == 5));
                assert!(task.once().is_none_or(|&value| value == 6));
                assert!(task.peek_made().is_none_or(|made| made.load(Ordering::Relaxed) == 0));
                assert!(task.newest().is_none_or(|Pair(one, other)| one == other));
                assert!(task.copied().is_none_or(|[first, rest @ ..]| rest == [first; 3]));
            }
        }
    }

    #[test]
    fn a_thread_that_is_stopped_anywhere_keeps_nobody_from_reading() {
        let world = World::new();
        let mut rounds = 1..;
        stopped_anywhere(
            || rounds.next().into_iter().for_each(|round| world.work(round)),
            || {
                world.read();
                world.look();
            },
        );
        assert!(world.next.into_inner() > 100, "the worker has worked");
    }
}
