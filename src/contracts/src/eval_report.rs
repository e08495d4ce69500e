//! How good a model is, in a fixed structure that a registry can parse.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    artifacts::ModelArtifact,
    execution_record::WindowRows,
    identity::digest::Digest,
    identity::ids::TrainRunId,
    metric::{SplitName, is_known},
    names::{ColumnName, Name},
    schema::{Document, Problems, SchemaVersion, artifact},
    train_run_key::TrainRunKey,
};

/// A metric with its confidence interval. Null where the metric is not defined on the rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The metric.
    pub value: Option<f64>,
    /// Lower end of the bootstrap interval.
    pub lower: Option<f64>,
    /// Upper end of the bootstrap interval.
    pub upper: Option<f64>,
}

/// Metrics by name; see [`crate::metric`].
pub type Metrics = BTreeMap<String, Estimate>;

/// A point of the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RocPoint {
    /// Share of negatives at or above the threshold.
    pub false_positive_rate: f64,
    /// Share of positives at or above the threshold.
    pub true_positive_rate: f64,
}

/// A point of the precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrecisionRecallPoint {
    /// Share of positives at or above the threshold.
    pub recall: f64,
    /// Share of the rows at or above the threshold that are positive.
    pub precision: f64,
}

/// Rows whose scores are alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// Number of rows.
    pub rows: u64,
    /// Their mean score.
    pub mean_score: f64,
    /// Share of them that is positive.
    pub observed_rate: f64,
}

/// What a threshold would do, in rows, or in weight where rows do not all count alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdRow {
    /// Scores of at least this are flagged.
    pub threshold: f64,
    /// Flagged and positive.
    pub true_positives: f64,
    /// Flagged and negative.
    pub false_positives: f64,
    /// Not flagged and positive.
    pub false_negatives: f64,
    /// Not flagged and negative.
    pub true_negatives: f64,
}

/// One day of the capacity metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacityDay {
    /// Days since the first day of the window.
    pub day: u32,
    /// Share of the entities looked at that were positive that day.
    pub precision: f64,
}

/// One group of a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliceReport {
    /// The slice's column.
    pub column: ColumnName,
    /// Number of the group, from 0.
    pub group: u32,
    /// Values of at least this; null has no bound.
    pub lower: Option<f64>,
    /// Values below this; null has no bound.
    pub upper: Option<f64>,
    /// Number of rows.
    pub rows: u64,
    /// Of these, positive.
    pub positive: u64,
    /// The metrics of the group.
    pub metrics: Metrics,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitReport {
    /// The window.
    pub split: SplitName,
    /// Its rows.
    pub rows: WindowRows,
    /// Its metrics.
    pub metrics: Metrics,
    /// The ROC curve.
    pub roc_curve: Vec<RocPoint>,
    /// The precision-recall curve.
    pub precision_recall_curve: Vec<PrecisionRecallPoint>,
    /// Reliability bins of equal count, from low scores to high.
    pub reliability: Vec<ReliabilityBin>,
    /// What each threshold would do.
    pub thresholds: Vec<ThresholdRow>,
    /// The capacity metric by day.
    pub capacity: Vec<CapacityDay>,
    /// The groups.
    pub slices: Vec<SliceReport>,
}

/// How far a distribution moved from train to test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// The feature, or `score`.
    pub name: ColumnName,
    /// Population stability index.
    pub psi: Option<f64>,
    /// Kolmogorov-Smirnov distance.
    pub ks: Option<f64>,
}

/// How steady the model is from day to day of the test window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StabilityDay {
    /// Days since the first day of the window.
    pub day: u32,
    /// Number of rows.
    pub rows: u64,
    /// Of these, positive.
    pub positive: u64,
    /// Mean score.
    pub mean_score: f64,
    /// ROC AUC of the day; null with one class.
    pub roc_auc: Option<f64>,
}

/// One leakage guard that looked and found nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeakageCheck {
    /// The code it would have raised.
    pub guard: Name,
    /// Rows or documents it looked at.
    pub checked: u64,
}

/// How good a model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvalReport {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The run.
    pub train_run_id: TrainRunId,
    /// What was to be done: digest of the run's key.
    pub train_run_key: Digest<TrainRunKey>,
    /// The model judged.
    pub model: Digest<ModelArtifact>,
    /// Coverage of the intervals; null where there are none.
    pub interval_level: Option<f64>,
    /// Number of bootstrap replicates.
    pub replicates: u32,
    /// The windows.
    pub splits: Vec<SplitReport>,
    /// How far scores and features moved from train to test.
    pub drift: Vec<Drift>,
    /// How steady the model is from day to day.
    pub stability: Vec<StabilityDay>,
    /// What the leakage guards looked at.
    pub leakage_audit: Vec<LeakageCheck>,
}

impl EvalReport {
    /// The report of one window.
    pub fn split(&self, name: SplitName) -> Option<&SplitReport> {
        self.splits.iter().find(|split| split.split == name)
    }
}

artifact!(
    EvalReport,
    "eval_report",
    EvalReportInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    EvalReportImmutabilityViolation
);

impl Document for EvalReport {
    fn check(&self, problems: &mut Problems) {
        problems.require_distinct("/splits", self.splits.iter().map(|split| split.split));
        for name in [SplitName::Train, SplitName::Test] {
            problems.require(
                self.split(name).is_some(),
                "/splits",
                format!("the split {}", name.as_str()),
                "nothing",
            );
        }
        for (index, split) in self.splits.iter().enumerate() {
            for name in split.metrics.keys() {
                problems.require(
                    is_known(name),
                    format!("/splits/{index}/metrics"),
                    "known metrics",
                    "another name",
                );
            }
        }
    }
}
