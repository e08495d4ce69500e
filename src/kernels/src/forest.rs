//! Placeholder until the kernel lands.
use crate::{ensemble::Ensemble, frame::Frame, progress::Progress, rng::Rng};
use contracts::{Code, Failure, Result, model_config};
use ndarray::{Array1, ArrayView2};
pub fn fit(_: &model_config::RandomForest, _: &Frame<'_>, _: Rng, _: &dyn Progress) -> Result<Ensemble> {
    Err(Failure::new(Code::InternalError, "not built"))
}
pub fn predict_proba(_: &Ensemble, _: ArrayView2<'_, f64>) -> Result<Array1<f64>> {
    Err(Failure::new(Code::InternalError, "not built"))
}
