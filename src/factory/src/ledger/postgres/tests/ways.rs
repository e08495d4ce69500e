//! How the server is reached: passwords, TLS, and what a URL may not ask for.

use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

fn not_shown(failure: &Failure) {
    for text in [failure.to_string(), format!("{failure:?}"), failure.hint().to_owned()] {
        assert!(!text.contains(PASSWORD) && !text.contains("canary"), "{text}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_and_nothing_of_the_url_is_repeated() {
    let at = format!("postgresql://user:{PASSWORD}@");
    for (url, named) in [
        (format!("{at}db.example/ledger?sslmode=prefer"), "not prefer"),
        (format!("{at}db.example/ledger?sslmode=allow"), "not allow"),
        (format!("{at}db.example/ledger?sslmode={PASSWORD}"), "sslmode"),
        (format!("{at}db.example/ledger?sslcert=canary"), "not sslcert"),
        (format!("{at}db.example/ledger?target_session_attrs=any"), "not target_session_attrs"),
        (format!("{at}db.example/ledger?{PASSWORD}=1"), "options"),
        (format!("{at}db.example/ledger?sslrootcert=/no/such/canary.pem"), "sslrootcert"),
        (format!("{at}db.example:{PASSWORD}/ledger"), "form"),
        (format!("{at}/ledger"), "a host"),
        (format!("postgresql://user:can?ary{PASSWORD}=@db.example:x/ledger"), "form"),
    ] {
        let failure = Address::read(&url, nothing).err().unwrap();
        assert_eq!(failure.code, Code::ParameterInvalid, "{named}");
        assert!(failure.to_string().contains(named), "{named}: {failure}");
        not_shown(&failure);
    }
    let failure = Address::read("postgresql://db.example/ledger", |name| {
        (name == "PGSSLMODE").then(|| "prefer".to_owned())
    });
    assert!(failure.err().unwrap().to_string().contains("not prefer"));
    let failure = crate::ledger::open(
        std::path::Path::new(&format!("mysql://user:{PASSWORD}@db/x")),
        crate::ledger::Absent::Make,
        Arc::new(crate::clock::SystemClock),
    );
    not_shown(&failure.err().unwrap());
}

#[test]
fn the_environment_fills_in_what_the_url_leaves_open() {
    let environment = |name: &str| match name {
        "PGUSER" => Some("ada".to_owned()),
        "PGPASSWORD" => Some(PASSWORD.to_owned()),
        _ => None,
    };
    let address = Address::read("postgresql://localhost/ledger", environment).ok().unwrap();
    assert_eq!(address.config.get_user(), Some("ada"));
    assert_eq!(address.config.get_password(), Some(PASSWORD.as_bytes()));
    let address = Address::read("postgresql://eve:own@localhost/ledger", environment).ok().unwrap();
    assert_eq!(address.config.get_user(), Some("eve"));
    assert_eq!(address.config.get_password(), Some(&b"own"[..]));
}

#[test]
fn other_machines_are_reached_by_tls_unless_the_url_says_otherwise() {
    let private = |rest: &str| {
        // Where the system has no certificates, asking for TLS is refused: that is not a way without it.
        Address::read(&format!("postgresql://{rest}"), nothing).map_or(true, |address| address.tls.is_some())
    };
    for way in ["db.example/x", "10.0.0.1/x", "localhost,db.example/x", "localhost/x?hostaddr=10.0.0.1"] {
        assert!(private(way), "{way}");
    }
    for way in ["localhost/x?sslmode=require", "127.0.0.1/x?sslmode=verify-ca", "[::1]/x?sslmode=verify-full"]
    {
        assert!(private(way), "{way}");
    }
    for way in
        ["localhost/x", "127.0.0.1/x", "[::1]/x", "%2Frun%2Fpostgresql/x", "db.example/x?sslmode=disable"]
    {
        assert!(!private(way), "{way}");
    }
}

#[test]
fn a_password_that_is_wrong_is_not_shown() {
    let Some(bench) = Bench::postgres() else { return };
    let Database { server, name } = database(&bench);
    let failure = refused(&format!("postgresql://worker:{PASSWORD}x@127.0.0.1:{}/{name}", server.port()));
    assert_eq!(failure.code, Code::LedgerUnavailable);
    assert!(failure.detail.contains("28P01"), "{failure}");
    not_shown(&failure);
    let failure = refused(&format!("postgresql://worker:{PASSWORD}@127.0.0.1:{}/none", server.port()));
    assert!(failure.detail.contains("3D000") && !failure.retryable(), "{failure}");
    assert!(failure.hint().contains("createdb") && !failure.hint().contains("none"), "{}", failure.hint());
    not_shown(&failure);
    let failure = refused(&format!("postgresql://worker@127.0.0.1:{}/{name}", server.port()));
    assert!(failure.detail.contains("password missing"), "{failure}");
    // Nobody listens there any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let failure = refused(&format!("postgresql://worker:{PASSWORD}@127.0.0.1:{port}/x"));
    assert_eq!(failure.code, Code::LedgerUnavailable);
    assert!(failure.detail.contains("connection refused"), "{failure}");
    not_shown(&failure);
    let failure = refused(&format!("postgresql://worker:{PASSWORD}@no-such-host.invalid/x?sslmode=disable"));
    assert_eq!(failure.code, Code::LedgerUnavailable);
    not_shown(&failure);
}

#[test]
fn a_role_needs_no_right_to_change_tables() {
    let Some(bench) = Bench::postgres() else { return };
    let Database { server, name } = database(&bench);
    let url = format!("postgresql://worker:{PASSWORD}@127.0.0.1:{}/{name}", server.port());
    let failure = refused(&url);
    assert!(failure.detail.contains("42501"), "{failure}");
    bench.edit(
        "GRANT USAGE ON SCHEMA model_factory TO worker; GRANT SELECT ON ALL TABLES IN SCHEMA model_factory TO worker;
        GRANT INSERT, UPDATE ON runs, anchors TO worker; GRANT INSERT ON events, requests TO worker",
    );
    let ledger = PostgresLedger::open(&url).unwrap();
    ledger.submit(&submission(1, "request-1", true)).unwrap();
    let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
    ledger.release(&lease).unwrap();
    ledger.verify().unwrap();
}

#[test]
fn tls_proves_the_server_by_name() {
    let Some(bench) = Bench::postgres() else { return };
    let Database { server, name } = database(&bench);
    let roots = format!("sslrootcert={}", server.root_certificate().to_str().unwrap());
    let url = |host: &str, options: &str| {
        format!("postgresql://worker:{PASSWORD}@{host}:{}/{name}?{options}", server.port())
    };
    bench.edit(
        "GRANT USAGE ON SCHEMA model_factory TO worker;
        GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA model_factory TO worker",
    );
    for mode in ["require", "verify-ca", "verify-full"] {
        let ledger = PostgresLedger::open(&url("localhost", &format!("sslmode={mode}&{roots}"))).unwrap();
        let encrypted = "SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl";
        assert_eq!(ledger.transact(Purpose::Read, |open| open.integer(encrypted)).unwrap(), 1, "{mode}");
        ledger.verify().unwrap();
        // Another name than the certificate's.
        let failure = refused(&url("127.0.0.1", &format!("sslmode={mode}&{roots}")));
        assert!(failure.detail.contains("could not prove"), "{mode}: {failure}");
        not_shown(&failure);
        // A certificate that nobody here trusts, or a system without any.
        let failure = refused(&url("localhost", &format!("sslmode={mode}&sslrootcert=system")));
        let untrusted = failure.detail.contains("could not prove") || failure.code == Code::ParameterInvalid;
        assert!(untrusted, "{mode}: {failure}");
    }
    PostgresLedger::open(&url("localhost", "sslmode=disable")).unwrap();
}

#[test]
fn a_place_is_a_url_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.sqlite").to_str().unwrap().to_owned();
    let bench = Bench::postgres();
    let scope = "prod/card/primary".parse().unwrap();
    for place in [Some(file), bench.as_ref().map(|bench| bench.place.name())].into_iter().flatten() {
        let ledger = crate::ledger::open(
            std::path::Path::new(&place),
            crate::ledger::Absent::Make,
            Arc::new(crate::clock::SystemClock),
        )
        .unwrap();
        assert_eq!(ledger.verify().unwrap().runs, 0);
        assert_eq!(ledger.anchor(&scope).unwrap(), None);
    }
}
