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
//! The idea is the shadow variable of the Linux kernel's livepatching
//! ([`Documentation/livepatch/shadow-vars.rst`](https://docs.kernel.org/livepatch/shadow-vars.html)), where a fix for a
//! running kernel adds, say, a lock to a struct of which thousands are allocated already.
//!
//! # Words
//!
//! A **host** is an object that fields are attached to. A **shadow field** is declared by the type of its hosts, its
//! name, the type of its value and its **policy**:
//!
//! - `attach`: attached once; a second attach is an error that hands the value back. For what is paired with the
//!   creation of the object.
//! - `get_or_attach`: made by an initialiser when it is first asked for. For values whose identity matters.
//! - `get_or_update`: replaced; readers get clones. For data of which only the newest counts.
//! - `get_or_update(copy)`: the same, for small values that are `Copy`; readers get copies, and never wait.
//!
//! # Declaring
//!
//! [`#[derive(Shadow)]`](derive@Shadow) makes hosts of your own structs; [`shadow!`] adds fields to those, and to hosts
//! that you do not own: [`Shadowed<T>`], [`Arc<T>`](std::sync::Arc), `&'static T`. All have one grammar for a field:
//! `docs* visibility? policy name: Type (= initialiser)?`. [`raw`] is for plain addresses, and unsafe.
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
//! Of a field `f: V`:
//!
//! | accessor | policy | blocks | allocates | panics | runs code of yours |
//! |---|---|---|---|---|---|
//! | `f`, `peek_f` | `attach`, `get_or_attach` on a hit | no | no | no | no |
//! | `f` | `get_or_update` | no | on a thread's first read, and on one inside of a clone; as `Clone` does | as `Clone` and `Drop` do | `Clone`; `Drop`, of a value replaced meanwhile |
//! | `f` | `get_or_update(copy)` | no | no | no | no |
//! | `attach_f` | `attach` | while another moves its value in | on the first attach of a declaration to a host | no | the logger, on a refusal |
//! | `f` on a miss, `get_or_attach_f`, `get_or_try_attach_f` | `get_or_attach` | while another's initialiser runs | on the first attach of a declaration to a host; when it meets another's initialiser | as the initialiser does; if it asks for its own field | the initialiser |
//! | `update_f` | `get_or_update` | no | yes; of a small value mostly not: see below | as `Clone` and `Drop` do; inside of a closure of its own field | `Clone`, `Drop` |
//! | `update_f_with` | `get_or_update` | no | as `update_f` | as the closure, `Clone` and `Drop` do; if the closure updates its own field | the closure, maybe again; `Clone`, `Drop` |
//! | `update_f` | `get_or_update(copy)` | while another moves a value in | on the first attach of a declaration to a host, and the first time that a value of several words is replaced | inside of a closure of its own field | no |
//! | `update_f_with` | `get_or_update(copy)` | while another moves a value in | as `update_f` | as the closure does; if the closure updates its own field | the closure, maybe again |
//! | `f_mut` | all | no | of `get_or_update(copy)`, once; of `get_or_attach`, as `f` does | of `get_or_attach`, as `f` does | of `get_or_attach`, the initialiser |
//! | `detach_f` | all | no | no | no | no; it hands the value out |
//! | the drop of a host, [`Shadowed::into_inner`] | all | no | no | as `Drop` does, when all are done | `Drop` |
//! | [`sweep`](Registry::sweep) | all, of `Arc` hosts | while another changes a part of the table | for hosts that are new since the last one | as `Drop` does, when all are done | `Drop` |
//! | [`report`](Registry::report) | all | while another enters a field or its counters | yes | no | no |
//!
//! [`raw`] has a table of its own.
//!
//! A thread keeps the memory of the last value of a `get_or_update` field that an update or a detach of its own has
//! taken back, if that was of up to 56 bytes, and uses it for the next that it puts into such a field, if that is as
//! large. So an update that replaces a small value mostly allocates nothing.
//!
//! With the feature `counts`, whatever attaches, replaces, detaches or drops a value also allocates and locks the
//! registry when its thread does so for the first time, and a few times more as the thread meets more fields.
//!
//! Hosts in a side table (`Arc`, `&'static T`) are looked up without a lock. The first attach to one, and the first of
//! each declaration, locks a part of the table, and may make it larger.
//!
//! An attach to an `Arc` host, when it is done, drops the fields of a few dead hosts, unless a guard says otherwise:
//! see [below](#where-destructors-run).
//!
//! - **References.** A `&V` borrows the host. A value is dropped only with its host, or by an accessor that borrows the
//!   host exclusively; until then it does not move.
//! - **Threads.** Everything can be called from any thread; values are `Send + Sync`. What one thread did before it
//!   attached or updated a value, another sees once it sees the value.
//! - **Initialisers** run at most once per attached value, under no lock: they may use every other field, of any host.
//!   Losers of a race wait. If one fails or panics, nothing is attached, and the next caller runs its own. One that
//!   asks for the field that it initialises, itself or through threads that wait for one another, panics and says so.
//! - **Closures of `update_f_with`** run under no lock, too. A closure may read its own field, and may read and update
//!   every other field, of any host. An update of its own field of its own host is a panic with the field's name:
//!   without the panic, the closure would run again for ever. Through another thread, the same update is not refused.
//! - **Destructors** run once per value, under no lock. One that panics does not keep others from running; its panic is
//!   raised again when all are done. If several panic, the first is raised again. The log gets every panic that is not
//!   raised again, with its field and host type: one of a stranger's destructor, the second of one host, one while the
//!   thread unwinds.
//! - **Clones** of a host, by derive, start without fields, and fields take no part in comparisons and hashes.
//!
//! - **Fields that are replaced.** A value of a `get_or_update` field that was replaced is handed out by the update,
//!   unless somebody is cloning it just then, or makes the next one of it; in that case the update hands out a clone,
//!   and the value is dropped by the last of those who use it, when that is done. So at most as many old values are
//!   kept as there are readers in the middle of a clone or a closure, whether the field is updated again or not. An
//!   update waits for no reader. A thread that reads such a field takes a slot of 128 bytes, from its first read to its
//!   end, and another for each read inside of a clone. An update looks at the slots in use. Slots are used again, and
//!   not freed: the memory is that of the most slots that were in use at one time.
//! - **Fields that are copied.** A read of a `get_or_update(copy)` field reads again if an update was completed while
//!   it copied, and never waits. On processors for which Rust has no stable inline assembly, it takes a lock instead.
//!
#![doc = include_str!("awkward.md")]
//!
//! # Where destructors run
//!
//! The fields of a struct that derives `Shadow`, and of a [`Shadowed<T>`], are dropped with the host, by the thread
//! that drops the host. The library learns of a *dead* `Arc` host, one without an `Arc`, only when it looks: std
//! reports no last `Arc`. The program chooses where destructors of dead hosts run:
//!
//! | | how | for |
//! |---|---|---|
//! | attaches | the default | programs whose destructors take no lock and need no runtime |
//! | a background thread | [`Registry::sweep_in_background`] | servers; programs with an async runtime |
//! | by hand | [`Registry::sweep_by_hand`] | programs with a quiet moment of their own: a frame, a batch |
//!
//! *In attaches.* At the end of an attach to an `Arc` host, the thread drops the fields of at most eight dead hosts;
//! mostly none. Destructors run on the attaching thread, under no lock of the library: do not attach while you hold a
//! lock that a destructor takes. A first use of a `get_or_attach` field and a first update are attaches. Inside of an
//! initialiser, a closure of `update_f_with` or a `Clone`, an attach defers this work to the end of the outermost of
//! these. The limit of eight then holds for each deferred attach, and a read whose `Clone` attaches may run destructors
//! too. Inside of a destructor of a dead host, attaches drop dead hosts as well, one level deep. Panics go to the log.
//!
//! *Bounds, without a guard.* Dead hosts are at most as many as the living ones, and 1,000 for each thread that
//! attaches. A host that dies after `n` newer hosts of its thread, for `n` up to 500, is found after about `4 × n`
//! newer hosts; so large values with short lives cost little. After the hosts of a peak have died, at most a tenth of
//! the dead is left when half as many attaches were made. In a chain of hosts that own one another, each host counts as
//! dead from the death of the first. Chains in the order of attach, or in the reverse order, are dropped in two passes
//! over the hosts. Of a chain in random order each pass drops about two hosts, so a [`sweep`](Registry::sweep) takes
//! quadratic time: 16,000 hosts 0.4 s. The same holds for a chain that several threads build in turn while they attach
//! at the same time. Attaches inside of one initialiser, closure or clone, and in a destructor two levels deep, drop
//! nothing: their dead hosts count when that is done. An initialiser that joins a thread which attaches to `Arc` hosts
//! needs one of the guards.
//!
//! *In the background.* While the guard lives, no attach runs a destructor of a dead host. The thread sweeps twice in
//! an interval, so a dead host is dropped within the interval if two sweeps fit into that. If hosts die faster than one
//! thread drops them, dead hosts have no bound. A sweep costs 10 to 20 ns for each host: with an interval of 100 ms,
//! about 2 % of a core for 100,000 hosts. A destructor that needs an async runtime enters the runtime by a handle.
//!
//! *A library* takes no guard, since a guard acts on the whole process. Its destructors work on any thread, and take no
//! lock that a caller may hold during an attach.
//!
//! *A program that makes the `Arc` itself* has exact drops by `Arc<Shadowed<T>>`: the fields are embedded, and are
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
//! - `counts` (default): the registry counts what is done with each field. Without it, its rows' counts are 0.
//! - `log` (default): a refused `attach` is a `warn!` with the places of both attempts; a panic that is not raised
//!   again is an `error!` with its message, its field and host type. Without the feature, such a panic is known to the
//!   panic hook alone, which by default prints it.
//! - `membarrier` (default): on Linux and Android, a read of a `get_or_update` field passes no fence, and an update
//!   after many reads makes the system call `membarrier(2)`. Without the feature, the call is never made, and each such
//!   read passes two fences, as on other systems.
//!
//! # Sandboxes
//!
//! The library makes one system call of its own,
//! [`membarrier(2)`](https://man7.org/linux/man-pages/man2/membarrier.2.html), with the feature `membarrier`. The first
//! read of a `get_or_update` field in a process makes it with the commands `MEMBARRIER_CMD_QUERY` and
//! `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`; updates after many reads make it with
//! `MEMBARRIER_CMD_PRIVATE_EXPEDITED`. A seccomp filter may let the call pass, fail it with any error, or answer it
//! with 0: the library then does without. A filter that kills on unknown calls kills the program: let it pass, or leave
//! the feature out:
//!
//! ```toml
//! shadow-runtime = { version = "0.1", default-features = false, features = ["counts", "log"] }
//! ```
//!
//! A sandbox that is closed later must let the call pass or fail it. From an answer of 0 the library would conclude
//! that the kernel has done as it was told.

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

/// What generated code calls. Not for use by hand, and not covered by semantic versioning.
#[doc(hidden)]
pub use shadow_runtime_core::__private;

/// The snippets of the README are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
