//! Rows set aside by bucket, to be read back in the order in which they were put: what does not fit in memory.
//!
//! ```text
//!   rows ──► waiting (memory, by bucket) ──► blocks of one file ──► a bucket at once, or row by row
//!                └───── a bucket's last rows, or all of few rows ───────┘
//! ```
//!
//! No more bytes of a bucket wait in memory than [`Spread`] says, however wide the rows are; the others are in a file that
//! has no name and is gone with the process. Which rows wait and which are in the file cannot be told from what is read.

use std::{cmp::Ordering, fs::File, ops::Range, os::unix::fs::FileExt};

use contracts::{Code, Failure, Result};

use super::{ids::Ids, rows::Values};
use crate::store::{Store, trouble};

/// Rows of a bucket for each bucket there is: a task holds the rows of one, and a step a block of each.
const ROWS_BY_BUCKETS: u64 = 200;
/// Buckets at most.
const MOST_BUCKETS: u64 = 1 << 10;
/// Bytes that wait in memory over all buckets, unless their blocks would be too small.
const WAITING_BYTES: usize = 1 << 20;
/// Bytes of a block, at least: a block is a call of the system.
const LEAST_BLOCK_BYTES: usize = 1 << 14;
/// Rows of a block, at least, where rows are wide: each of their columns is a loop of its own.
const LEAST_BLOCK_ROWS: usize = 1 << 6;
/// Rows that are swept at once, at least: what a stretch costs apart from its rows must not show.
const LEAST_SWEPT_ROWS: usize = 1 << 16;

/// Over how many buckets rows are spread, and how many bytes of a bucket make a block. The result does not depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) buckets: usize,
    pub(super) block_bytes: usize,
    /// Rows of a bucket that are swept at once, where their windows do not look back on more.
    pub(super) swept_rows: usize,
}

impl Spread {
    /// For about so many rows of so many columns. Buckets are as many as the square root of the rows, so that neither
    /// the rows of one nor the blocks of all outgrow the other.
    pub(super) fn of(rows: u64, columns: usize) -> Self {
        let buckets = (rows / ROWS_BY_BUCKETS).isqrt().clamp(1, MOST_BUCKETS);
        let block_bytes = (WAITING_BYTES / buckets as usize)
            .max(LEAST_BLOCK_BYTES)
            .max(LEAST_BLOCK_ROWS * columns * size_of::<f64>());
        let swept_rows = (4 * rows / buckets).max(LEAST_SWEPT_ROWS as u64) as usize;
        Self { buckets: buckets as usize, block_bytes, swept_rows }
    }

    /// For rows that are set aside by column: a bucket for each column of each bucket, in blocks of the least size.
    pub(super) const fn of_columns(self, columns: usize) -> Self {
        let block_bytes =
            if self.block_bytes < LEAST_BLOCK_BYTES { self.block_bytes } else { LEAST_BLOCK_BYTES };
        Self { buckets: self.buckets * columns, block_bytes, ..self }
    }

    /// The rows by bucket, those of a bucket in their order: equal identifiers come into one bucket.
    pub(super) fn deal(self, ids: &Ids) -> Dealt {
        let buckets: Vec<u32> = match ids {
            Ids::Int(values) => values.iter().map(|&value| self.bucket(value as u64)).collect(),
            Ids::Text(texts) => {
                texts.range(0..texts.len()).map(|text| self.bucket(fnv(text.as_bytes()))).collect()
            }
        };
        let mut starts = vec![0_usize; self.buckets + 1];
        for &bucket in &buckets {
            starts[bucket as usize + 1] += 1;
        }
        for bucket in 0..self.buckets {
            starts[bucket + 1] += starts[bucket];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; buckets.len()];
        for (row, bucket) in (0_u32..).zip(buckets) {
            let place = &mut next[bucket as usize];
            rows[*place] = row;
            *place += 1;
        }
        Dealt { rows, starts }
    }

    /// By the leading bits of a multiplicative hash (Knuth, TAOCP 3, 6.4).
    const fn bucket(self, key: u64) -> u32 {
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((hash as u128 * self.buckets as u128) >> 64) as u32
    }
}

/// Fowler, Noll and Vo's hash, of 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Bytes of a row, about; not less than one.
fn row_bytes(columns: &[&Values]) -> usize {
    let bytes: usize = columns.iter().map(|column| column.bytes()).sum();
    bytes.div_ceil(columns.first().map_or(1, |column| column.len()).max(1)).max(1)
}

/// Rows dealt into buckets.
#[derive(Debug, Default)]
pub(super) struct Dealt {
    /// Row positions, bucket by bucket.
    rows: Vec<u32>,
    starts: Vec<usize>,
}

impl Dealt {
    /// Number of rows.
    pub(super) const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The rows of each bucket that has some.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let bounds = self.starts.windows(2).enumerate();
        bounds
            .map(|(bucket, bound)| (bucket, &self.rows[bound[0]..bound[1]]))
            .filter(|(_, rows)| !rows.is_empty())
    }
}

/// Rows by bucket, in memory as long as they are few.
pub(super) struct Spill<'a> {
    store: &'a dyn Store,
    file: Option<File>,
    length: u64,
    spread: Spread,
    buckets: Vec<Bucket>,
}

#[derive(Debug, Clone, Default)]
struct Bucket {
    blocks: Vec<Block>,
    /// The rows after those of the last block.
    waiting: Vec<Values>,
}

/// Where some rows stand in the file.
#[derive(Debug, Clone, Copy)]
struct Block {
    place: u64,
    bytes: usize,
    /// How many rows of its bucket are before its end.
    end: usize,
}

impl<'a> Spill<'a> {
    /// Without rows; the store says where the file is, once there is need of one.
    pub(super) fn new(store: &'a dyn Store, spread: Spread) -> Self {
        let buckets = vec![Bucket::default(); spread.buckets];
        Self { store, file: None, length: 0, spread, buckets }
    }

    pub(super) const fn spread(&self) -> Spread {
        self.spread
    }

    /// Number of buckets.
    pub(super) const fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.buckets.iter().map(Bucket::rows).sum()
    }

    /// Adds each row to the bucket of its identifier, which the column at `key` holds.
    pub(super) fn deal(&mut self, key: usize, columns: &[&Values]) -> Result<()> {
        let row_bytes = row_bytes(columns);
        for (bucket, rows) in self.spread.deal(columns[key].ids()?).buckets() {
            self.add(bucket, columns, (rows.len(), row_bytes), |to, from, part| {
                to.gather(from, &rows[part]);
            })?;
        }
        Ok(())
    }

    /// Adds all rows to one bucket.
    pub(super) fn put(&mut self, bucket: usize, columns: &[&Values]) -> Result<()> {
        let rows = columns.first().map_or(0, |column| column.len());
        self.add(bucket, columns, (rows, row_bytes(columns)), Values::extend)
    }

    fn add(
        &mut self,
        bucket: usize,
        columns: &[&Values],
        (rows, row_bytes): (usize, usize),
        take: impl Fn(&mut Values, &Values, Range<usize>),
    ) -> Result<()> {
        let mut start = 0;
        while start < rows {
            let of_bucket = &mut self.buckets[bucket];
            if of_bucket.waiting.is_empty() {
                of_bucket.waiting = columns.iter().map(|column| column.like()).collect();
            }
            let room = self.spread.block_bytes.saturating_sub(of_bucket.waiting_bytes());
            let end = rows.min(start + room.div_ceil(row_bytes).max(1));
            for (to, from) in of_bucket.waiting.iter_mut().zip(columns) {
                take(to, from, start..end);
            }
            if of_bucket.waiting_bytes() >= self.spread.block_bytes {
                self.write(bucket)?;
            }
            start = end;
        }
        Ok(())
    }

    /// Writes what waits in a bucket to the file.
    fn write(&mut self, bucket: usize) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.store.scratch()?),
        };
        let bucket = &mut self.buckets[bucket];
        let end = bucket.rows();
        let mut bytes = Vec::with_capacity(bucket.waiting_bytes());
        for column in &mut bucket.waiting {
            column.write(&mut bytes);
            column.clear();
        }
        file.write_all_at(&bytes, self.length).map_err(|error| trouble(&error, "set aside rows", None))?;
        bucket.blocks.push(Block { place: self.length, bytes: bytes.len(), end });
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// No more rows come: those that wait join the others in the file, where there is one, and give their room back.
    pub(super) fn settle(&mut self) -> Result<()> {
        for bucket in 0..self.buckets() {
            self.end(bucket)?;
        }
        Ok(())
    }

    /// The same of one bucket.
    pub(super) fn end(&mut self, bucket: usize) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        if self.buckets[bucket].waiting() > 0 {
            self.write(bucket)?;
        }
        let waiting = &mut self.buckets[bucket].waiting;
        *waiting = waiting.iter().map(Values::like).collect();
        Ok(())
    }

    /// All rows of a bucket; no columns where there is no row.
    pub(super) fn bucket(&self, bucket: usize) -> Result<Vec<Values>> {
        let of_bucket = &self.buckets[bucket];
        let rows = of_bucket.rows();
        let mut columns: Vec<_> = of_bucket.waiting.iter().map(|column| column.with_room(rows)).collect();
        for index in 0..of_bucket.blocks.len() {
            self.read(of_bucket, index, &mut columns)?;
        }
        for (to, from) in columns.iter_mut().zip(&of_bucket.waiting) {
            to.extend(from, 0..from.len());
        }
        Ok(columns)
    }

    /// Reads a bucket from its first row on.
    pub(super) fn cursor(&self, bucket: usize) -> Cursor<'_> {
        let columns = self.buckets[bucket].waiting.iter().map(Values::like).collect();
        Cursor { spill: self, bucket, next: 0, columns, row: 0 }
    }

    /// Some rows of a bucket of one column, which has them. Of values that are all as wide no others are read.
    pub(super) fn part(&self, bucket: usize, rows: Range<usize>) -> Result<Values> {
        let bucket = &self.buckets[bucket];
        let [waiting] = bucket.waiting.as_slice() else { return Err(lost()) };
        let mut column = [waiting.with_room(rows.len())];
        let mut start = rows.start;
        let mut index = bucket.blocks.partition_point(|block| block.end <= start);
        while start < rows.end {
            let first = bucket.first(index);
            let Some(block) = bucket.blocks.get(index) else {
                if rows.end > bucket.rows() {
                    return Err(lost());
                }
                column[0].extend(waiting, start - first..rows.end - first);
                break;
            };
            let part = start - first..rows.end.min(block.end) - first;
            if let Some(width) = waiting.width() {
                let place = block.place + (part.start * width) as u64;
                self.read_at(place, part.len() * width, part.len(), &mut column)?;
            } else {
                let mut whole = [waiting.like()];
                self.read(bucket, index, &mut whole)?;
                column[0].extend(&whole[0], part);
            }
            start = block.end;
            index += 1;
        }
        let [column] = column;
        Ok(column)
    }

    /// Adds the rows of a block.
    fn read(&self, bucket: &Bucket, block: usize, columns: &mut [Values]) -> Result<()> {
        let Block { place, bytes, end } = bucket.blocks[block];
        self.read_at(place, bytes, end - bucket.first(block), columns)
    }

    fn read_at(&self, place: u64, bytes: usize, rows: usize, columns: &mut [Values]) -> Result<()> {
        let file = self.file.as_ref().ok_or_else(lost)?;
        let mut bytes = vec![0; bytes];
        file.read_exact_at(&mut bytes, place).map_err(|error| trouble(&error, "read back rows", None))?;
        let mut rest = bytes.as_slice();
        let read = columns.iter_mut().try_for_each(|column| column.read(rows, &mut rest));
        read.filter(|()| rest.is_empty()).ok_or_else(lost)
    }
}

impl Bucket {
    fn waiting(&self) -> usize {
        self.waiting.first().map_or(0, Values::len)
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(Values::bytes).sum()
    }

    fn rows(&self) -> usize {
        self.first(self.blocks.len()) + self.waiting()
    }

    /// How many rows are before those of a block; those that wait are after all blocks.
    fn first(&self, block: usize) -> usize {
        block.checked_sub(1).map_or(0, |before| self.blocks[before].end)
    }
}

fn lost() -> Failure {
    Failure::new(Code::InternalError, "rows that were set aside are not those that come back")
}

/// A place in a bucket, with the block around it.
pub(super) struct Cursor<'a> {
    spill: &'a Spill<'a>,
    bucket: usize,
    /// The block after the one at hand; the rows that wait are the last.
    next: usize,
    /// The block at hand.
    pub(super) columns: Vec<Values>,
    /// The row at hand.
    pub(super) row: usize,
}

impl Cursor<'_> {
    /// Whether there is a row at hand, once the next block was read where the last one has ended.
    pub(super) fn ready(&mut self) -> Result<bool> {
        while self.left() == 0 {
            let bucket = &self.spill.buckets[self.bucket];
            self.columns.iter_mut().for_each(Values::clear);
            self.row = 0;
            match self.next.cmp(&bucket.blocks.len()) {
                Ordering::Less => self.spill.read(bucket, self.next, &mut self.columns)?,
                Ordering::Equal => {
                    let waiting = self.columns.iter_mut().zip(&bucket.waiting);
                    waiting.for_each(|(to, from)| to.extend(from, 0..from.len()));
                }
                Ordering::Greater => return Ok(false),
            }
            self.next += 1;
        }
        Ok(true)
    }

    fn left(&self) -> usize {
        self.columns.first().map_or(0, Values::len) - self.row
    }
}
