//! Datasets: built of raw events, label assertions and an as-of cut; read back verified.
//!
//! ```text
//!   events ─┐                       by id            by (time, id)                    rows in order
//!           ├─► source ──► intake ═════════► runs ═════════════════► merge ══╦═══════════════════════╗
//!   labels ─┘              (columns)         (events, labels)                ║ by entity             ║
//!                                                                            ╚══════════► windowed ══╩═► partitions
//!                                                                                        (features)           │
//!                                                                   Table ◄── read ◄── manifest ◄── store ◄───┘
//! ```
//!
//! What does not fit in memory goes along the double lines: rows are set aside in buckets and read back a bucket or a
//! block at a time (`spill`). An event and what is said about it are in one bucket, and later all events of an entity:
//! each step holds a bucket, and neither the files nor the events nor the features are in memory as a whole. Few rows
//! are one bucket that never leaves it.
//!
//! Invariants. A dataset is a function of its rows and its request: neither the order in which rows came in
//! nor how they were cut into batches or files shows in a byte. Features know what was known at the event's
//! time, labels what was observed by the cut; an unknown label is null, never negative. Nothing is written
//! before every check has passed, and the manifest is written last, so no reader meets half a dataset.

mod batch;
mod build;
mod by_column;
mod columns;
mod cut;
mod decode;
mod encoded;
mod events;
mod features;
mod ids;
mod in_memory;
mod intake;
mod labels;
mod layout;
mod merge;
mod meter;
mod parquet_guard;
mod partition;
mod partitions;
mod read;
mod rows;
mod runs;
mod source;
mod spec;
mod spill;
mod table;
mod thrift;
mod windowed;

pub use build::{Built, Sources, build};
pub use cut::Features;
pub use decode::{Look, Moments};
pub use ids::{Ids, Texts};
pub use in_memory::{AsofSpec, ResolveSpec, asof_join, compute_features, resolve_labels};
pub use read::{Selection, read};
pub use source::Source;
pub use spec::{DatasetSpec, FeatureSpec, LabelSpec, default_partition_rows};
pub use table::{LabelOutcome, Rows, Table};

#[cfg(test)]
mod tests;
