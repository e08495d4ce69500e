//! What stands in the store and is no document.

use crate::schema::artifact;

/// One Parquet file of a dataset.
#[derive(Debug)]
pub enum Partition {}

/// The arrays of a fitted model, as safetensors.
#[derive(Debug)]
pub enum ModelArtifact {}

artifact!(
    Partition,
    "partition",
    PartitionInvalid,
    PartitionUnresolved,
    PartitionDigestMismatch,
    PartitionImmutabilityViolation
);
artifact!(
    ModelArtifact,
    "model",
    ModelInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    ModelArtifactImmutabilityViolation
);
