//! Raw columns as the types that the builder works on, with every refusal naming its column.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int64Type, TimestampNanosecondType},
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Schema, TimeUnit};
use contracts::{Code, Failure, Problems, Result, names::ColumnName};

use super::{
    ids::{Ids, Texts},
    rows::Values,
};

/// Largest whole number below which each has a 64-bit float of its own.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;
/// Longest text that is taken as an identifier, in bytes.
const MAX_ID_BYTES: usize = 4_096;
/// Names of the zone in which times are taken.
const UTC: [&str; 5] = ["UTC", "Etc/UTC", "Z", "+00:00", "GMT"];

/// The columns that are needed of one table.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Names the table in refusals.
    pub(super) table: &'static str,
    /// Whether times without a zone are UTC.
    pub(super) naive_times_are_utc: bool,
    /// Columns of identifiers.
    pub(super) ids: BTreeSet<ColumnName>,
    /// Columns of times.
    pub(super) times: BTreeSet<ColumnName>,
    /// Columns of numbers, each with whether a null may stand in it.
    pub(super) numbers: BTreeMap<ColumnName, bool>,
    /// What to do about text where one of those is.
    pub(super) instead_of_text: &'static str,
}

/// What to do about text where a feature is expected.
pub(super) const NUMBERED: &str = "Number the texts by a list of your own, 0, 1, 2 and so on, that training and scoring share; \
                                   a feature of such numbers may be named in categorical_features.";

/// What a column is read as.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Id,
    Time,
    Number,
}

impl Kind {
    const fn expected(self) -> &'static str {
        match self {
            Self::Id => "integers or text",
            Self::Time => "timestamps in UTC",
            Self::Number => "numbers",
        }
    }
}

impl Wanted {
    /// The names of all columns; one that is wanted as two kinds stands twice.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds().map(|(name, _)| name.as_str())
    }

    fn kinds(&self) -> impl Iterator<Item = (&ColumnName, Kind)> {
        let ids = self.ids.iter().map(|name| (name, Kind::Id));
        let times = self.times.iter().map(|name| (name, Kind::Time));
        let numbers = self.numbers.keys().map(|name| (name, Kind::Number));
        ids.chain(times).chain(numbers)
    }

    /// Refuses with `COLUMN_MISSING` or `COLUMN_TYPE_INVALID`, naming every such column.
    pub(super) fn check(&self, schema: &Schema) -> Result<()> {
        let mut missing = Problems::default();
        let mut wrong = Problems::default();
        let (mut naive, mut elsewhere, mut texts) = (false, false, false);
        for (name, kind) in self.kinds() {
            let pointer = pointer(self.table, name);
            let mut fields = schema.fields().iter().filter(|field| field.name() == name.as_str());
            match (fields.next(), fields.next()) {
                (None, _) => missing.add(pointer, "a column", "none of this name"),
                (Some(_), Some(_)) => missing.add(pointer, "one column", "several of this name"),
                (Some(field), None) => {
                    let taken = self.takes(kind, field.data_type());
                    if let (false, Kind::Time, DataType::Timestamp(_, zone)) =
                        (taken, kind, value_type(field.data_type()))
                    {
                        naive |= zone.is_none();
                        elsewhere |= zone.is_some();
                    }
                    texts |= matches!(kind, Kind::Number) && value_type(field.data_type()).is_string();
                    wrong.require(taken, pointer, kind.expected(), type_text(field.data_type()));
                }
            }
        }
        missing.refuse(Code::ColumnMissing, self.table)?;
        wrong.refuse(Code::ColumnTypeInvalid, self.table).map_err(|failure| match (naive, elsewhere) {
            (true, _) => failure.with_hint(
                "A time without a zone has no meaning: give it a zone, or say naive_times_are_utc.",
            ),
            (false, true) => failure.with_hint(
                "Convert the times to UTC: .dt.tz_convert(\"UTC\") in pandas, \
                     .dt.convert_time_zone(\"UTC\") in polars.",
            ),
            (false, false) if texts => failure.with_hint(self.instead_of_text),
            (false, false) => failure,
        })
    }

    fn takes(&self, kind: Kind, data_type: &DataType) -> bool {
        if let DataType::Dictionary(_, values) = data_type {
            return self.takes(kind, values);
        }
        match kind {
            Kind::Id => data_type.is_integer() || data_type.is_string(),
            Kind::Time => match data_type {
                DataType::Timestamp(_, Some(zone)) => UTC.contains(&zone.as_ref()),
                DataType::Timestamp(_, None) => self.naive_times_are_utc,
                _ => false,
            },
            Kind::Number => data_type.is_numeric() || matches!(data_type, DataType::Boolean),
        }
    }
}

fn pointer(table: &str, name: &ColumnName) -> String {
    format!("{table}/{name}")
}

/// A type in Arrow's words, without the fields of nested types.
fn type_text(data_type: &DataType) -> String {
    if data_type.is_nested() { "a nested type".to_owned() } else { data_type.to_string() }
}

/// Values that came in so far, and how many of them must not be there.
#[derive(Debug, Default)]
struct Filling<T> {
    values: T,
    nulls: usize,
    not_finite: usize,
}

impl<T> Filling<Vec<T>> {
    fn with_room(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), nulls: 0, not_finite: 0 }
    }
}

/// The wanted columns of all rows, in the order in which they came in.
#[derive(Debug)]
pub(super) struct Columns {
    wanted: Wanted,
    rows: u64,
    /// Bytes of all texts that were taken out.
    taken_texts: u64,
    /// How many rows there will be, as far as that is known for sure.
    expected: usize,
    ids: BTreeMap<ColumnName, Filling<Option<Ids>>>,
    times: BTreeMap<ColumnName, Filling<Vec<i64>>>,
    numbers: BTreeMap<ColumnName, Filling<Vec<f64>>>,
}

impl Columns {
    /// Of so many rows, for which room is made; 0 where it is not known.
    pub(super) fn new(wanted: &Wanted, expected: usize) -> Self {
        Self {
            rows: 0,
            taken_texts: 0,
            expected,
            ids: wanted.ids.iter().map(|name| (name.clone(), Filling::default())).collect(),
            times: wanted.times.iter().map(|name| (name.clone(), Filling::with_room(expected))).collect(),
            numbers: wanted.numbers.keys().map(|name| (name.clone(), Filling::with_room(expected))).collect(),
            wanted: wanted.clone(),
        }
    }

    pub(super) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of all texts so far.
    pub(super) fn text_bytes(&self) -> u64 {
        let bytes = |filling: &Filling<Option<Ids>>| match &filling.values {
            Some(Ids::Text(texts)) => texts.bytes() as u64,
            _ => 0,
        };
        self.taken_texts + self.ids.values().map(bytes).sum::<u64>()
    }

    /// Takes the rows out: identifiers, times and numbers, each by name. What was counted stays counted.
    pub(super) fn take_rows(&mut self) -> Vec<Values> {
        self.taken_texts = self.text_bytes();
        let ids = self.ids.values_mut().map(|filling| {
            let ids = filling.values.get_or_insert_with(|| Ids::Int(Vec::new()));
            let none = ids.like();
            Values::Ids(std::mem::replace(ids, none))
        });
        let times = self.times.values_mut().map(|filling| Values::Times(std::mem::take(&mut filling.values)));
        let numbers =
            self.numbers.values_mut().map(|filling| Values::Numbers(std::mem::take(&mut filling.values)));
        ids.chain(times).chain(numbers).collect()
    }

    /// Of rows as [`Self::take_rows`] gives them.
    pub(super) fn of(wanted: &Wanted, rows: Vec<Values>) -> Self {
        let mut columns = Self::new(wanted, 0);
        columns.rows = rows.first().map_or(0, |column| column.len() as u64);
        let (mut ids, mut times, mut numbers) =
            (columns.ids.values_mut(), columns.times.values_mut(), columns.numbers.values_mut());
        for column in rows {
            match column {
                Values::Ids(column) => ids.next().map(|filling| filling.values = Some(column)),
                Values::Times(column) => times.next().map(|filling| filling.values = column),
                Values::Numbers(column) => numbers.next().map(|filling| filling.values = column),
                Values::Codes(_) | Values::Said(_) => None,
            };
        }
        columns
    }

    /// Takes over the wanted columns of a batch.
    pub(super) fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        let table = self.wanted.table;
        let find = |name: &ColumnName| {
            let found = batch.column_by_name(name.as_str());
            found.ok_or_else(|| Failure::at(Code::ColumnMissing, pointer(table, name), "a column", "none"))
        };
        for (name, filling) in &mut self.ids {
            append_ids(filling, find(name)?, self.expected)
                .map_err(|unfit| unfit.refusal(table, name, self.rows))?;
        }
        for (name, filling) in &mut self.times {
            append_times(filling, find(name)?).map_err(|unfit| unfit.refusal(table, name, self.rows))?;
        }
        for (name, filling) in &mut self.numbers {
            append_numbers(filling, find(name)?).map_err(|unfit| unfit.refusal(table, name, self.rows))?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Refuses nulls and numbers that are not finite, naming and counting them by column.
    pub(super) fn require_whole(&self) -> Result<()> {
        let table = self.wanted.table;
        let mut nulls = Problems::default();
        let mut require_none = |name: &ColumnName, count: usize| {
            nulls.require(count == 0, pointer(table, name), "a value in every row", format!("{count} nulls"));
        };
        self.ids.iter().for_each(|(name, filling)| require_none(name, filling.nulls));
        self.times.iter().for_each(|(name, filling)| require_none(name, filling.nulls));
        for (name, filling) in &self.numbers {
            let may_be_null = self.wanted.numbers.get(name).copied().unwrap_or_default();
            require_none(name, if may_be_null { 0 } else { filling.nulls });
        }
        nulls.refuse(Code::NullNotAllowed, table)?;
        let mut strange = Problems::default();
        for (name, filling) in &self.numbers {
            let count = filling.not_finite;
            strange.require(count == 0, pointer(table, name), "finite numbers", format!("{count} others"));
        }
        // Advice that ends in the refusal of nulls above would send whoever follows it in a circle.
        let nulls_help = self
            .numbers
            .iter()
            .filter(|(_, filling)| filling.not_finite > 0)
            .all(|(name, _)| self.wanted.numbers.get(name).copied().unwrap_or_default());
        let hint = if nulls_help {
            "Write a missing value as null; NaN and infinities are not taken."
        } else {
            "Fill or drop these rows before building: a column that a window or a weight is computed of takes no nulls \
             either."
        };
        strange.refuse(Code::NonFiniteInput, table).map_err(|failure| failure.with_hint(hint))
    }

    /// A column of identifiers; where there is no row at all they are numbers.
    pub(super) fn take_ids(&mut self, name: &ColumnName) -> Result<Ids> {
        let filling = self.ids.remove(name).ok_or_else(|| unasked(name))?;
        Ok(filling.values.unwrap_or_else(|| Ids::Int(Vec::new())))
    }

    /// A column of identifiers that stays here.
    pub(super) fn ids(&self, name: &ColumnName) -> Result<Ids> {
        let filling = self.ids.get(name).ok_or_else(|| unasked(name))?;
        Ok(filling.values.clone().unwrap_or_else(|| Ids::Int(Vec::new())))
    }

    /// Takes a column of times, in nanoseconds since the epoch.
    pub(super) fn take_times(&mut self, name: &ColumnName) -> Result<Vec<i64>> {
        self.times.remove(name).map(|filling| filling.values).ok_or_else(|| unasked(name))
    }

    /// A column of times, in nanoseconds since the epoch.
    pub(super) fn times(&self, name: &ColumnName) -> Result<&[i64]> {
        self.times.get(name).map(|filling| filling.values.as_slice()).ok_or_else(|| unasked(name))
    }

    /// A column of numbers; NaN where it was null.
    pub(super) fn take_numbers(&mut self, name: &ColumnName) -> Result<Vec<f64>> {
        self.numbers.remove(name).map(|filling| filling.values).ok_or_else(|| unasked(name))
    }
}

fn unasked(name: &ColumnName) -> Failure {
    Failure::new(Code::InternalError, format!("column {name} was not asked for"))
}

/// Values of a batch that do not fit.
struct Unfit {
    expected: String,
    /// The first row of the batch with such a value, where it is known.
    row: Option<usize>,
}

impl Unfit {
    fn new(expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), row: None }
    }

    fn at(row: usize, expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), row: Some(row) }
    }

    /// The refusal of a column, of which so many rows came before the batch.
    fn refusal(self, table: &str, name: &ColumnName, before: u64) -> Failure {
        let found = self.row.map_or_else(
            || "others".to_owned(),
            |row| format!("another in row {}, counted from 0", before + row as u64),
        );
        Failure::at(Code::ColumnTypeInvalid, pointer(table, name), self.expected, found)
    }
}

/// Converts an array, refusing values that do not fit.
fn convert<T: ArrowPrimitiveType>(array: &ArrayRef, to: &DataType) -> Option<PrimitiveArray<T>> {
    cast_exactly(array, to)?.as_primitive_opt::<T>().cloned()
}

fn cast_exactly(array: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() }).ok()
}

/// The type of the values, whether or not they stand in a dictionary.
fn value_type(data_type: &DataType) -> &DataType {
    if let DataType::Dictionary(_, values) = data_type { values } else { data_type }
}

fn append_ids(filling: &mut Filling<Option<Ids>>, array: &ArrayRef, expected: usize) -> Result<(), Unfit> {
    filling.nulls += array.logical_null_count();
    let alike = if value_type(array.data_type()).is_integer() {
        let numbers =
            convert::<Int64Type>(array, &DataType::Int64).ok_or_else(|| Unfit::new("integers below 2^63"))?;
        match filling.values.get_or_insert_with(|| Ids::Int(Vec::with_capacity(expected))) {
            Ids::Int(values) => {
                values.extend_from_slice(numbers.values());
                true
            }
            Ids::Text(_) => false,
        }
    } else {
        let texts = cast_exactly(array, &DataType::Utf8View).ok_or_else(|| Unfit::new("text"))?;
        let texts = texts.as_string_view_opt().ok_or_else(|| Unfit::new("text"))?;
        if let Some(row) = texts.iter().position(|text| text.is_some_and(|text| text.len() > MAX_ID_BYTES)) {
            return Err(Unfit::at(row, format!("texts of at most {MAX_ID_BYTES} bytes")));
        }
        // Who hands over Arrow arrays vouches for their texts, and nobody checked.
        let broken = |text: &str| std::str::from_utf8(text.as_bytes()).is_err();
        if let Some(row) = texts.iter().position(|text| text.is_some_and(broken)) {
            return Err(Unfit::at(row, "text in UTF-8"));
        }
        match filling.values.get_or_insert_with(|| Ids::Text(Texts::default())) {
            Ids::Text(all) => {
                texts.iter().for_each(|text| all.push(text.unwrap_or_default()));
                true
            }
            Ids::Int(_) => false,
        }
    };
    if alike { Ok(()) } else { Err(Unfit::new("either integers or text, the same in every batch")) }
}

fn append_times(filling: &mut Filling<Vec<i64>>, array: &ArrayRef) -> Result<(), Unfit> {
    filling.nulls += array.logical_null_count();
    let zone = match value_type(array.data_type()) {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let times = convert::<TimestampNanosecondType>(array, &DataType::Timestamp(TimeUnit::Nanosecond, zone))
        .ok_or_else(|| Unfit::new("times between the years 1678 and 2262"))?;
    filling.values.extend_from_slice(times.values());
    Ok(())
}

fn append_numbers(filling: &mut Filling<Vec<f64>>, array: &ArrayRef) -> Result<(), Unfit> {
    filling.nulls += array.logical_null_count();
    let numbers = convert::<Float64Type>(array, &DataType::Float64).ok_or_else(|| Unfit::new("numbers"))?;
    let inexact = |number: &f64| number.abs() > MAX_EXACT;
    if value_type(array.data_type()).is_integer()
        && let Some(row) = numbers.values().iter().position(inexact)
    {
        return Err(Unfit::at(row, "whole numbers below 2^53, beyond which a 64-bit float rounds"));
    }
    // Adding 0.0 makes -0.0 positive: equal content, equal bytes.
    if numbers.null_count() == 0 {
        filling.not_finite += numbers.values().iter().filter(|number| !number.is_finite()).count();
        filling.values.extend(numbers.values().iter().map(|number| number + 0.0));
        return Ok(());
    }
    filling.not_finite += numbers.iter().flatten().filter(|number| !number.is_finite()).count();
    filling.values.extend(numbers.iter().map(|number| number.map_or(f64::NAN, |number| number + 0.0)));
    Ok(())
}
