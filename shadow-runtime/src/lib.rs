//! Typed fields that a program adds to objects that already exist, without changing their types.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use shadow_runtime::shadow;
//!
//! /// A type of another crate.
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
//! A field belongs to an object: all clones of the `Arc` share one counter, and a second connection has a second one.
//! The model is the shadow variable of the Linux kernel's livepatching
//! ([`Documentation/livepatch/shadow-vars.rst`](https://docs.kernel.org/livepatch/shadow-vars.html)). There, a fix for
//! a running kernel adds, for example, a lock to a struct of which thousands are already allocated.
//!
//! # The guide
//!
//! The [guide] has a page for each question of a user: [policies](guide::policies), [hosts](guide::hosts),
//! [clean-up](guide::clean_up), [async programs](guide::async_programs), [reports](guide::report),
//! [testing](guide::testing),
//! [performance](guide::performance), [promises of the accessors](guide::promises), [edge cases](guide::edge_cases) and
//! [internals](guide::internals). The rest of this page is a summary.
//!
//! # Terms
//!
//! - A **host** is an object with shadow fields.
//! - A **declaration** adds fields to a type of host: one `#[derive(Shadow)]`, or one block of a [`shadow!`].
//! - A **policy** says what happens at a second write. A field has one of four policies.
//! - To **attach** a value is to give a value to a field that has none.
//!
//! | policy | a second write | for |
//! |---|---|---|
//! | `attach` | is refused: the error returns the value | values known at the creation of the object |
//! | `get_or_attach` | does not happen: the first access runs an initialiser | locks, counters, caches |
//! | `get_or_update` | replaces the value; a read clones | timestamps, configurations |
//! | `get_or_update(copy)` | replaces the value; a read copies | small `Copy` values with many reads |
//!
//! [`#[derive(Shadow)]`](derive@Shadow) has a table of the accessors of each policy.
//!
//! # Declarations
//!
//! [`#[derive(Shadow)]`](derive@Shadow) makes hosts of your own structs. [`shadow!`] adds fields to these hosts, and to
//! hosts of foreign types: [`Shadowed<T>`], [`Arc<T>`](std::sync::Arc), `&'static T`. The module [`raw`] adds fields to
//! plain addresses, and is unsafe. Every declaration has the same grammar for a field:
//!
//! ```text
//! docs* visibility? policy name: Type (= initialiser)?
//! ```
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
//! # Guarantees
//!
//! - A `&V` borrows the host. A reader needs no guard and no reference count.
//! - A read takes no lock and waits for no thread. The exception is a copy on
//!   [a few processors](guide::edge_cases#processors).
//! - If several threads initialise one field at once, one initialiser provides the value. Each value is dropped once.
//! - No user code runs under a lock of the library.
//!
//! The page [promises](guide::promises) says for each accessor whether it blocks, allocates, panics or runs user code.
//!
//! # Features
//!
//! - `counts` (default): the registry counts the operations on each field. Without the feature, the counts of the
//!   report are 0.
//! - `log` (default): a refused `attach` logs a `warn!` with the places of both attaches. If the library catches a
//!   panic of a destructor, and does not raise the panic again, the library logs an `error!` with the message, the
//!   field and the host type. Without the feature, only the panic hook reports such a panic.
//! - `membarrier` (default): on Linux and Android, a read of a `get_or_update` field executes no fence. Instead, an
//!   update after many reads makes the system call `membarrier(2)` (see [below](#sandboxes)). Without the feature, the
//!   library never makes the call, and each such read executes two fences, as on other systems.
//! - `serde`: the [report](Report) is [`Serialize`](https://docs.rs/serde/latest/serde/trait.Serialize.html): a
//!   sequence of rows, each with a member for each method of [`Row`].
//!
//! # Sandboxes
//!
//! With the feature `membarrier`, the library makes one system call of its own,
//! [`membarrier(2)`](https://man7.org/linux/man-pages/man2/membarrier.2.html):
//!
//! | when | command |
//! |---|---|
//! | first read of a `get_or_update` field in the process | `MEMBARRIER_CMD_QUERY`, `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED` |
//! | an update after many reads, or of a value that a reader is cloning | `MEMBARRIER_CMD_PRIVATE_EXPEDITED` |
//! | the drop of a dead `Arc` host's fields, on processors other than x86 and s390x | all three |
//!
//! A seccomp filter may pass the call, fail the call with any error, or answer with 0; the library then works without
//! the call. If a filter kills the program for an unknown call, pass the call in the filter, or leave the feature out:
//!
//! ```toml
//! shadow-runtime = { version = "0.1", default-features = false, features = ["counts", "log"] }
//! ```
//!
//! If a program installs the filter after the first call, the filter must pass the call or fail the call. An answer of
//! 0 is then wrong: to the library, 0 means that the barrier is complete.

#![forbid(unsafe_code)]

pub mod guide;

pub use shadow_runtime_core::{
    AlreadyAttached, ArcRef, BackgroundSweep, Counted, ExclusiveHost, Host, ManualSweep, Place, Policy, Registry,
    Report, Row, ShadowFields, Shadowed, bounds, counted_host, raw, registry,
};

/// Makes a struct a host that embeds its fields:
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

/// Adds fields to hosts of any kind:
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
