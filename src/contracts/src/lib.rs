//! The documents, identities and failure codes of the Model Factory.
//!
//! ```text
//!   bytes ──► strict JSON ──► schema ──► type ──► Checked<D> ──► canonical bytes ──► Digest<D>
//! ```
//!
//! This crate touches no file, clock, random number or array: it can be read and tested alone.

pub mod code;
pub mod failure;
pub mod model_config;

pub use code::{Category, Code};
pub use failure::{Failure, Problem, Result};
