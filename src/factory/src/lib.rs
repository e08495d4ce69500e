//! The build line: from a request to a published bundle, with the capabilities handed in.
//!
//! ```text
//!   dataset ──► submit ──► resolve ──► guard ──► train ──► evaluate ──► gate ──► bundle ──► publish ──► registry
//!                 │           each stage consumes the former stage's type by value             │
//!               ledger ◄──────────────── run.rs, the only file that knows them all ────────────┘
//! ```
//!
//! Clock, files and store are capabilities that a caller hands in; nothing here is global.

pub mod admission;
pub mod artifact;
pub mod bundle;
pub mod candidate;
pub mod clock;
pub mod dataset;
pub mod evaluate;
pub mod failpoint;
mod founding;
pub mod fsck;
pub mod gate;
pub mod guard;
pub mod jobs;
pub mod keys;
mod layout;
pub mod ledger;
pub mod line;
pub mod open;
mod opener;
pub mod publish;
mod receipts;
pub mod registry;
pub mod resolve;
pub mod run;
pub mod store;
mod tls;
pub mod train;
pub mod verify;
pub mod watch;
mod work;
pub mod worker;

pub use open::{Factory, Place};
