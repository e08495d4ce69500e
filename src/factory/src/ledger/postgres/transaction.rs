//! A transaction that is open on a connection.
//!
//! Flows in: statements. Flows out: rows, and what became of the transaction. Invariants: what it rests on (isolation,
//! durability, the schema) is said by each transaction itself, whatever the server, the role or a pooler between has set;
//! of what is sent together, in its order, the first thing that fails is what failed.
//!
//! What begins a transaction is sent with the first thing that it reads, and never with anything that it writes: where it
//! did not come about, what was sent with it stood alone, and was no more than a look. A write that goes by what is known
//! reads nothing, and is one statement, which is a transaction by itself: it compares what the write goes by, and what the
//! transaction would have said.

use std::mem;

use contracts::{Code, Digest, Failure, Result, identity::ids::TrainRunId, time::Timestamp};
use futures_util::future::{join, join_all};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Row, SimpleQueryMessage, error::SqlState};

use super::{
    sent::Sent,
    session::{ANSWER, Session, wait},
    statements::{CLOCK, Purpose, Terms, start, together},
    trouble::{Standing, Trouble, elsewhere},
};
use crate::{
    clock::Clock,
    ledger::{
        Event, Run,
        database::{Cell, Columns, Lock, Query, Transaction},
    },
};

/// What is written with whatever is asked next.
struct Write {
    sql: String,
    cells: Vec<Cell>,
    /// What it means that an update found no row; none of what adds one.
    otherwise: Option<Failure>,
}

/// Writes that are sent as one statement.
struct Together {
    statement: Sent,
    writes: Vec<Write>,
    /// The parameters of the terms.
    terms: Vec<Cell>,
}

impl Together {
    /// Gives the moment at which the first of them had its row.
    async fn carry_out(&self, client: &Client) -> Result<Timestamp, Trouble> {
        let cells = self.writes.iter().flat_map(|write| &write.cells).chain(&self.terms);
        let answer = self.statement.rows(client, cells).await;
        let otherwise = self.writes.iter().find_map(|write| write.otherwise.clone());
        let rows = answer.map_err(|error| match otherwise {
            Some(failure) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
                Trouble { standing: Standing::Whole, failure }
            }
            _ => error.into(),
        })?;
        told(&rows, 1)
    }
}

/// What a write goes by without having looked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Supposed {
    /// That nothing is there of what it adds.
    Nothing,
    /// That a run is as it was left, with this digest.
    Left(TrainRunId, Digest<Run>),
}

/// An event that a write adds.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) run: TrainRunId,
    pub(super) sequence: u64,
    pub(super) hash: Digest<Event>,
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
    /// Whether it may go by what is known.
    may_suppose: bool,
    supposed: Option<Supposed>,
    writes: Vec<Write>,
    /// How the write leaves a run.
    leaves: Option<Run>,
    /// The last event that the write adds.
    adds: Option<Mark>,
    /// Whether anything failed, so that it can only be taken back.
    failed: bool,
    /// The moment of the server that a write decides by: once it had found, and locked, what was asked for last, or as it
    /// is known.
    moment: Option<Timestamp>,
}

impl<'a> Open<'a> {
    /// A transaction that begins with the first thing that is asked of it.
    pub(super) fn on(
        session: Session,
        purpose: Purpose,
        (runtime, clock): (&'a Runtime, Option<&'a dyn Clock>),
    ) -> Self {
        let start = Some(start(purpose, session.durability, session.process));
        Self {
            session,
            standing: Standing::Whole,
            purpose,
            runtime,
            clock,
            start,
            may_suppose: false,
            supposed: None,
            writes: Vec::new(),
            leaves: None,
            adds: None,
            failed: false,
            moment: None,
        }
    }

    /// The same, which may go by what is known without a look.
    pub(super) fn supposing(self, may_suppose: bool) -> Self {
        Self { may_suppose, ..self }
    }

    /// Whether it went by what is known, and may have failed for that alone.
    pub(super) const fn has_supposed(&self) -> bool {
        self.supposed.is_some()
    }

    /// Fails for another reason than what it went by.
    pub(super) fn stops(&mut self) {
        self.supposed = None;
    }

    /// By what it can be found, if it came about.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.adds.clone()
    }

    /// Goes by something that is known, unless it may not or has begun.
    fn suppose(&mut self, supposed: Supposed) -> bool {
        let now = self.session.known.now();
        let may = self.may_suppose
            && self.start.is_some()
            && self.session.process.is_some()
            && (self.clock.is_some() || now.is_some());
        if may {
            self.supposed = Some(supposed);
            self.moment = now;
        }
        may
    }

    /// Ends the transaction. Where the answer is lost, nobody can say whether it stands.
    pub(super) fn commit(&mut self) -> Result<()> {
        if self.failed {
            return Err(Failure::new(Code::InternalError, "a write went on after the database refused it"));
        }
        if self.start.is_some() && self.writes.is_empty() {
            return Ok(());
        }
        let ended = if self.supposed.is_some() { self.write_alone() } else { self.batch("COMMIT") };
        let in_doubt = self.standing == Standing::Broken && self.purpose == Purpose::Write;
        ended.map_err(|failure| if in_doubt { may_stand(failure) } else { failure })?;
        if let Some(run) = self.leaves.take() {
            self.session.known.leaves(run);
        }
        Ok(())
    }

    /// Takes everything back; none if the connection is of no more use.
    pub(super) fn roll_back(mut self) -> Option<Session> {
        if matches!(self.standing, Standing::Broken | Standing::NeverBegun) {
            return None;
        }
        if self.standing == Standing::Elsewhere {
            self.session.process = None;
        }
        if let Some(Supposed::Left(id, ..)) = &self.supposed {
            self.session.known.forget(id);
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
        self.ask(async |client| Ok(client.batch_execute(sql).await?))
    }

    /// The number that a query answers.
    pub(super) fn integer(&mut self, sql: &str) -> Result<i64> {
        number(&self.ask(async |client| Ok(client.simple_query(sql).await?))?)
    }

    fn statement(&mut self, sql: &str) -> Result<Sent> {
        if self.session.process.is_none() {
            return Ok(Sent::Text(sql.to_owned()));
        }
        if let Some(statement) = self.session.statements.get(sql) {
            return Ok(Sent::Named(statement.clone()));
        }
        let statement = self.send(None, async |client| Ok(client.prepare(sql).await?))?;
        self.session.statements.insert(sql.to_owned(), statement.clone());
        Ok(Sent::Named(statement))
    }

    /// Has the transaction begun, if that was not sent yet.
    fn begin(&mut self) -> Result<()> {
        if self.start.is_some() { self.send(None, async |_| Ok(())) } else { Ok(()) }
    }

    /// Sends what is to be written, as one statement, and one thing more, without waiting in between; waits for all answers.
    fn ask<T>(&mut self, question: impl AsyncFnOnce(&Client) -> Result<T, Trouble>) -> Result<T> {
        if self.supposed.is_some() {
            return Err(Failure::new(Code::InternalError, "a write that goes by what is known asks nothing"));
        }
        if self.writes.is_empty() {
            return self.send(None, question);
        }
        self.begin()?;
        let writes = self.together(None)?;
        self.send(Some(&writes), question)
    }

    /// Writes in one statement, which compares what the write goes by.
    fn write_alone(&mut self) -> Result<()> {
        let moment = self.moment.filter(|_| self.clock.is_none());
        let Session { durability, process: Some(process), .. } = self.session else {
            return Err(Failure::new(
                Code::InternalError,
                "a write that goes by what is known has nothing to be compared by",
            ));
        };
        let writes = self.together(Some(Terms { durability, process, moment }))?;
        self.send(Some(&writes), async |_| Ok(()))
    }

    /// What is to be written as one statement, on these terms.
    fn together(&mut self, terms: Option<Terms>) -> Result<Together> {
        let writes = mem::take(&mut self.writes);
        let texts: Vec<&str> = writes.iter().map(|write| write.sql.as_str()).collect();
        let statement = self.statement(&together(&texts, terms))?;
        Ok(Together { statement, writes, terms: terms.map(Terms::cells).unwrap_or_default() })
    }

    /// Sends what begins the transaction too, where it was not sent yet and there is to be one of several statements.
    fn send<T>(
        &mut self,
        writes: Option<&Together>,
        question: impl AsyncFnOnce(&Client) -> Result<T, Trouble>,
    ) -> Result<T> {
        let client = &self.session.client;
        let start = if self.supposed.is_some() { None } else { self.start.take() };
        let mut begun = start.is_none();
        let answers = async {
            let beginning = async {
                match &start {
                    Some(start) => client.batch_execute(start).await.map_err(not_begun),
                    None => Ok(()),
                }
            };
            let writing = async {
                match writes {
                    Some(writes) => writes.carry_out(client).await.map(Some),
                    None => Ok(None),
                }
            };
            let (beginning, (written, answer)) = join(beginning, join(writing, question(client))).await;
            beginning?;
            begun = true;
            Ok::<_, Trouble>((written?, answer?))
        };
        let answer = wait(self.runtime, ANSWER, answers);
        #[cfg(test)]
        {
            self.session.waits += 1;
        }
        let (moment, answer) = answer.map_err(|trouble| {
            self.failed = true;
            self.standing = match trouble.standing {
                standing if begun || standing == Standing::Elsewhere => standing,
                _ => Standing::NeverBegun,
            };
            trouble.failure
        })?;
        if let Some(moment) = moment {
            self.session.known.hears(moment);
        }
        Ok(answer)
    }
}

/// What it means that a transaction could not begin.
fn not_begun(error: tokio_postgres::Error) -> Trouble {
    if error.code() == Some(&SqlState::DIVISION_BY_ZERO) { elsewhere() } else { error.into() }
}

/// The moment in a row of its own.
fn told(rows: &[Row], place: usize) -> Result<Timestamp, Trouble> {
    match rows {
        [row] => Ok(Timestamp::from_nanoseconds(row.try_get(place)?)),
        _ => Err(Trouble { standing: Standing::Whole, failure: another_form() }),
    }
}

/// What is said of a write whose answer was lost.
pub(super) fn may_stand(mut failure: Failure) -> Failure {
    let said = "; the write may stand, and can be sent again";
    if !failure.detail.ends_with(said) {
        failure.detail.push_str(said);
    }
    failure
}

/// The number that is all of an answer.
fn number(messages: &[SimpleQueryMessage]) -> Result<i64> {
    let number = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    number.ok_or_else(another_form)
}

fn another_form() -> Failure {
    Failure::new(Code::LedgerCorrupt, "the ledger gave an answer of another form")
}

impl Transaction for Open<'_> {
    fn now(&mut self) -> Result<Timestamp> {
        match (self.clock, self.moment) {
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
            asked.push((statement, query.parameters));
        }
        // A write decides by the moment at which what it asked for was found and locked: the server tells both at once.
        let clock = match (self.purpose, self.clock) {
            (Purpose::Write, None) => Some(self.statement(CLOCK)?),
            _ => None,
        };
        let (found, moment) = self.ask(async |client| {
            let found = join_all(asked.iter().map(|(statement, cells)| statement.rows(client, cells.iter())));
            let moment = async {
                match &clock {
                    Some(clock) => told(&clock.rows(client, [].iter()).await?, 0).map(Some),
                    None => Ok(None),
                }
            };
            let (found, moment) = join(found, moment).await;
            let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
            Ok((found, moment?))
        })?;
        self.moment = moment;
        if let Some(moment) = self.moment {
            self.session.known.hears(moment);
        }
        for (place, rows) in found.iter().enumerate() {
            rows.iter().try_for_each(|row| take(place, row))?;
        }
        Ok(())
    }

    fn insert(&mut self, sql: &'static str, cells: &[Cell]) -> Result<()> {
        self.writes.push(Write { sql: sql.to_owned(), cells: cells.to_vec(), otherwise: None });
        Ok(())
    }

    fn update(&mut self, sql: &'static str, cells: &[Cell], otherwise: Failure) -> Result<()> {
        // Of one statement no part sees what another wrote.
        if self.writes.iter().any(|write| write.otherwise.is_some()) {
            self.ask(async |_| Ok(()))?;
        }
        let (mut sql, mut cells) = (sql.to_owned(), cells.to_vec());
        if let Some(Supposed::Left(_, digest)) = &self.supposed {
            cells.push(digest.to_string().into());
            sql = format!("{sql} AND digest = ${}", cells.len());
        }
        // First, so that the moment of the statement is one at which the row is held.
        self.writes.insert(0, Write { sql, cells, otherwise: Some(otherwise) });
        Ok(())
    }

    fn left(&mut self, id: &TrainRunId) -> Option<Run> {
        let run = self.session.known.left(id)?.clone();
        let digest = run.row_digest().ok()?;
        self.suppose(Supposed::Left(id.clone(), digest)).then_some(run)
    }

    fn finds_nothing(&mut self) -> bool {
        self.suppose(Supposed::Nothing)
    }

    fn leaves(&mut self, run: &Run) {
        self.leaves = Some(run.clone());
    }

    fn adds(&mut self, event: &Event) {
        self.adds = Some(Mark { run: event.run_id.clone(), sequence: event.sequence, hash: event.hash });
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}
