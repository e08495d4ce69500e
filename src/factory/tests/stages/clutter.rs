//! What lies in the inbox and is no job, or has no place for its answer: it keeps itself waiting and nobody else.

use std::{
    fs::{self, File},
    os::unix::{fs::symlink, net::UnixListener},
};

use contracts::{Code, job::JobOutcome};
use factory::jobs::Taken;
use rustix::fs::Mode;

use super::inbox::{INVOCATIONS, JOBS, answer, drop_in, job, look};
use crate::support::place::{Place, assert_refusal};

#[test]
fn what_is_no_file_keeps_nobody_but_itself_waiting() {
    let place = Place::new();
    let good = job(&place.quick()).to_string();
    drop_in(&place, "c-good", good.as_bytes());
    let folder = place.path(JOBS);
    symlink("/nowhere", folder.join("a-dangling.json")).unwrap();
    fs::write(place.root().join("elsewhere.json"), &good).unwrap();
    symlink(place.root().join("elsewhere.json"), folder.join("b-link.json")).unwrap();
    // To read it as a file would be to wait for a writer for good.
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("d-pipe.json"), Mode::RWXU).unwrap();
    let _listener = UnixListener::bind(folder.join("e-socket.json")).unwrap();

    let seen = look(&place.factory);
    let outcomes: Vec<_> = seen
        .iter()
        .map(|(name, taken)| match taken {
            Taken::Answered(receipt) => (&name[..], receipt.outcome == JobOutcome::Admitted),
            Taken::Left(failure) => {
                assert_eq!(failure.code, Code::StoreCorrupt);
                assert!(failure.detail.contains(&format!("{JOBS}/{name}")), "{failure}");
                (&name[..], false)
            }
        })
        .collect();
    let expected = ["a-dangling.json", "b-link.json", "c-good.json", "d-pipe.json", "e-socket.json"];
    assert_eq!(outcomes, expected.map(|name| (name, name == "c-good.json")));
    // The check-up finds each of them, and nothing else.
    let found: Vec<_> =
        place.factory.fsck().unwrap().findings.into_iter().map(|f| (f.subject, f.code)).collect();
    let others = expected.into_iter().filter(|name| *name != "c-good.json");
    assert_eq!(found, others.map(|name| (format!("{JOBS}/{name}"), Code::StoreCorrupt)).collect::<Vec<_>>());
    // Once it is a file, it is a job.
    fs::remove_file(folder.join("b-link.json")).unwrap();
    fs::rename(place.root().join("elsewhere.json"), folder.join("b-link.json")).unwrap();
    assert_eq!(answer(&look(&place.factory)[1].1).outcome, JobOutcome::Admitted);
}

#[test]
fn what_is_no_job_by_its_name_is_told_and_harmless() {
    let place = Place::new();
    let good = job(&place.quick()).to_string();
    drop_in(&place, "m-good", good.as_bytes());
    let folder = place.path(JOBS);
    for odd in
        [".job.json.swp", "with space.json", "-a.json", "a..json", &format!("{}.json", "n".repeat(124))]
    {
        fs::write(folder.join(odd), b"{").unwrap();
    }
    for other in ["half.json.tmp", "JOB.JSON", "json", "z"] {
        fs::write(folder.join(other), b"{").unwrap();
    }
    fs::create_dir_all(folder.join("empty")).unwrap();
    fs::create_dir_all(folder.join("empty.json")).unwrap();
    fs::create_dir_all(folder.join("empties/deeper")).unwrap();
    for deeper in ["sub/a.json", "sub/b.json", "sub.json/deeper/c.json"] {
        fs::create_dir_all(folder.join(deeper).parent().unwrap()).unwrap();
        fs::write(folder.join(deeper), &good).unwrap();
    }
    for first in [true, false] {
        let mut left = Vec::new();
        for (name, taken) in look(&place.factory) {
            match taken {
                Taken::Left(failure) => {
                    assert!(
                        failure.detail.contains(&name) && failure.detail.contains("NAME.json"),
                        "{failure}"
                    );
                    assert!(failure.hint().contains("rename"), "{failure}");
                    left.push((name, failure.code));
                }
                Taken::Answered(_) => assert!(first && name == "m-good.json", "{name}"),
            }
        }
        let of = |name: &str, code| (name.to_owned(), code);
        let expected = [
            of("job_requests", Code::StoreKeyInvalid),
            of("JOB.JSON", Code::JobRequestInvalid),
            of("empties", Code::JobRequestInvalid),
            of("empty", Code::JobRequestInvalid),
            of("empty.json", Code::JobRequestInvalid),
            of("half.json.tmp", Code::JobRequestInvalid),
            of("json", Code::JobRequestInvalid),
            of("sub", Code::JobRequestInvalid),
            of("sub.json", Code::JobRequestInvalid),
            of("z", Code::JobRequestInvalid),
        ];
        assert_eq!(left, expected);
    }
    let unnamed = look(&place.factory).remove(0).1;
    assert!(
        matches!(&unnamed, Taken::Left(failure) if failure.detail.contains("5 of another form")),
        "{unnamed:?}"
    );
    // Nothing of it was answered, and what gets its name is a job like any other.
    assert_eq!(place.store().list(&INVOCATIONS.parse().unwrap()).unwrap().keys.len(), 1);
    fs::write(folder.join("half.json.tmp"), &good).unwrap();
    fs::rename(folder.join("half.json.tmp"), folder.join("half.json")).unwrap();
    let seen = look(&place.factory);
    let (_, taken) = seen.iter().find(|(name, _)| name == "half.json").unwrap();
    assert_eq!(answer(taken).outcome, JobOutcome::Admitted);
}

#[test]
fn an_inbox_that_is_a_link_is_told() {
    let place = Place::new();
    let elsewhere = place.root().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    place.put("platform-1/mf/an/object", b"");
    symlink(&elsewhere, place.path(JOBS)).unwrap();
    let seen = look(&place.factory);
    assert!(
        matches!(&seen[..], [(name, Taken::Left(failure))]
        if name == "job_requests" && failure.code == Code::StoreCorrupt),
        "{seen:?}"
    );
}

/// Where the answers would go elsewhere nothing is admitted, and no worker ends of it.
#[test]
fn answers_that_are_a_link_keep_every_job_waiting() {
    let place = Place::new();
    let good = job(&place.quick()).to_string();
    drop_in(&place, "a", good.as_bytes());
    let elsewhere = place.root().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, place.path(INVOCATIONS)).unwrap();
    let seen = look(&place.factory);
    assert!(
        matches!(&seen[..], [(name, Taken::Left(failure))]
        if name == "a.json" && failure.code == Code::StoreCorrupt),
        "{seen:?}"
    );
    assert_eq!(place.ledger().runs(None, 10).unwrap(), []);
    fs::remove_file(place.path(INVOCATIONS)).unwrap();
    assert_eq!(answer(&look(&place.factory)[0].1).outcome, JobOutcome::Admitted);
}

/// A file with a hole takes no room on the disk; reading this one would take an hour.
#[test]
fn what_is_too_large_for_a_job_is_told_without_being_read() {
    let place = Place::new();
    drop_in(&place, "a", b"");
    File::options()
        .write(true)
        .open(place.path(&format!("{JOBS}/a.json")))
        .unwrap()
        .set_len(1 << 42)
        .unwrap();
    drop_in(&place, "b", job(&place.quick()).to_string().as_bytes());
    let seen = look(&place.factory);
    let Taken::Left(failure) = &seen[0].1 else { panic!("{:?}", seen[0]) };
    assert_refusal("too large", failure, Code::JobRequestInvalid, "job_requests/a.json");
    assert!(failure.detail.contains("found 4398046511104 bytes"), "{}", failure.detail);
    assert_eq!(answer(&seen[1].1).outcome, JobOutcome::Admitted);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

#[test]
fn an_answer_that_has_no_place_keeps_its_own_job_waiting_and_runs_nothing() {
    let place = Place::new();
    for name in ["a", "b", "c"] {
        drop_in(&place, name, job(&place.quick()).to_string().as_bytes());
    }
    fs::create_dir_all(place.path(&format!("{INVOCATIONS}/b.json"))).unwrap();
    symlink("/nowhere", place.path(&format!("{INVOCATIONS}/a.json"))).unwrap();
    let seen = look(&place.factory);
    let run = answer(&seen[2].1).train_run_id.clone().unwrap();
    let told: Vec<_> = seen[..2]
        .iter()
        .map(|(name, taken)| match taken {
            Taken::Left(failure) => (failure.code, failure.detail.clone(), name.as_str()),
            Taken::Answered(_) => panic!("{name} was answered"),
        })
        .collect();
    assert_eq!([told[0].0, told[1].0], [Code::StoreCorrupt, Code::StoreKeyInvalid]);
    assert!(told.iter().all(|(_, detail, name)| detail.starts_with(&format!("{JOBS}/{name}"))), "{told:?}");
    // Of the first nothing was submitted; of the other, the run is told that has no receipt.
    assert!(!told[0].1.contains("tr_") && told[1].1.contains(run.as_str()), "{told:?}");
}
