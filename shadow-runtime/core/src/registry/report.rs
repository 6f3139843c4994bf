//! The registry's report: one row for each field.
//!
//! In: fields, under the registry's lock. Out: a snapshot of their counters. Neighbours: `mod.rs`, which makes the
//! report; `table.rs`, which prints the report.

use crate::fallible::{OutOfMemory, try_room};
use crate::policy::Policy;
use crate::registry::field::Names;
use crate::registry::{Field, Place, State};

/// A snapshot of the registry: one row for each shadow field. Returned by
/// [`Registry::report`](super::Registry::report).
///
/// `Display` prints a table. The table has a line for each host and module of a declaration, sorted by module and host,
/// and below this line a line for each field:
///
/// ```text
///   field   value      policy         live  attached  detached  updates  refused  declared at
/// Connection in app::net
///   alerts  AtomicU64  get_or_attach     2         3         1        0        0  src/net.rs:12
///   label   String     attach            1         1         0        0        1  src/net.rs:13
/// Connection in app::pool
///   idle    bool       attach            5         5         0        0        0  src/pool.rs:8
/// ```
///
/// | format | prints |
/// |---|---|
/// | `{}` | the table, as wide as the terminal on standard output, or 120 columns wide without a terminal |
/// | `{:100}` | the table, 100 columns wide, for example for a file or a log |
/// | `{:#}` | a paragraph for each field: a line for each column |
///
/// The table cuts no name. A table that is too wide first drops counters that are 0 for all fields, except `live`. Then
/// the place of each declaration moves to a line of its own, and then the type of each value. If the table is still too
/// wide, the paragraphs replace the table. Without the feature `counts`, no counters are printed. The width of the
/// terminal is known on Linux, Android, Apple's systems and the BSDs. The print allocates no memory.
///
/// ```
/// use shadow_runtime::{Shadow, ShadowFields, registry};
///
/// #[derive(Shadow, Default)]
/// #[shadow_field(get_or_attach hits: std::sync::atomic::AtomicU64)]
/// struct Page { shadow: ShadowFields }
///
/// Page::default().hits();
/// println!("{}", registry().report());
///
/// let table = format!("{:100}", registry().report());
/// assert!(table.lines().any(|line| line == format!("Page in {}", module_path!())));
/// assert!(table.lines().any(|line| line.contains("hits") && line.contains("get_or_attach")));
///
/// let paragraphs = format!("{:#}", registry().report());
/// assert!(paragraphs.lines().any(|line| line == "field        hits"));
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    rows: Vec<Row>,
    /// The indices of the rows, in the order of the printed table.
    sorted: Vec<usize>,
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
/// assert_eq!(row.refused(), 0);
/// println!("declared at {}", row.declared_at());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub(super) field: &'static Field,
    pub(super) names: Names,
    pub(super) live: u64,
    pub(super) attached: u64,
    pub(super) detached: u64,
    pub(super) updates: u64,
    pub(super) refused: u64,
}

impl Report {
    pub(super) fn of(rows: Vec<Row>) -> Result<Self, OutOfMemory> {
        let mut sorted = try_room(rows.len())?;
        sorted.extend(0..rows.len());
        sorted.sort_unstable_by_key(|&index| (rows[index].module_path(), rows[index].host(), index));
        Ok(Self { rows, sorted })
    }

    /// The rows, sorted by module and host.
    pub(super) fn sorted(&self) -> impl Iterator<Item = &Row> {
        self.sorted.iter().map(|&index| &self.rows[index])
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

    /// The events since an earlier report of the same process: the difference of each count. The number of live hosts
    /// is that of this report, and a field that is new since `earlier` has all its events.
    ///
    /// Takes time in proportion to the two reports, and allocates a report.
    ///
    /// ```
    /// use shadow_runtime::{Shadow, ShadowFields, registry};
    ///
    /// #[derive(Shadow, Default)]
    /// #[shadow_field(get_or_update title: String)]
    /// struct Page { shadow: ShadowFields }
    ///
    /// let page = Page::default();
    /// page.update_title("draft".into());
    /// let earlier = registry().report();
    /// page.update_title("final".into());
    ///
    /// let report = registry().report().since(&earlier);
    /// let row = report.iter().find(|row| row.field() == "title").unwrap();
    /// # #[cfg(feature = "counts")]
    /// assert_eq!((row.live(), row.attached(), row.updates()), (1, 0, 1));
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut report = self.clone();
        let mut before = earlier.rows.iter().peekable();
        // Both reports have the fields in the order of their first attaches.
        for row in &mut report.rows {
            if let Some(before) = before.next_if(|before| before.field == row.field) {
                row.subtract(before);
            }
        }
        report
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
    pub(super) fn of(field: &'static Field, state: &State) -> Self {
        let names = field.names_with(field.number().and_then(|number| state.descriptions.find(number)));
        let [attached, detached, updates, refused] = field.counts().read(&state.blocks);
        Self { field, names, live: attached - detached, attached, detached, updates, refused }
    }

    fn subtract(&mut self, before: &Self) {
        for (count, before) in [
            (&mut self.attached, before.attached),
            (&mut self.detached, before.detached),
            (&mut self.updates, before.updates),
            (&mut self.refused, before.refused),
        ] {
            *count = count.saturating_sub(before);
        }
    }

    /// The type of the host, as declared. For a field of [`raw`](crate::raw), `*const ()`, or the host of the
    /// [description](crate::raw::describe).
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
        self.names.host
    }

    /// The module of the declaration, as of [`module_path!`]. The module tells two hosts of the same name apart. `None`
    /// for a field of [`raw`](crate::raw), which belongs to no module.
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
    /// assert_eq!(row.module_path(), Some(module_path!()));
    /// ```
    #[must_use]
    pub const fn module_path(&self) -> Option<&'static str> {
        self.field.module()
    }

    /// The name of the field. For a field of [`raw`](crate::raw), the name of its
    /// [description](crate::raw::describe); or the name of the id that attached the first value; or else the number.
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
        self.names.name
    }

    /// The type of the value, as declared or as [described](crate::raw::describe).
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
        self.names.value_type
    }

    /// The size of a value in bytes, as of [`size_of`]: without the memory that the value owns elsewhere, and without
    /// the memory that the library uses beside the value. For a [`PointerId`](crate::raw::PointerId), the size of the
    /// pointer. `None` if the size depends on a type parameter of the host.
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
    /// assert_eq!(row.bytes_each(), Some(size_of::<String>()));
    /// ```
    #[must_use]
    pub const fn bytes_each(&self) -> Option<usize> {
        self.field.value_size()
    }

    /// The number of a field of [`raw`](crate::raw), which stays when the field has a name. `None` for a declared
    /// field.
    ///
    /// ```
    /// use shadow_runtime::{raw, registry};
    ///
    /// const COUNTER: raw::Id<u64> = raw::Id::named(7, "counter");
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields, and no reference to a value is kept.
    /// unsafe {
    ///     COUNTER.attach(key, 1).unwrap();
    ///     raw::detach_object(key);
    /// }
    /// let report = registry().report();
    /// let row = report.iter().find(|row| row.number() == Some(7)).unwrap();
    /// assert_eq!(row.field(), "counter");
    /// ```
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        self.field.number()
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

    /// The place of the declaration. For a field of [`raw`](crate::raw), the place of the
    /// [description](crate::raw::describe), or of the id that attached the first value.
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
    pub const fn declared_at(&self) -> Place {
        self.names.place
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
        self.live
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

    /// The number of values that a detach returned or the drop of a host dropped; 0 without the feature `counts`.
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
    /// assert_eq!(row.refused(), 0);
    /// ```
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}
