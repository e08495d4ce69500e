//! Model families and their hyper-parameters.
//!
//! Flows in: JSON or TOML. Flows out: a family with every default written out. Ranges stand in the
//! schema, so one validation reports all of them at once. Names follow scikit-learn.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    constraint::{Direction, Interactions},
    names::ColumnName,
    schema::read_part,
};

/// How classes are weighted while fitting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeight {
    /// Each row counts with its own weight.
    #[default]
    None,
    /// Each class counts half: rows are scaled by `n / (2 * n_class)`, by weight.
    Balanced,
}

/// How many features a tree may look at for one split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaxFeatures {
    /// All of them.
    All,
    /// The square root of their number, rounded down, at least one.
    Sqrt,
}

/// Which leaf of a growing tree is split next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrowPolicy {
    /// The one that gains most, wherever it stands.
    #[default]
    LeafWise,
    /// All of a level before any of the next; where leaves run out within a level, those that gain most.
    DepthWise,
}

/// A model family with its hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum ModelConfig {
    /// Logistic regression with L1 and L2 penalties.
    LogisticRegression(LogisticRegression),
    /// One CART tree.
    DecisionTree(DecisionTree),
    /// Bagged CART trees.
    RandomForest(RandomForest),
    /// Histogram gradient boosting on the logistic loss.
    GradientBoosting(GradientBoosting),
}

impl ModelConfig {
    /// Reads a configuration that stands outside a document, such as an estimator's; refuses with
    /// `PARAMETER_INVALID`.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        read_part("model", bytes)
    }

    /// The family's name as documents write it.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::LogisticRegression(_) => "logistic_regression",
            Self::DecisionTree(_) => "decision_tree",
            Self::RandomForest(_) => "random_forest",
            Self::GradientBoosting(_) => "gradient_boosting",
        }
    }

    /// The features whose values are names and no amounts.
    pub fn categorical_features(&self) -> &[ColumnName] {
        match self {
            Self::GradientBoosting(config) => &config.categorical_features,
            Self::LogisticRegression(_) | Self::DecisionTree(_) | Self::RandomForest(_) => &[],
        }
    }
}

/// Logistic regression on standardised features, with L1 and L2 penalties.
///
/// Minimises `(l1_ratio * |w|_1 + (1 - l1_ratio) * 0.5 * |w|^2) / c + sum(weight * log_loss)`, the objective of
/// scikit-learn; the intercept is not penalised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogisticRegression {
    /// Inverse strength of the penalty.
    #[schemars(range(min = 1e-12, max = 1e12))]
    pub c: f64,
    /// Share of the penalty that is L1 and makes weights exactly zero: 0 is ridge, 1 lasso, between them
    /// elastic net.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub l1_ratio: f64,
    /// Whether features are centred and scaled by the training rows' mean and standard deviation.
    pub standardize: bool,
    /// Whether an intercept is fitted.
    pub fit_intercept: bool,
    /// Newton steps at the most; reaching it is `TRAINING_DIVERGED`.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_iter: u32,
    /// Converged when the largest absolute component of the mean gradient is below this.
    #[schemars(range(min = 1e-14, max = 1.0))]
    pub tol: f64,
    /// How classes are weighted.
    pub class_weight: ClassWeight,
}

impl Default for LogisticRegression {
    fn default() -> Self {
        Self {
            c: 1.0,
            l1_ratio: 0.0,
            standardize: true,
            fit_intercept: true,
            max_iter: 100,
            tol: 1e-10,
            class_weight: ClassWeight::None,
        }
    }
}

/// One CART tree, grown by Gini impurity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionTree {
    /// Longest path from root to leaf; null is unlimited.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_depth: Option<u32>,
    /// Rows a node needs before it may be split.
    #[schemars(range(min = 2, max = 1_000_000_000))]
    pub min_samples_split: u32,
    /// Rows each leaf needs.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_samples_leaf: u32,
    /// How classes are weighted.
    pub class_weight: ClassWeight,
}

impl Default for DecisionTree {
    fn default() -> Self {
        Self { max_depth: None, min_samples_split: 2, min_samples_leaf: 1, class_weight: ClassWeight::None }
    }
}

/// Bagged CART trees whose probabilities are averaged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomForest {
    /// Number of trees.
    #[schemars(range(min = 1, max = 100_000))]
    pub n_estimators: u32,
    /// Longest path from root to leaf; null is unlimited.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_depth: Option<u32>,
    /// Rows a node needs before it may be split.
    #[schemars(range(min = 2, max = 1_000_000_000))]
    pub min_samples_split: u32,
    /// Rows each leaf needs.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_samples_leaf: u32,
    /// Features looked at for one split.
    pub max_features: MaxFeatures,
    /// Whether each tree draws its rows with replacement.
    pub bootstrap: bool,
    /// How classes are weighted.
    pub class_weight: ClassWeight,
}

impl Default for RandomForest {
    fn default() -> Self {
        Self {
            n_estimators: 100,
            max_depth: None,
            min_samples_split: 2,
            min_samples_leaf: 1,
            max_features: MaxFeatures::Sqrt,
            bootstrap: true,
            class_weight: ClassWeight::None,
        }
    }
}

/// Histogram gradient boosting on the logistic loss.
///
/// What came after the first release stands in a document only where it is not the default, so that a
/// configuration that says nothing of it keeps its digest, its runs' ids and its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradientBoosting {
    /// Number of trees at the most.
    #[schemars(range(min = 1, max = 100_000))]
    pub n_estimators: u32,
    /// Shrinkage of each tree.
    #[schemars(range(min = 1e-6, max = 1.0))]
    pub learning_rate: f64,
    /// Which leaf is split next.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "leaf_wise"))]
    pub grow_policy: GrowPolicy,
    /// Leaves of a tree at the most.
    #[schemars(range(min = 2, max = 65_536))]
    pub max_leaf_nodes: u32,
    /// Longest path from root to leaf; null is unlimited.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_depth: Option<u32>,
    /// Rows each leaf needs.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_samples_leaf: u32,
    /// Sum of second derivatives that each leaf needs.
    #[schemars(range(min = 0.0, max = 1e12))]
    pub min_child_weight: f64,
    /// L1 penalty on leaf values.
    #[schemars(range(min = 0.0, max = 1e12))]
    pub l1_regularization: f64,
    /// L2 penalty on leaf values.
    #[schemars(range(min = 0.0, max = 1e12))]
    pub l2_regularization: f64,
    /// Loss reduction that a split needs.
    #[schemars(range(min = 0.0, max = 1e12))]
    pub min_split_gain: f64,
    /// Value bins of a feature at the most; one more holds missing values.
    #[schemars(range(min = 2, max = 255))]
    pub max_bins: u32,
    /// Share of rows drawn, without replacement, for each tree.
    #[schemars(range(min = 1e-6, max = 1.0))]
    pub subsample: f64,
    /// Share of features drawn for each tree.
    #[schemars(range(min = 1e-6, max = 1.0))]
    pub colsample: f64,
    /// Which way the score may go as a feature grows and the others stay, by feature: 1 is never down, -1 never
    /// up, 0 either. A missing value is compared with none, and categories have no order to go by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = null))]
    pub monotonic_cst: Option<BTreeMap<ColumnName, Direction>>,
    /// Features that may be looked at together on one path from the root of a tree to a leaf: groups of them,
    /// those in none forming one group more; or only one (`no_interactions`) or two (`pairwise`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = null))]
    pub interaction_cst: Option<Interactions>,
    /// Stop when the validation log loss has not improved for so many trees; null never stops early.
    /// Needs a validation window.
    #[schemars(range(min = 1, max = 100_000))]
    pub early_stopping_rounds: Option<u32>,
    /// How classes are weighted.
    pub class_weight: ClassWeight,
    /// Features whose values are names and no amounts: whole numbers from 0 up to below `max_bins`. A split
    /// sends a set of them left; one of which a split has seen fewer than ten rows goes where missing values go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub categorical_features: Vec<ColumnName>,
}

impl Default for GradientBoosting {
    fn default() -> Self {
        Self {
            n_estimators: 100,
            learning_rate: 0.1,
            grow_policy: GrowPolicy::LeafWise,
            max_leaf_nodes: 31,
            max_depth: None,
            min_samples_leaf: 20,
            min_child_weight: 1e-3,
            l1_regularization: 0.0,
            l2_regularization: 1.0,
            min_split_gain: 0.0,
            max_bins: 255,
            subsample: 1.0,
            colsample: 1.0,
            monotonic_cst: None,
            interaction_cst: None,
            early_stopping_rounds: None,
            class_weight: ClassWeight::None,
            categorical_features: Vec::new(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn defaults_are_written_out() {
        let read = ModelConfig::read(br#"{"family": "decision_tree", "max_depth": 3}"#).unwrap();
        let expected = DecisionTree { max_depth: Some(3), ..DecisionTree::default() };
        assert_eq!(read, ModelConfig::DecisionTree(expected));
    }

    #[test]
    fn every_problem_is_shown_at_once() {
        let text = br#"{"family": "gradient_boosting", "n_estimators": 0, "max_bins": 256, "depth": 3}"#;
        let refused = ModelConfig::read(text).unwrap_err();
        assert_eq!(refused.code, Code::ParameterInvalid);
        let pointers: Vec<_> = refused.problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers.len(), 3, "{pointers:?}");
        for pointer in ["/n_estimators", "/max_bins", "/depth"] {
            assert!(pointers.contains(&pointer), "{pointers:?}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for text in
            ["", "NaN", "{}", "[]", r#"{"family": "oracle"}"#, r#"{"family": "decision_tree", "c": NaN}"#]
        {
            assert_eq!(
                ModelConfig::read(text.as_bytes()).unwrap_err().code,
                Code::ParameterInvalid,
                "{text}"
            );
        }
    }
}
