//! Fields in async programs: a field holds a cell of an async runtime, and the cell holds a value that a task makes.
//!
//! The background sweep concerns the whole process, so the tests run in a process of their own. The cells are cells of
//! tokio, and of async-lock, which needs no particular runtime.
#![cfg(not(miri))]

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shadow_runtime::{ArcRef, registry, shadow};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{spawn, yield_now};
use tokio::time::timeout;

use support::never_hangs;

/// An object that other code makes, such as the session of a server.
struct Session;

struct Config {
    retries: u32,
}

/// The result of a task. The destructor spawns a task.
struct Connection {
    number: usize,
    runtime: Handle,
    closed: UnboundedSender<usize>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (number, closed) = (self.number, self.closed.clone());
        self.runtime.spawn(async move { closed.send(number) });
    }
}

shadow! {
    trait SessionFields for Arc<Session> {
        get_or_attach tokio_number: tokio::sync::OnceCell<usize>;
        get_or_attach lock_number: async_lock::OnceCell<usize> = async_lock::OnceCell::new();
        get_or_attach connection: tokio::sync::OnceCell<Connection>;
        get_or_update config: Arc<Config>;
    }
}

fn on_threads<F: Future>(work: F) -> F::Output {
    let runtime: Runtime = Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    never_hangs(|| runtime.block_on(work))
}

/// The initialiser of the `attempt`-th task: every second attempt fails.
async fn number(attempts: &AtomicUsize) -> io::Result<usize> {
    let attempt = attempts.fetch_add(1, Ordering::Relaxed);
    yield_now().await;
    if attempt % 2 == 0 { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(attempt) }
}

/// The tests of one type of cell, by the accessor of the field.
macro_rules! cell {
    ($cell:ident, $accessor:ident) => {
        mod $cell {
            use super::*;

            #[test]
            fn of_tasks_that_connect_at_once_some_fail_and_one_provides_the_value() {
                on_threads(async {
                    let (session, attempts) = (Arc::new(Session), Arc::new(AtomicUsize::new(0)));
                    let tasks: Vec<_> = (0..20)
                        .map(|_| {
                            let (session, attempts) = (Arc::clone(&session), Arc::clone(&attempts));
                            spawn(async move {
                                loop {
                                    let cell = session.$accessor();
                                    if let Ok(value) = cell.get_or_try_init(|| number(&attempts)).await {
                                        return (*value, std::ptr::from_ref(value).addr());
                                    }
                                }
                            })
                        })
                        .collect();
                    let mut seen = Vec::new();
                    for task in tasks {
                        seen.push(task.await.unwrap());
                    }
                    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
                    assert_eq!(seen[0].0 + 1, attempts.load(Ordering::Relaxed), "no attempt after the first success");
                });
            }

            #[test]
            fn the_next_task_connects_if_the_connecting_task_is_aborted() {
                on_threads(async {
                    let session = Arc::new(Session);
                    let (begin, is_to_begin) = oneshot::channel();
                    let first = spawn({
                        let session = Arc::clone(&session);
                        async move {
                            let connect = || async {
                                begin.send(()).unwrap();
                                pending().await
                            };
                            *session.$accessor().get_or_init(connect).await
                        }
                    });
                    is_to_begin.await.unwrap();
                    let mut second = spawn({
                        let session = Arc::clone(&session);
                        async move { *session.$accessor().get_or_init(|| async { 2 }).await }
                    });
                    assert!(timeout(Duration::from_millis(20), &mut second).await.is_err(), "the second task waits");
                    first.abort();
                    assert_eq!(second.await.unwrap(), 2);
                    assert!(first.await.unwrap_err().is_cancelled());
                });
            }

            /// The task has a reference to the cell, and nothing else of the session.
            #[test]
            fn a_task_owns_a_reference_to_the_cell() {
                on_threads(async {
                    let session = Arc::new(Session);
                    let cell = ArcRef::new(Arc::clone(&session), |session| session.$accessor());
                    let task = spawn(async move { *cell.get_or_init(|| async { 7 }).await });
                    assert_eq!(task.await.unwrap(), 7);
                    assert_eq!(session.$accessor().get(), Some(&7));
                });
            }
        }
    };
}

cell!(cell_of_tokio, tokio_number);
cell!(cell_of_async_lock, lock_number);

/// The thread of the background sweep does not belong to the runtime, so the value has a handle of the runtime.
#[test]
fn the_background_sweep_drops_a_value_whose_destructor_spawns_a_task() {
    let _sweep = registry().sweep_in_background(Duration::from_millis(5)).unwrap();
    on_threads(async {
        let (closed, mut are_closed) = unbounded_channel();
        for number in 0..10 {
            let session = Arc::new(Session);
            let (runtime, closed) = (Handle::current(), closed.clone());
            let connect = || async move { Connection { number, runtime, closed } };
            let connection = session.connection().get_or_init(connect).await;
            assert_eq!(connection.number, number);
        }
        let mut numbers = Vec::new();
        while numbers.len() < 10 {
            numbers.push(are_closed.recv().await.unwrap());
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..10));
    });
}

#[test]
fn a_configuration_that_a_task_holds_stays_while_the_next_one_comes() {
    on_threads(async {
        let session = Arc::new(Session);
        session.update_config(Arc::new(Config { retries: 3 }));
        let (begin, is_to_begin) = oneshot::channel();
        let task = spawn({
            let session = Arc::clone(&session);
            async move {
                let config = session.config().unwrap();
                is_to_begin.await.unwrap();
                (config.retries, session.config().unwrap().retries)
            }
        });
        // The counts of the field, of the task, and of the temporary clone.
        while Arc::strong_count(&session.config().unwrap()) < 3 {
            yield_now().await;
        }
        session.update_config(Arc::new(Config { retries: 5 }));
        begin.send(()).unwrap();
        assert_eq!(task.await.unwrap(), (3, 5));
    });
}
