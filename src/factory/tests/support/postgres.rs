//! A PostgreSQL server of the tests' own: one cluster a test process, one database a test.
//!
//! It listens on loopback at a port of its own, keeps its files in a folder of its own, and ends with the process
//! that started it, however that ends: a guard waits for the other end of a pipe, which the kernel closes.

use std::{
    env, fs,
    io::{self, Write},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};

/// The password of every role but the owner; it may stand nowhere but in a URL.
pub const PASSWORD: &str = "canary-7f3a9c";

/// A running cluster.
pub struct Server {
    port: u16,
    folder: PathBuf,
    binaries: PathBuf,
    owner: Owner,
    /// Held open for as long as the process lives.
    _guard: ChildStdin,
}

/// Who the server runs as; it refuses to run as root.
#[derive(Debug, Clone, Copy)]
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn find() -> Self {
        let root =
            fs::metadata("/proc/self").is_ok_and(|folder| std::os::unix::fs::MetadataExt::uid(&folder) == 0);
        if !root {
            return Self(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let ids = ["postgres", "nobody"].iter().find_map(|name| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2).map(str::parse);
            Some((fields.next()?.ok()?, fields.next()?.ok()?))
        });
        Self(Some(ids.expect("a user that the server can run as")))
    }

    fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        // A folder that the owner may stand in.
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).env("LC_ALL", "C");
        command
    }
}

/// The server of this process. Where there is no PostgreSQL the test is skipped by its name, and fails under `CI`.
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| binaries().map(Server::start)).as_ref();
    if server.is_none() {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "PostgreSQL is needed here");
        let name = thread::current().name().unwrap_or("a test").to_owned();
        // Written past the capture of the harness, which shows no output of a test that passes.
        writeln!(io::stderr(), "skipped: {name}: no PostgreSQL (initdb) on this machine").unwrap();
    }
    server
}

/// The folder of `initdb`, by `PATH` or where Debian keeps it.
fn binaries() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.map(|entry| entry.unwrap().path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    env::split_paths(&path).chain(versions.into_iter().rev()).find(|folder| folder.join("initdb").is_file())
}

impl Server {
    /// A server for one test alone, which may stop it.
    pub fn of_a_test() -> Option<Self> {
        binaries().map(Self::start)
    }

    fn start(binaries: PathBuf) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("ledger-").tempdir_in(parent).unwrap().keep();
        let owner = Owner::find();
        if let Some((user, group)) = owner.0 {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let guard = guard(&binaries, &folder, owner);
        let data = folder.join("data");
        run(owner
            .command(&binaries.join("initdb"))
            .args(["-A", "trust", "-U", "owner", "-E", "UTF8", "-N"])
            .arg("-D")
            .arg(&data));
        fs::write(
            data.join("pg_hba.conf"),
            "host all owner 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        )
        .unwrap();
        certify(&data, owner);
        let server = Self { port: free_port(), folder, binaries, owner, _guard: guard };
        server.run();
        server.sql("postgres", &format!("CREATE ROLE worker LOGIN PASSWORD '{PASSWORD}'"));
        server
    }

    /// Starts the server, the first time or again.
    pub fn run(&self) {
        let settings = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200 -c ssl=on",
            self.port
        );
        let log = self.folder.join("log");
        run(self.control().args(["-w", "-l"]).arg(log).args(["-o", &settings, "start"]));
    }

    /// Stops it as a power cut would.
    pub fn stop(&self) {
        run(self.control().args(["-m", "immediate", "stop"]));
    }

    /// Stops it, to run as a standby that follows nobody from now on.
    pub fn stand_by(&self) {
        self.stop();
        fs::write(self.folder.join("data/standby.signal"), "").unwrap();
        self.run();
    }

    /// Ends its time as a standby.
    pub fn promote(&self) {
        run(self.control().args(["-w", "promote"]));
    }

    fn control(&self) -> Command {
        let mut command = self.owner.command(&self.binaries.join("pg_ctl"));
        command.arg("-D").arg(self.folder.join("data"));
        command
    }

    /// Waits until it is gone, with its files. Otherwise that happens once the process ends.
    pub fn end(&self) {
        self.stop();
        fs::remove_dir_all(&self.folder).unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that signed the server's own, which is that of `localhost`.
    pub fn root_certificate(&self) -> PathBuf {
        self.folder.join("data/root.pem")
    }

    /// The URL of a database for its owner.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://owner@127.0.0.1:{}/{database}", self.port)
    }

    /// Carries out statements as the owner.
    pub fn sql(&self, database: &str, sql: &str) {
        Connection::to(&self.url(database)).batch(sql);
    }

    /// An empty database, or a copy of another.
    pub fn database(&'static self, template: Option<&str>) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let template = template.unwrap_or("template0");
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Database { server: self, name }
    }
}

/// A connection that no ledger knows of.
pub struct Connection {
    runtime: Runtime,
    client: Client,
}

impl Connection {
    pub fn to(url: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        Self { runtime, client }
    }

    pub fn batch(&self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).unwrap();
    }

    /// The texts of one column.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.runtime.block_on(self.client.query(sql, &[])).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// A database of one test, dropped with its value.
pub struct Database {
    pub server: &'static Server,
    pub name: String,
}

impl Database {
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that failed says why by itself, and the cluster goes away in any case.
        if !thread::panicking() {
            self.server.sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}

/// A shell that reads a pipe until this process is gone, then stops the cluster and removes its folder.
fn guard(binaries: &Path, folder: &Path, owner: Owner) -> ChildStdin {
    let script = r#"read -r _; "$1/pg_ctl" -D "$2/data" -m immediate stop; rm -rf "$2"/*; rmdir "$2""#;
    let mut command = owner.command(Path::new("/bin/sh"));
    let child = command
        .args(["-c", script, "guard"])
        .args([binaries, folder])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    child.unwrap().stdin.unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Writes a root of the test's own and the server's certificate, for the name `localhost` alone.
fn certify(data: &Path, owner: Owner) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &root).unwrap();
    fs::write(data.join("root.pem"), root.pem()).unwrap();
    fs::write(data.join("server.crt"), certificate.pem()).unwrap();
    let path = data.join("server.key");
    fs::write(&path, key.serialize_pem()).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    if let Some((user, group)) = owner.0 {
        chown(&path, Some(user), Some(group)).unwrap();
    }
}
