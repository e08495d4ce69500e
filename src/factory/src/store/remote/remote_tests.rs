#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

use std::{
    ops::Range,
    sync::{Mutex, atomic::AtomicUsize},
};

use async_trait::async_trait;
use contracts::artifacts::ModelArtifact;
use futures_util::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutOptions, PutResult, memory::InMemory,
};
use proptest::prelude::*;

use super::*;
use crate::store::{
    suite_tests::{self, key},
    write_once,
};

/// What a server does that is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Nothing: it is as it should be.
    Good,
    /// It takes no notice of the condition.
    Overwrites,
    /// It says that each put was refused, and changes what is there.
    Lies,
    /// It says that each put was refused, and has nothing.
    Refuses,
    /// It says so many times that a key is taken that is free.
    Conflicts(usize),
    /// It stores, and says that the key was taken: what a put that is sent again meets.
    LosesAnswers,
    /// It lets nobody write.
    ReadOnly,
    /// It lets nobody in.
    Closed,
    /// It cannot put on a condition.
    Unconditional,
    /// It lists an object whose name is the folder's, with a slash.
    MarksFolders,
    /// It lists an object whose name is no path.
    ListsNoPath,
}

/// A server in memory with a manner, which counts what is asked of it.
#[derive(Debug)]
struct Server {
    objects: InMemory,
    manner: Mutex<Manner>,
    requests: AtomicUsize,
}

impl Server {
    fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self { objects: InMemory::new(), manner: Mutex::new(manner), requests: AtomicUsize::new(0) })
    }

    fn becomes(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn manner(&self) -> Manner {
        self.requests.fetch_add(1, Ordering::SeqCst);
        *self.manner.lock().unwrap()
    }

    fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::SeqCst)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server in memory")
    }
}

fn taken(path: &Path) -> Error {
    Error::AlreadyExists { path: path.to_string(), source: "taken".into() }
}

fn denied(path: &Path) -> Error {
    Error::PermissionDenied { path: path.to_string(), source: "SECRET".into() }
}

/// What a server lists under a name, as the library reads it.
#[allow(clippy::default_trait_access, reason = "the time's type is of a crate that is no dependency")]
fn listed(name: String) -> object_store::Result<ObjectMeta> {
    let location = Path::parse(name)?;
    Ok(ObjectMeta { location, last_modified: Default::default(), size: 0, e_tag: None, version: None })
}

#[async_trait]
impl ObjectStore for Server {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let overwrite = || self.objects.put(path, payload.clone());
        match self.manner() {
            Manner::Good | Manner::Conflicts(0) | Manner::MarksFolders | Manner::ListsNoPath => {
                self.objects.put_opts(path, payload, options).await
            }
            Manner::Overwrites => overwrite().await,
            Manner::Lies => overwrite().await.and(Err(taken(path))),
            Manner::Refuses => Err(taken(path)),
            Manner::Conflicts(times) => {
                self.becomes(Manner::Conflicts(times - 1));
                Err(taken(path))
            }
            Manner::LosesAnswers => {
                self.objects.put_opts(path, payload, options).await.and_then(|_| Err(taken(path)))
            }
            Manner::ReadOnly | Manner::Closed => Err(denied(path)),
            Manner::Unconditional => {
                Err(Error::NotImplemented { operation: "put".into(), implementer: "server".into() })
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        match self.manner() {
            Manner::Closed => Err(denied(path)),
            _ => self.objects.get_opts(path, options).await,
        }
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.objects.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let odd = match (self.manner(), prefix) {
            (Manner::MarksFolders, Some(prefix)) => Some(format!("{prefix}/")),
            (Manner::ListsNoPath, Some(prefix)) => Some(format!("{prefix}//a")),
            _ => None,
        };
        stream::iter(odd.map(listed)).chain(self.objects.list(prefix)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

fn opened(server: &Arc<Server>) -> Result<RemoteStore> {
    RemoteStore::of("s3://bucket/prefix".to_owned(), server.clone(), Some(key("some/prefix")))
}

#[test]
fn it_keeps_every_promise() {
    for prefix in [None, Some(key("some/prefix"))] {
        let store = RemoteStore::of("memory".to_owned(), Arc::new(InMemory::new()), prefix).unwrap();
        suite_tests::keeps_every_promise(&store);
    }
}

#[test]
fn stores_below_two_prefixes_do_not_see_each_other() {
    let server = Server::new(Manner::Good);
    let of = |prefix| RemoteStore::of(String::new(), server.clone(), Some(key(prefix))).unwrap();
    let (one, other) = (of("a"), of("a/b"));
    other.put_if_absent(&key("x/y"), b"bytes").unwrap();
    assert_eq!(one.get(&key("x/y")).unwrap(), None);
    assert_eq!(one.get(&key("b/x/y")).unwrap().unwrap(), b"bytes");
    assert_eq!(one.list(&key("b")).unwrap().keys, [key("b/x/y")], "the probe of the other is no object");
    assert_eq!(of("b").list(&key("x")).unwrap().keys, []);
}

#[test]
fn the_probe_costs_few_requests_and_leaves_one_object_however_often_it_is_made() {
    let server = Server::new(Manner::Good);
    let cost: Vec<_> = (0..3).map(|_| opened(&server).map(|_| server.requests()).unwrap()).collect();
    assert_eq!(cost, [3, 4, 4]);
    let objects: Vec<_> = Reactor::start()
        .unwrap()
        .wait(async { Ok(server.objects.list(None).try_collect::<Vec<_>>().await.unwrap()) })
        .unwrap();
    assert_eq!(objects.len(), 1);
}

#[test]
fn a_server_that_does_not_keep_the_condition_is_refused() {
    for manner in [Manner::Overwrites, Manner::Lies, Manner::Refuses, Manner::Unconditional] {
        let server = Server::new(manner);
        // The second time, what the first left is there.
        for _ in 0..2 {
            assert_eq!(opened(&server).unwrap_err().code, Code::StoreUnsuitable, "{manner:?}");
        }
        // A server that was mended is not blamed for what it did before.
        server.becomes(Manner::Good);
        opened(&server).unwrap();
    }
    for manner in [Manner::Overwrites, Manner::Lies, Manner::Unconditional] {
        let server = Server::new(Manner::Good);
        opened(&server).unwrap();
        server.becomes(manner);
        assert_eq!(opened(&server).unwrap_err().code, Code::StoreUnsuitable, "{manner:?}");
    }
}

#[test]
fn who_may_only_read_can_open_and_read() {
    let server = Server::new(Manner::Good);
    opened(&server).unwrap().put_if_absent(&key("a/b"), b"bytes").unwrap();
    server.becomes(Manner::ReadOnly);
    let store = opened(&server).unwrap();
    assert_eq!(store.get(&key("a/b")).unwrap().unwrap(), b"bytes");
    let failure = store.put_if_absent(&key("a/c"), b"bytes").unwrap_err();
    assert_eq!(failure.code, Code::StoreUnavailable);
    // Whoever may write later on is not trusted to a server that nobody has tried.
    server.becomes(Manner::Overwrites);
    assert_eq!(store.put_if_absent(&key("a/b"), b"other").unwrap_err().code, Code::StoreUnsuitable);
    assert_eq!(store.get(&key("a/b")).unwrap().unwrap(), b"bytes");
    server.becomes(Manner::Good);
    assert_eq!(store.put_if_absent(&key("a/c"), b"bytes").unwrap(), Put::Created);
    server.requests();
    assert_eq!(store.put_if_absent(&key("a/d"), b"bytes").unwrap(), Put::Created);
    assert_eq!(server.requests(), 1);
}

#[test]
fn who_may_not_even_read_is_refused_at_opening() {
    assert_eq!(opened(&Server::new(Manner::Closed)).unwrap_err().code, Code::StoreUnavailable);
}

#[test]
fn a_key_that_is_taken_for_a_moment_only_is_tried_again() {
    let server = Server::new(Manner::Good);
    let store = opened(&server).unwrap();
    server.becomes(Manner::Conflicts(2));
    assert_eq!(store.put_if_absent(&key("a/b"), b"bytes").unwrap(), Put::Created);
    server.becomes(Manner::Conflicts(usize::MAX));
    let failure = store.put_if_absent(&key("a/c"), b"bytes").unwrap_err();
    assert_eq!((failure.code, failure.retryable()), (Code::StoreUnavailable, true));
    assert_eq!(store.put_if_absent(&key("a/b"), b"other").unwrap(), Put::Exists);
}

#[test]
fn a_put_whose_answer_was_lost_is_recognised_by_its_bytes() {
    let server = Server::new(Manner::Good);
    let store = opened(&server).unwrap();
    server.becomes(Manner::LosesAnswers);
    let written = write_once::<ModelArtifact>(&store, &key("a/b"), b"bytes").unwrap();
    assert_eq!(write_once::<ModelArtifact>(&store, &key("a/b"), b"bytes").unwrap(), written);
    let other = write_once::<ModelArtifact>(&store, &key("a/b"), b"other").unwrap_err();
    assert_eq!(other.code, Code::ModelArtifactImmutabilityViolation);
}

#[test]
fn what_has_a_name_that_no_key_has_is_counted() {
    let server = Server::new(Manner::Good);
    let store = opened(&server).unwrap();
    store.put_if_absent(&key("p/a"), b"").unwrap();
    let foreign =
        async { Ok(server.objects.put(&Path::from("some/prefix/p/.hidden"), "".into()).await.unwrap()) };
    store.reactor.wait(foreign).unwrap();
    let listed = store.list(&key("p")).unwrap();
    assert_eq!((listed.unnamed, listed.objects().unwrap()), (1, vec![key("p/a")]));
}

/// S3 lists the object `p/`, by which its console shows an empty folder, below the prefix `p/`.
#[test]
fn what_marks_the_folder_itself_is_not_below_it() {
    let server = Server::new(Manner::Good);
    let store = opened(&server).unwrap();
    store.put_if_absent(&key("p/a"), b"").unwrap();
    server.becomes(Manner::MarksFolders);
    assert_eq!(store.list(&key("p")).unwrap(), Listing { keys: vec![key("p/a")], ..Listing::default() });
    server.becomes(Manner::ListsNoPath);
    let listed = store.list(&key("p")).unwrap();
    let refusal = listed.refusal(&key("p/a")).unwrap();
    assert_eq!((&listed.refused[0].0, refusal.code), (&key("p"), Code::StoreCorrupt));
    assert_eq!(listed.objects().unwrap_err(), refusal);
}

#[test]
fn neither_failures_nor_debugging_show_what_the_client_holds() {
    let store = opened(&Server::new(Manner::Good)).unwrap();
    assert_eq!(format!("{store:?}"), "RemoteStore(\"s3://bucket/prefix\")");
    let secretive = Error::Generic {
        store: "S3",
        source: Box::new(std::io::Error::other(std::io::Error::from(std::io::ErrorKind::TimedOut))),
    };
    let failure = trouble(&secretive, "put", Some(&key("a/b")));
    assert_eq!(failure.detail, "could not put a/b: timed out");
}

#[test]
fn a_fork_is_told_to_open_again() {
    let store = opened(&Server::new(Manner::Good)).unwrap();
    let store = RemoteStore { reactor: store.reactor.of_another_process(), ..store };
    let failure = store.get(&key("a/b")).unwrap_err();
    assert_eq!(failure.code, Code::StoreUnavailable);
    assert!(failure.hint().contains("each process"));
}

#[test]
fn many_threads_can_wait_at_the_same_time() {
    let store = opened(&Server::new(Manner::Good)).unwrap();
    rayon::scope(|scope| {
        for number in 0..200 {
            let store = &store;
            scope.spawn(move |_| {
                let object = key(&format!("a/{number}"));
                store.put_if_absent(&object, b"bytes").unwrap();
                assert_eq!(store.get(&object).unwrap().unwrap(), b"bytes");
            });
        }
    });
    assert_eq!(store.list(&key("a")).unwrap().keys.len(), 200);
}

proptest! {
    #[test]
    fn a_key_is_its_path_and_a_path_its_key(
        text in "[A-Za-z0-9][A-Za-z0-9_:=-]{0,9}(\\.[A-Za-z0-9_:=-]{1,9}){0,2}\\.?(/[A-Za-z0-9][A-Za-z0-9_:=.-]{0,9}){0,9}",
        prefixed in any::<bool>(),
    ) {
        let Ok(object) = ObjectKey::new(text.as_str()) else { return Ok(()) };
        let prefix = prefixed.then(|| key("some/prefix"));
        let store = RemoteStore::of(String::new(), Arc::new(InMemory::new()), prefix).unwrap();
        let path = store.path(&object).unwrap();
        let expected = if prefixed { format!("some/prefix/{text}") } else { text };
        prop_assert_eq!(path.as_ref(), expected);
        prop_assert_eq!(store.key_of(&path), Some(object));
    }
}
