//! The documents, identities and failure codes of the Model Factory.
//!
//! ```text
//!   bytes ──► strict JSON ──► schema ──► type ──► Checked<D> ──► canonical bytes ──► Digest<D>
//! ```
//!
//! This crate touches no file, clock, random number or array: it can be read and tested alone.

pub mod artifacts;
pub mod bundle;
pub mod catalogue;
pub mod code;
pub mod constraint;
pub mod dataset_manifest;
pub mod error_response;
pub mod eval_report;
pub mod execution_record;
pub mod failure;
pub mod feature;
pub mod gate_receipt;
pub mod governance_profile;
pub mod identity;
pub mod job;
mod known;
pub mod lifecycle_event;
pub mod measurements;
pub mod metric;
pub mod model_config;
pub mod names;
pub mod publication;
pub mod reason;
pub mod reference;
pub mod resolution;
pub mod resolved_plan;
pub mod run_config;
pub mod run_receipt;
pub mod schema;
pub mod scope;
pub mod signature;
pub mod time;
pub mod train_request;
pub mod train_run_key;
pub mod training_config;

pub use code::{Category, Code};
pub use failure::{Failure, Problem, Result};
pub use identity::digest::Digest;
pub use reference::Reference;
pub use schema::{Artifact, Checked, Document, Problems};
