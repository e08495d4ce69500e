//! The windows of one entity's places, and what its features say of them.

use super::{
    Aggregate, Feature, Window,
    exact::{Grid, Running},
    group::Group,
    rate, sweep,
};

/// The inputs by slot; nothing of those that no feature looks at.
pub(super) struct BySlot {
    pub(super) columns: Vec<(Grid, Vec<f64>)>,
    pub(super) labels: Vec<Option<rate::Staged>>,
}

/// What one task holds of the entity at hand; its memory is reused from entity to entity.
pub(super) struct Scratch<'a> {
    windows: &'a [Window],
    /// Time of each place.
    times: Vec<i64>,
    /// Time of each place since the first one's, in nanoseconds, and at last a time that never comes.
    since_first: Vec<u64>,
    /// Ages at which events come into a window or leave it; windows share them.
    ages: Vec<u64>,
    /// By age: how many places are as old, for each place that is asked about.
    edges: Vec<Vec<u32>>,
    /// By window: the window of each place that is asked about, as the half-open range of places in it.
    bounds: Vec<Vec<(u32, u32)>>,
    /// By column: the values by place.
    values: Vec<Vec<f64>>,
    /// By column: its running sums, where a feature adds it up.
    sums: Vec<Option<Running>>,
    /// By label: what becomes known of the group's events.
    knowledge: Vec<rate::Changes>,
}

impl<'a> Scratch<'a> {
    pub(super) fn new(inputs: &BySlot, windows: &'a [Window], features: &[Feature]) -> Self {
        let is_summed = |number: usize| {
            let of = [Aggregate::Sum(number), Aggregate::Mean(number)];
            features.iter().any(|feature| of.contains(&feature.aggregate))
        };
        let columns = inputs.columns.iter().enumerate();
        let mut ages: Vec<u64> = windows.iter().flat_map(|window| [window.delay, window.horizon]).collect();
        ages.sort_unstable();
        ages.dedup();
        Self {
            windows,
            times: Vec::new(),
            since_first: Vec::new(),
            edges: vec![Vec::new(); ages.len()],
            ages,
            bounds: vec![Vec::new(); windows.len()],
            values: vec![Vec::new(); inputs.columns.len()],
            sums: columns
                .map(|(number, (grid, _))| is_summed(number).then(|| grid.running()).flatten())
                .collect(),
            knowledge: vec![rate::Changes::default(); inputs.labels.len()],
        }
    }

    pub(super) fn fill(&mut self, group: Group<'_>, inputs: &BySlot, times: &[i64]) {
        self.times.clear();
        self.times.extend(group.slots.iter().map(|&slot| times[slot as usize]));
        self.since_first.clear();
        let first = self.times.first().copied().unwrap_or_default();
        self.since_first.extend(self.times.iter().map(|&time| sweep::age(time, first)));
        self.since_first.push(u64::MAX);
        sweep::edges(&self.since_first, group.asked, &self.ages, &mut self.edges);
        let edge = |age| self.ages.binary_search(&age).map_or(&[][..], |age| &self.edges[age]);
        for (bounds, window) in self.bounds.iter_mut().zip(self.windows) {
            bounds.clear();
            bounds.extend(edge(window.horizon).iter().copied().zip(edge(window.delay).iter().copied()));
        }
        for (values, (_, column)) in self.values.iter_mut().zip(&inputs.columns) {
            values.clear();
            if !column.is_empty() {
                values.extend(group.slots.iter().map(|&slot| column[slot as usize]));
            }
        }
        for (sums, values) in self.sums.iter_mut().zip(&self.values) {
            if let Some(sums) = sums {
                sums.fill(values);
            }
        }
        for (knowledge, labels) in self.knowledge.iter_mut().zip(&inputs.labels) {
            if let Some(labels) = labels {
                knowledge.fill(group, &self.times, labels);
            }
        }
    }

    /// The window of each place that is asked about.
    pub(super) fn bounds(&self, window: Window) -> &[(u32, u32)] {
        let window = self.windows.iter().position(|other| *other == window).unwrap_or_default();
        &self.bounds[window]
    }

    /// A feature of each place that is asked about; a number of events is told by the window itself.
    pub(super) fn evaluate(&self, group: Group<'_>, inputs: &BySlot, feature: Feature, output: &mut [f64]) {
        let bounds = self.bounds(feature.window);
        let values = |column: usize| self.values[column].as_slice();
        let grid = |column: usize| inputs.columns[column].0;
        match feature.aggregate {
            Aggregate::Count => {}
            Aggregate::SinceLast => sweep::since_last(&self.times, group.asked, bounds, output),
            Aggregate::Min(column) => sweep::extreme(values(column), bounds, f64::lt, output),
            Aggregate::Max(column) => sweep::extreme(values(column), bounds, f64::gt, output),
            Aggregate::Sum(column) => match &self.sums[column] {
                Some(sums) => sums.sums(bounds, output),
                None => grid(column).sums(values(column), bounds, output),
            },
            Aggregate::Mean(column) => match &self.sums[column] {
                Some(sums) => sums.means(bounds, output),
                None => grid(column).means(values(column), bounds, output),
            },
            Aggregate::Std(column) => grid(column).deviations(values(column), bounds, output),
            Aggregate::Rate(labels) => {
                if let Some(said) = &inputs.labels[labels] {
                    let times = &self.times[group.asked..];
                    self.knowledge[labels].rates(times, said, (feature.window.delay, bounds), output);
                }
            }
        }
    }
}
