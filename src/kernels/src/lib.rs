//! Deterministic learning kernels: arrays in, arrays out.
//!
//! ```text
//!   events ──► window, label ──► Frame ──► Learner ──► Model ──► scores ──► metric
//! ```
//!
//! Nothing here touches a file, a clock or a document. The same frame and seed give the same bits on
//! any number of threads: sums that decide anything are exact integers or folds over fixed chunks,
//! randomness is counter-based, and exponentials are our own arithmetic.

pub mod arrays;
pub mod binning;
pub mod boosting;
pub mod dispatch;
pub mod ensemble;
pub mod error;
pub mod forest;
pub mod frame;
mod idle;
pub mod label;
pub mod learner;
pub mod logistic;
pub mod math;
pub mod metric;
pub mod model;
pub mod progress;
pub mod rng;
pub mod shap;
pub mod simulate;
pub mod tree;
pub mod window;

pub use error::Error;
pub use frame::Frame;
pub use learner::Learner;
pub use model::Model;
pub use progress::Progress;
pub use rng::Rng;
