//! What a report can say: the windows it looks at and the names of its metrics.
//!
//! The names are `roc_auc`, `average_precision`, `log_loss`, `brier`, `calibration_error`, and with a number behind
//! the last underscore `recall_at_fpr_X`, `precision_at_threshold_X`, `recall_at_threshold_X`, `f1_at_threshold_X`,
//! `precision_at_k_K`, `recall_at_k_K`, `capacity_precision_at_k_K`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A window of the split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitName {
    /// Rows that were fitted.
    Train,
    /// Rows that stopped the fit early.
    Validation,
    /// Rows that judge the model.
    #[default]
    Test,
}

impl SplitName {
    /// The name as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

const PLAIN_METRICS: [&str; 5] = ["roc_auc", "average_precision", "log_loss", "brier", "calibration_error"];
const NUMBERED_METRICS: [&str; 7] = [
    "recall_at_fpr_",
    "precision_at_threshold_",
    "recall_at_threshold_",
    "f1_at_threshold_",
    "precision_at_k_",
    "recall_at_k_",
    "capacity_precision_at_k_",
];

/// Whether a report can hold a metric of this name.
pub fn is_known(name: &str) -> bool {
    let numbered = |prefix: &&str| {
        name.strip_prefix(*prefix).is_some_and(|number| number.parse::<f64>().is_ok_and(f64::is_finite))
    };
    PLAIN_METRICS.contains(&name) || NUMBERED_METRICS.iter().any(numbered)
}
