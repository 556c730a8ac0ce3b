//! Two zones of one object store (Ceph RGW) that copy to each other, of which the master dies. The test that starts them runs
//! this file again: keys come from files that the environment names, and a process cannot change its own.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use drplan::world::Landed;
use serde_json::{Value, json};

use super::buckets::{Store, s3};
use super::cloud::{KEYS, again, inside};
use super::owned::Owned;
use super::room::{Room, refusal};

/// Longest that zones take to come to one mind.
const PATIENCE: Duration = Duration::from_secs(150);

#[test]
fn in_two_zones() {
    let store = Store::up("two");
    again("two_zones::trap_6_the_master_of_two_zones_dies", KEYS, &format!("{} {} {}", store.at, store.west, store.home.display()));
}

/// Whether the store's own client is told 200.
fn there(at: &str, path: &str) -> bool {
    s3(at, &["raw", "HEAD", path]).starts_with("200")
}

fn until(what: &str, test: impl Fn() -> bool) {
    let began = Instant::now();
    while !test() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn check(at: &str, prefix: &str) -> Room {
    let with =
        json!({ "bucket": "vault", "prefix": prefix, "expect": { "size": { "at_least": "5B" } }, "endpoint": format!("http://{at}") });
    Room::new("s3.check", with, None, "/nonexistent")
}

fn copy(at: &str, to: &str) -> Room {
    let with = json!({ "from": "s3://backups/full/", "to": to, "endpoint": format!("http://{at}") });
    Room::new("s3.copy", with, None, "/nonexistent")
}

/// What the lab's `ceph` is told while the zones run.
fn order<'a>(home: &'a str, east: &'a str, order: &'a str) -> [&'a str; 4] {
    [concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/ceph"), home, east.rsplit(':').next().unwrap(), order]
}

/// Not a test by itself: see `in_two_zones`.
#[tokio::test]
async fn trap_6_the_master_of_two_zones_dies() {
    let Some(said) = inside() else { return };
    let [east, west, home] = said.try_into().unwrap();
    s3(&east, &["fresh", "backups", "vault"]);
    s3(&east, &["put", "backups", "full/a", "the older one"]);
    until("the other zone has it", || there(&west, "/backups/full/a") && there(&west, "/vault"));

    let pid = std::fs::read_to_string(format!("{home}/east.pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    until("the master is gone", || TcpStream::connect(&east).is_err());
    let fault = refusal(check(&east, "").apply(&Value::Null).await);
    assert!(fault.unreachable && fault.landed == Landed::No, "{fault}");

    // The other zone goes on with objects, but it makes no bucket: what is copied there is not said to be.
    let (_, outputs) = copy(&west, "s3://vault/kept/").lawful().await;
    assert_eq!(outputs["copied"], json!(1));
    check(&west, "kept/").apply(&Value::Null).await.unwrap();
    assert!(s3(&west, &["raw", "PUT", "/anew"]).starts_with('5'), "it makes a bucket without its master");
    let anew = copy(&west, "s3://anew/kept/");
    let fault = match anew.before().await {
        Ok(before) => refusal(anew.apply(&before).await),
        Err(fault) => fault,
    };
    assert!(fault.landed == Landed::No && !fault.unreachable && fault.cause.contains("404"), "{fault}");

    // Once it is the master itself, it does.
    let [program, rest @ ..] = order(&home, &east, "promote");
    assert!(Command::new(program).args(rest).output().unwrap().status.success());
    until("a bucket is made", || s3(&west, &["raw", "PUT", "/anew"]).starts_with("200"));
    let (_, outputs) = copy(&west, "s3://anew/kept/").lawful().await;
    assert_eq!(outputs["copied"], json!(1));

    // What comes back knows nothing yet of what was written meanwhile, and is not believed to.
    let log = format!("{home}/east.back.log");
    let _back = Owned::start_within(&order(&home, &east, "east"), Path::new(&log), 60, || TcpStream::connect(&east).is_ok());
    let began = Instant::now();
    loop {
        let passed = check(&east, "kept/").apply(&Value::Null).await.is_ok();
        // Asked after it: what is there does not go away again.
        let there = there(&east, "/vault/kept/a");
        assert!(there || !passed, "it is not there, and passed");
        if passed {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "what was written meanwhile does not come");
    }
}
