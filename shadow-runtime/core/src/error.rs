//! The error of a refused attach.
//!
//! In: a refused value and its field. Out: [`AlreadyAttached`], and the warning in the log. Neighbours:
//! `cell/attach.rs`, `raw/id.rs` and `raw/update_id/init.rs`, which refuse.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::panic::Location;

use crate::registry::Field;

/// An attach was refused, because the field is attached already. The error hands the value back.
///
/// The first value is untouched. A second attach of an `attach` field is a bug in the program, so the refusal also logs
/// a warning (feature `log`) with the places of both attaches. The file and the line of the log record are those of the
/// second attach. [`into_value`](Self::into_value) returns the ownership
/// of the refused value; without a call, the drop of the error drops the value.
///
/// ```
/// use shadow_runtime::{AlreadyAttached, Shadow, ShadowFields};
///
/// #[derive(Shadow, Default)]
/// #[shadow_field(attach newpid: u32)]
/// struct Task { shadow: ShadowFields }
///
/// let task = Task::default();
/// task.attach_newpid(1).unwrap();
/// let refused: AlreadyAttached<u32> = task.attach_newpid(2).unwrap_err();
/// assert_eq!(refused.to_string(), "shadow field `newpid` is already attached to this `Task`");
/// assert_eq!((refused.field(), refused.host()), ("newpid", "Task"));
/// assert_eq!(refused.into_value(), 2);
/// assert_eq!(task.newpid(), Some(&1));
/// ```
#[must_use]
pub struct AlreadyAttached<V> {
    value: V,
    field: &'static Field,
}

impl<V> AlreadyAttached<V> {
    /// Refuses `value`: counts the refusal, and logs a warning with the places of both attaches. The place of the first
    /// attach of an `UpdateId` is unknown.
    #[cold]
    pub(crate) fn refuse(field: &'static Field, value: V, first: Option<&Location<'_>>, second: &Location<'_>) -> Self {
        field.counts().refused();
        warn(field, first, second);
        Self { value, field }
    }

    /// The name of the field, as declared.
    ///
    /// ```
    /// # use shadow_runtime::{Shadow, ShadowFields};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(attach newpid: u32)]
    /// # struct Task { shadow: ShadowFields }
    /// # let task = Task::default();
    /// # task.attach_newpid(1).unwrap();
    /// let refused = task.attach_newpid(2).unwrap_err();
    /// assert_eq!(refused.field(), "newpid");
    /// ```
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field.names().name
    }

    /// The type of the host, as declared.
    ///
    /// ```
    /// # use shadow_runtime::{Shadow, ShadowFields};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(attach newpid: u32)]
    /// # struct Task { shadow: ShadowFields }
    /// # let task = Task::default();
    /// # task.attach_newpid(1).unwrap();
    /// let refused = task.attach_newpid(2).unwrap_err();
    /// assert_eq!(refused.host(), "Task");
    /// ```
    #[must_use]
    pub fn host(&self) -> &'static str {
        self.field.names().host
    }

    /// The refused value.
    ///
    /// ```
    /// # use shadow_runtime::{Shadow, ShadowFields};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(attach newpid: u32)]
    /// # struct Task { shadow: ShadowFields }
    /// # let task = Task::default();
    /// # task.attach_newpid(1).unwrap();
    /// let refused = task.attach_newpid(2).unwrap_err();
    /// assert_eq!(refused.into_value(), 2);
    /// ```
    pub fn into_value(self) -> V {
        self.value
    }
}

#[cfg(feature = "log")]
fn warn(field: &Field, first: Option<&Location<'_>>, second: &Location<'_>) {
    /// Prints the place of the first attach without an allocation.
    struct At<'a>(Option<&'a Location<'a>>);
    impl fmt::Display for At<'_> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.map_or(Ok(()), |place| write!(formatter, ", at {place}"))
        }
    }
    if !log::log_enabled!(target: "shadow_runtime", log::Level::Warn) {
        return;
    }
    let first = At(first);
    // The macros of `log` would record this line. A record of the second attach leads to the line of the user.
    log::logger().log(
        &log::Record::builder()
            .level(log::Level::Warn)
            .target("shadow_runtime")
            .file(Some(second.file()))
            .line(Some(second.line()))
            .args(format_args!("{field} is already attached{first}; the second attach, at {second}, is refused"))
            .build(),
    );
}

#[cfg(not(feature = "log"))]
fn warn(_: &Field, _: Option<&Location<'_>>, _: &Location<'_>) {}

// `Debug` and `Display` have no bound `V: Debug`, so `unwrap` works for every value.
impl<V> fmt::Debug for AlreadyAttached<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AlreadyAttached")
            .field("field", &self.field())
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

impl<V> fmt::Display for AlreadyAttached<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "shadow field `{}` is already attached to this `{}`", self.field(), self.host())
    }
}

impl<V> Error for AlreadyAttached<V> {}
