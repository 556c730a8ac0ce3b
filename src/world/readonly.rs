//! The outside behind glass: everything that only looks goes through, everything that could change something is
//! refused before it is sent. A dry run sees the world through it, whatever an action tries.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Answer, AwsSettings, Command, Dns, DnsChange, Exit, Fault, FileFacts, Files, Found, HealthCheck, Http, Letter, Mail, NameAnswer,
    NameServer, Names, Object, ObjectCopy, ObjectFacts, ObjectRef, Objects, PgTarget, Postgres, Process, REDIS_LOOKS, RecordSet, Redis,
    RedisTarget, Request, Response, Rows, Secrets, Sqlite, WeightedSet, World,
};

/// The same world, through glass. With `trust_commands`, programs that a plan merely declares to read are run.
pub fn behind_glass(world: &World, trust_commands: bool) -> World {
    let glass = Arc::new(Glass { world: world.clone(), trust_commands });
    World {
        clock: Arc::clone(&world.clock),
        process: glass.clone(),
        http: glass.clone(),
        objects: glass.clone(),
        dns: glass.clone(),
        names: glass.clone(),
        postgres: glass.clone(),
        redis: glass.clone(),
        sqlite: glass.clone(),
        files: glass.clone(),
        secrets: glass.clone(),
        mail: glass,
    }
}

struct Glass {
    world: World,
    trust_commands: bool,
}

fn refused<T>(what: &str) -> Answer<T> {
    Err(Fault::refused(format!("a dry run does not {what}")))
}

#[async_trait]
impl Process for Glass {
    async fn run(&self, command: &Command) -> Answer<Exit> {
        if self.trust_commands {
            self.world.process.run(command).await
        } else {
            refused("start commands (--trust-declared lets it start those that the plan declares to read)")
        }
    }
    async fn ask(&self, command: &Command) -> Answer<Exit> {
        self.world.process.ask(command).await
    }
    fn trusts(&self) -> bool {
        self.trust_commands
    }
    async fn find(&self, _ticket: &str) -> Answer<Found> {
        refused("look for commands of a run")
    }
    fn which(&self, program: &str) -> Option<String> {
        self.world.process.which(program)
    }

    fn hide(&self, variables: &[String]) {
        self.world.process.hide(variables);
    }
}

#[async_trait]
impl Http for Glass {
    async fn send(&self, request: &Request) -> Answer<Response> {
        match request.method.as_str() {
            "GET" | "HEAD" => self.world.http.send(request).await,
            other => refused(&format!("send {other}")),
        }
    }
}

#[async_trait]
impl Mail for Glass {
    async fn send(&self, _letter: &Letter) -> Answer<()> {
        refused("send mail")
    }
    async fn reach(&self) -> Answer<()> {
        self.world.mail.reach().await
    }
}

#[async_trait]
impl Dns for Glass {
    async fn record(&self, aws: &AwsSettings, zone: &str, name: &str, kind: &str) -> Answer<Option<RecordSet>> {
        self.world.dns.record(aws, zone, name, kind).await
    }
    async fn change(&self, _aws: &AwsSettings, _zone: &str, _changes: &[DnsChange], _comment: &str) -> Answer<String> {
        refused("change records")
    }
    async fn in_sync(&self, aws: &AwsSettings, change: &str) -> Answer<bool> {
        self.world.dns.in_sync(aws, change).await
    }
    async fn weighted(&self, aws: &AwsSettings, zone: &str, name: &str, kind: &str) -> Answer<Vec<WeightedSet>> {
        self.world.dns.weighted(aws, zone, name, kind).await
    }
    async fn health_check(&self, aws: &AwsSettings, id: &str) -> Answer<Option<HealthCheck>> {
        self.world.dns.health_check(aws, id).await
    }
    async fn set_health_check(&self, _aws: &AwsSettings, _id: &str, _check: &HealthCheck) -> Answer<()> {
        refused("change health checks")
    }
}

#[async_trait]
impl Objects for Glass {
    async fn list(&self, aws: &AwsSettings, bucket: &str, prefix: &str) -> Answer<Vec<Object>> {
        self.world.objects.list(aws, bucket, prefix).await
    }
    async fn facts(&self, aws: &AwsSettings, bucket: &str, key: &str) -> Answer<Option<ObjectFacts>> {
        self.world.objects.facts(aws, bucket, key).await
    }
    async fn sha256(&self, aws: &AwsSettings, object: &ObjectRef) -> Answer<(u64, String)> {
        self.world.objects.sha256(aws, object).await
    }
    async fn copy(&self, _aws: &AwsSettings, _copy: &ObjectCopy) -> Answer<()> {
        refused("copy objects")
    }
    async fn remove(&self, _aws: &AwsSettings, _object: &ObjectRef) -> Answer<()> {
        refused("remove objects")
    }
    async fn retain(&self, _aws: &AwsSettings, _object: &ObjectRef, _mode: &str, _until: Timestamp) -> Answer<()> {
        refused("lock objects")
    }
}

#[async_trait]
impl Names for Glass {
    async fn ask(&self, server: &NameServer, name: &str, kind: &str, timeout_ms: u64) -> Answer<NameAnswer> {
        self.world.names.ask(server, name, kind, timeout_ms).await
    }
    async fn update(&self, _: &NameServer, _: &str, _: Option<&RecordSet>, _: Option<&RecordSet>, _: u64) -> Answer<()> {
        refused("change records")
    }
}

#[async_trait]
impl Postgres for Glass {
    async fn query(&self, to: &PgTarget, sql: &str, params: &[Value], read_only: bool, timeout_ms: u64) -> Answer<Rows> {
        if read_only {
            self.world.postgres.query(to, sql, params, true, timeout_ms).await
        } else {
            refused("send statements that may write")
        }
    }
}

#[async_trait]
impl Redis for Glass {
    async fn command(&self, to: &RedisTarget, words: &[&str], timeout_ms: u64) -> Answer<Value> {
        match words.first() {
            Some(first) if REDIS_LOOKS.contains(first) => self.world.redis.command(to, words, timeout_ms).await,
            first => refused(&format!("send {}", first.unwrap_or(&"nothing"))),
        }
    }
}

#[async_trait]
impl Sqlite for Glass {
    async fn looks_like_one(&self, path: &str) -> Answer<()> {
        self.world.sqlite.looks_like_one(path).await
    }
    async fn query(&self, path: &str, sql: &str, params: &[Value], read_only: bool, timeout_ms: u64) -> Answer<Rows> {
        if read_only {
            self.world.sqlite.query(path, sql, params, true, timeout_ms).await
        } else {
            refused("send statements that may write")
        }
    }
    async fn backup(&self, _path: &str, _to: &str) -> Answer<()> {
        refused("write copies")
    }
}

#[async_trait]
impl Files for Glass {
    async fn list(&self, dir: &str) -> Answer<Vec<String>> {
        self.world.files.list(dir).await
    }
    async fn facts(&self, path: &str) -> Answer<Option<FileFacts>> {
        self.world.files.facts(path).await
    }
    async fn sha256(&self, path: &str) -> Answer<Option<String>> {
        self.world.files.sha256(path).await
    }
    async fn copy(&self, _from: &str, _to: &str) -> Answer<()> {
        refused("copy files")
    }
    async fn rename(&self, _from: &str, _to: &str) -> Answer<()> {
        refused("rename files")
    }
    async fn remove(&self, _path: &str) -> Answer<()> {
        refused("remove files")
    }
    async fn read(&self, path: &str) -> Answer<String> {
        self.world.files.read(path).await
    }
}

#[async_trait]
impl Secrets for Glass {
    async fn env(&self, name: &str) -> Answer<String> {
        self.world.secrets.env(name).await
    }
    async fn file(&self, path: &str) -> Answer<String> {
        self.world.secrets.file(path).await
    }
    async fn command(&self, argv: &[String]) -> Answer<String> {
        if self.trust_commands {
            self.world.secrets.command(argv).await
        } else {
            refused("start commands that give secrets (--trust-declared lets it)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::sim::Sim;

    #[test]
    fn nothing_that_changes_passes_the_glass() {
        let sim = Sim::new(1);
        let glass = behind_glass(&sim.world(), false);
        let set = RecordSet { name: "a.example".into(), kind: "A".into(), ttl_s: 1, values: vec!["127.0.0.1".into()] };
        let post = Request { method: "POST".into(), url: "http://sim/x".into(), ..Request::default() };
        let command = Command {
            ticket: "t".into(),
            argv: vec!["set".into(), "x".into(), "1".into()],
            env: Default::default(),
            cwd: None,
            stdin: None,
            begin_by: None,
            timeout_ms: None,
            keep_bytes: 100,
            secrets: vec![],
        };
        let object = ObjectRef { bucket: "b".into(), key: "k".into(), etag: "e".into(), version: None };
        let all = async {
            let to = PgTarget::default();
            [
                glass.dns.change(&AwsSettings::default(), "Z", &[DnsChange::Create(set)], "").await.map(drop),
                glass.http.send(&post).await.map(drop),
                glass.process.run(&command).await.map(drop),
                glass.postgres.query(&to, "delete from t", &[], false, 1).await.map(drop),
                glass.redis.command(&RedisTarget::default(), &["FLUSHALL"], 1).await.map(drop),
                glass.sqlite.query("x", "delete from t", &[], false, 1).await.map(drop),
                glass.sqlite.backup("x", "y").await,
                glass.objects.remove(&AwsSettings::default(), &object).await,
                glass.objects.retain(&AwsSettings::default(), &object, "GOVERNANCE", Timestamp::UNIX_EPOCH).await,
                glass.files.copy("x", "y").await,
                glass.files.rename("x", "y").await,
                glass.files.remove("x").await,
                glass.secrets.command(&["x".into()]).await.map(drop),
            ]
        };
        let answers = sim.block_on(all).expect("nobody dies here");
        for answer in answers {
            let fault = answer.expect_err("it must be refused");
            assert!(fault.cause.starts_with("a dry run does not"), "{fault}");
        }
        sim.pass(10_000);
        assert!(sim.deeds().is_empty());
    }
}
