//! Where an action is tried: a world whose writes are counted at its door, and everything that an attempt is given.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use drplan::actions::{self, Action, Before, Change, Ctx, Outputs, Probe, Target};
use drplan::world::{
    Answer, AwsSettings, Dns, DnsChange, Fault, FileFacts, Files, HealthCheck, NameAnswer, NameServer, Names, Object, ObjectCopy,
    ObjectFacts, ObjectRef, Objects, PgTarget, Postgres, REDIS_LOOKS, RecordSet, Redis, RedisTarget, Rows, Sqlite, WeightedSet, World,
    real::{RealSettings, world},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Calls that can change something, as they went through the door.
pub type Writes = Arc<Mutex<Vec<String>>>;

struct Watched<T: ?Sized>(Arc<T>, Writes);

impl<T: ?Sized> Watched<T> {
    fn note(&self, what: impl Into<String>) {
        self.1.lock().unwrap().push(what.into());
    }
}

#[async_trait]
impl Postgres for Watched<dyn Postgres> {
    async fn query(&self, to: &PgTarget, sql: &str, params: &[Value], read_only: bool, timeout_ms: u64) -> Answer<Rows> {
        if !read_only {
            self.note(sql);
        }
        self.0.query(to, sql, params, read_only, timeout_ms).await
    }
}

#[async_trait]
impl Redis for Watched<dyn Redis> {
    async fn command(&self, to: &RedisTarget, words: &[&str], timeout_ms: u64) -> Answer<Value> {
        // What a server's configuration file says already is written again.
        if !REDIS_LOOKS.contains(&words[0]) && words != ["CONFIG", "REWRITE"] {
            self.note(words.join(" "));
        }
        self.0.command(to, words, timeout_ms).await
    }
}

#[async_trait]
impl Dns for Watched<dyn Dns> {
    async fn record(&self, aws: &AwsSettings, zone: &str, name: &str, kind: &str) -> Answer<Option<RecordSet>> {
        self.0.record(aws, zone, name, kind).await
    }
    async fn change(&self, aws: &AwsSettings, zone: &str, changes: &[DnsChange], comment: &str) -> Answer<String> {
        self.note(format!("{changes:?}"));
        self.0.change(aws, zone, changes, comment).await
    }
    async fn in_sync(&self, aws: &AwsSettings, change: &str) -> Answer<bool> {
        self.0.in_sync(aws, change).await
    }
    async fn weighted(&self, aws: &AwsSettings, zone: &str, name: &str, kind: &str) -> Answer<Vec<WeightedSet>> {
        self.0.weighted(aws, zone, name, kind).await
    }
    async fn health_check(&self, aws: &AwsSettings, id: &str) -> Answer<Option<HealthCheck>> {
        self.0.health_check(aws, id).await
    }
    async fn set_health_check(&self, aws: &AwsSettings, id: &str, check: &HealthCheck) -> Answer<()> {
        self.note(format!("{id}: {check:?}"));
        self.0.set_health_check(aws, id, check).await
    }
}

#[async_trait]
impl Objects for Watched<dyn Objects> {
    async fn list(&self, aws: &AwsSettings, bucket: &str, prefix: &str) -> Answer<Vec<Object>> {
        self.0.list(aws, bucket, prefix).await
    }
    async fn facts(&self, aws: &AwsSettings, bucket: &str, key: &str) -> Answer<Option<ObjectFacts>> {
        self.0.facts(aws, bucket, key).await
    }
    async fn sha256(&self, aws: &AwsSettings, object: &ObjectRef) -> Answer<(u64, String)> {
        self.0.sha256(aws, object).await
    }
    async fn copy(&self, aws: &AwsSettings, copy: &ObjectCopy) -> Answer<()> {
        self.note(format!("{copy:?}"));
        self.0.copy(aws, copy).await
    }
    async fn remove(&self, aws: &AwsSettings, object: &ObjectRef) -> Answer<()> {
        self.note(format!("remove {object:?}"));
        self.0.remove(aws, object).await
    }
    async fn retain(&self, aws: &AwsSettings, object: &ObjectRef, mode: &str, until: Timestamp) -> Answer<()> {
        self.note(format!("retain {object:?} {mode} {until}"));
        self.0.retain(aws, object, mode, until).await
    }
}

#[async_trait]
impl Names for Watched<dyn Names> {
    async fn ask(&self, server: &NameServer, name: &str, kind: &str, timeout_ms: u64) -> Answer<NameAnswer> {
        self.0.ask(server, name, kind, timeout_ms).await
    }
    async fn update(&self, to: &NameServer, zone: &str, old: Option<&RecordSet>, new: Option<&RecordSet>, timeout_ms: u64) -> Answer<()> {
        self.note(format!("{old:?} to {new:?}"));
        self.0.update(to, zone, old, new, timeout_ms).await
    }
}

#[async_trait]
impl Sqlite for Watched<dyn Sqlite> {
    async fn query(&self, path: &str, sql: &str, params: &[Value], read_only: bool, timeout_ms: u64) -> Answer<Rows> {
        if !read_only {
            self.note(sql);
        }
        self.0.query(path, sql, params, read_only, timeout_ms).await
    }
    async fn backup(&self, path: &str, to: &str) -> Answer<()> {
        self.note(format!("backup to {to}"));
        self.0.backup(path, to).await
    }
}

#[async_trait]
impl Files for Watched<dyn Files> {
    async fn list(&self, dir: &str) -> Answer<Vec<String>> {
        self.0.list(dir).await
    }
    async fn facts(&self, path: &str) -> Answer<Option<FileFacts>> {
        self.0.facts(path).await
    }
    async fn sha256(&self, path: &str) -> Answer<Option<String>> {
        self.0.sha256(path).await
    }
    async fn copy(&self, from: &str, to: &str) -> Answer<()> {
        self.note(format!("copy to {to}"));
        self.0.copy(from, to).await
    }
    async fn rename(&self, from: &str, to: &str) -> Answer<()> {
        self.note(format!("rename {from} to {to}"));
        self.0.rename(from, to).await
    }
    async fn remove(&self, path: &str) -> Answer<()> {
        self.note(format!("remove {path}"));
        self.0.remove(path).await
    }
    async fn read(&self, path: &str) -> Answer<String> {
        self.0.read(path).await
    }
}

/// One step's action with its fields, its target and a watched world.
pub struct Room {
    pub world: World,
    pub writes: Writes,
    pub dir: String,
    pub action: &'static Action,
    pub with: Map<String, Value>,
    pub target: Option<Target>,
    pub incident_start: Timestamp,
    pub timeout: Duration,
    pub secrets: Vec<String>,
}

impl Room {
    pub fn new(name: &str, with: Value, target: Option<Target>, dir: &str) -> Room {
        let mut settings = RealSettings::new(dir, dir);
        settings.program = env!("CARGO_BIN_EXE_drplan").into();
        let mut world = world(settings);
        let writes = Writes::default();
        world.postgres = Arc::new(Watched(world.postgres, writes.clone()));
        world.redis = Arc::new(Watched(world.redis, writes.clone()));
        world.dns = Arc::new(Watched(world.dns, writes.clone()));
        world.objects = Arc::new(Watched(world.objects, writes.clone()));
        world.names = Arc::new(Watched(world.names, writes.clone()));
        world.sqlite = Arc::new(Watched(world.sqlite, writes.clone()));
        world.files = Arc::new(Watched(world.files, writes.clone()));
        let with = with.as_object().expect("fields are a map").clone();
        let action = actions::find(name).unwrap_or_else(|| panic!("no action {name}"));
        let timeout = Duration::from_secs(60);
        Room { world, writes, dir: dir.to_owned(), action, with, target, incident_start: Timestamp::now(), timeout, secrets: Vec::new() }
    }

    pub fn ctx<'a>(&'a self, outputs: &'a Map<String, Value>) -> Ctx<'a> {
        Ctx {
            world: &self.world,
            with: &self.with,
            target: self.target.as_ref(),
            ticket: "run/step/1",
            key: "run/step",
            incident_start: self.incident_start,
            incident_assumed: false,
            begin_by: None,
            timeout: Some(self.timeout),
            secrets: &self.secrets,
            dir: &self.dir,
            outputs,
        }
    }

    pub async fn before(&self) -> Answer<Before> {
        (self.action.before)(&self.ctx(&Map::new())).await
    }

    pub async fn probe(&self, before: &Before) -> Answer<Probe> {
        (self.action.probe)(&self.ctx(&Map::new()), before).await
    }

    pub async fn preview(&self, before: &Before) -> Answer<Vec<Change>> {
        (self.action.preview)(&self.ctx(&Map::new()), before).await
    }

    pub async fn apply(&self, before: &Before) -> Answer<Outputs> {
        (self.action.apply)(&self.ctx(&Map::new()), before).await
    }

    pub async fn undo(&self, before: &Before) -> Answer<Probe> {
        (self.action.undo_apply)(&self.ctx(&Map::new()), before).await
    }

    /// A reading action, done.
    pub async fn read(&self) -> Answer<Outputs> {
        let found = self.apply(&Value::Null).await;
        self.nothing_written("a reading action");
        found
    }

    /// What went through the door since it was last asked.
    pub fn written(&self) -> Vec<String> {
        std::mem::take(&mut *self.writes.lock().unwrap())
    }

    fn nothing_written(&self, who: &str) {
        let written = self.written();
        assert!(written.is_empty(), "{}: {who} wrote {written:?}", self.action.name);
    }

    /// The laws of an action that changes something, from `before` to its undo: looking writes nothing, its outputs are
    /// those of its record, a second attempt finds its work done, the probe tells the two states apart.
    pub async fn lawful(&self) -> (Before, Outputs) {
        let before = self.before().await.unwrap();
        assert_eq!(self.probe(&before).await.unwrap(), Probe::NotThere, "{}", self.action.name);
        let preview = self.preview(&before).await.unwrap();
        assert!(!preview.is_empty() && preview.iter().all(|c| c.old != c.new), "{}: {preview:?}", self.action.name);
        self.nothing_written("a look");
        let outputs = self.apply(&before).await.unwrap();
        for name in outputs.keys() {
            assert!(self.action.outputs.iter().any(|o| o.name == name), "{}: output {name} is not declared", self.action.name);
        }
        assert!(!self.written().is_empty(), "{}: it changed nothing", self.action.name);
        let probe = self.probe(&before).await.unwrap();
        let Probe::There(found) = probe else { panic!("{}: not there: {probe:?}", self.action.name) };
        assert!(found.keys().all(|k| outputs.contains_key(k)), "{}: {found:?} is not of {outputs:?}", self.action.name);
        self.nothing_written("a look afterwards");
        let again = self.apply(&before).await.unwrap();
        assert!(again.keys().all(|k| outputs.contains_key(k)), "{}: {again:?}", self.action.name);
        self.nothing_written("a second attempt");
        (before, outputs)
    }
}

/// A failure's words.
pub fn refusal<T: std::fmt::Debug>(answer: Answer<T>) -> Fault {
    answer.expect_err("it must be refused")
}

/// Files that answer no call any more after so many that write: a driver that dies there.
pub struct Dying {
    files: Arc<dyn Files>,
    left: Mutex<u32>,
}

impl Dying {
    pub fn new(files: Arc<dyn Files>, writes: u32) -> Self {
        Dying { files, left: Mutex::new(writes) }
    }

    fn step(&self) -> Answer<()> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).ok_or_else(|| Fault::lost("the driver died here"))?;
        Ok(())
    }
}

#[async_trait]
impl Files for Dying {
    async fn list(&self, dir: &str) -> Answer<Vec<String>> {
        self.files.list(dir).await
    }
    async fn facts(&self, path: &str) -> Answer<Option<FileFacts>> {
        self.files.facts(path).await
    }
    async fn sha256(&self, path: &str) -> Answer<Option<String>> {
        self.files.sha256(path).await
    }
    async fn copy(&self, from: &str, to: &str) -> Answer<()> {
        self.step()?;
        self.files.copy(from, to).await
    }
    async fn rename(&self, from: &str, to: &str) -> Answer<()> {
        self.step()?;
        self.files.rename(from, to).await
    }
    async fn remove(&self, path: &str) -> Answer<()> {
        self.step()?;
        self.files.remove(path).await
    }
    async fn read(&self, path: &str) -> Answer<String> {
        self.files.read(path).await
    }
}
