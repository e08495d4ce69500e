use super::*;

/// A bench with two runs, one published and one held, so that no column is empty everywhere.
fn busy(bench: &Bench) -> Bench {
    let bench = bench.another();
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

/// The columns of each table, those of its key first, with whether they hold numbers.
const TABLES: [(&str, &str, &str, &str); 3] = [
    (
        "runs",
        "run_id",
        "run_id run_key request state mode worker reason head digest",
        "epoch publish_allowed full_attempts publish_attempts lease_expires submitted_at updated_at events",
    ),
    (
        "events",
        "run_id, sequence",
        "kind state mode reason detail previous hash run_id",
        "epoch publish_allowed recorded_at sequence",
    ),
    (
        "requests",
        "request_id",
        "payload_hash run_id requester digest request_id",
        "publish_allowed submitted_at sequence",
    ),
];

fn every_edited_cell_is_found(bench: &Bench) {
    let bench = busy(bench);
    let head = bench.ledger.verify().unwrap();
    let mut edits = 0;
    for (table, key, texts, numbers) in TABLES {
        bench.edit(&format!("CREATE TABLE kept AS SELECT * FROM {table}"));
        let rows = if table == "events" { head.events } else { 2 };
        for row in 0..rows {
            let place =
                format!("WHERE ({key}) = (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET {row})");
            for column in texts.split(' ') {
                let last = format!("substr({column}, length({column}), 1)");
                let changed = format!("coalesce(replace({column}, {last}, '0z'), 'WORKER')");
                edit_and_restore(&bench, table, &format!("SET {column} = {changed} {place}"));
                edits += 1;
            }
            for column in numbers.split(' ') {
                let changed = format!("coalesce({column} + 100, 1)");
                edit_and_restore(&bench, table, &format!("SET {column} = {changed} {place}"));
                edits += 1;
            }
        }
        bench.edit("DROP TABLE kept");
    }
    assert!(edits > 150, "{edits}");
    assert_eq!(bench.ledger.verify().unwrap(), head);
}

fn edit_and_restore(bench: &Bench, table: &str, edit: &str) {
    bench.edit(&format!("UPDATE {table} {edit}"));
    let failure = bench.ledger.verify().expect_err(&format!("{table} {edit}"));
    assert_eq!(failure.code, Code::LedgerCorrupt, "{table} {edit}");
    assert!(failure.detail.contains("run tr_"), "{failure}");
    bench.edit(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept"));
}

fn every_dropped_or_foreign_row_is_found(bench: &Bench) {
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
        let bench = busy(bench);
        bench.edit(sql);
        assert_eq!(bench.ledger.verify().unwrap_err().code, Code::LedgerCorrupt, "{sql}");
    }
}

/// Whoever can compute digests can make the row fit itself, but not the events.
fn a_row_that_was_made_to_fit_its_digest_still_fails_the_fold(bench: &Bench) {
    let run = bench.submit(1, false);
    let mut widened = run.clone();
    widened.progress.publish_allowed = true;
    bench.put(&widened, Some(0)).unwrap();
    assert!(bench.ledger.run(&run.run_id).is_ok());
    assert_eq!(bench.ledger.verify().unwrap_err().code, Code::LedgerCorrupt);
    assert_eq!(bench.ledger.events(&run.run_id).unwrap_err().code, Code::LedgerCorrupt);
}

fn an_edited_row_is_refused_at_each_use(bench: &Bench) {
    let run = bench.submit(1, false);
    bench.edit("UPDATE runs SET publish_allowed = 1");
    let corrupt = [
        bench.ledger.run(&run.run_id).map(drop),
        bench.ledger.runs(None, 5).map(drop),
        bench.ledger.claim(&worker("worker-1"), 60, None).map(drop),
        bench.ledger.submit(&submission(1, "request-1", false)).map(drop),
    ];
    assert!(corrupt.into_iter().all(|result| result.unwrap_err().code == Code::LedgerCorrupt));
}

fn the_head_outside_shows_history_that_was_cut_off(bench: &Bench) {
    bench.submit(1, false);
    let before = bench.ledger.verify().unwrap();
    assert_eq!(bench.open().verify().unwrap(), before);
    bench.submit(2, false);
    assert_ne!(bench.ledger.verify().unwrap().digest, before.digest);
    let lease = bench.claim();
    let claimed = bench.ledger.verify().unwrap();
    bench.ledger.heartbeat(&lease).unwrap();
    assert_eq!(bench.ledger.verify().unwrap(), claimed);
}

fn counts_that_no_ledger_writes_are_refused(bench: &Bench) {
    for count in ["-1", "9007199254740993", "9223372036854775807"] {
        for table in ["runs", "events"] {
            let bench = busy(bench);
            bench.edit(&format!("UPDATE {table} SET epoch = {count}"));
            assert_eq!(bench.ledger.verify().unwrap_err().code, Code::LedgerCorrupt, "{table} {count}");
        }
    }
}

on_each_database!(
    every_edited_cell_is_found,
    every_dropped_or_foreign_row_is_found,
    a_row_that_was_made_to_fit_its_digest_still_fails_the_fold,
    an_edited_row_is_refused_at_each_use,
    the_head_outside_shows_history_that_was_cut_off,
    counts_that_no_ledger_writes_are_refused,
);
