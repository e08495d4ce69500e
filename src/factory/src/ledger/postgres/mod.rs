//! The ledger in a PostgreSQL database, shared by any number of processes on any number of machines.
//!
//! ```text
//!   write: mutex ──► BEGIN, SELECT … FOR UPDATE, clock ──► decide in Rust ──► write, COMMIT (flushed)
//!             ▲                                                    │
//!             └── connect anew, where it did not even begin        └── a conflict: from the start
//!
//!   or, where what it rests on is known:  decide in Rust ──► compare and write, in one statement (flushed)
//!                                                                  │
//!                                                                  └── it is not so: from the start, with a look
//! ```
//!
//! Flows in and out: what `Ledger` and `Anchors` say. Invariants:
//!
//! - **Isolation.** Writes run at READ COMMITTED with row locks. A write decides on one run alone (or one scope's
//!   anchor), and locks its row before it looks at it: nothing that it decided by can change until it commits,
//!   which is all that SERIALIZABLE would add, without transactions that fail for the neighbours of what they
//!   touched. What is not there yet cannot be locked: two writers that make the same run, request or anchor meet
//!   at its primary key, and the one that came second starts again and finds what the first made. No writer waits
//!   for a row while it holds one that others wait for, so there are no deadlocks by design; one that the server
//!   reports all the same starts again too. Reads see one moment (REPEATABLE READ).
//! - **Suppositions.** Who reports on a run, or shows that it lives, most often left its row as it still is; and of most
//!   submissions nothing is there yet. Such a write does not look. The statement that writes compares the row's digest
//!   once it has the row, or meets a primary key that is taken: what was supposed wrongly writes nothing, and starts
//!   again with a look.
//! - **Claims** pass over rows that somebody holds (SKIP LOCKED), so that many workers do not queue for one run.
//! - **Fencing.** The epoch stands in the WHERE of every worker's write, beside the comparison under the lock. An
//!   update that finds no row fails on the server with all that is written beside it, and the commit that was sent
//!   after it rolls back.
//! - **Time** is the database's own, read after the row is locked: workers whose clocks differ neither steal a
//!   living lease nor keep a dead one. It only decides when a run may be taken over, never who holds it. A write that
//!   does not look goes by the moment that the server told last and the time since then, and the server compares it with
//!   its clock once it has the row: more than a second apart, the write starts again with a look.
//! - **Round trips.** What needs no answer to go on is sent with what comes next: the beginning and the clock with
//!   what is asked first, all that is written with the commit. So a write waits twice, and so does a claim, unless a run
//!   whose lease or rest is over waited longer than the first that is free; a write that does not look waits once. A
//!   commit that follows a statement which was refused rolls back. Nothing is written in the flight that begins:
//!   outside of a transaction it would stand by itself. A flight that begins and is lost has therefore done nothing,
//!   and the whole starts again on another connection.
//! - **Poolers** may give a connection another process of the server, in which nothing was prepared, or something else under the
//!   same name. Each transaction names the process as it begins, and each statement that stands alone compares it: in any
//!   other nothing is carried out, and the connection prepares nothing any more.
//! - **Plans** are made once a connection, maybe before there were any runs: the statements are such that a plan from
//!   then follows the indexes too.
//! - **Durability.** Each write sets `synchronous_commit`, or compares it; a server with `fsync` off is refused.
//! - **Lost answers.** A write that was sent and not answered, by the server itself, is looked for on another connection, by the
//!   event that it adds: it stands, or is carried out, and what was compared or locked keeps the lost one from coming after. What
//!   adds no event is done again. One that cannot be looked for, or is lost twice, is `LEDGER_UNAVAILABLE`, and sending it again is
//!   safe: a request id finds the run that it made, a report is refused by the state or the epoch, an anchor stays, and a claim
//!   that nobody knows of runs out.

mod address;
mod cells;
mod known;
mod schema;
mod sent;
mod session;
mod statements;
mod transaction;
mod trouble;

use std::{
    env, mem,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use contracts::{Code, Digest, Failure, Result};
use tokio::runtime::{Builder, Runtime};

use self::{
    address::Address,
    session::Session,
    statements::Purpose,
    transaction::{Mark, Open, may_stand},
    trouble::Standing,
};
use super::{
    Absent, book,
    database::{Backend, Lock, Transaction},
    rows,
    signer::Founding,
};
use crate::{
    clock::Clock,
    failpoint::{Failpoint, hit},
    opener::Opener,
};

/// How often a write starts again because others were in its way. Each time one of them has committed.
const ATTEMPTS: u32 = 10;

/// A ledger in the schema `model_factory` of a PostgreSQL database.
pub struct PostgresLedger {
    address: Address,
    /// Goes by this clock rather than the database's.
    clock: Option<Arc<dyn Clock>>,
    /// The process whose connection it is.
    opener: Opener,
    /// None once it is dropped.
    runtime: Option<Runtime>,
    session: Mutex<Option<Session>>,
    /// What tells this ledger from every other, once it was seen.
    founding: OnceLock<Digest<Founding>>,
}

impl PostgresLedger {
    /// Opens the ledger that a `postgresql://` URL names, making it or bringing it up to date. Leases and events go by
    /// the database's clock.
    ///
    /// What the URL does not say is taken from `PGUSER`, `PGPASSWORD`, `PGSSLMODE` and `PGSSLROOTCERT`. Without an
    /// `sslmode`, other machines are reached by TLS alone (`verify-full`). `PARAMETER_INVALID` refuses a URL that
    /// cannot be honoured, and repeats nothing of it.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_at(url, Absent::Make)
    }

    /// Does so, but makes none unless it is to.
    pub(super) fn open_at(url: &str, absent: Absent) -> Result<Self> {
        Self::with(url, absent, None)
    }

    /// Does so by another clock than the database's: for tests, and for replaying a recorded run.
    pub fn open_by(url: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::with(url, Absent::Make, Some(clock))
    }

    fn with(url: &str, absent: Absent, clock: Option<Arc<dyn Clock>>) -> Result<Self> {
        let address = Address::read(url, |name| env::var(name).ok())?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            Failure::new(Code::ResourceExhausted, format!("no connection to the ledger: {}", error.kind()))
        })?;
        let (opener, runtime) = (Opener::this_process(), Some(runtime));
        let ledger =
            Self { address, clock, opener, runtime, session: Mutex::new(None), founding: OnceLock::new() };
        ledger.transact(Purpose::Write, |open| schema::migrate(open, absent, schema::MIGRATIONS))?;
        Ok(ledger)
    }

    /// A connection to the ledger that was opened: its database may have been brought back, renamed or failed over to another
    /// since. Refuses any other with `LEDGER_CORRUPT`.
    fn connected(&self, runtime: &Runtime) -> Result<Session> {
        let mut session = Session::connect(runtime, &self.address)?;
        let Some(known) = self.founding.get() else { return Ok(session) };
        let (found, session) = loop {
            let mut open = Open::on(session, Purpose::Read, (runtime, None));
            match book::founding(&mut open).and_then(|found| open.commit().map(|()| found)) {
                Ok(found) => break (found, open.session),
                // Found out once, a pooler changes nothing any more.
                Err(failure) if open.standing == Standing::Elsewhere => {
                    session = open.roll_back().ok_or(failure)?;
                }
                Err(failure) => return Err(failure),
            }
        };
        if found == Some(*known) {
            return Ok(session);
        }
        let detail = "the database holds another ledger than the one that is open here";
        Err(Failure::new(Code::LedgerCorrupt, detail).with_hint(
            "It was replaced while it was open. Open the factory again, once the ledger that belongs to its objects is in place: \
             docs/reliability.md, Copies.",
        ))
    }

    /// Carries out one transaction, and says of one that failed whether it may stand all the same.
    fn transact<T>(&self, purpose: Purpose, change: impl FnMut(&mut Open<'_>) -> Result<T>) -> Result<T> {
        self.opener.require(Code::LedgerUnavailable, "ledger")?;
        let Some(runtime) = &self.runtime else {
            return Err(Failure::new(Code::InternalError, "a ledger that is closed"));
        };
        let mut in_doubt = false;
        self.carry_out(runtime, (purpose, &mut in_doubt), change).map_err(|failure| match failure.code {
            Code::LedgerUnavailable if in_doubt => may_stand(failure),
            _ => failure,
        })
    }

    /// Does so: again from the start while others are in its way, on another connection where it did not even begin on
    /// the one that was there, with a look where it came to nothing by what it supposed, and where it was sent and not
    /// answered unless it is found.
    fn carry_out<T>(
        &self,
        runtime: &Runtime,
        (purpose, in_doubt): (Purpose, &mut bool),
        mut change: impl FnMut(&mut Open<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut attempts, mut may_suppose) = (1, purpose == Purpose::Write);
        // What was sent and not answered: what the write gives, and by what it can be found.
        let mut lost: Option<(T, Mark)> = None;
        loop {
            let (session, kept) = match slot.take() {
                Some(session) => (session, true),
                None => (self.connected(runtime)?, false),
            };
            let open = Open::on(session, purpose, (runtime, self.clock.as_deref()));
            let mut open = open.supposing(may_suppose);
            // At each attempt: what was lost may come about while nobody has the row.
            let stood = lost.as_ref().map_or(Ok(false), |(_, mark)| stands(&mut open, mark));
            if stood == Ok(true)
                && let Some((value, _)) = lost.take()
            {
                *slot = open.roll_back();
                return Ok(value);
            }
            let changed = stood.and_then(|_| change(&mut open));
            let (failure, value) = match changed {
                Ok(value) => match open.commit() {
                    Ok(()) => {
                        *slot = Some(open.session);
                        return Ok(value);
                    }
                    Err(failure) => (failure, Some(value)),
                },
                Err(failure) => (failure, None),
            };
            let (standing, supposed, mark) = (open.standing, open.has_supposed(), open.mark());
            *slot = open.roll_back();
            let sent = value.is_some() && standing == Standing::Broken && purpose == Purpose::Write;
            // What adds no event may be done twice.
            let unanswered = value.zip(mark).filter(|_| sent);
            match standing {
                // It was lost unnoticed while it lay idle, or leads to a server that takes no more writes.
                Standing::NeverBegun if kept => {}
                Standing::NeverBegun => return Err(failure),
                _ if supposed || sent && !*in_doubt => {
                    may_suppose = false;
                    *in_doubt = sent;
                    lost = unanswered;
                }
                Standing::Conflict | Standing::Elsewhere if attempts < ATTEMPTS => attempts += 1,
                _ => return Err(failure),
            }
        }
    }
}

/// Whether a write stands whose answer was lost: by the event that it adds, whatever came after that. The run's row is locked:
/// what was lost does not come later.
fn stands(open: &mut Open<'_>, mark: &Mark) -> Result<bool> {
    rows::run(open, &mark.run, Lock::Rows)?;
    let events = rows::events(open, &mark.run)?;
    Ok(events.iter().any(|event| (event.sequence, event.hash) == (mark.sequence, mark.hash)))
}

impl Drop for PostgresLedger {
    /// A fork closes nothing: to stop watching its copy of the connection is to stop the opener watching its own.
    fn drop(&mut self) {
        if !self.opener.is_this_process() {
            mem::forget((self.runtime.take(), self.session.get_mut().map(Option::take)));
        }
    }
}

impl Backend for PostgresLedger {
    fn write<T>(&self, mut change: impl FnMut(&mut dyn Transaction) -> Result<T>) -> Result<T> {
        let outcome = self.transact(Purpose::Write, |open| {
            let value = change(open)?;
            hit(Failpoint::LedgerBeforeCommit).inspect_err(|_| open.stops())?;
            Ok(value)
        })?;
        hit(Failpoint::LedgerAfterCommit)?;
        Ok(outcome)
    }

    fn read<T>(&self, mut query: impl FnMut(&mut dyn Transaction) -> Result<T>) -> Result<T> {
        self.transact(Purpose::Read, |open| query(open))
    }

    fn is_founded(&self, founding: Digest<Founding>) {
        // What was seen first stays.
        let _ = self.founding.set(founding);
    }
}

#[cfg(test)]
mod tests;
