//! One file per policy.

/// The tests of updates that a closure may refuse, for a `Task` with a field `last_seen: u64` of either policy.
macro_rules! refusable_updates {
    () => {
        #[test]
        fn an_update_that_its_closure_refuses_changes_nothing() {
            let task = Task::default();
            let refuse = |before: Option<&u64>| Err(before.copied());
            assert_eq!(task.try_update_last_seen_with(refuse), Err(None));
            assert_eq!(task.last_seen(), None);
            let add = |before: Option<&u64>| before.map_or(Ok::<_, ()>(1), |before| Ok(before + 1));
            assert_eq!(task.try_update_last_seen_with(add), Ok(None));
            assert_eq!(task.try_update_last_seen_with(refuse), Err(Some(1)));
            assert_eq!(task.try_update_last_seen_with(add), Ok(Some(1)));
            assert_eq!(task.last_seen(), Some(2));
        }

        #[test]
        fn a_closure_that_runs_again_may_refuse_then() {
            let task = Task::default();
            let mut saw = Vec::new();
            let update = || {
                task.try_update_last_seen_with(|before| {
                    saw.push(before.copied());
                    if saw.len() == 1 {
                        elsewhere(|| task.update_last_seen(10));
                    }
                    before.map_or(Ok(1), |before| Err(*before))
                })
            };
            assert_eq!(support::never_hangs(update), Err(10));
            assert_eq!((saw, task.last_seen()), (vec![None, Some(10)], Some(10)));
        }

        /// A compare-and-swap of a counter that stops at a bound.
        #[test]
        fn of_racing_updates_as_many_succeed_as_the_closures_admit() {
            const THREADS: u64 = 4;
            const ROUNDS: u64 = fewer(500, 4);
            const ADMITTED: u64 = THREADS * ROUNDS / 2;
            let task = Task::default();
            let start = Barrier::new(4);
            let admit = |before: Option<&u64>| {
                Some(before.map_or(1, |before| before + 1)).filter(|next| *next <= ADMITTED).ok_or(())
            };
            let succeeded: usize = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            (0..ROUNDS).filter(|_| task.try_update_last_seen_with(admit).is_ok()).count()
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!((succeeded as u64, task.last_seen()), (ADMITTED, Some(ADMITTED)));
        }
    };
}

mod attach;
mod get_or_attach;
mod get_or_update;
mod get_or_update_copy;
