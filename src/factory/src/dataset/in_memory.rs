//! The steps of a build on tables in memory, without a store: rows in, columns out, in the order of the rows.
//!
//! ```text
//!   events, labels ──► compute_features   the values that a dataset of these definitions holds
//!   events, labels ──► resolve_labels     one outcome an event, as of a cut
//!   events, facts  ──► asof_join          the fact that held for each event, as known by then
//! ```
//!
//! The same readers, refusals and kernels as a build's: what is tried out here is what is built there.

use std::collections::BTreeMap;

use contracts::{Code, Failure, Result, names::ColumnName, time::DAY};
use kernels::{
    Progress,
    label::{Answer, Asking, Facts, Resolved, Timeline, asof_join as join, resolve},
    window::{Grouped, Inputs, Staged},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    columns::{Columns, NUMBERED, Wanted},
    events::{self, EventIndex},
    features::{Windows, alone, infinite, is_window, labelled, of_name, refuse_infinite},
    ids::Ids,
    labels::{self, Asserted, Joined, refuse_others},
    meter::Meter,
    source::Source,
    spec::{FeatureSpec, LabelSpec, feature_entities, feature_numbers},
};

/// Name of the table of facts in refusals.
const FACTS: &str = "facts";

/// Computes features: one column each, in their order, NaN meaning missing.
///
/// `labels` are needed where the request names some. Progress counts rows read and swept. Refuses with
/// `PARAMETER_INVALID`, `FEATURE_AFTER_EVENT`, `DUPLICATE_EVENT`, `COLUMN_MISSING`, `COLUMN_TYPE_INVALID`,
/// `NULL_NOT_ALLOWED`, `NON_FINITE_INPUT`, `SOURCE_UNREADABLE` and `RESOURCE_EXHAUSTED`.
pub fn compute_features(
    spec: &FeatureSpec,
    events: Source,
    labels: Option<Source>,
    progress: &dyn Progress,
) -> Result<Vec<Vec<f64>>> {
    spec.check()?;
    let entities = feature_entities(&spec.features);
    let mut ids = entities.clone();
    ids.extend(spec.event_id.clone());
    let wanted = Wanted {
        table: events::TABLE,
        naive_times_are_utc: spec.naive_times_are_utc,
        ids,
        times: [spec.event_time.clone()].into(),
        numbers: feature_numbers(&spec.features),
        instead_of_text: NUMBERED,
    };
    let asserted = match (&spec.labels, labels, &spec.event_id) {
        (Some(of), Some(labels), Some(event_id)) => Some((of, labels, event_id)),
        (None, None, _) => None,
        _ => {
            let expected = "labels with their columns";
            return Err(Failure::at(Code::ParameterInvalid, "/labels", expected, "one of the two"));
        }
    };
    let rows = events.survey(&wanted)?;
    let meter = Meter::new(progress, rows.saturating_mul(entities.len() as u64 + 1));
    // The two tables are read at once; what the events are refused for is told first.
    let (columns, assertions) = rayon::join(
        || events.read(&wanted, &meter),
        || {
            let read = |(of, labels, event_id)| {
                (of, event_id, read(&labels, &labels::wanted(of, spec.naive_times_are_utc)))
            };
            asserted.map(read)
        },
    );
    let mut columns = columns?;
    drop(events);
    let asserted = match assertions {
        None => None,
        Some((of, event_id, assertions)) => {
            // An event's name may be an entity too.
            let shared = entities.contains(event_id);
            let ids = if shared { columns.ids(event_id) } else { columns.take_ids(event_id) }?;
            Some((of, EventIndex::new(event_id, ids)?, assertions?))
        }
    };
    let computed = compute(spec, columns, asserted, &meter)?;
    for (feature, column) in spec.features.iter().zip(&computed) {
        refuse_infinite(feature, infinite(feature, column))?;
    }
    Ok(computed)
}

/// Computes features of rows that were read, and lets go of each column as soon as nobody reads it again: what is alive
/// at once is what the system has to clear.
fn compute(
    spec: &FeatureSpec,
    mut columns: Columns,
    asserted: Option<(&LabelSpec, EventIndex, Columns)>,
    meter: &Meter<'_>,
) -> Result<Vec<Vec<f64>>> {
    let windows = Windows::new(&spec.features)?;
    let of_entities = windows.of_entities();
    let ids = of_entities.iter().map(|of_entity| columns.take_ids(of_entity.entity));
    let ids = ids.collect::<Result<Vec<_>>>()?;
    let times = columns.take_times(&spec.event_time)?;
    let numbers = feature_numbers(&spec.features).into_keys().map(|name| {
        let column = columns.take_numbers(&name)?;
        Ok((name, column))
    });
    let numbers = numbers.collect::<Result<BTreeMap<_, _>>>()?;
    let rows = times.len();
    let group = |ids: Ids| {
        let codes = ids.codes(0..rows);
        drop(ids);
        Grouped::new(&codes.codes, codes.count, &times)
    };
    let (timeline, grouped) = rayon::join(
        || asserted.map(|(of, index, assertions)| known(of, index, assertions)).transpose(),
        || ids.into_par_iter().map(group).collect::<Vec<_>>(),
    );
    let labels: Vec<_> = timeline?.map(labelled).into_iter().collect();
    let mut computed = BTreeMap::new();
    for (position, feature) in spec.features.iter().enumerate().filter(|(_, feature)| !is_window(feature)) {
        let of_event = |name: &ColumnName| of_name(&numbers, name).map(<[f64]>::to_vec);
        computed.insert(position, alone(feature, || Ok(&times), of_event)?);
    }
    drop(times);
    let looked_at = windows.columns(&numbers)?;
    let inputs = Inputs { columns: &looked_at, labels: &labels };
    let grouped = grouped.into_par_iter().zip(of_entities);
    let staged = grouped.map(|(grouped, of_entity)| Staged::new(grouped?, &inputs, &of_entity.asked));
    let staged: Vec<_> = staged.collect();
    drop((labels, numbers));
    for (staged, of_entity) in staged.into_iter().zip(of_entities) {
        computed.extend(of_entity.positions.iter().copied().zip(staged?.compute()));
        meter.advance(rows as u64)?;
    }
    Ok(computed.into_values().collect())
}

/// What was known of each event's label at any time up to the cut.
fn known(of: &LabelSpec, index: EventIndex, assertions: Columns) -> Result<Timeline> {
    let joined = join_labels(of, assertions, &index)?;
    let events = index.len();
    drop(index);
    Timeline::new(&joined.assertions(events)?, of.label_asof_utc.nanoseconds())
}

/// The request to resolve the labels of events in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveSpec {
    /// Column that names the event.
    pub event_id: ColumnName,
    /// Column of when the event happened.
    pub event_time: ColumnName,
    /// Whether times without a zone are UTC; otherwise they are refused.
    #[serde(default)]
    pub naive_times_are_utc: bool,
    /// The labels and the cut.
    pub labels: LabelSpec,
}

/// Resolves the label of every event as of the request's cut. Refuses as [`compute_features`] does.
pub fn resolve_labels(spec: &ResolveSpec, events: &Source, labels: &Source) -> Result<Resolved> {
    let ResolveSpec { event_id, event_time, naive_times_are_utc, labels: of } = spec;
    let naive_times_are_utc = *naive_times_are_utc;
    of.check_alone()?;
    let wanted = Wanted {
        table: events::TABLE,
        naive_times_are_utc,
        ids: [event_id.clone()].into(),
        times: [event_time.clone()].into(),
        numbers: [].into(),
        instead_of_text: NUMBERED,
    };
    let mut columns = read(events, &wanted)?;
    let index = EventIndex::new(event_id, columns.take_ids(event_id)?)?;
    let joined = joined(of, labels, naive_times_are_utc, &index)?;
    let times = columns.take_times(event_time)?;
    let assertions = joined.assertions(times.len())?;
    resolve(&times, &assertions, of.label_asof_utc.nanoseconds(), i64::from(of.maturity_days) * DAY)
}

fn read(source: &Source, wanted: &Wanted) -> Result<Columns> {
    source.survey(wanted)?;
    source.read(wanted, &Meter::new(&kernels::progress::Silent, 0))
}

fn joined(of: &LabelSpec, labels: &Source, naive_times_are_utc: bool, index: &EventIndex) -> Result<Joined> {
    join_labels(of, read(labels, &labels::wanted(of, naive_times_are_utc))?, index)
}

fn join_labels(of: &LabelSpec, mut columns: Columns, index: &EventIndex) -> Result<Joined> {
    let asserted = Asserted::take(of, &mut columns)?;
    refuse_others(of, asserted.others())?;
    Joined::new(of, asserted, index)
}

/// The columns of a join of events with facts about their key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsofSpec {
    /// Of the events: what they ask about.
    pub key: ColumnName,
    /// Of the events: the moment asked about.
    pub event_time: ColumnName,
    /// Of the events: up to when facts were known; the moment asked about where nothing is said.
    #[serde(default)]
    pub known_by: Option<ColumnName>,
    /// Of the facts: what they are about.
    pub facts_key: ColumnName,
    /// Of the facts: when they became true.
    pub effective_time: ColumnName,
    /// Of the facts: when they became known.
    pub observed_time: ColumnName,
    /// Whether times without a zone are UTC; otherwise they are refused.
    #[serde(default)]
    pub naive_times_are_utc: bool,
}

/// Joins each event with the latest fact about its key that had come true and was known.
///
/// Refuses with `PARAMETER_INVALID` (a fact known before it was true), `COLUMN_MISSING`, `COLUMN_TYPE_INVALID`,
/// `NULL_NOT_ALLOWED`, `SOURCE_UNREADABLE` and `RESOURCE_EXHAUSTED`.
pub fn asof_join(spec: &AsofSpec, events: &Source, facts: &Source) -> Result<Vec<Answer>> {
    let wanted = |table, id: &ColumnName, times: Vec<ColumnName>| Wanted {
        table,
        naive_times_are_utc: spec.naive_times_are_utc,
        ids: [id.clone()].into(),
        times: times.into_iter().collect(),
        numbers: [].into(),
        instead_of_text: NUMBERED,
    };
    let moments = [Some(spec.event_time.clone()), spec.known_by.clone()].into_iter().flatten().collect();
    let mut of_events = read(events, &wanted(events::TABLE, &spec.key, moments))?;
    let moments = vec![spec.effective_time.clone(), spec.observed_time.clone()];
    let mut of_facts = read(facts, &wanted(FACTS, &spec.facts_key, moments))?;
    let keys =
        keys(of_events.take_ids(&spec.key)?, of_facts.take_ids(&spec.facts_key)?).ok_or_else(|| {
            let pointer = format!("{FACTS}/{}", spec.facts_key);
            Failure::at(Code::ColumnTypeInvalid, pointer, "the type of the events' keys", "another type")
        })?;
    let known_by = spec.known_by.as_ref().map(|name| of_events.times(name)).transpose()?;
    join(
        &Asking { key: &keys.0, time: of_events.times(&spec.event_time)?, known_by },
        &Facts {
            key: &keys.1,
            effective_time: of_facts.times(&spec.effective_time)?,
            observed_time: of_facts.times(&spec.observed_time)?,
        },
    )
}

/// Keys of both sides as integers, equal where the keys are; none where the two are of different types.
fn keys(of_events: Ids, of_facts: Ids) -> Option<(Vec<i64>, Vec<i64>)> {
    match (of_events, of_facts) {
        (Ids::Int(of_events), Ids::Int(of_facts)) => Some((of_events, of_facts)),
        // A side without rows has no type to differ.
        (of_events, of_facts) if of_events.is_empty() || of_facts.is_empty() => {
            Some((vec![0; of_events.len()], vec![0; of_facts.len()]))
        }
        (mut all, of_facts) => {
            let events = all.len();
            let alike = all.append(&of_facts);
            let mut codes: Vec<i64> =
                alike.then(|| all.codes(0..all.len()))?.codes.into_iter().map(i64::from).collect();
            let of_facts = codes.split_off(events);
            Some((codes, of_facts))
        }
    }
}
