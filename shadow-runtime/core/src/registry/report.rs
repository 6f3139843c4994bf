//! The registry's report: one row for each field.
//!
//! In: fields, under the registry's lock. Out: a snapshot of their counters, which `table.rs` prints.

use std::panic::Location;

use crate::policy::Policy;
use crate::registry::Field;
use crate::registry::counts::Blocks;

/// A snapshot of the registry: one row for each shadow field. Returned by
/// [`Registry::report`](super::Registry::report).
///
/// `Display` prints a table of at most 120 columns. The table cuts long names; the rows have the full names.
///
/// ```
/// use shadow_runtime::{Shadow, ShadowFields, registry};
///
/// #[derive(Shadow, Default)]
/// #[shadow_field(get_or_attach hits: std::sync::atomic::AtomicU64)]
/// struct Page { shadow: ShadowFields }
///
/// Page::default().hits();
/// let table = registry().report().to_string();
/// assert!(table.lines().next().unwrap().starts_with("host"));
/// assert!(table.lines().any(|line| line.contains("hits") && line.contains("get_or_attach")));
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    rows: Vec<Row>,
}

/// A shadow field, and its event counters, summed over all hosts and threads.
///
/// ```
/// use shadow_runtime::{Shadow, ShadowFields, registry};
///
/// #[derive(Shadow, Default)]
/// #[shadow_field(get_or_update title: String)]
/// struct Page { shadow: ShadowFields }
///
/// let mut page = Page::default();
/// page.update_title("draft".into());
/// page.update_title("final".into());
/// page.detach_title();
///
/// let report = registry().report();
/// let row = report.iter().find(|row| row.field() == "title").unwrap();
/// assert_eq!((row.host(), row.value_type()), ("Page", "String"));
/// # #[cfg(feature = "counts")]
/// assert_eq!((row.attached(), row.updates(), row.detached(), row.live()), (1, 1, 1, 0));
/// assert_eq!(row.duplicates(), 0);
/// println!("declared at {}", row.declared_at());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row {
    field: &'static Field,
    attached: u64,
    detached: u64,
    updates: u64,
    duplicates: u64,
}

impl Report {
    pub(super) fn of(rows: Vec<Row>) -> Self {
        Self { rows }
    }

    /// The rows, in the order of the fields' first attaches.
    ///
    /// ```
    /// let report = shadow_runtime::registry().report();
    /// assert!(report.iter().all(|row| row.attached() >= row.live()));
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.rows.iter()
    }
}

impl<'report> IntoIterator for &'report Report {
    type Item = &'report Row;
    type IntoIter = std::slice::Iter<'report, Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Report {
    type Item = Row;
    type IntoIter = std::vec::IntoIter<Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

impl Row {
    pub(super) fn of(field: &'static Field, blocks: &Blocks) -> Self {
        let [attached, detached, updates, duplicates] = field.counts().read(blocks);
        Self { field, attached, detached, updates, duplicates }
    }

    /// The type of the host, as declared.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// assert_eq!(row.host(), "Page");
    /// ```
    #[must_use]
    pub const fn host(&self) -> &'static str {
        self.field.host()
    }

    /// The name of the field.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// assert_eq!(row.field(), "title");
    /// ```
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field.name()
    }

    /// The type of the value, as declared.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// assert_eq!(row.value_type(), "String");
    /// ```
    #[must_use]
    pub const fn value_type(&self) -> &'static str {
        self.field.value_type()
    }

    /// The field's policy.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// assert_eq!(row.policy(), Policy::GetOrUpdate);
    /// ```
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.field.policy()
    }

    /// The place of the declaration.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// assert!(row.declared_at().line() > 0);
    /// ```
    #[must_use]
    pub const fn declared_at(&self) -> &'static Location<'static> {
        self.field.place()
    }

    /// The number of hosts with the field at the time of the report; 0 without the feature `counts`.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// # #[cfg(feature = "counts")]
    /// assert_eq!(row.live(), 1);
    /// ```
    #[must_use]
    pub const fn live(&self) -> u64 {
        self.attached - self.detached
    }

    /// The number of attaches; 0 without the feature `counts`.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// # #[cfg(feature = "counts")]
    /// assert_eq!(row.attached(), 1);
    /// ```
    #[must_use]
    pub const fn attached(&self) -> u64 {
        self.attached
    }

    /// The number of ends, by a detach or by the drop of a host; 0 without the feature `counts`.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// assert_eq!(row.detached(), 0);
    /// ```
    #[must_use]
    pub const fn detached(&self) -> u64 {
        self.detached
    }

    /// The number of updates that replaced a value; 0 without the feature `counts`.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// assert_eq!(row.updates(), 0);
    /// ```
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.updates
    }

    /// The number of refused attaches; 0 without the feature `counts`.
    ///
    /// ```
    /// # use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
    /// # #[derive(Shadow, Default)]
    /// # #[shadow_field(get_or_update title: String)]
    /// # struct Page { shadow: ShadowFields }
    /// # let page = Page::default();
    /// # page.update_title("draft".into());
    /// # let report = registry().report();
    /// # let row = report.iter().next().unwrap();
    /// assert_eq!(row.duplicates(), 0);
    /// ```
    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }
}
