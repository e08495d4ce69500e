//! UTC timestamps as documents write them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Code, Failure, Result};

/// Nanoseconds of a day: UTC has no other days.
pub const DAY: i64 = 86_400_000_000_000;

/// What a moment looks like, as schemas say it.
pub(crate) const PATTERN: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\\.[0-9]{1,9})?Z$";
/// What a moment looks like, as refusals say it.
pub(crate) const FORM: &str = "RFC 3339 in UTC, such as 2018-08-15T00:00:00Z";

/// Which moments there are, as refusals say it: what nanoseconds in 64 bits reach.
const RANGE: &str = "a moment from the year 1678 to 2262-04-11";

/// A moment in UTC, with nanoseconds, between the years 1678 and 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many nanoseconds after 1970-01-01T00:00:00Z.
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub const fn nanoseconds(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_err(|_| fmt::Error)?;
        write!(f, "{moment}")
    }
}

impl FromStr for Timestamp {
    type Err = Failure;

    /// Reads RFC 3339 with `Z`. A naive time, another offset and a leap second are refused.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |expected, found| Failure::at(Code::DocumentInvalid, "timestamp", expected, found);
        let of_another_form = || {
            let found = match text.parse::<jiff::Timestamp>() {
                Ok(_) if !text.ends_with(['Z', 'z']) => "a time with an offset".to_owned(),
                Err(_) if text.parse::<jiff::civil::DateTime>().is_ok() => "a time without a zone".to_owned(),
                _ => format!("a string of {} characters", text.chars().count()),
            };
            refuse(FORM, found).with_hint("Write times in UTC with a Z; a naive time has no meaning.")
        };
        let bytes = text.as_bytes();
        let shape =
            bytes.len() >= 20 && bytes[10] == b'T' && bytes.ends_with(b"Z") && &bytes[17..19] != b"60";
        if !shape {
            return Err(of_another_form());
        }
        let moment: jiff::Timestamp = text.parse().map_err(|_| of_another_form())?;
        i64::try_from(moment.as_nanosecond())
            .map(Self)
            .map_err(|_| refuse(RANGE, "one outside of it".to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?
            .parse()
            .map_err(|failure: Failure| D::Error::custom(failure.detail))
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A pattern cannot count the days of a month; the format does, for readers that look at it.
        json_schema!({ "type": "string", "pattern": PATTERN, "format": "date-time" })
    }
}

/// A half-open stretch of time: `start` is in, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// First moment inside.
    pub start: Timestamp,
    /// First moment after.
    pub end: Timestamp,
}

impl TimeWindow {
    /// Whether the moment lies inside.
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.start <= moment && moment < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_out() {
        for (input, output) in [
            ("2018-08-15T00:00:00Z", "2018-08-15T00:00:00Z"),
            ("2018-08-15T00:00:00.500000000Z", "2018-08-15T00:00:00.5Z"),
        ] {
            assert_eq!(input.parse::<Timestamp>().unwrap().to_string(), output);
        }
    }

    #[test]
    fn ambiguous_times_are_refused() {
        for bad in [
            "2018-08-15T00:00:00",
            "2018-08-15T00:00:00+02:00",
            "2018-08-15",
            "2018-08-15T23:59:60Z",
            "2018-08-15 00:00:00Z",
            "9999-01-01T00:00:00Z",
            "2018-02-30T00:00:00Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong_with_a_time() {
        for (bad, expected, found) in [
            ("2263-01-01T00:00:00Z", RANGE, "one outside of it"),
            ("2999-01-01T00:00:00Z", RANGE, "one outside of it"),
            ("1677-01-01T00:00:00Z", RANGE, "one outside of it"),
            ("2018-08-15T00:00:00+01:00", FORM, "a time with an offset"),
            ("2018-08-15T00:00:00", FORM, "a time without a zone"),
            ("2018-08-15", FORM, "a time without a zone"),
            ("yesterday", FORM, "a string of 9 characters"),
        ] {
            let detail = bad.parse::<Timestamp>().unwrap_err().detail;
            assert_eq!(detail, format!("timestamp should be {expected}, found {found}"), "{bad}");
        }
    }
}
