//! A bundle read back, verified, ready to score.

use contracts::{
    Checked, Code, Failure, Reference, Result,
    bundle::ModelBundle,
    gate_receipt::{Eligibility, Verdict},
    names::ColumnName,
};
use kernels::{Model, ensemble::Value, frame};
use ndarray::{Array1, ArrayView2};

use crate::{
    artifact,
    keys::{self, Keys},
    store::{self, Store},
};

/// A model with its bundle.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    bundle: Checked<ModelBundle>,
    model: Model,
}

/// Reads and verifies a bundle: its signature, its document, model and PASS by digest, and the model against the
/// bundle's input schema.
///
/// Refuses with `EVIDENCE_UNRESOLVED`, `EVIDENCE_DIGEST_MISMATCH`, `SIGNATURE_INVALID`, `MODEL_INVALID` or
/// `GATE_DECISION_MISMATCH`.
pub fn load(store: &dyn Store, keys: &Keys, reference: &Reference<ModelBundle>) -> Result<LoadedModel> {
    let (bundle, bytes) = read_passed(store, keys, reference)?;
    let (family, model) = artifact::read(&bytes)?;
    let inputs = (0_u32..).zip(&bundle.input_schema);
    let categorical = inputs.filter(|(_, column)| column.categorical).map(|(position, _)| position);
    let fits = family == bundle.compatibility.family.as_str()
        && model.columns() == bundle.input_schema.len()
        && categorical.eq(model.categorical().iter().copied());
    if !fits {
        return Err(Failure::at(
            Code::ModelInvalid,
            "model",
            format!(
                "a {} over the {} columns of the input schema",
                bundle.compatibility.family,
                bundle.input_schema.len()
            ),
            format!("a {family} over {} columns, {} categorical", model.columns(), model.categorical().len()),
        ));
    }
    Ok(LoadedModel { bundle, model })
}

/// A bundle's document and its model's bytes, with its signature, report and PASS checked: what must hold whenever a
/// bundle is named. A digest proves sameness, a signature origin, a gate merit.
pub(crate) fn read_passed(
    store: &dyn Store,
    keys: &Keys,
    reference: &Reference<ModelBundle>,
) -> Result<(Checked<ModelBundle>, Vec<u8>)> {
    let bundle = keys::read_signed(store, keys, reference)?;
    let bytes = store::read(store, &bundle.model)?;
    store::read_document(store, &bundle.eval_report)?;
    let receipt = store::read_document(store, &bundle.gate_receipt)?;
    let eligibility = store::read_document(store, &bundle.publish_eligibility)?;
    let own = receipt.train_run_id == bundle.train_run_id
        && receipt.model == bundle.model.digest
        && receipt.eval_report == bundle.eval_report.digest
        && eligibility.gate_receipt == bundle.gate_receipt.digest;
    let passed = receipt.decision == Verdict::Pass && eligibility.eligibility == Eligibility::Eligible;
    if !passed || !own {
        return Err(Failure::new(
            Code::GateDecisionMismatch,
            format!("{} names a receipt that is no PASS of its own", bundle.bundle_id),
        ));
    }
    Ok((bundle, bytes))
}

impl LoadedModel {
    /// The bundle.
    pub fn bundle(&self) -> &Checked<ModelBundle> {
        &self.bundle
    }

    /// The model alone.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Names of the features, in the model's order.
    pub fn feature_names(&self) -> impl Iterator<Item = &ColumnName> {
        self.bundle.input_schema.iter().map(|column| &column.name)
    }

    /// Probability of the positive class for each row of `features` (rows x the model's features, in its order).
    ///
    /// Refuses with `FEATURE_SCHEMA_INCOMPATIBLE` another number of columns, with `NON_FINITE_INPUT` an infinity, or
    /// a missing value in a column that does not allow one, and with `CATEGORY_INVALID` what is no category in a
    /// column of those.
    pub fn predict_proba<T: Value>(&self, features: ArrayView2<'_, T>) -> Result<Array1<f64>> {
        for (column, values) in self.bundle.input_schema.iter().zip(features.columns()) {
            if column.categorical {
                frame::require_categories(values, column.name.as_str())?;
            }
        }
        if frame::is_finite(features) {
            return self.model.predict_proba(features);
        }
        for (column, values) in self.bundle.input_schema.iter().zip(features.columns()) {
            let refused = |value: &f64| value.is_infinite() || value.is_nan() && !column.missing_allowed;
            let count = values.iter().map(|&value| value.into()).filter(refused).count();
            if count > 0 {
                let expected = if column.missing_allowed {
                    "finite numbers or missing values"
                } else {
                    "finite numbers"
                };
                return Err(Failure::at(
                    Code::NonFiniteInput,
                    column.name.as_str(),
                    expected,
                    format!("{count} other values"),
                ));
            }
        }
        self.model.predict_proba(features)
    }
}
