//! Which rows are fitted, which stop the fit, and which judge it.

use contracts::{
    Code, Failure, Result,
    execution_record::WindowRows,
    names::ColumnName,
    resolved_plan::ResolvedTrainPlan,
    time::{DAY, TimeWindow, Timestamp},
    training_config::UnknownLabels,
};
use kernels::metric::{EntityDays, KnownPositives};
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
    counts: WindowRows,
}

impl Chosen {
    /// Whether each row is positive.
    pub(super) fn positive(&self, table: &Table) -> Vec<bool> {
        self.rows.iter().map(|&row| table.label[row as usize] == Some(true)).collect()
    }

    /// The entity of each row.
    fn entities(&self, table: &Table, column: &ColumnName) -> Result<Vec<u64>> {
        let codes = entity(table, column)?;
        Ok(self.rows.iter().map(|&row| u64::from(codes[row as usize])).collect())
    }
}

impl Windows<Chosen> {
    /// Cuts the windows out of the table and its features, of which nothing else is left.
    #[allow(clippy::needless_pass_by_value, reason = "what no window holds is not kept")]
    pub(super) fn cut(self, table: Table, features: Features) -> Result<Windows> {
        let Self { train, validation, test } = self;
        let stops: &[u32] = validation.as_ref().map_or(&[], |chosen| &chosen.rows);
        let columns = features.columns();
        let [fitted, stopping, judging] = features.cut([&train.rows, stops, &test.rows]);
        let window = |chosen: Chosen, values| -> Result<Window> {
            let features = Array2::from_shape_vec((chosen.rows.len(), columns).f(), values);
            Ok(Window {
                rows: table.pick(&chosen.rows),
                features: features
                    .map_err(|_| Failure::new(Code::InternalError, "a window of another shape"))?,
                positive: chosen.positive(&table),
                counts: chosen.counts,
            })
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
        slices: config.evaluation.slices.iter().map(|slice| slice.column.clone()).collect(),
    }
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
        test.counts.known_positive = removed;
        test.rows = rows;
    }
    for (name, window) in
        [("train", Some(&train)), ("validation", validation.as_ref()), ("test", Some(&test))]
    {
        if let Some(window) = window {
            check_classes(name, &window.positive(table))?;
        }
    }
    let count = |mut window: Chosen| {
        window.counts.rows = window.rows.len() as u64;
        window.counts.positive = window.positive(table).iter().filter(|&&positive| positive).count() as u64;
        window
    };
    Ok(Windows { train: count(train), validation: validation.map(count), test: count(test) })
}

fn take(name: &str, window: &TimeWindow, unknown: UnknownLabels, table: &Table) -> Result<Chosen> {
    let inside = |&row: &usize| window.contains(Timestamp::from_nanoseconds(table.event_time[row]));
    let (known, other): (Vec<u32>, Vec<u32>) = (0..table.rows())
        .filter(inside)
        .map(|row| row as u32)
        .partition(|&row| table.label[row as usize].is_some());
    if unknown == UnknownLabels::Refuse && !other.is_empty() {
        return Err(Failure::at(
            Code::LabelImmature,
            format!("/split/{name}"),
            "a known label on every row",
            format!("{} rows without", other.len()),
        ));
    }
    let counts = WindowRows { rows: 0, positive: 0, unknown_label: other.len() as u64, known_positive: 0 };
    Ok(Chosen { rows: known, counts })
}

fn check_classes(name: &str, positive: &[bool]) -> Result<()> {
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
    Ok(())
}

fn check_disjoint(table: &Table, column: &ColumnName, train: &Chosen, test: &Chosen) -> Result<()> {
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
    test: &Chosen,
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
