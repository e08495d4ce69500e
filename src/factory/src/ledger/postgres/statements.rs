//! The texts that PostgreSQL is sent around the ledger's own.
//!
//! Flows in: statements of `rows`, and what a write goes by. Flows out: one text. Invariant: whatever is written together
//! is one statement, which stands or falls as a whole wherever it is carried out.

use contracts::time::Timestamp;

use crate::ledger::database::Cell;

/// A moment in nanoseconds.
macro_rules! nanoseconds {
    ($moment:literal) => {
        concat!("(extract(epoch FROM ", $moment, ") * 1000000)::bigint * 1000")
    };
}

/// The present moment of the server.
pub(super) const CLOCK: &str = concat!("SELECT ", nanoseconds!("clock_timestamp()"));

/// Where the ledger's tables are, and nowhere else.
const SEARCH_PATH: &str = "model_factory, pg_temp";

/// The process of the server that is at the other end.
pub(super) const THERE: &str = "pg_backend_pid()::bigint";

/// How far a moment that was not asked for may be from the server's, in nanoseconds.
const NEAR: i64 = 1_000_000_000;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// What starts a transaction: everything that it rests on, in one message. Where a process of the server is named, it fails
/// with a division by zero in any other.
pub(super) fn start(purpose: Purpose, durability: &str, process: Option<i64>) -> String {
    let kind = match purpose {
        Purpose::Read => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Purpose::Write => "ISOLATION LEVEL READ COMMITTED READ WRITE",
    };
    let there = process.map(|process| format!("; SELECT 1 / ({THERE} = {process})::int")).unwrap_or_default();
    format!("BEGIN {kind}; {}{there}", settings("SET LOCAL", durability))
}

/// What a connection or a transaction rests on.
pub(super) fn settings(set: &str, durability: &str) -> String {
    // Who stopped in the middle of a write keeps the others from its run for ten seconds.
    format!(
        "{set} search_path = {SEARCH_PATH}; {set} synchronous_commit = {durability}; {set} lock_timeout = '30s'; \
         {set} idle_in_transaction_session_timeout = '10s'"
    )
}

/// What a write is held to by the statement itself, where nothing was asked before it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The setting of `synchronous_commit` that it is to have.
    pub(super) durability: &'static str,
    /// The process of the server in which it is prepared: the parameter after all others.
    pub(super) process: i64,
    /// What the server's clock has to be near, if anything: the parameter after that.
    pub(super) moment: Option<Timestamp>,
}

impl Terms {
    /// Its parameters.
    pub(super) fn cells(self) -> Vec<Cell> {
        [self.process.into()].into_iter().chain(self.moment.map(Cell::from)).collect()
    }
}

/// One statement of all these writes, of which the first alone may change a row that was there. It answers with the moment
/// at which the first had its row, and fails with a division by zero unless each has one, on these terms.
pub(super) fn together(writes: &[&str], terms: Option<Terms>) -> String {
    let (mut parts, mut names, mut taken) = (Vec::new(), Vec::new(), 0);
    for (place, sql) in writes.iter().enumerate() {
        let (sql, parameters) = renumbered(sql, taken);
        taken += parameters;
        names.push(format!("write_{place}"));
        parts.push(format!("write_{place} AS ({sql} RETURNING clock_timestamp() AS moment)"));
    }
    let on_terms = terms.map(|Terms { durability, moment, .. }| {
        let near = format!(" AND abs({} - ${}) < {NEAR}", nanoseconds!("write_0.moment"), taken + 2);
        format!(
            " WHERE current_setting('search_path') = '{SEARCH_PATH}' \
             AND current_setting('synchronous_commit') = '{durability}' AND {THERE} = ${}{}",
            taken + 1,
            if moment.is_some() { &near } else { "" }
        )
    });
    format!(
        "WITH {} SELECT 1 / count(*), {} FROM {}{}",
        parts.join(", "),
        nanoseconds!("max(write_0.moment)"),
        names.join(", "),
        on_terms.unwrap_or_default()
    )
}

/// A statement whose parameters come after so many others, and how many they are.
fn renumbered(sql: &str, others: usize) -> (String, usize) {
    let mut pieces = sql.split('$');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    let mut most = 0;
    for piece in pieces {
        let rest = piece.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let number: usize = piece[..piece.len() - rest.len()].parse().unwrap_or_default();
        most = most.max(number);
        text.extend(["$", &(others + number).to_string(), rest]);
    }
    (text, most)
}
