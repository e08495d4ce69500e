//! What the ledger asks of a database, and nothing more.
//!
//! Flows in: statements of `rows` with their parameters. Flows out: cells of rows, and moments. Invariants: a
//! write is one durable transaction, of which all is done or nothing; a row that a write read under a lock
//! stays as it was read until that write ends; time is read where it is asked for, after such a lock.

use contracts::{Digest, Failure, Result, identity::ids::TrainRunId, time::Timestamp};

use super::{event::Event, run::Run, signer::Founding};

/// A database that can hold a ledger.
pub(super) trait Backend: Send + Sync {
    /// Carries out one durable transaction. A database that lets two writers work at once may call `change`
    /// again, from the start, after another was in its way; nothing of the former call remains.
    fn write<T>(&self, change: impl FnMut(&mut dyn Transaction) -> Result<T>) -> Result<T>;

    /// Reads from one moment of the ledger.
    fn read<T>(&self, query: impl FnMut(&mut dyn Transaction) -> Result<T>) -> Result<T>;

    /// Hears what tells this ledger from every other, for databases where another can come in its place unseen.
    fn is_founded(&self, _: Digest<Founding>) {}
}

/// A transaction that is open.
pub(super) trait Transaction {
    /// A moment of the clock that leases and events go by, not before the last row was locked.
    fn now(&mut self) -> Result<Timestamp>;

    /// Asks queries, in this order and in one go, and gives each row that they find to `take`, with the place of its
    /// query among them.
    fn select(
        &mut self,
        queries: &[Query<'_>],
        take: &mut dyn FnMut(usize, &dyn Columns) -> Result<()>,
    ) -> Result<()>;

    /// Adds a row. A database that is asked over a network may say what is wrong with it only when it is asked the next
    /// thing, at the latest at the end of the transaction, which then does not come about.
    fn insert(&mut self, sql: &'static str, parameters: &[Cell]) -> Result<()>;

    /// Changes the row that an UPDATE names. Where there is none the transaction does not come about, and fails with
    /// `otherwise`: at once, or as late as an added row can.
    fn update(&mut self, sql: &'static str, parameters: &[Cell], otherwise: Failure) -> Result<()>;

    /// A run as this process left it, for a write that goes by that without a look: where it is no longer so, the write
    /// starts again from the start, with looks. None where there is to be a look.
    fn left(&mut self, _: &TrainRunId) -> Option<Run> {
        None
    }

    /// Whether a write may go by it, without a look, that nothing is there of what it adds: where that is not so, it starts
    /// again too.
    fn finds_nothing(&mut self) -> bool {
        false
    }

    /// Hears how a run is left, if the transaction comes about.
    fn leaves(&mut self, _: &Run) {}

    /// Hears of an event that is added, if it comes about: by that it can be found.
    fn adds(&mut self, _: &Event) {}

    /// Checks whatever the database itself can check of its files.
    fn check(&mut self) -> Result<()>;
}

/// A SELECT and its parameters, written `$1`, `$2`, … in that order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) sql: &'static str,
    pub(super) lock: Lock,
    pub(super) parameters: &'a [Cell],
}

/// What a query holds until its transaction ends, where one writer does not keep all others out anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Nothing.
    None,
    /// The rows that it finds, waiting for whoever holds one.
    Rows,
    /// The rows that it finds, passing over those that somebody holds.
    FreeRows,
}

/// A value on its way into a row.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Text(String),
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Integer(value as i64)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<Timestamp> for Cell {
    fn from(value: Timestamp) -> Self {
        Self::Integer(value.nanoseconds())
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row that was found, its cells by the places of their columns.
pub(super) trait Columns {
    fn text(&self, place: usize) -> Result<Option<&str>, Unreadable>;

    fn integer(&self, place: usize) -> Result<Option<i64>, Unreadable>;
}

/// The cell is not there or holds something of another type.
#[derive(Debug)]
pub(super) struct Unreadable;
