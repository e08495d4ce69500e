//! Who makes a factory and its key, and whom a place refuses.

use std::{fs, path::Path};

use contracts::Code;
use factory::{Factory, Place, keys::Keys, store::Location};

use crate::support::place::{assert_refusal, folder};

fn place(root: &Path, ledger: Option<&Path>, keys: Option<&Path>) -> Place {
    let root = Location::Folder(root.into());
    Place { root, ledger: ledger.map(Into::into), keys: keys.map(Into::into) }
}

/// What stands below a folder, as it was.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn only_making_a_factory_makes_anything() {
    let folder = folder();
    let root = folder.path().join("factory");
    let failure = Factory::open(&place(&root, None, None)).err().unwrap();
    assert_refusal("nothing there", &failure, Code::SourceUnreadable, "root");
    assert_eq!(names(folder.path()), [""; 0]);

    let signer = Factory::make(&place(&root, None, None)).unwrap().line().keys.signer();
    let again = Factory::open(&place(&root, None, None)).unwrap();
    assert_eq!(again.line().keys.signer(), signer);

    // A root that was mistyped beside a ledger that is there.
    let (other, ledger) = (folder.path().join("other"), root.join("ledger.sqlite"));
    let failure = Factory::open(&place(&other, Some(&ledger), Some(&root.join("keys")))).err().unwrap();
    assert_refusal("no objects", &failure, Code::SourceUnreadable, "root");
    // A file of a ledger that was emptied is none.
    let emptied = folder.path().join("emptied.sqlite");
    fs::write(&emptied, "").unwrap();
    let failure = Factory::open(&place(&root, Some(&emptied), None)).err().unwrap();
    assert_refusal("an emptied ledger", &failure, Code::SourceUnreadable, "ledger");
    assert_eq!(fs::read(&emptied).unwrap(), b"");
    assert_eq!(names(folder.path()), ["emptied.sqlite", "emptied.sqlite.lock", "factory"]);
}

/// What was made once is not made anew: a second ledger would give its runs other histories.
#[test]
fn a_factory_whose_ledger_is_away_gets_no_other() {
    let folder = folder();
    let root = folder.path().join("factory");
    Factory::make(&place(&root, None, None)).unwrap();
    let ledger = root.join("ledger.sqlite");
    let kept = folder.path().join("kept.sqlite");
    fs::rename(&ledger, &kept).unwrap();
    let other = folder.path().join("other");
    Factory::make(&place(&other, None, None)).unwrap();
    let refused = |name: &str, ledger: Option<&Path>| {
        for open in [Factory::open, Factory::make] {
            let failure = open(&place(&root, ledger, None)).err().unwrap();
            assert_refusal(name, &failure, Code::SourceUnreadable, "ledger");
        }
    };
    refused("a lost one", None);
    assert!(!ledger.exists());
    let mistyped = folder.path().join("typo.sqlite");
    refused("a mistyped one", Some(&mistyped));
    assert!(!mistyped.exists());
    fs::write(&ledger, "").unwrap();
    refused("an emptied one", None);
    assert_eq!(fs::read(&ledger).unwrap(), b"");
    refused("another factory's", Some(&other.join("ledger.sqlite")));

    fs::rename(&kept, &ledger).unwrap();
    Factory::make(&place(&root, None, None)).unwrap();
    assert_eq!(fs::read(root.join("objects/registry/ledger")).unwrap().len(), "sha256:".len() + 64);
}

/// Whoever makes a factory names its ledger last: until then who makes none is told to wait, and does not take the objects for
/// another's.
#[test]
fn a_factory_that_is_only_being_made_is_waited_for() {
    let folder = folder();
    let root = folder.path().join("factory");
    let made = Factory::make(&place(&root, None, None)).unwrap();
    let named = root.join("objects/registry/ledger");
    let name = fs::read(&named).unwrap();
    fs::remove_file(&named).unwrap();
    // Its maker died with a signer in the ledger, or before it had a key.
    for cut_off in [false, true] {
        if cut_off {
            fs::remove_dir_all(root.join("keys")).unwrap();
        }
        let failure = Factory::open(&place(&root, None, None)).err().unwrap();
        assert_eq!((failure.code, failure.retryable()), (Code::LedgerUnavailable, true), "{failure}");
        assert!(!named.exists(), "who only looks writes nothing");
    }
    drop(made);
    fs::remove_file(root.join("ledger.sqlite")).unwrap();
    Factory::make(&place(&root, None, None)).unwrap();
    assert_ne!(fs::read(&named).unwrap(), name);
    Factory::open(&place(&root, None, None)).unwrap();
}

#[test]
fn a_folder_without_keys_gets_none_once_there_is_a_factory() {
    let folder = folder();
    let root = folder.path().join("factory");
    Factory::make(&place(&root, None, None)).unwrap();
    for (name, there) in [("mistyped", false), ("empty", true)] {
        let keys = folder.path().join(name);
        if there {
            fs::create_dir(&keys).unwrap();
        }
        for open in [Factory::open, Factory::make] {
            let failure = open(&place(&root, None, Some(&keys))).err().unwrap();
            assert_refusal(name, &failure, Code::SigningKeyUnavailable, "keys");
            assert_eq!((keys.exists(), names(&keys)), (there, Vec::new()));
        }
    }
}

#[test]
fn another_factorys_key_is_refused_until_it_trusts_ours() {
    let folder = folder();
    let root = folder.path().join("factory");
    Factory::make(&place(&root, None, None)).unwrap();
    let keys = folder.path().join("others");
    let other = Keys::make(&keys).unwrap().signer();
    let opened = || Factory::open(&place(&root, None, Some(&keys)));
    assert_refusal("a strange key", &opened().err().unwrap(), Code::SigningKeyUnavailable, "signing.pem");

    fs::create_dir(keys.join("trusted")).unwrap();
    fs::copy(root.join("keys/signing.pub.pem"), keys.join("trusted/former.pem")).unwrap();
    assert_eq!(opened().unwrap().line().keys.signer(), other);
    // The former one goes on once it trusts the new one, and who only reads is nobody that signs.
    let former = || Factory::open(&place(&root, None, None));
    assert_refusal("a former key", &former().err().unwrap(), Code::SigningKeyUnavailable, "signing.pem");
    fs::create_dir(root.join("keys/trusted")).unwrap();
    fs::copy(keys.join("signing.pub.pem"), root.join("keys/trusted/new.pem")).unwrap();
    former().unwrap();
    fs::remove_file(keys.join("signing.pem")).unwrap();
    fs::remove_file(keys.join("signing.pub.pem")).unwrap();
    assert_eq!(opened().unwrap().line().keys.signer(), None);
}
