//! Identities: canonical bytes, digests, and the recipes that make ids of them.
//!
//! ```text
//!   document ──► canonical (RFC 8785) ──► digest (SHA-256) ──► recipe ──► id
//! ```

pub mod canonical;
pub mod digest;
mod finite;
pub mod hex;
pub mod ids;
pub mod place;
pub mod recipe;
pub mod written;
