//! Why somebody acted, in their own words: kept for good, and shown to whoever reads the history.

use std::str::FromStr;

use crate::{Code, Failure, Result};

/// Characters of the longest reason, as the registry's events hold it.
const LONGEST: usize = 2_000;

/// Text of one line, in which no character does anything but stand there.
///
/// It is the door for what is said from now on. Documents and ledgers hold reasons as they were given, also those from
/// before this rule, so that a history stays readable: who shows one takes care of what may be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Refuses with `PARAMETER_INVALID` a text of another length, and one with a character that steers a terminal or
    /// turns the order of what is shown.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let characters = text.chars().count();
        let found = match text.chars().position(steers) {
            Some(place) => format!("a control character at place {}", place + 1),
            None if (1..=LONGEST).contains(&characters) => return Ok(Self(text)),
            None => format!("{characters} characters"),
        };
        let expected = "1 to 2,000 characters of one line, without control characters";
        Err(Failure::at(Code::ParameterInvalid, "reason", expected, found))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

/// Control characters, among them line breaks; the separators of lines and paragraphs; and the controls of Unicode's
/// bidirectional algorithm that embed, override and isolate.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_text_of_any_language_on_one_line() {
        for good in ["x", "ein Grund – déjà vu", "理由", "سبب", "👩‍💻", &"ä".repeat(2_000)] {
            assert_eq!(Reason::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_steers_a_terminal_is_refused_by_its_place_and_never_shown() {
        let steering = ('\0'..=char::MAX).filter(|&each| steers(each));
        // C0, DEL and C1; two separators; five embeddings and overrides; four isolates.
        assert_eq!(steering.clone().count(), 65 + 2 + 5 + 4);
        for each in steering {
            let failure = Reason::new(format!("wórds{each}secret")).unwrap_err();
            assert_eq!(failure.code, Code::ParameterInvalid);
            assert_eq!(failure.problems[0].found, "a control character at place 6");
            assert!(!failure.to_string().contains(each) || each == '\n');
            assert!(!failure.to_string().contains("secret"));
        }
        for (text, found) in [(String::new(), "0 characters"), ("x".repeat(2_001), "2001 characters")] {
            assert_eq!(Reason::new(text).unwrap_err().problems[0].found, found);
        }
    }
}
