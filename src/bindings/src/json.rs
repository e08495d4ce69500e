//! What the core hands out as JSON text.

use contracts::{Code, Failure, identity::canonical};
use serde::Serialize;

/// A value as canonical JSON text.
pub(crate) fn json(value: &impl Serialize) -> contracts::Result<String> {
    String::from_utf8(canonical::to_bytes(value)?)
        .map_err(|_| Failure::new(Code::InternalError, "canonical JSON is UTF-8"))
}
