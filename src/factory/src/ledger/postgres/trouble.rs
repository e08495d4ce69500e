//! What an error of the database means.
//!
//! Flows in: errors of the client. Flows out: a failure, and what is left of the transaction. Invariant: a
//! failure says what kind of thing happened in words of ours, with the SQLSTATE where there is one: what the
//! server writes may hold names and values, and the URL a password, and nothing of either is repeated.

use std::{error::Error, io, time::Duration};

use contracts::{Code, Failure};
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What to do about a database that is not there: the ledger makes its tables, and no database.
const MISSING_DATABASE: &str = "Create the database that the ledger's URL names, in UTF-8 and with a role that may CREATE in \
    it (createdb, or CREATE DATABASE), or mend the name at the end of the URL.";

/// What is said of a server that can be read alone.
const READ_ONLY: &str = "it takes no writes: a standby, or set read-only";

/// What is left of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is as it was, or was refused and waits to be rolled back.
    Whole,
    /// Another writer was in its way: the same may succeed from the start.
    Conflict,
    /// Another process of the server is at the other end, as behind a pooler that gives the connection one after the other:
    /// what was prepared is not known there, or is another's. The same may succeed from the start with nothing prepared.
    Elsewhere,
    /// The connection is lost, and what it was asked last may or may not have happened.
    Broken,
    /// Nobody acknowledged that it began, and nothing but reading was asked: nothing can have happened.
    NeverBegun,
}

/// An error, and what it leaves.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) standing: Standing,
    pub(super) failure: Failure,
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(error) => refused(error),
            None => Self { standing: Standing::Broken, failure: lost(&error) },
        }
    }
}

/// A connection whose other end is not where it was.
pub(super) fn elsewhere() -> Trouble {
    let detail = "a pooler before it gives the connection now this process of the server and now that";
    Trouble { standing: Standing::Elsewhere, failure: unavailable(detail) }
}

/// An answer that did not come in time.
pub(super) fn silent(bound: Duration) -> Trouble {
    let detail = format!("it did not answer within {} seconds", bound.as_secs());
    Trouble { standing: Standing::Broken, failure: unavailable(&detail) }
}

fn unavailable(what: &str) -> Failure {
    Failure::new(Code::LedgerUnavailable, format!("the ledger's database: {what}"))
}

/// An error of the way there: the client's own words hold no values, nor does the kind of an input or output error.
/// What is missing here, or not proved there, waiting does not mend.
fn lost(error: &tokio_postgres::Error) -> Failure {
    let words = error.to_string();
    let mut cause = error.source();
    // What is missing is said in fixed words, such as `password missing`.
    if let Some(missing) = cause.filter(|_| words == "invalid configuration") {
        return unavailable(&format!("{words}, {missing}")).lasting();
    }
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            return match inner.get_ref() {
                Some(own) if own.is::<rustls::Error>() => {
                    unavailable(&format!("{words}, the server could not prove who it is")).lasting()
                }
                // The client's own words, not the system's: it asks each server whether it takes writes.
                Some(_) if inner.kind() == io::ErrorKind::PermissionDenied => {
                    unavailable(&format!("{words}, {READ_ONLY}")).lasting()
                }
                _ => unavailable(&format!("{words}, {}", inner.kind())),
            };
        }
        cause = inner.source();
    }
    unavailable(&words)
}

fn refused(error: &DbError) -> Trouble {
    let state = error.code();
    let standing = match (error.parsed_severity(), state) {
        // The server says how grave an error is in a field of its own. A pooler that answers in its place does not: then
        // nobody said what became of what was asked.
        (None | Some(Severity::Fatal | Severity::Panic), _) => Standing::Broken,
        (
            _,
            &SqlState::T_R_SERIALIZATION_FAILURE
            | &SqlState::T_R_DEADLOCK_DETECTED
            | &SqlState::UNIQUE_VIOLATION,
        ) => Standing::Conflict,
        (_, &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT) => Standing::Elsewhere,
        _ => Standing::Whole,
    };
    let detail = format!("the ledger's database refused with {} ({})", state.code(), meaning(state));
    let mut failure = Failure::new(code(state), detail);
    if is_lasting(state) {
        failure = failure.lasting();
    }
    if state == &SqlState::INVALID_CATALOG_NAME {
        failure = failure.with_hint(MISSING_DATABASE);
    }
    Trouble { standing, failure }
}

fn code(state: &SqlState) -> Code {
    match state.code() {
        "53100" | "53200" => Code::ResourceExhausted,
        // Constraints hold rows together that this code writes, and tables that its migrations made: only an
        // edited ledger breaks one.
        "42P01" | "42703" | "42804" | "42883" => Code::LedgerCorrupt,
        other if other.starts_with("23") || other.starts_with("XX") => Code::LedgerCorrupt,
        _ => Code::LedgerUnavailable,
    }
}

/// Whether somebody has to give who asks a right, make the database, or let it be written to: most often the URL names
/// another than is meant, such as a standby, and whoever waited would wait for good.
fn is_lasting(state: &SqlState) -> bool {
    matches!(state.code(), "25006" | "42501" | "3D000") || state.code().starts_with("28")
}

/// In words, by the class of the SQLSTATE.
fn meaning(state: &SqlState) -> &'static str {
    match state.code() {
        "08P01" => "the connection is lost, or a pooler before it lets no transaction be",
        "25006" => READ_ONLY,
        "3D000" => "there is no such database",
        "42501" => "the role lacks a right",
        "53100" => "its disk is full",
        "53200" => "it is out of memory",
        "53300" => "it has too many connections",
        "55P03" => "another writer kept a row for too long",
        "57P03" => "it is starting or stopping",
        other => match other.get(..2).unwrap_or_default() {
            "08" => "the connection is lost",
            "23" => "a row breaks a constraint",
            "28" => "it does not accept this role with this password",
            "40" => "other writers were in the way",
            "42" => "its tables are not those of a ledger",
            "53" => "it lacks resources",
            "57" => "it was told to stop",
            "XX" => "its files are damaged",
            _ => "the statement failed",
        },
    }
}
