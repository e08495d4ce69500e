//! The native half of the Python package: convert, release the interpreter, call, convert.
//!
//! ```text
//!   Python values ──► views and checked values ──► contracts, kernels ──► Python values
//!                                                        └── Failure ──► model_factory.errors
//! ```
//!
//! Nothing here has an opinion: defaults stand in the core or in the Python package, and each file mirrors one
//! concept of the core. Invariant: while the core works the interpreter is free for other threads, and only the
//! thread that made the call ever speaks to Python.

#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

mod array;
mod document;
mod factory;
mod failure;
mod in_memory;
mod json;
mod memory;
mod metric;
mod model;
mod parsed;
mod progress;
mod ranking;
mod registry;
mod scoring;
mod simulate;
mod table;
mod threads;
mod worker;

/// The module `model_factory._native`.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::array::look_numpy_up;
    #[pymodule_export]
    use crate::document::{as_json, canonical, documents, largest_document, schema};
    #[pymodule_export]
    use crate::factory::{PyFactory, PyRow, check_platform_run, check_principal, release, scope};
    #[pymodule_export]
    use crate::failure::{codes, refusal};
    #[pymodule_export]
    use crate::in_memory::{asof_join, features, resolve};
    #[pymodule_export]
    use crate::metric::{
        bootstrap, brier, confusion, entity_precision, kolmogorov_smirnov, log_loss, population_stability,
        reliability, top_k,
    };
    #[pymodule_export]
    use crate::model::{PyModel, PyStages, fit, model_config};
    #[pymodule_export]
    use crate::ranking::PyRanking;
    #[pymodule_export]
    use crate::registry::PyRegistry;
    #[pymodule_export]
    use crate::scoring::PyLoadedModel;
    #[pymodule_export]
    use crate::simulate::payments;
    #[pymodule_export]
    use crate::worker::PyWorker;
}
