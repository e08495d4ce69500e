//! The door for requests: who asks, for what, and which run that is.
//!
//! Flows in: a checked request. Flows out: an [`Admitted`] request with its run key. Nothing is recorded before
//! all of this holds, so that a refused request leaves nothing behind.

use contracts::{
    Checked, Code, Failure, Reference, Result, governance_profile::GovernanceProfile,
    identity::ids::TrainRunId, names::ObjectKey, train_request::TrainBuildRequest,
    train_run_key::TrainRunKey, training_config::TrainingConfig,
};

use crate::store::{self, Store};

/// A request that may run, with its config and profile as they are pinned.
#[derive(Debug, Clone)]
pub struct Admitted {
    request: Checked<TrainBuildRequest>,
    config: Checked<TrainingConfig>,
    profile: Checked<GovernanceProfile>,
    key: TrainRunKey,
    run: TrainRunId,
}

/// Admits a request.
///
/// Refuses with `OWNERSHIP_BOUNDARY_VIOLATION` references outside the platform run, with the codes of a config or
/// profile that cannot be read as it is pinned, and with `REQUESTER_NOT_ALLOWED` or `PUBLISH_NOT_ALLOWED` what the
/// profile does not let the requester ask for.
pub fn admit(store: &dyn Store, request: Checked<TrainBuildRequest>) -> Result<Admitted> {
    check_ownership(&request)?;
    let config = store::read_document(store, &request.training_config)?;
    let profile = store::read_document(store, &request.governance_profile)?;
    if !profile.roles.request.allows(&request.requester_principal) {
        return Err(Failure::new(
            Code::RequesterNotAllowed,
            "the governance profile does not let this principal request a run",
        ));
    }
    if request.publish_allowed && !profile.roles.publish.allows(&request.requester_principal) {
        return Err(Failure::new(
            Code::PublishNotAllowed,
            "the governance profile does not let this principal ask for publication",
        ));
    }
    let key = TrainRunKey::of(&request, &config);
    let run = key.id()?;
    Ok(Admitted { request, config, profile, key, run })
}

impl Admitted {
    /// The request.
    pub fn request(&self) -> &Checked<TrainBuildRequest> {
        &self.request
    }

    /// The config, as it is pinned.
    pub fn config(&self) -> &Checked<TrainingConfig> {
        &self.config
    }

    /// The profile, as it is pinned.
    pub fn profile(&self) -> &Checked<GovernanceProfile> {
        &self.profile
    }

    /// What the run's identity is made of.
    pub fn key(&self) -> &TrainRunKey {
        &self.key
    }

    /// The run.
    pub fn run(&self) -> &TrainRunId {
        &self.run
    }
}

/// Data may come from any run's `ofs/`; config and profile must stand in the request's own `mf/`.
fn check_ownership(request: &TrainBuildRequest) -> Result<()> {
    let refuse = |pointer: String, expected: String| {
        Err(Failure::at(Code::OwnershipBoundaryViolation, pointer, expected, "another place"))
    };
    let area = |key: &ObjectKey| key.as_str().split('/').nth(1).map(str::to_owned);
    for (index, Reference { uri, .. }) in request.dataset_manifests.iter().enumerate() {
        if uri.owner() == "registry" || area(uri).as_deref() != Some("ofs") {
            return refuse(
                format!("/dataset_manifests/{index}/uri"),
                "a place below <platform run>/ofs/".to_owned(),
            );
        }
    }
    let own = |key: &ObjectKey| {
        key.owner() == request.platform_run_id.as_str() && area(key).as_deref() == Some("mf")
    };
    for (name, uri) in [
        ("training_config", &request.training_config.uri),
        ("governance_profile", &request.governance_profile.uri),
    ] {
        if !own(uri) {
            return refuse(format!("/{name}/uri"), format!("a place below {}/mf/", request.platform_run_id));
        }
    }
    Ok(())
}
