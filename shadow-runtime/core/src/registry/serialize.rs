//! The report as data, by the feature `serde`: `Serialize` for the report and its parts.
//!
//! In: a report. Out: a sequence of rows, each a struct with a member for each method of [`Row`]. Neighbour:
//! `report.rs`. There is no `Deserialize`: the names of a row are texts of the program.
#![forbid(unsafe_code)]

use serde_core::ser::{Serialize, SerializeStruct, Serializer};

use crate::policy::Policy;
use crate::registry::{Place, Report, Row};

/// A sequence of rows.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

/// A struct with a member for each method.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 13)?;
        row.serialize_field("host", self.host())?;
        row.serialize_field("module_path", &self.module_path())?;
        row.serialize_field("field", self.field())?;
        row.serialize_field("number", &self.number())?;
        row.serialize_field("value_type", self.value_type())?;
        row.serialize_field("bytes_each", &self.bytes_each())?;
        row.serialize_field("policy", &self.policy())?;
        row.serialize_field("declared_at", &self.declared_at())?;
        row.serialize_field("live", &self.live())?;
        row.serialize_field("attached", &self.attached())?;
        row.serialize_field("detached", &self.detached())?;
        row.serialize_field("updates", &self.updates())?;
        row.serialize_field("refused", &self.refused())?;
        row.end()
    }
}

/// The text of `Display`: `src/net.rs:12:5`.
impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text of `Display`: the policy as in a declaration.
impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
