//! The model artifact: arrays as safetensors, nothing executable.
//!
//! A reader MUST refuse any other magic, dtype, rank or extra array: a hostile file is an error, never code. The
//! header's metadata names the format, the family and the number of columns under one key, since the order of
//! several keys is not fixed by the format.

#![allow(
    clippy::disallowed_types,
    reason = "safetensors takes its metadata as a HashMap; ours has one key, so its order cannot show"
)]

use std::collections::{BTreeMap, HashMap};

use contracts::{Code, Failure, Result};
use kernels::{
    Model,
    arrays::{Array, Arrays},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

/// Name of the format, as the bundle's compatibility states it.
pub const FORMAT: &str = "model_factory.model.v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    columns: usize,
    family: String,
    format: String,
}

/// The bytes of a model.
pub fn write(family: &str, model: &Model) -> Result<Vec<u8>> {
    let header = Header { columns: model.columns(), family: family.to_owned(), format: FORMAT.to_owned() };
    let header = serde_json::to_string(&header).map_err(|error| internal(&error))?;
    let arrays: BTreeMap<String, (Dtype, usize, Vec<u8>)> =
        model.to_arrays().0.into_iter().map(|(name, array)| (name, encode(&array))).collect();
    let views = arrays
        .iter()
        .map(|(name, (dtype, length, bytes))| {
            Ok((name.as_str(), TensorView::new(*dtype, vec![*length], bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| internal(&error))?;
    let metadata = HashMap::from([("model_factory".to_owned(), header)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| internal(&error))
}

/// Reads a model and its family; refuses with `MODEL_INVALID`.
pub fn read(bytes: &[u8]) -> Result<(String, Model)> {
    let invalid = |detail: &str| Failure::at(Code::ModelInvalid, "model", detail, "something else");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|_| invalid("a safetensors file"))?;
    let text =
        metadata.metadata().as_ref().filter(|map| map.len() == 1).and_then(|map| map.get("model_factory"));
    let header: Header = text
        .and_then(|text| serde_json::from_str(text).ok())
        .filter(|header: &Header| header.format == FORMAT)
        .ok_or_else(|| invalid("a header of the format model_factory.model.v1"))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|_| invalid("a safetensors file"))?;
    let arrays = tensors
        .iter()
        .map(|(name, view)| Ok((name.to_owned(), decode(name, &view)?)))
        .collect::<Result<_>>()?;
    let model = Model::from_arrays(&header.family, header.columns, Arrays(arrays))?;
    Ok((header.family, model))
}

fn encode(array: &Array) -> (Dtype, usize, Vec<u8>) {
    match array {
        Array::F64(values) => {
            (Dtype::F64, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        Array::U32(values) => {
            (Dtype::U32, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        Array::U8(values) => (Dtype::U8, values.len(), values.clone()),
    }
}

fn decode(name: &str, view: &TensorView<'_>) -> Result<Array> {
    let data = view.data();
    match (view.dtype(), view.shape()) {
        (Dtype::F64, [_]) => {
            Ok(Array::F64(data.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()))
        }
        (Dtype::U32, [_]) => {
            Ok(Array::U32(data.as_chunks().0.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()))
        }
        (Dtype::U8, [_]) => Ok(Array::U8(data.to_vec())),
        (dtype, shape) => Err(Failure::at(
            Code::ModelInvalid,
            name,
            "one dimension of F64, U32 or U8",
            format!("{} dimensions of {dtype:?}", shape.len()),
        )),
    }
}

fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::new(Code::InternalError, format!("the model cannot be written: {error}"))
}
