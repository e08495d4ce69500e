//! How an identity is made: the canonical bytes of `{"recipe": name, "payload": ...}`.
//!
//! The recipe's name keeps two kinds of identity apart even where their payloads look alike, and lets a
//! recipe change under a new name without touching ids that exist.

use serde::Serialize;

use super::{canonical, digest::Digest};
use crate::{Code, Failure, Result};

#[derive(Serialize)]
struct Envelope<'a, P> {
    recipe: &'static str,
    payload: &'a P,
}

/// The canonical bytes of a payload under a named recipe.
pub fn bytes<P: Serialize>(recipe: &'static str, payload: &P) -> Result<Vec<u8>> {
    canonical::to_bytes(&Envelope { recipe, payload })
}

/// Derives a digest from a payload under a named recipe.
pub fn derive<T, P: Serialize>(recipe: &'static str, payload: &P) -> Result<Digest<T>> {
    bytes(recipe, payload).map(|bytes| Digest::of(&bytes))
}

/// Does the same for a payload that is in canonical form as it stands: its fields are declared in the order of their
/// names, at each depth, and hold no floats and no integers beyond 2^53 - 1. Nothing is sorted, so that it costs a fraction.
pub fn derive_in_order<T, P: Serialize>(recipe: &'static str, payload: &P) -> Result<Digest<T>> {
    #[derive(Serialize)]
    struct Ordered<'a, P> {
        payload: &'a P,
        recipe: &'static str,
    }
    serde_json::to_vec(&Ordered { payload, recipe })
        .map(|bytes| Digest::of(&bytes))
        .map_err(|error| Failure::new(Code::InternalError, format!("no canonical form: {error}")))
}
