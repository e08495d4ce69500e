//! The one error type of the core.
//!
//! A failure says which promise was not kept (`code`), where (`problems`, by JSON pointer), what was
//! expected, the *shape* of what was found (never its value: values may be personal data), and what
//! to do (`hint`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;

/// Result of every fallible function of the core.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// One place in a document or dataset that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// JSON pointer into the document, or the column or argument in question.
    pub pointer: String,
    /// What was expected there.
    pub expected: String,
    /// The shape of what was found there.
    pub found: String,
}

/// A refusal with its stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What happened, in a sentence, without values of the data.
    pub detail: String,
    /// Every place found wrong, all at once.
    pub problems: Vec<Problem>,
    hint: Option<String>,
    lasting: bool,
}

impl Failure {
    /// A failure with its code and what happened.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), problems: Vec::new(), hint: None, lasting: false }
    }

    /// A failure at one named place.
    pub fn at(
        code: Code,
        pointer: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let problem = Problem { pointer: pointer.into(), expected: expected.into(), found: found.into() };
        Self { code, detail: sentence(&problem), problems: vec![problem], hint: None, lasting: false }
    }

    /// The same failure of one place, under the name by which the caller knows that place.
    #[must_use]
    pub fn with_place(mut self, pointer: impl Into<String>) -> Self {
        if let [problem] = &mut self.problems[..] {
            problem.pointer = pointer.into();
            self.detail = sentence(problem);
        }
        self
    }

    /// The same failure under the code of the place where it was met.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Replaces the code's own hint by a better one.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the places found wrong.
    #[must_use]
    pub fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// The same failure where waiting mends nothing, whatever its code says: a place that refuses who asks is no more
    /// there for them than one that is away, and stays so.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.lasting = true;
        self
    }

    /// What the caller can do.
    pub fn hint(&self) -> &str {
        self.hint.as_deref().unwrap_or_else(|| self.code.hint())
    }

    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        self.code.retryable() && !self.lasting
    }
}

fn sentence(problem: &Problem) -> String {
    format!("{} should be {}, found {}", problem.pointer, problem.expected, problem.found)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)?;
        for problem in self.problems.iter().filter(|_| self.problems.len() > 1) {
            write!(f, "\n  at {}: expected {}, found {}", problem.pointer, problem.expected, problem.found)?;
        }
        write!(f, "\n  hint: {}", self.hint())
    }
}
