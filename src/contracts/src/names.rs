//! Checked strings: an identifier of one kind cannot be passed for another.
//!
//! Identifiers that become part of a path match one ASCII grammar, contain no `..` and are compared byte for
//! byte, so that look-alikes, case twins and escapes have no way in.

use crate::Result;

/// Whether the text is one safe path segment: `^[A-Za-z0-9][A-Za-z0-9_.:=-]{0,127}$` without `..`.
fn is_segment(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(first) if first.is_ascii_alphanumeric())
        && bytes.len() <= 128
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_.:=-".contains(b))
        && !text.contains("..")
}

pub(crate) fn is_prefixed_hex(text: &str, prefix: &str, digits: usize) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|hex| hex.len() == digits && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Makes checked strings of the kinds listed.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $code:ident, $longest:literal, $pattern:literal, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize)]
        pub struct $name(String);

        impl $name {
            /// Checks the text.
            pub fn new(text: impl Into<String>) -> $crate::Result<Self> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    Err($crate::Failure::at($crate::Code::$code, $what, concat!("text of the form ", $pattern), format!("a string of {} characters", text.chars().count())))
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Failure;

            fn from_str(text: &str) -> $crate::Result<Self> {
                Self::new(text)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                Self::new(<String as ::serde::Deserialize>::deserialize(deserializer)?).map_err(|failure| <D::Error as ::serde::de::Error>::custom(failure.detail))
            }
        }

        impl ::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!({ "type": "string", "maxLength": $longest, "pattern": $pattern })
            }
        }
    )*};
}

pub(crate) use names;

names! {
    /// A name that may become one segment of a path: ids, revisions, scopes, families.
    Name, "name", DocumentInvalid, 128, "^[A-Za-z0-9][A-Za-z0-9_:=-]*(?:\\.[A-Za-z0-9_:=-]+)*\\.?$", is_segment;
    /// The platform run under whose prefix everything of a run is stored.
    PlatformRunId, "platform_run_id", RunScopeInvalid, 128, "^[A-Za-z0-9][A-Za-z0-9_:=-]*(?:\\.[A-Za-z0-9_:=-]+)*\\.?$", is_segment;
    /// The caller's name for one request.
    RequestId, "request_id", RequestIdInvalid, 128, "^[A-Za-z0-9_.:-]{8,128}$",
        |text| (8..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
    /// Who acts: a user or a service.
    Principal, "principal", DocumentInvalid, 128, "^[A-Za-z0-9][A-Za-z0-9_.:@=/-]{0,127}$",
        |text| matches!(text.bytes().next(), Some(first) if first.is_ascii_alphanumeric()) && text.len() <= 128
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:@=/-".contains(&b));
    /// A column's name: printable ASCII.
    ColumnName, "column name", DocumentInvalid, 128, "^[!-~](?:[ -~]{0,126}[!-~])?$",
        |text| (1..=128).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.trim() == text;
    /// A key in the object store: safe segments joined by slashes. References carry it as their uri, so no
    /// identity ever holds a path, a host or the store's root.
    ObjectKey, "uri", StoreKeyInvalid, 2_063, "^[A-Za-z0-9][A-Za-z0-9_:=-]*(?:\\.[A-Za-z0-9_:=-]+)*\\.?(?:/[A-Za-z0-9][A-Za-z0-9_:=-]*(?:\\.[A-Za-z0-9_:=-]+)*\\.?){0,15}$",
        |text| text.split('/').count() <= 16 && text.split('/').all(is_segment);
    /// A length of time in whole seconds, minutes, hours or days, such as `30d`.
    Span, "span", DocumentInvalid, 7, "^(?:0|[1-9][0-9]{0,5})[smhd]$", |text| span_seconds(text).is_some();
}

impl Span {
    /// No time at all.
    pub fn zero() -> Self {
        Self("0s".to_owned())
    }

    /// The length in seconds.
    pub fn seconds(&self) -> i64 {
        span_seconds(&self.0).unwrap_or_default()
    }

    /// The length in nanoseconds.
    pub fn nanoseconds(&self) -> i64 {
        self.seconds().saturating_mul(1_000_000_000)
    }
}

fn span_seconds(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let plain = (1..=6).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse::<i64>().ok().map(|count| count * unit)).flatten()
}

impl ObjectKey {
    /// The key one segment below this one.
    pub fn join(&self, segment: &str) -> Result<Self> {
        Self::new(format!("{}/{segment}", self.0))
    }

    /// The first segment: the platform run that owns the object, or `registry`.
    pub fn owner(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn paths_cannot_leave_the_store() {
        for bad in [
            "", "/a", "a/", "a//b", "../a", "a/../b", "a/..", "a..b", ".a", "a/.b", "a\\b", "a b", "ä",
            "a\0", "%2e%2e/a", "-a",
        ] {
            assert_eq!(ObjectKey::new(bad).unwrap_err().code, Code::StoreKeyInvalid, "{bad:?}");
        }
        assert!(ObjectKey::new("run-1/ofs/part=0.parquet").is_ok());
        assert_eq!(PlatformRunId::new("../up").unwrap_err().code, Code::RunScopeInvalid);
        assert_eq!(RequestId::new("short").unwrap_err().code, Code::RequestIdInvalid);
    }

    #[test]
    fn spans_are_whole_and_have_one_spelling() {
        assert_eq!(Span::new("7d").unwrap().nanoseconds(), 7 * 86_400 * 1_000_000_000);
        for bad in ["", "d", "07d", "1.5h", "-1d", "1w", "1234567s", "７d"] {
            assert!(Span::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_does_not_quote_the_value() {
        assert!(!Principal::new("secret person").unwrap_err().to_string().contains("secret"));
    }
}
