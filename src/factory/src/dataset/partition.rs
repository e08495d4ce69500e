//! Partitions: stretches of the ordered rows, each one Parquet file whose bytes follow from its rows alone.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Int64Array, PrimitiveArray, StringArray,
    TimestampNanosecondArray, types::Float64Type,
};
use arrow_schema::{DataType, FieldRef, Schema};
use contracts::{Code, Failure, Result, artifacts::Partition, identity::digest::Hasher};
use kernels::label::Outcome;
use parquet::{
    arrow::arrow_writer::{
        ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions,
        compute_leaves,
    },
    basic::{Compression, Encoding},
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::types::ColumnPath,
};
use rayon::prelude::*;

use super::{ids::Ids, labels::POSITIVE, layout::OUTCOMES};
use crate::store::{Draft, trouble};

/// Rows of one row group.
pub(super) const ROW_GROUP_ROWS: usize = 1 << 16;
/// Rows of a page, and those that the writer takes before it looks at how many there are.
const PAGE_ROWS: usize = 20_000;
const BATCH_ROWS: usize = 1 << 10;
/// Rows that are handed to the writer at once, which holds some bytes of each: it cuts its pages as if these were all.
const PIECE_ROWS: usize = 8 * BATCH_ROWS;
/// The same of a column that may be null and never is, of which the writer takes a page at once.
const UNIFORM_ROWS: usize = PAGE_ROWS;
/// Columns at most that are encoded at the same time: more threads must not take more memory.
const TOGETHER: usize = 8;
/// Stands for the writer in the files; a release must not change the bytes of the same rows.
const WRITTEN_BY: &str = "model_factory partition v2";

/// The values of one column of some rows. They become an array as they are encoded, most of them where they are.
#[derive(Debug, Clone)]
pub(super) enum Cells {
    Ids(Ids),
    Times(TimestampNanosecondArray),
    /// NaN is written as null.
    Numbers(Vec<f64>),
    Label(BooleanArray),
    /// By the number of the outcome.
    Outcome(Vec<u8>),
}

const KNOWN: u8 = Outcome::Known as u8;

impl Cells {
    pub(super) fn times(times: Vec<i64>) -> Self {
        Self::Times(times.into())
    }

    /// The value of a label where it is known.
    pub(super) fn label(outcome: &[u8], value: &[u8]) -> Self {
        let labels = outcome.iter().zip(value);
        Self::Label(labels.map(|(outcome, value)| known(*outcome).then_some(*value == POSITIVE)).collect())
    }

    /// When a label was observed, where it is known.
    pub(super) fn observed(outcome: &[u8], times: Vec<i64>) -> Self {
        let present = outcome.iter().map(|outcome| known(*outcome)).collect();
        Self::Times(nullable(times, present))
    }

    fn array(self) -> ArrayRef {
        match self {
            Self::Ids(Ids::Int(values)) => Arc::new(Int64Array::from(values)),
            Self::Ids(Ids::Text(texts)) => {
                Arc::new(StringArray::from_iter_values(texts.range(0..texts.len())))
            }
            Self::Times(times) => Arc::new(times.with_timezone("UTC")),
            Self::Numbers(numbers) => {
                let present: Vec<bool> = numbers.iter().map(|number| !number.is_nan()).collect();
                Arc::new(nullable::<Float64Type>(numbers, present))
            }
            Self::Label(labels) => Arc::new(labels),
            Self::Outcome(outcome) => {
                let texts = outcome.iter().map(|outcome| OUTCOMES[*outcome as usize]);
                Arc::new(StringArray::from_iter_values(texts))
            }
        }
    }
}

const fn known(outcome: u8) -> bool {
    outcome == KNOWN
}

/// Values where they are, some of them absent. Where none is, nothing may say so of each: the writer cuts the pages of
/// such a column another way.
fn nullable<T: ArrowPrimitiveType>(values: Vec<T::Native>, present: Vec<bool>) -> PrimitiveArray<T> {
    let all = present.iter().all(|present| *present);
    PrimitiveArray::new(values.into(), (!all).then(|| present.into()))
}

/// Cuts ordered rows into partitions of at most `limit` rows: as many whole UTC days as fit, and a day that is larger
/// than a partition into several. Takes the rows of each day, gives those of each partition.
pub(super) fn split(days: &[usize], limit: usize) -> Vec<usize> {
    let mut partitions = Vec::new();
    let mut rows = 0;
    for day in days {
        if rows > 0 && rows + day > limit {
            partitions.push(rows);
            rows = 0;
        }
        rows += day;
        while rows > limit {
            partitions.push(limit);
            rows -= limit;
        }
    }
    partitions.extend((rows > 0).then_some(rows));
    partitions
}

/// A partition that is being encoded, as one Parquet file: of no more than some columns of a row group are the encoded
/// bytes in memory.
pub(super) struct Encoder<W: Write> {
    schema: Arc<Schema>,
    file: SerializedFileWriter<W>,
    groups: ArrowRowGroupWriterFactory,
}

impl<W: Write + Send> Encoder<W> {
    /// Over what takes the bytes.
    pub(super) fn new(schema: &Arc<Schema>, bytes: W) -> Result<Self> {
        let start = || {
            let options =
                ArrowWriterOptions::new().with_properties(properties(schema)).with_skip_arrow_metadata(true);
            ArrowWriter::try_new_with_options(bytes, Arc::clone(schema), options)?.into_serialized_writer()
        };
        let (file, groups) = start().map_err(|error| defect(&error))?;
        Ok(Self { schema: Arc::clone(schema), file, groups })
    }

    /// Adds a row group, its columns side by side; each is asked for as its turn comes, and let go of as it is encoded.
    pub(super) fn push(&mut self, column: impl Fn(usize) -> Result<Cells> + Sync) -> Result<()> {
        let defect = |error| defect(&error);
        let writers = self.groups.create_column_writers(self.file.flushed_row_groups().len());
        let columns = Mutex::new(writers.map_err(defect)?.into_iter().zip(self.schema.fields()).enumerate());
        let mut group = self.file.next_row_group().map_err(defect)?;
        let append = |chunk: ArrowColumnChunk| chunk.append_to_row_group(&mut group).map_err(defect);
        let in_order = Mutex::new(InOrder { next: 0, early: BTreeMap::new(), append, all: Ok(()) });
        let next = || columns.lock().unwrap_or_else(PoisonError::into_inner).next();
        (0..rayon::current_num_threads().min(TOGETHER)).into_par_iter().for_each(|_| {
            while let Some((place, (writer, field))) = next() {
                let chunk = column(place).and_then(|cells| encode(writer, cells, field).map_err(defect));
                in_order.lock().unwrap_or_else(PoisonError::into_inner).take(place, chunk);
            }
        });
        in_order.into_inner().unwrap_or_else(PoisonError::into_inner).all?;
        group.close().map(drop).map_err(defect)
    }

    /// What took the bytes of the file.
    pub(super) fn finish(self) -> Result<W> {
        self.file.into_inner().map_err(|error| defect(&error))
    }
}

/// Takes what is made side by side one after the other. The failure that is told is the first by position, not by time.
struct InOrder<T, F> {
    next: usize,
    /// What others have to come before.
    early: BTreeMap<usize, Result<T>>,
    append: F,
    all: Result<()>,
}

impl<T, F: FnMut(T) -> Result<()>> InOrder<T, F> {
    fn take(&mut self, place: usize, made: Result<T>) {
        self.early.insert(place, made);
        while let Some(made) = self.early.remove(&self.next) {
            if self.all.is_ok() {
                self.all = made.and_then(&mut self.append);
            }
            self.next += 1;
        }
    }
}

fn encode(
    mut writer: ArrowColumnWriter,
    cells: Cells,
    field: &FieldRef,
) -> Result<ArrowColumnChunk, ParquetError> {
    let array = cells.array();
    let piece = if field.is_nullable() && array.nulls().is_none() { UNIFORM_ROWS } else { PIECE_ROWS };
    for start in (0..array.len()).step_by(piece) {
        for leaf in compute_leaves(field, &array.slice(start, piece.min(array.len() - start)))? {
            writer.write(&leaf)?;
        }
    }
    drop(array);
    writer.close()
}

/// A draft of an object, with what a manifest says of its bytes.
pub(super) struct Pinned<'a> {
    pub(super) draft: Draft<'a>,
    pub(super) digest: Hasher<Partition>,
    pub(super) bytes: u64,
}

impl<'a> Pinned<'a> {
    pub(super) fn new(draft: Draft<'a>) -> Self {
        Self { draft, digest: Hasher::default(), bytes: 0 }
    }
}

impl Write for Pinned<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.draft.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.flush()
    }
}

fn defect(error: &ParquetError) -> Failure {
    if let ParquetError::External(error) = error
        && let Some(error) = error.downcast_ref::<io::Error>()
    {
        return trouble(error, "write a partition", None);
    }
    Failure::new(Code::InternalError, format!("no partition written: {error}"))
}

/// Every setting that shapes the bytes, written out: a new default of the library must not change them.
///
/// A partition is written once and read by every run, which hashes all of it and decodes what it needs. Where a column's
/// distinct values outgrow a dictionary that stays in the processor's cache, looking each up costs more than the value
/// itself: from there on numbers stand plain, and whole numbers and times, which mostly rise, as differences. The codec is
/// the one that decompresses fastest; with these encodings its files are no larger than slower ones'.
fn properties(schema: &Schema) -> WriterProperties {
    let whole = schema.fields().iter().filter(|field| is_whole(field.data_type()));
    let properties = WriterProperties::builder()
        .set_created_by(WRITTEN_BY.to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::LZ4_RAW)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(None)
        .set_write_batch_size(BATCH_ROWS)
        .set_data_page_size_limit(1 << 20)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_enabled(true)
        .set_dictionary_page_size_limit(1 << 16)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(64))
        .set_offset_index_disabled(true)
        .set_bloom_filter_enabled(false)
        .set_coerce_types(false);
    whole
        .fold(properties, |properties, field| {
            // Of one segment: a name with dots in it is still one column.
            let column = ColumnPath::new(vec![field.name().clone()]);
            properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
        })
        .build()
}

const fn is_whole(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Timestamp(..))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow_array::{Float64Array, RecordBatch, cast::AsArray, types::TimestampNanosecondType};
    use contracts::{
        dataset_manifest::{Column, ColumnRole, ColumnType, PrivacyClass},
        names::ColumnName,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::dataset::layout::arrow_schema;

    /// Identities of datasets rest on these bytes, and small files have too few pages to tell.
    #[test]
    fn columns_side_by_side_make_the_bytes_of_columns_one_after_the_other() {
        let column = |name: &str, r#type, role| Column {
            name: ColumnName::new(name).unwrap(),
            r#type,
            role,
            privacy_class: PrivacyClass::default(),
        };
        let schema = arrow_schema(&[
            column("id", ColumnType::Int64, ColumnRole::EventId),
            column("time", ColumnType::TimestampNs, ColumnRole::EventTime),
            column("shop", ColumnType::Utf8, ColumnRole::Entity),
            column("amount", ColumnType::Float64, ColumnRole::Feature),
            column("never_missing", ColumnType::Float64, ColumnRole::Feature),
            column("missing_once", ColumnType::Float64, ColumnRole::Feature),
            column("label", ColumnType::Boolean, ColumnRole::Label),
            column("outcome", ColumnType::Utf8, ColumnRole::LabelOutcome),
            column("observed", ColumnType::TimestampNs, ColumnRole::LabelObservedTime),
        ]);
        let rows = ROW_GROUP_ROWS as i64 + 30_000;
        let numbers: Vec<i64> = (0..rows).map(|row| row * 7_919 % 100_003).collect();
        let amounts: Vec<f64> =
            numbers.iter().map(|&row| if row % 5 == 0 { f64::NAN } else { row as f64 / 3.0 }).collect();
        let ids = Ids::Int(numbers.clone());
        let shops: Vec<String> = numbers.iter().map(|number| format!("shop-{}", number % 40_000)).collect();
        let shops = Ids::Text(shops.iter().map(String::as_str).collect());
        let outcome: Vec<u8> = numbers.iter().map(|number| (number % 4) as u8).collect();
        let value: Vec<u8> = numbers.iter().map(|number| (number % 3 == 0).into()).collect();
        let mut encoder = Encoder::new(&schema, Vec::new()).unwrap();
        let mut one_by_one = ArrowWriter::try_new_with_options(
            Vec::new(),
            Arc::clone(&schema),
            ArrowWriterOptions::new().with_properties(properties(&schema)).with_skip_arrow_metadata(true),
        )
        .unwrap();
        for part in [0..ROW_GROUP_ROWS, ROW_GROUP_ROWS..rows as usize] {
            let picked: Vec<u32> = part.clone().map(|row| row as u32).collect();
            let (ids, shops) = (ids.select(&picked), shops.select(&picked));
            let whole: Vec<f64> = numbers[part.clone()].iter().map(|&number| number as f64).collect();
            let cells = vec![
                Cells::Ids(ids),
                Cells::times(numbers[part.clone()].to_vec()),
                Cells::Ids(shops),
                Cells::Numbers(amounts[part.clone()].to_vec()),
                Cells::Numbers(whole.clone()),
                Cells::Numbers([&[f64::NAN], &whole[1..]].concat()),
                Cells::label(&outcome[part.clone()], &value[part.clone()]),
                Cells::Outcome(outcome[part.clone()].to_vec()),
                Cells::observed(&outcome[part.clone()], numbers[part].to_vec()),
            ];
            encoder.push(|column| Ok(cells[column].clone())).unwrap();
            let arrays = cells.into_iter().map(Cells::array).collect();
            one_by_one.write(&RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap()).unwrap();
        }
        assert!(encoder.finish().unwrap() == one_by_one.into_inner().unwrap());
    }

    /// Collected from options, which is how the first release made them: whether there is a bitmap shows in the pages.
    #[test]
    fn arrays_are_those_of_their_values_one_by_one() {
        for numbers in [vec![1.0, -2.5, 0.0], vec![f64::NAN, 3.0], vec![f64::NAN], Vec::new()] {
            let expected: Float64Array =
                numbers.iter().map(|number: &f64| (!number.is_nan()).then_some(*number)).collect();
            let array = Cells::Numbers(numbers).array();
            assert_eq!(array.as_primitive::<Float64Type>(), &expected);
            assert_eq!(array.nulls(), expected.nulls());
        }
        for outcome in [vec![KNOWN, KNOWN], vec![KNOWN, KNOWN + 1], Vec::new()] {
            let times: Vec<i64> = (7..).take(outcome.len()).collect();
            let pairs = outcome.iter().zip(&times);
            let expected: TimestampNanosecondArray =
                pairs.map(|(outcome, time)| (*outcome == KNOWN).then_some(*time)).collect();
            let array = Cells::observed(&outcome, times).array();
            let array = array.as_primitive::<TimestampNanosecondType>();
            assert_eq!(array, &expected.clone().with_timezone("UTC"));
            assert_eq!(array.nulls(), expected.nulls());
        }
    }

    proptest! {
        #[test]
        fn partitions_cover_all_rows_once_and_break_only_days_that_are_too_large(
            mut days in prop::collection::vec(-3_i64..6, 0..60),
            limit in 1_usize..20,
        ) {
            days.sort_unstable();
            let lengths: Vec<usize> = days.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
            let partitions = split(&lengths, limit);
            prop_assert_eq!(partitions.iter().sum::<usize>(), days.len());
            let mut start = 0;
            for (number, &rows) in partitions.iter().enumerate() {
                prop_assert!((1..=limit).contains(&rows));
                if number > 0 && days[start - 1] == days[start] {
                    prop_assert!(days.iter().filter(|day| **day == days[start]).count() > limit);
                }
                start += rows;
            }
        }
    }
}
