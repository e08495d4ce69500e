//! What a feature is: a definition that says what is known at an event's time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    identity::{digest::Digest, recipe},
    names::{ColumnName, Name, Span},
    schema::Problems,
};

/// What a window is summed up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Number of events; 0 where there are none.
    Count,
    /// Sum of a column; 0 where there are none.
    Sum,
    /// Mean of a column; missing where there are none.
    Mean,
    /// Least value of a column; missing where there are none.
    Min,
    /// Greatest value of a column; missing where there are none.
    Max,
    /// Sample standard deviation of a column; missing below two events.
    Std,
    /// Share of positive labels among those known by the event's time; 0 where none is known.
    Rate,
    /// Seconds since the entity's latest earlier event; missing where there is none.
    TimeSinceLast,
}

/// How a feature is computed from what is known at the event's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Definition {
    /// The event's own column.
    Column {
        /// The column.
        column: ColumnName,
    },
    /// An aggregate over the entity's events in `(t - delay - window, t - delay]`.
    Window {
        /// The column that names the entity.
        entity: ColumnName,
        /// Length of the window.
        window: Span,
        /// How long before the event the window ends.
        delay: Span,
        /// What the window is summed up to.
        aggregate: Aggregate,
        /// The column that is summed up; null for `count`, `rate` and `time_since_last`.
        column: Option<ColumnName>,
    },
    /// 1 on Saturday and Sunday (UTC), else 0.
    Weekend,
    /// 1 where the hour of the day (UTC) is from `first` to `last`, both included, else 0.
    HourBetween {
        /// First hour inside.
        #[schemars(range(min = 0, max = 23))]
        first: u8,
        /// Last hour inside.
        #[schemars(range(min = 0, max = 23))]
        last: u8,
    },
}

/// A named feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Name of the column it becomes.
    pub name: ColumnName,
    /// How it is computed.
    pub definition: Definition,
}

/// Which features a dataset holds, by name and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureSetName {
    /// Name of the set.
    pub feature_set_id: Name,
    /// Its version.
    pub feature_set_version: Name,
}

/// A feature with the digest of its definition, as a manifest pins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureDefinition {
    /// Name of the column it becomes.
    pub name: ColumnName,
    /// How it is computed.
    pub definition: Definition,
    /// Digest of name and definition under the recipe `feature.v1`.
    pub digest: Digest<Feature>,
}

/// All features of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureDefinitionSet {
    /// Name of the set.
    pub feature_set_id: Name,
    /// Its version.
    pub feature_set_version: Name,
    /// The features, in column order.
    #[schemars(length(min = 1, max = 4096))]
    pub features: Vec<FeatureDefinition>,
}

impl Feature {
    /// Digest of the feature under the recipe `feature.v1`.
    pub fn digest(&self) -> Result<Digest<Self>> {
        recipe::derive("feature.v1", self)
    }

    /// The feature with its digest.
    pub fn pin(self) -> Result<FeatureDefinition> {
        let digest = self.digest()?;
        Ok(FeatureDefinition { name: self.name, definition: self.definition, digest })
    }

    /// Notes what is wrong with the definition.
    pub fn check(&self, pointer: &str, problems: &mut Problems) {
        let Definition::Window { window, aggregate, column, .. } = &self.definition else { return };
        let pointer = format!("{pointer}/definition");
        let wants_column = matches!(
            aggregate,
            Aggregate::Sum | Aggregate::Mean | Aggregate::Min | Aggregate::Max | Aggregate::Std
        );
        problems.require(window.seconds() > 0, format!("{pointer}/window"), "more than zero", "zero");
        problems.require(
            column.is_some() == wants_column,
            format!("{pointer}/column"),
            if wants_column { "the column to sum up" } else { "null" },
            if column.is_some() { "a column" } else { "null" },
        );
    }
}

impl FeatureDefinitionSet {
    /// Notes definitions that are wrong, repeated, or not what their digest says.
    pub fn check(&self, pointer: &str, problems: &mut Problems) {
        let pointer = format!("{pointer}/features");
        problems.require_distinct(&pointer, self.features.iter().map(|feature| &feature.name));
        for (index, pinned) in self.features.iter().enumerate() {
            let feature = Feature { name: pinned.name.clone(), definition: pinned.definition.clone() };
            feature.check(&format!("{pointer}/{index}"), problems);
            let holds = feature.digest().is_ok_and(|digest| digest == pinned.digest);
            problems.require(
                holds,
                format!("{pointer}/{index}/digest"),
                "the digest of the definition",
                "another digest",
            );
        }
    }
}
