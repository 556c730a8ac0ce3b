//! The actions on ClickHouse against its real engine, each test with a server of its own.

use std::process::Command;

use async_trait::async_trait;
use drplan::actions::{AssetKind, Probe};
use serde_json::{Value, json};

use super::laws::{Law, Stand, hold};
use super::owned::{Owned, free_port};
use super::room::{Room, refusal};
use super::stands::{EFFECT, READS, because, target};

const PASSWORD: &str = "clickhouse-canary-77aa";

/// A server with a database `shop` of two tables, and an action on it.
struct Server {
    action: &'static str,
    with: Value,
    port: u16,
    dir: tempfile::TempDir,
    owned: Option<Owned>,
}

impl Server {
    fn start(action: &'static str, with: Value) -> Server {
        let mut server = Server { action, with, port: free_port(), dir: tempfile::tempdir().unwrap(), owned: None };
        server.again();
        server.sql("create database shop engine = Atomic");
        server.reset();
        server
    }

    /// Starts the server, after a power cut if it runs.
    fn again(&mut self) {
        self.owned = None;
        let home = std::env::var("DRPLAN_LAB_CACHE").or_else(|_| std::env::var("XDG_CACHE_HOME").map(|d| format!("{d}/drplan-lab")));
        let home = home.unwrap_or_else(|_| format!("{}/.cache/drplan-lab", std::env::var("HOME").unwrap()));
        let python = format!("{home}/clickhouse/bin/python3");
        assert!(std::path::Path::new(&python).exists(), "not installed; run: tests/lab/lab install");
        let (port, dir) = (self.port.to_string(), self.dir.path().to_str().unwrap().to_owned());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/clickhouse.py");
        let ready = || self.ask("select 1").is_some_and(|said| said == "1");
        self.owned = Some(Owned::start(&[&python, script, &port, &dir, "dr", PASSWORD], &self.dir.path().join("log"), ready));
    }

    fn ask(&self, sql: &str) -> Option<String> {
        let header = |name: &str, value: &str| format!("{name}: {value}");
        let done = Command::new("curl")
            .args(["-gsS", "--fail-with-body", "-H", &header("X-ClickHouse-User", "dr"), "-H", &header("X-ClickHouse-Key", PASSWORD)])
            .args(["--data-binary", sql, &format!("http://127.0.0.1:{}/", self.port)])
            .output()
            .unwrap();
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
    }

    fn sql(&self, sql: &str) -> String {
        self.ask(sql).unwrap_or_else(|| panic!("{sql}"))
    }

    fn at(&self, at: &str, password: &str) -> Room {
        let connect = json!({ "url": format!("http://{at}"), "user": "dr", "password": password, "database": "shop" });
        Room::new(self.action, self.with.clone(), Some(target(AssetKind::Clickhouse, connect)), self.dir.path().to_str().unwrap())
    }

    fn here(&self, action: &'static str, with: Value) -> Room {
        let mut room = self.room(&self.server());
        room.action = drplan::actions::find(action).unwrap();
        room.with = with.as_object().unwrap().clone();
        room
    }
}

#[async_trait]
impl Stand for Server {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        match self.action {
            "clickhouse.check" => because(&EFFECT, READS),
            "clickhouse.backup" => {
                let own = "each step makes a backup of its own: another step's is not its effect";
                let stays = "a backup that stays harms nobody: the plan says what removes it";
                because(&[Law::There, Law::Newer], own).into_iter().chain(because(&[Law::Undo], stays)).collect()
            }
            _ => because(&[Law::There], "each step restores anew: what another one restored is what it swaps out"),
        }
    }

    fn room(&self, at: &str) -> Room {
        self.at(at, PASSWORD)
    }

    fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn state(&self) -> String {
        let backups = std::fs::read_dir(self.dir.path().join("backups")).unwrap().count();
        // One question for all of it; the names under which tables are kept are made anew by each attempt.
        let sql = "select arrayStringConcat(groupArray(name || ' ' || toString(total_rows)), ', ') from (select \
                   replaceRegexpOne(name, '_drplan_.*', ' kept') as name, total_rows from system.tables where database = 'shop' order by name)";
        format!("{}; {backups} backups", self.sql(sql))
    }

    fn reset(&self) {
        for table in self.sql("select name from system.tables where database = 'shop'").lines() {
            self.sql(&format!("drop table shop.{table} sync"));
        }
        for entry in std::fs::read_dir(self.dir.path().join("backups")).unwrap() {
            std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        for (table, rows) in [("day", 100), ("week", 10)] {
            self.sql(&format!("create table shop.{table} (n Int64, price Int64) engine = MergeTree order by n"));
            self.sql(&format!("insert into shop.{table} select number, number from numbers({rows})"));
        }
        if self.action == "clickhouse.restore" {
            self.sql("backup database shop to File('full/')");
            self.sql("insert into shop.day select number, 1000 from numbers(7)");
            self.sql("drop table shop.week sync");
        }
    }

    fn meddle(&self) {
        self.sql("insert into shop.day select number, 5 from numbers(3)");
    }

    fn refused(&self) -> Room {
        self.at(&self.server(), "another")
    }

    fn absent(&self) -> Room {
        let mut room = self.room(&self.server());
        match self.action {
            "clickhouse.check" => room.with.insert("query".to_owned(), json!("select count() from shop.none")),
            "clickhouse.backup" => room.with.insert("tables".to_owned(), json!(["none"])),
            _ => room.with.insert("backup".to_owned(), json!({ "file": "none/" })),
        };
        room
    }

    fn secret(&self) -> String {
        PASSWORD.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        (self.at(&self.server(), "${secrets.pw}"), vec![("SECRET_PW".to_owned(), PASSWORD.to_owned())])
    }
}

#[tokio::test]
async fn a_look_keeps_the_laws() {
    let with = json!({ "query": "select sum(price) from day where n >= {least:Int64}", "params": { "least": 50 }, "expect": { "at_least": 3725 } });
    hold(&Server::start("clickhouse.check", with)).await;
}

#[tokio::test]
async fn a_backup_keeps_the_laws() {
    hold(&Server::start("clickhouse.backup", json!({ "to": { "file": "nightly" }, "tables": ["day", "week"] }))).await;
}

#[tokio::test]
async fn a_restore_keeps_the_laws() {
    hold(&Server::start("clickhouse.restore", json!({ "backup": { "file": "full/" }, "tables": ["day", "week"] }))).await;
}

#[tokio::test]
async fn what_finds_nothing_writes_or_is_cut_is_no_pass() {
    let server = Server::start("clickhouse.check", json!({}));
    assert!(server.room(&server.server()).read().await.is_ok());
    for (with, why) in [
        (json!({ "query": "select n from day where n > 1000" }), "finds nothing"),
        (json!({ "query": "select n from day", "rows": 99 }), "wanted: the number of rows is 99; found 100"),
        (json!({ "query": "truncate table day" }), "readonly"),
        (json!({ "query": "select throwIf(n = 99, 'in the middle') from day" }), "in the middle"),
        (json!({ "query": "select repeat('x', 1000) from numbers(2000)" }), "longer than what is read"),
        (json!({ "query": "select count() from none" }), "Code: 60"),
        (json!({ "query": "select 1 format TabSeparated" }), "no whole answer"),
    ] {
        let fault = refusal(server.here("clickhouse.check", with.clone()).read().await);
        assert!(fault.cause.contains(why), "{with}: {fault}");
    }
    assert_eq!(server.sql("select count() from shop.day"), "100");
    // Values are values, whatever they hold.
    for value in ["it's", "a\tb", "two\nlines", "back\\slash", "'; drop table day; --", "é", ""] {
        let with = json!({ "query": "select {v:String} as v", "params": { "v": value }, "expect": value });
        server.here("clickhouse.check", with).read().await.unwrap_or_else(|f| panic!("{value:?}: {f}"));
    }
}

#[tokio::test]
async fn a_backup_with_nothing_in_it_is_none_and_one_that_is_forgotten_is_asked_about() {
    let mut server = Server::start("clickhouse.backup", json!({ "to": { "file": "nightly" }, "tables": ["day"] }));
    server.sql("truncate table shop.day");
    let room = server.room(&server.server());
    let before = room.before().await.unwrap();
    assert!(refusal(room.apply(&before).await).cause.contains("not one row"));
    assert_eq!(room.probe(&before).await.unwrap(), Probe::NotThere);
    server.reset();
    let outputs = room.apply(&before).await.unwrap();
    assert!(
        outputs["files"].as_i64().unwrap() > 0 && outputs["backup"].as_str().unwrap().starts_with("File('nightly/asset-"),
        "{outputs:?}"
    );
    // What it made can be restored where nothing is, and tells when it was begun.
    server.sql("drop table shop.day sync");
    let name = format!("nightly/{}", outputs["name"].as_str().unwrap());
    let restore = server.here("clickhouse.restore", json!({ "backup": { "file": name }, "tables": ["day"] }));
    let (again, found) = {
        let before = restore.before().await.unwrap();
        let found = restore.apply(&before).await.unwrap();
        (before, found)
    };
    // The name was made a moment before the server began.
    assert!(found["restored_to"].as_str() <= outputs["time"].as_str(), "{found:?} {outputs:?}");
    assert_eq!(server.sql("select count() from shop.day"), "100");
    assert_eq!(restore.undo(&again).await.unwrap(), Probe::NotThere);
    assert_eq!(server.sql("select count() from system.tables where database = 'shop' and name like 'day%'"), "0");
    // The server is started anew: nobody knows any more whether the backup was whole.
    while server.sql("select uptime() > 3") == "0" {}
    server.again();
    assert!(matches!(room.probe(&before).await.unwrap(), Probe::CannotTell(_)));
    assert!(refusal(room.apply(&before).await).cause.contains("forgotten"));
}

/// A restore into a table with other rows never mixes the two.
#[tokio::test]
async fn a_restore_never_merges_into_what_is_there() {
    let server = Server::start("clickhouse.restore", json!({ "backup": { "file": "full/" }, "tables": ["day"] }));
    let room = server.room(&server.server());
    let before = room.before().await.unwrap();
    let outputs = room.apply(&before).await.unwrap();
    assert_eq!(server.sql("select count(), sum(price) from shop.day"), "100\t4950");
    let kept = outputs["kept"]["day"].as_str().unwrap();
    assert_eq!(server.sql(&format!("select count() from shop.{kept}")), "107");
    // Merges are nobody's writes.
    server.sql("optimize table shop.day final");
    assert!(matches!(room.probe(&before).await.unwrap(), Probe::There(_)));
    // A table of the backup that has no row is not swapped in.
    server.sql("create table shop.empty (n Int64) engine = MergeTree order by n");
    server.sql("backup table shop.empty to File('empty/')");
    server.sql("insert into shop.empty values (1)");
    let room = server.here("clickhouse.restore", json!({ "backup": { "file": "empty/" }, "tables": ["empty"] }));
    let before = room.before().await.unwrap();
    assert!(refusal(room.apply(&before).await).cause.contains("not one row"));
    assert_eq!(server.sql("select count() from shop.empty"), "1");
    // A view is no table.
    server.sql("create view shop.view as select 1");
    let room = server.here("clickhouse.restore", json!({ "backup": { "file": "full/" }, "tables": ["view"] }));
    assert!(refusal(room.before().await).cause.contains("is a View"));
}
