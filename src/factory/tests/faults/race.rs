//! Eight processes publish one bundle at the same moment, half of them with other bytes.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write, stdin},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use contracts::{Code, Failure, Result, identity::ids::TrainRunId, names::ObjectKey};
use factory::{
    bundle,
    clock::FixedClock,
    gate::{self, Judged},
    keys::Keys,
    ledger::SqliteLedger,
    line::Line,
    publish::publish,
    registry::EmbeddedRegistry,
    store::Put,
};

use crate::{
    close, rounds,
    support::place::{Place, act, line, today},
};

/// Marks a publisher's process and its answers among what the test harness prints.
const MARK: &str = "@publisher ";

/// A process that publishes when it is told to.
struct Publisher {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Publisher {
    fn start() -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "race::the_publisher", "--ignored", "--nocapture", "--test-threads=1"])
            .env("MODEL_FACTORY_TEST_PUBLISHER", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, orders, answers }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        self.orders.flush().unwrap();
    }

    fn answer(&mut self) -> String {
        loop {
            let mut text = String::new();
            assert_ne!(self.answers.read_line(&mut text).unwrap(), 0, "a publisher died");
            if let Some((_, answer)) = text.split_once(MARK) {
                return answer.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process goes about it.
const ROLES: [&str; 2] = ["honest", "other"];

/// The process: `ROOT RUN KIND ROLE` prepares it, `go` lets it publish.
#[test]
#[ignore = "started by the race, several times"]
fn the_publisher() {
    if env::var_os("MODEL_FACTORY_TEST_PUBLISHER").is_none() {
        return;
    }
    let mut orders = stdin().lock().lines().map_while(Result::ok);
    while let Some(order) = orders.next() {
        let words: Vec<_> = order.split(' ').collect();
        let [root, run, kind, role] = words[..] else { panic!("{order}") };
        let prepared = Prepared::new(Path::new(root), &run.parse().unwrap(), kind, role);
        println!("{MARK}ready");
        assert_eq!(orders.next().as_deref(), Some("go"));
        let answer = prepared.publish();
        println!("{MARK}{}", answer.unwrap_or_else(|failure| failure.code.as_str().to_owned()));
    }
}

struct Prepared {
    line: Line,
    run: TrainRunId,
    /// Where somebody who goes past the registry puts other bytes; the others publish.
    past: Option<ObjectKey>,
}

impl Prepared {
    fn new(root: &Path, run: &TrainRunId, kind: &str, role: &str) -> Self {
        let line = line(root, &Arc::new(FixedClock::new(today())));
        let run = run.clone();
        match (kind, role) {
            ("record", "other") => {
                let record = std::fs::read_to_string(root.join("record")).unwrap();
                Self { line, run, past: Some(record.parse().unwrap()) }
            }
            ("signer", "other") => {
                let keys = Arc::new(Keys::from_secret(&[8; 32]));
                let ledger = SqliteLedger::open(root.join("ledger.sqlite"), line.clock.clone()).unwrap();
                let (store, clock) = (line.store.clone(), line.clock.clone());
                let registry = EmbeddedRegistry::new(store, clock, keys.clone(), Arc::new(ledger));
                Self { line: Line { keys, registry: Arc::new(registry), ..line }, run, past: None }
            }
            _ => Self { line, run, past: None },
        }
    }

    fn publish(&self) -> Result<String> {
        let Line { store, keys, registry, .. } = &self.line;
        let Judged::Pass(passed) = gate::confirm(&**store, &self.line.evidence(&self.run)?)? else {
            panic!("it passed")
        };
        let bundle = bundle::assemble(&**store, keys, *passed)?;
        match &self.past {
            None => drop(publish(&**store, &**registry, &bundle, &"alice".parse()?, &act("alice"))?),
            Some(record) => {
                if store.put_if_absent(record, b"other")? == Put::Exists {
                    return Err(Failure::new(Code::PublishConflict, "it is there"));
                }
            }
        }
        Ok("won".to_owned())
    }
}

/// A run that passed, whose bundle is not assembled yet.
fn passed() -> (Place, TrainRunId) {
    let (place, run) = Place::passed();
    std::fs::remove_file(place.path(&format!("platform-1/mf/train_runs/{run}/bundle.json"))).unwrap();
    (place, run)
}

/// The key under which the run's bundle is to be published.
fn record_key() -> ObjectKey {
    let (place, run) = Place::passed();
    let reference = place.evidence(&run).bundle.unwrap();
    let bundle = factory::store::read_document(place.store(), &reference).unwrap();
    format!("registry/bundles/{}/{}.json", bundle.bundle_id, bundle.bundle_version).parse().unwrap()
}

#[test]
fn eight_publishers_of_one_bundle_have_one_winner() {
    let record = record_key();
    let mut publishers: Vec<_> = (0..8).map(|_| Publisher::start()).collect();
    let (mut lost, mut past) = (Vec::new(), 0);
    let rounds = rounds(200);
    for round in 0..rounds {
        // Every other round the other half goes past the registry; else it signs with a key of its own.
        let kind = if round % 2 == 0 { "signer" } else { "record" };
        let (place, run) = passed();
        std::fs::write(place.root().join("record"), record.as_str()).unwrap();
        for (number, publisher) in publishers.iter_mut().enumerate() {
            let role = ROLES[(number + round / 2) % 2];
            publisher.order(&format!("{} {run} {kind} {role}", place.root().display()));
        }
        for publisher in &mut publishers {
            assert_eq!(publisher.answer(), "ready");
        }
        for publisher in &mut publishers {
            publisher.order("go");
        }
        let answers: Vec<_> = publishers
            .iter_mut()
            .enumerate()
            .map(|(number, publisher)| (ROLES[(number + round / 2) % 2], publisher.answer()))
            .collect();
        past += usize::from(place.store().get(&record).unwrap().is_some_and(|bytes| bytes == b"other"));
        if let Err(what) = judge(&place, &record, kind, &answers) {
            lost.push(format!("round {round} ({kind}): {what}: {answers:?}"));
        }
    }
    println!("somebody went past the registry and was first in {past} of {rounds} rounds");
    close("race", rounds * 8, &lost);
}

/// One side won, all of it that publishes through the registry says so, and each of the other met a typed conflict.
fn judge(place: &Place, record: &ObjectKey, kind: &str, answers: &[(&str, String)]) -> Result<(), String> {
    let of = |role: &str| -> BTreeSet<&str> {
        answers.iter().filter(|(own, _)| *own == role).map(|(_, answer)| answer.as_str()).collect()
    };
    let (honest, other) = (of("honest"), of("other"));
    let conflict = |codes: &BTreeSet<&str>| {
        codes.iter().all(|code| {
            ["MODEL_BUNDLE_IMMUTABILITY_VIOLATION", "PUBLISH_CONFLICT", "SIGNATURE_INVALID"].contains(code)
        })
    };
    let won = |answers: &BTreeSet<&str>| answers.len() == 1 && answers.contains("won");
    let bytes = place.store().get(record).unwrap().ok_or("nobody published")?;
    let records = place.store().list(&"registry/bundles".parse().unwrap()).unwrap().keys.len();
    let one_raw = answers.iter().filter(|(role, answer)| *role == "other" && answer == "won").count() == 1;
    match kind {
        _ if records != 1 => Err("there are several records".to_owned()),
        "record" if bytes == b"other" && one_raw && conflict(&honest) => Ok(()),
        "record" if bytes != b"other" && won(&honest) && !other.contains("won") => Ok(()),
        "signer" if won(&honest) && conflict(&other) => {
            let findings = place.factory.fsck().unwrap().findings;
            // Nobody recorded the publication in the ledger; all else is whole.
            if findings.is_empty() { Ok(()) } else { Err(format!("{findings:?}")) }
        }
        "signer" if won(&other) && conflict(&honest) => Ok(()),
        _ => Err("no single winner".to_owned()),
    }
}
