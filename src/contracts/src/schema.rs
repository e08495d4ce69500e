//! The one door for documents: bytes in, a checked value out.
//!
//! ```text
//!   bytes ──► strict JSON ──► JSON Schema (all errors at once) ──► type ──► its own checks ──► Checked<D>
//!     └──────────────────────► known: the very bytes went through lately ───────────────────────┘
//! ```
//!
//! Invariant: a `Checked<D>` satisfies the schema and the checks of `D`, and its bytes are canonical.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    ops::Deref,
    sync::{Arc, Mutex},
};

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

use crate::{
    Code, Failure, Problem, Result,
    identity::{canonical, digest::Digest, place},
    known, time,
};

/// Something that stands in the store, with the codes of what can be wrong with it.
pub trait Artifact: Sized {
    /// Name in schema versions, file names and errors.
    const NAME: &'static str;
    /// Its content is not what it should be.
    const INVALID: Code;
    /// It is not there.
    const UNRESOLVED: Code;
    /// Its bytes are not those that were pinned.
    const MISMATCH: Code;
    /// Other bytes already stand where it should go.
    const VIOLATION: Code;
}

/// Says what an artifact is called and which codes speak of it, beside the type itself.
macro_rules! artifact {
    ($kind:ty, $name:literal, $invalid:ident, $unresolved:ident, $mismatch:ident, $violation:ident) => {
        impl $crate::schema::Artifact for $kind {
            const NAME: &'static str = $name;
            const INVALID: $crate::Code = $crate::Code::$invalid;
            const UNRESOLVED: $crate::Code = $crate::Code::$unresolved;
            const MISMATCH: $crate::Code = $crate::Code::$mismatch;
            const VIOLATION: $crate::Code = $crate::Code::$violation;
        }
    };
}
pub(crate) use artifact;

/// An artifact that is a JSON document.
pub trait Document:
    Artifact + Serialize + DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static
{
    /// Checks what a schema cannot say, collecting every problem.
    fn check(&self, _problems: &mut Problems) {}

    /// The code that says best what these problems are.
    fn code(_problems: &[Problem]) -> Code {
        Self::INVALID
    }
}

/// The problems found in one document.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a problem.
    pub fn add(&mut self, pointer: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) {
        self.0.push(Problem { pointer: pointer.into(), expected: expected.into(), found: found.into() });
    }

    /// Notes a problem unless the condition holds.
    pub fn require(
        &mut self,
        holds: bool,
        pointer: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        if !holds {
            self.add(pointer, expected, found);
        }
    }

    /// Takes over the problems of a document that stands at this place within the one that is checked.
    pub fn below(&mut self, pointer: &str, inner: Self) {
        self.0.extend(
            inner
                .0
                .into_iter()
                .map(|problem| Problem { pointer: format!("{pointer}{}", problem.pointer), ..problem }),
        );
    }

    /// Notes every element that stands in the list more than once.
    pub fn require_distinct<T: Ord>(&mut self, pointer: &str, items: impl IntoIterator<Item = T>) {
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in items.into_iter().enumerate() {
            self.require(
                seen.insert(item),
                format!("{pointer}/{index}"),
                "an element that stands once",
                "a repetition",
            );
        }
    }
}

impl Problems {
    /// Refuses with `code` if any problem was noted; `name` says what was looked at.
    pub fn refuse(self, code: Code, name: &str) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(self.into_failure(code, name)) }
    }

    /// What was noted as a failure; `name` says what was looked at.
    pub(crate) fn into_failure(self, code: Code, name: &str) -> Failure {
        let problems = self.0;
        let detail = match &problems[..] {
            [only] => format!(
                "{name}: {} should be {}, found {}",
                pointer_text(&only.pointer),
                only.expected,
                only.found
            ),
            several => format!("{name}: {} problems", several.len()),
        };
        Failure::new(code, detail).with_problems(problems)
    }
}

/// A document that went through the door. A clone is the same document, not a copy.
#[derive(Debug)]
pub struct Checked<D>(Arc<Passed<D>>);

#[derive(Debug)]
struct Passed<D> {
    document: D,
    bytes: Vec<u8>,
    digest: Digest<D>,
}

impl<D> Clone for Checked<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: PartialEq> PartialEq for Checked<D> {
    fn eq(&self, other: &Self) -> bool {
        self.0.document == other.0.document && self.0.bytes == other.0.bytes
    }
}

impl<D: Document> Checked<D> {
    /// Checks a value made in code.
    pub fn new(document: D) -> Result<Self> {
        let bytes = canonical::to_bytes(&document)?;
        let digest = Digest::of(&bytes);
        if known::find::<Passed<D>>(digest.as_bytes()).is_some() {
            // What canonical bytes do not tell apart, such as the sign of a zero, stays as it was made.
            return Ok(Self(Arc::new(Passed { document, bytes, digest })));
        }
        Self::validate(&canonical::read(&bytes)?)?;
        Self::finish(document, bytes, digest)
    }

    /// Checks the bytes of a JSON document.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if let Some(passed) = known::find(Digest::<D>::of(bytes).as_bytes()) {
            return Ok(Self(passed));
        }
        let value = canonical::read(bytes).map_err(|failure| failure.with_code(D::INVALID))?;
        Self::from_value(value)
    }

    /// Checks a JSON value.
    #[allow(clippy::needless_pass_by_value, reason = "callers make the value for this call alone")]
    pub fn from_value(value: Value) -> Result<Self> {
        Self::validate(&value)?;
        let document: D =
            typed(&value).map_err(|problem| Problems(vec![problem]).into_failure(D::INVALID, D::NAME))?;
        let bytes = canonical::to_bytes(&document)?;
        let digest = Digest::of(&bytes);
        Self::finish(document, bytes, digest)
    }

    fn validate(value: &Value) -> Result<()> {
        let validator = validator::<D>()?;
        refuse::<D>(found_by(&validator, value))
    }

    fn finish(document: D, bytes: Vec<u8>, digest: Digest<D>) -> Result<Self> {
        let mut problems = Problems::default();
        document.check(&mut problems);
        refuse::<D>(problems.0)?;
        let passed = Arc::new(Passed { document, bytes, digest });
        known::keep(digest.as_bytes(), passed.bytes.len(), &passed);
        Ok(Self(passed))
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The digest of the canonical bytes.
    pub fn digest(&self) -> Digest<D> {
        self.0.digest
    }

    /// The document itself, no longer guarded.
    pub fn into_inner(self) -> D {
        Arc::try_unwrap(self.0).map_or_else(|passed| passed.document.clone(), |passed| passed.document)
    }
}

impl<D> Deref for Checked<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.0.document
    }
}

fn refuse<D: Document>(problems: Vec<Problem>) -> Result<()> {
    let code = if problems.is_empty() { D::INVALID } else { D::code(&problems) };
    Problems(problems).refuse(code, D::NAME)
}

fn pointer_text(pointer: &str) -> &str {
    if pointer.is_empty() { "the document" } else { pointer }
}

/// The JSON Schema of a document, as it stands in `schemas/`.
pub fn schema<D: Document>() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<D>();
    schema.insert("$id".to_owned(), Value::from(format!("model_factory.{}.v1", D::NAME)));
    schema.to_value()
}

/// Reads a part of a document that callers may give on its own; `name` says what it is.
///
/// Refuses with `PARAMETER_INVALID`, showing every problem at once.
pub fn read_part<T: JsonSchema + DeserializeOwned>(name: &'static str, bytes: &[u8]) -> Result<T> {
    let of_part = |failure: Failure| failure.with_code(Code::ParameterInvalid);
    let value = canonical::read(bytes).map_err(of_part)?;
    let validator = compiled(name, || {
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
    })?;
    Problems(found_by(&validator, &value)).refuse(Code::ParameterInvalid, name)?;
    typed(&value).map_err(|problem| Problems(vec![problem]).into_failure(Code::ParameterInvalid, name))
}

/// Reads what passed its schema into its type, or says which place the type does not take.
fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    T::deserialize(value).map_err(|error| {
        // Only a reader of text knows where it stands; below a tagged form it knows the form alone.
        let text = value.to_string();
        let column = serde_json::from_str::<T>(&text).err().map_or(0, |error| error.column());
        let pointer = place::pointer(&text, column);
        let found = value.pointer(&pointer).map(shape).unwrap_or_default();
        // What stands before it in serde's own texts may be the value itself.
        let said = error.to_string();
        let expected = said.rsplit_once(", expected ").map_or(said.as_str(), |(_, expected)| expected);
        Problem { pointer, expected: expected.to_owned(), found }
    })
}

/// Everything that a schema has against a value.
fn found_by(validator: &Validator, value: &Value) -> Vec<Problem> {
    // Whether there is anything is said much sooner than what it is.
    if validator.is_valid(value) {
        return Vec::new();
    }
    let mut problems: Vec<_> = validator.iter_errors(value).flat_map(|error| explain(&error)).collect();
    // Form and meaning of a moment are two rules of one place.
    problems.dedup();
    problems
}

static VALIDATORS: Mutex<BTreeMap<&'static str, Arc<Validator>>> = Mutex::new(BTreeMap::new());

fn validator<D: Document>() -> Result<Arc<Validator>> {
    compiled(D::NAME, schema::<D>)
}

/// The validator of this name, compiled once, or by each who finds another at the others: a process that was forked while a
/// thread had them locked would wait for good.
fn compiled(name: &'static str, schema: impl FnOnce() -> Value) -> Result<Arc<Validator>> {
    let free = || VALIDATORS.try_lock().ok();
    if let Some(validator) = free().and_then(|validators| validators.get(name).cloned()) {
        return Ok(validator);
    }
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .with_format("date-time", |text: &str| text.parse::<time::Timestamp>().is_ok())
        .build(&schema())
        .map_err(|error| {
            Failure::new(Code::InternalError, format!("schema of {name} does not compile: {error}"))
        })?;
    let validator = Arc::new(validator);
    if let Some(mut validators) = free() {
        validators.insert(name, Arc::clone(&validator));
    }
    Ok(validator)
}

/// Turns a validation error into problems that show the shape of the value, never the value.
fn explain(error: &ValidationError<'_>) -> Vec<Problem> {
    let pointer = error.instance_path().to_string();
    let found = shape(error.instance());
    let problem =
        |pointer: String, expected: String, found: String| vec![Problem { pointer, expected, found }];
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            problem(format!("{pointer}/{name}"), "present".to_owned(), "nothing".to_owned())
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .map(|name| Problem {
                pointer: format!("{pointer}/{name}"),
                expected: "no such field".to_owned(),
                found: "a field".to_owned(),
            })
            .collect(),
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            let branch = context
                .iter()
                .filter(|errors| !errors.iter().any(misses_tag))
                .min_by_key(|errors| errors.len());
            match branch {
                Some(errors) if !errors.is_empty() => errors.iter().flat_map(explain).collect(),
                _ => tags(context)
                    .unwrap_or_else(|| problem(pointer, format!("one of {} forms", context.len()), found)),
            }
        }
        ValidationErrorKind::Format { .. } => problem(pointer, time::FORM.to_owned(), found),
        ValidationErrorKind::Pattern { pattern } if pattern == time::PATTERN => {
            problem(pointer, time::FORM.to_owned(), found)
        }
        ValidationErrorKind::Pattern { pattern } => {
            problem(pointer, format!("text of the form {pattern}"), found)
        }
        ValidationErrorKind::Enum { options } => problem(pointer, format!("one of {options}"), found),
        ValidationErrorKind::Constant { expected_value } => {
            problem(pointer, format!("{expected_value}"), found)
        }
        ValidationErrorKind::Minimum { limit } => problem(pointer, format!("at least {limit}"), found),
        ValidationErrorKind::Maximum { limit } => problem(pointer, format!("at most {limit}"), found),
        ValidationErrorKind::ExclusiveMinimum { limit } => {
            problem(pointer, format!("more than {limit}"), found)
        }
        ValidationErrorKind::ExclusiveMaximum { limit } => {
            problem(pointer, format!("less than {limit}"), found)
        }
        ValidationErrorKind::MinItems { limit } => {
            problem(pointer, format!("at least {limit} elements"), found)
        }
        ValidationErrorKind::MinLength { limit } => {
            problem(pointer, format!("at least {limit} characters"), found)
        }
        ValidationErrorKind::MaxLength { limit } => {
            problem(pointer, format!("at most {limit} characters"), found)
        }
        ValidationErrorKind::Type { kind } => problem(pointer, type_text(kind), found),
        kind => problem(pointer, format!("what the schema's \"{}\" asks for", kind.keyword()), found),
    }
}

fn type_text(kind: &jsonschema::error::TypeKind) -> String {
    match kind {
        jsonschema::error::TypeKind::Single(kind) => kind.to_string(),
        jsonschema::error::TypeKind::Multiple(kinds) => {
            kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or ")
        }
    }
}

/// The problem of a form that is told by one field, such as a model's family, whose value is none of those known.
fn tags(branches: &[Vec<ValidationError<'_>>]) -> Option<Vec<Problem>> {
    let mut known = Vec::new();
    let mut place = None;
    for error in branches.iter().flatten() {
        let ValidationErrorKind::Constant { expected_value } = error.kind() else { continue };
        known.push(expected_value.to_string());
        place = Some((error.instance_path().to_string(), shape(error.instance())));
    }
    let (pointer, found) = place?;
    Some(vec![Problem { pointer, expected: format!("one of {}", known.join(", ")), found }])
}

fn misses_tag(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::Constant { .. })
        || matches!(error.kind(), ValidationErrorKind::Type { .. })
            && error.instance_path().to_string().is_empty()
            && error.instance().is_null()
}

/// What a value looks like, without saying what it is.
pub fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) if number.is_f64() => "a number with a fraction".to_owned(),
        Value::Number(number) => {
            let text = number.to_string();
            let (sign, digits) =
                text.strip_prefix('-').map_or(("an", &*text), |digits| ("a negative", digits));
            format!("{sign} integer of {} digit{}", digits.len(), if digits.len() == 1 { "" } else { "s" })
        }
        Value::String(text) => format!("a string of {} characters", text.chars().count()),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(map) => format!("an object of {} fields", map.len()),
    }
}

/// The constant `schema_version` of a document.
pub struct SchemaVersion<D>(PhantomData<fn() -> D>);

impl<D: Artifact> SchemaVersion<D> {
    fn text() -> String {
        format!("model_factory.{}.v1", D::NAME)
    }
}

impl<D> Default for SchemaVersion<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D> Clone for SchemaVersion<D> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<D> PartialEq for SchemaVersion<D> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<D> Eq for SchemaVersion<D> {}

impl<D: Artifact> fmt::Debug for SchemaVersion<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::text())
    }
}

impl<D: Artifact> Serialize for SchemaVersion<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Self::text())
    }
}

impl<'de, D: Artifact> Deserialize<'de> for SchemaVersion<D> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        if text == Self::text() {
            Ok(Self::default())
        } else {
            Err(De::Error::custom("another schema version"))
        }
    }
}

impl<D: Artifact> JsonSchema for SchemaVersion<D> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "const": Self::text() })
    }
}
