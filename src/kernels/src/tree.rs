//! Placeholder until the kernel lands.
use crate::{ensemble::Ensemble, frame::Frame, progress::Progress};
use contracts::{Code, Failure, Result, model_config};
pub fn fit(_: &model_config::DecisionTree, _: &Frame<'_>, _: &dyn Progress) -> Result<Ensemble> {
    Err(Failure::new(Code::InternalError, "not built"))
}
