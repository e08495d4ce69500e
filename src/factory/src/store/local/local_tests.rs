#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests look behind the store")]

use std::{
    env,
    ffi::OsStr,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    process::{self, Command, ExitStatus},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use contracts::{Code, artifacts::ModelArtifact};
use rustix::process::Uid;

use super::{lasting::MOST_AT_ONCE, staging::STAGED, *};
use crate::{
    failpoint,
    store::{
        suite_tests::{self, key},
        write_once,
    },
};

const CHILD_ROOT: &str = "MODEL_FACTORY_TEST_ROOT";

fn store() -> (tempfile::TempDir, LocalStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path().join("deep/store")).unwrap();
    (folder, store)
}

#[test]
fn it_keeps_every_promise_and_leaves_nothing_staged() {
    let (_folder, store) = store();
    suite_tests::keeps_every_promise(&store);
    assert_eq!(store.collect_staging().unwrap(), 0);
}

#[test]
fn an_object_is_private_to_its_user() {
    let (_folder, store) = store();
    store.put_if_absent(&key("a/b"), b"bytes").unwrap();
    let mode = fs::metadata(store.root().join("a/b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_has_a_name_that_no_key_has_is_counted() {
    let (_folder, store) = store();
    store.put_if_absent(&key("p/a"), b"").unwrap();
    for odd in [".hidden", "with space", "-a", "a..b", &"x".repeat(129)] {
        fs::write(store.root().join("p").join(odd), b"").unwrap();
    }
    fs::write(store.root().join("p").join(OsStr::from_bytes(b"\xff")), b"").unwrap();
    let listed = store.list(&key("p")).unwrap();
    assert_eq!((listed.unnamed, listed.objects().unwrap()), (6, vec![key("p/a")]));
}

#[test]
fn a_folder_in_which_nothing_stands_is_named() {
    let (_folder, store) = store();
    store.put_if_absent(&key("p/a/object"), b"").unwrap();
    for text in ["p/b", "p/a/c/d", "q/e", "q/f"] {
        fs::create_dir_all(store.root().join(text)).unwrap();
    }
    fs::write(store.root().join("q/f/with space"), b"").unwrap();
    let listed = store.list(&key("p")).unwrap();
    assert_eq!(
        (&listed.empty[..], &listed.keys[..]),
        (&["p/a/c/d", "p/b"].map(key)[..], &[key("p/a/object")][..])
    );
    let listed = store.list(&key("q")).unwrap();
    assert_eq!((listed.empty, listed.unnamed), (vec![key("q/e")], 1));
    // The prefix is not below itself.
    assert_eq!(store.list(&key("p/b")).unwrap(), Listing::default());
}

#[test]
fn links_and_special_files_are_refused() {
    let (folder, store) = store();
    store.put_if_absent(&key("real/object"), b"bytes").unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("object"), b"secret").unwrap();
    symlink(&outside, store.root().join("linked")).unwrap();
    symlink(outside.join("object"), store.root().join("real/link")).unwrap();
    symlink(outside.join("nothing"), store.root().join("real/dangling")).unwrap();
    let _listener = UnixListener::bind(store.root().join("real/socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, store.root().join("real/pipe"), Mode::RWXU).unwrap();
    for text in ["linked/object", "linked/new", "real/link", "real/dangling", "real/socket", "real/pipe"] {
        assert_eq!(store.get(&key(text)).unwrap_err().code, Code::StoreCorrupt, "{text}");
        assert_eq!(store.put_if_absent(&key(text), b"x").unwrap_err().code, Code::StoreCorrupt, "{text}");
    }
    let listed = store.list(&key("real")).unwrap();
    assert_eq!((&listed.keys[..], listed.unnamed), (&[key("real/object")][..], 0));
    let refused: Vec<_> = listed.refused.iter().map(|(key, failure)| (key.as_str(), failure.code)).collect();
    let expected = ["real/dangling", "real/link", "real/pipe", "real/socket"];
    assert_eq!(refused, expected.map(|key| (key, Code::StoreCorrupt)));
    assert_eq!(listed.refusal(&key("real/pipe")), store.get(&key("real/pipe")).err());
    assert_eq!((listed.refusal(&key("real/object")), listed.refusal(&key("real/p"))), (None, None));
    assert_eq!(listed.objects().unwrap_err().code, Code::StoreCorrupt);
    // A prefix that leads elsewhere is refused itself, and with it all that may be below.
    for (text, code) in [
        ("linked", Code::StoreCorrupt),
        ("linked/deeper", Code::StoreCorrupt),
        ("real/pipe", Code::StoreCorrupt),
        ("real/object/deeper", Code::StoreKeyInvalid),
    ] {
        let listed = store.list(&key(text)).unwrap();
        assert_eq!((listed.keys.len(), listed.refused.len()), (0, 1), "{text}");
        let below = listed.refusal(&key(text).join("below").unwrap()).unwrap();
        assert_eq!((&listed.refused[0].0, below.code), (&key(text), code), "{text}");
        assert_eq!(listed.objects().unwrap_err(), below);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert!(!outside.join("nothing").exists());
}

#[test]
fn a_folder_that_cannot_be_looked_into_hides_no_other() {
    let (_folder, store) = store();
    for text in ["p/a/object", "p/b/object", "p/c"] {
        store.put_if_absent(&key(text), b"").unwrap();
    }
    let set_mode =
        |path, mode| fs::set_permissions(store.root().join(path), fs::Permissions::from_mode(mode)).unwrap();
    for open in ["", "p", "p/a"] {
        set_mode(open, 0o755);
    }
    set_mode("p/b", 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Who may do everything becomes somebody else, in this thread alone; others may not.
            let _ = rustix::thread::set_thread_res_uid(None, Uid::from_raw(65_534), None);
            let listed = store.list(&key("p")).unwrap();
            assert_eq!(listed.keys, ["p/a/object", "p/c"].map(key));
            assert_eq!(listed.refusal(&key("p/b")).unwrap().code, Code::StoreUnavailable);
            assert_eq!(listed.objects().unwrap_err().code, Code::StoreUnavailable);
            assert_eq!(store.list(&key("p/b")).unwrap_err().code, Code::StoreUnavailable);
        });
    });
    set_mode("p/b", 0o700);
}

#[test]
fn an_object_and_a_prefix_cannot_share_a_key() {
    let (_folder, store) = store();
    store.put_if_absent(&key("a/b"), b"").unwrap();
    for text in ["a", "a/b/c", "a/b/c/d"] {
        assert_eq!(store.put_if_absent(&key(text), b"").unwrap_err().code, Code::StoreKeyInvalid, "{text}");
    }
    assert_eq!(store.get(&key("a")).unwrap(), None);
}

#[test]
fn a_relative_root_is_fixed_at_opening() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let relative = Path::new(folder.path().file_name().unwrap()).join("store");
    let store = LocalStore::open(&relative).unwrap();
    assert!(store.root().is_absolute());
    assert_eq!(store.root(), env::current_dir().unwrap().join(relative).canonicalize().unwrap());
}

#[test]
fn a_root_that_is_no_folder_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    assert_eq!(LocalStore::open(&file).unwrap_err().code, Code::StoreUnavailable);
    assert_eq!(LocalStore::open(file.join("below")).unwrap_err().code, Code::StoreUnavailable);
}

#[test]
fn a_full_disk_and_other_troubles_have_their_codes() {
    let code = |error: Errno| trouble(&error.into(), "write", None).code;
    for full in [Errno::NOSPC, Errno::FBIG, Errno::DQUOT, Errno::NOMEM, Errno::MFILE, Errno::NFILE] {
        assert_eq!(code(full), Code::ResourceExhausted);
    }
    for other in [Errno::ACCESS, Errno::IO, Errno::ROFS] {
        assert_eq!(code(other), Code::StoreUnavailable);
    }
}

#[test]
fn what_a_crash_left_is_invisible_and_collected_but_not_what_a_writer_holds() {
    let (_folder, store) = store();
    store.staging.of(&store.folder).unwrap();
    fs::write(store.root().join(".staging/1-0"), b"half an obj").unwrap();
    let staged = store.stage(Some(&key("a/b"))).unwrap();
    assert_eq!(store.list(&key("a")).unwrap(), Listing::default());
    assert_eq!(store.collect_staging().unwrap(), 1);
    assert!(store.root().join(".staging").join(&staged.name).exists());
    drop(staged);
    assert_eq!(store.collect_staging().unwrap(), 0);
    assert_eq!(fs::read_dir(store.root().join(".staging")).unwrap().count(), 0);
}

#[test]
fn a_name_in_the_staging_folder_that_is_taken_is_not_reused() {
    let (_folder, store) = store();
    store.staging.of(&store.folder).unwrap();
    let next = STAGED.load(Ordering::Relaxed);
    for number in next..next + 100 {
        fs::write(store.root().join(format!(".staging/{}-{number}", process::id())), b"old").unwrap();
    }
    store.put_if_absent(&key("a/b"), b"new").unwrap();
    assert_eq!(store.get(&key("a/b")).unwrap().unwrap(), b"new");
    assert_eq!(store.collect_staging().unwrap(), 100);
}

const POINTS: [Failpoint; 4] = [
    Failpoint::StoreBeforeWrite,
    Failpoint::StoreAfterWrite,
    Failpoint::StoreBeforeLink,
    Failpoint::StoreAfterLink,
];

/// Runs `child_puts_one_object` in a process of its own with a point armed.
fn put_in_child(root: &Path, point: Failpoint, fault: &str) -> ExitStatus {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::local::tests::child_puts_one_object", "--ignored", "--test-threads=1"])
        .env(CHILD_ROOT, root)
        .env(failpoint::VARIABLE, format!("{}={fault}", point.as_str()))
        .output()
        .unwrap()
        .status
}

#[test]
#[ignore = "runs in the child process of the tests below"]
fn child_puts_one_object() {
    let Some(root) = env::var_os(CHILD_ROOT) else { return };
    let store = LocalStore::open(root).unwrap();
    write_once::<ModelArtifact>(&store, &key("run/object"), b"bytes").unwrap();
}

#[test]
fn a_writer_killed_at_any_point_leaves_nothing_or_the_whole_object() {
    for point in POINTS {
        let (_folder, store) = store();
        assert!(!put_in_child(store.root(), point, "kill").success(), "{point:?}");
        let expected = (point == Failpoint::StoreAfterLink).then(|| b"bytes".to_vec());
        assert_eq!(store.get(&key("run/object")).unwrap(), expected, "{point:?}");
        write_once::<ModelArtifact>(&store, &key("run/object"), b"bytes").unwrap();
        let left = usize::from(matches!(point, Failpoint::StoreAfterWrite | Failpoint::StoreBeforeLink));
        assert_eq!(store.collect_staging().unwrap(), left, "{point:?}");
        assert_eq!(store.get(&key("run/object")).unwrap().unwrap(), b"bytes");
    }
}

#[test]
fn a_writer_that_fails_at_any_point_cleans_up_and_can_go_on() {
    for point in POINTS {
        let (_folder, store) = store();
        assert!(!put_in_child(store.root(), point, "error").success(), "{point:?}");
        assert_eq!(store.collect_staging().unwrap(), 0, "{point:?}");
        write_once::<ModelArtifact>(&store, &key("run/object"), b"bytes").unwrap();
    }
}

#[test]
fn a_point_that_cannot_be_read_stops_the_writer() {
    let (_folder, store) = store();
    let status = put_in_child(store.root(), Failpoint::StoreAfterLink, "perhaps");
    assert!(!status.success());
    assert_eq!(store.get(&key("run/object")).unwrap(), None);
}

/// The folders that a put of this key would sync, as paths below the root.
fn unsynced(store: &LocalStore, text: &str) -> Vec<String> {
    let key = key(text);
    let places = [store.place(&key).unwrap()];
    let (due, _) = store.lasting.unsynced(&places).unwrap();
    let root = store.root().to_owned();
    let folders = Path::new(text).ancestors().skip(1).map(|folder| root.join(folder));
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let named = folders.filter(|path| due.keys().any(|(_, id)| *id == inode(path)));
    named.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_folder_above_is_synced_once_and_that_of_the_object_each_time() {
    let (_folder, store) = store();
    assert_eq!(unsynced(&store, "a/b/c/object"), ["a/b/c", "a/b", "a", ""]);
    // To look is not to sync.
    assert_eq!(unsynced(&store, "a/b/c/object"), ["a/b/c", "a/b", "a", ""]);
    store.put_if_absent(&key("a/b/c/object"), b"").unwrap();
    assert_eq!(unsynced(&store, "a/b/c/object"), ["a/b/c"]);
    assert_eq!(unsynced(&store, "a/b/c/other"), ["a/b/c"]);
    assert_eq!(unsynced(&store, "a/b/d/object"), ["a/b/d", "a/b"]);
    assert_eq!(unsynced(&store, "a/object"), ["a"]);
    assert_eq!(unsynced(&store, "object"), [""]);
}

/// Whoever made a folder may have died before its name was durable: to this store it is new.
#[test]
fn what_a_dead_writer_made_is_synced_by_who_relies_on_it() {
    let (_folder, store) = store();
    store.put_if_absent(&key("other/object"), b"").unwrap();
    assert!(!put_in_child(store.root(), Failpoint::StoreAfterLink, "kill").success());
    assert_eq!(unsynced(&store, "run/object"), ["run", ""]);
    assert_eq!(store.put_if_absent(&key("run/object"), b"bytes").unwrap(), Put::Exists);
    assert_eq!(unsynced(&store, "run/object"), ["run"]);
    // Another store, as another process has one, knows nothing of that.
    assert_eq!(unsynced(&LocalStore::open(store.root()).unwrap(), "run/object"), ["run", ""]);
}

#[test]
fn all_are_waited_for_and_the_first_failure_is_told() {
    let seen = AtomicU64::new(0);
    let items: Vec<_> = (0..40).collect();
    let wait = |item: &i32| {
        seen.fetch_add(1, Ordering::SeqCst);
        if *item == 3 || *item == 7 { Err(io::Error::from_raw_os_error(*item)) } else { Ok(()) }
    };
    assert_eq!(at_once(&items, wait).unwrap_err().raw_os_error(), Some(3));
    // Those of the first wave; the others are not begun.
    assert_eq!(seen.load(Ordering::SeqCst), MOST_AT_ONCE as u64);
    at_once(&items, |_| Ok(())).unwrap();
}
