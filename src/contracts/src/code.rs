//! Every stable failure code, in one append-only table.
//!
//! A code is a promise to callers: they may match on it for as long as the project lives. Codes are
//! only ever added, never renamed or reused. The Python `Code` enum and `docs/codes.md` are held
//! against this table by tests.

#![allow(clippy::doc_markdown, reason = "hints are shown to users as plain text")]

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($category:ident $category_text:literal { $($code:ident $text:literal $retry:literal $hint:literal;)* })*) => {
        /// What kind of caller action a failure asks for. Each maps to one exit code of the command line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Category { $(#[doc = $category_text] $category,)* }

        impl Category {
            /// All categories, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$category,)*];

            /// The stable text of the category.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$category => $category_text,)* }
            }
        }

        /// One stable failure code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum Code { $($(#[doc = $hint] #[serde(rename = $text)] $code,)*)* }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$($(Self::$code,)*)*];

            /// The stable text of the code.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$code => $text,)*)* }
            }

            /// The category that the code belongs to.
            pub const fn category(self) -> Category {
                match self { $($(Self::$code => Category::$category,)*)* }
            }

            /// Whether the same call may succeed later with nothing changed by the caller.
            pub const fn retryable(self) -> bool {
                match self { $($(Self::$code => $retry,)*)* }
            }

            /// What the caller can do about it, where the failure itself says nothing better.
            pub const fn hint(self) -> &'static str {
                match self { $($(Self::$code => $hint,)*)* }
            }
        }
    };
}

codes! {
    InputAdmission "INPUT_ADMISSION" {
        RequestInvalid "REQUEST_INVALID" false "Validate the request against schemas/train_request.v1.json.";
        RequestIdInvalid "REQUEST_ID_INVALID" false "Use 8 to 128 letters, digits and _ . : - characters.";
        IntentKindUnsupported "INTENT_KIND_UNSUPPORTED" false "Use baseline_train, backfill_retrain, candidate_eval or regression_check.";
        RunScopeInvalid "RUN_SCOPE_INVALID" false "A platform run id is one path segment of letters, digits and _ . : = - characters.";
        TargetScopeInvalid "TARGET_SCOPE_INVALID" false "A scope is environment/mode/bundle_slot, optionally with a tenant.";
        ManifestRefMissing "MANIFEST_REF_MISSING" false "Name at least one dataset manifest by uri and digest.";
        TrainingConfigMissing "TRAINING_CONFIG_MISSING" false "Name the training config by uri and digest.";
        GovernanceProfileMissing "GOVERNANCE_PROFILE_MISSING" false "Name the governance profile by uri and digest.";
        RequesterMissing "REQUESTER_MISSING" false "Say who asks: requester_principal.";
        RequesterNotAllowed "REQUESTER_NOT_ALLOWED" false "The governance profile lists who may request.";
        OwnershipBoundaryViolation "OWNERSHIP_BOUNDARY_VIOLATION" false "References must stay inside the stated platform run and the factory's own prefixes.";
        RequestIdPayloadMismatch "REQUEST_ID_PAYLOAD_MISMATCH" false "This request id was used before with another content; use a new id.";
        DocumentInvalid "DOCUMENT_INVALID" false "Validate the document against its schema.";
        ParameterInvalid "PARAMETER_INVALID" false "Mend the argument that the detail names.";
        ColumnMissing "COLUMN_MISSING" false "Add the column, or name an existing one.";
        ColumnTypeInvalid "COLUMN_TYPE_INVALID" false "Convert the column to the type that is expected.";
        NullNotAllowed "NULL_NOT_ALLOWED" false "Fill or drop the rows with nulls before building.";
        DatasetEmpty "DATASET_EMPTY" false "There is no row to work on; widen the time window.";
        ShapeMismatch "SHAPE_MISMATCH" false "Give arrays whose lengths agree.";
        SourceUnreadable "SOURCE_UNREADABLE" false "Name what is there and can be read; the detail says what is expected.";
        JobRequestInvalid "JOB_REQUEST_INVALID" false "Validate the job against schemas/job_request.v1.json, and send it under another name.";
        RunConfigMismatch "RUN_CONFIG_MISMATCH" false "Ask under the revisions and the release of the run configuration that the job names.";
        NotFitted "NOT_FITTED" false "Call fit before anything that needs a model.";
    }
    Resolution "RESOLUTION" {
        ManifestUnresolved "MANIFEST_UNRESOLVED" true "The manifest is not in the store (yet).";
        ManifestInvalid "MANIFEST_INVALID" false "Validate the manifest against schemas/dataset_manifest.v1.json.";
        ManifestDigestMismatch "MANIFEST_DIGEST_MISMATCH" false "The manifest's bytes are not those that were pinned.";
        PartitionUnresolved "PARTITION_UNRESOLVED" true "A partition that the manifest names is not in the store (yet).";
        PartitionDigestMismatch "PARTITION_DIGEST_MISMATCH" false "A partition's bytes are not those that the manifest pinned.";
        PartitionInvalid "PARTITION_INVALID" false "A partition does not hold what its manifest says.";
        TrainingConfigUnresolved "TRAINING_CONFIG_UNRESOLVED" true "The training config is not in the store (yet).";
        TrainingConfigInvalid "TRAINING_CONFIG_INVALID" false "Mend the places that are named, as schemas/training_config.v1.json says; label and feature_definition_set can be left out only where a dataset is at hand, in train.";
        TrainingConfigDigestMismatch "TRAINING_CONFIG_DIGEST_MISMATCH" false "The config's bytes are not those that were pinned.";
        GovernanceProfileUnresolved "GOVERNANCE_PROFILE_UNRESOLVED" true "The governance profile is not in the store (yet).";
        GovernanceProfileInvalid "GOVERNANCE_PROFILE_INVALID" false "Validate the profile against schemas/governance_profile.v1.json.";
        GovernanceProfileDigestMismatch "GOVERNANCE_PROFILE_DIGEST_MISMATCH" false "The profile's bytes are not those that were pinned.";
        FeatureSchemaIncompatible "FEATURE_SCHEMA_INCOMPATIBLE" false "The features at hand are not those that are asked for.";
        AsOfInconsistent "AS_OF_INCONSISTENT" false "All manifests of a run must share the label as-of cut, and it must cover the test window.";
        PassProofMissing "PASS_PROOF_MISSING" false "The manifest has no pass proof bound to its fingerprint; build it again.";
        PrivacyClassRefused "PRIVACY_CLASS_REFUSED" false "The governance profile refuses a column of this privacy class.";
        DatasetWindowRefused "DATASET_WINDOW_REFUSED" false "The dataset lies outside the window that the governance profile allows.";
    }
    Leakage "LEAKAGE" {
        LabelRuleMismatch "LABEL_RULE_MISMATCH" false "The config's label family, values or rule differ from the manifest's label basis.";
        LabelAsofInFuture "LABEL_ASOF_IN_FUTURE" false "Choose an as-of cut that lies in the past.";
        LabelAfterAsof "LABEL_AFTER_ASOF" false "A label in the data was observed after the as-of cut.";
        LabelImmature "LABEL_IMMATURE" false "Labels in a window had less than the maturity time before the as-of cut.";
        FeatureAfterEvent "FEATURE_AFTER_EVENT" false "A feature uses knowledge from after its event.";
        SplitOverlap "SPLIT_OVERLAP" false "Train, validation and test windows must not overlap and must follow in time.";
        EmbargoViolation "EMBARGO_VIOLATION" false "Leave at least the stated gap, and the labels' maturity, between the windows.";
        EntityOverlap "ENTITY_OVERLAP" false "An entity stands in both train and test.";
        DuplicateEvent "DUPLICATE_EVENT" false "An event id stands more than once.";
        TargetLeakageSuspected "TARGET_LEAKAGE_SUSPECTED" false "A feature separates the classes almost perfectly; show that it is known at the event's time or leave it out.";
    }
    Evidence "EVIDENCE" {
        EvidenceRefMissing "EVIDENCE_REF_MISSING" false "The receipt names no evidence for what it claims.";
        EvidenceUnresolved "EVIDENCE_UNRESOLVED" true "An artifact that is referred to is not in the store (yet).";
        EvidenceDigestMismatch "EVIDENCE_DIGEST_MISMATCH" false "An artifact's bytes are not those that were pinned.";
        EvidenceInvalid "EVIDENCE_INVALID" false "An artifact cannot be read as what it claims to be.";
        EvalReportInvalid "EVAL_REPORT_INVALID" false "Validate the report against schemas/eval_report.v1.json.";
        EvalReportMismatch "EVAL_REPORT_MISMATCH" false "The report does not belong to this run or model.";
        GateInvalid "GATE_INVALID" false "Validate the receipt against schemas/gate_receipt.v1.json.";
        GateDecisionMismatch "GATE_DECISION_MISMATCH" false "Judging the evidence again gives another decision than the receipt.";
        SignatureInvalid "SIGNATURE_INVALID" false "The document was changed, or signed by a key that is not trusted here; a signer's public key goes into the key folder's trusted/.";
        SigningKeyUnavailable "SIGNING_KEY_UNAVAILABLE" false "The key folder holds no private key of Ed25519 as PKCS#8 PEM that can be read here: signing.pem.";
        ModelInvalid "MODEL_INVALID" false "The model artifact is not a well-formed model of its family.";
    }
    Immutability "IMMUTABILITY" {
        PartitionImmutabilityViolation "PARTITION_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        DatasetManifestImmutabilityViolation "DATASET_MANIFEST_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        TrainingConfigImmutabilityViolation "TRAINING_CONFIG_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        GovernanceProfileImmutabilityViolation "GOVERNANCE_PROFILE_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        TrainRequestImmutabilityViolation "TRAIN_REQUEST_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        ResolvedPlanImmutabilityViolation "RESOLVED_PLAN_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        ExecutionRecordImmutabilityViolation "EXECUTION_RECORD_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        ModelArtifactImmutabilityViolation "MODEL_ARTIFACT_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        EvalReportImmutabilityViolation "EVAL_REPORT_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        MeasurementsImmutabilityViolation "MEASUREMENTS_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        GateReceiptImmutabilityViolation "GATE_RECEIPT_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        PublishEligibilityImmutabilityViolation "PUBLISH_ELIGIBILITY_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        ModelBundleImmutabilityViolation "MODEL_BUNDLE_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        PublicationImmutabilityViolation "PUBLICATION_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        LifecycleEventImmutabilityViolation "LIFECYCLE_EVENT_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        JobRequestImmutabilityViolation "JOB_REQUEST_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        JobInvocationImmutabilityViolation "JOB_INVOCATION_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
        RunReceiptImmutabilityViolation "RUN_RECEIPT_IMMUTABILITY_VIOLATION" false "Other bytes already stand under this key; nothing was changed.";
    }
    Execution "EXECUTION" {
        TrainingDiverged "TRAINING_DIVERGED" false "The fit did not converge; regularise more, or look for a feature that separates the classes.";
        DegenerateLabels "DEGENERATE_LABELS" false "Both classes are needed in each window that is fitted or judged.";
        CategoryInvalid "CATEGORY_INVALID" false "A categorical column holds whole numbers from 0, at most max_bins of them, and missing values: number the categories, and group the rare ones under one number.";
        NonFiniteInput "NON_FINITE_INPUT" false "Mend or drop the values at the place that the detail names; it says which numbers are taken there.";
        ResourceExhausted "RESOURCE_EXHAUSTED" true "Free disk or memory, or allow more open files (ulimit -n), and run again.";
        NondeterminismDetected "NONDETERMINISM_DETECTED" false "The same inputs gave other bytes; keep both and report it.";
        LeaseLost "LEASE_LOST" true "Another worker holds the run, or one that died did until a moment ago; run again once its lease is over.";
        InvalidTransition "INVALID_TRANSITION" false "What is asked for is not possible from the state that the run or bundle is in; look at that first.";
        RunCancelled "RUN_CANCELLED" false "Somebody stopped the run for good; ask for another run, such as under another revision of the config.";
        RunNotFound "RUN_NOT_FOUND" false "No run has this id in this ledger.";
        StoreUnavailable "STORE_UNAVAILABLE" true "The object store did not answer; mend what the detail names, such as a permission, or else run again.";
        StoreKeyInvalid "STORE_KEY_INVALID" false "A store key is segments of letters, digits and _ . : = - joined by slashes.";
        StoreCorrupt "STORE_CORRUPT" false "A link or special file stands in the store's folder; find out who put it there.";
        StoreUnsuitable "STORE_UNSUITABLE" false "The server must refuse a put with If-None-Match: * under a key that is taken, and this one does not, or is told not to: use another, or a newer release of it.";
        LedgerUnavailable "LEDGER_UNAVAILABLE" true "The ledger did not answer; mend what the detail names, such as a permission or a link, or else run again.";
        LedgerCorrupt "LEDGER_CORRUPT" false "The ledger was changed, or is older than the objects beside it. Bring back the one that belongs to them: docs/reliability.md, Copies.";
        InternalError "INTERNAL_ERROR" false "This is a defect; please report it with the detail.";
        Interrupted "INTERRUPTED" true "The caller stopped the work; run again.";
    }
    Publish "PUBLISH" {
        PublishNotEligible "PUBLISH_NOT_ELIGIBLE" false "The gate said FAIL; its receipt names the criteria.";
        PublishNotAllowed "PUBLISH_NOT_ALLOWED" false "Publishing takes a request with publish_allowed = true of somebody whom the governance profile lists in roles.publish.";
        PublishConflict "PUBLISH_CONFLICT" false "This bundle id and version are published with other bytes.";
        PublishRetryExhausted "PUBLISH_RETRY_EXHAUSTED" false "The bounded publish retries are used up. Once what kept it from being published is mended, allow-retries (allow_retries of the run in Python) gives it new ones.";
        RetryNotPending "RETRY_NOT_PENDING" false "Only a run in PUBLISH_PENDING can be retried.";
        RegistryUnavailable "REGISTRY_UNAVAILABLE" true "The registry did not answer; retry the publish.";
    }
    Registry "REGISTRY" {
        BundleIncompatible "BUNDLE_INCOMPATIBLE" false "The bundle does not fit what the caller can score.";
        BundleRetired "BUNDLE_RETIRED" false "A retired bundle is never active again.";
        BundleNotFound "BUNDLE_NOT_FOUND" false "No such bundle is published in this scope.";
        NoActiveBundle "NO_ACTIVE_BUNDLE" false "Nothing may serve in this scope; promote a published bundle in it.";
        ScopeConflict "SCOPE_CONFLICT" true "Another change came first; read the scope again and decide.";
        ApprovalMissing "APPROVAL_MISSING" false "The profile asks for an approval before promotion.";
        FourEyesViolation "FOUR_EYES_VIOLATION" false "The approver must be neither the requester nor the one who promotes.";
        ActorNotAllowed "ACTOR_NOT_ALLOWED" false "The governance profile lists who may do this.";
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_once_and_in_capitals() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for text in &texts {
            assert!(text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{text}");
        }
        texts.sort_unstable();
        let count = texts.len();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }

    #[test]
    fn serde_text_is_the_stable_text() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
