//! The ledger's statements: one text of each, which every database it runs on understands.
//!
//! Flows in and out: runs, events, requests, anchors and signers. Invariant: a worker's write names the epoch that it
//! was given, so that a row which somebody claimed since then refuses it.

use contracts::{Code, Failure, Result, identity::ids::TrainRunId, names::RequestId, time::Timestamp};
use rayon::prelude::*;

use super::{
    anchor::AnchorRow,
    cells::{Cells, FromCells, RunId, Unchecked},
    database::{Cell, Lock, Query, Transaction},
    event::{Event, detail_text},
    run::{RequestRow, Run, lease_lost},
    signer::SignerRow,
    state::State,
};

/// A SELECT of rows, their columns in the order in which `cells` takes them.
macro_rules! select {
    (runs $rest:literal) => {
        concat!(
            "SELECT run_id, run_key, state, mode, epoch, publish_allowed, full_attempts, publish_attempts, worker,
                lease_expires, reason, submitted_at, updated_at, events, head, request, digest
            FROM runs ",
            $rest
        )
    };
    (events $rest:literal) => {
        concat!(
            "SELECT run_id, sequence, kind, state, mode, epoch, publish_allowed, recorded_at, reason, detail,
                previous, hash
            FROM events ",
            $rest
        )
    };
    (requests $rest:literal) => {
        concat!(
            "SELECT run_id, request_id, payload_hash, requester, publish_allowed, submitted_at, sequence, digest
            FROM requests ",
            $rest
        )
    };
    (anchors $rest:literal) => {
        concat!("SELECT scope, sequence, event, digest FROM anchors ", $rest)
    };
    (signers $rest:literal) => {
        concat!("SELECT sequence, key, admitted_at, digest FROM signers ", $rest)
    };
}

fn all<T: FromCells>(
    transaction: &mut dyn Transaction,
    (sql, lock): (&'static str, Lock),
    parameters: &[Cell],
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    transaction.select(&[Query { sql, lock, parameters }], &mut |_, row| {
        found.push(T::read(&Cells::of(row))?);
        Ok(())
    })?;
    Ok(found)
}

fn one<T: FromCells>(
    transaction: &mut dyn Transaction,
    query: (&'static str, Lock),
    parameters: &[Cell],
) -> Result<Option<T>> {
    all(transaction, query, parameters).map(|mut found| found.pop())
}

/// The row of each of two queries, asked in one go.
fn both<A: FromCells, B: FromCells>(
    transaction: &mut dyn Transaction,
    queries: [Query<'_>; 2],
) -> Result<(Option<A>, Option<B>)> {
    let (mut first, mut second) = (None, None);
    transaction.select(&queries, &mut |place, row| {
        let cells = Cells::of(row);
        match place {
            0 => first = Some(A::read(&cells)?),
            _ => second = Some(B::read(&cells)?),
        }
        Ok(())
    })?;
    Ok((first, second))
}

/// Rows of a listing from which on other threads help to check them.
const MANY: usize = 1_000;

const RUN: &str = select!(runs "WHERE run_id = $1");
const REQUEST: &str = select!(requests "WHERE request_id = $1");

/// A run's row. A write locks it, so that it stays as it was read until the write is over.
pub(super) fn run(transaction: &mut dyn Transaction, id: &TrainRunId, lock: Lock) -> Result<Option<Run>> {
    one(transaction, (RUN, lock), &[id.as_str().into()])
}

/// The request of this id, and the row of a run, which is locked: what a submission is decided by, asked in one go.
pub(super) fn request_and_run(
    transaction: &mut dyn Transaction,
    request_id: &RequestId,
    run_id: &TrainRunId,
) -> Result<(Option<RequestRow>, Option<Run>)> {
    let (request_id, run_id) = ([request_id.as_str().into()], [run_id.as_str().into()]);
    both(
        transaction,
        [
            Query { sql: REQUEST, lock: Lock::None, parameters: &request_id },
            Query { sql: RUN, lock: Lock::Rows, parameters: &run_id },
        ],
    )
}

/// What waits for a worker; the conditions on the state are those of the index `runs_waiting`, word for word. They
/// name the states that are done, since an index by state would be taken for a list of those that wait.
macro_rules! waiting {
    ($rest:literal) => {
        concat!(
            select!(runs "WHERE state NOT IN ('FAIL', 'PUBLISHED')
      AND (state <> 'PASS' OR publish_allowed = 1)
      AND (state <> 'PUBLISH_PENDING' OR publish_attempts <= 3)"),
            $rest
        )
    };
}

/// A few of them: most often one of these can be taken. How many stands in the text, since a plan that is to serve any
/// number would be made anew for each claim.
pub(super) const WAITING: &str = waiting!(
    " ORDER BY updated_at, run_id
    LIMIT 4"
);
/// Those after one, where none of the first could.
pub(super) const WAITING_AFTER: &str = waiting!(
    " AND (updated_at, run_id) > ($1, $2)
    ORDER BY updated_at, run_id
    LIMIT 16"
);
/// The first that nobody was given and nothing stopped: the names of workers and the codes of reasons are never empty.
/// Compared so, since of what is NULL a plan from before there were runs expects none, and would read all of them.
pub(super) const FREE: &str = waiting!(
    " AND coalesce(worker, reason, '') <= ''
    ORDER BY updated_at, run_id
    LIMIT 1"
);

/// The runs that have waited longest, held or not, and the first that is free whatever the time, which is locked: what
/// most claims are decided by, asked in one go.
pub(super) fn waiting_and_free(transaction: &mut dyn Transaction) -> Result<(Vec<Run>, Option<Run>)> {
    let queries = [
        Query { sql: WAITING, lock: Lock::None, parameters: &[] },
        Query { sql: FREE, lock: Lock::FreeRows, parameters: &[] },
    ];
    let (mut waiting, mut free) = (Vec::new(), None);
    transaction.select(&queries, &mut |place, row| {
        let run = Run::read(&Cells::of(row))?;
        match place {
            0 => waiting.push(run),
            _ => free = Some(run),
        }
        Ok(())
    })?;
    Ok((waiting, free))
}

/// The runs that have waited longest of those after this one.
pub(super) fn waiting_after(transaction: &mut dyn Transaction, previous: &Run) -> Result<Vec<Run>> {
    all(
        transaction,
        (WAITING_AFTER, Lock::None),
        &[previous.updated_at.into(), previous.run_id.as_str().into()],
    )
}

/// What earned a receipt, as the index `runs_at_rest` has it, word for word.
pub(super) const AT_REST_SINCE: &str = select!(runs "WHERE state NOT IN ('QUEUED', 'RUNNING', 'EVAL_READY', 'PUBLISH_PENDING') AND updated_at >= $1
    ORDER BY updated_at");
pub(super) const LATEST_AT_REST: &str = select!(runs "WHERE state NOT IN ('QUEUED', 'RUNNING', 'EVAL_READY', 'PUBLISH_PENDING')
    ORDER BY updated_at DESC
    LIMIT 1");

/// Runs at rest on which something happened since a moment, in that order.
pub(super) fn at_rest_since(transaction: &mut dyn Transaction, moment: Timestamp) -> Result<Vec<Run>> {
    all(transaction, (AT_REST_SINCE, Lock::None), &[moment.into()])
}

/// The run at rest on which something happened last.
pub(super) fn latest_at_rest(transaction: &mut dyn Transaction) -> Result<Option<Run>> {
    one(transaction, (LATEST_AT_REST, Lock::None), &[])
}

pub(super) const LATEST: &str = select!(runs "ORDER BY submitted_at DESC, run_id LIMIT $1");
/// Two texts rather than one with a condition on its parameter, which no index could serve.
pub(super) const LATEST_IN_STATE: &str =
    select!(runs "WHERE state = $1 ORDER BY submitted_at DESC, run_id LIMIT $2");

/// The latest runs, their rows compared with their digests, where there are many on all threads.
pub(super) fn latest(
    transaction: &mut dyn Transaction,
    state: Option<State>,
    limit: u32,
) -> Result<Vec<Run>> {
    let limit = Cell::Integer(limit.into());
    let found: Vec<Unchecked> = match state {
        None => all(transaction, (LATEST, Lock::None), &[limit]),
        Some(state) => all(transaction, (LATEST_IN_STATE, Lock::None), &[state.as_str().into(), limit]),
    }?;
    if found.len() < MANY {
        return found.into_iter().map(Unchecked::checked).collect();
    }
    let checked: Vec<Result<Run>> = found.into_par_iter().map(Unchecked::checked).collect();
    // The first that is wrong is named, whichever thread came to it first.
    checked.into_iter().collect()
}

const FIRST_SIGNER: &str = select!(signers "ORDER BY sequence LIMIT 1");

/// Who signed first.
pub(super) fn first_signer(transaction: &mut dyn Transaction) -> Result<Option<SignerRow>> {
    one(transaction, (FIRST_SIGNER, Lock::None), &[])
}

/// Who signed first, and the run that was admitted last, asked in one go.
pub(super) fn first_signer_and_latest_run(
    transaction: &mut dyn Transaction,
) -> Result<(Option<SignerRow>, Option<Run>)> {
    both(
        transaction,
        [
            Query { sql: FIRST_SIGNER, lock: Lock::None, parameters: &[] },
            Query { sql: LATEST, lock: Lock::None, parameters: &[Cell::Integer(1)] },
        ],
    )
}

/// Runs in the order of their ids, from the first after the given one.
pub(super) fn runs_after(transaction: &mut dyn Transaction, previous: &str, limit: u32) -> Result<Vec<Run>> {
    let sql = select!(runs "WHERE run_id > $1 ORDER BY run_id LIMIT $2");
    all(transaction, (sql, Lock::None), &[previous.into(), Cell::Integer(limit.into())])
}

pub(super) fn events(transaction: &mut dyn Transaction, id: &TrainRunId) -> Result<Vec<Event>> {
    let sql = select!(events "WHERE run_id = $1 ORDER BY sequence");
    all(transaction, (sql, Lock::None), &[id.as_str().into()])
}

pub(super) fn requests(transaction: &mut dyn Transaction, id: &TrainRunId) -> Result<Vec<RequestRow>> {
    let sql = select!(requests "WHERE run_id = $1 ORDER BY sequence");
    all(transaction, (sql, Lock::None), &[id.as_str().into()])
}

/// The run that a row belongs to whose run is not there, if there is such a row.
pub(super) fn orphan(transaction: &mut dyn Transaction) -> Result<Option<String>> {
    let sql = "SELECT run_id FROM events
            WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = events.run_id)
        UNION ALL SELECT run_id FROM requests
            WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = requests.run_id)
        LIMIT 1";
    Ok(one::<RunId>(transaction, (sql, Lock::None), &[])?.map(|found| found.0))
}

pub(super) fn insert_run(transaction: &mut dyn Transaction, run: &Run) -> Result<()> {
    let sql = "INSERT INTO runs (run_key, request, state, mode, epoch, publish_allowed, full_attempts,
            publish_attempts, worker, lease_expires, reason, submitted_at, updated_at, events, head, digest,
            run_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    transaction.insert(sql, &run_cells(run)?)?;
    transaction.leaves(run);
    Ok(())
}

/// Replaces a run's row if it is still at this epoch; where it is not, the write fails with `LEASE_LOST`.
pub(super) fn update_run(transaction: &mut dyn Transaction, run: &Run, epoch: u64) -> Result<()> {
    let sql = "UPDATE runs SET run_key = $1, request = $2, state = $3, mode = $4, epoch = $5,
            publish_allowed = $6, full_attempts = $7, publish_attempts = $8, worker = $9, lease_expires = $10,
            reason = $11, submitted_at = $12, updated_at = $13, events = $14, head = $15, digest = $16
        WHERE run_id = $17 AND epoch = $18";
    let mut cells = run_cells(run)?;
    cells.push(epoch.into());
    transaction.update(sql, &cells, lease_lost(&run.run_id))?;
    transaction.leaves(run);
    Ok(())
}

/// The cells of a run's row, the id last, where both statements above name it.
fn run_cells(run: &Run) -> Result<Vec<Cell>> {
    let request = String::from_utf8(run.request.clone())
        .map_err(|_| Failure::new(Code::InternalError, "a canonical request is UTF-8"))?;
    let (progress, holder) = (&run.progress, run.holder.as_ref());
    Ok(vec![
        run.run_key.to_string().into(),
        request.into(),
        progress.state.as_str().into(),
        progress.mode.as_str().into(),
        progress.epoch.into(),
        progress.publish_allowed.into(),
        progress.full_attempts.into(),
        progress.publish_attempts.into(),
        holder.map(|holder| holder.worker.as_str()).into(),
        holder.map(|holder| holder.expires_at).into(),
        run.reason.map(Code::as_str).into(),
        run.submitted_at.into(),
        run.updated_at.into(),
        run.events.into(),
        run.head.to_string().into(),
        run.row_digest()?.to_string().into(),
        run.run_id.as_str().into(),
    ])
}

pub(super) fn insert_event(transaction: &mut dyn Transaction, event: &Event) -> Result<()> {
    let sql = "INSERT INTO events (run_id, sequence, kind, state, mode, epoch, publish_allowed, recorded_at,
            reason, detail, previous, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let cells = [
        event.run_id.as_str().into(),
        event.sequence.into(),
        event.kind.as_str().into(),
        event.state.as_str().into(),
        event.mode.as_str().into(),
        event.epoch.into(),
        event.publish_allowed.into(),
        event.recorded_at.into(),
        event.reason.map(Code::as_str).into(),
        detail_text(&event.detail)?.into(),
        event.previous.map(|previous| previous.to_string()).into(),
        event.hash.to_string().into(),
    ];
    transaction.insert(sql, &cells)?;
    transaction.adds(event);
    Ok(())
}

pub(super) fn insert_request(transaction: &mut dyn Transaction, request: &RequestRow) -> Result<()> {
    let sql = "INSERT INTO requests (request_id, payload_hash, run_id, requester, publish_allowed,
            submitted_at, sequence, digest)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let cells = [
        request.request_id.as_str().into(),
        request.payload_hash.as_str().into(),
        request.run_id.as_str().into(),
        request.requester.as_str().into(),
        request.publish_allowed.into(),
        request.submitted_at.into(),
        request.sequence.into(),
        request.row_digest()?.to_string().into(),
    ];
    transaction.insert(sql, &cells)
}

pub(super) fn anchor(
    transaction: &mut dyn Transaction,
    scope: &str,
    lock: Lock,
) -> Result<Option<AnchorRow>> {
    one(transaction, (select!(anchors "WHERE scope = $1"), lock), &[scope.into()])
}

pub(super) fn anchors(transaction: &mut dyn Transaction) -> Result<Vec<AnchorRow>> {
    all(transaction, (select!(anchors "ORDER BY scope"), Lock::None), &[])
}

pub(super) fn insert_anchor(transaction: &mut dyn Transaction, row: &AnchorRow) -> Result<()> {
    let sql = "INSERT INTO anchors (sequence, event, digest, scope) VALUES ($1, $2, $3, $4)";
    transaction.insert(sql, &anchor_cells(row)?)
}

pub(super) fn update_anchor(transaction: &mut dyn Transaction, row: &AnchorRow) -> Result<()> {
    let sql = "UPDATE anchors SET sequence = $1, event = $2, digest = $3 WHERE scope = $4";
    let gone = Failure::new(Code::LedgerCorrupt, "the anchor of a scope is gone, and was there a moment ago");
    transaction.update(sql, &anchor_cells(row)?, gone)
}

/// Everyone who signs for the factory, the first one first.
pub(super) fn signers(transaction: &mut dyn Transaction, lock: Lock) -> Result<Vec<SignerRow>> {
    all(transaction, (select!(signers "ORDER BY sequence"), lock), &[])
}

pub(super) fn insert_signer(transaction: &mut dyn Transaction, row: &SignerRow) -> Result<()> {
    let sql = "INSERT INTO signers (sequence, key, admitted_at, digest) VALUES ($1, $2, $3, $4)";
    let cells = [
        row.sequence.into(),
        row.key.as_str().into(),
        row.admitted_at.into(),
        row.digest()?.to_string().into(),
    ];
    transaction.insert(sql, &cells)
}

fn anchor_cells(row: &AnchorRow) -> Result<[Cell; 4]> {
    Ok([
        row.sequence.into(),
        row.event.as_str().into(),
        row.digest()?.to_string().into(),
        row.scope.as_str().into(),
    ])
}
