//! Rows set aside column by column: of a column some rows are read back without the others'.
//!
//! ```text
//!   rows of a bucket ──► a bucket of a spill for each of their columns ──► some rows of one column
//! ```

use std::ops::Range;

use contracts::Result;

use super::{
    ids::Ids,
    rows::Values,
    spill::{Dealt, Spill, Spread},
};
use crate::store::Store;

/// Rows by bucket and column.
pub(super) struct ByColumn<'a> {
    spill: Spill<'a>,
    spread: Spread,
    columns: usize,
}

impl<'a> ByColumn<'a> {
    /// Without rows, which will be of so many columns.
    pub(super) fn new(store: &'a dyn Store, spread: Spread, columns: usize) -> Self {
        Self { spill: Spill::new(store, spread.of_columns(columns)), spread, columns }
    }

    /// Adds all rows to one bucket.
    pub(super) fn put(&mut self, bucket: usize, columns: &[Values]) -> Result<()> {
        let first = bucket * self.columns;
        (first..).zip(columns).try_for_each(|(place, column)| self.spill.put(place, &[column]))
    }

    /// No more rows come to a bucket.
    pub(super) fn end(&mut self, bucket: usize) -> Result<()> {
        let first = bucket * self.columns;
        (first..first + self.columns).try_for_each(|place| self.spill.end(place))
    }

    /// No more rows come.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.spill.settle()
    }

    /// Some rows of one column of a bucket, which has them.
    pub(super) fn part(&self, bucket: usize, column: usize, rows: Range<usize>) -> Result<Values> {
        self.spill.part(bucket * self.columns + column, rows)
    }

    /// Reads rows that were dealt back in the order in which they were.
    pub(super) fn collect(&self) -> Collecting<'_> {
        Collecting { from: self, read: vec![0; self.spread.buckets], dealt: Dealt::default() }
    }
}

/// Reads dealt rows back in the order in which they were dealt: what an identifier's bucket is says from where.
pub(super) struct Collecting<'a> {
    from: &'a ByColumn<'a>,
    /// How many rows of each bucket are before those at hand.
    read: Vec<usize>,
    /// The rows at hand.
    dealt: Dealt,
}

impl Collecting<'_> {
    /// Moves on to the next rows, which have these identifiers.
    pub(super) fn advance(&mut self, ids: &Ids) {
        for (bucket, rows) in self.dealt.buckets() {
            self.read[bucket] += rows.len();
        }
        self.dealt = self.from.spread.deal(ids);
    }

    /// The numbers of the rows at hand, of one column.
    pub(super) fn numbers(&self, column: usize) -> Result<Vec<f64>> {
        let mut numbers = vec![f64::NAN; self.dealt.rows()];
        for (bucket, rows) in self.dealt.buckets() {
            let first = self.read[bucket];
            let of_bucket = self.from.part(bucket, column, first..first + rows.len())?;
            rows.iter().zip(of_bucket.numbers()?).for_each(|(&row, &number)| numbers[row as usize] = number);
        }
        Ok(numbers)
    }
}
