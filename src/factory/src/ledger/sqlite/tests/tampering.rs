use super::*;

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
fn counts_that_no_ledger_writes_are_refused() {
    for count in ["-1", "9007199254740993", "9223372036854775807"] {
        for table in ["runs", "events"] {
            let bench = busy();
            bench.raw().execute_batch(&format!("UPDATE {table} SET epoch = {count}")).unwrap();
            assert_eq!(bench.ledger.verify().unwrap_err().code, Code::LedgerCorrupt, "{table} {count}");
        }
    }
}
