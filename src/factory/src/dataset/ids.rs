//! Columns of identifiers: whole numbers or text, with one order and one way to number them.

#![allow(
    clippy::disallowed_types,
    reason = "the map is only looked up, never walked, so its order cannot show"
)]

use std::{collections::HashMap, hash::Hash, ops::Range};

use contracts::dataset_manifest::ColumnType;
use rayon::prelude::*;

/// A column of identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// Whole numbers, ordered as numbers.
    Int(Vec<i64>),
    /// Texts, ordered byte by byte.
    Text(Texts),
}

/// Texts, one after the other in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    buffer: String,
    /// Where each text ends.
    ends: Vec<usize>,
}

impl Texts {
    /// Adds a text at the end.
    pub fn push(&mut self, text: &str) {
        self.buffer.push_str(text);
        self.ends.push(self.buffer.len());
    }

    /// Number of texts.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Drops all texts and keeps the room.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.ends.clear();
    }

    /// Bytes of all texts.
    pub(super) const fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The text of one row.
    pub fn get(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.buffer[start..self.ends[row]]
    }

    /// The texts of some rows.
    pub fn range(&self, rows: Range<usize>) -> impl Iterator<Item = &str> {
        rows.map(|row| self.get(row))
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut all = Self::default();
        texts.into_iter().for_each(|text| all.push(text));
        all
    }
}

/// Stands for no position: there are fewer rows than this.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Identifiers numbered from 0 in the order in which they are first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Codes {
    /// One number a row.
    pub(super) codes: Vec<u32>,
    /// How many different identifiers there are.
    pub(super) count: usize,
}

impl Ids {
    /// Number of rows.
    pub const fn len(&self) -> usize {
        match self {
            Self::Int(values) => values.len(),
            Self::Text(texts) => texts.len(),
        }
    }

    /// Whether there is no row.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A column of the same type without rows.
    pub(super) fn like(&self) -> Self {
        match self {
            Self::Int(_) => Self::Int(Vec::new()),
            Self::Text(_) => Self::Text(Texts::default()),
        }
    }

    /// The type of the column.
    pub const fn column_type(&self) -> ColumnType {
        match self {
            Self::Int(_) => ColumnType::Int64,
            Self::Text(_) => ColumnType::Utf8,
        }
    }

    /// Adds the rows of another column, unless it is of another type.
    pub(super) fn append(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(values), Self::Int(others)) => values.extend_from_slice(others),
            (Self::Text(texts), Self::Text(others)) => {
                others.range(0..others.ends.len()).for_each(|text| texts.push(text));
            }
            _ => return false,
        }
        true
    }

    /// The rows named, in the order named.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        match self {
            Self::Int(values) => Self::Int(rows.iter().map(|&row| values[row as usize]).collect()),
            Self::Text(texts) => Self::Text(rows.iter().map(|&row| texts.get(row as usize)).collect()),
        }
    }

    /// Whether no row comes before the one above it.
    pub(super) fn is_sorted(&self) -> bool {
        match self {
            Self::Int(values) => values.is_sorted(),
            Self::Text(texts) => texts.range(0..texts.len()).is_sorted(),
        }
    }

    /// Row positions in the order of the identifiers; equal ones in the order of the rows.
    pub(super) fn order(&self) -> Vec<u32> {
        match self {
            Self::Int(values) if values.is_sorted() => (0..values.len() as u32).collect(),
            Self::Int(values) => {
                let mut keyed: Vec<_> =
                    values.iter().zip(0_u32..).map(|(&value, row)| (value, row)).collect();
                keyed.par_sort_unstable();
                keyed.into_iter().map(|(_, row)| row).collect()
            }
            Self::Text(texts) => {
                let mut rows: Vec<u32> = (0..texts.ends.len() as u32).collect();
                rows.par_sort_by(|&a, &b| texts.get(a as usize).cmp(texts.get(b as usize)));
                rows
            }
        }
    }

    /// How many rows equal the row before them.
    pub(super) fn repeated(&self) -> usize {
        match self {
            Self::Int(values) => values.windows(2).filter(|pair| pair[0] == pair[1]).count(),
            Self::Text(texts) => {
                (1..texts.len()).into_par_iter().filter(|&row| texts.get(row - 1) == texts.get(row)).count()
            }
        }
    }

    /// For each row of `others` its position in this column, which must be sorted, or [`NOWHERE`]; `None` if the types
    /// differ.
    pub(super) fn positions(&self, others: &Self) -> Option<Vec<u32>> {
        match (self, others) {
            (Self::Int(sorted), Self::Int(values)) if values.is_sorted() => {
                let mut place = 0;
                let find = |value: &i64| {
                    while sorted.get(place).is_some_and(|other| other < value) {
                        place += 1;
                    }
                    if sorted.get(place) == Some(value) { place as u32 } else { NOWHERE }
                };
                Some(values.iter().map(find).collect())
            }
            (Self::Int(sorted), Self::Int(values)) => {
                let find = |value| sorted.binary_search(value).map_or(NOWHERE, |row| row as u32);
                Some(values.par_iter().map(find).collect())
            }
            (Self::Text(sorted), Self::Text(texts)) => {
                let find = |text: &str| {
                    let row = partition_point(sorted.ends.len(), |row| sorted.get(row) < text);
                    if row < sorted.ends.len() && sorted.get(row) == text { row as u32 } else { NOWHERE }
                };
                Some((0..texts.ends.len()).into_par_iter().map(|row| find(texts.get(row))).collect())
            }
            _ => None,
        }
    }

    /// Numbers the identifiers of some rows in the order in which they are first seen.
    pub(super) fn codes(&self, rows: Range<usize>) -> Codes {
        match self {
            Self::Int(values) => {
                let values = &values[rows];
                dense(values).unwrap_or_else(|| first_seen(values.iter()))
            }
            Self::Text(texts) => first_seen(texts.range(rows)),
        }
    }
}

/// The numbers by a table, where the integers lie close enough together for one.
fn dense(values: &[i64]) -> Option<Codes> {
    const NONE: u32 = u32::MAX;
    let least = *values.iter().min()?;
    let span = usize::try_from(values.iter().max()?.checked_sub(least)?).ok()?;
    if span >= values.len() {
        return None;
    }
    let mut codes = vec![NONE; span + 1];
    let mut count = 0;
    let number = |&value: &i64| {
        let code = &mut codes[(value - least) as usize];
        if *code == NONE {
            *code = count;
            count += 1;
        }
        *code
    };
    let codes = values.iter().map(number).collect();
    Some(Codes { codes, count: count as usize })
}

fn first_seen<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> Codes {
    let mut seen = HashMap::new();
    let codes = keys
        .map(|key| {
            let next = seen.len() as u32;
            *seen.entry(key).or_insert(next)
        })
        .collect();
    Codes { codes, count: seen.len() }
}

/// First number below `length` for which `before` no longer holds.
fn partition_point(length: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, length);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn both(values: &[i64]) -> [Ids; 2] {
        let texts: Vec<String> = values.iter().map(|value| format!("{value:03}")).collect();
        [Ids::Int(values.to_vec()), Ids::Text(texts.iter().map(String::as_str).collect())]
    }

    proptest! {
        #[test]
        fn order_positions_and_codes_agree_with_plain_search(
            values in prop::collection::vec(0_i64..40, 0..60),
            looked_up in prop::collection::vec(0_i64..50, 0..20),
        ) {
            let mut rising = values.clone();
            rising.sort_unstable();
            let expected = both(&rising);
            for ((ids, wanted), rising) in both(&values).into_iter().zip(both(&looked_up)).zip(&expected) {
                let order = ids.order();
                let sorted = ids.select(&order);
                prop_assert_eq!(&sorted, rising);
                prop_assert!(sorted.is_sorted());
                prop_assert_eq!(ids.is_sorted(), ids == sorted);
                let mut distinct = values.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(sorted.repeated(), values.len() - distinct.len());
                for (value, found) in looked_up.iter().zip(sorted.positions(&wanted).unwrap()) {
                    let same = (found != NOWHERE).then(|| values[order[found as usize] as usize]);
                    prop_assert_eq!(same, values.contains(value).then_some(*value));
                }
                let codes = ids.codes(0..ids.len());
                prop_assert_eq!(codes.count, distinct.len());
                for (row, code) in codes.codes.iter().enumerate() {
                    let first = values.iter().position(|value| *value == values[row]).unwrap();
                    prop_assert_eq!(*code, codes.codes[first]);
                    prop_assert!(*code as usize <= row);
                }
            }
        }
    }

    #[test]
    fn numbers_are_not_ordered_as_text() {
        assert_eq!(Ids::Int(vec![10, 9]).order(), [1, 0]);
        assert_eq!(Ids::Text(["10", "9"].into_iter().collect()).order(), [0, 1]);
        assert!(Ids::Int(vec![1]).positions(&Ids::Text(Texts::default())).is_none());
    }
}
