//! Rows as columns that can be gathered, set aside as bytes and read back.
//!
//! A block of rows is written column by column in little-endian bytes, and read back by who knows the types and the
//! number of rows: nothing in the bytes says so. Columns of one position in blocks of one table are of one type.

use std::ops::Range;

use contracts::{Code, Failure, Result};

use super::ids::Ids;

/// The values of one column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Identifiers of events or entities.
    Ids(Ids),
    /// Times, in nanoseconds since the epoch.
    Times(Vec<i64>),
    /// Numbers, NaN where there is none.
    Numbers(Vec<f64>),
    /// Small codes.
    Codes(Vec<u8>),
    /// What was asserted about each row's label.
    Said(Said),
}

/// Columns taken apart, from the first on, by who knows of what type each is.
pub(super) struct Unpacked(std::vec::IntoIter<Values>);

impl Unpacked {
    pub(super) fn new(columns: Vec<Values>) -> Self {
        Self(columns.into_iter())
    }

    pub(super) fn ids(&mut self) -> Result<Ids> {
        self.next()?.into_ids()
    }

    pub(super) fn times(&mut self) -> Result<Vec<i64>> {
        self.next()?.into_times()
    }

    pub(super) fn numbers(&mut self) -> Result<Vec<f64>> {
        self.next()?.into_numbers()
    }

    pub(super) fn codes(&mut self) -> Result<Vec<u8>> {
        self.next()?.into_codes()
    }

    pub(super) fn said(&mut self) -> Result<Said> {
        if let Values::Said(said) = self.next()? { Ok(said) } else { Err(other_type()) }
    }

    fn next(&mut self) -> Result<Values> {
        self.0.next().ok_or_else(other_type)
    }
}

pub(super) fn other_type() -> Failure {
    Failure::new(Code::InternalError, "a column is not of the type that it was set aside with")
}

/// Assertions about labels by row, one row's after the other's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) value: Vec<u8>,
    pub(super) effective_time: Vec<i64>,
    pub(super) observed_time: Vec<i64>,
    /// Where those of each row end.
    ends: Vec<usize>,
}

impl Said {
    /// Adds an assertion about the row that ends next.
    pub(super) fn push(&mut self, value: u8, effective_time: i64, observed_time: i64) {
        self.value.push(value);
        self.effective_time.push(effective_time);
        self.observed_time.push(observed_time);
    }

    /// Ends a row.
    pub(super) fn end(&mut self) {
        self.ends.push(self.value.len());
    }

    /// The row that each assertion is about.
    pub(super) fn rows(&self) -> Vec<u32> {
        (0_u32..).zip(0..self.ends.len()).flat_map(|(row, place)| self.of(place).map(move |_| row)).collect()
    }

    /// Where the assertions of one row stand.
    fn of(&self, row: usize) -> Range<usize> {
        row.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[row]
    }

    fn add(&mut self, from: &Self, row: usize) {
        let assertions = from.of(row);
        self.value.extend_from_slice(&from.value[assertions.clone()]);
        self.effective_time.extend_from_slice(&from.effective_time[assertions.clone()]);
        self.observed_time.extend_from_slice(&from.observed_time[assertions]);
        self.end();
    }

    fn clear(&mut self) {
        self.value.clear();
        self.effective_time.clear();
        self.observed_time.clear();
        self.ends.clear();
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let counts: Vec<u32> = (0..self.ends.len()).map(|row| self.of(row).len() as u32).collect();
        write(&counts, u32::to_le_bytes, bytes);
        bytes.extend_from_slice(&self.value);
        write(&self.effective_time, i64::to_le_bytes, bytes);
        write(&self.observed_time, i64::to_le_bytes, bytes);
    }

    fn read(&mut self, rows: usize, bytes: &mut &[u8]) -> Option<()> {
        let first = self.value.len();
        let mut end = first;
        for count in words(rows, bytes)? {
            end += u32::from_le_bytes(*count) as usize;
            self.ends.push(end);
        }
        self.value.extend_from_slice(bytes.split_off(..end - first)?);
        self.effective_time.extend(words(end - first, bytes)?.iter().copied().map(i64::from_le_bytes));
        self.observed_time.extend(words(end - first, bytes)?.iter().copied().map(i64::from_le_bytes));
        Some(())
    }
}

/// Runs one expression for the two columns of a pair, which are of one type.
macro_rules! alike {
    ($pair:expr, $to:ident, $from:ident, plain: $plain:expr, texts: $texts:expr, said: $said:expr) => {
        match $pair {
            (Values::Ids(Ids::Int($to)), Values::Ids(Ids::Int($from)))
            | (Values::Times($to), Values::Times($from)) => $plain,
            (Values::Numbers($to), Values::Numbers($from)) => $plain,
            (Values::Codes($to), Values::Codes($from)) => $plain,
            (Values::Ids(Ids::Text($to)), Values::Ids(Ids::Text($from))) => $texts,
            (Values::Said($to), Values::Said($from)) => $said,
            _ => debug_assert!(false, "two columns of one position differ in type"),
        }
    };
}

impl Values {
    /// Number of rows.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Times(times) => times.len(),
            Self::Numbers(numbers) => numbers.len(),
            Self::Codes(codes) => codes.len(),
            Self::Said(said) => said.ends.len(),
        }
    }

    /// Bytes of all rows, as they are written.
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Ids(Ids::Int(values)) | Self::Times(values) => values.len() * 8,
            Self::Ids(Ids::Text(texts)) => texts.bytes() + texts.len() * 4,
            Self::Numbers(numbers) => numbers.len() * 8,
            Self::Codes(codes) => codes.len(),
            Self::Said(said) => said.value.len() * 17 + said.ends.len() * 4,
        }
    }

    /// Bytes of each value, as they are written; none where values differ in that.
    pub(super) const fn width(&self) -> Option<usize> {
        match self {
            Self::Ids(Ids::Int(_)) | Self::Times(_) | Self::Numbers(_) => Some(8),
            Self::Codes(_) => Some(1),
            Self::Ids(Ids::Text(_)) | Self::Said(_) => None,
        }
    }

    /// The identifiers that the column holds.
    pub(super) fn ids(&self) -> Result<&Ids> {
        if let Self::Ids(ids) = self { Ok(ids) } else { Err(other_type()) }
    }

    /// The times that the column holds.
    pub(super) fn times(&self) -> Result<&[i64]> {
        if let Self::Times(times) = self { Ok(times) } else { Err(other_type()) }
    }

    /// The numbers that the column holds.
    pub(super) fn numbers(&self) -> Result<&[f64]> {
        if let Self::Numbers(numbers) = self { Ok(numbers) } else { Err(other_type()) }
    }

    pub(super) fn into_ids(self) -> Result<Ids> {
        if let Self::Ids(ids) = self { Ok(ids) } else { Err(other_type()) }
    }

    pub(super) fn into_times(self) -> Result<Vec<i64>> {
        if let Self::Times(times) = self { Ok(times) } else { Err(other_type()) }
    }

    pub(super) fn into_numbers(self) -> Result<Vec<f64>> {
        if let Self::Numbers(numbers) = self { Ok(numbers) } else { Err(other_type()) }
    }

    pub(super) fn into_codes(self) -> Result<Vec<u8>> {
        if let Self::Codes(codes) = self { Ok(codes) } else { Err(other_type()) }
    }

    /// A column of the same type without rows.
    pub(super) fn like(&self) -> Self {
        match self {
            Self::Ids(ids) => Self::Ids(ids.like()),
            Self::Times(_) => Self::Times(Vec::new()),
            Self::Numbers(_) => Self::Numbers(Vec::new()),
            Self::Codes(_) => Self::Codes(Vec::new()),
            Self::Said(_) => Self::Said(Said::default()),
        }
    }

    /// A column of the same type with room for so many rows, so that it need not grow.
    pub(super) fn with_room(&self, rows: usize) -> Self {
        match self {
            Self::Ids(Ids::Int(_)) => Self::Ids(Ids::Int(Vec::with_capacity(rows))),
            Self::Times(_) => Self::Times(Vec::with_capacity(rows)),
            Self::Numbers(_) => Self::Numbers(Vec::with_capacity(rows)),
            Self::Codes(_) => Self::Codes(Vec::with_capacity(rows)),
            Self::Ids(Ids::Text(_)) | Self::Said(_) => self.like(),
        }
    }

    /// Drops all rows and keeps the room.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Ids(Ids::Int(values)) | Self::Times(values) => values.clear(),
            Self::Ids(Ids::Text(texts)) => texts.clear(),
            Self::Numbers(numbers) => numbers.clear(),
            Self::Codes(codes) => codes.clear(),
            Self::Said(said) => said.clear(),
        }
    }

    /// Adds one row of another column.
    pub(super) fn push(&mut self, from: &Self, row: usize) {
        alike!((self, from), to, from,
            plain: to.push(from[row]),
            texts: to.push(from.get(row)),
            said: to.add(from, row));
    }

    /// Adds the rows named of another column, in the order named.
    pub(super) fn gather(&mut self, from: &Self, rows: &[u32]) {
        alike!((self, from), to, from,
            plain: to.extend(rows.iter().map(|&row| from[row as usize])),
            texts: rows.iter().for_each(|&row| to.push(from.get(row as usize))),
            said: rows.iter().for_each(|&row| to.add(from, row as usize)));
    }

    /// Adds some rows of another column.
    pub(super) fn extend(&mut self, from: &Self, rows: Range<usize>) {
        alike!((self, from), to, from,
            plain: to.extend_from_slice(&from[rows]),
            texts: from.range(rows).for_each(|text| to.push(text)),
            said: rows.for_each(|row| to.add(from, row)));
    }

    /// Adds the bytes of all rows.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Ids(Ids::Int(values)) | Self::Times(values) => write(values, i64::to_le_bytes, bytes),
            Self::Ids(Ids::Text(texts)) => {
                let lengths: Vec<u32> = texts.range(0..texts.len()).map(|text| text.len() as u32).collect();
                write(&lengths, u32::to_le_bytes, bytes);
                texts.range(0..texts.len()).for_each(|text| bytes.extend_from_slice(text.as_bytes()));
            }
            Self::Numbers(numbers) => write(numbers, f64::to_le_bytes, bytes),
            Self::Codes(codes) => bytes.extend_from_slice(codes),
            Self::Said(said) => said.write(bytes),
        }
    }

    /// Adds so many rows from the front of the bytes; `None` where these are not such rows.
    pub(super) fn read(&mut self, rows: usize, bytes: &mut &[u8]) -> Option<()> {
        match self {
            Self::Ids(Ids::Int(values)) | Self::Times(values) => {
                values.extend(words(rows, bytes)?.iter().copied().map(i64::from_le_bytes));
            }
            Self::Ids(Ids::Text(texts)) => {
                for length in words(rows, bytes)?.iter().copied().map(u32::from_le_bytes) {
                    texts.push(str::from_utf8(bytes.split_off(..length as usize)?).ok()?);
                }
            }
            Self::Numbers(numbers) => {
                numbers.extend(words(rows, bytes)?.iter().copied().map(f64::from_le_bytes));
            }
            Self::Codes(codes) => codes.extend_from_slice(bytes.split_off(..rows)?),
            Self::Said(said) => said.read(rows, bytes)?,
        }
        Some(())
    }
}

/// Adds each value's bytes, in a loop that the compiler turns into one copy.
fn write<T: Copy, const N: usize>(values: &[T], to_bytes: impl Fn(T) -> [u8; N], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + values.len() * N, 0);
    let places = bytes[start..].as_chunks_mut::<N>().0;
    places.iter_mut().zip(values).for_each(|(place, &value)| *place = to_bytes(value));
}

/// Takes so many words of `N` bytes from the front.
fn words<'a, const N: usize>(count: usize, bytes: &mut &'a [u8]) -> Option<&'a [[u8; N]]> {
    Some(bytes.split_off(..count.checked_mul(N)?)?.as_chunks().0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// One column of each type, of as many rows as there are numbers.
    fn columns(numbers: &[i64]) -> Vec<Values> {
        let texts: Vec<String> =
            numbers.iter().map(|number| "é".repeat(number.unsigned_abs() as usize % 5)).collect();
        let mut said = Said::default();
        for &number in numbers {
            (0..number.rem_euclid(3)).for_each(|of| said.push(of as u8, number, number + of));
            said.end();
        }
        vec![
            Values::Ids(Ids::Int(numbers.to_vec())),
            Values::Ids(Ids::Text(texts.iter().map(String::as_str).collect())),
            Values::Times(numbers.to_vec()),
            Values::Numbers(numbers.iter().map(|&number| number as f64 / 3.0).collect()),
            Values::Codes(numbers.iter().map(|&number| number as u8).collect()),
            Values::Said(said),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_nothing_less_or_more(
            numbers in prop::collection::vec(any::<i64>().prop_map(|number| number / 4), 0..20),
            before in prop::collection::vec(-9_i64..9, 0..4),
            missing in 1_usize..9,
        ) {
            let both: Vec<i64> = before.iter().chain(&numbers).copied().collect();
            for ((column, before), both) in columns(&numbers).iter().zip(columns(&before)).zip(columns(&both)) {
                let mut bytes = Vec::new();
                column.write(&mut bytes);
                prop_assert_eq!(bytes.len(), column.bytes());
                bytes.push(7);
                let mut read = before.clone();
                let mut rest = bytes.as_slice();
                read.read(numbers.len(), &mut rest).unwrap();
                prop_assert_eq!(rest, [7]);
                prop_assert_eq!(&read, &both);
                let short = (bytes.len() - 1).saturating_sub(missing);
                if short < bytes.len() - 1 {
                    prop_assert_eq!(before.clone().read(numbers.len(), &mut &bytes[..short]), None);
                }
            }
        }

        #[test]
        fn rows_are_taken_alike_one_by_one_by_name_and_in_a_row(
            numbers in prop::collection::vec(-50_i64..50, 0..20),
            named in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let rows: Vec<u32> = if numbers.is_empty() {
                Vec::new()
            } else {
                named.iter().map(|row| row.index(numbers.len()) as u32).collect()
            };
            let picked: Vec<i64> = rows.iter().map(|&row| numbers[row as usize]).collect();
            for (column, expected) in columns(&numbers).iter().zip(columns(&picked)) {
                let mut gathered = column.like();
                gathered.gather(column, &rows);
                let mut pushed = column.like();
                for &row in &rows {
                    pushed.push(column, row as usize);
                }
                prop_assert_eq!(&gathered, &expected);
                prop_assert_eq!(&pushed, &expected);
                let mut whole = column.like();
                whole.extend(column, 0..column.len());
                prop_assert_eq!(&whole, column);
                whole.clear();
                prop_assert_eq!(whole, column.like());
            }
        }
    }
}
