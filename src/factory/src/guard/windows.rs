//! Which rows are fitted, which stop the fit, and which judge it.

use contracts::{
    Code, Failure, Result,
    execution_record::WindowRows,
    names::ColumnName,
    resolved_plan::ResolvedTrainPlan,
    time::{DAY, TimeWindow, Timestamp},
    training_config::UnknownLabels,
};
use kernels::{
    Progress,
    metric::{EntityDays, KnownPositives},
};
use ndarray::{Array2, ShapeBuilder};

use super::Audit;
use crate::dataset::{Features, Rows, Selection, Table};

/// One window: rows in canonical order, all with a known label.
#[derive(Debug)]
pub struct Window {
    /// The rows.
    pub rows: Rows,
    /// Rows x columns in Fortran order, columns in the order of the plan's; NaN is missing.
    pub features: Array2<f64>,
    /// Whether each is positive.
    pub positive: Vec<bool>,
    /// How many there are, and how many were left out.
    pub counts: WindowRows,
}

/// The windows of the split.
#[derive(Debug)]
pub struct Windows<W = Window> {
    /// Rows that are fitted.
    pub train: W,
    /// Rows that stop the fit early.
    pub validation: Option<W>,
    /// Rows that judge the model.
    pub test: W,
}

/// Which rows of the table stand in a window.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) rows: Vec<u32>,
    /// Whether each is positive.
    positive: Vec<bool>,
    counts: WindowRows,
}

impl Chosen {
    /// Rows of a window, in which both classes have to stand.
    fn new(name: &str, table: &Table, window: Inside) -> Result<Self> {
        let Inside { rows, left_out } = window;
        let positive: Vec<bool> = rows.iter().map(|&row| table.label[row as usize] == Some(true)).collect();
        let found = positives(name, &positive)?;
        let counts = WindowRows { rows: rows.len() as u64, positive: found as u64, ..left_out };
        Ok(Self { rows, positive, counts })
    }
}

/// Rows inside a window whose label is known, and how many others there are.
struct Inside {
    rows: Vec<u32>,
    left_out: WindowRows,
}

impl Inside {
    /// The entity of each row.
    fn entities(&self, table: &Table, column: &ColumnName) -> Result<Vec<u64>> {
        let codes = entity(table, column)?;
        Ok(self.rows.iter().map(|&row| u64::from(codes[row as usize])).collect())
    }
}

impl Windows<Chosen> {
    /// Cuts the windows out of the table and its features, of which nothing else is left. Slices that are features are
    /// taken from these: each column is decoded once.
    #[allow(clippy::needless_pass_by_value, reason = "what no window holds is not kept")]
    pub(super) fn cut(
        self,
        plan: &ResolvedTrainPlan,
        table: Table,
        features: Features,
        progress: &dyn Progress,
    ) -> Result<Windows> {
        let Self { train, validation, test } = self;
        let stops: &[u32] = validation.as_ref().map_or(&[], |chosen| &chosen.rows);
        let columns = features.columns();
        let [fitted, stopping, judging] = features.cut([&train.rows, stops, &test.rows], progress)?;
        let sliced: Vec<_> = slices(plan)
            .filter_map(|name| Some((name, plan.features.iter().position(|feature| feature == name)?)))
            .collect();
        let window = |chosen: Chosen, values| -> Result<Window> {
            let features = Array2::from_shape_vec((chosen.rows.len(), columns).f(), values)
                .map_err(|_| Failure::new(Code::InternalError, "a window of another shape"))?;
            let mut rows = table.pick(&chosen.rows);
            let of_features = sliced.iter().map(|&(name, at)| (name.clone(), features.column(at).to_vec()));
            rows.slices.extend(of_features);
            Ok(Window { rows, features, positive: chosen.positive, counts: chosen.counts })
        };
        Ok(Windows {
            train: window(train, fitted)?,
            validation: validation.map(|chosen| window(chosen, stopping)).transpose()?,
            test: window(test, judging)?,
        })
    }
}

/// The columns that a run reads beside the fixed ones.
pub(super) fn selection(plan: &ResolvedTrainPlan) -> Selection {
    let config = &plan.training_config;
    let mut entities: Vec<_> = [
        config.evaluation.capacity.as_ref().map(|capacity| capacity.entity.clone()),
        config.evaluation.known_positives.as_ref().map(|known| known.entity.clone()),
        config.split.entity_disjoint.clone(),
    ]
    .into_iter()
    .flatten()
    .collect();
    entities.sort_unstable();
    entities.dedup();
    Selection {
        features: plan.features.clone(),
        entities,
        slices: slices(plan).filter(|name| !plan.features.contains(name)).cloned().collect(),
    }
}

fn slices(plan: &ResolvedTrainPlan) -> impl Iterator<Item = &ColumnName> {
    plan.training_config.evaluation.slices.iter().map(|slice| &slice.column)
}

/// Splits the table by time.
pub(super) fn split(plan: &ResolvedTrainPlan, table: &Table, audit: &mut Audit) -> Result<Windows<Chosen>> {
    let config = &plan.training_config;
    let take = |name: &str, window: &TimeWindow| take(name, window, config.label.unknown, table);
    let train = take("train", &config.split.train)?;
    let validation = config.split.validation.as_ref().map(|window| take("validation", window)).transpose()?;
    let mut test = take("test", &config.split.test)?;
    if let Some(column) = &config.split.entity_disjoint {
        check_disjoint(table, column, &train, &test)?;
        audit.note(Code::EntityOverlap, train.rows.len() + test.rows.len())?;
    }
    if let Some(known) = &config.evaluation.known_positives {
        let (rows, removed) = remaining(table, known, config.split.train.start, &test)?;
        test.left_out.known_positive = removed;
        test.rows = rows;
    }
    let chosen = |name: &str, window| Chosen::new(name, table, window);
    Ok(Windows {
        train: chosen("train", train)?,
        validation: validation.map(|window| chosen("validation", window)).transpose()?,
        test: chosen("test", test)?,
    })
}

fn take(name: &str, window: &TimeWindow, unknown: UnknownLabels, table: &Table) -> Result<Inside> {
    let times = window.start.nanoseconds()..window.end.nanoseconds();
    let (mut rows, mut other) = (Vec::new(), 0);
    for (row, (time, label)) in (0..).zip(table.event_time.iter().zip(&table.label)) {
        match label {
            _ if !times.contains(time) => {}
            Some(_) => rows.push(row),
            None => other += 1,
        }
    }
    if unknown == UnknownLabels::Refuse && other > 0 {
        return Err(Failure::at(
            Code::LabelImmature,
            format!("/split/{name}"),
            "a known label on every row",
            format!("{other} rows without"),
        ));
    }
    let left_out = WindowRows { rows: 0, positive: 0, unknown_label: other, known_positive: 0 };
    Ok(Inside { rows, left_out })
}

/// How many rows are positive, where not all are, and some.
fn positives(name: &str, positive: &[bool]) -> Result<usize> {
    let found = positive.iter().filter(|&&positive| positive).count();
    if positive.is_empty() {
        return Err(Failure::at(
            Code::DatasetEmpty,
            format!("/split/{name}"),
            "rows with a known label",
            "none",
        ));
    }
    if found == 0 || found == positive.len() {
        return Err(Failure::at(
            Code::DegenerateLabels,
            format!("/split/{name}"),
            "both classes",
            format!("{found} positive of {} rows", positive.len()),
        ));
    }
    Ok(found)
}

fn check_disjoint(table: &Table, column: &ColumnName, train: &Inside, test: &Inside) -> Result<()> {
    let mut fitted = train.entities(table, column)?;
    fitted.sort_unstable();
    fitted.dedup();
    let shared =
        test.entities(table, column)?.iter().filter(|code| fitted.binary_search(code).is_ok()).count();
    if shared > 0 {
        return Err(Failure::at(
            Code::EntityOverlap,
            column.as_str(),
            "entities that stand in train or in test, not in both",
            format!("{shared} test rows of entities in train"),
        ));
    }
    Ok(())
}

/// Test rows whose entity is not yet known to be positive on their day, and how many others there were.
fn remaining(
    table: &Table,
    known: &contracts::training_config::KnownPositives,
    train_start: Timestamp,
    test: &Inside,
) -> Result<(Vec<u32>, u64)> {
    let codes: Vec<u64> = entity(table, &known.entity)?.iter().map(|&code| u64::from(code)).collect();
    let days: Vec<i64> = table.event_time.iter().map(|time| time.div_euclid(DAY)).collect();
    let positive: Vec<bool> = table.label.iter().map(|label| *label == Some(true)).collect();
    let first_day = train_start.nanoseconds().div_euclid(DAY);
    let history =
        KnownPositives::new(EntityDays::new(&codes, &days)?, &positive, first_day, known.delay_days)?;
    let rows: Vec<u32> = test
        .rows
        .iter()
        .copied()
        .filter(|&row| !history.knows(codes[row as usize], days[row as usize]))
        .collect();
    let removed = (test.rows.len() - rows.len()) as u64;
    Ok((rows, removed))
}

fn entity<'t>(table: &'t Table, column: &ColumnName) -> Result<&'t [u32]> {
    table.entities.get(column).map(Vec::as_slice).ok_or_else(|| {
        Failure::at(Code::FeatureSchemaIncompatible, column.as_str(), "an entity of the manifest", "nothing")
    })
}
