//! Every kind of thing that stands in the store, in one table.

use crate::{
    Code,
    bundle::ModelBundle,
    dataset_manifest::DatasetManifest,
    error_response::ErrorResponse,
    eval_report::EvalReport,
    execution_record::ExecutionRecord,
    gate_receipt::{GateReceipt, PublishEligibility},
    governance_profile::GovernanceProfile,
    lifecycle_event::RegistryLifecycleEvent,
    measurements::Measurements,
    publication::BundlePublication,
    resolution::BundleResolution,
    resolved_plan::ResolvedTrainPlan,
    run_receipt::RunReceipt,
    schema::Artifact,
    train_request::TrainBuildRequest,
    training_config::TrainingConfig,
};

/// One Parquet file of a dataset.
#[derive(Debug)]
pub enum Partition {}

/// The arrays of a fitted model, as safetensors.
#[derive(Debug)]
pub enum ModelArtifact {}

macro_rules! artifacts {
    ($($kind:ty, $name:literal, $invalid:ident, $unresolved:ident, $mismatch:ident, $violation:ident;)*) => {$(
        impl Artifact for $kind {
            const NAME: &'static str = $name;
            const INVALID: Code = Code::$invalid;
            const UNRESOLVED: Code = Code::$unresolved;
            const MISMATCH: Code = Code::$mismatch;
            const VIOLATION: Code = Code::$violation;
        }
    )*};
}

artifacts! {
    Partition, "partition", PartitionInvalid, PartitionUnresolved, PartitionDigestMismatch, PartitionImmutabilityViolation;
    ModelArtifact, "model", ModelInvalid, EvidenceUnresolved, EvidenceDigestMismatch, ModelArtifactImmutabilityViolation;
    TrainBuildRequest, "train_request", RequestInvalid, EvidenceUnresolved, EvidenceDigestMismatch, TrainRequestImmutabilityViolation;
    DatasetManifest, "dataset_manifest", ManifestInvalid, ManifestUnresolved, ManifestDigestMismatch, DatasetManifestImmutabilityViolation;
    TrainingConfig, "training_config", TrainingConfigInvalid, TrainingConfigUnresolved, TrainingConfigDigestMismatch, TrainingConfigImmutabilityViolation;
    GovernanceProfile, "governance_profile", GovernanceProfileInvalid, GovernanceProfileUnresolved, GovernanceProfileDigestMismatch, GovernanceProfileImmutabilityViolation;
    ResolvedTrainPlan, "resolved_plan", EvidenceInvalid, EvidenceUnresolved, EvidenceDigestMismatch, ResolvedPlanImmutabilityViolation;
    ExecutionRecord, "execution_record", EvidenceInvalid, EvidenceUnresolved, EvidenceDigestMismatch, ExecutionRecordImmutabilityViolation;
    EvalReport, "eval_report", EvalReportInvalid, EvidenceUnresolved, EvidenceDigestMismatch, EvalReportImmutabilityViolation;
    Measurements, "measurements", EvidenceInvalid, EvidenceUnresolved, EvidenceDigestMismatch, MeasurementsImmutabilityViolation;
    GateReceipt, "gate_receipt", GateInvalid, EvidenceUnresolved, EvidenceDigestMismatch, GateReceiptImmutabilityViolation;
    PublishEligibility, "publish_eligibility", GateInvalid, EvidenceUnresolved, EvidenceDigestMismatch, PublishEligibilityImmutabilityViolation;
    ModelBundle, "bundle", EvidenceInvalid, EvidenceUnresolved, EvidenceDigestMismatch, ModelBundleImmutabilityViolation;
    BundlePublication, "publication", EvidenceInvalid, EvidenceUnresolved, EvidenceDigestMismatch, PublicationImmutabilityViolation;
    RegistryLifecycleEvent, "lifecycle_event", EvidenceInvalid, EvidenceUnresolved, EvidenceDigestMismatch, LifecycleEventImmutabilityViolation;
    RunReceipt, "run_receipt", EvidenceInvalid, EvidenceUnresolved, EvidenceDigestMismatch, RunReceiptImmutabilityViolation;
    // Answers, which nobody stores: their storage codes cannot be met.
    BundleResolution, "resolution", DocumentInvalid, EvidenceUnresolved, EvidenceDigestMismatch, InternalError;
    ErrorResponse, "error_response", DocumentInvalid, EvidenceUnresolved, EvidenceDigestMismatch, InternalError;
}
