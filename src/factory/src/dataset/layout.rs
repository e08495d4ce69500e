//! The columns of a partition, as the manifest and as Parquet name them: writer and reader share this.

use std::{collections::BTreeMap, sync::Arc};

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use contracts::{
    Result,
    dataset_manifest::{Column, ColumnRole, ColumnType},
    names::ColumnName,
};

use super::{rows::other_type, spec::DatasetSpec};

/// What `label_outcome` may say, by the number of the outcome.
pub(super) const OUTCOMES: [&str; 4] = ["known", "censored", "conflict", "immature"];

/// The columns that a request asks for; `ids` gives the types of identifiers of events and entities by name.
pub(super) fn columns(spec: &DatasetSpec, ids: &BTreeMap<ColumnName, ColumnType>) -> Result<Vec<Column>> {
    let outputs = spec.outputs()?.into_iter();
    outputs
        .map(|(name, role)| {
            let r#type = match role {
                ColumnRole::EventId | ColumnRole::Entity => ids.get(&name).copied().ok_or_else(other_type)?,
                ColumnRole::EventTime | ColumnRole::FeatureAsof | ColumnRole::LabelObservedTime => {
                    ColumnType::TimestampNs
                }
                ColumnRole::Feature | ColumnRole::Slice | ColumnRole::Weight => ColumnType::Float64,
                ColumnRole::Label => ColumnType::Boolean,
                ColumnRole::LabelOutcome => ColumnType::Utf8,
            };
            let privacy_class = spec.privacy_classes.get(&name).copied().unwrap_or_default();
            Ok(Column { name, r#type, role, privacy_class })
        })
        .collect()
}

/// The same columns for Arrow. Without Arrow's own metadata Parquet reads back as exactly this.
pub(super) fn arrow_schema<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Arc<Schema> {
    let fields = columns.into_iter().map(|column| {
        let data_type = match column.r#type {
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::Utf8 => DataType::Utf8,
            ColumnType::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            ColumnType::Boolean => DataType::Boolean,
        };
        Field::new(column.name.as_str(), data_type, may_be_null(column.role))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A feature may be missing and a label unknown; everything else stands in every row.
const fn may_be_null(role: ColumnRole) -> bool {
    matches!(role, ColumnRole::Feature | ColumnRole::Label | ColumnRole::LabelObservedTime)
}
