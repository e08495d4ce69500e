#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests look behind the ledger")]

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Child, Command},
    sync::Barrier,
    thread,
};

use contracts::Digest;
use serde_json::json;

use super::*;
use crate::{
    clock::FixedClock,
    failpoint,
    ledger::{Mode, PUBLISH_RETRIES},
};

const CHILD_PATH: &str = "MODEL_FACTORY_TEST_LEDGER";

struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<FixedClock>,
    ledger: SqliteLedger,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::new(Timestamp::from_nanoseconds(1_000_000_000_000)));
        let ledger = open(&folder.path().join("ledger.sqlite"), &clock).unwrap();
        Self { folder, clock, ledger }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.sqlite")
    }

    fn submit(&self, number: u64, publish_allowed: bool) -> Run {
        self.ledger.submit(&submission(number, &format!("request-{number}"), publish_allowed)).unwrap().run
    }

    fn claim(&self) -> Lease {
        self.ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap()
    }

    fn advance(&self, lease: &Lease, to: State) -> Result<Run> {
        self.ledger.advance(lease, to, None, json!({}))
    }

    /// A run that passed and is held by the lease.
    fn passed(&self, number: u64, publish_allowed: bool) -> Lease {
        self.submit(number, publish_allowed);
        let lease = self.claim();
        self.advance(&lease, State::EvalReady).unwrap();
        self.advance(&lease, State::Pass).unwrap();
        lease
    }

    fn raw(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.pragma_update(None, "foreign_keys", "OFF").unwrap();
        connection
    }
}

fn open(path: &Path, clock: &Arc<FixedClock>) -> Result<SqliteLedger> {
    SqliteLedger::open(path, Arc::clone(clock) as Arc<dyn Clock>)
}

fn worker(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn submission(number: u64, request_id: &str, publish_allowed: bool) -> Submission {
    Submission {
        request_id: request_id.parse().unwrap(),
        payload_hash: Digest::of(format!("{number} {publish_allowed}").as_bytes()),
        run_id: TrainRunId::new(format!("tr_{number:032x}")).unwrap(),
        run_key: Digest::of(&number.to_be_bytes()),
        request: format!("{{\"number\":{number}}}").into_bytes(),
        publish_allowed,
        requester: "team/ada".parse().unwrap(),
    }
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

#[test]
fn a_request_sent_again_is_the_run_it_made() {
    let bench = Bench::new();
    let first = bench.ledger.submit(&submission(1, "request-1", false)).unwrap();
    assert!(first.fresh);
    assert_eq!(first.run.progress.state, State::Queued);
    let again = bench.ledger.submit(&submission(1, "request-1", false)).unwrap();
    assert_eq!(again, Admission { fresh: false, ..first.clone() });
    let failure = bench.ledger.submit(&submission(2, "request-1", false)).unwrap_err();
    assert_eq!(failure.code, Code::RequestIdPayloadMismatch);
    assert_eq!(bench.ledger.runs(None, 10).unwrap(), [first.run]);
}

#[test]
fn another_request_joins_the_run_and_can_only_widen_it() {
    let bench = Bench::new();
    bench.submit(1, false);
    let widened = bench.ledger.submit(&submission(1, "request-x", true)).unwrap();
    assert!(!widened.fresh && widened.run.progress.publish_allowed);
    let joined = bench.ledger.submit(&submission(1, "request-y", false)).unwrap();
    assert!(!joined.fresh && joined.run.progress.publish_allowed);
    let events = bench.ledger.events(&joined.run.run_id).unwrap();
    assert_eq!(kinds(&events), [EventKind::Submitted, EventKind::RequestJoined, EventKind::RequestJoined]);
    assert_eq!(bench.ledger.verify().unwrap().events, 3);
}

#[test]
fn a_request_in_other_than_canonical_bytes_is_refused() {
    let bench = Bench::new();
    let spaced = Submission { request: b"{ }".to_vec(), ..submission(1, "request-1", false) };
    assert_eq!(bench.ledger.submit(&spaced).unwrap_err().code, Code::RequestInvalid);
    assert_eq!(bench.ledger.runs(None, 1).unwrap(), []);
}

#[test]
fn writers_with_connections_of_their_own_make_one_run_and_claim_it_once() {
    let bench = Bench::new();
    let start = Barrier::new(8);
    let (fresh, claimed): (Vec<usize>, Vec<usize>) = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (bench, start) = (&bench, &start);
                scope.spawn(move || {
                    let ledger = open(&bench.path(), &bench.clock).unwrap();
                    start.wait();
                    let fresh = (0..10).filter(|number| {
                        let own = submission(*number, &format!("request-{number}-{writer}"), writer == 3);
                        let shared = submission(*number, &format!("request-{number}"), false);
                        // Both are always sent: `|` does not stop at the first.
                        ledger.submit(&own).unwrap().fresh | ledger.submit(&shared).unwrap().fresh
                    });
                    let fresh = fresh.count();
                    start.wait();
                    let name = worker(&format!("worker-{writer}"));
                    let mut claimed = 0;
                    while ledger.claim(&name, 60, None).unwrap().is_some() {
                        claimed += 1;
                    }
                    (fresh, claimed)
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).unzip()
    });
    assert_eq!((fresh.iter().sum::<usize>(), claimed.iter().sum::<usize>()), (10, 10));
    for run in bench.ledger.runs(None, 100).unwrap() {
        assert_eq!((run.progress.epoch, run.progress.publish_allowed, run.events), (1, true, 10));
    }
    let head = bench.ledger.verify().unwrap();
    assert_eq!((head.runs, head.events), (10, 100));
}

fn child(path: &Path, point: Option<(Failpoint, &str)>) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "ledger::sqlite::tests::child_submits", "--ignored", "--test-threads=1"])
        .env(CHILD_PATH, path)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    if let Some((point, fault)) = point {
        command.env(failpoint::VARIABLE, format!("{}:3={fault}", point.as_str()));
    }
    command.spawn().unwrap()
}

#[test]
#[ignore = "runs in the child processes of the tests below"]
fn child_submits() {
    let Some(path) = env::var_os(CHILD_PATH) else { return };
    let clock = Arc::new(FixedClock::new(Timestamp::from_nanoseconds(0)));
    let ledger = open(Path::new(&path), &clock).unwrap();
    for number in 0..25 {
        ledger.submit(&submission(number, &format!("request-{number}"), true)).unwrap();
    }
}

#[test]
fn two_processes_make_each_run_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut children = [child(&path, None), child(&path, None)];
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let clock = Arc::new(FixedClock::new(Timestamp::from_nanoseconds(0)));
    let head = open(&path, &clock).unwrap().verify().unwrap();
    assert_eq!((head.runs, head.events), (25, 25));
}

#[test]
fn a_writer_that_dies_at_a_commit_leaves_the_write_whole_or_absent() {
    for (point, fault, runs) in [
        (Failpoint::LedgerBeforeCommit, "kill", 2),
        (Failpoint::LedgerAfterCommit, "kill", 3),
        (Failpoint::LedgerBeforeCommit, "error", 2),
        (Failpoint::LedgerAfterCommit, "error", 3),
    ] {
        let bench = Bench::new();
        assert!(!child(&bench.path(), Some((point, fault))).wait().unwrap().success());
        assert_eq!(bench.ledger.verify().unwrap().runs, runs, "{point:?} {fault}");
        assert!(child(&bench.path(), None).wait().unwrap().success());
        assert_eq!(bench.ledger.verify().unwrap().runs, 25);
    }
}

#[test]
fn a_run_goes_the_whole_way() {
    let bench = Bench::new();
    let lease = bench.passed(1, true);
    assert_eq!((lease.mode(), lease.epoch(), lease.request()), (Mode::Full, 1, &b"{\"number\":1}"[..]));
    bench.advance(&lease, State::PublishPending).unwrap();
    bench.ledger.begin_publish(&lease).unwrap();
    let run = bench.advance(&lease, State::Published).unwrap();
    assert_eq!((run.progress.full_attempts, run.progress.publish_attempts), (1, 1));
    assert_eq!(run.holder, None);
    assert_eq!(bench.ledger.run(lease.run_id()).unwrap(), run);
    assert_eq!(bench.ledger.runs(Some(State::Published), 5).unwrap(), [run]);
    assert_eq!(bench.ledger.runs(Some(State::Pass), 5).unwrap(), []);
    assert_eq!(bench.advance(&lease, State::Fail).unwrap_err().code, Code::LeaseLost);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
    bench.ledger.verify().unwrap();
}

#[test]
fn a_step_that_is_not_possible_changes_nothing() {
    let bench = Bench::new();
    bench.submit(1, false);
    let lease = bench.claim();
    let head = bench.ledger.verify().unwrap();
    for to in [State::Running, State::Pass, State::Published, State::PublishPending] {
        assert_eq!(bench.advance(&lease, to).unwrap_err().code, Code::InvalidTransition, "{to}");
    }
    assert_eq!(bench.ledger.begin_publish(&lease).unwrap_err().code, Code::InvalidTransition);
    assert_eq!(bench.ledger.verify().unwrap(), head);
}

#[test]
fn a_failure_keeps_its_code() {
    let bench = Bench::new();
    bench.submit(1, false);
    let lease = bench.claim();
    let detail = json!({ "stage": "train" });
    let run =
        bench.ledger.advance(&lease, State::Fail, Some(Code::DegenerateLabels), detail.clone()).unwrap();
    assert_eq!((run.progress.state, run.reason), (State::Fail, Some(Code::DegenerateLabels)));
    let last = bench.ledger.events(lease.run_id()).unwrap().pop().unwrap();
    assert_eq!((last.reason, last.detail), (Some(Code::DegenerateLabels), detail));
}

#[test]
fn a_run_whose_input_is_away_goes_to_the_end_of_the_queue() {
    let bench = Bench::new();
    bench.submit(1, false);
    bench.clock.advance(1);
    bench.submit(2, false);
    bench.clock.advance(1);
    let first = bench.claim();
    bench.ledger.advance(&first, State::Queued, Some(Code::ManifestUnresolved), json!({})).unwrap();
    let second = bench.claim();
    assert_ne!(first.run_id(), second.run_id());
    assert_eq!(bench.claim().run_id(), first.run_id());
}

#[test]
fn a_lease_that_ran_out_is_taken_over_and_its_holder_refused() {
    let bench = Bench::new();
    bench.submit(1, true);
    let old = bench.claim();
    bench.advance(&old, State::EvalReady).unwrap();
    bench.clock.advance(59);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, Some(old.run_id())).unwrap(), None);
    bench.clock.advance(1);
    // Nobody took it yet, and still it is lost.
    assert_eq!(bench.ledger.heartbeat(&old).unwrap_err().code, Code::LeaseLost);
    let new = bench.ledger.claim(&worker("worker-2"), 60, None).unwrap().unwrap();
    assert_eq!((new.epoch(), new.mode(), new.run().progress.state), (2, Mode::Full, State::Running));
    let head = bench.ledger.verify().unwrap();
    let refused = [
        bench.advance(&old, State::EvalReady).map(drop),
        bench.advance(&old, State::Fail).map(drop),
        bench.ledger.begin_publish(&old).map(drop),
        bench.ledger.heartbeat(&old).map(drop),
        bench.ledger.release(&old).map(drop),
    ];
    assert!(refused.into_iter().all(|result| result.unwrap_err().code == Code::LeaseLost));
    assert_eq!(bench.ledger.verify().unwrap(), head);
    bench.advance(&new, State::EvalReady).unwrap();
}

/// The name alone does not make a holder: a worker that restarts has lost what it held before.
#[test]
fn a_worker_of_the_same_name_is_fenced_too() {
    let bench = Bench::new();
    bench.submit(1, false);
    let old = bench.claim();
    bench.clock.advance(60);
    let new = bench.claim();
    assert_eq!(old.worker(), new.worker());
    assert_eq!(bench.advance(&old, State::EvalReady).unwrap_err().code, Code::LeaseLost);
    bench.advance(&new, State::EvalReady).unwrap();
}

#[test]
fn the_row_itself_refuses_a_write_of_another_epoch() {
    let bench = Bench::new();
    let run = bench.submit(1, false);
    assert_eq!(rows::update_run(&bench.raw(), &run, 1).unwrap_err().code, Code::LeaseLost);
    rows::update_run(&bench.raw(), &run, 0).unwrap();
}

#[test]
fn a_heartbeat_holds_the_run() {
    let bench = Bench::new();
    bench.submit(1, false);
    let lease = bench.claim();
    for _ in 0..5 {
        bench.clock.advance(50);
        let until = bench.ledger.heartbeat(&lease).unwrap();
        assert_eq!(until.nanoseconds() - bench.clock.now().nanoseconds(), 60_000_000_000);
    }
    bench.advance(&lease, State::EvalReady).unwrap();
    bench.ledger.verify().unwrap();
}

#[test]
fn a_released_run_is_free_at_once() {
    let bench = Bench::new();
    bench.submit(1, false);
    let lease = bench.claim();
    bench.ledger.release(&lease).unwrap();
    assert_eq!(bench.advance(&lease, State::EvalReady).unwrap_err().code, Code::LeaseLost);
    assert_eq!(bench.claim().epoch(), 2);
}

#[test]
fn a_pass_that_was_not_to_be_published_can_be_later() {
    let bench = Bench::new();
    let lease = bench.passed(1, false);
    assert_eq!(bench.advance(&lease, State::PublishPending).unwrap_err().code, Code::PublishNotAllowed);
    bench.ledger.release(&lease).unwrap();
    assert_eq!(bench.ledger.claim(&worker("worker-1"), 60, None).unwrap(), None);
    assert_eq!(bench.ledger.claim(&worker("worker-1"), 60, Some(lease.run_id())).unwrap(), None);
    bench.ledger.submit(&submission(1, "request-later", true)).unwrap();
    let lease = bench.claim();
    assert_eq!((lease.mode(), lease.run().progress.full_attempts), (Mode::PublishOnly, 1));
    bench.ledger.begin_publish(&lease).unwrap();
    assert_eq!(bench.advance(&lease, State::Published).unwrap().progress.full_attempts, 1);
}

#[test]
fn publish_retries_are_bounded_and_a_crash_spends_none() {
    let bench = Bench::new();
    let mut lease = bench.passed(1, true);
    bench.advance(&lease, State::PublishPending).unwrap();
    for attempt in 0..=PUBLISH_RETRIES {
        bench.ledger.begin_publish(&lease).unwrap();
        bench.clock.advance(60);
        lease = bench.claim();
        let run = bench.ledger.begin_publish(&lease).unwrap();
        assert_eq!((run.progress.publish_attempts, run.progress.full_attempts), (attempt + 1, 1));
        bench
            .ledger
            .advance(&lease, State::PublishPending, Some(Code::RegistryUnavailable), json!({}))
            .unwrap();
    }
    assert_eq!(bench.ledger.begin_publish(&lease).unwrap_err().code, Code::PublishRetryExhausted);
    bench.ledger.release(&lease).unwrap();
    assert_eq!(bench.ledger.claim(&worker("worker-1"), 60, None).unwrap(), None);
    let failure = bench.ledger.claim(&worker("worker-1"), 60, Some(lease.run_id())).unwrap_err();
    assert_eq!(failure.code, Code::PublishRetryExhausted);
    bench.ledger.verify().unwrap();
}

#[test]
fn a_run_that_is_not_there_is_not_found() {
    let bench = Bench::new();
    let id = submission(9, "request-9", false).run_id;
    assert_eq!(bench.ledger.run(&id).unwrap_err().code, Code::RunNotFound);
    assert_eq!(bench.ledger.events(&id).unwrap_err().code, Code::RunNotFound);
    let failure = bench.ledger.claim(&worker("worker-1"), 1, Some(&id)).unwrap_err();
    assert_eq!(failure.code, Code::RunNotFound);
}

/// A bench with two runs, one published and one held, so that no column is empty everywhere.
fn busy() -> Bench {
    let bench = Bench::new();
    let lease = bench.passed(1, false);
    bench.ledger.release(&lease).unwrap();
    bench.ledger.submit(&submission(1, "request-later", true)).unwrap();
    let lease = bench.claim();
    bench.ledger.begin_publish(&lease).unwrap();
    bench
        .ledger
        .advance(&lease, State::PublishPending, Some(Code::RegistryUnavailable), json!({ "note": 1 }))
        .unwrap();
    bench.submit(2, true);
    bench
}

#[test]
fn every_edited_cell_is_found() {
    let bench = busy();
    bench.ledger.verify().unwrap();
    let raw = bench.raw();
    let mut edits = 0;
    for table in ["runs", "events", "requests"] {
        for (column, kind) in columns(&raw, table) {
            for row in row_ids(&raw, table) {
                edit_and_restore(&bench, &raw, (table, &column, &kind), row);
                edits += 1;
            }
        }
    }
    assert!(edits > 150, "{edits}");
    bench.ledger.verify().unwrap();
}

fn edit_and_restore(bench: &Bench, raw: &Connection, (table, column, kind): (&str, &str, &str), row: i64) {
    let changed = match kind {
        "INTEGER" => format!("coalesce({column} + 100, 1)"),
        _ => format!("coalesce(replace({column}, substr({column}, -1), '0z'), 'WORKER')"),
    };
    let kept: rusqlite::types::Value = raw
        .query_row(&format!("SELECT {column} FROM {table} WHERE rowid = {row}"), [], |row| row.get(0))
        .unwrap();
    raw.execute(&format!("UPDATE {table} SET {column} = {changed} WHERE rowid = {row}"), []).unwrap();
    let failure = bench.ledger.verify().expect_err(&format!("{table}.{column} of row {row}"));
    assert_eq!(failure.code, Code::LedgerCorrupt, "{table}.{column}");
    assert!(failure.detail.contains("run tr_"), "{failure}");
    raw.execute(&format!("UPDATE {table} SET {column} = ?1 WHERE rowid = {row}"), [kept]).unwrap();
}

fn row_ids(raw: &Connection, table: &str) -> Vec<i64> {
    let mut statement = raw.prepare(&format!("SELECT rowid FROM {table} ORDER BY rowid")).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn columns(raw: &Connection, table: &str) -> Vec<(String, String)> {
    let mut statement = raw.prepare(&format!("PRAGMA table_info({table})")).unwrap();
    statement.query_map([], |row| Ok((row.get(1)?, row.get(2)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_dropped_or_foreign_row_is_found() {
    for sql in [
        "DELETE FROM events WHERE sequence = 1",
        "DELETE FROM events WHERE sequence = 3",
        "DELETE FROM events WHERE sequence = (SELECT events FROM runs ORDER BY run_id LIMIT 1)",
        "DELETE FROM requests WHERE request_id = 'request-later'",
        "DELETE FROM requests WHERE request_id = 'request-1'",
        "DELETE FROM runs WHERE run_id LIKE '%2'",
        "DELETE FROM runs WHERE run_id LIKE '%1'",
        "DELETE FROM events; DELETE FROM requests",
        "INSERT INTO events SELECT run_id, sequence + 50, kind, state, mode, epoch, publish_allowed,
            recorded_at, reason, detail, previous, hash FROM events WHERE sequence = 1",
        "INSERT INTO requests SELECT request_id || 'x', payload_hash, run_id, requester, publish_allowed,
            submitted_at, sequence, digest FROM requests",
    ] {
        let bench = busy();
        bench.raw().execute_batch(sql).unwrap();
        assert_eq!(bench.ledger.verify().unwrap_err().code, Code::LedgerCorrupt, "{sql}");
    }
}

/// Whoever can compute digests can make the row fit itself, but not the events.
#[test]
fn a_row_that_was_made_to_fit_its_digest_still_fails_the_fold() {
    let bench = Bench::new();
    let run = bench.submit(1, false);
    let mut widened = run.clone();
    widened.progress.publish_allowed = true;
    rows::update_run(&bench.raw(), &widened, 0).unwrap();
    assert!(bench.ledger.run(&run.run_id).is_ok());
    assert_eq!(bench.ledger.verify().unwrap_err().code, Code::LedgerCorrupt);
    assert_eq!(bench.ledger.events(&run.run_id).unwrap_err().code, Code::LedgerCorrupt);
}

#[test]
fn an_edited_row_is_refused_at_each_use() {
    let bench = Bench::new();
    let run = bench.submit(1, false);
    bench.raw().execute("UPDATE runs SET publish_allowed = 1", []).unwrap();
    let corrupt = [
        bench.ledger.run(&run.run_id).map(drop),
        bench.ledger.runs(None, 5).map(drop),
        bench.ledger.claim(&worker("worker-1"), 60, None).map(drop),
        bench.ledger.submit(&submission(1, "request-1", false)).map(drop),
    ];
    assert!(corrupt.into_iter().all(|result| result.unwrap_err().code == Code::LedgerCorrupt));
}

#[test]
fn the_head_outside_shows_history_that_was_cut_off() {
    let bench = Bench::new();
    bench.submit(1, false);
    let before = bench.ledger.verify().unwrap();
    assert_eq!(open(&bench.path(), &bench.clock).unwrap().verify().unwrap(), before);
    bench.submit(2, false);
    assert_ne!(bench.ledger.verify().unwrap().digest, before.digest);
    let lease = bench.claim();
    let claimed = bench.ledger.verify().unwrap();
    bench.ledger.heartbeat(&lease).unwrap();
    assert_eq!(bench.ledger.verify().unwrap(), claimed);
}

#[test]
fn an_older_ledger_is_brought_up_to_date_and_a_newer_refused() {
    let bench = Bench::new();
    let run = bench.submit(1, false);
    let mut raw = bench.raw();
    let next = [schema::MIGRATIONS[0], "CREATE TABLE later (name TEXT NOT NULL) STRICT"];
    // A step that fails half-way leaves the version before.
    let broken = [schema::MIGRATIONS[0], "CREATE TABLE later (name TEXT NOT NULL) STRICT; NO SQL"];
    schema::migrate(&mut raw, &broken).unwrap_err();
    schema::migrate(&mut raw, &next).unwrap();
    schema::migrate(&mut raw, &next).unwrap();
    let version: i64 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
    assert_eq!(bench.ledger.run(&run.run_id).unwrap(), run);
    bench.ledger.verify().unwrap();
    let failure = open(&bench.path(), &bench.clock).err().unwrap();
    assert_eq!(failure.code, Code::LedgerCorrupt);
    assert!(failure.hint().contains("release"));
}

#[test]
fn files_that_are_no_ledger_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::new(Timestamp::from_nanoseconds(0)));
    let code = |name: &str| open(&folder.path().join(name), &clock).err().unwrap().code;
    fs::write(folder.path().join("text"), "not a ledger, and longer than a header: ".repeat(50)).unwrap();
    assert_eq!(code("text"), Code::LedgerCorrupt);
    assert_eq!(code("text/below"), Code::LedgerUnavailable);
    symlink(folder.path().join("elsewhere"), folder.path().join("link")).unwrap();
    assert_eq!(code("link"), Code::LedgerUnavailable);
    assert!(!folder.path().join("elsewhere").exists());
    fs::create_dir(folder.path().join("folder")).unwrap();
    assert_eq!(code("folder"), Code::LedgerUnavailable);
}

#[test]
fn the_ledger_is_private_and_fully_synchronous() {
    let bench = Bench::new();
    bench.submit(1, false);
    for entry in fs::read_dir(bench.folder.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    let connection = bench.ledger.connection.lock().unwrap();
    let pragma = |name: &str| -> i64 {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (2, 1));
}
