//! The actions on SQLite files, on real files.

use std::process::Command;
use std::time::{Duration, SystemTime};

use drplan::actions::{AssetKind, Call, Probe, Source, Target};
use serde_json::{Value, json};

use super::room::{Room, refusal};

struct House {
    dir: tempfile::TempDir,
}

impl House {
    /// A database with 30 rows that is damaged, two whole backups and a newer damaged one.
    fn new() -> House {
        let house = House { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(house.path("backups")).unwrap();
        for (name, rows, age_s) in
            [("backups/old.db", 10, 3000), ("backups/good.db", 20, 2000), ("backups/cut.db", 25, 1000), ("live.db", 30, 0)]
        {
            house.make(name, rows);
            if name == "backups/cut.db" {
                let bytes = std::fs::read(house.path(name)).unwrap();
                std::fs::write(house.path(name), &bytes[..bytes.len() / 2]).unwrap();
            }
            let time = SystemTime::now() - Duration::from_secs(age_s);
            std::fs::File::open(house.path(name)).unwrap().set_modified(time).unwrap();
        }
        house
    }

    fn make(&self, name: &str, rows: u32) {
        let sql = format!(
            "create table orders(id integer primary key, v text); with recursive n(x) as (select 1 union all select x + 1 from n where x < {rows}) \
             insert into orders select x, hex(randomblob(400)) from n"
        );
        self.sql(name, &sql);
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn sql(&self, name: &str, sql: &str) -> String {
        let done = Command::new("sqlite3").args(["-batch", &self.path(name), sql]).output().expect("sqlite3 is installed");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    fn rows(&self) -> String {
        self.sql("live.db", "select count(*) from orders")
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn target(&self) -> Target {
        let source =
            Source { id: "nightly".to_owned(), method: "full".to_owned(), places: vec!["file:backups/".to_owned()], ..Source::default() };
        let connect = json!({ "path": "live.db" }).as_object().unwrap().clone();
        Target { asset: "db".to_owned(), kind: AssetKind::Sqlite, site: None, connect, source: Some(source) }
    }

    fn room(&self, name: &str, with: Value) -> Room {
        Room::new(name, with, Some(self.target()), self.dir.path().to_str().unwrap())
    }

    fn type_in(&self, script: &str) {
        let done = Command::new("sh").args(["-c", script]).current_dir(self.dir.path()).output().unwrap();
        assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[tokio::test]
async fn a_restore_takes_the_newest_whole_backup_and_its_undo_puts_the_old_file_back() {
    let house = House::new();
    let room = house.room("sqlite.restore", json!({ "backup": "latest" }));
    let old = std::fs::read(house.path("live.db")).unwrap();
    let (before, outputs) = room.lawful().await;
    assert_eq!((house.rows().as_str(), outputs["backup"].as_str().unwrap().ends_with("/good.db")), ("20", true), "{outputs:?}");
    assert!(outputs["restored_to"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(std::fs::read(house.path("live.db")).unwrap(), old);
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere, "a second undo");
    assert_eq!(house.files(), ["backups", "live.db"]);
}

#[tokio::test]
async fn a_log_of_the_old_database_never_stands_beside_the_new_one() {
    let house = House::new();
    // A writer that was killed: its last rows are in the log only.
    house.sql("live.db", "pragma journal_mode=wal");
    let script = format!(
        "pragma wal_autocheckpoint=0; insert into orders(v) values ('late');\n.system cp {0} {0}.saved; cp {0}-wal {0}-wal.saved\n",
        house.path("live.db")
    );
    let mut writer = Command::new("sqlite3")
        .arg(house.path("live.db"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut writer.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    for name in ["live.db", "live.db-wal"] {
        let saved = if name == "live.db" { "live.db.saved" } else { "live.db-wal.saved" };
        std::fs::rename(house.path(saved), house.path(name)).unwrap();
    }
    let log = std::fs::read(house.path("live.db-wal")).unwrap();
    assert!(!log.is_empty());
    let room = house.room("sqlite.restore", json!({ "backup": "good.db" }));
    let before = room.before().await.unwrap();
    room.apply(&before).await.unwrap();
    assert!(!std::fs::exists(house.path("live.db-wal")).unwrap());
    assert_eq!(house.rows(), "20");
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(std::fs::read(house.path("live.db-wal")).unwrap(), log);
    assert_eq!(house.rows(), "31");
}

#[tokio::test]
async fn where_no_file_stood_the_undo_leaves_none() {
    let house = House::new();
    std::fs::remove_file(house.path("live.db")).unwrap();
    let room = house.room("sqlite.restore", json!({ "backup": "latest" }));
    let (before, outputs) = room.lawful().await;
    assert_eq!((house.rows().as_str(), outputs.contains_key("kept")), ("20", false));
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(house.files(), ["backups"]);
    let target = house.target();
    let call = Call { step: "restore", with: &room.with, target: Some(&target) };
    (room.action.commands)(&call).iter().for_each(|block| house.type_in(&block.script));
    assert_eq!(house.rows(), "20");
    (room.action.undo_commands)(&call).iter().for_each(|block| house.type_in(&block.script));
    assert_eq!(house.files(), ["backups"]);
}

#[tokio::test]
async fn what_somebody_wrote_since_is_not_undone() {
    let house = House::new();
    let room = house.room("sqlite.restore", json!({ "backup": "latest" }));
    let before = room.before().await.unwrap();
    room.apply(&before).await.unwrap();
    house.sql("live.db", "delete from orders where id = 1");
    assert!(matches!(room.undo(&before).await.unwrap(), Probe::Other(_)));
    assert!(matches!(room.probe(&before).await.unwrap(), Probe::Other(_)));
    assert_eq!(house.rows(), "19");
}

#[tokio::test]
async fn a_time_and_a_damaged_backup_are_refused_or_passed_over() {
    let house = House::new();
    let until = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(2500);
    let room = house.room("sqlite.restore", json!({ "until": until.to_string() }));
    assert!(room.before().await.unwrap()["backup"].as_str().unwrap().ends_with("/old.db"));
    for (backup, words) in [("cut.db", "damaged"), ("none.db", "is not there")] {
        let fault = refusal(house.room("sqlite.restore", json!({ "backup": backup })).before().await);
        assert!(fault.cause.contains(words) || fault.cause.contains("not a database"), "{fault}");
    }
    for name in ["old.db", "good.db"] {
        std::fs::remove_file(house.path(&format!("backups/{name}"))).unwrap();
    }
    let fault = refusal(house.room("sqlite.restore", json!({ "backup": "latest" })).before().await);
    assert!(fault.cause.contains("no backup that can be read and is whole") && fault.cause.contains("cut.db"), "{fault}");
}

/// Each call that can write is the last one before the driver dies; a second attempt ends as an undisturbed one, and an
/// undo of what was half done puts everything back.
#[tokio::test]
async fn a_restore_that_was_cut_off_anywhere_can_be_finished_or_undone() {
    for undo in [false, true] {
        for cut in 0..8 {
            let house = House::new();
            std::fs::write(house.path("live.db-journal"), "").unwrap();
            let old = std::fs::read(house.path("live.db")).unwrap();
            let room = house.room("sqlite.restore", json!({ "backup": "latest" }));
            let before = room.before().await.unwrap();
            let files = room.world.files.clone();
            let mut dying = house.room("sqlite.restore", json!({ "backup": "latest" }));
            dying.world.files = std::sync::Arc::new(super::room::Dying::new(files, cut));
            let ended = dying.apply(&before).await;
            if undo {
                assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere, "cut after {cut}");
                assert_eq!(std::fs::read(house.path("live.db")).unwrap(), old, "cut after {cut}");
            } else {
                room.apply(&before).await.unwrap();
                assert_eq!(house.rows(), "20", "cut after {cut}");
            }
            assert_eq!(ended.is_ok(), cut >= 5, "cut after {cut}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn a_backup_is_whole_new_and_removed_by_its_undo() {
    let house = House::new();
    let room = house.room("sqlite.backup", json!({ "to": "backups/" }));
    let (before, outputs) = room.lawful().await;
    let file = outputs["backup"].as_str().unwrap();
    assert_eq!(house.sql(&file[house.dir.path().to_str().unwrap().len() + 1..], "select count(*) from orders"), "30");
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(!std::fs::exists(file).unwrap());
    // A file of no bytes is a database to SQLite, and its copy one without a table.
    std::fs::write(house.path("live.db"), "").unwrap();
    let room = house.room("sqlite.backup", json!({ "to": "backups/" }));
    let before = room.before().await.unwrap();
    assert_eq!(refusal(room.apply(&before).await).cause, "it is empty: there is not one table in it");
    let room = house.room("sqlite.backup", json!({ "to": "backups/old.db" }));
    let before = room.before().await.unwrap();
    assert!(refusal(room.apply(&before).await).cause.contains("was there before"));
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(house.sql("backups/old.db", "select count(*) from orders"), "10");
}

#[tokio::test]
async fn a_check_says_what_was_wanted_and_what_was_found() {
    let house = House::new();
    let found = house
        .room("sqlite.check", json!({ "query": "select count(*) as n from orders", "expect": { "at_least": 30 } }))
        .read()
        .await
        .unwrap();
    assert_eq!((&found["integrity"], &found["value"], &found["rows"]), (&json!(true), &json!(30), &json!(1)));
    let fault = refusal(house.room("sqlite.check", json!({ "query": "select count(*) from orders", "expect": 31 })).read().await);
    assert_eq!(fault.cause, "wanted: the value is 31; found 30");
    let fault = refusal(house.room("sqlite.check", json!({ "query": "select id, v from orders", "expect": 1 })).read().await);
    assert!(fault.cause.contains("2 columns"), "{fault}");
    std::fs::copy(house.path("backups/cut.db"), house.path("live.db")).unwrap();
    assert!(refusal(house.room("sqlite.check", json!({})).read().await).cause.contains("damaged"));
}

/// What a person types does what the tool does.
#[tokio::test]
async fn typed_by_hand_it_is_the_same() {
    for with in [json!({ "backup": "latest" }), json!({ "backup": "good.db" })] {
        let house = House::new();
        let room = house.room("sqlite.restore", with);
        let old = std::fs::read(house.path("live.db")).unwrap();
        let target = house.target();
        let call = Call { step: "restore", with: &room.with, target: Some(&target) };
        for block in (room.action.commands)(&call) {
            house.type_in(&block.script);
        }
        assert_eq!(house.rows(), "20");
        for block in (room.action.undo_commands)(&call) {
            house.type_in(&block.script);
        }
        assert_eq!(std::fs::read(house.path("live.db")).unwrap(), old);
        assert_eq!(house.files(), ["backups", "live.db"]);
    }
    let house = House::new();
    let target = house.target();
    for (name, with) in
        [("sqlite.check", json!({ "query": "select count(*) from orders", "expect": 30 })), ("sqlite.backup", json!({ "to": "backups/" }))]
    {
        let room = house.room(name, with);
        let call = Call { step: "step", with: &room.with, target: Some(&target) };
        (room.action.commands)(&call).iter().for_each(|block| house.type_in(&block.script));
    }
    assert_eq!(house.sql("backups/step.db", "select count(*) from orders"), "30");
}
