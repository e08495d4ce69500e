//! One connection, and a transaction that is open on it.
//!
//! Flows in: an address, statements. Flows out: rows, and what became of the transaction. Invariants: every
//! answer is waited for within a bound; what a transaction rests on (isolation, durability, the schema) is
//! said by each transaction itself, whatever the server, the role or a pooler between has set; of what is sent
//! together, in its order, the first thing that fails is what failed.
//!
//! What begins a transaction is sent with the first thing that it reads, and never with anything that it writes:
//! where it did not come about, what was sent with it stood alone, and was no more than a look.

use std::{collections::BTreeMap, error::Error, future::Future, mem, time::Duration};

use bytes::BytesMut;
use contracts::{Code, Failure, Result, time::Timestamp};
use futures_util::future::{join, join_all};
use tokio::{runtime::Runtime, time::timeout};
use tokio_postgres::{
    Client, NoTls, Row, SimpleQueryMessage, Statement,
    error::SqlState,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::Address,
    trouble::{Standing, Trouble, silent},
};
use crate::{
    clock::Clock,
    ledger::database::{Cell, Columns, Lock, Query, Transaction, Unreadable},
};

/// How long to wait for any one answer.
const ANSWER: Duration = Duration::from_mins(1);

/// Writes that are sent together at the most.
const MOST_WRITES: usize = 16;
/// The present moment of the server, in nanoseconds.
const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000";

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// A connection that serves: a server of an age and in a state that a ledger can rest on.
pub(super) struct Session {
    client: Client,
    statements: BTreeMap<String, Statement>,
    /// The setting of `synchronous_commit` that writes are to have.
    durability: &'static str,
    /// How often an answer was waited for.
    #[cfg(test)]
    pub(super) waits: u64,
}

impl Session {
    /// Connects within the address's bound, and looks at who answers.
    pub(super) fn connect(runtime: &Runtime, address: &Address) -> Result<Self> {
        let connecting = async {
            match address.tls.clone() {
                None => {
                    let (client, connection) = address.config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    Ok::<_, tokio_postgres::Error>(client)
                }
                Some(tls) => {
                    let (client, connection) = address.config.connect(MakeRustlsConnect::new(tls)).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
            }
        };
        let client = wait(runtime, address.patience, connecting).map_err(|trouble| trouble.failure)?;
        let settings = "SELECT current_setting('server_version_num')::bigint, current_setting('fsync'),
            current_setting('server_encoding'), current_setting('synchronous_commit')";
        let row =
            wait(runtime, ANSWER, client.query_one(settings, &[])).map_err(|trouble| trouble.failure)?;
        let durability = required(row.get(0), [row.get(1), row.get(2), row.get(3)])?;
        Ok(Self {
            client,
            statements: BTreeMap::new(),
            durability,
            #[cfg(test)]
            waits: 0,
        })
    }

    /// What starts a transaction: everything that it rests on, in one message.
    fn start(&self, purpose: Purpose) -> String {
        let kind = match purpose {
            Purpose::Read => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Purpose::Write => "ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        // Who stopped in the middle of a write keeps the others from its run for ten seconds.
        format!(
            "BEGIN {kind}; SET LOCAL search_path = model_factory, pg_temp; \
             SET LOCAL synchronous_commit = {}; SET LOCAL lock_timeout = '30s'; \
             SET LOCAL idle_in_transaction_session_timeout = '10s'",
            self.durability
        )
    }
}

/// The setting of `synchronous_commit` that holds here; a server that would lose what it acknowledged is refused.
pub(super) fn required(version: i64, [fsync, encoding, commit]: [&str; 3]) -> Result<&'static str> {
    let refuse = |what: &str| Err(Failure::new(Code::LedgerUnavailable, what).lasting());
    if version < 140_000 {
        return refuse("the ledger's server is older than PostgreSQL 14");
    }
    if fsync != "on" {
        return refuse("the ledger's server runs with fsync off, and would lose what it acknowledged");
    }
    if encoding != "UTF8" {
        return refuse("the ledger's database is not in UTF-8");
    }
    Ok(if commit == "remote_apply" { "remote_apply" } else { "on" })
}

/// Waits for an answer, and not for ever.
fn wait<T, E: Into<Trouble>>(
    runtime: &Runtime,
    bound: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    match runtime.block_on(async { timeout(bound, answer).await }) {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(silent(bound)),
    }
}

/// What is written with whatever is asked next.
struct Write {
    statement: Statement,
    cells: Vec<Cell>,
    /// What it means that an update found no row.
    otherwise: Option<Failure>,
}

impl Write {
    async fn carry_out(&self, client: &Client) -> Result<(), Trouble> {
        let written = client.execute(&self.statement, &parameters(&self.cells)).await;
        written.map(drop).map_err(|error| match &self.otherwise {
            Some(failure) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
                Trouble { standing: Standing::Whole, failure: failure.clone() }
            }
            _ => error.into(),
        })
    }
}

/// An UPDATE that fails where it finds no row, so that a commit sent after it rolls back.
fn or_refuse(sql: &str) -> String {
    format!("WITH changed AS ({sql} RETURNING 1) SELECT 1 / count(*) FROM changed")
}

/// A transaction that is open.
pub(super) struct Open<'a> {
    pub(super) session: Session,
    /// What the last failure of the database left of the transaction.
    pub(super) standing: Standing,
    purpose: Purpose,
    runtime: &'a Runtime,
    clock: Option<&'a dyn Clock>,
    /// What begins it, until that was sent.
    start: Option<String>,
    writes: Vec<Write>,
    /// Whether anything failed, so that it can only be taken back.
    failed: bool,
    /// The moment of the server once it had found, and locked, what a write asked for last.
    locked_at: Option<Timestamp>,
}

impl<'a> Open<'a> {
    /// A transaction that begins with the first thing that is asked of it.
    pub(super) fn on(
        session: Session,
        purpose: Purpose,
        (runtime, clock): (&'a Runtime, Option<&'a dyn Clock>),
    ) -> Self {
        let start = Some(session.start(purpose));
        let (standing, failed) = (Standing::Whole, false);
        let (writes, locked_at) = (Vec::new(), None);
        Self { session, standing, purpose, runtime, clock, start, writes, failed, locked_at }
    }

    /// Ends the transaction. Where the answer is lost, nobody can say whether it stands.
    pub(super) fn commit(&mut self) -> Result<()> {
        if self.failed {
            return Err(Failure::new(Code::InternalError, "a write went on after the database refused it"));
        }
        if self.start.is_some() && self.writes.is_empty() {
            return Ok(());
        }
        self.batch("COMMIT").map_err(|mut failure| {
            if self.standing == Standing::Broken {
                failure.detail.push_str("; the write may stand, and can be sent again");
            }
            failure
        })
    }

    /// Takes everything back; none if the connection is of no more use.
    pub(super) fn roll_back(mut self) -> Option<Session> {
        if matches!(self.standing, Standing::Broken | Standing::NeverBegun) {
            return None;
        }
        self.writes.clear();
        if self.start.is_none() {
            self.batch("ROLLBACK").ok()?;
        }
        Some(self.session)
    }

    /// Statements without parameters, whose rows nobody looks at.
    pub(super) fn batch(&mut self, sql: &str) -> Result<()> {
        self.begin()?;
        self.ask(async |client| client.batch_execute(sql).await)
    }

    /// The number that a query answers.
    pub(super) fn integer(&mut self, sql: &str) -> Result<i64> {
        number(&self.ask(async |client| client.simple_query(sql).await)?)
    }

    /// Writes with whatever is asked next.
    fn write(&mut self, sql: &str, cells: &[Cell], otherwise: Option<Failure>) -> Result<()> {
        if self.writes.len() == MOST_WRITES {
            self.ask(async |_| Ok(()))?;
        }
        let statement = self.statement(sql)?;
        self.writes.push(Write { statement, cells: cells.to_vec(), otherwise });
        Ok(())
    }

    fn statement(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.session.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.ask(async |client| client.prepare(sql).await)?;
        self.session.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Has the transaction begun, if that was not sent yet.
    fn begin(&mut self) -> Result<()> {
        if self.start.is_some() { self.send(&[], async |_| Ok(())) } else { Ok(()) }
    }

    /// Sends what is to be written and one thing more, without waiting in between, and waits for all answers.
    fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        let writes = mem::take(&mut self.writes);
        if !writes.is_empty() {
            self.begin()?;
        }
        self.send(&writes, question)
    }

    /// Sends what begins the transaction too, where it was not sent yet.
    fn send<T>(
        &mut self,
        writes: &[Write],
        question: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        let (client, start) = (&self.session.client, self.start.take());
        let mut begun = start.is_none();
        let answers = async {
            let beginning = async {
                match &start {
                    Some(start) => client.batch_execute(start).await,
                    None => Ok(()),
                }
            };
            let writing = join_all(writes.iter().map(|write| write.carry_out(client)));
            let (beginning, (written, answer)) = join(beginning, join(writing, question(client))).await;
            beginning?;
            begun = true;
            written.into_iter().collect::<Result<(), Trouble>>()?;
            Ok::<_, Trouble>(answer?)
        };
        let answer = wait(self.runtime, ANSWER, answers);
        #[cfg(test)]
        {
            self.session.waits += 1;
        }
        answer.map_err(|trouble| {
            self.failed = true;
            self.standing = if begun { trouble.standing } else { Standing::NeverBegun };
            trouble.failure
        })
    }
}

/// The number that is all of an answer.
fn number(messages: &[SimpleQueryMessage]) -> Result<i64> {
    let number = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    number.ok_or_else(|| Failure::new(Code::LedgerCorrupt, "the ledger gave an answer of another form"))
}

fn parameters(cells: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    cells.iter().map(|cell| cell as _).collect()
}

impl Transaction for Open<'_> {
    fn now(&mut self) -> Result<Timestamp> {
        match (self.clock, self.locked_at) {
            (Some(clock), _) => Ok(clock.now()),
            (None, Some(moment)) => Ok(moment),
            (None, None) => self.integer(CLOCK).map(Timestamp::from_nanoseconds),
        }
    }

    fn select(
        &mut self,
        queries: &[Query<'_>],
        take: &mut dyn FnMut(usize, &dyn Columns) -> Result<()>,
    ) -> Result<()> {
        let mut asked = Vec::with_capacity(queries.len());
        for query in queries {
            let lock = match query.lock {
                Lock::None => "",
                Lock::Rows => " FOR UPDATE",
                Lock::FreeRows => " FOR UPDATE SKIP LOCKED",
            };
            let statement = self.statement(&format!("{}{lock}", query.sql))?;
            asked.push((statement, parameters(query.parameters)));
        }
        // A write decides by the moment at which what it asked for was found and locked: the server tells both at once.
        let clock = match (self.purpose, self.clock) {
            (Purpose::Write, None) => Some(self.statement(CLOCK)?),
            _ => None,
        };
        let (found, moment) = self.ask(async |client| {
            let found = join_all(asked.iter().map(|(statement, cells)| client.query(statement, cells)));
            let moment = async {
                match &clock {
                    Some(clock) => client.query_one(clock, &[]).await?.try_get(0).map(Some),
                    None => Ok(None),
                }
            };
            let (found, moment) = join(found, moment).await;
            let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
            Ok((found, moment?))
        })?;
        self.locked_at = moment.map(Timestamp::from_nanoseconds);
        for (place, rows) in found.iter().enumerate() {
            rows.iter().try_for_each(|row| take(place, row))?;
        }
        Ok(())
    }

    fn insert(&mut self, sql: &'static str, cells: &[Cell]) -> Result<()> {
        self.write(sql, cells, None)
    }

    fn update(&mut self, sql: &'static str, cells: &[Cell], otherwise: Failure) -> Result<()> {
        self.write(&or_refuse(sql), cells, Some(otherwise))
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Columns for Row {
    fn text(&self, place: usize) -> Result<Option<&str>, Unreadable> {
        self.try_get(place).map_err(|_| Unreadable)
    }

    fn integer(&self, place: usize) -> Result<Option<i64>, Unreadable> {
        self.try_get(place).map_err(|_| Unreadable)
    }
}

impl ToSql for Cell {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(value) => value.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <i64 as ToSql>::accepts(kind) || <String as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}
