//! The actions on Redis against real servers, each test with servers of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use drplan::actions::{AssetKind, Call, Probe, Target};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::laws::{Law, Stand, hold};
use super::owned::{Owned, free_port};
use super::room::{Room, refusal};
use super::stands::{EFFECT, READS, because};

const PASSWORD: &str = "redis-canary-5d1f";

struct Server {
    owned: Owned,
    port: u16,
    dir: TempDir,
}

impl Server {
    fn start(settings: &[&str]) -> Server {
        Server::on(free_port(), tempfile::tempdir().unwrap(), settings)
    }

    fn on(port: u16, dir: TempDir, settings: &[&str]) -> Server {
        let (text, at) = (port.to_string(), dir.path().to_str().unwrap().to_owned());
        let conf = format!("{at}/redis.conf");
        if !Path::new(&conf).exists() {
            let common = format!(
                "bind 127.0.0.1\nport {text}\ndir {at}\nsave \"\"\nrepl-diskless-sync-delay 0\nrepl-timeout 10\nrequirepass {PASSWORD}\nmasterauth {PASSWORD}\n"
            );
            std::fs::write(&conf, format!("{common}{}\n", settings.join("\n"))).unwrap();
        }
        let log = dir.path().join("log");
        let owned = Owned::start(&["redis-server", &conf], &log, || ask(port, &["PING"]).is_some_and(|said| said == "PONG"));
        Server { owned, port, dir }
    }

    fn replica_of(master: &Server) -> Server {
        let replica = Server::start(&[&format!("replicaof 127.0.0.1 {}", master.port)]);
        await_that("the replica is in stream", || replica.info("master_link_status") == "up");
        replica
    }

    /// Killed as by a power cut; gives what is left on its disk.
    fn killed(mut self) -> (u16, TempDir) {
        self.owned.kill();
        (self.port, self.dir)
    }

    fn ask(&self, words: &[&str]) -> String {
        ask(self.port, words).unwrap_or_else(|| panic!("{words:?} has no answer"))
    }

    fn info(&self, key: &str) -> String {
        let said = self.ask(&["INFO"]);
        said.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).map(|v| v.trim().to_owned()).unwrap_or_default()
    }

    fn target(&self) -> Target {
        let connect = json!({ "host": "127.0.0.1", "port": self.port, "password": PASSWORD });
        Target { asset: "cache".into(), kind: AssetKind::Redis, site: None, connect: connect.as_object().unwrap().clone(), source: None }
    }

    fn room(&self, name: &str, with: Value) -> Room {
        let mut room = Room::new(name, with, Some(self.target()), self.dir.path().to_str().unwrap());
        room.timeout = Duration::from_secs(5);
        room
    }

    fn fill(&self, count: u32) {
        (0..count).for_each(|n| drop(self.ask(&["SET", &format!("key:{n}"), &format!("value {n}")])));
    }
}

/// What a server says to one command, by the tool of its field.
fn ask(port: u16, words: &[&str]) -> Option<String> {
    let done =
        Command::new("redis-cli").args(["-p", &port.to_string(), "--raw"]).args(words).env("REDISCLI_AUTH", PASSWORD).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
}

fn await_that(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The block of a step typed by hand, with the secret where the runbook has it.
fn typed(room: &Room, block: usize, undo: bool) -> (bool, String) {
    let mut target = room.target.clone().unwrap();
    target.connect.insert("password".into(), json!("${secrets.pw}"));
    let call = Call { step: "one", with: &room.with, target: Some(&target) };
    let blocks = if undo { (room.action.undo_commands)(&call) } else { (room.action.commands)(&call) };
    assert!(!blocks[block].script.contains(PASSWORD));
    let done =
        Command::new("/bin/sh").args(["-c", &blocks[block].script]).env("SECRET_PW", PASSWORD).current_dir(&room.dir).output().unwrap();
    (done.status.success(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
}

#[tokio::test]
async fn a_master_is_looked_at_with_its_keys() {
    let server = Server::start(&[]);
    server.fill(3);
    let good = server.room("redis.check", json!({ "role": "master", "keys": { "at_least": 3 }, "key": "key:2", "expect": "value 2" }));
    let found = good.read().await.unwrap();
    assert_eq!(found, *json!({ "role": "master", "keys": 3, "append_only": false, "value": "value 2" }).as_object().unwrap());
    assert!(typed(&good, 0, false).0);
    for (with, why) in [
        (json!({ "role": "replica" }), "wanted: the role is \"replica\"; found \"master\""),
        (json!({ "keys": { "at_least": 4 } }), "wanted: the number of keys is at least 4; found 3"),
        (json!({ "key": "key:2", "expect": "value 3" }), "wanted: the text of the key is \"value 3\"; found \"value 2\""),
        (json!({ "key": "none", "expect": { "present": true } }), "wanted: the text of the key is present; found none"),
        (json!({ "max_lag": "10s" }), "is not a replica"),
    ] {
        let room = server.room("redis.check", with.clone());
        let fault = refusal(room.read().await);
        assert!(fault.cause.contains(why), "{with}: {fault}");
        let judged = !with["expect"].is_object() && with.get("max_lag").is_none();
        assert!(!judged || !typed(&room, 0, false).0, "{with}");
    }
    let mut wrong = server.room("redis.check", json!({}));
    wrong.target.as_mut().unwrap().connect.insert("password".into(), json!("another-secret"));
    let fault = refusal(wrong.read().await);
    assert!(fault.cause.contains("WRONGPASS") || fault.cause.contains("refuses the login"), "{fault}");
    assert!(!fault.cause.contains("another-secret"));
    wrong.target.as_mut().unwrap().connect.insert("port".into(), json!(free_port()));
    assert!(refusal(wrong.read().await).unreachable);
}

/// A server that is told to write, though the step only looks, would be seen: a dry run lets only looks pass.
#[tokio::test]
async fn a_stream_that_is_late_is_seen_by_the_masters_own_position() {
    let master = Server::start(&[]);
    let replica = Server::replica_of(&master);
    master.fill(50);
    let found = replica.room("redis.check", json!({ "role": "replica", "max_lag": "5s", "max_bytes": "0B" })).read().await.unwrap();
    assert_eq!((found["bytes"].clone(), found["keys"].clone(), found["link"].clone()), (json!(0), json!(50), json!(true)));
    assert_eq!(found["master"], json!(format!("127.0.0.1:{}", master.port)));
    // A replica that stands still cannot say that it does: it is as its master was before.
    replica.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    master.fill(80);
    let mut late = replica.room("redis.check", json!({ "max_lag": "500ms" }));
    late.incident_start = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(1);
    assert!(refusal(late.read().await).cause.contains("cannot be asked"));
    // A stream that flows, with the master's position far ahead: bytes that wait in a proxy that stands still.
    let slow = Slow::before(master.port);
    replica.ask(&["REPLICAOF", "127.0.0.1", &slow.port.to_string()]);
    await_that("the replica is in stream", || replica.info("master_link_status") == "up");
    slow.hold.store(true, Ordering::Relaxed);
    master.fill(90);
    replica.ask(&["CONFIG", "SET", "repl-timeout", "1000"]);
    assert_eq!(replica.info("master_link_status"), "up");
    let fault = refusal(replica.room("redis.check", json!({ "max_lag": "10s" })).read().await);
    assert!(fault.cause.contains("how far behind cannot be told") || fault.cause.contains("bytes that"), "{fault}");
}

/// A proxy through which everything goes but, while it is held, the stream of a replica that is in stream already.
struct Slow {
    port: u16,
    hold: Arc<AtomicBool>,
}

impl Slow {
    fn before(port: u16) -> Slow {
        let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let slow = Slow { port: door.local_addr().unwrap().port(), hold: Arc::default() };
        let hold = slow.hold.clone();
        std::thread::spawn(move || {
            for client in door.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
                let born_free = !hold.load(Ordering::Relaxed);
                for (mut from, mut to, hold) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap(), None), (server, client, born_free.then(|| hold.clone()))]
                {
                    std::thread::spawn(move || {
                        let mut buffer = [0; 4096];
                        while let Ok(n @ 1..) = from.read(&mut buffer) {
                            while hold.as_ref().is_some_and(|h| h.load(Ordering::Relaxed)) {
                                std::thread::sleep(Duration::from_millis(20));
                            }
                            if to.write_all(&buffer[..n]).is_err() {
                                break;
                            }
                        }
                    });
                }
            }
        });
        slow
    }
}

#[tokio::test]
async fn a_replica_whose_master_is_gone_says_how_old_it_is() {
    let master = Server::start(&[]);
    let replica = Server::replica_of(&master);
    master.fill(20);
    await_that("the replica has it all", || replica.ask(&["DBSIZE"]) == "20");
    let (_, _left) = master.killed();
    await_that("the link is down", || replica.info("master_link_status") == "down");
    let room = |with: Value, start: &str| {
        let mut room = replica.room("redis.check", with);
        room.incident_start = match start {
            "now" => jiff::Timestamp::now(),
            _ => jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10),
        };
        room
    };
    let found = room(json!({ "keys": 20 }), "now").read().await.unwrap();
    assert_eq!((found["link"].clone(), found.get("bytes")), (json!(false), None));
    assert!(found["broken"].as_str().is_some_and(|t| t.ends_with('s')), "{found:?}");
    assert!(room(json!({ "max_lag": "20s" }), "now").read().await.is_ok());
    let fault = refusal(room(json!({ "max_lag": "20s" }), "later").read().await);
    assert!(fault.cause.contains("its stream broke off") && fault.cause.contains("behind, `max_lag` is 20s"), "{fault}");
    let fault = refusal(room(json!({ "max_bytes": "1MiB" }), "now").read().await);
    assert!(fault.cause.contains("how far behind cannot be told"), "{fault}");
}

#[tokio::test]
async fn a_promotion_is_kept_over_a_restart_and_taken_back_while_nothing_was_written() {
    let master = Server::start(&[]);
    let replica = Server::replica_of(&master);
    master.fill(10);
    let promote = replica.room("redis.promote", json!({ "max_lag": "5s", "max_bytes": "0B" }));
    let (before, outputs) = promote.lawful().await;
    assert_eq!((outputs["keys"].clone(), outputs["persisted"].clone()), (json!(10), json!(true)));
    assert!(outputs["offset"].as_i64().unwrap() > 100, "{outputs:?}");
    assert!(!std::fs::read_to_string(replica.dir.path().join("redis.conf")).unwrap().contains("replicaof"));
    assert_eq!(promote.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(promote.probe(&before).await.unwrap(), Probe::NotThere);
    await_that("it follows again", || replica.info("master_link_status") == "up");
    assert!(std::fs::read_to_string(replica.dir.path().join("redis.conf")).unwrap().contains("replicaof"));
    assert_eq!(replica.ask(&["DBSIZE"]), "10");
    // Once more, and now somebody writes to it: the undo leaves it alone, and writes go on.
    promote.apply(&before).await.unwrap();
    replica.ask(&["SET", "written", "since"]);
    let Probe::Other(why) = promote.undo(&before).await.unwrap() else { panic!("it took away what was written") };
    assert!(why.contains("was written to since"), "{why}");
    assert_eq!((replica.info("role"), replica.ask(&["SET", "more", "1"])), ("master".to_owned(), "OK".to_owned()));
    let (port, dir) = replica.killed();
    let again = Server::on(port, dir, &[]);
    assert_eq!(again.info("role"), "master");
}

#[tokio::test]
async fn a_replica_that_has_nothing_or_too_little_is_not_promoted() {
    let gone = free_port();
    let empty = Server::start(&[&format!("replicaof 127.0.0.1 {gone}")]);
    let promote = empty.room("redis.promote", json!({}));
    let before = promote.before().await.unwrap();
    let fault = refusal(promote.apply(&before).await);
    assert!(fault.cause.contains("was never in stream"), "{fault}");
    assert_eq!(empty.info("role"), "slave");

    let master = Server::start(&[]);
    let replica = Server::replica_of(&master);
    master.fill(5);
    replica.ask(&["REPLICAOF", "127.0.0.1", &gone.to_string()]);
    let promote = replica.room("redis.promote", json!({ "max_bytes": "1MiB" }));
    let before = promote.before().await.unwrap();
    let fault = refusal(promote.apply(&before).await);
    assert!(fault.cause.starts_with("not promoted: how far behind cannot be told"), "{fault}");
    assert_eq!(replica.info("role"), "slave");

    let promote = master.room("redis.promote", json!({}));
    let before = promote.before().await.unwrap();
    assert!(refusal(promote.apply(&before).await).cause.contains("is not a replica"));
}

#[tokio::test]
async fn following_another_throws_nothing_away_that_only_this_one_has() {
    let (one, other, empty) = (Server::start(&[]), Server::start(&[]), Server::start(&[]));
    one.fill(5);
    other.fill(7);
    let follow = |of: &Server, discard: bool| {
        one.room("redis.replicate", json!({ "of": { "host": "127.0.0.1", "port": of.port }, "discard": discard }))
    };
    for (room, why) in [
        (follow(&other, false), "`discard: true` allows it"),
        (follow(&empty, true), "holds nothing"),
        (follow(&one, true), "is this very server"),
    ] {
        let before = room.before().await.unwrap();
        let fault = refusal(room.apply(&before).await);
        assert!(fault.cause.contains(why), "{fault}");
        assert!(refusal(room.preview(&before).await).cause.contains(why));
    }
    assert_eq!((one.info("role"), one.ask(&["DBSIZE"])), ("master".to_owned(), "5".to_owned()));
    let (_, outputs) = follow(&other, true).lawful().await;
    assert_eq!((outputs["keys"].clone(), outputs["persisted"].clone()), (json!(7), json!(true)));
    // The way back of a failover: it has all of this one's history, so nothing needs to be allowed.
    let promote = one.room("redis.promote", json!({}));
    let before = promote.before().await.unwrap();
    promote.apply(&before).await.unwrap();
    one.ask(&["SET", "since", "promotion"]);
    let back = other.room("redis.replicate", json!({ "of": { "host": "127.0.0.1", "port": one.port } }));
    let (_, outputs) = back.lawful().await;
    assert_eq!(outputs["keys"], json!(8));
    assert_eq!(other.ask(&["GET", "since"]), "promotion");
}

#[tokio::test]
async fn a_save_is_waited_for_and_its_copy_is_whole() {
    let server = Server::start(&[]);
    let save = server.room("redis.save", json!({ "to": "copy.rdb" }));
    let before = save.before().await.unwrap();
    assert!(refusal(save.apply(&before).await).cause.contains("a snapshot of nothing is no backup"));
    server.fill(9);
    let (before, outputs) = save.lawful().await;
    assert_eq!(outputs["keys"], json!(9));
    let copy = server.dir.path().join("copy.rdb");
    let whole = Command::new("redis-check-rdb").arg(&copy).output().unwrap();
    assert!(whole.status.success() && String::from_utf8_lossy(&whole.stdout).contains("9 keys read"), "{whole:?}");
    assert_eq!(save.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(!copy.exists());
    assert!(typed(&save, 0, false).0 && copy.exists());
    assert!(refusal(save.apply(&save.before().await.unwrap()).await).cause.contains("is not written over"));
    // No place for the file: the server says so, and the step fails.
    std::fs::remove_dir_all(server.dir.path()).unwrap();
    let save = server.room("redis.save", json!({}));
    let fault = refusal(save.apply(&save.before().await.unwrap()).await);
    assert!(fault.cause.contains("could not save"), "{fault}");
}

/// Trap: an RDB file laid into the directory of a server with `appendonly yes` is ignored. Only a look at what the
/// server holds shows it.
#[tokio::test]
async fn trap_5_an_rdb_beside_an_append_only_file_is_ignored_and_the_check_sees_it() {
    let server = Server::start(&[]);
    server.fill(6);
    let save = server.room("redis.save", json!({ "to": "copy.rdb" }));
    save.apply(&save.before().await.unwrap()).await.unwrap();
    for (settings, keys) in [(&["appendonly yes"][..], 0), (&["appendonly no"][..], 6)] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(server.dir.path().join("copy.rdb"), dir.path().join("dump.rdb")).unwrap();
        let restored = Server::on(free_port(), dir, settings);
        let check = restored.room("redis.check", json!({ "keys": { "at_least": 6 } })).read().await;
        match (check, keys) {
            (Ok(found), 6) => assert_eq!((found["keys"].clone(), found["append_only"].clone()), (json!(6), json!(false))),
            (Err(fault), 0) => assert!(fault.cause.contains("found 0"), "{fault}"),
            (other, _) => panic!("{settings:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn typed_by_hand_a_promotion_ends_as_the_tool_ends() {
    let master = Server::start(&[]);
    let replica = Server::replica_of(&master);
    master.fill(4);
    let promote = replica.room("redis.promote", json!({}));
    let before = promote.before().await.unwrap();
    for block in 0..2 {
        let (good, said) = typed(&promote, block, false);
        assert!(good, "{said}");
    }
    assert!(matches!(promote.probe(&before).await.unwrap(), Probe::There(_)));
    let (good, said) = typed(&promote, 0, true);
    assert!(good, "{said}");
    assert_eq!(promote.probe(&before).await.unwrap(), Probe::NotThere);
    let follow = replica.room("redis.replicate", json!({ "of": { "host": "127.0.0.1", "port": master.port } }));
    let (good, said) = typed(&follow, 1, false);
    assert!(good && said.contains("master_link_status:up"), "{said}");
}

/// Answers that are cut, no Redis at all, or never end, are never a pass; a promotion whose reply is lost is unknown.
#[tokio::test]
async fn an_answer_that_cannot_be_read_is_no_pass() {
    let master = Server::start(&[]);
    let replica = Server::replica_of(&master);
    for (what, reply) in [("garbage", &b"HTTP/1.1 200 OK\r\n\r\n"[..]), ("cut", b"$100000\r\nrole:master"), ("silence", b"")] {
        let liar = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = liar.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in liar.incoming() {
                let mut stream: TcpStream = stream.unwrap();
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer);
                if reply.is_empty() {
                    // Held open, and nothing said.
                    std::mem::forget(stream);
                } else {
                    let _ = stream.write_all(reply);
                }
            }
        });
        let mut check = replica.room("redis.check", json!({}));
        check.timeout = Duration::from_secs(1);
        check.target.as_mut().unwrap().connect = json!({ "host": "127.0.0.1", "port": port }).as_object().unwrap().clone();
        refusal(check.read().await);
        let mut promote = replica.room("redis.promote", json!({}));
        let before = promote.before().await.unwrap();
        promote.timeout = Duration::from_secs(1);
        promote.target = check.target.clone();
        refusal(promote.apply(&before).await);
        refusal(promote.probe(&before).await);
        let _ = what;
    }
    let empty = Map::new();
    assert!(
        drplan::actions::reach::reach(&replica.room("redis.check", json!({})).ctx(&empty))
            .await
            .unwrap()
            .unwrap()
            .said
            .contains("a replica")
    );
}

/// A server, who else it has to do with, and an action on it.
struct Cache {
    action: &'static str,
    with: Value,
    server: Server,
    other: Server,
    /// Nobody's replica that is to be one, or a server without a key.
    empty: Server,
}

impl Cache {
    fn new(action: &'static str, with: Value) -> Cache {
        let (server, other) = (Server::start(&[]), Server::start(&[]));
        let nobody = format!("replicaof 127.0.0.1 {}", free_port());
        let empty = Server::start(
            if action == "redis.promote" { std::slice::from_ref(&nobody) } else { &[] }
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
        );
        let mut with = with;
        if action == "redis.replicate" {
            with["of"] = json!({ "host": "127.0.0.1", "port": other.port });
        }
        Cache { action, with, server, other, empty }
    }

    fn at(&self, at: &str, password: &str) -> Room {
        let (host, port) = at.split_once(':').unwrap();
        let mut target = self.server.target();
        target.connect = json!({ "host": host, "port": port.parse::<u16>().unwrap(), "password": password }).as_object().unwrap().clone();
        Room::new(self.action, self.with.clone(), Some(target), self.server.dir.path().to_str().unwrap())
    }

    fn copy(&self) -> std::path::PathBuf {
        self.server.dir.path().join("copy.rdb")
    }
}

#[async_trait]
impl Stand for Cache {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        match self.action {
            "redis.check" => because(&EFFECT, READS),
            "redis.promote" => {
                because(&[Law::There], "a server that took writes before the step is not the replica that is meant: it is refused")
            }
            "redis.replicate" => {
                because(&[Law::Undo], "what a server has is thrown away when it follows another: the plan says what takes that back")
            }
            _ => because(&[Law::There, Law::Newer], "each step makes a backup of its own: another step's is not its effect"),
        }
    }

    fn room(&self, at: &str) -> Room {
        self.at(at, PASSWORD)
    }

    fn server(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }

    fn state(&self) -> String {
        let (role, master, keys) = (self.server.info("role"), self.server.info("master_port"), self.server.ask(&["DBSIZE"]));
        format!("{role} {master} {keys} {}", self.copy().exists())
    }

    fn reset(&self) {
        let _ = std::fs::remove_file(self.copy());
        self.server.ask(&["REPLICAOF", "NO", "ONE"]);
        self.server.ask(&["FLUSHALL"]);
        self.other.ask(&["FLUSHALL"]);
        (0..3).for_each(|n| drop(self.other.ask(&["SET", &format!("key:{n}"), "there"])));
        if self.action == "redis.promote" {
            self.server.ask(&["REPLICAOF", "127.0.0.1", &self.other.port.to_string()]);
            await_that("it is in stream", || self.server.info("master_link_status") == "up");
        } else {
            self.server.fill(2);
        }
    }

    fn meddle(&self) {
        match self.action {
            "redis.promote" => self.server.ask(&["REPLICAOF", "127.0.0.1", &self.empty.port.to_string()]),
            _ => self.server.ask(&["REPLICAOF", "NO", "ONE"]),
        };
    }

    fn refused(&self) -> Room {
        self.at(&self.server(), "another")
    }

    fn absent(&self) -> Room {
        let mut room = self.at(&format!("127.0.0.1:{}", self.empty.port), PASSWORD);
        if self.action == "redis.replicate" {
            room = self.room(&self.server());
            room.with.insert("of".to_owned(), json!({ "host": "127.0.0.1", "port": free_port() }));
        }
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
    hold(&Cache::new("redis.check", json!({ "role": "master", "keys": 2 }))).await;
}

#[tokio::test]
async fn a_promotion_keeps_the_laws() {
    hold(&Cache::new("redis.promote", json!({ "max_lag": "10s" }))).await;
}

#[tokio::test]
async fn following_keeps_the_laws() {
    hold(&Cache::new("redis.replicate", json!({ "discard": true }))).await;
}

#[tokio::test]
async fn a_save_keeps_the_laws() {
    hold(&Cache::new("redis.save", json!({ "to": "copy.rdb" }))).await;
}
