//! What a fit is told beside its rows.

use contracts::model_config::GradientBoosting;

use super::Constraints;
use crate::rng::Rng;

/// What to fit, apart from the rows.
#[derive(Debug, Clone)]
pub struct Booster<'a> {
    /// Its hyper-parameters.
    pub config: &'a GradientBoosting,
    /// The config's constraints by the position of the columns.
    pub constraints: Constraints,
    /// Keys every random choice.
    pub rng: Rng,
}
