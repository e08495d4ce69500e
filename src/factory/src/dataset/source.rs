//! Where raw rows come from: Arrow batches, or Parquet files that may be larger than memory.
//!
//! ```text
//!   batches ─────────┐
//!                    ├─► schema check ─► needed columns, batch by batch ─► Columns
//!   Parquet files ───┘
//! ```
//!
//! Only the columns that are asked for are read, so the working set is their size and never that of the files; who
//! takes the rows of each batch holds one batch.
//! Files are hostile until shown otherwise: nothing is reserved on what a footer claims before the claim was held
//! against the file, and a decoder's panic is the file's failure.

#![allow(clippy::disallowed_methods, reason = "a file that the caller named is opened here and nowhere else")]

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
use contracts::{Code, Failure, Result};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};

use super::{
    columns::{Columns, Wanted},
    meter::Meter,
    parquet_guard::{guarded, in_proportion, vet_footer, vet_pages},
};

/// Bytes of the rows that are decoded at a time, about.
const BATCH_BYTES: usize = 1 << 17;
/// Rows that are decoded at a time, at least, where rows are wide.
const LEAST_BATCH_ROWS: usize = 1 << 10;

/// Raw rows.
#[derive(Debug, Clone)]
pub enum Source {
    /// Arrow batches in memory.
    Batches(Vec<RecordBatch>),
    /// Parquet files.
    Parquet(Vec<PathBuf>),
}

impl Source {
    /// Checks that the wanted columns are there and of a type that is taken; returns the number of rows.
    pub(super) fn survey(&self, wanted: &Wanted) -> Result<u64> {
        let mut rows = 0_u64;
        match self {
            Self::Batches(batches) => {
                for batch in batches {
                    wanted.check(batch.schema_ref())?;
                    rows += batch.num_rows() as u64;
                }
            }
            Self::Parquet(paths) => {
                for (index, path) in paths.iter().enumerate() {
                    let place = place(wanted, index);
                    let file = Parquet::open(path, &place)?;
                    rows = rows.saturating_add(file.vet(&place, wanted)?);
                }
            }
        }
        limited(wanted, rows)
    }

    /// Reads the wanted columns of all rows. Refuses as [`Self::each`] does.
    pub(super) fn read(&self, wanted: &Wanted, meter: &Meter<'_>) -> Result<Columns> {
        // What a file says of its rows is not trusted with memory; they are counted as they come.
        let expected = match self {
            Self::Batches(batches) => batches.iter().map(RecordBatch::num_rows).sum(),
            Self::Parquet(_) => 0,
        };
        self.fill(Columns::new(wanted, expected), meter, |_| Ok(()))
    }

    /// Reads the wanted columns and gives them to `take` a batch at a time, who takes the rows out. Refuses what no one
    /// batch shows once all have been taken.
    ///
    /// Refuses with `COLUMN_MISSING`, `COLUMN_TYPE_INVALID`, `NULL_NOT_ALLOWED`, `NON_FINITE_INPUT`,
    /// `SOURCE_UNREADABLE` and, at 2^32 rows, `RESOURCE_EXHAUSTED`.
    pub(super) fn each(
        &self,
        wanted: &Wanted,
        meter: &Meter<'_>,
        take: impl FnMut(&mut Columns) -> Result<()>,
    ) -> Result<()> {
        self.fill(Columns::new(wanted, 0), meter, take).map(drop)
    }

    fn fill(
        &self,
        mut columns: Columns,
        meter: &Meter<'_>,
        mut take: impl FnMut(&mut Columns) -> Result<()>,
    ) -> Result<Columns> {
        let wanted = &columns.wanted().clone();
        let mut append = |batch: &RecordBatch| -> Result<u64> {
            limited(wanted, columns.rows() + batch.num_rows() as u64)?;
            columns.append(batch)?;
            take(&mut columns)?;
            meter.advance(batch.num_rows() as u64)?;
            Ok(columns.text_bytes())
        };
        match self {
            Self::Batches(batches) => {
                let rows = batch_rows(wanted);
                let pieces = batches.iter().flat_map(|batch| pieces(batch, rows));
                pieces.map(|batch| append(&batch)).try_for_each(|texts| texts.map(drop))?;
            }
            Self::Parquet(paths) => {
                let mut length = 0_u64;
                for (index, path) in paths.iter().enumerate() {
                    let place = place(wanted, index);
                    let file = Parquet::open(path, &place)?;
                    length = length.saturating_add(file.length);
                    // A dictionary says a long text in a few bits, row after row.
                    file.read(&place, wanted, |batch| {
                        let texts = append(batch)?;
                        if in_proportion(texts, length) {
                            Ok(())
                        } else {
                            Err(damaged(&place, "texts out of proportion"))
                        }
                    })?;
                }
            }
        }
        columns.require_whole()?;
        Ok(columns)
    }
}

/// Rows that are decoded at a time.
fn batch_rows(wanted: &Wanted) -> usize {
    (BATCH_BYTES / size_of::<i64>() / wanted.names().count().max(1)).max(LEAST_BATCH_ROWS)
}

/// The batch in pieces of at most so many rows; one without rows still says what its types are.
fn pieces(batch: &RecordBatch, most: usize) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let starts = (0..rows.max(1)).step_by(most);
    starts.map(move |start| batch.slice(start, most.min(rows - start)))
}

fn place(wanted: &Wanted, index: usize) -> String {
    format!("{}/{index}", wanted.table)
}

fn limited(wanted: &Wanted, rows: u64) -> Result<u64> {
    if rows < u64::from(u32::MAX) {
        return Ok(rows);
    }
    Err(Failure::at(Code::ResourceExhausted, wanted.table, "fewer than 2^32 rows", format!("{rows} rows")))
}

/// A Parquet file that is open, its footer read.
struct Parquet {
    file: File,
    length: u64,
    metadata: ArrowReaderMetadata,
}

impl Parquet {
    /// Opens a file that the caller named: the one place where the factory follows such a path.
    fn open(path: &Path, place: &str) -> Result<Self> {
        let unreadable = |error: std::io::Error| {
            Failure::at(Code::SourceUnreadable, place, "a readable file", format!("{}", error.kind()))
        };
        // A pipe would block on opening, so this is asked before.
        let about = std::fs::metadata(path).map_err(unreadable)?;
        if !about.is_file() {
            return Err(Failure::at(Code::SourceUnreadable, place, "a regular file", "something else"));
        }
        let file = File::open(path).map_err(unreadable)?;
        vet_footer(&file).map_err(|kind| damaged(place, kind))?;
        let load = || {
            let options = ArrowReaderOptions::new();
            let metadata = ArrowReaderMetadata::load(&file, options.clone())?;
            let options = options.with_schema(with_views(metadata.schema()));
            ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
        };
        let metadata = guarded(|kind| damaged(place, kind), load)?;
        Ok(Self { file, length: about.len(), metadata })
    }

    /// Checks what will be read, before it is; returns the number of rows.
    fn vet(&self, place: &str, wanted: &Wanted) -> Result<u64> {
        wanted.check(self.metadata.schema())?;
        let roots = positions(wanted, self.metadata.schema());
        let metadata = self.metadata.metadata();
        vet_pages(&self.file, metadata, &roots).map_err(|kind| damaged(place, kind))?;
        u64::try_from(metadata.file_metadata().num_rows()).map_err(|_| damaged(place, "row count"))
    }

    /// Decodes the wanted columns of all rows, one batch at a time.
    fn read(
        self,
        place: &str,
        wanted: &Wanted,
        mut take: impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        self.vet(place, wanted)?;
        let roots = positions(wanted, self.metadata.schema());
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        let build = || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file, self.metadata)
                .with_projection(mask)
                .with_batch_size(batch_rows(wanted))
                .build()
        };
        let mut reader = guarded(|kind| damaged(place, kind), build)?;
        while let Some(batch) =
            guarded(|kind| damaged(place, kind), || reader.next().transpose().map_err(Into::into))?
        {
            take(&batch)?;
        }
        Ok(())
    }
}

/// The schema with texts as views of their page: rows that share a text then share its bytes.
fn with_views(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

fn damaged(place: &str, kind: &str) -> Failure {
    Failure::at(
        Code::SourceUnreadable,
        place,
        "a well-formed Parquet file",
        format!("a damaged one ({kind})"),
    )
    .with_hint("Write the file again, or give an Arrow table.")
}

fn positions(wanted: &Wanted, schema: &Schema) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    fields
        .filter(|(_, field)| wanted.names().any(|name| name == field.name()))
        .map(|(index, _)| index)
        .collect()
}
