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
        let (expected, found) = in_words(what);
        Failure::at(Code::ParameterInvalid, pointer(text, error.column()), expected, found)
    })
}

/// What was expected and what was found, where the reader names a type of numbers that only this code knows.
fn in_words(said: &str) -> (&'static str, &str) {
    let other = ("as a dataset request says it", said);
    let Some((found, kind)) = said.rsplit_once(", expected ") else { return other };
    let found = found.strip_prefix("invalid value: ").or_else(|| found.strip_prefix("invalid type: "));
    match (found, kind) {
        (Some(found), "u8") => ("a whole number, 0 to 255", found),
        (Some(found), "u32") => ("a whole number, 0 to 4294967295", found),
        (Some(found), "u64" | "usize") => ("a whole number, zero or more", found),
        (Some(found), "i64") => ("a whole number", found),
        _ => other,
    }
}
