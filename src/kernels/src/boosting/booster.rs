//! What a fit is told beside its rows.
//!
//! Flows in: hyper-parameters, constraints, a seed, and maybe a model to carry on with. Flows out: the trees that
//! a fit begins with. Invariant: these are trees that it may have grown, over the same columns, the same of them
//! categorical, and not too many.

use contracts::{Code, Failure, Result, model_config::GradientBoosting};

use super::{BoostingModel, Constraints, check_columns};
use crate::{ensemble::TreeView, rng::Rng};

/// What to fit, apart from the rows.
#[derive(Debug, Clone)]
pub struct Booster<'a> {
    /// Its hyper-parameters.
    pub config: &'a GradientBoosting,
    /// The config's constraints by the position of the columns.
    pub constraints: Constraints,
    /// Keys every random choice.
    pub rng: Rng,
    /// A model whose base score and first trees are taken over, as if they had been fitted here.
    pub start: Option<&'a BoostingModel>,
}

impl<'a> Booster<'a> {
    /// The trees to start with, for rows of so many columns, of which `categorical` (rising) hold categories.
    pub(super) fn first_trees(&self, columns: usize, categorical: &[u32]) -> Result<Vec<TreeView<'a>>> {
        let Some(start) = self.start else { return Ok(Vec::new()) };
        check_columns("features", start.columns(), columns)?;
        if start.categorical() != categorical {
            return Err(Failure::at(
                Code::FeatureSchemaIncompatible,
                "categorical_features",
                format!("columns {:?}, as in the trees that there are", start.categorical()),
                format!("columns {categorical:?}"),
            ));
        }
        if start.trees.len() > self.config.n_estimators as usize {
            return Err(Failure::at(
                Code::ParameterInvalid,
                "/n_estimators",
                format!("at least the {} trees that there are", start.trees.len()),
                "fewer",
            ));
        }
        Ok(start.trees.views().collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use contracts::model_config::{ClassWeight, GrowPolicy};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        boosting::{
            fit,
            tests::{config, fit_plain, sample},
        },
        frame::Frame,
        progress::Silent,
        rng::Rng,
    };

    #[test]
    fn a_start_must_fit() {
        let (features, positive) = sample(200, 15);
        let start = fit_plain(&config(), features.view(), &positive);
        let refused = |n_estimators, columns: usize| {
            let config = GradientBoosting { n_estimators, ..config() };
            let narrow = features.slice(ndarray::s![.., ..columns]);
            let frame = Frame::new(narrow, &positive, None).unwrap();
            let rng = Rng::from_u64(1);
            let booster =
                Booster { config: &config, constraints: Constraints::default(), rng, start: Some(&start) };
            fit(&booster, &frame, None, &Silent).map_err(|failure| failure.code)
        };
        assert_eq!(refused(19, 4), Err(Code::ParameterInvalid));
        assert_eq!(refused(25, 3), Err(Code::FeatureSchemaIncompatible));
        assert_eq!(refused(20, 4).unwrap(), start);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is drawn, wherever the fit is broken off, and whether it stops before.
        #[test]
        fn a_fit_carried_on_is_the_fit_at_once(
            seed in any::<u64>(),
            rows in 30..2_000_usize,
            (fewer, more) in (1..12_u32, 0..12_u32),
            (subsample, colsample) in prop_oneof![Just((1.0, 1.0)), Just((0.6, 1.0)), Just((1.0, 0.5)), Just((0.6, 0.5))],
            early_stopping_rounds in prop::option::of(1..5_u32),
            had_stopper in any::<bool>(),
            min_split_gain in prop_oneof![Just(0.0), Just(5.0)],
            depth_wise in any::<bool>(),
        ) {
            let (features, positive) = sample(rows, seed);
            let (other, other_positive) = sample(200, !seed);
            prop_assume!([&positive, &other_positive].iter().all(|all| all.contains(&true) && all.contains(&false)));
            let weights: Vec<f64> = (0..rows).map(|row| 0.1 + (row % 7) as f64).collect();
            let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
            let validation = Frame::new(other.view(), &other_positive, None).unwrap();
            let long = GradientBoosting {
                n_estimators: fewer + more,
                learning_rate: 0.5,
                class_weight: ClassWeight::Balanced,
                grow_policy: if depth_wise { GrowPolicy::DepthWise } else { GrowPolicy::LeafWise },
                subsample, colsample, early_stopping_rounds, min_split_gain,
                ..config()
            };
            let short = GradientBoosting {
                n_estimators: fewer,
                early_stopping_rounds: early_stopping_rounds.filter(|_| had_stopper),
                ..long.clone()
            };
            let carried = |config: &GradientBoosting, start: Option<&BoostingModel>| {
                let booster = Booster { config, constraints: Constraints::default(), rng: Rng::from_u64(seed), start };
                fit(&booster, &frame, Some(&validation), &Silent).unwrap()
            };
            let at_once = carried(&long, None);
            prop_assert_eq!(&carried(&long, Some(&carried(&short, None))), &at_once);
            prop_assert_eq!(&carried(&long, Some(&at_once)), &at_once);
        }
    }
}
