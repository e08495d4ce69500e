//! Where raw rows come from: Arrow batches, or Parquet files that may be larger than memory.
//!
//! ```text
//!   batches ─────────┐
//!                    ├─► schema check ─► needed columns, batch by batch ─► Columns
//!   Parquet files ───┘
//! ```
//!
//! Only the columns that are asked for are read, so the working set is their size and never that of the files.
//! Files are hostile until shown otherwise: nothing is reserved on what a footer claims, and a decoder's panic
//! is the file's failure.

#![allow(clippy::disallowed_methods, reason = "a file that the caller named is opened here and nowhere else")]

use std::{fs::File, path::Path, path::PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use contracts::{Code, Failure, Result};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};

use super::{
    columns::{Columns, Wanted},
    meter::Meter,
    parquet_guard::guarded,
};

/// Rows decoded at a time.
pub(super) const BATCH_ROWS: usize = 1 << 16;

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
                    let (_, metadata) = open(path, &place)?;
                    wanted.check(metadata.schema())?;
                    let claimed = metadata.metadata().file_metadata().num_rows();
                    rows = rows
                        .saturating_add(u64::try_from(claimed).map_err(|_| damaged(&place, "row count"))?);
                }
            }
        }
        limited(wanted, rows)
    }

    /// Reads the wanted columns of all rows.
    ///
    /// Refuses with `COLUMN_MISSING`, `COLUMN_TYPE_INVALID`, `NULL_NOT_ALLOWED`, `NON_FINITE_INPUT`,
    /// `SOURCE_UNREADABLE` and, at 2^32 rows, `RESOURCE_EXHAUSTED`.
    pub(super) fn read(&self, wanted: &Wanted, meter: &Meter<'_>) -> Result<Columns> {
        let mut columns = Columns::new(wanted);
        let mut take = |batch: &RecordBatch| {
            limited(wanted, columns.rows() + batch.num_rows() as u64)?;
            columns.append(batch)?;
            meter.advance(batch.num_rows() as u64)
        };
        match self {
            Self::Batches(batches) => batches.iter().try_for_each(take)?,
            Self::Parquet(paths) => {
                for (index, path) in paths.iter().enumerate() {
                    read_file(path, &place(wanted, index), wanted, &mut take)?;
                }
            }
        }
        columns.finish()
    }
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

/// Opens a file that the caller named: the one place where the factory follows such a path.
fn open(path: &Path, place: &str) -> Result<(File, ArrowReaderMetadata)> {
    let unreadable = |error: std::io::Error| {
        Failure::at(Code::SourceUnreadable, place, "a readable file", format!("{}", error.kind()))
    };
    // A pipe would block on opening, so this is asked before.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Failure::at(Code::SourceUnreadable, place, "a regular file", "something else"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata =
        guarded(|kind| damaged(place, kind), || ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))?;
    Ok((file, metadata))
}

fn damaged(place: &str, kind: &str) -> Failure {
    Failure::at(
        Code::SourceUnreadable,
        place,
        "a well-formed Parquet file",
        format!("a damaged one ({kind})"),
    )
}

fn read_file(
    path: &Path,
    place: &str,
    wanted: &Wanted,
    take: &mut impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let (file, metadata) = open(path, place)?;
    wanted.check(metadata.schema())?;
    let roots = positions(wanted, metadata.schema());
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
    let mut reader = guarded(
        |kind| damaged(place, kind),
        || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS)
                .build()
        },
    )?;
    while let Some(batch) =
        guarded(|kind| damaged(place, kind), || reader.next().transpose().map_err(Into::into))?
    {
        take(&batch)?;
    }
    Ok(())
}

fn positions(wanted: &Wanted, schema: &Schema) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    fields
        .filter(|(_, field)| wanted.names().any(|name| name == field.name()))
        .map(|(index, _)| index)
        .collect()
}
