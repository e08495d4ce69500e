//! The bundle: a model with everything that shows where it came from.
//!
//! ```text
//!   Passed ──► assemble ──► Publishable          Reference<ModelBundle> ──► load ──► LoadedModel ──► scores
//! ```
//!
//! Invariant: a [`Publishable`] is made of a [`Passed`] alone, so that nothing else can be published.

mod load;

use contracts::{
    Checked, Reference, Result,
    bundle::{BundleKey, Compatibility, InputColumn, ModelBundle, bundle_version, input_schema_digest},
    feature::FeatureDefinitionSet,
    measurements::Measurements,
    names::{ColumnName, Name},
    run_receipt::Evidence,
    schema::SchemaVersion,
    signature::Signature,
};

pub(crate) use load::read_passed;
pub use load::{LoadedModel, load};

use crate::{
    artifact,
    gate::Passed,
    keys::{self, Keys},
    layout,
    store::Store,
};

/// A bundle whose run passed the gate and whose document is in the store.
#[derive(Debug)]
pub struct Publishable {
    bundle: Checked<ModelBundle>,
    reference: Reference<ModelBundle>,
    measurements: Option<Reference<Measurements>>,
}

impl Publishable {
    /// The bundle.
    pub fn bundle(&self) -> &Checked<ModelBundle> {
        &self.bundle
    }

    /// Where it stands and what its bytes are.
    pub fn reference(&self) -> &Reference<ModelBundle> {
        &self.reference
    }

    /// The evidence of its run.
    pub fn evidence(&self) -> Evidence {
        let measurements = self.measurements.clone();
        Evidence { measurements, ..Evidence::of_bundle(&self.bundle, &self.reference) }
    }
}

/// Puts the bundle of a run that passed together, signs it and writes its document with those of its verdict.
///
/// Refuses with `SIGNING_KEY_UNAVAILABLE` where nobody can sign.
#[allow(clippy::needless_pass_by_value, reason = "a verdict is used once")]
pub fn assemble(store: &dyn Store, keys: &Keys, passed: Passed) -> Result<Publishable> {
    let plan = passed.plan();
    let candidate = passed.candidate();
    let record = passed.record();
    let missing_allowed = plan.training_config.model.family() == "gradient_boosting";
    let categorical = plan.training_config.model.categorical_features();
    let input = |name: &ColumnName| InputColumn {
        name: name.clone(),
        missing_allowed,
        categorical: categorical.contains(name),
    };
    let input_schema: Vec<_> = plan.features.iter().map(input).collect();
    let compatibility = Compatibility {
        model_format: Name::new(artifact::FORMAT)?,
        family: record.family.clone(),
        input_schema: input_schema_digest(&input_schema)?,
    };
    let train_run_key = plan.train_run_key.digest()?;
    let bundle_id = BundleKey {
        train_run_key,
        dataset_manifests: plan.dataset_manifests.iter().map(|manifest| manifest.digest).collect(),
        model: candidate.model.digest,
        eval_report: candidate.eval_report.digest,
        gate_receipt: passed.receipt().digest,
        compatibility: &compatibility,
    }
    .id()?;
    let bundle = ModelBundle {
        schema_version: SchemaVersion::default(),
        bundle_version: bundle_version(&bundle_id, &plan.policy_revision, &plan.config_revision)?,
        bundle_id,
        train_run_id: plan.train_run_id.clone(),
        train_run_key,
        target_scope: plan.train_run_key.target_scope.clone(),
        model: candidate.model.clone(),
        model_bytes: record.model_bytes,
        input_schema,
        feature_definition_set: used_features(&plan.feature_definition_set, &plan.features),
        compatibility,
        decision_policy: plan.training_config.decision_policy.clone(),
        dataset_manifests: plan.dataset_manifests.clone(),
        training_config: plan.training_config_ref.clone(),
        governance_profile: plan.governance_profile_ref.clone(),
        plan: candidate.plan.clone(),
        execution_record: candidate.execution_record.clone(),
        eval_report: candidate.eval_report.clone(),
        champion: candidate.champion.clone(),
        gate_receipt: passed.receipt().clone(),
        publish_eligibility: passed.eligibility().clone(),
        policy_revision: plan.policy_revision.clone(),
        config_revision: plan.config_revision.clone(),
        code_release_id: plan.train_run_key.code_release_id.clone(),
        supersedes: plan.supersedes.clone(),
        signature: Signature::missing(),
    };
    let key = layout::of_run(&plan.platform_run_id, &plan.train_run_id, "bundle.json")?;
    // A bundle is not even written beside another verdict.
    passed.unwritten().require_free(store)?;
    let (bundle, reference) = keys::write_signed::<ModelBundle, _>(store, |batch| {
        batch.extend(passed.unwritten());
        let bundle = keys::standing_or_signed(store, keys, &key, bundle.clone())?;
        let reference = batch.add_document(key.clone(), &bundle);
        Ok((bundle, reference))
    })?;
    Ok(Publishable { bundle, reference, measurements: candidate.measurements.clone() })
}

fn used_features(set: &FeatureDefinitionSet, used: &[ColumnName]) -> FeatureDefinitionSet {
    let features = used
        .iter()
        .filter_map(|name| set.features.iter().find(|feature| feature.name == *name))
        .cloned()
        .collect();
    FeatureDefinitionSet { features, ..set.clone() }
}
