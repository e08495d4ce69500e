//! What to fit, on which rows, and how to look at the result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    feature::FeatureSetName,
    model_config::ModelConfig,
    names::{ColumnName, Name, Span},
    schema::{Document, Problems, SchemaVersion, artifact},
    time::TimeWindow,
};

/// What becomes of rows whose label is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownLabels {
    /// They are left out and counted.
    #[default]
    Exclude,
    /// They stop the run with `LABEL_IMMATURE`.
    Refuse,
}

/// The label that is learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSelection {
    /// Must be the manifest's label family.
    pub family: Name,
    /// Must be the values that the manifest counts as positive.
    #[serde(default = "positive_values")]
    #[schemars(length(min = 1, max = 100))]
    pub positive_values: Vec<i64>,
    /// What becomes of rows that are censored, conflicting or immature.
    #[serde(default)]
    pub unknown: UnknownLabels,
}

fn positive_values() -> Vec<i64> {
    vec![1]
}

/// How rows are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitStrategy {
    /// By event time.
    Time,
}

/// Train, then a gap, then validation, then a gap, then test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// How rows are split.
    pub strategy: SplitStrategy,
    /// Rows that are fitted.
    pub train: TimeWindow,
    /// Rows that stop the fit early.
    #[serde(default)]
    pub validation: Option<TimeWindow>,
    /// Rows that judge the model.
    pub test: TimeWindow,
    /// Least time between the end of one window and the start of the next.
    pub gap: Span,
    /// Entity that may not stand in both train and test.
    #[serde(default)]
    pub entity_disjoint: Option<ColumnName>,
}

/// Where randomness comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeedPolicy {
    /// Goes into every stage seed.
    pub base_seed: u64,
}

/// Leaves out test rows of entities already known to be positive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownPositives {
    /// The entity, such as the card.
    pub entity: ColumnName,
    /// Whole days until a positive is known.
    #[schemars(range(max = 3_650))]
    pub delay_days: u32,
}

/// How many entities a day can be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// The entity, such as the card.
    pub entity: ColumnName,
    /// How many a day.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub k: u32,
}

/// Groups rows for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// A feature column, or a column of the role slice.
    pub column: ColumnName,
    /// Edges between groups; a value goes into the group whose lower edge it reaches.
    #[schemars(length(min = 1, max = 100))]
    pub edges: Vec<f64>,
}

/// Bootstrap confidence intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Number of replicates; 0 leaves intervals out.
    #[schemars(range(max = 100_000))]
    pub replicates: u32,
    /// Coverage of the interval.
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { replicates: 200, level: 0.95 }
    }
}

/// How the result is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Evaluation {
    /// Score thresholds for precision, recall and F1.
    #[schemars(length(max = 100), inner(range(min = 0.0, max = 1.0)))]
    pub thresholds: Vec<f64>,
    /// Numbers of highest scores for precision and recall.
    #[schemars(length(max = 100), inner(range(min = 1, max = 1_000_000_000)))]
    pub top_k: Vec<u32>,
    /// False-positive rates at which recall is read.
    #[schemars(length(max = 100), inner(range(min = 0.0, max = 1.0)))]
    pub false_positive_rates: Vec<f64>,
    /// Number of reliability bins of equal count.
    #[schemars(range(min = 2, max = 1_000))]
    pub calibration_bins: u32,
    /// Entities that can be looked at each day.
    pub capacity: Option<Capacity>,
    /// Leaves out entities already known to be positive.
    pub known_positives: Option<KnownPositives>,
    /// Groups of rows.
    #[schemars(length(max = 100))]
    pub slices: Vec<Slice>,
    /// Confidence intervals.
    pub bootstrap: Bootstrap,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            thresholds: vec![0.5],
            top_k: vec![100],
            false_positive_rates: vec![0.01],
            calibration_bins: 10,
            capacity: None,
            known_positives: None,
            slices: Vec::new(),
            bootstrap: Bootstrap::default(),
        }
    }
}

/// How a model is used once it is active.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionPolicy {
    /// Scores of at least this raise an alert.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alert_threshold: f64,
}

impl Default for DecisionPolicy {
    fn default() -> Self {
        Self { alert_threshold: 0.5 }
    }
}

/// What to fit, on which rows, and how to look at the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// Name of the config.
    pub config_id: Name,
    /// Its revision.
    pub revision: Name,
    /// Family and hyper-parameters.
    pub model: ModelConfig,
    /// Must be the manifest's feature set.
    pub feature_definition_set: FeatureSetName,
    /// Feature columns that are used, in the model's order; null uses all.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4096))]
    pub features: Option<Vec<ColumnName>>,
    /// The label that is learnt.
    pub label: LabelSelection,
    /// How rows are split.
    pub split: Split,
    /// Where randomness comes from.
    pub seed_policy: SeedPolicy,
    /// How the result is looked at.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// How the model is used.
    #[serde(default)]
    pub decision_policy: DecisionPolicy,
}

artifact!(
    TrainingConfig,
    "training_config",
    TrainingConfigInvalid,
    TrainingConfigUnresolved,
    TrainingConfigDigestMismatch,
    TrainingConfigImmutabilityViolation
);

impl Document for TrainingConfig {
    fn check(&self, problems: &mut Problems) {
        for (name, window) in [
            ("train", Some(&self.split.train)),
            ("validation", self.split.validation.as_ref()),
            ("test", Some(&self.split.test)),
        ] {
            if let Some(window) = window {
                problems.require(
                    window.start < window.end,
                    format!("/split/{name}"),
                    "a start before the end",
                    "none",
                );
            }
        }
        if let Some(features) = &self.features {
            problems.require_distinct("/features", features);
        }
        if let ModelConfig::GradientBoosting(boosting) = &self.model {
            let served = boosting.early_stopping_rounds.is_none() || self.split.validation.is_some();
            problems.require(served, "/split/validation", "a window for early stopping", "null");
            let categorical = &boosting.categorical_features;
            problems.require_distinct("/model/categorical_features", categorical);
            for (index, name) in categorical.iter().enumerate() {
                problems.require(
                    self.features.as_ref().is_none_or(|features| features.contains(name)),
                    format!("/model/categorical_features/{index}"),
                    "one of the features that are used",
                    "another name",
                );
            }
        }
        for (index, slice) in self.evaluation.slices.iter().enumerate() {
            let rising = slice.edges.is_sorted_by(|a, b| a < b);
            problems.require(
                rising,
                format!("/evaluation/slices/{index}/edges"),
                "edges that rise",
                "another order",
            );
        }
        problems
            .require_distinct("/evaluation/slices", self.evaluation.slices.iter().map(|slice| &slice.column));
        problems.require_distinct("/evaluation/top_k", &self.evaluation.top_k);
        for (name, values) in [
            ("thresholds", &self.evaluation.thresholds),
            ("false_positive_rates", &self.evaluation.false_positive_rates),
        ] {
            problems
                .require_distinct(&format!("/evaluation/{name}"), values.iter().map(|value| value.to_bits()));
        }
    }
}
