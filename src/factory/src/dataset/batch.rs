//! Values of a column out of a batch of decoded rows, and how a partition is refused.

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use contracts::{Code, Failure, Result, dataset_manifest::Column};

use super::{ids::Ids, layout::OUTCOMES, table::LabelOutcome};

/// Rows decoded at a time: few enough that the columns of a batch stay in a core's second cache until they are looked at
/// and taken over, so that nothing but the values that stay is written to memory.
pub(super) const BATCH_ROWS: usize = 1 << 13;

/// A column and what its values should have been.
pub(super) type Wrong<'a> = (&'a Column, &'static str);

/// A partition that is not what its manifest says, and where.
pub(super) fn invalid(place: &str, expected: &str, found: &str) -> Failure {
    Failure::at(Code::PartitionInvalid, place, expected, found)
}

pub(super) fn invalid_column(place: &str, (column, expected): Wrong<'_>) -> Failure {
    invalid(&format!("{place}/{}", column.name), expected, "other values")
}

/// A column of a batch as an array of its type.
pub(super) fn array<'a, 'b, T: 'static>(
    column: &'a Column,
    batch: &'b RecordBatch,
) -> Result<&'b T, Wrong<'a>> {
    let found = batch.column_by_name(column.name.as_str()).and_then(|array| array.as_any().downcast_ref());
    found.ok_or((column, "the type that the manifest says"))
}

/// Its times, in nanoseconds.
pub(super) fn times<'a, 'b>(
    column: &'a Column,
    batch: &'b RecordBatch,
) -> Result<&'b TimestampNanosecondArray, Wrong<'a>> {
    array(column, batch)
}

/// What became known of each row.
pub(super) fn outcomes<'a>(column: &'a Column, batch: &RecordBatch) -> Result<Vec<LabelOutcome>, Wrong<'a>> {
    let texts: &StringArray = array(column, batch)?;
    // Most rows have the outcome of the row before.
    let mut last = 0;
    let outcome = |text: &str| {
        if OUTCOMES[last] != text {
            let position = OUTCOMES.iter().position(|outcome| *outcome == text);
            last = position.ok_or((column, "known outcomes"))?;
        }
        Ok(LabelOutcome::ALL[last])
    };
    texts.iter().flatten().map(outcome).collect()
}

/// Appends the ids of a column.
pub(super) fn append_ids<'a>(
    ids: &mut Ids,
    column: &'a Column,
    batch: &RecordBatch,
) -> Result<(), Wrong<'a>> {
    match ids {
        Ids::Int(values) => {
            let array: &Int64Array = array(column, batch)?;
            values.extend_from_slice(array.values());
        }
        Ids::Text(texts) => {
            let array: &StringArray = array(column, batch)?;
            array.iter().flatten().for_each(|text| texts.push(text));
        }
    }
    Ok(())
}

/// The numbers of a column, NaN where there is none: where they are, or in the room given.
pub(super) fn numbers<'a, 'b>(
    column: &'a Column,
    batch: &'b RecordBatch,
    room: &'b mut Vec<f64>,
) -> Result<&'b [f64], Wrong<'a>> {
    let array: &Float64Array = array(column, batch)?;
    let infinite = Err((column, "finite numbers, or null"));
    if array.null_count() == 0 {
        // Without a branch for each number, so that several are looked at together.
        let finite = array.values().iter().fold(true, |finite, number| finite & number.is_finite());
        return if finite { Ok(array.values()) } else { infinite };
    }
    if array.iter().flatten().any(|value| !value.is_finite()) {
        return infinite;
    }
    room.clear();
    room.extend(array.iter().map(|value| value.unwrap_or(f64::NAN)));
    Ok(room)
}
