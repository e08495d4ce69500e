//! Parquet decoding that always returns.

use std::panic::{AssertUnwindSafe, catch_unwind};

use contracts::{Failure, Result};
use parquet::errors::ParquetError;

/// Runs a step of the decoder; `failure` makes a refusal from the kind of damage.
///
/// The decoder asserts on some damaged files instead of returning an error. Whatever it was working on is
/// dropped by the caller, so nothing half-changed is seen again. Its own texts may quote data and are not
/// passed on.
pub(super) fn guarded<T>(
    failure: impl Fn(&'static str) -> Failure,
    step: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(kind(&error))),
        Err(_) => Err(failure("not decodable")),
    }
}

const fn kind(error: &ParquetError) -> &'static str {
    match error {
        ParquetError::NYI(_) => "unsupported feature",
        ParquetError::EOF(_) | ParquetError::NeedMoreData(_) | ParquetError::NeedMoreDataRange(_) => {
            "ends too early"
        }
        ParquetError::ArrowError(_) => "no Arrow form",
        ParquetError::IndexOutOfBound(..) => "position out of bounds",
        ParquetError::External(_) => "not readable",
        _ => "malformed",
    }
}
