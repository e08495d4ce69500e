#![allow(clippy::unwrap_used)]

use ndarray::Array2;
use proptest::prelude::*;

use super::*;
use crate::{
    Rng,
    ensemble::{
        Node,
        samples::{mixed_tree, tree},
    },
};

/// The game's worth with the features of `known`: Lundberg et al. 2020, algorithm 1 (`EXPVALUE`).
fn worth(tree: TreeView<'_>, row: &[f64], known: u32, position: usize) -> f64 {
    let node: &Node = &tree.nodes[position];
    let below = |child: u32| worth(tree, row, known, child as usize);
    if node.is_leaf() {
        node.value
    } else if known >> node.feature & 1 == 1 {
        below(if tree.goes_left(node, row[node.feature as usize]) { node.left } else { node.right })
    } else {
        let share = |child: u32| tree.covers[child as usize] / tree.covers[position];
        below(node.left) * share(node.left) + below(node.right) * share(node.right)
    }
}

/// Shapley's definition (1953): the mean gain over all orders, gathered by what is known before.
fn shapley(ensemble: &Ensemble, row: &[f64]) -> Vec<f64> {
    let columns = ensemble.columns() as u32;
    let worth = |known| ensemble.views().map(|tree| worth(tree, row, known, 0)).sum::<f64>();
    let worths: Vec<f64> = (0..1_u32 << columns).map(worth).collect();
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let gain = |known: u32, column: u32| {
        let count = known.count_ones();
        let weight = factorial(count) * factorial(columns - count - 1) / factorial(columns);
        weight * (worths[(known | 1 << column) as usize] - worths[known as usize])
    };
    (0..columns)
        .map(|column| {
            (0..1_u32 << columns)
                .filter(|known| known >> column & 1 == 0)
                .map(|known| gain(known, column))
                .sum()
        })
        .collect()
}

fn rows(rng: Rng, rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let index = (row * columns + column) as u64;
        let value = rng.uniform(1 << 41, index) * 60.0 - 30.0;
        if rng.below(1 << 40, index, 6) == 0 { f64::NAN } else { value }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values_are_those_of_the_definition(
        seed in any::<u64>(), sizes in prop::collection::vec(1..40_u64, 0..4), columns in 1..10_usize,
        categories in any::<bool>(),
    ) {
        let rng = Rng::from_u64(seed);
        let trees = sizes.iter().zip(0..).map(|(&leaves, stream)| if categories {
            mixed_tree(rng, stream, leaves, columns)
        } else {
            tree(rng, stream, leaves, columns, 100)
        });
        let ensemble = Ensemble::new(columns, trees).unwrap();
        let features = rows(rng, 3, columns);
        let found = values(&ensemble, features.view());
        for (row, found) in features.rows().into_iter().zip(found.rows()) {
            for (found, expected) in found.iter().zip(shapley(&ensemble, row.as_slice().unwrap())) {
                prop_assert!((found - expected).abs() < 1e-12, "{} {}", found, expected);
            }
        }
    }

    /// Also where paths look at more features than one group of points serves.
    #[test]
    fn values_and_the_expected_value_sum_to_the_score(
        seed in any::<u64>(), leaves in 1..400_u64, columns in 1..60_usize,
    ) {
        let rng = Rng::from_u64(seed);
        let ensemble = Ensemble::new(columns, (0..3).map(|t| tree(rng, t, leaves, columns, 100))).unwrap();
        let features = rows(rng, 70, columns);
        let found = values(&ensemble, features.view());
        let scores = ensemble.scores(features.view(), 0.0, |score| score);
        for (found, score) in found.rows().into_iter().zip(scores) {
            prop_assert!((found.sum() + expected(&ensemble) - score).abs() < 1e-11);
        }
    }
}

#[test]
fn threads_and_other_rows_change_no_bit() {
    let rng = Rng::from_u64(3);
    let ensemble = Ensemble::new(5, (0..40).map(|t| tree(rng, t, 31, 5, 100))).unwrap();
    let features = rows(rng, 500, 5);
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| values(&ensemble, features.view()))
    });
    assert_eq!(one, three);
    assert_eq!(one.row(77), values(&ensemble, features.slice(ndarray::s![77..78, ..])).row(0));
}
