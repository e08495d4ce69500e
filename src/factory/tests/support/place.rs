//! A factory in a folder of its own, whose dataset was built once and whose clock stands still.

use std::{
    collections::BTreeMap,
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use contracts::{
    Failure, Reference,
    identity::ids::TrainRunId,
    names::{ObjectKey, Principal},
    run_receipt::Evidence,
    time::Timestamp,
};
use factory::{
    Factory,
    clock::FixedClock,
    keys::Keys,
    ledger::{Anchors, Ledger, Run, SqliteLedger, State},
    line::Line,
    registry::{Act, EmbeddedRegistry, Registry},
    store::{LocalStore, Store},
};
use kernels::progress::Silent;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Bench, config, day, payments, worker};

/// Every file below a folder with its bytes.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

pub fn files(root: &Path) -> Files {
    let mut found = Files::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn restore(root: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A folder that goes away with its value, in memory where the machine has such a place: what is tried here is
/// what is written, not that it survives a power cut.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A moment at which all labels of the payments are known.
pub fn today() -> Timestamp {
    day(&payments(), 90).parse().unwrap()
}

/// The line in a folder, by this clock.
pub fn line(root: &Path, clock: &Arc<FixedClock>) -> Line {
    let store = Arc::new(LocalStore::open(root.join("objects")).unwrap());
    let ledger = Arc::new(SqliteLedger::open(root.join("ledger.sqlite"), clock.clone()).unwrap());
    let keys = Arc::new(keys());
    let registry =
        Arc::new(EmbeddedRegistry::new(store.clone(), clock.clone(), keys.clone(), ledger.clone()));
    Line { store, ledger, registry, clock: clock.clone(), keys }
}

/// The key of every factory in a test.
pub fn keys() -> Keys {
    Keys::from_secret(&[7; 32])
}

/// A factory with a dataset in its own folder.
pub struct Place {
    pub bench: Bench,
    pub clock: Arc<FixedClock>,
    folder: TempDir,
}

impl Deref for Place {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl Place {
    /// With the dataset and no run.
    pub fn new() -> Self {
        static DATASET: OnceLock<(Files, Reference<contracts::dataset_manifest::DatasetManifest>)> =
            OnceLock::new();
        let (files, manifest) = DATASET.get_or_init(|| {
            let folder = folder();
            let manifest = Bench::new(folder.path()).manifest;
            (files(folder.path()), manifest)
        });
        Self::of(files, manifest.clone())
    }

    /// With the dataset and a run that passed and may not be published yet.
    pub fn passed() -> (Self, TrainRunId) {
        static PASSED: OnceLock<(
            Files,
            Reference<contracts::dataset_manifest::DatasetManifest>,
            TrainRunId,
        )> = OnceLock::new();
        let (files, manifest, run) = PASSED.get_or_init(|| {
            let place = Self::new();
            let mut request = place.quick();
            request["publish_allowed"] = json!(false);
            let run = place.carry_out(request);
            assert_eq!(run.progress.state, State::Pass);
            let manifest = place.manifest.clone();
            (place.close(), manifest, run.run_id)
        });
        (Self::of(files, manifest.clone()), run.clone())
    }

    pub fn of(files: &Files, manifest: Reference<contracts::dataset_manifest::DatasetManifest>) -> Self {
        let folder = folder();
        restore(folder.path(), files);
        let clock = Arc::new(FixedClock::new(today()));
        let factory = Factory::of(line(folder.path(), &clock));
        Self { bench: Bench { factory, payments: payments(), manifest }, clock, folder }
    }

    /// Its files, once nobody has them open.
    pub fn close(self) -> Files {
        let Self { bench, folder, .. } = self;
        drop(bench);
        files(folder.path())
    }

    /// The same folder with other parts.
    pub fn with(&self, change: impl FnOnce(Line) -> Line) -> Factory {
        Factory::of(change(self.factory.line().clone()))
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> &dyn Store {
        &*self.factory.line().store
    }

    pub fn ledger(&self) -> &dyn Ledger {
        &*self.factory.line().ledger
    }

    pub fn registry(&self) -> &dyn Registry {
        &*self.factory.line().registry
    }

    pub fn keys(&self) -> &Keys {
        &self.factory.line().keys
    }

    /// A registry of the place in this store.
    pub fn registry_in(&self, store: Arc<dyn Store>) -> EmbeddedRegistry {
        let keys = Arc::clone(&self.factory.line().keys);
        EmbeddedRegistry::new(store, self.clock.clone(), keys, self.anchors())
    }

    /// Where the histories of the place end.
    pub fn anchors(&self) -> Arc<dyn Anchors> {
        Arc::new(SqliteLedger::open(self.root().join("ledger.sqlite"), self.clock.clone()).unwrap())
    }

    /// Where an object stands in the file system.
    pub fn path(&self, uri: &str) -> PathBuf {
        self.root().join("objects").join(uri)
    }

    /// A request for a run that is over at once: a small tree, without intervals.
    pub fn quick(&self) -> Value {
        self.request_with(quick_config(&self.bench), quick_profile())
    }

    /// The objects of the store; the staging folder must be empty.
    pub fn objects(&self) -> Files {
        let objects = files(&self.root().join("objects"));
        assert!(!objects.keys().any(|path| path.starts_with(".staging")), "staged files were left");
        objects
    }

    pub fn put(&self, uri: &str, bytes: &[u8]) {
        self.store().put_if_absent(&ObjectKey::new(uri).unwrap(), bytes).unwrap();
    }

    pub fn evidence(&self, run: &TrainRunId) -> Evidence {
        self.factory.line().evidence(run).unwrap()
    }

    pub fn run(&self, run: &TrainRunId) -> Run {
        self.ledger().run(run).unwrap()
    }

    /// Submits and carries out a run that no stage refuses.
    pub fn carry_out(&self, request: Value) -> Run {
        let admission = self.factory.submit(Bench::checked(request)).unwrap();
        self.factory.work(&worker(), Some(&admission.run.run_id), &Silent).unwrap().unwrap()
    }

    /// The refusal of a request, by admission or by a stage. What it leaves behind are whole objects of the
    /// kinds given (parts of keys), and nothing of a model, a bundle or a publication.
    pub fn refusal(&self, request: Value, leaves: &[&str]) -> Failure {
        let before = self.objects();
        let failure = match self.factory.submit(Bench::checked(request)) {
            Err(failure) => failure,
            Ok(admission) => {
                let run = admission.run.run_id;
                let failure = self.factory.work(&worker(), Some(&run), &Silent).unwrap_err();
                let expected = if stays_open(failure.code) { State::Queued } else { State::Fail };
                let row = self.run(&run);
                assert_eq!((row.progress.state, row.reason), (expected, Some(failure.code)), "{failure}");
                failure
            }
        };
        for path in self.objects().keys().filter(|path| !before.contains_key(*path)) {
            let path = path.to_str().unwrap();
            assert!(leaves.iter().any(|kind| path.contains(kind)), "{path} was left behind by {failure}");
        }
        failure
    }
}

/// Whether a run goes on after this failure once what it names is there, and is what was pinned.
pub fn stays_open(code: contracts::Code) -> bool {
    code.retryable() || code.as_str().ends_with("_DIGEST_MISMATCH")
}

pub fn quick_config(bench: &Bench) -> Value {
    let mut value = config(&bench.payments);
    value["model"] = json!({"family": "decision_tree", "max_depth": 3});
    value["evaluation"]["bootstrap"]["replicates"] = json!(0);
    value
}

pub fn quick_profile() -> Value {
    let mut value = super::profile(0.55);
    value["criteria"].as_array_mut().unwrap().truncate(1);
    value
}

pub fn act(actor: &str) -> Act {
    Act { actor: Principal::new(actor).unwrap(), reason: "a test".to_owned() }
}

/// Asserts code and place of a refusal.
pub fn assert_refusal(name: &str, failure: &Failure, code: contracts::Code, place: &str) {
    assert_eq!(failure.code, code, "{name}: {failure}");
    assert!(failure.to_string().contains(place), "{name}: no {place} in: {failure}");
}
