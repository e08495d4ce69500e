//! Parquet decoding that always returns, and never takes more memory than the file can account for.
//!
//! ```text
//!   vet_footer ──► the decoder reads the footer ──► vet_pages ──► the decoder reads pages, batch by batch
//!   counts and lengths                              sizes before and after decompression
//! ```
//!
//! Sizes in a file are claims, and the decoder reserves memory on their word: a few bytes can claim any number
//! of rows or ask for a page of two gigabytes. Both passes read headers only.

use std::panic::{AssertUnwindSafe, catch_unwind};

use contracts::{Failure, Result};
use parquet::{
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::ChunkReader,
    },
};

use super::thrift::{Structure, Wrong, walk};

/// What decompressing and decoding may make of a byte. Columns that hardly vary come near it, over a whole file
/// no table of events does.
const MOST_EXPANSION: u64 = 1_000;
/// What anything may take, however small the file.
const FREE: u64 = 1 << 26;
/// The end of every file: the footer's length and the magic number.
const TAIL: u64 = 8;
/// Bytes read at first, and at most, to find a page's header.
const HEADER_BYTES: [u64; 3] = [1 << 12, 1 << 16, 1 << 20];
/// Fields of a page's header.
const UNCOMPRESSED: i64 = 2;
const COMPRESSED: i64 = 3;

const MALFORMED: &str = "malformed";
const TOO_SHORT: &str = "ends too early";
const OUT_OF_PROPORTION: &str = "sizes out of proportion to the file";

/// Whether so many bytes may come of so many.
pub(super) const fn in_proportion(decoded: u64, encoded: u64) -> bool {
    decoded <= FREE.saturating_add(encoded.saturating_mul(MOST_EXPANSION))
}

/// Holds every count and length in the footer against the bytes that follow it; an error is the kind of damage.
pub(super) fn vet_footer(file: &impl ChunkReader) -> Result<(), &'static str> {
    let length = file.len();
    let tail = bytes(file, length.checked_sub(TAIL).ok_or(TOO_SHORT)?, TAIL)?;
    let footer = tail.first_chunk().map_or(0, |claim| u64::from(u32::from_le_bytes(*claim)));
    let start = (length - TAIL).checked_sub(footer).ok_or(TOO_SHORT)?;
    walk(&bytes(file, start, footer)?).map(drop).map_err(|_| MALFORMED)
}

/// Holds the sizes of the columns named by their position, and of each of their pages, against the file.
pub(super) fn vet_pages(
    file: &impl ChunkReader,
    metadata: &ParquetMetaData,
    roots: &[usize],
) -> Result<(), &'static str> {
    let schema = metadata.file_metadata().schema_descr();
    let mut rows = 0_u64;
    for group in metadata.row_groups() {
        let of_group = u64::try_from(group.num_rows()).map_err(|_| MALFORMED)?;
        rows = rows.saturating_add(of_group);
        for (leaf, chunk) in group.columns().iter().enumerate() {
            if roots.contains(&schema.get_column_root_idx(leaf)) {
                if chunk.num_values() != group.num_rows() {
                    return Err(MALFORMED);
                }
                vet_chunk(file, chunk)?;
            }
        }
    }
    if u64::try_from(metadata.file_metadata().num_rows()) != Ok(rows) {
        return Err(MALFORMED);
    }
    let decoded = rows.saturating_mul(roots.len() as u64).saturating_mul(size_of::<i64>() as u64);
    if in_proportion(decoded, file.len()) { Ok(()) } else { Err(OUT_OF_PROPORTION) }
}

fn vet_chunk(file: &impl ChunkReader, chunk: &ColumnChunkMetaData) -> Result<(), &'static str> {
    let size = |claim: i64| u64::try_from(claim).map_err(|_| MALFORMED);
    let mut place = size(chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset()))?;
    let compressed = size(chunk.compressed_size())?;
    let end = place.checked_add(compressed).filter(|end| *end <= file.len()).ok_or(TOO_SHORT)?;
    if !in_proportion(size(chunk.uncompressed_size())?, compressed) {
        return Err(OUT_OF_PROPORTION);
    }
    while place < end {
        let header = header(file, place, end - place)?;
        let [uncompressed, compressed] =
            [UNCOMPRESSED, COMPRESSED].map(|field| header.integer(field).map_or(Err(MALFORMED), size));
        let (uncompressed, compressed) = (uncompressed?, compressed?);
        if !in_proportion(uncompressed, compressed) {
            return Err(OUT_OF_PROPORTION);
        }
        place = (place + header.bytes as u64).checked_add(compressed).ok_or(TOO_SHORT)?;
    }
    if place == end { Ok(()) } else { Err(TOO_SHORT) }
}

/// The header of the page at `place`, which has `most` bytes at the most.
fn header(file: &impl ChunkReader, place: u64, most: u64) -> Result<Structure, &'static str> {
    for length in HEADER_BYTES {
        match walk(&bytes(file, place, length.min(most))?) {
            Ok(header) => return Ok(header),
            Err(Wrong::Ends) if length < most => {}
            Err(_) => break,
        }
    }
    Err(MALFORMED)
}

fn bytes(file: &impl ChunkReader, start: u64, length: u64) -> Result<bytes::Bytes, &'static str> {
    let length = usize::try_from(length).map_err(|_| TOO_SHORT)?;
    file.get_bytes(start, length).map_err(|error| kind(&error))
}

/// Runs a step of the decoder; `failure` makes a refusal from the kind of damage.
///
/// The decoder asserts on some damaged files instead of returning an error. Whatever it was working on is
/// dropped by the caller, so nothing half-changed is seen again. Its own texts may quote data and are not
/// passed on.
pub(super) fn guarded<T>(
    failure: impl Fn(&'static str) -> Failure,
    step: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(kind(&error))),
        Err(_) => Err(failure("not decodable")),
    }
}

const fn kind(error: &ParquetError) -> &'static str {
    match error {
        ParquetError::NYI(_) => "unsupported feature",
        ParquetError::EOF(_) | ParquetError::NeedMoreData(_) | ParquetError::NeedMoreDataRange(_) => {
            "ends too early"
        }
        ParquetError::ArrowError(_) => "no Arrow form",
        ParquetError::IndexOutOfBound(..) => "position out of bounds",
        ParquetError::External(_) => "not readable",
        _ => "malformed",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use bytes::Bytes;
    use parquet::{
        arrow::ArrowWriter,
        basic::Compression,
        file::{
            metadata::{
                ColumnChunkMetaDataBuilder, FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataReader,
                ParquetMetaDataWriter,
            },
            properties::WriterProperties,
        },
    };

    use super::*;

    /// A file of two columns, and what its footer says.
    fn file() -> (Vec<u8>, ParquetMetaData) {
        let column = |step: i64| {
            Arc::new(Int64Array::from_iter_values((0..5_000_i64).map(|row| row * step))) as ArrayRef
        };
        let batch = RecordBatch::try_from_iter([("a", column(7)), ("b", column(0))]).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(2_000))
            .set_data_page_row_count_limit(700)
            .set_write_batch_size(100)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let metadata = parsed(&bytes);
        assert_eq!(metadata.num_row_groups(), 3);
        (bytes, metadata)
    }

    fn parsed(bytes: &[u8]) -> ParquetMetaData {
        ParquetMetaDataReader::new().parse_and_finish(&Bytes::copy_from_slice(bytes)).unwrap()
    }

    fn footer_start(bytes: &[u8]) -> usize {
        let tail: [u8; 4] = bytes[bytes.len() - 8..][..4].try_into().unwrap();
        bytes.len() - 8 - u32::from_le_bytes(tail) as usize
    }

    /// The file under a footer that says of every group that it has `rows` rows, and of columns what `change` does.
    fn forged(
        rows: i64,
        change: impl Fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder,
    ) -> Vec<u8> {
        let (bytes, metadata) = file();
        let about = metadata.file_metadata();
        let groups: Vec<_> = metadata
            .row_groups()
            .iter()
            .map(|group| {
                let chunks = group
                    .columns()
                    .iter()
                    .map(|chunk| change(chunk.clone().into_builder().set_num_values(rows)).build().unwrap());
                let chunks = chunks.collect();
                group.clone().into_builder().set_num_rows(rows).set_column_metadata(chunks).build().unwrap()
            })
            .collect();
        let about = FileMetaData::new(
            about.version(),
            rows * groups.len() as i64,
            None,
            None,
            about.schema_descr_ptr(),
            None,
        );
        let metadata = ParquetMetaDataBuilder::new(about).set_row_groups(groups).build();
        let mut forged = bytes[..footer_start(&bytes)].to_vec();
        ParquetMetaDataWriter::new(&mut forged, &metadata).finish().unwrap();
        forged
    }

    fn vetted(bytes: Vec<u8>) -> Result<(), &'static str> {
        let bytes = Bytes::from(bytes);
        vet_footer(&bytes)?;
        vet_pages(&bytes, &parsed(&bytes), &[0, 1])
    }

    #[test]
    fn a_file_that_says_what_it_holds_passes() {
        vetted(file().0).unwrap();
    }

    #[test]
    fn claims_of_the_footer_are_held_against_the_file() {
        let (rows, same) = (2_000, |chunk| chunk);
        assert_eq!(vetted(forged(1 << 40, same)), Err(OUT_OF_PROPORTION));
        assert_eq!(vetted(forged(-1, same)), Err(MALFORMED));
        for (claim, expected) in
            [(i64::MAX / 8, OUT_OF_PROPORTION), (1 << 32, OUT_OF_PROPORTION), (-1, MALFORMED)]
        {
            let inflated = forged(rows, |chunk| chunk.set_total_uncompressed_size(claim));
            assert_eq!(vetted(inflated), Err(expected));
        }
        for (claim, expected) in [(i64::MAX / 8, TOO_SHORT), (1 << 20, TOO_SHORT), (-1, MALFORMED)] {
            assert_eq!(vetted(forged(rows, |chunk| chunk.set_total_compressed_size(claim))), Err(expected));
        }
        let elsewhere = |chunk: ColumnChunkMetaDataBuilder| {
            chunk.set_dictionary_page_offset(None).set_data_page_offset(1 << 40)
        };
        assert_eq!(vetted(forged(rows, elsewhere)), Err(TOO_SHORT));
    }

    #[test]
    fn a_column_with_another_number_of_values_is_refused() {
        assert_eq!(vetted(forged(2_000, |chunk| chunk.set_num_values(2_001))), Err(MALFORMED));
    }

    #[test]
    fn a_list_of_more_elements_than_bytes_is_refused_before_it_is_decoded() {
        // The version, then two thousand million row groups.
        let mut bytes = b"PAR1".to_vec();
        let footer = [0x15, 0x02, 0x39, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
        bytes.extend(footer);
        bytes.extend(u32::try_from(footer.len()).unwrap().to_le_bytes());
        bytes.extend(b"PAR1");
        assert_eq!(vet_footer(&Bytes::from(bytes)), Err(MALFORMED));
        for short in [&b""[..], b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1"] {
            assert_eq!(vet_footer(&Bytes::copy_from_slice(short)), Err(TOO_SHORT));
        }
    }

    #[test]
    fn a_page_that_claims_to_grow_beyond_proportion_is_refused() {
        // The first page of the file with two gigabytes in place of its size, padded to the same length.
        let (mut bytes, metadata) = file();
        let chunk = metadata.row_group(0).column(0);
        let place = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset()) as usize;
        let before = walk(&bytes[place..]).unwrap();
        // Type, uncompressed, compressed: the size before the last takes what the header leaves.
        let compressed = before.integer(COMPRESSED).unwrap() as usize + before.bytes;
        let claim = [0x15, 0x04, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f];
        let taken = (compressed - claim.len() - 5) as u32 * 2;
        let varint = [taken | 0x80, taken >> 7 | 0x80, taken >> 14].map(|byte| byte as u8);
        let header = [&claim[..], &[0x15], &varint, &[0]].concat();
        bytes[place..place + header.len()].copy_from_slice(&header);
        let found = walk(&bytes[place..]).unwrap();
        assert_eq!(found.integer(UNCOMPRESSED), Some(i64::from(i32::MAX)));
        assert_eq!(found.integer(COMPRESSED).unwrap() as usize + found.bytes, compressed);
        assert_eq!(vetted(bytes), Err(OUT_OF_PROPORTION));
    }
}
