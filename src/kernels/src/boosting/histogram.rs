//! Histograms of gradients over the bins of every column.
//!
//! ```text
//!   Binned (in order) ──► bundles ──► Tiles (by row, eight bundles each) ──► Histogram of a leaf's rows
//! ```
//!
//! Flows in: bin codes, gradients, the rows of a leaf. Flows out: exact sums for every bin. Codes are kept
//! twice: by column, which makes dividing a leaf sequential, and by row in tiles, so that a row is one word and a
//! tile's sums stay in the cache nearest to the core. By row, columns of few bins share a code: one addition
//! then serves all of them, and integers make the sums over a bundle's parts exact. Rows stand in an [`Order`] in
//! which many columns have long runs; a row tells its run for all of these, and where neighbouring rows are added,
//! so are whole runs.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bundle::{Bundle, MOST_CODES, MOST_SHARED_CODES, STRIDE, bundles},
    fetch::prefetch,
    fixed::{BLOCK_ROWS, Cell, Gradient, Sums},
    order::{Order, Runs},
};
use crate::{
    binning::Binned,
    dispatch::{self, Work},
    idle::Idle,
};

/// Bundles of a tile: a byte each, they make a word.
const TILE_BUNDLES: usize = 8;
/// The byte of a word that tells the run, where runs have codes.
const RUN_BYTE: usize = TILE_BUNDLES - 1;
/// Rows that tell their run by its distance from the first one's: it rises by one at most, so that a byte does.
pub(super) const SPAN_ROWS: usize = 256;
/// Bundles at the most whose codes are those of a run.
const SHARED: usize = 4;
/// A cell that no bundle has: what is added there is not looked at.
const SPARE: u16 = u16::MAX;
/// Cells of a tile: one for every number of 16 bits, so that indexing by one needs no check.
const CELLS: usize = 1 << 16;
/// Rows of a list that are asked for before they are added.
const AHEAD_ROWS: usize = 24;
/// Rows whose words are written together.
const WRITE_ROWS: usize = 1_024;
/// Rows below which a second task costs more than it saves.
const TASK_ROWS: usize = 8_192;

/// A tile's sums, [`CELLS`] of them, all zero between two uses.
type Cells = Vec<Cell>;

/// Binned training rows in both layouts.
#[derive(Debug)]
pub(super) struct Codes {
    pub(super) binned: Binned<u8>,
    /// The order in which both layouts, and whoever works with them, hold the rows.
    pub(super) order: Order,
    tiles: Vec<Tile>,
    /// Each column's sums in a histogram, the missing bin last.
    places: Vec<Range<usize>>,
}

/// Codes of up to [`TILE_BUNDLES`] bundles, row by row.
#[derive(Debug)]
struct Tile {
    bundles: Vec<Bundle>,
    /// How many of the bundles rows have codes of: the first ones.
    own: usize,
    /// The codes of each row, a byte each.
    words: Vec<u64>,
    /// The run of each [`SPAN_ROWS`]th row, if runs have codes.
    firsts: Vec<u16>,
    /// For each run the cells of the last bundles; empty where there are none.
    runs: Vec<[u16; SHARED]>,
    /// One more than the last cell.
    end: usize,
    /// Bins of all columns.
    bins: usize,
    /// Cells that nobody uses at the moment.
    idle: Idle<Cells>,
}

/// Sums for each bin of each column, over the rows of one leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    sums: Vec<Sums>,
}

/// A histogram over neighbouring rows that grows by some of them at a time.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    tiles: &'a [Tile],
    cells: Vec<Cells>,
}

impl Codes {
    /// Puts the rows in order and lays the codes out by row as well.
    pub(super) fn new(mut binned: Binned<u8>) -> Self {
        let (order, runs) = Order::new(&binned);
        binned.arrange(|codes| order.arrange(codes));
        // Few additions are made there, so that many codes do not matter.
        let mut shared = bundles(&binned, &runs.leading, MOST_SHARED_CODES);
        shared.truncate(SHARED);
        let is_shared =
            |column| shared.iter().flat_map(|bundle| &bundle.parts).any(|part| part.column == column);
        let others: Vec<usize> = (0..binned.columns()).filter(|&column| !is_shared(column)).collect();
        let own = bundles(&binned, &others, MOST_CODES);
        let (first, rest) = own.split_at(own.len().min(RUN_BYTE));
        let mut tiles = vec![Tile::new(&binned, first, Some((&shared, &runs)))];
        tiles.extend(rest.chunks(TILE_BUNDLES).map(|bundles| Tile::new(&binned, bundles, None)));
        let mut places = vec![0..0; binned.columns()];
        let mut end = 0;
        for part in tiles.iter().flat_map(|tile| &tile.bundles).flat_map(|bundle| &bundle.parts) {
            places[part.column] = end..end + part.bins;
            end += part.bins;
        }
        Self { binned, order, tiles, places }
    }

    /// Sums the gradients of the listed rows for every bin.
    pub(super) fn histogram(&self, gradients: &[Gradient], list: &[u32]) -> Histogram {
        let task = list.len().div_ceil(rayon::current_num_threads()).clamp(TASK_ROWS, BLOCK_ROWS);
        let tile_sums = |tile: &Tile| {
            list.par_chunks(task)
                .map(|list| {
                    let mut cells = tile.cells();
                    tile.add(&mut cells, gradients, Rows::Listed(list));
                    tile.sums(cells)
                })
                .reduce_with(added)
                .unwrap_or_else(|| vec![Sums::default(); tile.bins])
        };
        let parts: Vec<Vec<Sums>> = self.tiles.par_iter().map(tile_sums).collect();
        Histogram { sums: parts.concat() }
    }

    /// A histogram to which no row has been added.
    pub(super) fn tally(&self) -> Tally<'_> {
        Tally { tiles: &self.tiles, cells: self.tiles.iter().map(Tile::cells).collect() }
    }

    /// The histogram over all rows.
    #[cfg(test)]
    pub(super) fn histogram_of_all(&self, gradients: &[Gradient]) -> Histogram {
        let mut tally = self.tally();
        tally.add(0, gradients);
        tally.histogram()
    }

    /// The sums of one column, the missing bin last.
    pub(super) fn column<'h>(&self, histogram: &'h Histogram, column: usize) -> &'h [Sums] {
        &histogram.sums[self.places[column].clone()]
    }

    /// The sums of all rows.
    pub(super) fn total(&self, histogram: &Histogram) -> Sums {
        self.column(histogram, 0).iter().fold(Sums::default(), |total, &sums| total + sums)
    }
}

impl Tally<'_> {
    /// Adds the rows from `start` on, a multiple of [`SPAN_ROWS`]; at most [`BLOCK_ROWS`] in all.
    pub(super) fn add(&mut self, start: usize, gradients: &[Gradient]) {
        for (tile, cells) in self.tiles.iter().zip(&mut self.cells) {
            tile.add(cells, gradients, Rows::From(start));
        }
    }

    /// The sums of the rows that were added.
    pub(super) fn histogram(self) -> Histogram {
        let parts = self.tiles.iter().zip(self.cells).map(|(tile, cells)| tile.sums(cells));
        Histogram { sums: parts.collect::<Vec<_>>().concat() }
    }
}

/// The rows that are added.
#[derive(Debug, Clone, Copy)]
enum Rows<'a> {
    /// Those from here on, a multiple of [`SPAN_ROWS`], one for each gradient.
    From(usize),
    /// These, the gradients being of all rows.
    Listed(&'a [u32]),
}

impl Tile {
    /// A tile of bundles with codes for each row, and maybe of bundles with codes for each run.
    fn new(binned: &Binned<u8>, own: &[Bundle], shared: Option<(&[Bundle], &Runs)>) -> Self {
        let (of_runs, runs) = shared.unzip();
        let (mut of_rows, mut of_runs) = (own.to_vec(), of_runs.unwrap_or_default().to_vec());
        let end = Bundle::number(&mut of_rows, &mut of_runs);
        let runs = runs.filter(|_| !of_runs.is_empty()).map_or(&[][..], |runs| runs.at.as_slice());
        let firsts: Vec<u16> = runs.iter().step_by(SPAN_ROWS).copied().collect();
        let mut words = vec![0; binned.codes(0).len()];
        words.par_chunks_mut(TASK_ROWS).enumerate().for_each(|(task, words)| {
            // A few rows at a time, which stay in the nearest cache while their bundles are written.
            for (block, words) in words.chunks_mut(WRITE_ROWS).enumerate() {
                let start = task * TASK_ROWS + block * WRITE_ROWS;
                for (position, bundle) in of_rows.iter().enumerate() {
                    bundle.write(binned, start, position, words);
                }
                for (position, (word, run)) in words.iter_mut().zip(runs.iter().skip(start)).enumerate() {
                    let distance = run - firsts[(start + position) / SPAN_ROWS];
                    *word |= u64::from(distance) << (8 * RUN_BYTE);
                }
            }
        });
        let runs = if runs.is_empty() { Vec::new() } else { cells_of_runs(binned, &of_runs, runs) };
        let own = of_rows.len();
        let bundles = [of_rows, of_runs].concat();
        let bins = bundles.iter().flat_map(|bundle| &bundle.parts).fold(0, |bins, part| bins + part.bins);
        Self { bundles, own, words, firsts, runs, end, bins, idle: Idle::new() }
    }

    /// Cells that are all zero.
    fn cells(&self) -> Cells {
        self.idle.take().unwrap_or_else(|| vec![Cell::default(); CELLS])
    }

    /// Adds at most [`BLOCK_ROWS`] rows.
    fn add(&self, cells: &mut Cells, gradients: &[Gradient], rows: Rows<'_>) {
        let add = Add { tile: self, cells, gradients, rows };
        // One loop for each number of bundles, so that those of a row are unrolled.
        match self.own {
            0 => dispatch::run(Unrolled::<0>(add)),
            1 => dispatch::run(Unrolled::<1>(add)),
            2 => dispatch::run(Unrolled::<2>(add)),
            3 => dispatch::run(Unrolled::<3>(add)),
            4 => dispatch::run(Unrolled::<4>(add)),
            5 => dispatch::run(Unrolled::<5>(add)),
            6 => dispatch::run(Unrolled::<6>(add)),
            7 => dispatch::run(Unrolled::<7>(add)),
            _ => dispatch::run(Unrolled::<TILE_BUNDLES>(add)),
        }
    }

    /// The sums of each column's bins, column by column.
    fn sums(&self, mut cells: Cells) -> Vec<Sums> {
        let mut sums = Vec::with_capacity(self.bins);
        self.bundles.iter().for_each(|bundle| bundle.sums(&cells, &mut sums));
        cells[..self.end].fill(Cell::default());
        cells[usize::from(SPARE)] = Cell::default();
        self.idle.give(cells);
        sums
    }
}

/// Adds rows to the cells of a tile.
struct Add<'a> {
    tile: &'a Tile,
    cells: &'a mut Cells,
    gradients: &'a [Gradient],
    rows: Rows<'a>,
}

/// The same where rows have codes of so many bundles.
struct Unrolled<'a, const OWN: usize>(Add<'a>);

impl<const OWN: usize> Work for Unrolled<'_, OWN> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Add { tile, cells, gradients, rows } = self.0;
        let Some(cells) = cells.first_chunk_mut::<CELLS>() else { return };
        match rows {
            Rows::From(start) if tile.runs.is_empty() => {
                for (&word, &gradient) in tile.words[start..].iter().zip(gradients) {
                    add_own::<OWN>(cells, word, gradient.cell());
                }
            }
            Rows::From(start) => {
                let spans = tile.words[start..].chunks(SPAN_ROWS).zip(gradients.chunks(SPAN_ROWS));
                for (&first, (words, gradients)) in tile.firsts[start / SPAN_ROWS..].iter().zip(spans) {
                    add_runs::<OWN>(cells, words, &tile.runs[usize::from(first)..], gradients);
                }
            }
            Rows::Listed(list) => {
                let ahead = list.get(AHEAD_ROWS..).unwrap_or_default();
                for (&row, &ahead) in list.iter().zip(ahead) {
                    prefetch(&tile.words[ahead as usize]);
                    prefetch(&gradients[ahead as usize]);
                    add_listed::<OWN>(cells, tile, row, gradients);
                }
                for &row in &list[ahead.len()..] {
                    add_listed::<OWN>(cells, tile, row, gradients);
                }
            }
        }
    }
}

/// How far the run of a word's row is from that of the first row of its span.
#[inline(always)]
fn distance(word: u64) -> usize {
    (word >> (8 * RUN_BYTE)) as usize
}

/// Adds the rows of a span: to the cells of a run once a run. `runs` are those from its first row's on.
#[inline(always)]
fn add_runs<const OWN: usize>(
    cells: &mut [Cell; CELLS],
    words: &[u64],
    runs: &[[u16; SHARED]],
    gradients: &[Gradient],
) {
    let mut sum = Cell::default();
    let mut last = 0;
    for (&word, &gradient) in words.iter().zip(gradients) {
        let run = distance(word);
        if run != last {
            add_shared(cells, runs[last], sum);
            sum = Cell::default();
            last = run;
        }
        let cell = gradient.cell();
        sum.add(cell);
        add_own::<OWN>(cells, word, cell);
    }
    add_shared(cells, runs[last], sum);
}

/// Adds a row: to the cells of its run as well, where runs have any.
#[inline(always)]
fn add_listed<const OWN: usize>(cells: &mut [Cell; CELLS], tile: &Tile, row: u32, gradients: &[Gradient]) {
    let row = row as usize;
    let (word, cell) = (tile.words[row], gradients[row].cell());
    add_own::<OWN>(cells, word, cell);
    if !tile.runs.is_empty() {
        let first = usize::from(tile.firsts[row / SPAN_ROWS]);
        add_shared(cells, tile.runs[first + distance(word)], cell);
    }
}

/// Adds to the cell of each of a word's first codes.
#[inline(always)]
fn add_own<const OWN: usize>(cells: &mut [Cell; CELLS], word: u64, cell: Cell) {
    for position in 0..OWN {
        let code = (word >> (8 * position)) as usize % MOST_CODES;
        cells[position * STRIDE + code].add(cell);
    }
}

/// Adds to the cells of a run.
#[inline(always)]
fn add_shared(cells: &mut [Cell; CELLS], run: [u16; SHARED], cell: Cell) {
    for code in run {
        cells[usize::from(code)].add(cell);
    }
}

/// For each run the cells of bundles whose columns are constant within it.
fn cells_of_runs(binned: &Binned<u8>, bundles: &[Bundle], runs: &[u16]) -> Vec<[u16; SHARED]> {
    let mut next = 0;
    let first_rows = runs.chunk_by(|a, b| a == b).map(|run| {
        let first = next;
        next += run.len();
        first
    });
    let cell = |row, bundle: usize| bundles.get(bundle).map_or(SPARE, |bundle| bundle.cell(binned, row));
    first_rows.map(|row| std::array::from_fn(|bundle| cell(row, bundle))).collect()
}

/// The sums of two sets of rows, bin by bin.
fn added(mut sums: Vec<Sums>, others: Vec<Sums>) -> Vec<Sums> {
    sums.iter_mut().zip(others).for_each(|(sum, other)| *sum = *sum + other);
    sums
}

impl Histogram {
    /// The sums of this one's rows and another's.
    pub(super) fn with(self, other: Self) -> Self {
        Self { sums: added(self.sums, other.sums) }
    }

    /// What is left of a leaf's sums when one child's are taken away: the other child's, exactly.
    pub(super) fn subtract(mut self, child: &Self) -> Self {
        self.sums.iter_mut().zip(&child.sums).for_each(|(sum, &child)| *sum = *sum - child);
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::{boosting::gradient::Loss, frame::Frame};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Against a plain loop, with columns that fill more than one tile and rows that fill more than one task.
        #[test]
        fn agrees_with_a_plain_loop_and_subtracts_exactly(
            rows in prop_oneof![2..50_usize, Just(3 * TASK_ROWS + 1)],
            columns in 1..40_usize,
            seed in any::<u32>(),
        ) {
            let value = |row: usize, column: usize| {
                let hash = (row * 31 + column * 17 + seed as usize).wrapping_mul(0x9E37_79B9) >> 7;
                let hash = hash & [63, 1, 0, 3][column % 4];
                if hash == 0 { f64::NAN } else { hash as f64 }
            };
            let features = Array2::from_shape_fn((rows, columns), |(row, column)| value(row, column));
            let positive: Vec<bool> = (0..rows).map(|row| row % 3 == 0).collect();
            let frame = Frame::new(features.view(), &positive, None).unwrap();
            let loss = Loss::new(&frame, [1.0; 2]).unwrap();
            let scores: Vec<f64> = (0..rows).map(|row| row as f64 / rows as f64 - 0.3).collect();
            let mut gradients = vec![Gradient::default(); rows];
            loss.gradients(0, &scores, Some(&|row| row % 5 != 0), &mut gradients);
            let codes = Codes::new(Binned::new(features.view(), 255));
            let gradients = codes.order.arrange(&gradients);

            let all: Vec<u32> = (0..rows as u32).collect();
            let (left, right) = all.split_at(rows / 3);
            let mut tally = codes.tally();
            for (part, gradients) in gradients.chunks(7 * SPAN_ROWS).enumerate() {
                tally.add(part * 7 * SPAN_ROWS, gradients);
            }
            let whole = tally.histogram();
            let total = gradients.iter().fold(Sums::default(), |sum, gradient| sum + gradient.cell().unpack());
            prop_assert_eq!(codes.total(&whole), total);
            for column in 0..columns {
                let bins = &codes.binned.bins()[column];
                let mut expected = vec![Sums::default(); bins.len() + 1];
                for (place, gradient) in gradients.iter().enumerate() {
                    let bin = bins.index_of(features[[codes.order.row(place), column]]);
                    expected[bin] = expected[bin] + gradient.cell().unpack();
                }
                prop_assert_eq!(codes.column(&whole, column), &expected);
            }
            let rest = whole.subtract(&codes.histogram(&gradients, left));
            prop_assert_eq!(rest, codes.histogram(&gradients, right));
        }
    }
}
