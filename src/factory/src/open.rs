//! A factory that is open: the line with its embedded parts, and what people do with it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use contracts::{
    Checked, Code, Digest, Document, Failure, Reference, Result,
    bundle::ModelBundle,
    governance_profile::GovernanceProfile,
    identity::ids::{BundleId, TrainRunId},
    identity::recipe,
    measurements::Measurements,
    names::{ColumnName, Name, PlatformRunId, Principal, RequestId},
    resolution::BundleResolution,
    run_receipt::RunReceipt,
    scope::TargetScope,
    train_request::TrainBuildRequest,
    training_config::TrainingConfig,
};

use crate::{
    bundle::{self, LoadedModel},
    clock::SystemClock,
    dataset::{self, Built, DatasetSpec, Sources},
    founding,
    fsck::{self, Checkup},
    keys::Keys,
    layout,
    ledger::{self, Absent, Admission, AnchoredLedger, Run, State},
    line::Line,
    registry::EmbeddedRegistry,
    store::{self, Batch, LocalStore, Location, RemoteStore, Store},
    verify::{self, Verified},
    watch::{Stage, Watch},
};

/// Folder of training configs, each under its content.
const CONFIGS: &str = "training_configs";
/// Folder of governance profiles, each under its content.
const PROFILES: &str = "governance_profiles";

/// Where the parts of a factory stand; what is not named stands in the root.
#[derive(Debug, Clone)]
pub struct Place {
    /// Of the objects.
    pub root: Location,
    /// Of the ledger: a file or a database, as [`ledger::open`] says.
    pub ledger: Option<PathBuf>,
    /// Of the keys.
    pub keys: Option<PathBuf>,
}

/// A factory that is open.
#[derive(Clone)]
pub struct Factory {
    line: Line,
}

impl Factory {
    /// Opens the factory at a place; refuses with `SOURCE_UNREADABLE` one that holds none, whose objects have another
    /// ledger, or whose ledger has other objects, and with `LEDGER_UNAVAILABLE` one that is only being made.
    ///
    /// In a folder everything stands below it, unless named elsewhere: the objects, the SQLite ledger, and the keys. A
    /// key folder that who writes to the root cannot write to is safer. What writers that died left staged is collected.
    /// A bucket holds the objects alone: refuses with `PARAMETER_INVALID` one without a ledger and a key folder beside
    /// it, and with `SIGNING_KEY_UNAVAILABLE` keys of another factory, or none.
    pub fn open(place: &Place) -> Result<Self> {
        Self::open_at(place, Absent::Refuse)
    }

    /// Opens the factory at a place, and makes it where there is none: its ledger, and its key where the key folder
    /// holds no other. Where its objects stand already neither is made anew.
    pub fn make(place: &Place) -> Result<Self> {
        Self::open_at(place, Absent::Make)
    }

    fn open_at(Place { root, ledger, keys }: &Place, absent: Absent) -> Result<Self> {
        let of_folder = |name: &str| match root {
            Location::Folder(folder) => Some(folder.join(name)),
            Location::Bucket(_) => None,
        };
        let ledger = ledger.clone().or_else(|| of_folder("ledger.sqlite")).ok_or_else(no_ledger)?;
        let keys = keys.clone().or_else(|| of_folder("keys")).ok_or_else(no_keys)?;
        let store: Arc<dyn Store> = match root {
            Location::Bucket(bucket) => Arc::new(RemoteStore::open(bucket)?),
            Location::Folder(folder) => {
                let objects = folder.join("objects");
                if absent == Absent::Refuse && !LocalStore::is_at(&objects) {
                    return Err(no_objects());
                }
                let store = LocalStore::open(objects)?;
                store.collect_staging()?;
                Arc::new(store)
            }
        };
        let clock = Arc::new(SystemClock);
        // What was made once is not made again: its ledger was moved, lost or mistyped.
        let named = founding::named(&*store)?;
        let is_made = named.is_some() || founding::is_made(&*store)?;
        let of_parts = if is_made { Absent::Refuse } else { absent };
        let ledger = ledger::open(&ledger, of_parts, clock.clone())?;
        if absent == Absent::Refuse && named.is_none() && ledger.runs(None, 1)?.is_empty() {
            return Err(being_made());
        }
        founding::check(named.as_deref(), &*store, &*ledger)?;
        let keys = Arc::new(admitted(&keys, &*ledger, of_parts)?);
        if absent == Absent::Make && named.is_none() {
            founding::make(&*store, &*ledger)?;
        }
        let registry =
            Arc::new(EmbeddedRegistry::new(store.clone(), clock.clone(), keys.clone(), ledger.clone()));
        Ok(Self { line: Line { store, ledger, registry, clock, keys } })
    }

    /// A factory of parts that are handed in.
    pub const fn of(line: Line) -> Self {
        Self { line }
    }

    /// The line.
    pub const fn line(&self) -> &Line {
        &self.line
    }

    /// Builds a dataset; see [`dataset::build`].
    pub fn build_dataset(&self, spec: &DatasetSpec, sources: Sources, watch: &dyn Watch) -> Result<Built> {
        watch.stage(Stage::Build);
        self.line.require_own_objects()?;
        dataset::build(&*self.line.store, spec, sources, self.line.clock.now(), watch)
    }

    /// Stores a training config under its content.
    pub fn put_training_config(
        &self,
        owner: &PlatformRunId,
        config: &Checked<TrainingConfig>,
    ) -> Result<Reference<TrainingConfig>> {
        self.line.require_own_objects()?;
        self.put(|batch| add(batch, owner, CONFIGS, config))
    }

    /// Stores a governance profile under its content.
    pub fn put_governance_profile(
        &self,
        owner: &PlatformRunId,
        profile: &Checked<GovernanceProfile>,
    ) -> Result<Reference<GovernanceProfile>> {
        self.line.require_own_objects()?;
        self.put(|batch| add(batch, owner, PROFILES, profile))
    }

    /// Stores what a request names beside its data, at once. Whether these are the ledger's objects, the request asks.
    pub fn put_inputs(
        &self,
        owner: &PlatformRunId,
        config: &Checked<TrainingConfig>,
        profile: &Checked<GovernanceProfile>,
    ) -> Result<(Reference<TrainingConfig>, Reference<GovernanceProfile>)> {
        self.put(|batch| Ok((add(batch, owner, CONFIGS, config)?, add(batch, owner, PROFILES, profile)?)))
    }

    fn put<T>(&self, fill: impl FnOnce(&mut Batch) -> Result<T>) -> Result<T> {
        let mut batch = Batch::default();
        let filled = fill(&mut batch)?;
        batch.write(&*self.line.store).map(|()| filled)
    }

    /// Admits a request; see [`Line::submit`].
    pub fn submit(&self, request: Checked<TrainBuildRequest>) -> Result<Admission> {
        self.line.submit(request)
    }

    /// Carries out one run; see [`Line::work`].
    pub fn work(&self, worker: &Name, only: Option<&TrainRunId>, watch: &dyn Watch) -> Result<Option<Run>> {
        self.line.work(worker, only, watch)
    }

    /// Publishes a run that passed: sends its request again with permission to publish, and carries that out.
    ///
    /// A run that is published stays so. Refuses with `EVIDENCE_UNRESOLVED` one that lost what it left behind, with `PUBLISH_NOT_ELIGIBLE` a run that did not pass,
    /// `PUBLISH_NOT_ALLOWED` a requester who may not, and with `INVALID_TRANSITION` a run that is not that far.
    pub fn publish(
        &self,
        run: &TrainRunId,
        requester: &Principal,
        worker: &Name,
        watch: &dyn Watch,
    ) -> Result<Run> {
        let row = self.line.ledger.run(run)?;
        match row.progress.state {
            State::Published => return self.line.require_kept(run).map(|()| row),
            State::Fail => {
                return Err(Failure::new(
                    Code::PublishNotEligible,
                    format!("{run} did not pass: {}", row.reason.map_or("the gate said FAIL", Code::as_str)),
                ));
            }
            State::Pass | State::PublishPending => {}
            state => {
                return Err(Failure::new(
                    Code::InvalidTransition,
                    format!("{run} is {state}; it is published once it passed"),
                ));
            }
        }
        let mut request = Checked::<TrainBuildRequest>::parse(&row.request)?.into_inner();
        request.publish_allowed = true;
        request.requester_principal = requester.clone();
        let digest: Digest<TrainBuildRequest> = recipe::derive("publish_request.v1", &(run, requester))?;
        request.request_id = RequestId::new(format!("publish-{}", digest.hex_prefix(32)))?;
        self.line.submit(Checked::new(request)?)?;
        self.publish_retry(run, worker, watch)
    }

    /// Carries on with a publication that is pending: bounded, and never trains.
    ///
    /// Refuses with `RETRY_NOT_PENDING` a run that is not pending, and with `PUBLISH_RETRY_EXHAUSTED`.
    pub fn publish_retry(&self, run: &TrainRunId, worker: &Name, watch: &dyn Watch) -> Result<Run> {
        let row = self.line.ledger.run(run)?;
        let pending = row.progress.state == State::PublishPending
            || row.progress.state == State::Pass && row.progress.publish_allowed
            || row.progress.work() == crate::ledger::Mode::PublishOnly;
        if !pending {
            return Err(Failure::new(
                Code::RetryNotPending,
                format!("{run} is {}, not PUBLISH_PENDING", row.progress.state),
            ));
        }
        self.line
            .work(worker, Some(run), watch)?
            .ok_or_else(|| Failure::new(Code::LeaseLost, format!("another worker publishes {run}")))
    }

    /// The receipt of a run in its present state; see [`Line::receipt`].
    pub fn receipt(&self, run: &TrainRunId) -> Result<Option<Checked<RunReceipt>>> {
        self.line.receipt(run)
    }

    /// What a clock measured while the run was carried out; none before it was evaluated.
    pub fn measurements(&self, run: &TrainRunId) -> Result<Option<Checked<Measurements>>> {
        let evidence = self.line.evidence(run)?;
        evidence.measurements.map(|found| store::read_document(&*self.line.store, &found)).transpose()
    }

    /// What serves a scope; see [`crate::registry::Registry::resolve`].
    pub fn resolve(
        &self,
        scope: &TargetScope,
        fallback: Option<&BundleId>,
        available: Option<&[ColumnName]>,
    ) -> Result<BundleResolution> {
        self.line.registry.resolve(scope, fallback, available)
    }

    /// Loads and verifies a bundle for scoring.
    pub fn load(&self, reference: &Reference<ModelBundle>) -> Result<LoadedModel> {
        bundle::load(&*self.line.store, &self.line.keys, reference)
    }

    /// Checks every digest that a bundle rests on, and its verdict.
    pub fn verify(&self, bundle: &BundleId, watch: &dyn Watch) -> Result<Verified> {
        watch.stage(Stage::Verify);
        let Line { store, keys, registry, .. } = &self.line;
        verify::verify(&**store, keys, &registry.find(bundle)?, watch)
    }

    /// Fits a bundle's model again and compares the bytes.
    pub fn rebuild(&self, bundle: &BundleId, watch: &dyn Watch) -> Result<()> {
        watch.stage(Stage::Rebuild);
        let Line { store, keys, clock, registry, .. } = &self.line;
        verify::rebuild(&**store, keys, &**clock, &registry.find(bundle)?, watch)
    }

    /// Checks every promise of the whole factory.
    pub fn fsck(&self) -> Result<Checkup> {
        fsck::fsck(&self.line)
    }
}

/// The keys in a folder, once the ledger admitted who signs with them. A factory that nobody signed for yet gets a key of
/// its own as it is made.
fn admitted(folder: &Path, ledger: &dyn AnchoredLedger, absent: Absent) -> Result<Keys> {
    let mut keys = Keys::open(folder)?;
    if keys.are_none() {
        let begun =
            absent == Absent::Refuse || !ledger.signers()?.is_empty() || !ledger.runs(None, 1)?.is_empty();
        if begun {
            return Err(strange_keys());
        }
        keys = Keys::make(folder)?;
    }
    if let Some(signer) = keys.signer() {
        ledger.admit_signer(&signer, &|other| keys.trusts(other))?;
    }
    Ok(keys)
}

fn strange_keys() -> Failure {
    Failure::at(Code::SigningKeyUnavailable, "keys", "the folder of this factory's keys", "a folder without keys")
        .with_hint(
            "A factory gets its key as it is made, and no other. Name the folder that holds it, or, to read alone, one \
             with its signing.pub.pem in trusted/.",
        )
}

fn no_objects() -> Failure {
    Failure::at(Code::SourceUnreadable, "root", "the folder of a factory, with its objects", "none there")
        .with_hint("Name the root that the factory was made with, beside its ledger and its keys.")
}

/// Of a ledger without runs that the objects do not name: whoever makes a factory does that last.
fn being_made() -> Failure {
    Failure::new(
        Code::LedgerUnavailable,
        "the factory is only being made: its objects do not name the ledger yet",
    )
    .with_hint(
        "Try again once it is made. Where its making was cut off, opening it from Python goes on with that.",
    )
}

fn no_ledger() -> Failure {
    Failure::at(Code::ParameterInvalid, "ledger", "the place of a ledger, as the root is a bucket", "none")
        .with_hint("A bucket cannot hold a ledger: name a postgresql:// URL, or a file of this machine.")
}

fn no_keys() -> Failure {
    Failure::at(Code::ParameterInvalid, "keys", "a key folder, as the root is a bucket", "none")
        .with_hint("A private key has no place in a bucket: name a folder of this machine.")
}

/// Adds a document under its content, in a folder of its owner's.
fn add<D: Document>(
    batch: &mut Batch,
    owner: &PlatformRunId,
    folder: &str,
    document: &Checked<D>,
) -> Result<Reference<D>> {
    let key = layout::by_content(owner, folder, &document.digest())?;
    Ok(batch.add_document(key, document))
}
