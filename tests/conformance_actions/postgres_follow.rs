//! `postgres.follow` between two servers, of which one was promoted while the other lived: the laws, and what the old one
//! may have come to.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use drplan::actions::Probe;
use serde_json::{Value, json};

use super::cluster::{Cluster, wait};
use super::laws::{Law, Stand, hold};
use super::owned::free_port;
use super::postgres::{BIN, PASSWORD, as_server, psql, run};
use super::room::{Room, refusal};

const REPL: &str = "lab-repl-pw";

/// The old primary in `data`, and the one that was promoted in `primary`; both took writes since.
pub struct Pair {
    pub old: Cluster,
    /// The port of the promoted one, or the one that is to be.
    pub port: u16,
}

impl Pair {
    fn start(settings: &str) -> Pair {
        let pair = Pair::replicated(settings);
        pair.promoted();
        pair.old.halt("fast");
        pair.halt_primary();
        pair.old.keep();
        pair.reset();
        pair
    }

    /// A primary and its replica, which follows it, to be put back so.
    pub fn kept_as_replica() -> Pair {
        let pair = Pair::replicated("");
        pair.old.halt("fast");
        pair.halt_primary();
        pair.old.keep();
        pair
    }

    /// A primary and its replica, which has everything.
    pub fn replicated(settings: &str) -> Pair {
        let old = Cluster::make();
        // The log back to where they parted; without it there is nothing to be wound back by.
        old.configure("wal_keep_size = 64MB\n");
        old.configure(settings);
        old.launch();
        psql(old.port, "postgres", "create database shop").unwrap();
        old.sql("create table orders as select n, md5(n::text) as note from generate_series(1, 300) n");
        let (port, copy) = (free_port(), old.path("primary"));
        let done = Command::new(format!("{BIN}/pg_basebackup"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &old.port.to_string(),
                "-U",
                "replicator",
                "-c",
                "fast",
                "-X",
                "stream",
                "-R",
                "--no-sync",
                "-D",
                &copy,
            ])
            .env("PGPASSWORD", REPL)
            .status();
        assert!(done.unwrap().success());
        if rustix::process::geteuid().is_root() {
            assert!(Command::new("chown").args(["-R", "postgres:", &copy]).status().unwrap().success());
        }
        let conf = format!("{copy}/postgresql.conf");
        let text = std::fs::read_to_string(&conf).unwrap();
        std::fs::write(&conf, format!("{text}\nport = {port}\n")).unwrap();
        let pair = Pair { old, port };
        pair.launch_primary();
        pair
    }

    fn launch_primary(&self) {
        let copy = self.old.path("primary");
        run(&[&format!("{BIN}/pg_ctl"), "start", "-sW", "-D", &copy, "-l", &format!("{copy}/log")], Stdio::null());
        wait("the primary answers", || psql(self.port, "postgres", "select 1").is_some());
    }

    fn halt_primary(&self) {
        let argv = as_server(&[&format!("{BIN}/pg_ctl"), "stop", "-sw", "-D", &self.old.path("primary"), "-m", "immediate"]);
        let _ = Command::new(&argv[0]).args(&argv[1..]).stderr(Stdio::null()).status().unwrap();
    }

    /// Both take writes: nothing stops the old one but a fence.
    fn promoted(&self) {
        let end = self.old.sql("select pg_current_wal_lsn()");
        wait("it has everything", || self.other(&format!("select pg_last_wal_replay_lsn() >= '{end}'")) == "t");
        assert_eq!(self.other("select pg_promote()"), "t");
        self.other("insert into orders values (1001, 'new')");
        self.old.sql("insert into orders values (1002, 'diverged')");
    }

    /// What a statement says on the promoted one.
    fn other(&self, sql: &str) -> String {
        psql(self.port, "shop", sql).unwrap_or_else(|| panic!("{sql}"))
    }

    fn with(&self, at: &str, password: &str, repl: &str) -> Room {
        let (host, port) = at.split_once(':').unwrap();
        let mut room = self.old.room("postgres.follow", &self.old.at(), password);
        let with = json!({ "of": { "host": host, "port": port.parse::<u16>().unwrap() }, "data": self.old.path("data"), "slot": "back",
            "login": { "user": "replicator", "password": repl }, "as": "postgres" });
        room.with = with.as_object().unwrap().clone();
        if !rustix::process::geteuid().is_root() {
            room.with.remove("as");
        }
        room
    }

    fn of(&self, with: Value) -> Room {
        let mut room = self.with(&self.server(), PASSWORD, REPL);
        room.with.extend(with.as_object().unwrap().clone());
        room
    }

    fn beside(&self) -> usize {
        let names = std::fs::read_dir(self.old.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("data.drplan-")).count()
    }
}

const STREAMS: &str = "select count(*) from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid \
    where s.slot_name = 'back' and r.state = 'streaming' and r.replay_lsn >= pg_current_wal_lsn()";

#[async_trait]
impl Stand for Pair {
    fn action(&self) -> &'static str {
        "postgres.follow"
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        vec![(Law::Undo, "it has no undo of its own")]
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(8)
    }

    fn room(&self, at: &str) -> Room {
        self.with(at, PASSWORD, REPL)
    }

    fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn state(&self) -> String {
        self.old.at_rest();
        let rows = "select pg_is_in_recovery(), count(*), md5(string_agg(note, ',' order by n)) from orders";
        let pid = std::fs::read_to_string(self.old.path("data/drplan_follows"));
        // Who was told to follow, and runs, needs a moment until it does.
        let told = pid.is_ok() && psql(self.old.port, "postgres", "select pg_is_in_recovery()").as_deref() == Some("t");
        let start = Instant::now();
        while told && self.other(STREAMS) == "0" && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(50));
        }
        format!("old {:?}, new {:?}, {} stream", psql(self.old.port, "shop", rows), self.other(rows), self.other(STREAMS))
    }

    fn reset(&self) {
        self.old.at_rest();
        self.halt_primary();
        self.old.again();
        self.launch_primary();
    }

    fn meddle(&self) {
        assert_eq!(self.old.sql("select pg_promote()"), "t");
    }

    fn refused(&self) -> Room {
        self.with(&self.server(), "another", REPL)
    }

    fn absent(&self) -> Room {
        self.of(json!({ "data": self.old.path("none"), "anew": "never" }))
    }

    fn secret(&self) -> String {
        REPL.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        let room = self.with(&self.server(), "${secrets.pw}", "${secrets.repl}");
        (room, vec![("SECRET_PW".to_owned(), PASSWORD.to_owned()), ("SECRET_REPL".to_owned(), REPL.to_owned())])
    }
}

#[tokio::test]
async fn an_old_primary_that_follows_keeps_the_laws() {
    hold(&Pair::start("")).await;
}

#[tokio::test]
async fn a_diverged_row_is_gone_though_the_other_was_promoted_this_moment() {
    // A checkpoint that takes its time, as it does in a large server.
    let pair = Pair::replicated("checkpoint_timeout = 1h\ncheckpoint_completion_target = 0.9\nbgwriter_lru_maxpages = 0\n");
    pair.old.sql("insert into orders select n, repeat(md5(n::text), 30) from generate_series(2000, 4000) n");
    pair.promoted();
    pair.old.halt("fast");
    // What a rewind says now, and what it leaves: tried on a copy.
    run(&["cp", "-a", &pair.old.path("data"), &pair.old.path("tried")], Stdio::null());
    let argv = as_server(&[&format!("{BIN}/pg_rewind"), "-D", &pair.old.path("tried"), "--source-server=dbname=postgres"]);
    let tried = Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir("/")
        .envs([("PGHOST", "127.0.0.1"), ("PGPORT", &pair.port.to_string()), ("PGUSER", "dr"), ("PGPASSWORD", PASSWORD), ("LC_ALL", "C")])
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&tried.stdout), String::from_utf8_lossy(&tried.stderr));
    assert!(tried.status.success() && said.contains("no rewind required"), "the trap is not set: {said}");
    // The same, by the step.
    let room = pair.of(json!({}));
    let before = room.before().await.unwrap();
    let preview = room.preview(&before).await.unwrap();
    assert!(preview[0].new.contains("bytes of log were only its own"), "{preview:?}");
    let outputs = room.apply(&before).await.unwrap();
    assert_eq!((&outputs["rewound"], &outputs["copied_anew"], &outputs["timeline"]), (&json!(true), &json!(false), &json!(2)));
    assert!(outputs["diverged_bytes"].as_u64().unwrap() > 0, "{outputs:?}");
    let own = "select count(*) filter (where note = 'diverged'), count(*) filter (where note = 'new'), pg_is_in_recovery() from orders";
    assert_eq!(pair.old.sql(own), "0|1|t");
    pair.other("insert into orders values (1003, 'later')");
    wait("it streams", || pair.old.sql("select count(*) from orders where note = 'later'") == "1");
    // The password stands where only the server's user reads it, and its settings are its own.
    let pass = Path::new(&pair.old.path("data/drplan_passfile")).metadata().unwrap();
    assert_eq!(pass.permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(pair.old.path("data/postgresql.auto.conf")).unwrap().contains(REPL));
    assert_eq!((pair.old.sql("show port"), pair.beside()), (pair.old.port.to_string(), 0));
}

#[tokio::test]
async fn one_that_crashed_is_wound_back_and_one_that_cannot_be_is_copied() {
    let pair = Pair::start("");
    pair.old.halt("immediate");
    let room = pair.of(json!({ "anew": "never" }));
    let before = room.before().await.unwrap();
    let outputs = room.apply(&before).await.unwrap();
    assert_eq!(outputs["rewound"], json!(true));
    assert_eq!(pair.old.sql("select count(*) from orders where note = 'diverged'"), "0");
    // Its log is gone, and it may not be copied.
    let pair = Pair::start("wal_keep_size = 0\nmax_wal_size = 2MB\nmin_wal_size = 2MB\n");
    for _ in 0..3 {
        pair.old.sql("insert into orders select n, 'more' from generate_series(1, 20000) n");
        pair.old.sql("select pg_switch_wal()");
        pair.old.sql("checkpoint");
    }
    let room = pair.of(json!({ "anew": "never" }));
    let before = room.before().await.unwrap();
    assert!(refusal(room.apply(&before).await).cause.contains("could not find previous WAL record"));
    // Neither checksums nor hints: the rewind is refused, and it is copied; what stood there is kept.
    let pair = Pair::start("wal_log_hints = off\n");
    let room = pair.of(json!({ "anew": "never" }));
    let before = room.before().await.unwrap();
    assert!(refusal(room.apply(&before).await).cause.contains("wal_log_hints"));
    let again = pair.of(json!({}));
    let outputs = again.apply(&before).await.unwrap();
    assert_eq!((&outputs["rewound"], &outputs["copied_anew"]), (&json!(false), &json!(true)));
    assert_eq!(pair.old.sql("select count(*) from orders where note = 'diverged'"), "0");
    assert_eq!(pair.old.sql("show port"), pair.old.port.to_string());
    assert!(Path::new(outputs["kept"].as_str().unwrap()).join("PG_VERSION").exists());
    assert!(matches!(again.probe(&before).await.unwrap(), Probe::There(_)));
}

#[tokio::test]
async fn nobody_follows_the_wrong_one() {
    let pair = Pair::start("");
    let start = pair.state();
    let refused = async |room: Room| {
        let fault = match room.before().await {
            Ok(before) => refusal(room.apply(&before).await),
            Err(fault) => fault,
        };
        assert_eq!((pair.state(), pair.beside()), (start.clone(), 0), "{fault}");
        fault.cause
    };
    // The one that was promoted, told to follow the old one.
    let mut back = pair.of(json!({ "of": { "host": "127.0.0.1", "port": pair.old.port }, "data": pair.old.path("primary") }));
    back.target.as_mut().unwrap().connect.insert("port".to_owned(), json!(pair.port));
    assert!(refused(back).await.contains("was promoted last"));
    // Itself.
    let itself = json!({ "of": { "host": "127.0.0.1", "port": pair.old.port } });
    let why = refused(pair.of(itself)).await;
    assert!(why.contains("on the same timeline"), "{why}");
    // Another directory than the server's, and a slot that is not one for replicas.
    assert!(refused(pair.of(json!({ "data": pair.old.path("primary") }))).await.contains("is not the one of"));
    assert!(refused(pair.of(json!({ "slot": "A b" }))).await.contains("not the name of a slot"));
}
