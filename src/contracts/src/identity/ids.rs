//! The ids of the line: checked strings that are made of digests.
//!
//! What each digest is taken over stands beside the document it names: `dataset_manifest`, `train_run_key`, `bundle`.
//! No recipe takes a path, a host, a clock or the store's root; each has a golden vector in the tests.

use crate::{
    Result,
    identity::digest::Digest,
    names::{is_prefixed_hex, names},
};

names! {
    /// Identity of a dataset manifest.
    DatasetManifestId, "dataset_manifest_id", DocumentInvalid, 35, "^dm_[0-9a-f]{32}$", |text| is_prefixed_hex(text, "dm_", 32);
    /// Identity of a training run.
    TrainRunId, "train_run_id", RunNotFound, 35, "^tr_[0-9a-f]{32}$", |text| is_prefixed_hex(text, "tr_", 32);
    /// Identity of a model bundle.
    BundleId, "bundle_id", BundleNotFound, 35, "^mb_[0-9a-f]{32}$", |text| is_prefixed_hex(text, "mb_", 32);
    /// Version of a bundle under a policy and config revision.
    BundleVersion, "bundle_version", BundleNotFound, 15, "^v1-[0-9a-f]{12}$", |text| is_prefixed_hex(text, "v1-", 12);
}

impl DatasetManifestId {
    /// `dm_` and 32 digits of the fingerprint.
    pub fn of<T>(fingerprint: &Digest<T>) -> Result<Self> {
        Self::new(format!("dm_{}", fingerprint.hex_prefix(32)))
    }
}

impl TrainRunId {
    /// `tr_` and 32 digits of the run key's digest.
    pub fn of<T>(key: &Digest<T>) -> Result<Self> {
        Self::new(format!("tr_{}", key.hex_prefix(32)))
    }
}

impl BundleId {
    /// `mb_` and 32 digits of the bundle key's digest.
    pub fn of<T>(key: &Digest<T>) -> Result<Self> {
        Self::new(format!("mb_{}", key.hex_prefix(32)))
    }
}

impl BundleVersion {
    /// `v1-` and 12 digits of the version key's digest.
    pub fn of<T>(key: &Digest<T>) -> Result<Self> {
        Self::new(format!("v1-{}", key.hex_prefix(12)))
    }
}
