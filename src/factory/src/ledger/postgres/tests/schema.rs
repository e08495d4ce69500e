//! Versions, settings, indexes, and whose clock counts.

use std::{sync::Barrier, thread};

use super::*;

#[test]
fn an_older_ledger_is_brought_up_to_date_and_a_newer_refused() {
    let Some(bench) = Bench::postgres() else { return };
    bench.submit(1, false);
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    let migrate = |step: &'static str| {
        let steps = [super::super::schema::MIGRATIONS, &[step]].concat();
        ledger.transact(Purpose::Write, |open| super::super::schema::migrate(open, Absent::Make, &steps))
    };
    // A step that fails half-way leaves the version before.
    migrate("CREATE TABLE later (name text); NO SQL").unwrap_err();
    PostgresLedger::open(&bench.place.name()).unwrap();
    migrate("CREATE TABLE later (name text)").unwrap();
    migrate("CREATE TABLE later (name text)").unwrap();
    bench.ledger.verify().unwrap();
    let failure = refused(&bench.place.name());
    assert_eq!(failure.code, Code::LedgerCorrupt);
    assert!(failure.hint().contains("release"));
}

#[test]
fn many_can_open_an_empty_database_at_once() {
    let Some(server) = server() else { return };
    let database = server.database(None);
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for number in 0..8 {
            let (start, database) = (&start, &database);
            scope.spawn(move || {
                start.wait();
                let ledger = PostgresLedger::open(&database.url()).unwrap();
                ledger.submit(&submission(number, &format!("request-{number}"), false)).unwrap();
            });
        }
    });
    let head = PostgresLedger::open(&database.url()).unwrap().verify().unwrap();
    assert_eq!((head.runs, head.events), (8, 8));
}

/// Whatever is set for the database, the role or the session.
#[test]
fn each_write_is_flushed_and_sees_the_ledgers_own_tables() {
    let Some(bench) = Bench::postgres() else { return };
    let name = &database(&bench).name;
    bench.edit(&format!(
        "ALTER DATABASE {name} SET synchronous_commit = off; ALTER DATABASE {name} SET search_path = decoy;
        ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read';
        CREATE SCHEMA decoy; CREATE TABLE decoy.runs (run_id text)"
    ));
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    ledger.submit(&submission(1, "request-1", false)).unwrap();
    let settings = "SELECT count(*) FROM pg_settings WHERE (name, setting) IN (('synchronous_commit', 'on'),
        ('transaction_isolation', 'read committed'), ('search_path', 'model_factory, pg_temp'))";
    assert_eq!(ledger.transact(Purpose::Write, |open| open.integer(settings)).unwrap(), 3);
    assert_eq!(raw(&bench).texts("SELECT run_id FROM decoy.runs"), [""; 0]);
}

#[test]
fn a_server_that_would_lose_what_it_acknowledged_is_refused() {
    let ask = |version, fsync, encoding, commit| session::required(version, [fsync, encoding, commit]);
    assert_eq!(ask(140_000, "on", "UTF8", "off").unwrap(), "on");
    assert_eq!(ask(180_001, "on", "UTF8", "remote_apply").unwrap(), "remote_apply");
    for (version, fsync, encoding) in
        [(130_014, "on", "UTF8"), (140_000, "off", "UTF8"), (140_000, "on", "LATIN1")]
    {
        assert_eq!(ask(version, fsync, encoding, "on").unwrap_err().code, Code::LedgerUnavailable);
    }
}

#[test]
fn leases_go_by_the_databases_clock() {
    let Some(bench) = Bench::postgres() else { return };
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    let now = || ledger.transact(Purpose::Read, |open| open.now()).unwrap().nanoseconds();
    let before = now();
    ledger.submit(&submission(1, "request-1", false)).unwrap();
    let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
    let until = lease.run().holder.as_ref().unwrap().expires_at.nanoseconds() - 60_000_000_000;
    assert!((before..=now()).contains(&until));
    // Whatever the clock of another worker shows, it is not asked; and no clock turns the order of events around.
    assert_eq!(
        PostgresLedger::open(&bench.place.name()).unwrap().claim(&worker("worker-2"), 60, None).unwrap(),
        None
    );
    bench.clock.set(Timestamp::from_nanoseconds(0));
    let run = bench.ledger.submit(&submission(1, "request-2", true)).unwrap().run;
    assert_eq!(run.updated_at, lease.run().updated_at);
}

/// The moment of a write that asks for none is told by the clock here, and is not believed where the server's is another.
#[test]
fn a_clock_that_went_another_way_than_the_servers_is_found_out() {
    let Some(bench) = Bench::postgres() else { return };
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    let now = || ledger.transact(Purpose::Read, |open| open.now()).unwrap();
    ledger.submit(&submission(1, "request-1", false)).unwrap();
    let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
    for (off, to) in [(-3_600, State::EvalReady), (3_600, State::Fail)] {
        let before = now();
        let told = Timestamp::from_nanoseconds(before.nanoseconds() + off * 1_000_000_000);
        ledger.session.lock().unwrap().as_mut().unwrap().known.hears(told);
        let run = ledger.advance(&lease, to, None, serde_json::json!({})).unwrap();
        assert!((before..=now()).contains(&run.updated_at), "{off}");
    }
    ledger.verify().unwrap();
}

/// As a pooler does that gives each transaction another connection, with settings of its own.
#[test]
fn a_write_that_stands_alone_is_refused_on_other_terms() {
    let Some(bench) = Bench::postgres() else { return };
    bench.edit(
        "CREATE SCHEMA decoy; CREATE TABLE decoy.runs AS TABLE runs; CREATE TABLE decoy.events AS TABLE events;
        CREATE TABLE decoy.requests AS TABLE requests",
    );
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    let set = |setting: &str| {
        ledger.transact(Purpose::Write, |open| open.batch(&format!("SET {setting}"))).unwrap();
        ledger.session.lock().unwrap().as_ref().unwrap().waits
    };
    let waited = || ledger.session.lock().unwrap().as_ref().unwrap().waits;
    let submit = |number| {
        let request = submission(number, &format!("request-{number}"), false);
        assert!(ledger.submit(&request).unwrap().fresh);
    };
    // Until the server's clock and the statements are known.
    (1..=2).for_each(submit);
    let settings = [
        "search_path = model_factory, pg_temp",
        "synchronous_commit = off",
        "search_path = decoy, model_factory",
    ];
    for ((number, setting), waits) in (3..).zip(settings).zip([1, 3, 3]) {
        let before = set(setting);
        submit(number);
        // It is refused, and then looked for and written as a transaction of several statements.
        assert_eq!(waited() - before, waits, "{setting}");
        set("synchronous_commit = on");
    }
    assert_eq!(raw(&bench).texts("SELECT run_id FROM decoy.runs"), [""; 0]);
    assert_eq!(ledger.verify().unwrap().runs, 5);
}

/// What a call costs on a server that is far away: each answer is one way there and back.
#[test]
fn a_call_waits_for_as_few_answers_as_it_can() {
    let Some(bench) = Bench::postgres() else { return };
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    let waited = || {
        let session = ledger.session.lock().unwrap();
        session.as_ref().unwrap().waits
    };
    let detail = || serde_json::json!({});
    // The first time round the server's clock is not known, and then each statement is prepared.
    for round in 0..3 {
        let mut before = waited();
        let mut costs = |what: &str, expected: u64| {
            let (now, then) = (waited(), before);
            before = now;
            assert!(round < 2 || now - then == expected, "{what} waits for {} answers", now - then);
        };
        let request = submission(round, &format!("request-{round}"), true);
        ledger.submit(&request).unwrap();
        costs("a submission", 1);
        let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
        costs("a claim", 2);
        ledger.heartbeat(&lease).unwrap();
        costs("a heartbeat", 1);
        ledger.advance(&lease, State::EvalReady, None, detail()).unwrap();
        costs("a report", 1);
        let moves = [
            Move::to(State::Pass, None, detail()),
            Move::to(State::PublishPending, None, detail()),
            Move::begin_publish(),
        ];
        ledger.report(&lease, &moves).unwrap();
        costs("a report of three moves", 1);
        ledger.advance(&lease, State::Published, None, detail()).unwrap();
        costs("a report", 1);
        ledger.run(&request.run_id).unwrap();
        costs("a look at a run", 2);
    }
}

/// However many runs there are, a listing or a claim reads those that it shows: no scan, and nothing to sort.
#[test]
fn listings_and_claims_follow_an_index() {
    let Some(bench) = Bench::postgres() else { return };
    let done = "(ARRAY['PUBLISHED', 'FAIL', 'PASS'])[1 + number % 3]";
    let state = format!("CASE WHEN number % 100 = 0 THEN 'QUEUED' ELSE {done} END");
    bench.edit(&format!(
        "INSERT INTO runs SELECT 'tr_' || number, '', '', {state}, 'NONE', 0, 0, 0, 0, NULL, NULL, NULL, number,
            number, 1, '', '' FROM generate_series(1, 20000) AS number; ANALYZE runs"
    ));
    let after = rows::WAITING_AFTER.replace("$1", "0").replace("$2", "''");
    let latest = rows::LATEST.replace("$1", "10");
    let in_state = rows::LATEST_IN_STATE.replace("$1", "'QUEUED'").replace("$2", "10");
    let at_rest = rows::AT_REST_SINCE.replace("$1", "19990");
    for (sql, index) in [
        (rows::WAITING.to_owned(), "using runs_waiting"),
        (after, "using runs_waiting"),
        (rows::FREE.to_owned(), "using runs_waiting"),
        (latest, "using runs_by_admission"),
        (in_state, "using runs_by_state_and_admission"),
        (at_rest, "using runs_at_rest"),
        (rows::LATEST_AT_REST.to_owned(), "Backward using runs_at_rest"),
    ] {
        let plan = raw(&bench).texts(&format!("EXPLAIN {sql}")).join("\n");
        assert!(plan.contains("Index Scan") && plan.contains(index), "{plan}");
        assert!(!plan.contains("Sort") && !plan.contains("Seq Scan"), "{plan}");
    }
}

/// A connection may have made its plans when the ledger was empty, and nobody tells it when that is no longer so.
#[test]
fn plans_from_before_there_were_runs_follow_an_index() {
    let Some(bench) = Bench::postgres() else { return };
    raw(&bench).batch("SET plan_cache_mode = force_generic_plan");
    let run = "SELECT digest FROM runs WHERE run_id = $1 FOR UPDATE";
    let free = format!("{} FOR UPDATE SKIP LOCKED", rows::FREE);
    for (place, (sql, types, values, index)) in [
        (rows::WAITING, "", "", "using runs_waiting"),
        (rows::WAITING_AFTER, "(bigint, text)", "(0, '')", "using runs_waiting"),
        (&free, "", "", "using runs_waiting"),
        (run, "(text)", "('')", "using runs_pkey"),
    ]
    .into_iter()
    .enumerate()
    {
        raw(&bench).batch(&format!("PREPARE plan_{place}{types} AS {sql}"));
        let plan = raw(&bench).texts(&format!("EXPLAIN EXECUTE plan_{place}{values}")).join("\n");
        assert!(plan.contains(index) && !plan.contains("Sort"), "{plan}");
    }
}
