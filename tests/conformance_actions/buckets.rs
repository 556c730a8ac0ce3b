//! The stands of the actions on S3, beside a real object store (Ceph RGW). The test that starts it runs this file again:
//! keys come from files that the environment names, and a process cannot change its own.

use std::path::PathBuf;
use std::process::Command;

use async_trait::async_trait;
use drplan::actions::Probe;
use drplan::world::{AwsSettings, Landed, ObjectCopy, ObjectFacts, ObjectRef};
use serde_json::{Value, json};

use super::cloud::{KEYS, SECRET, again, inside};
use super::laws::{Law, Stand, hold};
use super::owned::Owned;
use super::room::{Room, refusal};
use super::stands::{EFFECT, READS, because};

/// The store, gone with the value.
pub struct Store {
    _owned: Owned,
    _dir: tempfile::TempDir,
    /// Where it answers.
    pub at: String,
    /// Where its second zone does, if it has two.
    pub west: String,
    /// Its directory.
    pub home: PathBuf,
}

impl Store {
    /// Of `one` zone or `two`.
    pub fn up(zones: &str) -> Store {
        let dir = tempfile::Builder::new().prefix("drplan-ceph-").tempdir_in("/dev/shm").unwrap();
        // Four ports in a row, which no connection is given meanwhile: these are above 32768.
        let mut ports = (0..1_000).map(|n| 20_000 + u16::try_from((std::process::id() + n) * 4 % 10_000).unwrap());
        let port = ports.find(|p| (0..4).all(|n| std::net::TcpListener::bind(("127.0.0.1", p + n)).is_ok()));
        let port = port.expect("four free ports in a row");
        let home = dir.path().join("store");
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/ceph");
        let argv = [program, home.to_str().unwrap(), &port.to_string(), zones];
        let owned = Owned::start_within(&argv, &dir.path().join("log"), 180, || home.join("ready").exists());
        let at = |port: u16| format!("127.0.0.1:{port}");
        Store { _owned: owned, _dir: dir, at: at(port), west: at(port + 3), home }
    }
}

/// What the lab's own client of the store says, see `tests/lab/s3.py`.
pub fn s3(at: &str, words: &[&str]) -> String {
    let done = Command::new("/usr/bin/python3").args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/s3.py"), at]).args(words).output();
    let done = done.expect("python3 is installed");
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A bucket with backups and a vault beside it, of its own, and an action on them.
struct Bucket {
    action: &'static str,
    at: String,
    backups: String,
    vault: String,
}

impl Bucket {
    fn of(action: &'static str, at: &str) -> Bucket {
        let name = |what: &str| format!("{what}-{}", action.replace('.', "-"));
        Bucket { action, at: at.to_owned(), backups: name("backups"), vault: name("vault") }
    }

    fn at(&self, at: &str, more: Value) -> Room {
        let (backups, vault) = (&self.backups, &self.vault);
        let mut with = match self.action {
            "s3.copy" => json!({ "from": format!("s3://{backups}/full/"), "to": format!("s3://{vault}/kept/") }),
            "s3.retain" => json!({ "bucket": backups, "prefix": "full/", "mode": "GOVERNANCE", "until": "2040-01-01T00:00:00Z" }),
            _ => json!({ "bucket": backups, "prefix": "full/", "expect": { "size": { "at_least": "5B" } } }),
        };
        with["endpoint"] = json!(format!("http://{at}"));
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Room::new(self.action, with, None, "/nonexistent")
    }
}

#[async_trait]
impl Stand for Bucket {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        match self.action {
            "s3.check" => because(&EFFECT, READS),
            "s3.retain" => because(&[Law::Undo], "a lock ends by itself: a tool that lifts one is what an intruder would use"),
            _ => Vec::new(),
        }
    }

    fn room(&self, at: &str) -> Room {
        self.at(at, json!({}))
    }

    fn server(&self) -> String {
        self.at.clone()
    }

    fn state(&self) -> String {
        s3(&self.at, &["state", &self.backups, &self.vault])
    }

    fn reset(&self) {
        s3(&self.at, &["fresh", &self.backups, &self.vault]);
        for (key, text) in [("full/a", "the older one"), ("full/b", "the newer one"), ("log/1", "a log")] {
            s3(&self.at, &["put", &self.backups, key, text]);
        }
    }

    fn meddle(&self) {
        let (bucket, key) = if self.action == "s3.copy" { (&self.vault, "kept/a") } else { (&self.backups, "full/c") };
        s3(&self.at, &["put", bucket, key, "somebody's"]);
    }

    fn refused(&self) -> Room {
        self.at(&self.at, json!({ "profile": "stranger" }))
    }

    fn absent(&self) -> Room {
        let more =
            if self.action == "s3.copy" { json!({ "from": format!("s3://{}/none/", self.backups) }) } else { json!({ "prefix": "none/" }) };
        self.at(&self.at, more)
    }

    fn secret(&self) -> String {
        SECRET.to_owned()
    }
}

#[test]
fn in_a_store() {
    let store = Store::up("one");
    again("buckets::inside_a_store", KEYS, &store.at);
}

/// Not a test by itself: see `in_a_store`. Each stand has buckets of its own, and most of its time is waiting.
#[test]
fn inside_a_store() {
    let Some(said) = inside() else { return };
    std::thread::scope(|scope| {
        for action in ["s3.check", "s3.copy", "s3.retain"] {
            let bucket = Bucket::of(action, &said[0]);
            scope.spawn(move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(tried(&bucket)));
        }
    });
}

async fn tried(bucket: &Bucket) {
    bucket.reset();
    match bucket.action {
        "s3.check" => trap_7_errors_come_with_an_empty_message(bucket).await,
        "s3.copy" => {
            a_large_object_is_copied_in_parts(bucket).await;
            nothing_else_is_overwritten_unless_the_plan_says_so(bucket).await;
        }
        _ => no_lock_is_shortened_or_weakened(bucket).await,
    }
    bucket.reset();
    hold(bucket).await;
}

/// What the store says no to is told in words all the same.
async fn trap_7_errors_come_with_an_empty_message(bucket: &Bucket) {
    let said = s3(&bucket.at, &["raw", "GET", "/none?versions="]);
    assert!(said.starts_with("404") && said.contains("<Code>NoSuchBucket</Code>") && !said.contains("<Message>N"), "{said}");
    for (more, words) in
        [(json!({ "bucket": "none" }), "NoSuchBucket (HTTP 404)"), (json!({ "profile": "stranger" }), "InvalidAccessKeyId (HTTP 403)")]
    {
        let fault = refusal(bucket.at(&bucket.at, more).apply(&Value::Null).await);
        assert!(fault.landed == Landed::No && fault.cause.contains(words), "{fault}");
    }
}

/// Parts of the least size that a store takes, for the many gigabytes of real ones.
async fn a_large_object_is_copied_in_parts(stand: &Bucket) {
    stand.reset();
    s3(&stand.at, &["put", &stand.backups, "large", "0123456789abcdef", "720000"]);
    let room = stand.room(&stand.at);
    let settings = AwsSettings { endpoint: Some(format!("http://{}", stand.at)), ..AwsSettings::default() };
    let objects = &room.world.objects;
    let refer = |bucket: &str, key: &str, facts: &ObjectFacts| ObjectRef {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        etag: facts.etag.clone(),
        version: facts.version.clone(),
    };
    let facts = objects.facts(&settings, &stand.backups, "large").await.unwrap().unwrap();
    let mut copy = ObjectCopy {
        from: refer(&stand.backups, "large", &facts),
        size: facts.size,
        bucket: stand.vault.clone(),
        key: "a b+ü".to_owned(),
        replaces: None,
        mark: "run/step".to_owned(),
        part_bytes: 5 << 20,
    };
    objects.copy(&settings, &copy).await.unwrap();
    let there = objects.facts(&settings, &stand.vault, "a b+ü").await.unwrap().unwrap();
    assert!(there.etag.ends_with("-3") && there.mark.as_deref() == Some("run/step"), "{there:?}");
    let (old, new) = (refer(&stand.backups, "large", &facts), refer(&stand.vault, "a b+ü", &there));
    assert_eq!(objects.sha256(&settings, &old).await.unwrap(), objects.sha256(&settings, &new).await.unwrap());
    // What is not any more what was listed is not copied.
    copy.from.etag = "00000000000000000000000000000000".to_owned();
    let fault = refusal(objects.copy(&settings, &copy).await);
    assert!(fault.landed == Landed::No && fault.cause.contains("412"), "{fault}");
}

async fn nothing_else_is_overwritten_unless_the_plan_says_so(stand: &Bucket) {
    stand.reset();
    s3(&stand.at, &["put", &stand.vault, "kept/b", "another one"]);
    let fault = refusal(stand.room(&stand.at).before().await);
    assert!(fault.landed == Landed::No && fault.cause.contains("is there, and is another object"), "{fault}");
    let start = stand.state();
    // The newest alone, in the place of the other one, whose version is seen again afterwards.
    let room = stand.at(&stand.at, json!({ "overwrite": true, "objects": "newest" }));
    let (before, outputs) = room.lawful().await;
    assert_eq!((&outputs["copied"], &outputs["key"]), (&json!(1), &json!("kept/b")));
    assert_ne!(stand.state(), start);
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(stand.state(), start);
}

async fn no_lock_is_shortened_or_weakened(stand: &Bucket) {
    stand.reset();
    let long = stand.at(&stand.at, json!({ "until": "2050-01-01T00:00:00Z", "matches": "a$" }));
    let (_, outputs) = long.lawful().await;
    assert_eq!(outputs["locked"], json!(1));
    let short = stand.room(&stand.at);
    let (_, outputs) = short.lawful().await;
    assert_eq!((&outputs["locked"], &outputs["objects"]), (&json!(1), &json!(2)));
    let state = stand.state();
    assert!(state.contains("2050-01-01") && state.contains("2040-01-01"), "{state}");
    // The store itself refuses to shorten one.
    let settings = AwsSettings { endpoint: Some(format!("http://{}", stand.at)), ..AwsSettings::default() };
    let facts = short.world.objects.facts(&settings, &stand.backups, "full/a").await.unwrap().unwrap();
    let object = ObjectRef { bucket: stand.backups.clone(), key: "full/a".to_owned(), etag: facts.etag, version: facts.version };
    let fault = refusal(short.world.objects.retain(&settings, &object, "GOVERNANCE", "2030-01-01T00:00:00Z".parse().unwrap()).await);
    assert!(fault.landed == Landed::No && fault.cause.contains("403"), "{fault}");
    assert_eq!(stand.state(), state);
}
