//! Partitions: stretches of the ordered rows, each one Parquet file whose bytes follow from its rows alone.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow_schema::Schema;
use contracts::{Code, Failure, Result, time::DAY};
use kernels::label::{Outcome, Resolved};
use parquet::{
    arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
};

use super::{ids::Ids, labels::POSITIVE, layout::OUTCOMES};

/// Rows of one row group.
const ROW_GROUP_ROWS: usize = 1 << 16;
/// Stands for the writer in the files; a release must not change the bytes of the same rows.
const WRITTEN_BY: &str = "model_factory partition v1";

/// The values of one column: of all rows, where nothing else is said.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values<'a> {
    Ids(&'a Ids),
    Times(&'a [i64]),
    /// NaN is written as null.
    Numbers(&'a [f64]),
    /// Numbers of the rows from this one on.
    NumbersFrom(usize, &'a [f64]),
    Label(&'a Resolved),
    Outcome(&'a Resolved),
    ObservedTime(&'a Resolved),
}

impl Values<'_> {
    fn array(&self, rows: Range<usize>) -> ArrayRef {
        match self {
            Self::Ids(Ids::Int(values)) => Arc::new(Int64Array::from(values[rows].to_vec())),
            Self::Ids(Ids::Text(texts)) => Arc::new(StringArray::from_iter_values(texts.range(rows))),
            Self::Times(times) => times_array(times[rows].to_vec().into()),
            Self::Numbers(numbers) => numbers_array(&numbers[rows]),
            Self::NumbersFrom(first, numbers) => {
                numbers_array(&numbers[rows.start - first..rows.end - first])
            }
            Self::Label(labels) => {
                let known = rows.map(|row| labels.known(row).map(|value| value == POSITIVE));
                Arc::new(known.collect::<BooleanArray>())
            }
            Self::Outcome(labels) => {
                let texts = labels.outcome[rows].iter().map(|outcome| OUTCOMES[*outcome as usize]);
                Arc::new(StringArray::from_iter_values(texts))
            }
            Self::ObservedTime(labels) => {
                let known = rows
                    .map(|row| (labels.outcome[row] == Outcome::Known).then(|| labels.observed_time[row]));
                times_array(known.collect())
            }
        }
    }
}

fn numbers_array(numbers: &[f64]) -> ArrayRef {
    let present = numbers.iter().map(|number| (!number.is_nan()).then_some(*number));
    Arc::new(present.collect::<Float64Array>())
}

fn times_array(times: TimestampNanosecondArray) -> ArrayRef {
    Arc::new(times.with_timezone("UTC"))
}

/// Cuts ordered rows into partitions of at most `limit` rows: as many whole UTC days as fit, and a day that
/// is larger than a partition into several.
pub(super) fn split(times: &[i64], limit: usize) -> Vec<Range<usize>> {
    let mut partitions = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for day in times.chunk_by(|a, b| a.div_euclid(DAY) == b.div_euclid(DAY)) {
        if end > start && end + day.len() - start > limit {
            partitions.push(start..end);
            start = end;
        }
        end += day.len();
        while end - start > limit {
            partitions.push(start..start + limit);
            start += limit;
        }
    }
    if end > start {
        partitions.push(start..end);
    }
    partitions
}

/// Writes rows as one Parquet file in memory.
pub(super) fn encode(schema: &Arc<Schema>, columns: &[Values<'_>], rows: Range<usize>) -> Result<Vec<u8>> {
    let defect =
        |error: ParquetError| Failure::new(Code::InternalError, format!("no partition written: {error}"));
    let options = ArrowWriterOptions::new()
        .with_properties(properties().map_err(defect)?)
        .with_skip_arrow_metadata(true);
    let mut writer =
        ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options).map_err(defect)?;
    for start in rows.clone().step_by(ROW_GROUP_ROWS) {
        let end = rows.end.min(start + ROW_GROUP_ROWS);
        let arrays = columns.iter().map(|column| column.array(start..end)).collect();
        let batch = RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| defect(error.into()))?;
        writer.write(&batch).map_err(defect)?;
    }
    writer.into_inner().map_err(defect)
}

/// Every setting that shapes the bytes, written out: a new default of the library must not change them.
fn properties() -> Result<WriterProperties, ParquetError> {
    Ok(WriterProperties::builder()
        .set_created_by(WRITTEN_BY.to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(None)
        .set_write_batch_size(1_024)
        .set_data_page_size_limit(1 << 20)
        .set_data_page_row_count_limit(20_000)
        .set_dictionary_enabled(true)
        .set_dictionary_page_size_limit(1 << 20)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(64))
        .set_offset_index_disabled(true)
        .set_bloom_filter_enabled(false)
        .set_coerce_types(false)
        .build())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn partitions_cover_all_rows_once_and_break_only_days_that_are_too_large(
            mut days in prop::collection::vec(-3_i64..6, 0..60),
            limit in 1_usize..20,
        ) {
            days.sort_unstable();
            let times: Vec<i64> = days.iter().map(|day| day * DAY + 5).collect();
            let partitions = split(&times, limit);
            let covered: Vec<usize> = partitions.iter().cloned().flatten().collect();
            prop_assert_eq!(covered, (0..times.len()).collect::<Vec<_>>());
            for partition in &partitions {
                prop_assert!((1..=limit).contains(&partition.len()));
            }
            for pair in partitions.windows(2) {
                let before = days[pair[0].end - 1];
                if before == days[pair[1].start] {
                    prop_assert!(days.iter().filter(|day| **day == before).count() > limit);
                }
            }
        }
    }
}
