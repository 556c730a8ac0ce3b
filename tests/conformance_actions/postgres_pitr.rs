//! `postgres.restore` with `until` against a server with a log archive: the laws, and what a backup, a log or an attempt
//! may have come to.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use drplan::actions::{Probe, Source};
use serde_json::{Value, json};

use super::cluster::{Cluster, wait};
use super::laws::{Law, Stand, hold};
use super::postgres::{PASSWORD, psql};
use super::room::{Room, refusal};

/// A server whose every commit is archived, a base backup, rows that were wanted and rows that were not.
struct Archived {
    cluster: Cluster,
    /// Between the last row that is wanted and the first that is not.
    until: String,
}

impl Archived {
    fn start() -> Archived {
        let cluster = Cluster::make();
        let arch = cluster.path("arch");
        cluster.mkdir("arch");
        cluster.configure(&format!("archive_mode = on\narchive_command = 'test ! -f {arch}/%f && cp %p {arch}/%f'\n"));
        cluster.launch();
        psql(cluster.port, "postgres", "create database shop").unwrap();
        cluster.sql("create table orders as select n, md5(n::text) as note from generate_series(1, 300) n");
        cluster.mkdir("bases");
        cluster.backup("bases/one");
        cluster.sql("insert into orders select n, 'kept' from generate_series(301, 400) n");
        let until = cluster.now();
        while cluster.now() == until {}
        cluster.sql("delete from orders where n < 200");
        cluster.sql("select pg_switch_wal()");
        cluster.sql("insert into orders select n, 'last' from generate_series(501, 600) n");
        cluster.halt("fast");
        cluster.keep();
        let own = Archived { cluster, until };
        own.reset();
        own
    }

    fn file(&self, name: &str) -> String {
        self.cluster.path(name)
    }

    fn with(&self, at: &str, password: &str) -> Room {
        let mut room = self.cluster.room("postgres.restore", at, password);
        let full = Source {
            id: "weekly".to_owned(),
            method: "full".to_owned(),
            places: vec![format!("file:{}", self.file("bases/"))],
            ..Source::default()
        };
        let log = Source {
            id: "wal".to_owned(),
            method: "log".to_owned(),
            places: vec![format!("file:{}", self.file("arch/"))],
            base: Some(Box::new(full)),
            ..Source::default()
        };
        room.target.as_mut().unwrap().source = Some(log);
        room.with = json!({ "until": self.until, "data": self.file("data"), "as": "postgres" }).as_object().unwrap().clone();
        if !rustix::process::geteuid().is_root() {
            room.with.remove("as");
        }
        room
    }

    fn of(&self, with: Value) -> Room {
        let mut room = self.with(&self.server(), PASSWORD);
        room.with.extend(with.as_object().unwrap().clone());
        room
    }

    /// Directories beside that end so.
    fn beside(&self, end: &str) -> usize {
        let names = std::fs::read_dir(self.cluster.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("data.drplan-") && name.ends_with(end)).count()
    }

    /// The files of the log that are archived.
    fn segments(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.file("arch")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.len() == 24).collect();
        names.sort();
        names
    }

    fn rows(&self) -> Option<String> {
        psql(self.cluster.port, "shop", "select count(*), md5(string_agg(note, ',' order by n)) from orders")
    }
}

#[async_trait]
impl Stand for Archived {
    fn action(&self) -> &'static str {
        "postgres.restore"
    }

    fn row(&self) -> &'static str {
        "postgres.restore until"
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        Vec::new()
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(8)
    }

    fn room(&self, at: &str) -> Room {
        self.with(at, PASSWORD)
    }

    fn server(&self) -> String {
        self.cluster.at()
    }

    fn state(&self) -> String {
        self.cluster.at_rest();
        let timeline = "select pg_is_in_recovery(), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
        format!("{:?}, {:?}, {} kept", self.rows(), psql(self.cluster.port, "shop", timeline), self.beside("-kept"))
    }

    fn reset(&self) {
        self.cluster.again();
    }

    fn meddle(&self) {
        self.cluster.sql("insert into orders values (1000, 'newer')");
    }

    fn refused(&self) -> Room {
        self.with(&self.server(), "another")
    }

    fn absent(&self) -> Room {
        std::fs::remove_dir_all(self.file("bases/one")).unwrap();
        self.with(&self.server(), PASSWORD)
    }

    fn secret(&self) -> String {
        PASSWORD.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        (self.with(&self.server(), "${secrets.pw}"), vec![("SECRET_PW".to_owned(), PASSWORD.to_owned())])
    }
}

#[tokio::test]
async fn a_recovery_to_a_time_keeps_the_laws() {
    hold(&Archived::start()).await;
}

#[tokio::test]
async fn a_recovery_holds_what_was_committed_and_nothing_later() {
    let stand = Archived::start();
    let system = stand.cluster.sql("select system_identifier from pg_control_system()");
    let room = stand.of(json!({}));
    let before = room.before().await.unwrap();
    let preview = room.preview(&before).await.unwrap();
    assert!(preview[0].new.contains("is kept as") && preview[0].old == "the server that runs now", "{preview:?}");
    let outputs = room.apply(&before).await.unwrap();
    assert!(outputs.keys().all(|key| room.action.outputs.iter().any(|o| o.name == key)), "{outputs:?}");
    assert_eq!(room.probe(&before).await.unwrap(), Probe::There(outputs.clone()));
    assert_eq!(stand.cluster.sql("select count(*), count(*) filter (where note = 'kept') from orders"), "400|100");
    assert_eq!(stand.cluster.sql("select system_identifier from pg_control_system()"), system);
    assert_eq!(outputs["timeline"], json!(2));
    let to: jiff::Timestamp = outputs["restored_to"].as_str().unwrap().parse().unwrap();
    assert!(to <= stand.until.parse().unwrap(), "{outputs:?}");
    let last = stand.cluster.sql("select to_char(max(pg_xact_commit_timestamp(xmin)) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from orders where note = 'kept'");
    assert_eq!(to, last.parse().unwrap(), "it is the last commit that is in it");
    assert!(Path::new(&format!("{}/PG_VERSION", outputs["kept"].as_str().unwrap())).exists());
    // Nothing of ours is left but the note, and the new timeline's history reaches the archive.
    let left = ["drplan_hba", "drplan_log", "drplan_wal", "drplan_auto", "drplan_said", "drplan_conf", "recovery.signal"];
    assert!(left.iter().all(|name| !Path::new(&stand.file(&format!("data/{name}"))).exists()));
    stand.cluster.sql("insert into orders values (7000, 'after')");
    stand.cluster.sql("select pg_switch_wal()");
    let history = stand.file("arch/00000002.history");
    wait("the history is archived", || Path::new(&history).exists());
    // It was written to: nobody takes it back.
    let again = stand.of(json!({}));
    assert!(matches!(again.undo(&before).await.unwrap(), Probe::Other(why) if why.contains("written to")));
    assert_eq!(stand.cluster.sql("select count(*) from orders"), "401");
    // A second recovery follows the timeline that the first one made.
    stand.cluster.backup("bases/two");
    stand.cluster.sql("insert into orders values (7001, 'wanted')");
    let wanted = stand.cluster.now();
    while stand.cluster.now() == wanted {}
    stand.cluster.sql("truncate orders");
    let second = stand.of(json!({ "until": wanted, "backup": "two" }));
    let before = second.before().await.unwrap();
    let outputs = second.apply(&before).await.unwrap();
    assert_eq!((stand.rows().unwrap().split('|').next(), &outputs["timeline"]), (Some("402"), &json!(3)));
}

#[tokio::test]
async fn a_log_with_a_gap_and_a_log_that_ends_early_are_no_recovery() {
    let stand = Archived::start();
    let start = stand.state();
    // The end of the log stands in the data directory alone: what is archived last was before `until`.
    let later = (stand.until.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_hours(1)).to_string();
    let room = stand.of(json!({ "until": later }));
    let before = room.before().await.unwrap();
    let fault = refusal(room.apply(&before).await);
    assert!(fault.cause.contains("holds no commit later than") && fault.cause.contains("its last commit is of 20"), "{fault}");
    assert_eq!((stand.state(), stand.beside("")), (start.clone(), 0));
    // The first file of the log is gone, everywhere.
    let first = &stand.segments()[..];
    for dir in ["arch", "data/pg_wal", "bases/one/pg_wal"] {
        for name in first {
            let _ = std::fs::remove_file(stand.file(&format!("{dir}/{name}")));
        }
    }
    let fault = refusal(stand.of(json!({})).before().await);
    assert!(fault.cause.contains("its log begins with"), "{fault}");
    // A file in the middle is gone: the recovery ends there, before its time, and is none.
    stand.reset();
    let names = stand.segments();
    assert!(names.len() > 1, "{names:?}");
    let room = stand.of(json!({}));
    let before = room.before().await.unwrap();
    let base = std::fs::read_to_string(stand.file("bases/one/backup_label")).unwrap();
    for name in names.iter().filter(|name| !base.contains(name.as_str())) {
        for dir in ["arch", "data/pg_wal"] {
            let _ = std::fs::remove_file(stand.file(&format!("{dir}/{name}")));
        }
    }
    let fault = refusal(room.apply(&before).await);
    assert!(fault.cause.contains("nothing was changed"), "{fault}");
    assert_eq!((stand.beside(""), room.probe(&before).await.unwrap()), (0, Probe::NotThere));
}

#[tokio::test]
async fn a_base_backup_that_is_not_whole_or_not_of_this_server_is_passed_over() {
    let stand = Archived::start();
    // A newer one that is damaged, and one that ended too late.
    let copy = |to: &str| assert!(Command::new("cp").args(["-a", &stand.file("bases/one"), &stand.file(to)]).status().unwrap().success());
    copy("bases/cut");
    std::fs::remove_file(stand.file("bases/cut/global/pg_control")).unwrap();
    Command::new("touch")
        .args(["-r", &stand.file("bases/one/backup_manifest"), &stand.file("bases/cut/backup_manifest")])
        .status()
        .unwrap();
    let chosen = stand.of(json!({})).before().await.unwrap();
    assert!(chosen["base"].as_str().unwrap().ends_with("/one"), "{chosen}");
    let fault = refusal(stand.of(json!({ "backup": "cut" })).before().await);
    assert!(fault.cause.contains("pg_control"), "{fault}");
    let early = "2020-01-01T00:00:00Z";
    let fault = refusal(stand.of(json!({ "until": early })).before().await);
    assert!(fault.cause.contains("later than 2020-01-01"), "{fault}");
    // Another server's, and one with a table space outside.
    std::fs::rename(stand.file("bases/one"), stand.file("one")).unwrap();
    std::fs::remove_dir_all(stand.file("bases/cut")).unwrap();
    stand.cluster.of_another("bases/one");
    for at in ["arch", "pristine/arch"] {
        let label = std::fs::read_to_string(stand.file("bases/one/backup_label")).unwrap();
        let first = label.split("(file ").nth(1).unwrap().split(')').next().unwrap();
        std::fs::write(stand.file(&format!("{at}/{first}")), b"").unwrap();
    }
    let fault = refusal(stand.of(json!({})).before().await);
    assert!(fault.cause.contains("another server"), "{fault}");
    std::fs::remove_dir_all(stand.file("bases/one")).unwrap();
    std::fs::rename(stand.file("one"), stand.file("bases/one")).unwrap();
    std::fs::write(stand.file("bases/one/tablespace_map"), "16384 /srv/fast\n").unwrap();
    assert!(refusal(stand.of(json!({})).before().await).cause.contains("tablespaces"));
}

#[tokio::test]
async fn a_server_that_is_dead_or_gone_is_recovered_too() {
    let stand = Archived::start();
    stand.cluster.halt("immediate");
    let room = stand.of(json!({}));
    let before = room.before().await.unwrap();
    room.apply(&before).await.unwrap();
    assert_eq!(stand.cluster.sql("select count(*) from orders"), "400");
    // Taken back, it lies there as it lay there.
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(psql(stand.cluster.port, "shop", "select 1").is_none());
    // Nothing stands here while its server answers: this is not its machine.
    stand.reset();
    let fault = refusal(stand.of(json!({ "data": stand.file("elsewhere") })).before().await);
    assert!(fault.cause.contains("must run where that directory is"), "{fault}");
    // Not even a directory is left.
    stand.cluster.halt("fast");
    std::fs::rename(stand.file("data"), stand.file("lost")).unwrap();
    let room = stand.of(json!({}));
    let before = room.before().await.unwrap();
    let outputs = room.apply(&before).await;
    // The base backup's own settings are those of the place.
    let outputs = outputs.unwrap();
    assert!(!outputs.contains_key("kept"), "{outputs:?}");
    assert_eq!(stand.cluster.sql("select count(*) from orders"), "400");
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(!Path::new(&stand.file("data")).exists());
}

#[tokio::test]
async fn a_recovery_to_the_end_of_the_log_holds_all_that_is_left_and_leaves_no_gap() {
    let stand = Archived::start();
    let room = stand.of(json!({ "until": "latest" }));
    // A server that runs may commit more than is recovered.
    let before = room.before().await.unwrap();
    assert_eq!(room.preview(&before).await.unwrap()[0].old, "the server that runs now, and must be stopped first");
    let fault = refusal(room.apply(&before).await);
    assert!(fault.cause.contains("nothing was changed") && fault.cause.contains("stop it first"), "{fault}");
    assert_eq!(stand.beside(""), 0);
    // It crashed: what was never archived stands in its directory.
    let last = || {
        stand
            .cluster
            .sql("select to_char(max(pg_xact_commit_timestamp(xmin)) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from orders")
    };
    let archived = last();
    stand.cluster.sql("insert into orders values (800, 'unarchived')");
    let newest = last();
    stand.cluster.halt("immediate");
    let room = stand.of(json!({ "until": "latest" }));
    let before = room.before().await.unwrap();
    let outputs = room.apply(&before).await.unwrap();
    assert_eq!((outputs["restored_to"].as_str().unwrap(), &outputs["timeline"]), (newest.as_str(), &json!(2)));
    assert_eq!(stand.cluster.sql("select count(*), max(n) from orders"), "302|800");
    assert_eq!(room.probe(&before).await.unwrap(), Probe::There(outputs));
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    // The directory is gone, and with it what was not archived.
    stand.reset();
    stand.cluster.sql("insert into orders values (800, 'unarchived')");
    stand.cluster.halt("immediate");
    std::fs::rename(stand.file("data"), stand.file("lost")).unwrap();
    let room = stand.of(json!({ "until": "latest" }));
    let before = room.before().await.unwrap();
    let outputs = room.apply(&before).await.unwrap();
    assert_eq!(stand.cluster.sql("select count(*), max(n) from orders"), "301|600");
    assert_eq!(outputs["restored_to"], json!(archived));
    // A file of the log is missing, and a later one is there: what ends before it is not the end.
    stand.reset();
    let archived = stand.segments().len();
    for n in [700, 800] {
        stand.cluster.sql(&format!("insert into orders values ({n}, 'more')"));
        stand.cluster.sql("select pg_switch_wal()");
    }
    wait("the log is archived", || stand.segments().len() > archived + 1);
    stand.cluster.halt("immediate");
    std::fs::rename(stand.file("data"), stand.file("gone")).unwrap();
    let names = stand.segments();
    let missing = &names[names.len() - 2];
    std::fs::remove_file(stand.file(&format!("arch/{missing}"))).unwrap();
    let room = stand.of(json!({ "until": "latest" }));
    let before = room.before().await.unwrap();
    let fault = refusal(room.apply(&before).await);
    assert!(fault.cause.contains("is missing or broken") && fault.cause.contains(&names[names.len() - 1]), "{fault}");
    assert_eq!((stand.beside(""), room.probe(&before).await.unwrap()), (0, Probe::NotThere));
}
