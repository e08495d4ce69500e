//! Shapley values of tree ensembles: what each feature of a row adds to its score.
//!
//! ```text
//!   tree, covers ──► edges (paths) ──► down: what passes each node ──► up: sums, shared out ──► values
//! ```
//!
//! The game is path-dependent `TreeSHAP`'s (Lundberg et al.: *From local explanations to global understanding
//! with explainable AI for trees*, Nature Machine Intelligence 2, 2020): where a feature is not known, a row goes
//! both ways, as the training data did. A leaf's part in it is a product over the features of its path, so that
//! its Shapley value is the integral over `t` of the product with every other feature known with probability
//! `t` (Owen: *Multilinear extensions of games*, Management Science 18, 1972). That is a polynomial, which
//! Gauss-Legendre quadrature integrates exactly; all points together go down and up a tree once, as in Yu et
//! al.: *Linear `TreeShap`*, `NeurIPS` 2022. Nothing is divided but what no row changes.
//!
//! Invariant: a row's values depend on that row alone, and trees are added in order, so that threads change no
//! bit. Up to rounding, values and [`expected`] sum to the score.

mod paths;
mod quadrature;
#[cfg(test)]
mod tests;

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use self::paths::{Edge, LANES, LEFT_BEFORE, Lanes};
use crate::ensemble::{Ensemble, TreeView, Value};

/// Rows that one task explains.
const TASK_ROWS: usize = 64;

/// Trees whose edges are held at a time: those of deep trees are many.
const TREES: usize = 16;

/// The sum over the trees of the leaf value that the training data falls into on average.
pub fn expected(ensemble: &Ensemble) -> f64 {
    let of_tree = |tree: TreeView<'_>| {
        let leaves = tree.nodes.iter().zip(tree.covers).filter(|(node, _)| node.is_leaf());
        leaves.fold(0.0, |sum, (node, cover)| sum + node.value * (cover / tree.covers[0]))
    };
    ensemble.views().map(of_tree).fold(0.0, |sum, value| sum + value)
}

/// For each row of `features` (rows x columns, NaN meaning missing) and each feature its Shapley value in the
/// sum over the trees (rows x columns).
///
/// Takes time in proportion to rows x nodes x a quarter of half the features that a path looks at, rounded up.
pub fn values<T: Value>(ensemble: &Ensemble, features: ArrayView2<'_, T>) -> Array2<f64> {
    let columns = ensemble.columns();
    let mut values = Array2::zeros((features.nrows(), columns));
    let Some(out) = values.as_slice_mut().filter(|out| !out.is_empty()) else { return values };
    let trees: Vec<TreeView<'_>> = ensemble.views().collect();
    for trees in trees.chunks(TREES) {
        let games: Vec<Game<'_>> = trees.par_iter().flat_map_iter(|&tree| Game::of(tree)).collect();
        let rows = features.axis_chunks_iter(Axis(0), TASK_ROWS).into_par_iter();
        out.par_chunks_mut(TASK_ROWS * columns).zip(rows).for_each(|(out, rows)| {
            let mut work = Work::default();
            let mut row = vec![0.0; columns];
            for (out, values) in out.chunks_exact_mut(columns).zip(rows.rows()) {
                for (slot, &value) in row.iter_mut().zip(values) {
                    *slot = value.into();
                }
                for game in &games {
                    game.share_out(&row, &mut work, out);
                }
            }
        });
    }
    values
}

/// A tree at some points of the quadrature.
struct Game<'t> {
    tree: TreeView<'t>,
    edges: Vec<Edge>,
}

/// What one row needs, by node.
#[derive(Default)]
struct Work {
    standing: Vec<usize>,
    passing: Vec<Lanes>,
}

impl<'t> Game<'t> {
    /// The games of a tree: their values are added.
    fn of(tree: TreeView<'t>) -> impl Iterator<Item = Self> {
        let groups = paths::most_features(tree.nodes).div_ceil(2 * LANES);
        let points = quadrature::gauss_legendre(groups * LANES);
        let points = points.as_chunks::<LANES>().0.to_vec();
        points.into_iter().map(move |points| Self { tree, edges: paths::edges(tree, points) })
    }

    /// Adds each feature's value for one row to `values`.
    fn share_out(&self, row: &[f64], work: &mut Work, values: &mut [f64]) {
        let nodes = self.tree.nodes;
        work.standing.clear();
        work.standing.resize(nodes.len(), 2);
        work.passing.clear();
        work.passing.resize(nodes.len(), [1.0; LANES]);
        // Down: what passes each node. Parents stand before their children.
        for (position, node) in nodes.iter().enumerate() {
            let passing = work.passing[position];
            if node.is_leaf() {
                work.passing[position] = passing.map(|passing| passing * node.value);
                continue;
            }
            let goes_left = self.tree.goes_left(node, row[node.feature as usize]);
            for (child, taken) in [(node.left as usize, goes_left), (node.right as usize, !goes_left)] {
                let edge = &self.edges[child];
                let followed = edge.previous.is_none_or(|previous| work.standing[previous as usize] == 2);
                let standing = usize::from(followed) * (1 + usize::from(taken));
                work.standing[child] = standing;
                work.passing[child] = times(passing, edge.factors[standing]);
            }
            // From here on the sum of what comes up.
            work.passing[position] = [0.0; LANES];
        }
        // Up: each edge's feature gets its share of what came to the leaves below.
        for (position, node) in nodes.iter().enumerate().rev().filter(|(_, node)| !node.is_leaf()) {
            let mut sum = [0.0; LANES];
            let mut value = 0.0;
            for child in [node.left as usize, node.right as usize] {
                let passing = work.passing[child];
                for (sum, passing) in sum.iter_mut().zip(passing) {
                    *sum += passing;
                }
                let standing = work.standing[child];
                if standing != LEFT_BEFORE {
                    let [a, b, c, d] = times(passing, self.edges[child].shares[standing]);
                    value += (a + b) + (c + d);
                }
            }
            values[node.feature as usize] += value;
            work.passing[position] = sum;
        }
    }
}

#[inline]
fn times(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|lane| a[lane] * b[lane])
}
