//! Datasets: built of raw events, label assertions and an as-of cut; read back verified.
//!
//! ```text
//!                                      (order)    a stretch of rows at a time
//!   events ──► source ──► columns ──► events ──┬─► features ─┐
//!                                              │             ├─► partition ──► store ──► manifest
//!   labels ──► source ──► columns ──► labels ──┴─────────────┘                              │
//!                                                                     Table ◄── read ◄──────┘
//! ```
//!
//! What a build holds for each event is its raw columns and what is known of its label; neither the files nor the
//! features are in memory as a whole.
//!
//! Invariants. A dataset is a function of its rows and its request: neither the order in which rows came in
//! nor how they were cut into batches or files shows in a byte. Features know what was known at the event's
//! time, labels what was observed by the cut; an unknown label is null, never negative. Nothing is written
//! before every check has passed, and the manifest is written last, so no reader meets half a dataset.

mod build;
mod columns;
mod decode;
mod events;
mod features;
mod ids;
mod in_memory;
mod labels;
mod layout;
mod meter;
mod parquet_guard;
mod partition;
mod read;
mod source;
mod spec;
mod table;
mod thrift;

pub use build::{Built, Sources, build};
pub use ids::{Ids, Texts};
pub use in_memory::{AsofSpec, ResolveSpec, asof_join, compute_features, resolve_labels};
pub use read::{Selection, read};
pub use source::Source;
pub use spec::{DatasetSpec, FeatureSpec, LabelSpec, default_partition_rows};
pub use table::{LabelOutcome, Table};

#[cfg(test)]
mod tests;
