//! Typed fields that a program adds to objects that already exist, without changing their types.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use shadow_runtime::shadow;
//!
//! /// A type of somebody else.
//! struct Connection;
//!
//! shadow! {
//!     trait ConnectionFields for Arc<Connection> {
//!         get_or_attach sent: AtomicU64;
//!     }
//! }
//!
//! let connection = Arc::new(Connection);
//! connection.sent().fetch_add(1, Ordering::Relaxed);
//! assert_eq!(Arc::clone(&connection).sent().load(Ordering::Relaxed), 1);
//! ```
//!
//! The model is the shadow variable of the Linux kernel's livepatching
//! ([`Documentation/livepatch/shadow-vars.rst`](https://docs.kernel.org/livepatch/shadow-vars.html)). There, a fix for
//! a running kernel adds, for example, a lock to a struct of which thousands are already allocated.
//!
//! # Terms
//!
//! A **host** is an object with fields attached. A declaration of a **shadow field** has the type of its hosts, a name,
//! the type of its value and a **policy**:
//!
//! - `attach`: attached once. A second attach is an error that hands the value back. For values that belong to the
//!   creation of the object.
//! - `get_or_attach`: an initialiser makes the value at the first access. For values with an identity, such as locks.
//! - `get_or_update`: an update replaces the value; readers get clones. For data of which only the newest counts.
//! - `get_or_update(copy)`: the same, for small `Copy` values; readers get copies, and never wait.
//!
//! # Declaring
//!
//! [`#[derive(Shadow)]`](derive@Shadow) makes hosts of your own structs. [`shadow!`] adds fields to these hosts, and to
//! hosts that you do not own: [`Shadowed<T>`], [`Arc<T>`](std::sync::Arc), `&'static T`. Every declaration has the same
//! grammar for a field: `docs* visibility? policy name: Type (= initialiser)?`. [`raw`] adds fields to plain addresses,
//! and is unsafe.
//!
//! ```
//! use std::time::Duration;
//! use shadow_runtime::{Shadow, ShadowFields, shadow};
//!
//! #[derive(Shadow, Default)]
//! #[shadow_field(pub attach newpid: u32)]
//! #[shadow_field(get_or_attach name: String = format!("task {}", self.pid))]
//! struct Task { pid: u32, shadow: ShadowFields }
//!
//! shadow! {
//!     impl Task { get_or_update priority: u8; get_or_update(copy) ran: Duration; }
//! }
//!
//! let mut task = Task { pid: 7, ..Task::default() };
//! assert_eq!(task.newpid(), None);
//! assert_eq!(task.attach_newpid(8).unwrap(), &8);
//! assert_eq!(task.name(), "task 7");
//! assert_eq!(task.update_priority(1), None);
//! assert_eq!(task.update_priority(2), Some(1));
//! assert_eq!(task.priority(), Some(2));
//! task.update_ran_with(|ran| ran.copied().unwrap_or_default() + Duration::from_millis(2));
//! assert_eq!(task.ran(), Some(Duration::from_millis(2)));
//! assert_eq!(task.detach_newpid(), Some(8));
//! ```
//!
//! # What accessors promise
//!
//! For a field `f: V`:
//!
//! | accessor | policy | blocks | allocates | panics | runs code of yours |
//! |---|---|---|---|---|---|
//! | `f`, `peek_f` | `attach`, `get_or_attach` on a hit | no | no | no | no |
//! | `f` | `get_or_update` | no | on a thread's first read, and on a read inside of a clone; as `Clone` does | as `Clone` and `Drop` do | `Clone`; `Drop`, of a value replaced meanwhile |
//! | `f` | `get_or_update(copy)` | no | no | no | no |
//! | `attach_f` | `attach` | while another thread moves its value in | on the first attach of a declaration to a host | no | the logger, on a refusal |
//! | `f` on a miss, `get_or_attach_f`, `get_or_try_attach_f` | `get_or_attach` | while another thread's initialiser runs | on the first attach of a declaration to a host; on a wait for another thread's initialiser | as the initialiser does; if the initialiser asks for its own field | the initialiser |
//! | `update_f` | `get_or_update` | no | yes, but mostly not for a small value: see below | as `Clone` and `Drop` do; inside of a closure of its own field | `Clone`, `Drop` |
//! | `update_f_with` | `get_or_update` | no | as `update_f` | as the closure, `Clone` and `Drop` do; if the closure updates its own field | the closure, maybe again; `Clone`, `Drop` |
//! | `update_f` | `get_or_update(copy)` | while another thread moves a value in | on the first attach of a declaration to a host, and the first time that a value of several words is replaced | inside of a closure of its own field | no |
//! | `update_f_with` | `get_or_update(copy)` | while another thread moves a value in | as `update_f` | as the closure does; if the closure updates its own field | the closure, maybe again |
//! | `f_mut` | all | no | for `get_or_update(copy)`, once; for `get_or_attach`, as `f` does | for `get_or_attach`, as `f` does | for `get_or_attach`, the initialiser |
//! | `detach_f` | all | no | no | no | no; `detach_f` hands the value out |
//! | the drop of a host, [`Shadowed::into_inner`] | all | no | no | as `Drop` does, after all destructors | `Drop` |
//! | [`sweep`](Registry::sweep) | all, of `Arc` hosts | while another thread changes a part of the table | for hosts that are new since the last sweep | as `Drop` does, after all destructors | `Drop` |
//! | [`report`](Registry::report) | all | while another thread enters a field or its counters | yes | no | no |
//!
//! [`raw`] has a table of its own.
//!
//! *Reused memory.* When an update or a detach takes a value of a `get_or_update` field back, the thread keeps the
//! memory of the last such value of up to 56 bytes. The thread uses the memory for the next value of the same size. So
//! an update that replaces a small value mostly allocates nothing.
//!
//! *Counts.* With the feature `counts`, the first attach, update, detach or drop of a value on a thread also allocates
//! and locks the registry. A few later operations do too, as the thread meets more fields.
//!
//! *Side tables.* A look-up of a host in a side table (`Arc`, `&'static T`) takes no lock. The first attach to a host,
//! and the first attach of each declaration, locks a part of the table, and may make the part larger.
//!
//! *Dead hosts.* At its end, an attach to an `Arc` host drops the fields of a few dead hosts, unless a guard is alive:
//! see [below](#where-destructors-run).
//!
//! - **References.** A `&V` borrows the host. Only the drop of the host, or an accessor that borrows the host
//!   exclusively, drops the value. Until then the value does not move.
//! - **Threads.** Any thread can call any function of the library; values are `Send + Sync`. Everything that a thread
//!   does before an attach or an update happens before every read that sees the value.
//! - **Initialisers** run at most once per attached value, and under no lock. So an initialiser may use every other
//!   field, of any host. Losers of a race wait. If an initialiser fails or panics, no value is attached, and the next
//!   caller runs its own initialiser. An initialiser that asks for its own field, directly or through threads that wait
//!   for one another, panics with the field's name.
//! - **Closures of `update_f_with`** also run under no lock. A closure may read its own field, and may read and update
//!   every other field, of any host. An update of its own field of its own host is a panic with the field's name:
//!   without the panic, the closure would run again for ever. Through another thread, the same update is not refused.
//! - **Destructors** run once per value, under no lock. After a panic of a destructor, the other destructors still run;
//!   then the panic is raised again. If several destructors panic, the first panic is raised again. The log gets every
//!   panic that is not raised again, with the field and the host type. Such panics are: a panic in a destructor of an
//!   unrelated host, as of a dead host that an attach drops; the second panic of a host; and a panic while the thread
//!   unwinds.
//! - **Clones** of a host, by derive, start without fields. Comparisons and hashes ignore fields.
//!
//! - **Fields that are replaced.** An update of a `get_or_update` field hands out the value that it replaces, unless a
//!   thread is cloning this value, or is computing the next value from it in a closure. Then the update hands out a
//!   clone, and the last of these threads drops the value at the end of its clone or closure. So old values are at most
//!   as many as readers in the middle of a clone or a closure, with or without further updates. An update waits for no
//!   reader. A thread that reads such a field owns a hazard slot of 128 bytes, from the first read until the end of the
//!   thread. Each read inside of a clone owns one more slot. An update scans the slots in use. Slots are reused, and
//!   never freed: the memory is that of the most slots in use at one time.
//! - **Fields that are copied.** A read of a `get_or_update(copy)` field reads again if an update was completed during
//!   the copy, and never waits. On processors without stable inline assembly in Rust, the read takes a lock instead.
//!
#![doc = include_str!("awkward.md")]
//!
//! # Where destructors run
//!
//! The fields of a struct that derives `Shadow`, and of a [`Shadowed<T>`], are dropped with the host, by the thread
//! that drops the host. An `Arc` host without an `Arc` is *dead*. std does not report the drop of the last `Arc`, so
//! the library learns of dead hosts only by looking. The program chooses where destructors of dead hosts run:
//!
//! | | how | for |
//! |---|---|---|
//! | attaches | the default | programs with destructors that take no lock and need no runtime |
//! | a background thread | [`Registry::sweep_in_background`], a guard | servers; programs with an async runtime |
//! | by hand | [`Registry::sweep_by_hand`], a guard | programs with a quiet moment of their own: a frame, a batch |
//!
//! *In attaches.* At the end of an attach to an `Arc` host, the thread drops the fields of at most eight dead hosts,
//! and mostly of no host. Destructors run on the attaching thread, under no lock of the library: do not attach while
//! you hold a lock that a destructor takes. The first use of a `get_or_attach` field, and the first update of a field,
//! are attaches. Inside of an initialiser, a closure of `update_f_with` or a `Clone`, an attach defers the drops to the
//! end of the outermost of these. The limit of eight then holds for each deferred attach. A read may run destructors
//! too, if the `Clone` of the value attaches. Inside of a destructor of a dead host, attaches drop dead hosts as well,
//! one level deep. Panics go to the log.
//!
//! *Bounds, without a guard.* Dead hosts are at most as many as the living hosts, and 1,000 for each thread that
//! attaches. For `n` up to 500, a host that dies after `n` newer hosts of its thread is found after about `4 × n` newer
//! hosts; so large values with short lives cost little. After a peak of `n` hosts has died, `n / 2` attaches leave at
//! most a tenth of the dead.
//!
//! *Chains, without a guard.* In a chain of hosts that own one another, each host counts as dead from the death of the
//! first. Two passes over the hosts drop a chain in the order of attach, or in the reverse order. Of a chain in random
//! order, each pass drops about two hosts, so a [`sweep`](Registry::sweep) takes quadratic time: 0.4 s for 16,000
//! hosts. The same holds for a chain that several threads build in turn while they attach at the same time.
//!
//! *Deferred drops, without a guard.* Attaches inside of one initialiser, closure or clone drop nothing, and neither do
//! attaches in a destructor two levels deep. The bounds count these dead hosts only from the end of the initialiser,
//! closure, clone or destructor on. An initialiser that joins a thread needs a guard if the thread attaches to `Arc`
//! hosts.
//!
//! *In the background.* While the guard lives, no attach runs a destructor of a dead host. The thread sweeps twice in
//! an interval. So a dead host is dropped within the interval, if two sweeps fit into the interval. If hosts die faster
//! than one thread drops them, dead hosts have no bound. A sweep costs 10 to 20 ns for each host: with an interval of
//! 100 ms, about 2 % of a core for 100,000 hosts. A destructor that needs an async runtime enters the runtime by a
//! handle.
//!
//! *A library* takes no guard, since a guard acts on the whole process. Destructors of a library work on any thread,
//! and take no lock that a caller may hold during an attach.
//!
//! *A program that makes the `Arc` itself* gets exact drops by `Arc<Shadowed<T>>`: the fields are embedded, and are
//! dropped with the last `Arc`.
//!
//! ```
//! use std::sync::Arc;
//! use shadow_runtime::{Shadowed, shadow};
//!
//! struct Permit(Arc<()>);
//!
//! shadow! {
//!     trait SocketFields for Shadowed<String> { attach permit: Permit; }
//! }
//!
//! let permits = Arc::new(());
//! let socket = Arc::new(Shadowed::new("a socket".to_owned()));
//! socket.attach_permit(Permit(Arc::clone(&permits))).ok();
//! assert_eq!(Arc::strong_count(&socket.permit().unwrap().0), 2);
//! drop(socket);
//! assert_eq!(Arc::strong_count(&permits), 1); // given back at once
//! ```
//!
//! # Features
//!
//! - `counts` (default): the registry counts the operations on each field. Without the feature, the counts of the
//!   report are 0.
//! - `log` (default): a refused `attach` is a `warn!` with the places of both attempts. A panic that is not raised
//!   again is an `error!` with its message, its field and host type. Without the feature, only the panic hook knows of
//!   such a panic; the default hook prints the panic.
//! - `membarrier` (default): on Linux and Android, a read of a `get_or_update` field passes no fence. Instead, an
//!   update after many reads makes the system call `membarrier(2)` (see [below](#sandboxes)). Without the feature, the
//!   library never makes the call, and each such read passes two fences, as on other systems.
//!
//! # Sandboxes
//!
//! The library makes one system call of its own,
//! [`membarrier(2)`](https://man7.org/linux/man-pages/man2/membarrier.2.html), with the feature `membarrier`. The first
//! read of a `get_or_update` field in a process makes the call with the commands `MEMBARRIER_CMD_QUERY` and
//! `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`. An update after many reads, and an update of a value that a reader is
//! cloning, make the call with `MEMBARRIER_CMD_PRIVATE_EXPEDITED`. On processors other than x86 and s390x, the drop of
//! a dead `Arc` host's fields also makes these calls. A seccomp filter may pass the call, fail the call with any error,
//! or answer with 0; the library then works without the call. A filter that kills on unknown calls kills the program.
//! Pass the call in such a filter, or leave the feature out:
//!
//! ```toml
//! shadow-runtime = { version = "0.1", default-features = false, features = ["counts", "log"] }
//! ```
//!
//! A sandbox that is closed later must pass the call or fail the call. The library would take an answer of 0 for a
//! completed barrier.

#![forbid(unsafe_code)]

pub use shadow_runtime_core::{
    AlreadyAttached, BackgroundSweep, ExclusiveHost, Host, ManualSweep, Policy, Registry, Report, Row, ShadowFields,
    Shadowed, raw, registry,
};

/// A host that embeds its fields:
///
/// ```
/// use std::sync::Mutex;
/// use shadow_runtime::{Shadow, ShadowFields};
///
/// #[derive(Shadow)]
/// #[shadow_field(pub attach newpid: u32)]
/// #[shadow_field(get_or_attach lock: Mutex<()>)]
/// #[shadow_field(get_or_attach name: String = format!("task {}", self.pid))]
/// #[shadow_field(get_or_update priority: u8)]
/// struct Task { pid: u32, shadow: ShadowFields }
///
/// let task = Task { pid: 7, shadow: ShadowFields::new() };
/// drop(task.lock().lock());
/// assert_eq!((task.newpid(), task.name().as_str(), task.priority()), (None, "task 7", None));
/// ```
pub use shadow_macros::Shadow;

/// Fields for hosts of any kind:
///
/// ```
/// use std::sync::Arc;
/// use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};
///
/// #[derive(Shadow, Default)]
/// struct Task { shadow: ShadowFields }
///
/// shadow! {
///     impl Task { get_or_attach hits: u64; }
///     trait TextFields for Arc<str> { get_or_attach words: usize = self.split(' ').count(); }
///     trait ListFields<T> for Shadowed<Vec<T>> { attach origin: String; }
/// }
///
/// assert_eq!(Task::default().hits(), &0);
/// assert_eq!(Arc::<str>::from("two words").words(), &2);
/// assert_eq!(Shadowed::new(vec![1]).origin(), None);
/// ```
pub use shadow_macros::shadow;

/// The interface of generated code. Not for use by hand, and not covered by semantic versioning.
#[doc(hidden)]
pub use shadow_runtime_core::__private;

/// The snippets of the README are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
