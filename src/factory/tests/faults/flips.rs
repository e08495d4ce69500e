//! A bit that flips, or a tail that is cut off, in any file that a factory keeps: found, and restored it is whole.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use contracts::{Code, Result, identity::ids::BundleId};
use factory::{
    clock::FixedClock,
    keys::Keys,
    ledger::{Anchors, Ledger, SqliteLedger, State},
    store,
};
use kernels::{Rng, progress::Silent};

use crate::{
    close, rounds,
    support::{
        place::{Files, Place, act, files, today},
        run_config,
    },
};

/// What a file is changed by.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize),
    Cut(usize),
}

impl Damage {
    /// The `index`-th damage of a file with so many bytes, every fourth a cut.
    fn nth(rng: Rng, index: usize, length: usize) -> Self {
        let pick = |bound: usize| rng.below(length as u64, index as u64, bound as u64) as usize;
        if index % 4 == 3 { Self::Cut(pick(length)) } else { Self::Flip(pick(length * 8)) }
    }

    fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        match self {
            Self::Flip(bit) => damaged[bit / 8] ^= 1 << (bit % 8),
            Self::Cut(length) => damaged.truncate(length),
        }
        damaged
    }
}

/// A factory with a bundle that serves, and with an answered job.
fn serving() -> (Place, BundleId) {
    let place = Place::new();
    let run = place.carry_out(place.quick());
    assert_eq!(run.progress.state, State::Published);
    let bundle = store::read_document(place.store(), &place.evidence(&run.run_id).bundle.unwrap()).unwrap();
    place.registry().promote(&bundle.target_scope, &bundle.bundle_id, &act("carol")).unwrap();
    place.put("platform-1/mf/job_requests/job.json", b"{}");
    place.factory.line().take_up(&run_config(), |_, _| true).unwrap();
    assert_eq!(place.factory.fsck().unwrap().findings, []);
    (place, bundle.bundle_id.clone())
}

/// What a bundle rests on: `verify` finds these too.
fn below_a_bundle(path: &Path) -> bool {
    let text = path.to_str().unwrap();
    let parts =
        ["/ofs/", "/resolved_train_plan/", "/training_configs/", "/governance_profiles/", "/train_runs/"];
    let beside = ["measurements", "run_receipt"];
    parts.iter().any(|part| text.contains(part)) && !beside.iter().any(|part| text.contains(part))
}

#[test]
fn a_flipped_bit_or_a_lost_tail_of_any_object_is_found() {
    let (place, bundle) = serving();
    let objects = place.objects();
    let each = rounds(2_000).div_ceil(objects.len());
    let (mut tried, mut lost) = (0, Vec::new());
    for (number, (name, bytes)) in objects.iter().enumerate() {
        let path = place.root().join("objects").join(name);
        for index in 0..each {
            let damage = Damage::nth(Rng::from_u64(number as u64), index, bytes.len());
            fs::write(&path, damage.of(bytes)).unwrap();
            tried += 1;
            let seen = place.factory.fsck().map_or(true, |checkup| !checkup.findings.is_empty());
            let verified = !below_a_bundle(name) || place.factory.verify(&bundle, &Silent).is_err();
            if !seen || !verified {
                lost.push(format!("{damage:?} of {}: fsck {seen}, verify {verified}", name.display()));
            }
        }
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(place.factory.fsck().unwrap().findings, []);
    close("damaged objects", tried, &lost);
}

/// Everything that the ledger answers.
fn answers(path: &Path) -> Result<String> {
    let ledger = SqliteLedger::open(path, Arc::new(FixedClock::new(today())))?;
    let head = ledger.verify()?;
    let runs = ledger.runs(None, 100)?;
    let events = runs.iter().map(|run| ledger.events(&run.run_id)).collect::<Result<Vec<_>>>()?;
    let scopes = ledger.anchored()?;
    let anchors = scopes.iter().map(|scope| ledger.anchor(scope)).collect::<Result<Vec<_>>>()?;
    let at_rest = ledger.lately_at_rest(u32::MAX)?;
    Ok(format!("{head:?} {runs:?} {events:?} {scopes:?} {anchors:?} {at_rest:?}"))
}

/// Not every byte of a database file means something: a damage is found, or nothing that is read is another.
#[test]
fn a_flipped_bit_or_a_lost_tail_of_the_ledger_is_found_or_means_nothing() {
    let (place, _) = serving();
    let kept = place.close();
    let bytes = &kept[&PathBuf::from("ledger.sqlite")];
    let folder = crate::support::place::folder();
    let path = folder.path().join("ledger.sqlite");
    fs::write(&path, bytes).unwrap();
    let whole = answers(&path).unwrap();
    let (mut found, mut lost) = (0, Vec::new());
    let tries = rounds(2_000);
    for index in 0..tries {
        for name in files(folder.path()).keys() {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        let damage = Damage::nth(Rng::from_u64(9), index, bytes.len());
        fs::write(&path, damage.of(bytes)).unwrap();
        match answers(&path) {
            Err(_) => found += 1,
            Ok(same) if same == whole => {}
            Ok(_) => lost.push(format!("{damage:?}")),
        }
    }
    println!("{found} of {tries} damages of the ledger were found, the others mean nothing");
    close("damaged ledger", tries, &lost);
}

/// What a killed process leaves holds all that it acknowledged, or is refused: the log, whatever became of it, and the index,
/// which is made anew and never refused.
#[test]
fn a_flipped_bit_or_a_lost_tail_of_the_ledgers_log_is_found_and_of_its_index_means_nothing() {
    let (place, _) = serving();
    let mut kept = files(place.root());
    kept.retain(|name, _| name.to_str().unwrap().starts_with("ledger.sqlite"));
    let (log, index) = (PathBuf::from("ledger.sqlite-wal"), PathBuf::from("ledger.sqlite-shm"));
    let open = |kept: &Files| {
        let folder = crate::support::place::folder();
        for (name, bytes) in kept {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        answers(&folder.path().join("ledger.sqlite"))
    };
    let whole = open(&kept).unwrap();
    let tries = rounds(2_000);
    let (mut found, mut lost) = (0, Vec::new());
    let mut judge = |what: String, answer: Result<String>, may_refuse: bool| match answer {
        Err(failure) if may_refuse && failure.code == Code::LedgerCorrupt => found += 1,
        Ok(same) if same == whole => {}
        Ok(_) => lost.push(format!("{what}: others are answered")),
        Err(failure) => lost.push(format!("{what}: {failure}")),
    };
    for (name, may_refuse) in [(&log, true), (&index, false)] {
        let bytes = kept[name].clone();
        for number in 0..tries / 2 {
            // Most of an index is not looked at.
            let length = if may_refuse { bytes.len() } else { 136 };
            let damage = Damage::nth(Rng::from_u64(11), number, length);
            kept.insert(name.clone(), damage.of(&bytes));
            judge(format!("{damage:?} of {}", name.display()), open(&kept), may_refuse);
        }
        kept.insert(name.clone(), bytes);
    }
    kept.remove(&log);
    judge("no log".to_owned(), open(&kept), true);
    println!("{found} of {} damages of the ledger's log were found, the others mean nothing", tries / 2 + 1);
    close("damaged log", tries / 2 * 2 + 1, &lost);
}

#[test]
fn a_damaged_key_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Keys::make(folder.path()).unwrap().signer();
    let kept: Files = files(folder.path());
    let (mut tried, mut lost) = (0, Vec::new());
    for name in ["signing.pem", "signing.pub.pem"] {
        let bytes = &kept[&PathBuf::from(name)];
        for index in 0..rounds(500) {
            let damage = Damage::nth(Rng::from_u64(3), index, bytes.len());
            fs::write(folder.path().join(name), damage.of(bytes)).unwrap();
            tried += 1;
            // PEM has places, such as line ends, that mean nothing.
            if Keys::open(folder.path()).is_ok_and(|keys| keys.signer() != signer) {
                lost.push(format!("{damage:?} of {name}"));
            }
        }
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    assert_eq!(Keys::open(folder.path()).unwrap().signer(), signer);
    close("damaged keys", tried, &lost);
}
