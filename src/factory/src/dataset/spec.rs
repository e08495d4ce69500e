//! What a dataset is to be built of: columns, labels, features and the cut.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{
    Code, Problems, Result,
    dataset_manifest::{ColumnRole, ContextPins, PrivacyClass, ReplayBasis},
    feature::{Aggregate, Definition, Feature, FeatureSetName},
    names::{ColumnName, Name, PlatformRunId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Column that says up to which moment a row's features know.
pub(super) const FEATURE_ASOF: &str = "feature_asof";
/// Column of the labels.
pub(super) const LABEL: &str = "label";
/// Column that says why a label is known or not.
pub(super) const LABEL_OUTCOME: &str = "label_outcome";
/// Column that says when a label became known.
pub(super) const LABEL_OBSERVED_TIME: &str = "label_observed_time";

/// Most rows of one partition, which is encoded and read as a whole.
const MAX_PARTITION_ROWS: u32 = 1 << 24;

/// Where the labels come from and as of when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSpec {
    /// What is labelled, such as `card_fraud`.
    pub family: Name,
    /// Column of the event that an assertion speaks about.
    pub event_id: ColumnName,
    /// Column of the asserted value: whole numbers, or true and false, which count as 1 and 0.
    pub value: ColumnName,
    /// Values that make an event positive.
    #[serde(default = "one")]
    pub positive_values: Vec<i64>,
    /// Values that make an event negative.
    #[serde(default = "zero")]
    pub negative_values: Vec<i64>,
    /// Column of when the fact became true.
    pub effective_time: ColumnName,
    /// Column of when the fact became known.
    pub observed_time: ColumnName,
    /// Nothing observed after this moment is used.
    pub label_asof_utc: Timestamp,
    /// Days a label needs before it counts as final.
    pub maturity_days: u32,
}

fn one() -> Vec<i64> {
    vec![1]
}

fn zero() -> Vec<i64> {
    vec![0]
}

/// The request to build a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// Run that owns the data.
    pub platform_run_id: PlatformRunId,
    /// Column that names the event.
    pub event_id: ColumnName,
    /// Column of when the event happened.
    pub event_time: ColumnName,
    /// Whether times without a zone are UTC; otherwise they are refused.
    #[serde(default)]
    pub naive_times_are_utc: bool,
    /// Columns of entities that are kept beside those that the features name.
    #[serde(default)]
    pub entities: BTreeSet<ColumnName>,
    /// The labels.
    pub labels: LabelSpec,
    /// Name and version of the features.
    pub feature_definition_set: FeatureSetName,
    /// The features, in column order.
    pub features: Vec<Feature>,
    /// Columns of numbers that are kept to group rows in reports.
    #[serde(default)]
    pub slices: BTreeSet<ColumnName>,
    /// Column of weights.
    #[serde(default)]
    pub weight: Option<ColumnName>,
    /// What columns of the dataset say about a person; the others say nothing.
    #[serde(default)]
    pub privacy_classes: BTreeMap<ColumnName, PrivacyClass>,
    /// Pins of the run that made the raw data.
    #[serde(default)]
    pub context_pins: Option<ContextPins>,
    /// Stretches of event logs that the data stands for.
    #[serde(default)]
    pub replay_basis: Vec<ReplayBasis>,
    /// Most rows of one partition.
    #[serde(default = "default_partition_rows")]
    pub partition_rows: u32,
    /// Revision of this request.
    pub config_revision: Name,
}

/// Most rows of one partition where nothing else is said.
pub const fn default_partition_rows() -> u32 {
    1 << 18
}

impl DatasetSpec {
    /// Refuses with `PARAMETER_INVALID`, naming every place that is wrong, and with `FEATURE_AFTER_EVENT` features
    /// of the column that holds the label.
    pub fn check(&self) -> Result<()> {
        let mut problems = Problems::default();
        let outputs = self.outputs()?;
        for (index, (name, role)) in outputs.iter().enumerate() {
            let taken = outputs[..index].iter().find(|(other, _)| other == name);
            if let Some((_, other)) = taken {
                problems.add(
                    place(*role, name),
                    "a name that no other column of the dataset has",
                    format!("the name of a column of the role {other:?}"),
                );
            }
        }
        self.labels.check(&mut problems);
        check_features(&self.features, &mut problems);
        for name in self.privacy_classes.keys() {
            let held = outputs.iter().any(|(output, _)| output == name);
            let pointer = format!("/privacy_classes/{name}");
            problems.require(held, pointer, "a column of the dataset", "another name");
        }
        let rows = self.partition_rows;
        let expected = format!("from 1 to {MAX_PARTITION_ROWS}");
        problems.require(
            (1..=MAX_PARTITION_ROWS).contains(&rows),
            "/partition_rows",
            expected,
            "another number",
        );
        problems.refuse(Code::ParameterInvalid, "dataset request")?;
        refuse_label_as_feature(&self.features, &self.labels)
    }

    /// Columns of entities: those that features name and those asked for, by name.
    pub(super) fn entity_columns(&self) -> BTreeSet<ColumnName> {
        let mut columns = feature_entities(&self.features);
        columns.extend(self.entities.iter().cloned());
        columns
    }

    /// Columns of numbers that are read, each with whether a null may stand in it: a slice or a weight needs a
    /// number.
    pub(super) fn number_columns(&self) -> BTreeMap<ColumnName, bool> {
        let mut columns = feature_numbers(&self.features);
        columns.extend(self.slice_columns().into_iter().chain(self.weight.clone()).map(|name| (name, false)));
        columns
    }

    /// Slices that are not at hand as a feature of the same name and content.
    pub(super) fn slice_columns(&self) -> BTreeSet<ColumnName> {
        let is_feature = |name: &ColumnName| {
            self.features.iter().any(|feature| {
                feature.name == *name
                    && matches!(&feature.definition, Definition::Column { column } if column == name)
            })
        };
        self.slices.iter().filter(|name| !is_feature(name)).cloned().collect()
    }

    /// The columns of the dataset with their roles, in their order.
    pub(super) fn outputs(&self) -> Result<Vec<(ColumnName, ColumnRole)>> {
        let mut outputs = vec![
            (self.event_id.clone(), ColumnRole::EventId),
            (self.event_time.clone(), ColumnRole::EventTime),
            (ColumnName::new(FEATURE_ASOF)?, ColumnRole::FeatureAsof),
        ];
        let feature_names = self.features.iter().map(|feature| feature.name.clone());
        outputs.extend(self.entity_columns().into_iter().map(|name| (name, ColumnRole::Entity)));
        outputs.extend(feature_names.map(|name| (name, ColumnRole::Feature)));
        outputs.extend(self.slice_columns().into_iter().map(|name| (name, ColumnRole::Slice)));
        outputs.extend(self.weight.clone().map(|name| (name, ColumnRole::Weight)));
        outputs.push((ColumnName::new(LABEL)?, ColumnRole::Label));
        outputs.push((ColumnName::new(LABEL_OUTCOME)?, ColumnRole::LabelOutcome));
        outputs.push((ColumnName::new(LABEL_OBSERVED_TIME)?, ColumnRole::LabelObservedTime));
        Ok(outputs)
    }
}

impl LabelSpec {
    /// Refuses with `PARAMETER_INVALID`.
    pub(super) fn check_alone(&self) -> Result<()> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        problems.refuse(Code::ParameterInvalid, "label request")
    }

    fn check(&self, problems: &mut Problems) {
        for (name, values) in
            [("positive_values", &self.positive_values), ("negative_values", &self.negative_values)]
        {
            let pointer = format!("/labels/{name}");
            problems.require(!values.is_empty(), pointer.clone(), "at least one value", "none");
            problems.require_distinct(&pointer, values);
        }
        let both = self.negative_values.iter().any(|value| self.positive_values.contains(value));
        problems.require(!both, "/labels/negative_values", "values that are not positive", "one that is");
        problems.require(self.maturity_days <= 36_500, "/labels/maturity_days", "at most 36500", "more");
    }
}

/// The request to compute features of events in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// Column that names the event, where there are labels.
    #[serde(default)]
    pub event_id: Option<ColumnName>,
    /// Column of when the event happened.
    pub event_time: ColumnName,
    /// Whether times without a zone are UTC; otherwise they are refused.
    #[serde(default)]
    pub naive_times_are_utc: bool,
    /// The features.
    pub features: Vec<Feature>,
    /// The labels, where a feature looks at them.
    #[serde(default)]
    pub labels: Option<LabelSpec>,
}

impl FeatureSpec {
    /// Refuses with `PARAMETER_INVALID`, naming every place that is wrong, and with `FEATURE_AFTER_EVENT` features
    /// of the column that holds the label.
    pub fn check(&self) -> Result<()> {
        let mut problems = Problems::default();
        check_features(&self.features, &mut problems);
        problems
            .require_distinct("/features/names", self.features.iter().map(|feature| feature.name.as_str()));
        if let Some(labels) = &self.labels {
            labels.check(&mut problems);
        }
        let asked = self.features.iter().any(uses_labels) || self.labels.is_some();
        problems.require(self.labels.is_some() || !asked, "/labels", "the labels that a rate is of", "none");
        problems.require(
            self.event_id.is_some() || !asked,
            "/event_id",
            "the events that labels name",
            "none",
        );
        problems.refuse(Code::ParameterInvalid, "feature request")?;
        self.labels.as_ref().map_or(Ok(()), |labels| refuse_label_as_feature(&self.features, labels))
    }
}

fn check_features(features: &[Feature], problems: &mut Problems) {
    problems.require(!features.is_empty(), "/features", "at least one feature", "none");
    for (index, feature) in features.iter().enumerate() {
        let pointer = format!("/features/{index}");
        feature.check(&pointer, problems);
        if let Definition::HourBetween { first, last } = feature.definition {
            let pointer = format!("{pointer}/definition");
            problems.require(first <= 23 && last <= 23, pointer, "hours from 0 to 23", "a later hour");
        }
    }
}

/// Events often come with the answer in a column of its own, under the name that it has among the labels.
fn refuse_label_as_feature(features: &[Feature], labels: &LabelSpec) -> Result<()> {
    let mut problems = Problems::default();
    for (index, feature) in features.iter().enumerate() {
        let column = match &feature.definition {
            Definition::Column { column } => Some(column),
            Definition::Window { column, .. } => column.as_ref(),
            _ => None,
        };
        problems.require(
            column != Some(&labels.value),
            format!("/features/{index}/definition/column"),
            "a column that is known when the event happens",
            "the column of the label",
        );
    }
    problems.refuse(Code::FeatureAfterEvent, "features").map_err(|failure| {
        failure.with_hint(
            "Leave it out; a window's rate uses the labels that are known by then. If the events hold \
             something else under this name, rename one of the two columns.",
        )
    })
}

/// Whether a feature looks at labels.
pub(super) const fn uses_labels(feature: &Feature) -> bool {
    matches!(feature.definition, Definition::Window { aggregate: Aggregate::Rate, .. })
}

/// Columns of entities that features name.
pub(super) fn feature_entities(features: &[Feature]) -> BTreeSet<ColumnName> {
    let entities = features.iter().filter_map(|feature| match &feature.definition {
        Definition::Window { entity, .. } => Some(entity.clone()),
        _ => None,
    });
    entities.collect()
}

/// Columns of numbers that features are made of, each with whether a null may stand in it: a null in a feature of
/// the event itself is a missing value, but a window needs a number.
pub(super) fn feature_numbers(features: &[Feature]) -> BTreeMap<ColumnName, bool> {
    let mut columns = BTreeMap::new();
    for feature in features {
        match &feature.definition {
            Definition::Column { column } => {
                columns.entry(column.clone()).or_insert(true);
            }
            Definition::Window { column: Some(column), .. } => {
                columns.insert(column.clone(), false);
            }
            _ => {}
        }
    }
    columns
}

/// Where in the request a column of the dataset is named.
fn place(role: ColumnRole, name: &ColumnName) -> String {
    match role {
        ColumnRole::EventId => "/event_id".to_owned(),
        ColumnRole::EventTime => "/event_time".to_owned(),
        ColumnRole::Entity => format!("/entities/{name}"),
        ColumnRole::Slice => format!("/slices/{name}"),
        ColumnRole::Weight => "/weight".to_owned(),
        _ => format!("/features/{name}"),
    }
}
