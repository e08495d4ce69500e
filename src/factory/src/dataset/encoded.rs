//! The features of a partition between the guards' look at its rows and the cut of the windows: vetted, and still encoded.
//!
//! Decoded at once they would be written to memory twice, and the second time be read from there before. Of a file that
//! holds much besides, only what they stand in is kept.

use bytes::{Buf, Bytes, buf::Reader};
use contracts::{Failure, Result, dataset_manifest::Column};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder},
    },
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{ChunkReader, Length},
};

use super::{
    batch::{BATCH_ROWS, invalid, invalid_column, numbers},
    parquet_guard::guarded,
};

/// Some columns of a partition whose pages were vetted.
#[derive(Debug)]
pub(super) struct Encoded {
    /// What refusals call the partition.
    place: String,
    file: Kept,
    metadata: ArrowReaderMetadata,
    columns: Vec<(Column, usize)>,
    /// How many the partition has.
    pub(super) rows: usize,
}

impl Encoded {
    /// Of a file whose footer, and whose pages of these columns, are vetted.
    pub(super) fn new(place: &str, bytes: Bytes, metadata: ArrowReaderMetadata, columns: &[&Column]) -> Self {
        let position = |column: &&Column| metadata.schema().index_of(column.name.as_str()).ok();
        let columns: Vec<(Column, usize)> = columns
            .iter()
            .filter_map(|column| position(column).map(|position| ((*column).clone(), position)))
            .collect();
        let groups = metadata.metadata().row_groups();
        // Columns are not nested: the manifest says so, and the file has the same.
        let ranges = groups
            .iter()
            .flat_map(|group| columns.iter().map(|(_, position)| group.column(*position).byte_range()));
        let file = Kept::of(bytes, &ranges.collect::<Vec<_>>());
        let rows = groups.iter().map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).sum();
        Self { place: place.to_owned(), file, metadata, columns, rows }
    }

    /// Decodes a column, in the order of the selection, and gives its values piece by piece, each with the row that it
    /// begins at; NaN is missing.
    pub(super) fn decode(&self, column: usize, mut take: impl FnMut(usize, &[f64])) -> Result<()> {
        let (column, position) = &self.columns[column];
        let damaged = |kind: &'static str| invalid(&self.place, "a well-formed Parquet file", kind);
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), [*position]);
        let mut reader = guarded(damaged, || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS)
                .build()
        })?;
        let (mut first, mut room) = (0, Vec::new());
        while let Some(batch) = guarded(damaged, || reader.next().transpose().map_err(Into::into))? {
            let values = numbers(column, &batch, &mut room);
            let values = values.map_err(|wrong| invalid_column(&self.place, wrong))?;
            take(first, values);
            first += values.len();
        }
        if first == self.rows { Ok(()) } else { Err(self.other_rows(first)) }
    }

    fn other_rows(&self, found: usize) -> Failure {
        invalid(&self.place, &format!("{} rows", self.rows), &format!("{found}"))
    }
}

/// A file, or what of it is asked for.
#[derive(Debug, Clone)]
struct Kept {
    length: u64,
    /// Each with its place in the file.
    pieces: Vec<(u64, Bytes)>,
}

impl Kept {
    /// As a whole where half of it is asked for: copying is the dearer then, and what is kept at most twice as much.
    fn of(bytes: Bytes, asked: &[(u64, u64)]) -> Self {
        let length = bytes.len() as u64;
        let pieces = if asked.iter().map(|(_, length)| length).sum::<u64>() > length / 2 {
            vec![(0, bytes)]
        } else {
            let piece = |&(start, length): &(u64, u64)| {
                (start, Bytes::copy_from_slice(&bytes[start as usize..(start + length) as usize]))
            };
            asked.iter().map(piece).collect()
        };
        Self { length, pieces }
    }

    /// What stands from a place on, to the end of its piece.
    fn from(&self, start: u64) -> ParquetResult<Bytes> {
        let inside = |(place, bytes): &(u64, Bytes)| {
            let within = usize::try_from(start.checked_sub(*place)?).ok()?;
            (within < bytes.len()).then(|| bytes.slice(within..))
        };
        self.pieces.iter().find_map(inside).ok_or_else(not_kept)
    }
}

fn not_kept() -> ParquetError {
    ParquetError::EOF("beyond what is asked for".to_owned())
}

impl Length for Kept {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Kept {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.from(start)?;
        if length <= bytes.len() { Ok(bytes.slice(..length)) } else { Err(not_kept()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn of_a_file_no_more_than_twice_what_is_asked_for_is_kept() {
        let file: Vec<u8> = (0..100).collect();
        let bytes = Bytes::from(file.clone());
        for (asked, kept) in [(vec![(10, 20), (30, 5)], 25), (vec![(10, 50), (60, 5)], 100), (Vec::new(), 0)]
        {
            let found = Kept::of(bytes.clone(), &asked);
            assert_eq!(found.pieces.iter().map(|(_, piece)| piece.len()).sum::<usize>(), kept);
            assert_eq!(found.len(), 100);
            for (start, length) in asked {
                let expected = &file[start as usize..(start + length) as usize];
                assert_eq!(found.get_bytes(start, length as usize).unwrap(), expected);
                let mut read = vec![0; length as usize];
                std::io::Read::read_exact(&mut found.get_read(start).unwrap(), &mut read).unwrap();
                assert_eq!(read, expected);
            }
            // What is not kept is no panic.
            assert_eq!(found.get_bytes(5, 1).is_ok(), kept == 100);
            found.get_bytes(90, 11).unwrap_err();
            found.get_read(100).unwrap_err();
        }
    }
}
