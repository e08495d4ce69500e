#![allow(clippy::unwrap_used, clippy::float_cmp)]

use ndarray::{Array2, ShapeBuilder};
use proptest::prelude::*;

use super::{
    samples::{mixed_tree, threshold, tree},
    *,
};
use crate::Rng;

/// Values on and between thresholds, and those that are no numbers.
fn features(rng: Rng, rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let index = (row * columns + column) as u64;
        match rng.below(1 << 40, index, 12) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            4 => rng.uniform(1 << 41, index) * 60.0 - 30.0,
            _ => threshold(rng.below(1 << 42, index, 90)),
        }
    })
}

fn by_walking(ensemble: &Ensemble, features: &Array2<f64>) -> (Vec<f64>, Array2<u32>) {
    let mut leaves = Array2::zeros((features.nrows(), ensemble.len()));
    let mut scores = vec![0.25; features.nrows()];
    for (row, score) in scores.iter_mut().enumerate() {
        for (position, tree) in ensemble.views().enumerate() {
            let leaf = leaf(tree, features.row(row));
            *score += leaf.value;
            leaves[[row, position]] =
                tree.nodes.iter().position(|node| std::ptr::eq(node, leaf)).unwrap() as u32;
        }
        *score *= 3.0;
    }
    (scores, leaves)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Small and large trees, with and without categories, few rows and several blocks, any layout: always the
    /// bits of a plain walk.
    #[test]
    fn every_way_finds_the_leaves_of_a_plain_walk(
        seed in any::<u64>(),
        sizes in prop::collection::vec(prop_oneof![Just(1), 2..32_u64, Just(64), Just(65), 66..200_u64], 0..20),
        rows in prop_oneof![0..4_usize, 60..68_usize, 250..260_usize, Just(600)],
        columns in 1..5_usize,
        thresholds in prop_oneof![1..100_u64, Just(2_000)],
        categories in any::<bool>(),
    ) {
        let rng = Rng::from_u64(seed);
        let trees = sizes.iter().zip(0..).map(|(&leaves, stream)| if categories {
            mixed_tree(rng, stream, leaves, columns)
        } else {
            tree(rng, stream, leaves, columns, thresholds)
        });
        let ensemble = Ensemble::new(columns, trees).unwrap();
        let features = features(rng, rows, columns);
        let (scores, leaves) = by_walking(&ensemble, &features);
        let mut turned = Array2::zeros((rows, columns).f());
        turned.assign(&features);
        let mut reversed = features.clone();
        reversed.invert_axis(ndarray::Axis(0));
        let reversed = reversed.as_standard_layout().into_owned();
        for view in [features.view(), turned.view(), reversed.slice(ndarray::s![..;-1, ..])] {
            let found = ensemble.scores(view, 0.25, |score| score * 3.0);
            prop_assert!(found.iter().zip(&scores).all(|(a, b)| a.to_bits() == b.to_bits()));
            prop_assert_eq!(&ensemble.leaves(view), &leaves);
        }
        // Halves are exact in 32 bits; the rest is as if it had been rounded before.
        let single = features.mapv(|value| value as f32);
        let (scores, leaves) = by_walking(&ensemble, &single.mapv(f64::from));
        prop_assert_eq!(&ensemble.scores(single.view(), 0.25, |score| score * 3.0), &scores);
        prop_assert_eq!(&ensemble.leaves(single.view()), &leaves);
    }
}

#[test]
fn a_node_has_one_parent() {
    let inner = |left, right| Node { left, right, ..Node::leaf(0.0) };
    let shared = vec![inner(1, 2), inner(2, 3), Node::leaf(0.0), Node::leaf(0.0)];
    let twice = vec![inner(1, 1), Node::leaf(0.0)];
    for tree in [shared, twice] {
        assert_eq!(
            Ensemble::new(1, [Tree { nodes: tree, sets: vec![], covers: vec![] }]).unwrap_err().code,
            Code::ModelInvalid
        );
    }
}

#[test]
fn covers_are_whole_and_add_up() {
    let split = Node { left: 1, right: 2, ..Node::leaf(0.0) };
    let nodes = vec![split, Node::leaf(0.0), Node::leaf(0.0)];
    let with = |covers: &[f64]| {
        Ensemble::new(1, [Tree { nodes: nodes.clone(), sets: vec![], covers: covers.to_vec() }])
    };
    assert!(with(&[5.0, 3.0, 2.0]).is_ok());
    let hostile: [&[f64]; 6] = [
        &[6.0, 3.0, 2.0],
        &[3.0, 3.0, 0.0],
        &[4.0, 4.5, -0.5],
        &[1.0, 0.5, 0.5],
        &[f64::NAN; 3],
        &[5.0, 3.0],
    ];
    for covers in hostile {
        assert_eq!(with(covers).unwrap_err().code, Code::ModelInvalid, "{covers:?}");
    }
}

type Change = Box<dyn Fn(&mut Arrays)>;

#[test]
fn sets_come_back_and_belong_to_inner_nodes_one_by_one() {
    let rng = Rng::from_u64(5);
    let ensemble = Ensemble::new(4, (0..6).map(|stream| mixed_tree(rng, stream, 40, 4))).unwrap();
    assert!(!ensemble.is_numeric());
    let arrays = ensemble.to_arrays();
    assert_eq!(Ensemble::from_arrays(4, &mut arrays.clone()).unwrap(), ensemble);
    let Array::U32(holders) = &arrays.0["tree.set_node"] else { panic!() };
    let leaf = ensemble.nodes.iter().position(Node::is_leaf).unwrap() as u32;
    let (first, second) = (holders[0] as usize, holders[1] as usize);
    let of_nodes = |change: fn(&mut Vec<u32>)| -> Change {
        Box::new(move |arrays| {
            if let Some(Array::U32(nodes)) = arrays.0.get_mut("tree.set_node") {
                change(nodes);
            }
        })
    };
    let of_sets = |change: fn(&mut Vec<u8>)| -> Change {
        Box::new(move |arrays| {
            if let Some(Array::U8(sets)) = arrays.0.get_mut("tree.set") {
                change(sets);
            }
        })
    };
    let hostile: Vec<Change> = vec![
        of_nodes(|nodes| nodes.truncate(3)),
        of_nodes(|nodes| nodes.swap(0, 1)),
        of_nodes(|nodes| nodes[1] = nodes[0]),
        of_nodes(|nodes| *nodes.last_mut().unwrap() = u32::MAX),
        of_nodes(Vec::clear),
        of_sets(|sets| sets.truncate(33)),
        of_sets(Vec::clear),
        // Where missing values go is said twice, alike.
        of_sets(|sets| sets[31] ^= 0x80),
        Box::new(|arrays| drop(arrays.0.remove("tree.set"))),
        Box::new(|arrays| drop(arrays.0.remove("tree.set_node"))),
        Box::new(|arrays| drop(arrays.0.insert("tree.set".to_owned(), Array::U32(vec![0; 32])))),
        Box::new(move |arrays| {
            if let Some(Array::F64(thresholds)) = arrays.0.get_mut("tree.threshold") {
                thresholds[first] = 1.0;
            }
        }),
        Box::new(move |arrays| {
            if let Some(Array::U32(nodes)) = arrays.0.get_mut("tree.set_node") {
                nodes.retain(|&node| node as usize != second && node != leaf);
                nodes.push(leaf);
                nodes.sort_unstable();
            }
        }),
    ];
    for (case, change) in hostile.into_iter().enumerate() {
        let mut arrays = arrays.clone();
        change(&mut arrays);
        assert_eq!(Ensemble::from_arrays(4, &mut arrays).unwrap_err().code, Code::ModelInvalid, "{case}");
    }
}
