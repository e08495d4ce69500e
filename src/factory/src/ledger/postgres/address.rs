//! Where the database is, who we are to it, and how the way there is kept private.
//!
//! Flows in: a `postgresql://` URL, and `PGUSER`, `PGPASSWORD`, `PGSSLMODE`, `PGSSLROOTCERT` for what it does
//! not say. Flows out: how to connect. Invariants: no part of the URL or the environment stands in a failure;
//! what cannot be honoured is refused by name; no mode is less safe than its name says. TLS always proves the
//! server, its name included: that is `verify-full`, and `require` and `verify-ca` are held to it too.

use std::{net::IpAddr, sync::Arc, time::Duration};

use contracts::{Code, Failure, Result};
use percent_encoding::percent_decode_str;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

/// How long to wait for a connection in which one can speak, where the URL does not say.
const CONNECT: Duration = Duration::from_secs(10);
/// How long what was sent may stay unconfirmed before the way is taken to be cut.
const UNCONFIRMED: Duration = Duration::from_secs(20);

/// Options of a URL that reach the server or the socket as they are.
const PASSED_ON: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "application_name",
    "options",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "channel_binding",
    "load_balance_hosts",
];

/// Options that libpq knows and that are not honoured here; only these are repeated to whoever wrote one.
const REFUSED: &[&str] = &[
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "target_session_attrs",
];

/// How to reach the database. It has no `Debug`, since it holds a password.
pub(super) struct Address {
    pub(super) config: Config,
    /// The roots that the server's certificate is proved by; none on a way without TLS.
    pub(super) tls: Option<ClientConfig>,
    pub(super) patience: Duration,
}

impl Address {
    /// Reads a URL; what it leaves open is asked of the environment.
    pub(super) fn read(url: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let options = Options::split(url)?;
        let mut config: Config = options
            .rest
            .parse()
            .map_err(|_| refuse("a URL of the form postgresql://user@host:port/database"))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(refuse("a URL that names a host"));
        }
        if config.get_user().is_none()
            && let Some(user) = environment("PGUSER")
        {
            config.user(user);
        }
        if config.get_password().is_none()
            && let Some(password) = environment("PGPASSWORD")
        {
            config.password(password);
        }
        let mode = options.mode.or_else(|| environment("PGSSLMODE"));
        let roots = options.roots.or_else(|| environment("PGSSLROOTCERT"));
        let tls = if is_private(mode.as_deref(), &config)? { Some(tls(roots.as_deref())?) } else { None };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let patience = config.get_connect_timeout().copied().unwrap_or(CONNECT);
        config.connect_timeout(patience);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNCONFIRMED);
        }
        if config.get_application_name().is_none() {
            config.application_name("model_factory");
        }
        Ok(Self { config, tls, patience })
    }
}

/// A URL, without the options that are ours to read.
struct Options {
    rest: String,
    mode: Option<String>,
    roots: Option<String>,
}

impl Options {
    fn split(url: &str) -> Result<Self> {
        // A password may hold a question mark: what comes before the first @ is not looked into.
        let start = url.find('@').unwrap_or(0);
        let place = url[start..].find('?').map_or(url.len(), |place| start + place);
        let mut options = Self { rest: url[..place].to_owned(), mode: None, roots: None };
        let mut separator = '?';
        for option in url[place..].trim_start_matches('?').split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "sslmode" => options.mode = Some(decoded(value)?),
                "sslrootcert" => options.roots = Some(decoded(value)?),
                name if PASSED_ON.contains(&name) => {
                    options.rest.push(separator);
                    options.rest.push_str(option);
                    separator = '&';
                }
                name => {
                    let known = REFUSED.iter().find(|known| **known == name);
                    let named = known.map_or_else(String::new, |known| format!(", not {known}"));
                    return Err(refuse(&format!("options that the ledger honours{named}")));
                }
            }
        }
        Ok(options)
    }
}

fn decoded(value: &str) -> Result<String> {
    let text = percent_decode_str(value).decode_utf8().map_err(|_| refuse("text in UTF-8"))?;
    Ok(text.into_owned())
}

/// Whether the way is kept private by TLS.
fn is_private(mode: Option<&str>, config: &Config) -> Result<bool> {
    match mode {
        Some("disable") => Ok(false),
        Some("require" | "verify-ca" | "verify-full") => Ok(true),
        // Both take what they get, and with it a way that anyone can read.
        Some(weak @ ("allow" | "prefer")) => {
            Err(refuse(&format!("sslmode disable, require, verify-ca or verify-full, not {weak}")))
        }
        Some(_) => Err(refuse("sslmode disable, require, verify-ca or verify-full")),
        None => Ok(!stays_on_this_machine(config)),
    }
}

fn stays_on_this_machine(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    config.get_hosts().iter().all(local) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// TLS that trusts the certificates in a file, or those of the system.
fn tls(roots: Option<&str>) -> Result<ClientConfig> {
    let mut store = RootCertStore::empty();
    match roots {
        None | Some("system") => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let unreadable = |_| refuse("sslrootcert as the path of certificates in PEM");
            for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                let added = certificate.map(|certificate| store.add(certificate));
                added
                    .map_err(unreadable)?
                    .map_err(|_| refuse("sslrootcert as certificates that sign others"))?;
            }
        }
    }
    if store.is_empty() {
        return Err(refuse("sslrootcert, since the system has no certificates to trust"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Failure::new(Code::InternalError, "TLS without a version"))?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

/// A refusal of the URL that repeats nothing of it.
fn refuse(expected: &str) -> Failure {
    Failure::at(Code::ParameterInvalid, "ledger", expected, "another URL (not shown)")
}
