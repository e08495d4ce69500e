//! Codes of a few bundles by row, and the loops that add rows to their cells.
//!
//! Flows in: bundles, runs, the rows to be added. Flows out: exact sums for every bin of the tile's columns. A row is one
//! word; where neighbouring rows are added, what is constant over a run is added once a run. Invariant: cells are all
//! zero between two uses.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

use rayon::prelude::*;

use super::{
    CHUNK_ROWS,
    bundle::{Bundle, MOST_CODES, STRIDE},
    fetch::{prefetch, prefetch_after},
    fixed::{Cell, Gradient, Sums},
    order::Runs,
};
use crate::{
    binning::Binned,
    dispatch::{self, Work},
    idle::Idle,
};

/// Bundles of a tile: a byte each, they make a word.
pub(super) const TILE_BUNDLES: usize = 8;
/// The byte of a word that tells the run, where runs have codes.
pub(super) const RUN_BYTE: usize = TILE_BUNDLES - 1;
/// Rows that tell their run by its distance from the first one's: it rises by one at most, so that a byte does.
pub(super) const SPAN_ROWS: usize = 256;
/// Bundles at the most whose codes are those of a run.
pub(super) const SHARED: usize = 4;
/// Cells of a tile: one for every number of 16 bits, so that indexing by one needs no check.
const CELLS: usize = 1 << 16;
/// Rows of a list that are asked for before they are added.
const AHEAD_ROWS: usize = 24;
/// Rows below which a second task costs more than it saves.
pub(super) const TASK_ROWS: usize = 8_192;
/// Rows whose words are written together.
const WRITE_ROWS: usize = 1_024;
/// A tile's sums, [`CELLS`] of them, all zero between two uses.
pub(super) type Cells = Vec<Cell>;

/// Codes of up to [`TILE_BUNDLES`] bundles, row by row.
#[derive(Debug)]
pub(super) struct Tile {
    pub(super) bundles: Vec<Bundle>,
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
    pub(super) bins: usize,
    /// Cells that nobody uses at the moment.
    idle: Idle<Cells>,
}

/// The rows that are added.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'a> {
    /// Those from here on, a multiple of [`SPAN_ROWS`], one for each gradient.
    From(usize),
    /// These, the gradients being of all rows.
    Listed(&'a [u32]),
}

impl Tile {
    /// A tile of bundles with codes for each row, and maybe of bundles with codes for each run.
    pub(super) fn new(binned: &Binned<u8>, own: &[Bundle], shared: Option<(&[Bundle], &Runs)>) -> Self {
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

    /// What runs have codes of: of no bundle, where there are none.
    fn shared(&self) -> Shared<'_> {
        Shared { bundles: self.bundles.len() - self.own, firsts: &self.firsts, cells: &self.runs }
    }

    /// Cells that are all zero.
    pub(super) fn cells(&self) -> Cells {
        self.idle.take().unwrap_or_else(|| vec![Cell::default(); CELLS])
    }

    /// Adds at most [`BLOCK_ROWS`] rows.
    pub(super) fn add(&self, cells: &mut Cells, gradients: &[Gradient], rows: Rows<'_>) {
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
    pub(super) fn sums(&self, mut cells: Cells) -> Vec<Sums> {
        let mut sums = Vec::with_capacity(self.bins);
        self.bundles.iter().for_each(|bundle| bundle.sums(&cells, &mut sums));
        cells[..self.end].fill(Cell::default());
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

/// What runs of rows have in common.
#[derive(Debug, Clone, Copy)]
struct Shared<'a> {
    /// How many bundles have a cell in each run.
    bundles: usize,
    /// The run of each [`SPAN_ROWS`]th row.
    firsts: &'a [u16],
    /// The cells of each run.
    cells: &'a [[u16; SHARED]],
}

/// The same where rows have codes of so many bundles.
struct Unrolled<'a, const OWN: usize>(Add<'a>);

impl<const OWN: usize> Work for Unrolled<'_, OWN> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Add { tile, cells, gradients, rows } = self.0;
        let Some(cells) = cells.first_chunk_mut::<CELLS>() else { return };
        // Taken out of the tile once: the compiler cannot know that cells are no part of it.
        let (words, runs) = (tile.words.as_slice(), tile.shared());
        match rows {
            Rows::From(start) if runs.bundles == 0 => {
                for (&word, &gradient) in words[start..].iter().zip(gradients) {
                    add_own::<OWN>(cells, word, gradient.cell());
                }
            }
            Rows::From(start) => {
                let spans = words[start..].chunks(SPAN_ROWS).zip(gradients.chunks(SPAN_ROWS));
                for (&first, (words, gradients)) in runs.firsts[start / SPAN_ROWS..].iter().zip(spans) {
                    let runs = Shared { cells: &runs.cells[usize::from(first)..], ..runs };
                    add_runs::<OWN>(cells, words, runs, gradients);
                }
            }
            Rows::Listed(list) => {
                let ahead = list.get(AHEAD_ROWS..).unwrap_or_default();
                for (&row, &ahead) in list.iter().zip(ahead) {
                    prefetch(&words[ahead as usize]);
                    prefetch(&gradients[ahead as usize]);
                    add_listed::<OWN>(cells, words, runs, (row as usize, gradients));
                }
                for &row in &list[ahead.len()..] {
                    add_listed::<OWN>(cells, words, runs, (row as usize, gradients));
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
    runs: Shared<'_>,
    gradients: &[Gradient],
) {
    let mut sum = Cell::default();
    let mut last = 0;
    for (&word, gradient) in words.iter().zip(gradients) {
        // Where the derivatives of the next chunk will be written.
        prefetch_after(gradient, CHUNK_ROWS);
        let run = distance(word);
        if run != last {
            add_shared(cells, runs.cells[last], runs.bundles, sum);
            sum = Cell::default();
            last = run;
        }
        let cell = gradient.cell();
        sum.add(cell);
        add_own::<OWN>(cells, word, cell);
    }
    add_shared(cells, runs.cells[last], runs.bundles, sum);
}

/// Adds a row, one of all those that have gradients: to the cells of its run as well.
#[inline(always)]
fn add_listed<const OWN: usize>(
    cells: &mut [Cell; CELLS],
    words: &[u64],
    runs: Shared<'_>,
    (row, gradients): (usize, &[Gradient]),
) {
    let (word, cell) = (words[row], gradients[row].cell());
    add_own::<OWN>(cells, word, cell);
    if runs.bundles > 0 {
        let first = usize::from(runs.firsts[row / SPAN_ROWS]);
        add_shared(cells, runs.cells[first + distance(word)], runs.bundles, cell);
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

/// Adds to the first cells of a run, one a bundle.
#[inline(always)]
fn add_shared(cells: &mut [Cell; CELLS], run: [u16; SHARED], bundles: usize, cell: Cell) {
    for &code in run.iter().take(bundles) {
        cells[usize::from(code)].add(cell);
    }
}

/// For each run the cells of bundles whose columns are constant within it, then zeros.
fn cells_of_runs(binned: &Binned<u8>, bundles: &[Bundle], runs: &[u16]) -> Vec<[u16; SHARED]> {
    let mut next = 0;
    let first_rows = runs.chunk_by(|a, b| a == b).map(|run| {
        let first = next;
        next += run.len();
        first
    });
    let cell = |row, bundle: usize| bundles.get(bundle).map_or(0, |bundle| bundle.cell(binned, row));
    first_rows.map(|row| std::array::from_fn(|bundle| cell(row, bundle))).collect()
}
