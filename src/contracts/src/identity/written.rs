//! What people write: strict JSON, or TOML that is read into the same values.
//!
//! Invariant: what comes out is within the bounds of [`canonical`], whatever went in.

use serde_json::{Map, Number, Value};

use super::canonical;
use crate::{Code, Failure, Result};

/// Reads TOML; refuses with `DOCUMENT_INVALID`, naming the line. A native date or time is the text that it stands for.
pub fn read_toml(bytes: &[u8]) -> Result<Value> {
    canonical::check_size(bytes)?;
    let text = canonical::utf8(bytes)?;
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        Failure::new(Code::DocumentInvalid, format!("not well-formed TOML at line {line}"))
    })?;
    let value = plain(toml::Value::Table(table), "")?;
    canonical::read(&canonical::to_bytes(&value)?)
}

fn plain(value: toml::Value, pointer: &str) -> Result<Value> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Number::from_f64(number).map(Value::Number).ok_or_else(|| {
            Failure::at(Code::DocumentInvalid, pointer, "a finite number", "NaN or an infinity")
        })?,
        toml::Value::Boolean(truth) => Value::Bool(truth),
        toml::Value::Datetime(moment) => Value::String(moment.to_string()),
        toml::Value::Array(values) => {
            let values = values.into_iter().enumerate();
            values.map(|(index, value)| plain(value, &format!("{pointer}/{index}"))).collect::<Result<_>>()?
        }
        toml::Value::Table(table) => {
            let field = |(key, value)| {
                let value = plain(value, &format!("{pointer}/{key}"))?;
                Ok((key, value))
            };
            Value::Object(table.into_iter().map(field).collect::<Result<Map<_, _>>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_date_is_the_text_that_it_stands_for() {
        let value =
            read_toml(b"a = 2024-01-15T00:00:00Z\nb = [2024-01-15 01:02:03.5Z]\nc = 2024-01-15").unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "a": "2024-01-15T00:00:00Z",
                "b": ["2024-01-15T01:02:03.5Z"],
                "c": "2024-01-15",
            })
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_line_or_place_and_nothing_is_too_deep() {
        let detail = |text: &[u8]| {
            let failure = read_toml(text).unwrap_err();
            assert_eq!(failure.code, Code::DocumentInvalid);
            failure.detail
        };
        assert_eq!(detail(b"a = 1\nb = \nc = 2"), "not well-formed TOML at line 2");
        assert_eq!(detail(b"a = 1\na = 2"), "not well-formed TOML at line 2");
        assert!(detail(b"a = [1, {b = nan}]").starts_with("/a/1/b should be a finite number"));
        assert!(detail(b"a = 9007199254740993").contains("2^53"));
        assert!(detail(b"\xff").contains("UTF-8"));
        for depth in [65, 5_000] {
            detail(format!("a = {}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes());
        }
    }
}
