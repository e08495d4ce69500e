//! Strict JSON in, canonical JSON (RFC 8785) out.
//!
//! JCS alone maps 2^53 + 1 and 2^53 to one text, and serde keeps the last of two equal keys: two documents
//! would share one digest. So the reader refuses, before anything is built: more than 16 MiB, nesting above
//! 64, and integers beyond ±(2^53 - 1); and while building: duplicate keys.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use super::{finite, place};
use crate::{Code, Failure, Problems, Result};

/// Largest document that is read, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;
/// Largest integer that every JSON reader keeps exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Reads strict JSON; refuses with `DOCUMENT_INVALID`.
pub fn read(bytes: &[u8]) -> Result<Value> {
    check_size(bytes)?;
    let text = utf8(bytes)?;
    scan(text)?;
    serde_json::from_str::<Strict>(text).map(|strict| strict.0).map_err(|error| {
        refuse(format!(
            "not well-formed JSON at line {}, column {}: {}",
            error.line(),
            error.column(),
            kind(&error)
        ))
    })
}

pub(super) fn check_size(bytes: &[u8]) -> Result<()> {
    if bytes.len() <= MAX_BYTES {
        return Ok(());
    }
    Err(refuse(format!("a document has at most {MAX_BYTES} bytes, and this has more")))
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| refuse(format!("a document is UTF-8 text: {error}")))
}

fn refuse(detail: String) -> Failure {
    Failure::new(Code::DocumentInvalid, detail)
}

/// Canonical bytes of a value; refuses NaN and infinities with `NON_FINITE_INPUT`.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    finite::check(value)
        .map_err(|error| Failure::new(Code::NonFiniteInput, format!("no canonical form: {error}")))?;
    let bytes = serde_json_canonicalizer::to_vec(value)
        .map_err(|error| Failure::new(Code::NonFiniteInput, format!("no canonical form: {error}")))?;
    scan(utf8(&bytes)?)?;
    Ok(bytes)
}

/// serde's own texts can quote a value; only our own refusals are passed on.
fn kind(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (error.classify(), text.starts_with("duplicate key")) {
        (serde_json::error::Category::Data, true) => "duplicate key in an object".to_owned(),
        (serde_json::error::Category::Eof, _) => "the text ends too early".to_owned(),
        _ => "syntax".to_owned(),
    }
}

/// Checks depth and integer size outside strings without building anything.
fn scan(text: &str) -> Result<()> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut position = 0;
    while let Some(&byte) = bytes.get(position) {
        match byte {
            b'"' => position = string_end(bytes, position),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(refuse(format!("a document nests at most {MAX_DEPTH} deep")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let end = bytes[position..]
                    .iter()
                    .position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .map_or(bytes.len(), |length| position + length);
                if !is_exact(&bytes[position..end]) {
                    return Err(inexact(&place::pointer(text, end)));
                }
                position = end - 1;
            }
            _ => {}
        }
        position += 1;
    }
    Ok(())
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(&byte) = bytes.get(position) {
        match byte {
            b'"' => break,
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
    position
}

/// Whether every reader keeps the number as it is written; a fraction is rounded by all alike.
fn is_exact(token: &[u8]) -> bool {
    if token.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        return true;
    }
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    digits.len() <= 16
        && std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .is_none_or(|n| n <= MAX_INTEGER)
}

fn inexact(pointer: &str) -> Failure {
    let mut problems = Problems::default();
    problems.add(pointer, "an integer within 2^53 - 1, which every reader keeps exactly", "a larger one");
    problems.into_failure(Code::DocumentInvalid, "a document")
}

/// A value read with duplicate keys refused.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(Value::Bool(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(Value::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(Value::from(value)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Strict, E> {
        // JSON has one kind of number: 10.0 is the integer that its canonical form says.
        if value.fract() == 0.0 && value.abs() <= MAX_INTEGER as f64 {
            return Ok(Strict(Value::from(value as i64)));
        }
        Number::from_f64(value)
            .map(|number| Strict(Value::Number(number)))
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(Value::String(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Strict, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = sequence.next_element()? {
            values.push(value);
        }
        Ok(Strict(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.insert(key, value).is_some() {
                return Err(de::Error::custom("duplicate key"));
            }
        }
        Ok(Strict(Value::Object(map)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(to_bytes(&read(text.as_bytes()).unwrap()).unwrap()).unwrap()
    }

    /// RFC 8785, section 3.2.2 and 3.2.3.
    #[test]
    fn rfc_8785_sample_document() {
        let input = r#"{
          "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
          "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
          "literals": [null, true, false]
        }"#;
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(input), expected);
    }

    /// RFC 8785, section 3.2.3: keys sort by UTF-16 code units.
    #[test]
    fn rfc_8785_key_order() {
        let input = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
          "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\
                        \"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(canonical(input), expected);
    }

    /// RFC 8785, appendix B.
    #[test]
    fn rfc_8785_numbers() {
        let vectors: [(u64, &str); 22] = [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ];
        for (bits, text) in vectors {
            let bytes = serde_json_canonicalizer::to_vec(&f64::from_bits(bits)).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }

    #[test]
    fn refuses_what_two_documents_could_share() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        for text in [
            "{\"a\":1,\"a\":2}",
            "9007199254740993",
            "-9007199254740992",
            "18446744073709551617",
            &deep,
            "{\"a\":",
            "nul",
            "1e999",
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().code, Code::DocumentInvalid, "{text}");
        }
        assert_eq!(to_bytes(&f64::NAN).unwrap_err().code, Code::NonFiniteInput);
        assert_eq!(to_bytes(&Some(f64::INFINITY)).unwrap_err().code, Code::NonFiniteInput);
        assert_eq!(to_bytes(&u64::MAX).unwrap_err().code, Code::DocumentInvalid);
    }

    #[test]
    fn an_integer_that_is_too_large_is_named_by_its_place() {
        for (text, pointer) in [
            ("9007199254740993", ""),
            ("{\"a\": [1, {\"b\": -9007199254740992, \"c\": 1}]}", "/a/1/b"),
            ("{\"9007199254740993\": 1,\n \"n\":\n 18446744073709551617}", "/n"),
        ] {
            let failure = read(text.as_bytes()).unwrap_err();
            assert_eq!(failure.problems[0].pointer, pointer, "{text}");
        }
        let written = to_bytes(&BTreeMap::from([("seed", u64::MAX)])).unwrap_err();
        assert_eq!(written.problems[0].pointer, "/seed");
    }

    #[test]
    fn a_refusal_does_not_quote_the_document() {
        let failure = read(b"{\"card\": 4111111111111111 x}").unwrap_err();
        assert!(!failure.to_string().contains("4111"), "{failure}");
    }

    proptest! {
        #[test]
        fn canonical_bytes_read_back_to_themselves(value in any_value()) {
            let bytes = to_bytes(&value).unwrap();
            prop_assert_eq!(to_bytes(&read(&bytes).unwrap()).unwrap(), bytes);
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1_i64 << 53) + 1..(1_i64 << 53)).prop_map(Value::from),
            any::<f64>()
                .prop_filter("finite, and no integer beyond 2^53", |x| x.is_finite()
                    && (x.abs() < 9e15 || x.abs() >= 1e21))
                .prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
