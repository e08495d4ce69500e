//! Everything a run needs, read by digest, checked to fit together, and pinned in a plan.
//!
//! ```text
//!   Admitted ──► manifests ──► compatibility ──► ResolvedTrainPlan (to be written once) ──► Resolved
//! ```

use contracts::{
    Checked, Code, Failure, Problems, Reference, Result,
    dataset_manifest::{ColumnRole, DatasetManifest},
    feature::Definition,
    model_config::ModelConfig,
    names::ColumnName,
    resolved_plan::ResolvedTrainPlan,
    schema::SchemaVersion,
    training_config::TrainingConfig,
};
use kernels::boosting::{self, Constraints};

use crate::{
    admission::Admitted,
    layout,
    store::{self, Batch, Store},
};

/// A run whose inputs are all there, fit together, and are pinned.
#[derive(Debug)]
pub struct Resolved {
    plan: Checked<ResolvedTrainPlan>,
    reference: Reference<ResolvedTrainPlan>,
    manifests: Vec<Checked<DatasetManifest>>,
}

impl Resolved {
    /// Reads a plan and its manifests back, by digest.
    pub fn reopen(store: &dyn Store, reference: &Reference<ResolvedTrainPlan>) -> Result<Self> {
        let plan = store::read_document(store, reference)?;
        let manifests = plan
            .dataset_manifests
            .iter()
            .map(|manifest| store::read_document(store, manifest))
            .collect::<Result<_>>()?;
        Ok(Self { plan, reference: reference.clone(), manifests })
    }

    /// The plan.
    pub fn plan(&self) -> &Checked<ResolvedTrainPlan> {
        &self.plan
    }

    /// Where the plan stands and what its bytes are.
    pub fn reference(&self) -> &Reference<ResolvedTrainPlan> {
        &self.reference
    }

    /// The manifests, in the order of the run key.
    pub fn manifests(&self) -> &[Checked<DatasetManifest>] {
        &self.manifests
    }
}

/// Resolves an admitted request, and gives its plan to be written before anything names it.
///
/// Refuses with the codes of the category RESOLUTION, with `LABEL_RULE_MISMATCH`, with `PARAMETER_INVALID`
/// constraints that make no sense for a categorical feature, and with `OWNERSHIP_BOUNDARY_VIOLATION` a manifest
/// whose partitions stand outside its own run's data.
pub fn resolve(store: &dyn Store, admitted: &Admitted) -> Result<(Resolved, Batch)> {
    let (request, config, profile) = (admitted.request(), admitted.config(), admitted.profile());
    let mut references = request.dataset_manifests.clone();
    references.sort_unstable_by_key(|reference| reference.digest);
    let manifests = references
        .iter()
        .map(|reference| store::read_document(store, reference))
        .collect::<Result<Vec<_>>>()?;
    for manifest in &manifests {
        check_manifest(manifest, admitted)?;
    }
    let first = check_alike(&manifests)?;
    let features = select_features(first, config)?;
    check_named(first, config, &features)?;
    check_columns(first, config)?;
    let key = admitted.key().clone();
    let seed = config.seed_policy.base_seed;
    let plan = Checked::new(ResolvedTrainPlan {
        schema_version: SchemaVersion::default(),
        train_run_id: admitted.run().clone(),
        platform_run_id: request.platform_run_id.clone(),
        dataset_manifests: references,
        training_config_ref: request.training_config.clone(),
        training_config: (**config).clone(),
        governance_profile_ref: request.governance_profile.clone(),
        governance_profile: (**profile).clone(),
        features,
        feature_definition_set: first.feature_definition_set.clone(),
        label_basis: manifests.iter().map(|manifest| manifest.label_basis.clone()).collect(),
        train_seed: key.stage_seed("train", seed)?,
        evaluate_seed: key.stage_seed("evaluate", seed)?,
        policy_revision: request.policy_revision.clone(),
        config_revision: request.config_revision.clone(),
        supersedes: request.supersedes.clone(),
        train_run_key: key,
    })?;
    let mut unwritten = Batch::default();
    let reference = unwritten.add_document(layout::plan(&plan.platform_run_id, &plan.train_run_id)?, &plan);
    Ok((Resolved { plan, reference, manifests }, unwritten))
}

/// One manifest against config and profile.
fn check_manifest(manifest: &DatasetManifest, admitted: &Admitted) -> Result<()> {
    let (config, profile) = (admitted.config(), admitted.profile());
    let id = &manifest.dataset_manifest_id;
    let data = format!("{}/ofs/", manifest.platform_run_id);
    let outside = manifest.partitions.iter().position(|partition| !partition.uri.as_str().starts_with(&data));
    if let Some(index) = outside {
        return Err(Failure::at(
            Code::OwnershipBoundaryViolation,
            format!("/partitions/{index}/uri"),
            format!("a place below {data}"),
            "another place",
        ));
    }
    let proven = manifest
        .pass_proof
        .as_ref()
        .is_some_and(|proof| proof.dataset_fingerprint == manifest.dataset_fingerprint);
    if !proven {
        return Err(Failure::at(
            Code::PassProofMissing,
            "/pass_proof",
            "checks bound to the fingerprint",
            "none",
        )
        .with_hint(format!("Build {id} again.")));
    }
    let set = &manifest.feature_definition_set;
    let wanted = &config.feature_definition_set;
    if set.feature_set_id != wanted.feature_set_id || set.feature_set_version != wanted.feature_set_version {
        return Err(Failure::at(
            Code::FeatureSchemaIncompatible,
            "/feature_definition_set",
            format!("{} {}", wanted.feature_set_id, wanted.feature_set_version),
            format!("{} {}", set.feature_set_id, set.feature_set_version),
        ));
    }
    if manifest.label_basis.label_family != config.label.family {
        return Err(Failure::at(
            Code::LabelRuleMismatch,
            "/label/family",
            format!("{}, as the manifest labels", manifest.label_basis.label_family),
            config.label.family.to_string(),
        ));
    }
    if manifest.label_basis.positive_values != config.label.positive_values {
        return Err(Failure::at(
            Code::LabelRuleMismatch,
            "/label/positive_values",
            "the values that the manifest counts as positive",
            "others",
        ));
    }
    if let Some(column) = manifest
        .columns(ColumnRole::Feature)
        .find(|column| profile.privacy_classes_refused.contains(&column.privacy_class))
    {
        return Err(Failure::at(
            Code::PrivacyClassRefused,
            column.name.as_str(),
            "a class that the profile allows as a feature",
            format!("{:?}", column.privacy_class),
        ));
    }
    let window = &manifest.time_window;
    let inside = profile
        .dataset_window
        .is_none_or(|allowed| allowed.start <= window.start && window.end <= allowed.end);
    if !inside {
        return Err(Failure::at(
            Code::DatasetWindowRefused,
            "/time_window",
            "inside the window that the profile allows",
            format!("{} to {}", window.start, window.end),
        ));
    }
    let asof = manifest.label_basis.label_asof_utc;
    if config.split.test.end > asof {
        return Err(Failure::at(
            Code::AsOfInconsistent,
            "/split/test",
            format!("a window that ends by the as-of cut {asof}"),
            format!("one that ends {}", config.split.test.end),
        ));
    }
    Ok(())
}

/// All manifests must hold the same columns, features and labels; the first stands for all.
fn check_alike(manifests: &[Checked<DatasetManifest>]) -> Result<&DatasetManifest> {
    let (first, rest) = manifests
        .split_first()
        .ok_or_else(|| Failure::new(Code::ManifestRefMissing, "a run needs a dataset manifest"))?;
    for manifest in rest {
        if manifest.schema != first.schema || manifest.feature_definition_set != first.feature_definition_set
        {
            return Err(Failure::at(
                Code::FeatureSchemaIncompatible,
                "/dataset_manifests",
                "manifests of the same columns and features",
                "different ones",
            ));
        }
        let (labels, other) = (&first.label_basis, &manifest.label_basis);
        if labels.label_asof_utc != other.label_asof_utc {
            return Err(Failure::at(
                Code::AsOfInconsistent,
                "/dataset_manifests",
                format!("the as-of cut {}", labels.label_asof_utc),
                other.label_asof_utc.to_string(),
            ));
        }
        if labels.resolution_rule != other.resolution_rule || labels.maturity_days != other.maturity_days {
            return Err(Failure::at(
                Code::LabelRuleMismatch,
                "/dataset_manifests",
                "one rule and maturity for all labels",
                "different ones",
            ));
        }
    }
    Ok(first)
}

fn select_features(manifest: &DatasetManifest, config: &TrainingConfig) -> Result<Vec<ColumnName>> {
    let held: Vec<_> = manifest.columns(ColumnRole::Feature).map(|column| column.name.clone()).collect();
    let Some(wanted) = &config.features else { return Ok(held) };
    match wanted.iter().find(|name| !held.contains(name)) {
        None => Ok(wanted.clone()),
        Some(missing) => Err(Failure::at(
            Code::FeatureSchemaIncompatible,
            missing.as_str(),
            "a feature of the manifest",
            "nothing",
        )),
    }
}

/// Features that the model's hyper-parameters name must be used, and categorical ones must be columns of the event
/// itself: a window's aggregate is an amount.
fn check_named(manifest: &DatasetManifest, config: &TrainingConfig, features: &[ColumnName]) -> Result<()> {
    let ModelConfig::GradientBoosting(boosting) = &config.model else { return Ok(()) };
    let categorical = boosting::categorical(boosting, "/model", features)?;
    let defined = &manifest.feature_definition_set.features;
    let is_column = |name: &str| {
        defined.iter().any(|feature| {
            feature.name.as_str() == name && matches!(feature.definition, Definition::Column { .. })
        })
    };
    let mut problems = Problems::default();
    for (index, column) in categorical.iter().enumerate() {
        problems.require(
            is_column(&column.name),
            format!("/model/categorical_features/{index}"),
            "a feature that is a column of the event",
            "a computed feature",
        );
    }
    problems.refuse(Code::FeatureSchemaIncompatible, "training_config")?;
    Constraints::new(boosting, "/model", features).map(drop)
}

/// Entities and slices that the config names must be in the data.
fn check_columns(manifest: &DatasetManifest, config: &TrainingConfig) -> Result<()> {
    let evaluation = &config.evaluation;
    let entities = [
        evaluation.capacity.as_ref().map(|capacity| &capacity.entity),
        evaluation.known_positives.as_ref().map(|known| &known.entity),
        config.split.entity_disjoint.as_ref(),
    ];
    let slices = evaluation.slices.iter().map(|slice| &slice.column);
    let wanted = entities
        .into_iter()
        .flatten()
        .map(|name| (name, &[ColumnRole::Entity][..], "an entity of the manifest"));
    let wanted = wanted.chain(slices.map(|name| {
        (name, &[ColumnRole::Feature, ColumnRole::Slice][..], "a feature or slice of the manifest")
    }));
    for (name, roles, expected) in wanted {
        if !manifest.schema.iter().any(|column| column.name == *name && roles.contains(&column.role)) {
            return Err(Failure::at(Code::FeatureSchemaIncompatible, name.as_str(), expected, "nothing"));
        }
    }
    Ok(())
}
