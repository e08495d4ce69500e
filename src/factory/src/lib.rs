//! The build line: from a request to a published bundle, with the capabilities handed in.
//!
//! ```text
//!   dataset ──► submit ──► resolve ──► guard ──► train ──► evaluate ──► gate ──► bundle ──► publish ──► registry
//!                 │           each stage consumes the former stage's type by value             │
//!               ledger ◄──────────────── run.rs, the only file that knows them all ────────────┘
//! ```
//!
//! Clock, files and store are capabilities that a caller hands in; nothing here is global.

pub mod clock;
pub mod dataset;
pub mod failpoint;
pub mod ledger;
pub mod store;
