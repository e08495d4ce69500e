//! Columns as hyper-parameters name them.
//!
//! Flows in: the names of the columns of a fit, in order. Flows out: positions, and one refusal that shows the place
//! of every name that is none of theirs.

use std::collections::BTreeMap;

use contracts::{Code, Result, names::ColumnName, schema::Problems};

/// Where the columns of a fit stand.
#[derive(Debug)]
pub(super) struct Positions<'a> {
    columns: BTreeMap<&'a ColumnName, usize>,
    problems: Problems,
}

impl<'a> Positions<'a> {
    /// Those of these columns.
    pub(super) fn new(columns: &'a [ColumnName]) -> Self {
        Self { columns: columns.iter().zip(0..).collect(), problems: Problems::default() }
    }

    /// The position of the column that is named at `place`, if it is there.
    pub(super) fn find(&mut self, name: &ColumnName, place: String) -> Option<usize> {
        let found = self.columns.get(name).copied();
        self.problems.require(found.is_some(), place, "a feature that is used", "another name");
        found
    }

    /// Refuses with `FEATURE_SCHEMA_INCOMPATIBLE` if any name was none of theirs; `parameters` says of what.
    pub(super) fn refuse(self, parameters: &str) -> Result<()> {
        self.problems.refuse(Code::FeatureSchemaIncompatible, parameters)
    }
}
