//! Under which configuration of the platform a worker works.

use serde::{Deserialize, Serialize};

use crate::{
    Failure, Result,
    code::Code,
    identity::{digest::Digest, recipe},
    names::{Name, PlatformRunId},
    train_request::TrainBuildRequest,
};

/// What a worker takes jobs for: the one platform run that is active for it, under these revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The active platform run.
    pub platform_run_id: PlatformRunId,
    /// Revision of the policy in force.
    pub policy_revision: Name,
    /// Revision of the platform's configuration.
    pub config_revision: Name,
    /// Release of the code that runs.
    pub code_release_id: Name,
}

impl RunConfig {
    /// What a job names the configuration by: the recipe `run_config.v1`.
    pub fn digest(&self) -> Result<Digest<Self>> {
        recipe::derive("run_config.v1", self)
    }

    /// Refuses a request that is not for this configuration: with `RUN_SCOPE_INVALID` one of another platform run, with
    /// `RUN_CONFIG_MISMATCH` one of other revisions or another release.
    pub fn require_fit(&self, request: &TrainBuildRequest) -> Result<()> {
        let named = [
            (
                "platform_run_id",
                Code::RunScopeInvalid,
                self.platform_run_id.as_str(),
                request.platform_run_id.as_str(),
            ),
            (
                "policy_revision",
                Code::RunConfigMismatch,
                self.policy_revision.as_str(),
                request.policy_revision.as_str(),
            ),
            (
                "config_revision",
                Code::RunConfigMismatch,
                self.config_revision.as_str(),
                request.config_revision.as_str(),
            ),
            (
                "code_release_id",
                Code::RunConfigMismatch,
                self.code_release_id.as_str(),
                request.code_release_id.as_str(),
            ),
        ];
        match named.into_iter().find(|(_, _, own, asked)| own != asked) {
            None => Ok(()),
            Some((field, code, own, _)) => Err(Failure::at(
                code,
                format!("/train_request/{field}"),
                format!("{own}, as in the worker's run configuration"),
                "another",
            )
            .with_hint("Ask under the configuration that is active, or send the job to its own worker.")),
        }
    }
}
