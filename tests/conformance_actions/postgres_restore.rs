//! `postgres.restore` against a server of its own: the laws, and what a dump or a database may have come to.

use std::process::{Child, Command, Stdio};

use async_trait::async_trait;
use drplan::actions::{Probe, Source};
use serde_json::json;

use super::laws::{Law, Stand, hold};
use super::postgres::{PASSWORD, Server, psql};
use super::room::{Room, refusal};

/// A database `shop` beside a dump of it that is older, and a restore.
struct Restores(Server);

impl Restores {
    fn start() -> Restores {
        let server = Server::start("postgres.restore", json!({ "backup": "latest" }));
        let own = Restores(server);
        own.0.sql("drop table orders; create table orders as select n, md5(n::text) as note from generate_series(1, 300) n");
        own.0.sql("create table marks (n bigserial); comment on database shop is 'ours'");
        own.dump(&own.file("kept.dump"));
        own.reset();
        own
    }

    fn file(&self, name: &str) -> String {
        self.0.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn dump(&self, file: &str) {
        let port = self.0.port.to_string();
        let done = Command::new("pg_dump")
            .args(["-Fc", "-h", "127.0.0.1", "-p", &port, "-U", "dr", "-d", "shop", "-f", file])
            .env("PGPASSWORD", PASSWORD)
            .env("TZ", "UTC")
            .status();
        assert!(done.unwrap().success());
    }

    fn server_sql(&self, sql: &str) -> String {
        psql(self.0.port, "postgres", sql).unwrap_or_else(|| panic!("{sql}"))
    }

    fn with_source(&self, mut room: Room, backup: &str) -> Room {
        let places = vec![format!("file:{}", self.file("dumps/"))];
        room.target.as_mut().unwrap().source =
            Some(Source { id: "nightly".to_owned(), method: "dump".to_owned(), places, ..Source::default() });
        room.with.insert("backup".to_owned(), json!(backup));
        room
    }

    fn of(&self, backup: &str) -> Room {
        self.with_source(self.0.at(&self.0.server(), PASSWORD, "shop"), backup)
    }

    /// How many databases stand beside.
    fn beside(&self) -> String {
        self.server_sql("select count(*) from pg_database where datname like 'shop%' and datname <> 'shop'")
    }
}

#[async_trait]
impl Stand for Restores {
    fn action(&self) -> &'static str {
        "postgres.restore"
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        Vec::new()
    }

    fn room(&self, at: &str) -> Room {
        self.with_source(self.0.at(at, PASSWORD, "shop"), "latest")
    }

    fn server(&self) -> String {
        self.0.server()
    }

    fn state(&self) -> String {
        let orders = psql(self.0.port, "shop", "select count(*), md5(string_agg(note, ',' order by n)) from orders");
        let facts = "select datallowconn, datacl, setconfig, datconnlimit from pg_database d left join pg_db_role_setting s on s.setdatabase = d.oid where datname = 'shop'";
        format!("{:?}, {}, {} beside", orders, self.server_sql(facts), self.beside())
    }

    fn reset(&self) {
        let sql = "select format('drop database %I with (force)', datname) from pg_database where datname like 'shop%'";
        for drop in self.server_sql(sql).lines() {
            self.server_sql(drop);
        }
        self.server_sql("create database shop connection limit 50");
        self.server_sql("revoke temporary on database shop from public");
        self.server_sql("alter database shop set search_path = \"$user\", public, \"a B\"");
        self.0.sql("create table orders as select n, md5(n::text) as note from generate_series(1, 500) n");
        std::fs::create_dir_all(self.file("dumps")).unwrap();
        std::fs::copy(self.file("kept.dump"), self.file("dumps/one.dump")).unwrap();
    }

    fn meddle(&self) {
        self.0.sql("insert into orders values (1000, 'newer')");
    }

    fn refused(&self) -> Room {
        self.with_source(self.0.at(&self.server(), "another", "shop"), "latest")
    }

    fn absent(&self) -> Room {
        std::fs::remove_file(self.file("dumps/one.dump")).unwrap();
        self.of("latest")
    }

    fn secret(&self) -> String {
        PASSWORD.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        let room = self.with_source(self.0.at(&self.server(), "${secrets.pw}", "shop"), "latest");
        (room, vec![("SECRET_PW".to_owned(), PASSWORD.to_owned())])
    }
}

/// A session that goes on.
struct Session(Child);

impl Session {
    fn start(stand: &Restores, sql: &[&str]) -> Session {
        let port = stand.0.port.to_string();
        let mut psql = Command::new("psql");
        psql.args(["-XqAt", "-h", "127.0.0.1", "-p", &port, "-U", "dr", "-d", "shop"]);
        for sql in sql {
            psql.args(["-c", sql]);
        }
        let child = psql.env("PGPASSWORD", PASSWORD).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let session = Session(child.unwrap());
        let sleeps = "select count(*) from pg_stat_activity where datname = 'shop' and wait_event = 'PgSleep'";
        let start = std::time::Instant::now();
        while stand.server_sql(sleeps) == "0" {
            assert!(start.elapsed().as_secs() < 30, "the session does not begin");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        session
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_restore_keeps_the_laws() {
    hold(&Restores::start()).await;
}

/// The order in which settings are carried over is said, and not the planner's, which changes with the catalogs.
#[tokio::test]
async fn settings_are_carried_over_whatever_the_planner_thinks() {
    let stand = Restores::start();
    for i in 0..20 {
        stand.server_sql(&format!("create database z{i} template template0"));
        stand.server_sql(&format!("alter database z{i} set work_mem = '7MB'"));
        stand.server_sql(&format!("drop database z{i}"));
    }
    stand.server_sql("vacuum analyze pg_db_role_setting");
    stand.server_sql("vacuum analyze pg_database");
    let room = stand.of("one.dump");
    room.apply(&room.before().await.unwrap()).await.unwrap();
    assert_eq!(stand.0.sql("show search_path"), "\"$user\", public, \"a B\"");
}

#[tokio::test]
async fn a_restore_swaps_in_what_is_whole_or_nothing() {
    let stand = Restores::start();
    // Sessions of the old database are ended, and what it is besides its rows is kept.
    let session = Session::start(&stand, &["select pg_sleep(600)"]);
    let room = stand.of("one.dump");
    let (before, outputs) = room.lawful().await;
    drop(session);
    assert_eq!(stand.0.sql("select count(*) from orders"), "300");
    assert_eq!(stand.0.sql("show search_path"), "\"$user\", public, \"a B\"");
    assert!(
        stand.server_sql("select shobj_description(oid, 'pg_database') from pg_database where datname = 'shop'").starts_with("restored by")
    );
    let kept = outputs["kept"].as_str().unwrap();
    assert!(kept.starts_with("shop_drplan_"), "{kept}");
    assert!(psql(stand.0.port, kept, "select 1").is_none(), "the kept one must take no writes");
    assert_eq!(outputs["tables"], json!(2));
    let age = jiff::Timestamp::now().duration_since(outputs["restored_to"].as_str().unwrap().parse().unwrap());
    assert!((0..120).contains(&age.as_secs()), "{age:?}");
    // A session that writes while it is taken back: what is there stays, and lets everybody in.
    let session = Session::start(&stand, &["begin; insert into orders values (7000, 'open'); select pg_sleep(600)"]);
    assert!(matches!(room.undo(&before).await.unwrap(), Probe::Other(why) if why.contains("written to")));
    drop(session);
    assert_eq!(stand.0.sql("select count(*) from orders"), "300");
    // A new table is a newer change too, and so is a sequence that went on.
    for sql in ["create table more ()", "select nextval('marks_n_seq')"] {
        stand.reset();
        let before = room.before().await.unwrap();
        let again = stand.of("one.dump");
        again.apply(&before).await.unwrap();
        stand.0.sql(sql);
        assert!(matches!(again.undo(&before).await.unwrap(), Probe::Other(_)), "{sql}");
    }
}

#[tokio::test]
async fn a_restore_of_a_broken_dump_changes_nothing() {
    let stand = Restores::start();
    let start = stand.state();
    // The newest is cut: the one before is taken, and the cut one is refused by its name.
    let bytes = std::fs::read(stand.file("kept.dump")).unwrap();
    std::fs::write(stand.file("dumps/two.dump"), &bytes[..bytes.len() - 2000]).unwrap();
    let chosen = stand.of("latest").before().await.unwrap();
    assert!(chosen["backup"].as_str().unwrap().ends_with("/one.dump"), "{chosen}");
    assert!(refusal(stand.of("two.dump").before().await).cause.contains("reads it to its end"));
    // One that turns out not to be restorable: its owner is not there.
    stand.server_sql("create role gone");
    stand.0.sql("create table theirs (n int); alter table theirs owner to gone");
    stand.dump(&stand.file("dumps/owned.dump"));
    stand.0.sql("drop table theirs");
    stand.server_sql("drop role gone");
    let room = stand.of("owned.dump");
    let before = room.before().await.unwrap();
    let fault = refusal(room.apply(&before).await);
    assert!(fault.cause.contains("role \"gone\" does not exist"), "{fault}");
    assert_eq!(stand.state(), start);
    assert_eq!(room.probe(&before).await.unwrap(), Probe::NotThere);
    let mut room = stand.of("owned.dump");
    room.with.insert("no_owner".to_owned(), json!(true));
    room.apply(&before).await.unwrap();
    assert_eq!(stand.0.sql("select tableowner from pg_tables where tablename = 'theirs'"), "dr");
    // There is no database any more: the restored one takes its name, and its undo leaves none.
    stand.reset();
    stand.server_sql("drop database shop");
    let room = stand.of("one.dump");
    let before = room.before().await.unwrap();
    let outputs = room.apply(&before).await.unwrap();
    assert!(!outputs.contains_key("kept"), "{outputs:?}");
    assert_eq!(stand.0.sql("select count(*) from orders"), "300");
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(psql(stand.0.port, "shop", "select 1").is_none());
    assert_eq!(stand.beside(), "0");
    // A dump that has changed since it was chosen.
    stand.reset();
    let room = stand.of("one.dump");
    let before = room.before().await.unwrap();
    std::fs::write(stand.file("dumps/one.dump"), b"else").unwrap();
    assert!(refusal(room.apply(&before).await).cause.contains("has changed"));
}
