//! The actions on PostgreSQL that the lab of two regions does not stand for, against a server of their own.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use drplan::actions::{AssetKind, Probe};
use serde_json::{Value, json};

use super::laws::{Law, Stand, hold};
use super::owned::{Owned, free_port};
use super::room::{Room, refusal};
use super::stands::{because, target};

pub const PASSWORD: &str = "lab-dr-pw-5e1f";
pub const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A server with a database `shop` of one table, made of the lab's own cluster, and an action on it.
pub struct Server {
    action: &'static str,
    with: Value,
    pub port: u16,
    pub dir: tempfile::TempDir,
    _owned: Owned,
}

/// A program as the user that runs servers: they refuse root.
pub fn as_server(argv: &[&str]) -> Vec<String> {
    let user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
    let root = rustix::process::geteuid().is_root();
    user.iter().filter(|_| root).chain(argv).map(|word| (*word).to_owned()).collect()
}

pub fn run(argv: &[&str], stdin: Stdio) {
    let argv = as_server(argv);
    let done = Command::new(&argv[0]).args(&argv[1..]).current_dir("/").stdin(stdin).output().unwrap();
    assert!(done.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The lab's own cluster, shut down.
pub fn cluster_tar() -> std::fs::File {
    let home = std::env::var("DRPLAN_LAB_CACHE").or_else(|_| std::env::var("XDG_CACHE_HOME").map(|d| format!("{d}/drplan-lab")));
    let home = home.unwrap_or_else(|_| format!("{}/.cache/drplan-lab", std::env::var("HOME").unwrap()));
    std::fs::File::open(format!("{home}/cluster.tar")).expect("not installed; run: tests/lab/lab install")
}

impl Server {
    pub fn start(action: &'static str, with: Value) -> Server {
        let dir = tempfile::Builder::new().prefix("drplan-pg-").tempdir_in("/dev/shm").unwrap();
        // The server's user must get through to its own directory, and only there.
        Command::new("chmod").args(["a+rx", dir.path().to_str().unwrap()]).status().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if rustix::process::geteuid().is_root() {
            assert!(Command::new("chown").arg("postgres:").arg(&data).status().unwrap().success());
        }
        let data = data.to_str().unwrap().to_owned();
        run(&["chmod", "700", &data], Stdio::null());
        run(&["tar", "-xf", "-", "-C", &data], cluster_tar().into());
        let port = free_port();
        let text = port.to_string();
        let server = format!("{BIN}/postgres");
        let sockets = format!("unix_socket_directories={data}");
        let argv = as_server(&[&server, "-D", &data, "-p", &text, "-c", "listen_addresses=127.0.0.1", "-c", &sockets]);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let owned = Owned::start(&argv, &dir.path().join("log"), || psql(port, "postgres", "select 1").is_some());
        let server = Server { action, with, port, dir, _owned: owned };
        psql(port, "postgres", "create database shop").unwrap();
        server.reset();
        server
    }

    pub fn sql(&self, sql: &str) -> String {
        psql(self.port, "shop", sql).unwrap_or_else(|| panic!("{sql}"))
    }

    pub fn at(&self, at: &str, password: &str, database: &str) -> Room {
        let (host, port) = at.split_once(':').unwrap();
        let connect =
            json!({ "host": host, "port": port.parse::<u16>().unwrap(), "database": database, "user": "dr", "password": password });
        // The name of an attempt is taken once: each room is a run of its own.
        static ROOMS: AtomicU32 = AtomicU32::new(0);
        let dir = self.dir.path().join(format!("run-{}", ROOMS.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir).unwrap();
        let mut room = Room::new(self.action, self.with.clone(), Some(target(AssetKind::Postgres, connect)), dir.to_str().unwrap());
        if let Some(to) = self.with.get("to").and_then(Value::as_str) {
            room.with.insert("to".to_owned(), json!(format!("{}/{to}", self.dir.path().display())));
        }
        room
    }

    fn dumps(&self) -> std::path::PathBuf {
        self.dir.path().join("dumps")
    }
}

/// What a statement says; none if it is refused.
pub fn psql(port: u16, database: &str, sql: &str) -> Option<String> {
    let port = port.to_string();
    let done = Command::new("psql")
        .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &port, "-U", "dr", "-d", database, "-c", sql])
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
}

#[async_trait]
impl Stand for Server {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        let own = "the file's name is the step's own, and no digest of it can be kept before it is made";
        let mut out = because(&[Law::There], "each step makes a backup of its own: another step's is not its effect");
        out.extend(because(&[Law::Newer], own));
        out
    }

    fn room(&self, at: &str) -> Room {
        self.at(at, PASSWORD, "shop")
    }

    fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn state(&self) -> String {
        // What a dump that was given up leaves is none: nobody takes it for one by its name.
        let names = std::fs::read_dir(self.dumps()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let dumps = names.filter(|name| name.ends_with(".dump")).count();
        format!("{} orders, {dumps} dumps", self.sql("select count(*) from orders"))
    }

    fn reset(&self) {
        let _ = std::fs::remove_dir_all(self.dumps());
        std::fs::create_dir(self.dumps()).unwrap();
        self.sql("drop table if exists orders; create table orders as select n, md5(n::text) as note from generate_series(1, 500) n");
    }

    fn refused(&self) -> Room {
        self.at(&self.server(), "another", "shop")
    }

    fn absent(&self) -> Room {
        self.at(&self.server(), PASSWORD, "none")
    }

    fn secret(&self) -> String {
        PASSWORD.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        (self.at(&self.server(), "${secrets.pw}", "shop"), vec![("SECRET_PW".to_owned(), PASSWORD.to_owned())])
    }
}

#[tokio::test]
async fn a_dump_keeps_the_laws() {
    hold(&Server::start("postgres.dump", json!({ "to": "dumps/" }))).await;
}

#[tokio::test]
async fn a_dump_is_whole_or_none() {
    let server = Server::start("postgres.dump", json!({ "to": "dumps/one.dump" }));
    let room = server.room(&server.server());
    let before = room.before().await.unwrap();
    let outputs = room.apply(&before).await.unwrap();
    assert_eq!(outputs["tables"], json!(1));
    // It can be restored, row by row.
    psql(server.port, "postgres", "create database again").unwrap();
    let file = server.dumps().join("one.dump");
    let port = server.port.to_string();
    let done = Command::new("pg_restore")
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "dr", "-d", "again"])
        .arg(&file)
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let digest = "select count(*), md5(string_agg(note, ',' order by n)) from orders";
    assert_eq!(psql(server.port, "again", digest).unwrap(), server.sql(digest));
    // A dump of which the end is missing still shows its list.
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 2000]).unwrap();
    let list = Command::new("pg_restore").arg("--list").arg(&file).output().unwrap();
    assert!(list.status.success());
    let cut = refusal(room.probe(&before).await);
    assert!(cut.cause.contains("reads it to its end"), "{cut}");
    // Somebody's file is not written over.
    assert!(refusal(room.apply(&room.before().await.unwrap()).await).cause.contains("is not written over"));
    // Nothing in it, and no place for it.
    std::fs::remove_file(&file).unwrap();
    server.sql("drop table orders");
    let room = server.room(&server.server());
    let nothing = refusal(room.apply(&before).await);
    assert!(nothing.cause.contains("holds no table's data"), "{nothing}");
    assert_eq!(room.probe(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(std::fs::read_dir(server.dumps()).unwrap().count(), 0);
}
