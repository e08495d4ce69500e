//! A failure as a document, for the command line's `--json` and for receipts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Code, Failure, Problem,
    schema::{Document, SchemaVersion, artifact},
};

/// A failure as a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorResponse {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The stable code.
    pub code: Code,
    /// Its category.
    pub category: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What happened.
    pub detail: String,
    /// Every place found wrong.
    pub problems: Vec<Problem>,
    /// What the caller can do.
    pub hint: String,
}

impl From<&Failure> for ErrorResponse {
    fn from(failure: &Failure) -> Self {
        Self {
            schema_version: SchemaVersion::default(),
            code: failure.code,
            category: failure.code.category().as_str().to_owned(),
            retryable: failure.retryable(),
            detail: failure.detail.clone(),
            problems: failure.problems.clone(),
            hint: failure.hint().to_owned(),
        }
    }
}

// An answer, which nobody stores: its storage codes cannot be met.
artifact!(
    ErrorResponse,
    "error_response",
    DocumentInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    InternalError
);

impl Document for ErrorResponse {}
