//! A journal's server by TLS, as its address asks for: a certificate of a known authority for the right host is taken,
//! anything else is refused, and nothing is begun.

use std::path::Path;
use std::process::Command;

use super::Scene;
use super::fact::until;
use super::lab::Lab;
use crate::desk::{Desk, said};

/// An authority, and a certificate of it for `localhost` alone.
const CERTIFICATES: &str = r#"set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >ext
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.crt
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=somebody -keyout other.key -out other.crt
"#;

fn made(dir: &Path) {
    let done = Command::new("sh").args(["-c", CERTIFICATES]).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "openssl is installed: ./dev test does it. {done:?}");
}

#[test]
fn a_server_is_who_it_says_or_nothing_begins() {
    let (lab, dir) = (Lab::up(&["--servers"]), tempfile::tempdir().unwrap());
    made(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let url = |host: &str, mode: &str, authority: &str| {
        let (password, port) = (&lab["LAB_DR_PASSWORD"], &lab["LAB_PRIMARY_PORT"]);
        format!("postgres://dr:{password}@{host}:{port}/platform?sslmode={mode}&sslrootcert={}", file(authority))
    };
    let refused = |url: &str, words: &str| {
        let desk = Desk::new(super::PLAN);
        let said = said(desk.program(&["run", "--yes"]).env("DRPLAN_JOURNAL", url).env("XDG_STATE_HOME", desk.path("state")));
        assert!(said.code == Some(16) && said.err.contains(words) && !said.err.contains("lab-dr-pw"), "{url}: {said:?}");
        assert!(!desk.path("begun").exists());
    };
    refused(&url("localhost", "verify-full", "ca.crt"), "no secure connection: server does not support TLS");
    let data = Path::new(&lab["DRPLAN_LAB_DIR"]).join("pg/primary");
    for name in ["server.crt", "server.key"] {
        std::fs::copy(file(name), data.join(name)).unwrap();
    }
    let own = Command::new("sh").args(["-c", "chown --reference=. server.*; chmod 600 server.key"]).current_dir(&data).status().unwrap();
    assert!(own.success());
    lab.lab("sql", &["primary", "-c", "alter system set ssl = on", "-c", "select pg_reload_conf()"]);
    until("the server speaks TLS", || lab.lab("sql", &["primary", "-Atc", "show ssl"]).trim() == "on");
    refused(&url("127.0.0.1", "verify-full", "ca.crt"), "no secure connection: invalid peer certificate");
    refused(&url("localhost", "verify-full", "other.crt"), "no secure connection: invalid peer certificate");
    refused(&url("localhost", "verify-ca", "other.crt"), "no secure connection: invalid peer certificate");
    let good = url("localhost", "verify-full", "ca.crt");
    let mut scene = Scene::on(good.as_ref());
    let plain = "select count(*) filter (where not ssl), count(*) filter (where ssl) > 0 from pg_stat_ssl join pg_stat_activity using (pid) \
        where application_name = 'drplan journal'";
    assert_eq!(lab.lab("sql", &["primary", "-Atc", plain]).trim(), "0|t", "every connection is encrypted");
    scene.let_on("go");
    scene.let_on("end");
    let said = scene.ended();
    assert_eq!(said.code, Some(0), "{said:?}");
}
