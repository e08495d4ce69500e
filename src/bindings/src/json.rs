//! What the core hands out as JSON text, and requests that come in as such.

use contracts::{
    Code, Failure,
    identity::{canonical, place::pointer},
};
use serde::{Serialize, de::DeserializeOwned};

/// A value as canonical JSON text.
pub(crate) fn json(value: &impl Serialize) -> contracts::Result<String> {
    String::from_utf8(canonical::to_bytes(value)?)
        .map_err(|_| Failure::new(Code::InternalError, "canonical JSON is UTF-8"))
}

/// A request of the dataset stage, from its text. Refuses with `PARAMETER_INVALID`, naming the place.
pub(crate) fn request<T: DeserializeOwned>(text: &str) -> contracts::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        // The reader's own place is in bytes, which help nobody.
        let what = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what);
        Failure::at(
            Code::ParameterInvalid,
            pointer(text, error.column()),
            "as a dataset request says it",
            what,
        )
    })
}
