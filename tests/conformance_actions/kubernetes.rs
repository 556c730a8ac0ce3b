//! The actions on Kubernetes with the real `kubectl`, against the lab's stand-in for an API server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use drplan::actions::{AssetKind, Call, Earlier, Probe, Target};
use drplan::world::real::{RealSettings, world};
use drplan::world::{Answer, Exit, Found, Landed, Process};
use serde_json::{Map, Value, json};

use super::laws::{Law, Stand, hold};
use super::room::{Room, refusal};
use super::stands::{EFFECT, READS, because};

/// A cluster of its own, gone with the value, and by itself when this process dies.
struct Cluster {
    dir: tempfile::TempDir,
    server: Child,
}

impl Cluster {
    /// With deployment `api` (2 replicas, ready), stateful set `db`, config map `settings` and CronJob `restore`.
    fn up() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/kubeapi.py");
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut server = Command::new("/usr/bin/python3");
        server.arg(program).arg(dir.path()).arg("token-of-the-lab").stderr(log).stdout(Stdio::null());
        let cluster = Cluster { server: server.spawn().expect("python3 is installed"), dir };
        let begin = Instant::now();
        while !cluster.dir.path().join("port").exists() {
            assert!(begin.elapsed() < Duration::from_secs(20), "the stand-in does not start: {}", cluster.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        for (name, text) in FILES {
            std::fs::write(cluster.dir.path().join(name), text).unwrap();
        }
        cluster.kubectl(&["create", "--validate=false", "-f", &cluster.path("begin.yaml")]);
        cluster.kubectl(&["rollout", "status", "deployment/api", "--timeout=10s"]);
        cluster.kubectl(&["rollout", "status", "statefulset/db", "--timeout=10s"]);
        cluster
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn kubectl(&self, words: &[&str]) -> String {
        let done = Command::new("kubectl").arg(format!("--kubeconfig={}", self.path("kubeconfig"))).args(words).output().unwrap();
        assert!(done.status.success(), "kubectl {words:?}: {}\n{}", String::from_utf8_lossy(&done.stderr), self.log());
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn at(&self, object: &str, path: &str) -> String {
        self.kubectl(&["get", object, &format!("--output=jsonpath={{{path}}}")])
    }

    /// A word to the stand-in itself; its answer.
    fn control(&self, order: Value) -> Value {
        let port = std::fs::read_to_string(self.path("port")).unwrap();
        let url = format!("https://127.0.0.1:{port}/_control");
        let done =
            Command::new("curl").args(["-fsS", "--cacert", &self.path("ca.pem"), "--data", &order.to_string(), &url]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// How many changes reached the server.
    fn changes(&self) -> u64 {
        self.control(json!({}))["changes"].as_u64().unwrap()
    }

    fn target(&self, context: &str) -> Target {
        let connect = json!({ "kubeconfig": "kubeconfig", "context": context, "namespace": "shop" });
        Target {
            asset: "app".to_owned(),
            kind: AssetKind::Kubernetes,
            site: None,
            connect: connect.as_object().unwrap().clone(),
            source: None,
        }
    }

    fn room(&self, name: &str, with: Value) -> Room {
        self.room_at(name, with, "east")
    }

    fn room_at(&self, name: &str, with: Value, context: &str) -> Room {
        let dir = self.dir.path().to_str().unwrap();
        let mut room = Room::new(name, with, Some(self.target(context)), dir);
        let mut settings = RealSettings::new(self.dir.path().join("state"), self.dir.path());
        settings.program = env!("CARGO_BIN_EXE_drplan").into();
        room.world.process = Arc::new(Own {
            process: world(settings).process,
            writes: room.writes.clone(),
            tickets: Mutex::default(),
            cache: tempfile::tempdir_in(self.dir.path()).unwrap(),
        });
        room.timeout = Duration::from_secs(20);
        room
    }

    /// The stand-in's log is shown when a test fails.
    fn meddle(&self, object: &str, patch: Value) {
        self.control(json!({ "meddle": { "path": object, "patch": patch } }));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the stand-in said:\n{}", self.log());
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

const API: &str = "/apis/apps/v1/namespaces/shop/deployments/api";
const SETTINGS: &str = "/api/v1/namespaces/shop/configmaps/settings";

const FILES: &[(&str, &str)] = &[
    (
        "begin.yaml",
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: api }
spec:
  replicas: 2
  selector: { matchLabels: { app: api } }
  template:
    metadata: { labels: { app: api } }
    spec: { containers: [{ name: app, image: "r/api:1" }, { name: side, image: "r/side:1" }] }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  replicas: 1
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec: { containers: [{ name: db, image: "r/db:1" }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, labels: { app: api } }
data: { mode: live, other: "1" }
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: restore }
spec:
  schedule: "0 2 * * *"
  jobTemplate:
    spec:
      template:
        metadata: { annotations: { lab/log: "one\ntwo: it's broken\n" } }
        spec: { restartPolicy: Never, containers: [{ name: restore, image: "r/restore:1" }] }
"#,
    ),
    (
        "plan.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\ndata: { mode: drained }\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: fresh }\ndata: { a: b }\n",
    ),
    ("fresh.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: fresh }\ndata: { a: b }\n"),
    (
        "typo.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: api }\nspec: { replcas: 6, selector: { matchLabels: { app: api } } }\n",
    ),
    ("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\nstringData: { a: hunter2hunter2 }\n"),
    (
        "job.yaml",
        "apiVersion: batch/v1\nkind: Job\nmetadata: { name: fill }\nspec: { template: { spec: { restartPolicy: Never, containers: [{ name: a, image: b }] } } }\n",
    ),
];

/// Commands of one room: those that change are noted, each under a name of its own, as a driver gives it. What `kubectl`
/// remembers of a server is the room's own, since another server may have had the same port before.
struct Own {
    process: Arc<dyn Process>,
    writes: super::room::Writes,
    tickets: Mutex<BTreeMap<String, String>>,
    cache: tempfile::TempDir,
}

impl Own {
    fn of(&self, command: &drplan::world::Command) -> drplan::world::Command {
        let mut own = command.clone();
        own.env.insert("KUBECACHEDIR".to_owned(), self.cache.path().to_str().unwrap().to_owned());
        own
    }
}

#[async_trait]
impl Process for Own {
    async fn run(&self, command: &drplan::world::Command) -> Answer<Exit> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let ticket = format!("{}-{}", command.ticket, COUNT.fetch_add(1, Ordering::Relaxed));
        self.tickets.lock().unwrap().insert(command.ticket.clone(), ticket.clone());
        self.writes.lock().unwrap().push(command.argv[1..].join(" "));
        self.process.run(&drplan::world::Command { ticket, ..self.of(command) }).await
    }
    async fn ask(&self, command: &drplan::world::Command) -> Answer<Exit> {
        self.process.ask(&self.of(command)).await
    }
    async fn find(&self, ticket: &str) -> Answer<Found> {
        let known = self.tickets.lock().unwrap().get(ticket).cloned();
        match known {
            Some(ticket) => self.process.find(&ticket).await,
            None => Ok(Found::NeverStarted),
        }
    }
    fn which(&self, program: &str) -> Option<String> {
        self.process.which(program)
    }
}

#[tokio::test]
async fn checks_find_what_is_there_and_never_pass_on_nothing() {
    let cluster = Cluster::up();
    let check = async |with: Value| cluster.room("kubernetes.check", with).read().await;
    let found = check(json!({ "nodes": { "at_least": 2 } })).await.unwrap();
    assert_eq!((&found["ready"], &found["found"]), (&json!(2), &json!(3)));
    assert!(refusal(check(json!({ "nodes": { "at_least": 3 } })).await).cause.ends_with("found 2; not ready, or closed for work: node-c"));
    let found = check(json!({ "deployment": "api", "replicas": 2 })).await.unwrap();
    assert_eq!((&found["ready"], &found["wanted"]), (&json!(2), &json!(2)));
    check(json!({ "statefulset": "db" })).await.unwrap();
    check(json!({ "resource": "configmap/settings", "expect": { "data.mode": "live" } })).await.unwrap();
    check(json!({ "resource": "configmaps", "selector": "app=api", "expect": { "data.mode": "live" } })).await.unwrap();
    for (with, words) in [
        (json!({ "deployment": "none" }), "there is no `deployment/none`"),
        (json!({ "resource": "pods" }), "there is none of `pods`"),
        (json!({ "resource": "configmaps", "selector": "app=none" }), "there is none of"),
        (json!({ "resource": "configmap/settings", "expect": { "data.mode": "off" } }), "wanted: `data.mode` is \"off\"; found \"live\""),
        (json!({ "resource": "things" }), "doesn't have a resource type"),
        (json!({ "resource": "configmap/--all" }), "is not a name"),
        (json!({ "job": "none" }), "there is no `job/none`"),
    ] {
        let fault = refusal(check(with).await);
        assert!(fault.cause.contains(words) && fault.landed == Landed::No, "{fault}");
    }
    cluster.control(json!({ "steady": false }));
    cluster.kubectl(&["scale", "deployment/api", "--replicas=3"]);
    assert!(refusal(check(json!({ "deployment": "api" })).await).cause.contains("has not yet looked at its newest form"));
    // Garbage, a full server, refused credentials, a server that is not there: never a pass.
    cluster.control(json!({ "garbage": 5 }));
    assert!(check(json!({ "resource": "configmap/settings" })).await.is_err());
    cluster.control(json!({ "garbage": 0 }));
    let locked = cluster.room_at("kubernetes.check", json!({ "nodes": 2 }), "locked").read().await;
    let fault = refusal(locked);
    assert!(!fault.unreachable && fault.cause.contains("logged in") && !fault.cause.contains("token-of-the-lab"), "{fault}");
    let nowhere = cluster.room_at("kubernetes.check", json!({ "nodes": 2 }), "nowhere").read().await;
    assert!(refusal(nowhere).cause.contains("context"), "a wrong context");
    let mut gone = cluster.room("kubernetes.check", json!({ "nodes": 2 }));
    let config = std::fs::read_to_string(cluster.path("kubeconfig")).unwrap();
    let port = std::fs::read_to_string(cluster.path("port")).unwrap();
    std::fs::write(cluster.path("elsewhere"), config.replace(&port, "1")).unwrap();
    gone.target.as_mut().unwrap().connect.insert("kubeconfig".to_owned(), json!("elsewhere"));
    let fault = refusal(gone.read().await);
    assert!(fault.unreachable, "{fault}");
}

#[tokio::test]
async fn a_scale_is_ready_when_it_ends_and_goes_back_only_if_it_is_still_ours() {
    let cluster = Cluster::up();
    let scale = cluster.room("kubernetes.scale", json!({ "deployment": "api", "replicas": 4 }));
    let (before, outputs) = scale.lawful().await;
    assert_eq!((&outputs["old"], &outputs["new"], &outputs["ready"]), (&json!(2), &json!(4), &json!(4)));
    assert_eq!(scale.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(cluster.at("deployment/api", ".spec.replicas"), "2");
    scale.written();
    assert_eq!(scale.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(scale.written().is_empty(), "a second undo");

    // Somebody else's number, before and after ours: neither is overwritten.
    cluster.meddle(API, json!({ "spec": { "replicas": 5 } }));
    assert!(refusal(scale.apply(&before).await).cause.contains("somebody changed it meanwhile"));
    assert!(matches!(scale.probe(&before).await.unwrap(), Probe::Other(_)));
    assert!(matches!(scale.undo(&before).await.unwrap(), Probe::Other(_)));
    assert_eq!(cluster.at("deployment/api", ".spec.replicas"), "5");
    // Made anew under the same name is another.
    cluster.meddle(API, json!({ "spec": { "replicas": 4 } }));
    cluster.kubectl(&["delete", "deployment/api"]);
    assert!(matches!(scale.probe(&before).await.unwrap(), Probe::Other(why) if why.contains("not there any more")));

    let stop = cluster.room("kubernetes.scale", json!({ "statefulset": "db", "replicas": 0 }));
    let (before, _) = stop.lawful().await;
    assert_eq!(stop.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(cluster.at("statefulset/db", ".spec.replicas"), "1");
}

#[tokio::test]
async fn a_race_is_lost_to_whoever_was_first() {
    let cluster = Cluster::up();
    let scale = cluster.room("kubernetes.scale", json!({ "deployment": "api", "replicas": 4, "wait": "none" }));
    let before = scale.before().await.unwrap();
    // Between the look and the change that follows it.
    cluster.control(json!({ "meddle_next": { "path": API, "patch": { "spec": { "replicas": 9 } } } }));
    let fault = refusal(scale.apply(&before).await);
    assert_eq!((fault.landed, cluster.at("deployment/api", ".spec.replicas").as_str()), (Landed::No, "9"), "{fault}");

    let patch = cluster.room("kubernetes.patch", json!({ "resource": "configmap/settings", "patch": { "data": { "mode": "drained" } } }));
    let before = patch.before().await.unwrap();
    cluster.control(json!({ "meddle_next": { "path": SETTINGS, "patch": { "data": { "mode": "hands off" } } } }));
    let fault = refusal(patch.apply(&before).await);
    assert!(fault.landed == Landed::No && fault.cause.contains("somebody changed it meanwhile"), "{fault}");
    assert_eq!(cluster.at("configmap/settings", ".data.mode"), "hands off");
    // Another field of the same object is nobody's concern.
    cluster.meddle(SETTINGS, json!({ "data": { "mode": "live" } }));
    let before = patch.before().await.unwrap();
    cluster.control(json!({ "meddle_next": { "path": SETTINGS, "patch": { "data": { "other": "2" } } } }));
    patch.apply(&before).await.unwrap();
    assert_eq!(patch.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(cluster.at("configmap/settings", ".data"), r#"{"mode":"live","other":"2"}"#);
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_unknown_and_the_probe_tells() {
    let cluster = Cluster::up();
    let scale = cluster.room("kubernetes.scale", json!({ "deployment": "api", "replicas": 3, "wait": "none" }));
    for fault in ["lose_reply", "break"] {
        let before = scale.before().await.unwrap();
        cluster.control(json!({ fault: 20 }));
        let said = refusal(scale.apply(&before).await);
        cluster.control(json!({ fault: 0 }));
        assert_eq!(said.landed, Landed::Maybe, "{fault}: {said}");
        assert!(matches!(scale.probe(&before).await.unwrap(), Probe::There(_)), "{fault}");
        assert_eq!(scale.undo(&before).await.unwrap(), Probe::NotThere);
    }
    let before = scale.before().await.unwrap();
    let locked = cluster.room_at("kubernetes.scale", json!({ "deployment": "api", "replicas": 3 }), "locked");
    assert_eq!(refusal(locked.apply(&before).await).landed, Landed::No);
    // A driver that comes later learns from the command's end that nothing more comes.
    scale.apply(&before).await.unwrap();
    let none = Map::new();
    let found = (scale.action.earlier.unwrap())(&scale.ctx(&none), &before).await.unwrap();
    assert!(matches!(found, Earlier::CannotTell { gone: true, .. }), "{found:?}");
}

#[tokio::test]
async fn what_does_not_become_ready_is_not_done() {
    let cluster = Cluster::up();
    cluster.control(json!({ "steady": false }));
    let mut scale = cluster.room("kubernetes.scale", json!({ "deployment": "api", "replicas": 4 }));
    scale.timeout = Duration::from_secs(4);
    let before = scale.before().await.unwrap();
    let fault = refusal(scale.apply(&before).await);
    assert!(fault.cause.contains("was changed, but is not ready within 4s: the cluster has not yet looked"), "{fault}");
    assert!(matches!(scale.probe(&before).await.unwrap(), Probe::CannotTell(why) if why.contains("not yet ready")));
    assert_eq!(scale.undo(&before).await.unwrap(), Probe::NotThere);
}

#[tokio::test]
async fn a_rollout_ends_with_new_pods_and_goes_back_to_the_old_ones() {
    let cluster = Cluster::up();
    let image = cluster.room("kubernetes.rollout", json!({ "deployment": "api", "image": { "app": "r/api:2" } }));
    let (before, outputs) = image.lawful().await;
    assert_eq!((&outputs["image"], &outputs["ready"]), (&json!({ "app": "r/api:2" }), &json!(2)));
    assert_eq!(cluster.at("deployment/api", ".spec.template.spec.containers[*].image"), "r/api:2 r/side:1");
    // Another container is somebody else's concern, this one is not.
    let others = json!([{ "name": "app", "image": "r/api:2" }, { "name": "side", "image": "r/side:2" }]);
    cluster.meddle(API, json!({ "spec": { "template": { "spec": { "containers": others } } } }));
    assert_eq!(image.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(cluster.at("deployment/api", ".spec.template.spec.containers[*].image"), "r/api:1 r/side:2");
    let wrong = cluster.room("kubernetes.rollout", json!({ "deployment": "api", "image": { "none": "r/api:2" } }));
    assert!(refusal(wrong.before().await).cause.contains("has no container `none`"));

    let restart = cluster.room("kubernetes.rollout", json!({ "statefulset": "db", "restart": true }));
    let (before, _) = restart.lawful().await;
    assert!(cluster.at("statefulset/db", ".spec.template.metadata.annotations").contains("restartedAt"));
    assert_eq!(restart.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(!cluster.at("statefulset/db", ".spec.template.metadata.annotations").contains("restartedAt"));
}

#[tokio::test]
async fn a_patch_of_each_kind_is_taken_back_field_by_field() {
    let cluster = Cluster::up();
    let merge = json!({ "resource": "configmap/settings", "patch": { "data": { "mode": "it's \"off\"", "more": "x", "other": null } } });
    let json =
        json!({ "resource": "configmap/settings", "type": "json", "patch": [{ "op": "add", "path": "/data/a~1b", "value": "$(x)" }] });
    let strategic = json!({ "resource": "deployment/api", "type": "strategic", "patch": { "spec": { "template": { "spec": { "containers": [{ "name": "side", "image": "r/side:9" }] } } } } });
    for with in [merge, json, strategic] {
        let object = with["resource"].as_str().unwrap().to_owned();
        let (data, spec) = (cluster.at(&object, ".data"), cluster.at(&object, ".spec"));
        let patch = cluster.room("kubernetes.patch", with);
        let (before, outputs) = patch.lawful().await;
        assert!(outputs["changed"].as_u64().unwrap() >= 1);
        assert_eq!(patch.undo(&before).await.unwrap(), Probe::NotThere);
        assert_eq!((data, spec), (cluster.at(&object, ".data"), cluster.at(&object, ".spec")));
        assert_eq!(patch.probe(&before).await.unwrap(), Probe::NotThere);
    }
    let secret = cluster.room("kubernetes.patch", json!({ "resource": "secret/x", "patch": {} }));
    assert!(refusal(secret.before().await).cause.contains("would stand in the journal"));
}

#[tokio::test]
async fn files_are_applied_and_taken_back_each_object_for_itself() {
    let cluster = Cluster::up();
    let apply = cluster.room("kubernetes.apply", json!({ "files": ["plan.yaml"] }));
    let (before, outputs) = apply.lawful().await;
    assert_eq!((&outputs["created"], &outputs["changed"]), (&json!(1), &json!(1)));
    // Only what differs is kept.
    assert!(!before.to_string().contains("other"), "{before}");
    assert_eq!(cluster.at("configmap/settings", ".data"), r#"{"mode":"drained","other":"1"}"#);
    assert_eq!(apply.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(cluster.at("configmap/settings", ".data"), r#"{"mode":"live","other":"1"}"#);
    assert!(cluster.kubectl(&["get", "configmap/fresh", "--ignore-not-found"]).is_empty());
    assert_eq!(apply.probe(&before).await.unwrap(), Probe::NotThere);

    // Half of it, as a death in the middle leaves it, is gone on with.
    cluster.kubectl(&["create", "--validate=false", "-f", &cluster.path("fresh.yaml")]);
    assert!(matches!(apply.probe(&before).await.unwrap(), Probe::CannotTell(_)));
    apply.apply(&before).await.unwrap();
    assert!(matches!(apply.probe(&before).await.unwrap(), Probe::There(_)));
    // Somebody's newer change is theirs.
    cluster.meddle(SETTINGS, json!({ "data": { "mode": "mine" } }));
    assert!(matches!(apply.undo(&before).await.unwrap(), Probe::Other(_)));
    assert!(refusal(apply.apply(&before).await).cause.contains("somebody changed it meanwhile"));
    assert_eq!(cluster.at("configmap/settings", ".data.mode"), "mine");

    let typo = refusal(cluster.room("kubernetes.apply", json!({ "files": ["typo.yaml"] })).before().await);
    assert!(typo.cause.contains("knows no `spec.replcas`"), "{typo}");
    let secret = refusal(cluster.room("kubernetes.apply", json!({ "files": ["secret.yaml"] })).before().await);
    assert!(secret.cause.contains("would stand in the journal") && !secret.cause.contains("hunter2"), "{secret}");
    let none = refusal(cluster.room("kubernetes.apply", json!({ "files": ["none.yaml"] })).before().await);
    assert_eq!(none.landed, Landed::No);
}

#[tokio::test]
async fn a_job_runs_once_however_often_it_is_tried() {
    let cluster = Cluster::up();
    for with in [json!({ "from": "cronjob/restore" }), json!({ "file": "job.yaml" })] {
        let job = cluster.room("kubernetes.job", with);
        let (_, outputs) = job.lawful().await;
        let name = outputs["job"].as_str().unwrap();
        assert_eq!(cluster.at(&format!("job/{name}"), ".status.succeeded"), "1");
        // The next run of the plan has another key; this one finds its own Job.
        assert!(refusal(job.before().await).cause.contains("is there already"));
        cluster.kubectl(&["delete", &format!("job/{name}")]);
    }
    let job = cluster.room("kubernetes.job", json!({ "from": "cronjob/restore" }));
    let before = job.before().await.unwrap();
    cluster.control(json!({ "jobs": "fail", "lose_reply": 20 }));
    assert_eq!(refusal(job.apply(&before).await).landed, Landed::Maybe);
    cluster.control(json!({ "lose_reply": 0 }));
    let changes = cluster.changes();
    let fault = refusal(job.apply(&before).await);
    assert!(fault.landed == Landed::No && fault.cause.contains("BackoffLimitExceeded"), "{fault}");
    assert!(fault.cause.contains("two: it's broken") && fault.cause.contains("kubectl delete"), "{fault}");
    assert_eq!(cluster.changes(), changes, "a Job that was made is not made again");
    assert!(matches!(job.probe(&before).await.unwrap(), Probe::CannotTell(_)));
    cluster.kubectl(&["delete", before["job"].as_str().unwrap()]);

    cluster.control(json!({ "jobs": "run" }));
    let mut slow = cluster.room("kubernetes.job", json!({ "file": "job.yaml" }));
    slow.timeout = Duration::from_secs(4);
    let before = slow.before().await.unwrap();
    let fault = refusal(slow.apply(&before).await);
    assert!(fault.landed == Landed::Maybe && fault.cause.contains("still runs"), "{fault}");
    assert!(matches!(slow.probe(&before).await.unwrap(), Probe::CannotTell(why) if why.contains("still runs")));
    // A driver that comes later waits for it, but not longer than the step may take.
    let none = Map::new();
    let earlier = slow.action.earlier.unwrap();
    slow.timeout = Duration::from_millis(1);
    let found = earlier(&slow.ctx(&none), &before).await.unwrap();
    assert!(matches!(found, Earlier::CannotTell { .. }), "its time is up: {found:?}");
    slow.timeout = Duration::from_secs(600);
    assert_eq!(earlier(&slow.ctx(&none), &before).await.unwrap(), Earlier::Running);
    cluster.control(json!({ "jobs": "complete" }));
    cluster.kubectl(&["wait", "--for=condition=complete", before["job"].as_str().unwrap(), "--timeout=20s"]);
    let found = earlier(&slow.ctx(&none), &before).await.unwrap();
    assert!(matches!(found, Earlier::CannotTell { gone: true, .. }), "it ended: {found:?}");
    assert!(matches!(slow.probe(&before).await.unwrap(), Probe::There(_)));
}

/// What a person types ends as the tool ends, and its way back too.
#[test]
fn typed_by_hand_the_commands_do_the_same() {
    let cluster = Cluster::up();
    let room = tempfile::tempdir().unwrap();
    std::fs::copy(cluster.path("plan.yaml"), room.path().join("plan.yaml")).unwrap();
    let typed = |step: &str, action: &str, with: Value, undo: bool| {
        let mut target = cluster.target("east");
        target.connect.insert("kubeconfig".to_owned(), json!(cluster.path("kubeconfig")));
        let with = with.as_object().unwrap().clone();
        let call = Call { step, with: &with, target: Some(&target) };
        let action = drplan::actions::find(action).unwrap();
        let blocks = if undo { (action.undo_commands)(&call) } else { (action.commands)(&call) };
        let script: Vec<String> = blocks.into_iter().map(|b| b.script).collect();
        let path = format!("/usr/bin:{}", std::env::var("PATH").unwrap_or_default());
        let done =
            Command::new("sh").args(["-ec", &script.join("\n\n")]).current_dir(Path::new(room.path())).env("PATH", path).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        (done.status.success(), said)
    };
    let good = |step: &str, action: &str, with: Value, undo: bool| {
        let (good, said) = typed(step, action, with, undo);
        assert!(good, "{step}: {said}");
    };
    good("look", "kubernetes.check", json!({ "deployment": "api" }), false);
    good("nodes", "kubernetes.check", json!({ "nodes": 2 }), false);
    assert!(!typed("none", "kubernetes.check", json!({ "deployment": "none" }), false).0);
    let scale = json!({ "deployment": "api", "replicas": 3 });
    good("scale", "kubernetes.scale", scale.clone(), false);
    good("scale", "kubernetes.scale", scale.clone(), false);
    assert_eq!(cluster.at("deployment/api", ".spec.replicas"), "3");
    good("scale", "kubernetes.scale", scale.clone(), true);
    assert_eq!(cluster.at("deployment/api", ".spec.replicas"), "2");
    assert!(!typed("scale", "kubernetes.scale", scale, true).0, "it is not ours any more");
    good("patch", "kubernetes.patch", json!({ "resource": "configmap/settings", "patch": { "data": { "mode": "it's" } } }), false);
    assert_eq!(cluster.at("configmap/settings", ".data.mode"), "it's");
    good("job", "kubernetes.job", json!({ "from": "cronjob/restore" }), false);
    assert_eq!(cluster.at("job/drplan-job", ".status.succeeded"), "1");
}

/// A cluster, and an action on it.
struct Desk {
    action: &'static str,
    cluster: Cluster,
}

const TOKEN: &str = "token-of-the-lab";

impl Desk {
    fn of(action: &'static str) -> Desk {
        Desk { action, cluster: Cluster::up() }
    }

    /// The same step, reached at an address with a token.
    fn at(&self, at: &str, token: &str, with: Value) -> Room {
        let config = std::fs::read_to_string(self.cluster.path("kubeconfig")).unwrap();
        let name = format!("at-{}-{token}", at.replace(':', "-"));
        std::fs::write(self.cluster.path(&name), config.replace(&self.server(), at).replace(TOKEN, token)).unwrap();
        let mut room = self.cluster.room(self.action, with);
        let target = room.target.as_mut().unwrap();
        target.connect.insert("kubeconfig".to_owned(), json!(name));
        room
    }

    fn with(&self) -> Value {
        match self.action {
            "kubernetes.check" => json!({ "deployment": "api", "replicas": 2 }),
            "kubernetes.scale" => json!({ "deployment": "api", "replicas": 3 }),
            "kubernetes.rollout" => json!({ "deployment": "api", "image": { "app": "r/api:2" } }),
            "kubernetes.patch" => json!({ "resource": "configmap/settings", "patch": { "data": { "mode": "drained" } } }),
            "kubernetes.apply" => json!({ "files": ["plan.yaml"] }),
            _ => json!({ "file": "job.yaml" }),
        }
    }

    fn get(&self, words: &[&str]) -> String {
        self.cluster.kubectl(&[&["get"], words].concat())
    }
}

#[async_trait]
impl Stand for Desk {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        match self.action {
            "kubernetes.check" => because(&EFFECT, READS),
            "kubernetes.rollout" => {
                because(&[Law::ByHand], "`kubectl rollout undo` goes back by revisions, which the stand-in does not keep")
            }
            "kubernetes.patch" => because(&[Law::ByHand], "its way back is an editor; another test types the way there"),
            "kubernetes.apply" => because(&[Law::ByHand], "`kubectl diff` wants more than the stand-in has"),
            "kubernetes.job" => {
                let mut out = because(&[Law::There], "a Job is the step's own: one that was there before it is refused");
                out.extend(because(&[Law::Undo, Law::Newer], "a Job that has run cannot be changed, nor taken back"));
                out.extend(because(&[Law::ByHand], "the Job that a person makes has another name"));
                out
            }
            _ => Vec::new(),
        }
    }

    fn room(&self, at: &str) -> Room {
        self.at(at, TOKEN, self.with())
    }

    fn server(&self) -> String {
        format!("127.0.0.1:{}", std::fs::read_to_string(self.cluster.path("port")).unwrap())
    }

    fn state(&self) -> String {
        let wishes = "--output=jsonpath={.spec.replicas} {.spec.template.spec.containers[*].image} {.status.readyReplicas}";
        let jobs = "--output=jsonpath={range .items[*]}{.metadata.name} {.status.succeeded};{end}";
        let maps = "--output=jsonpath={range .items[*]}{.metadata.name} {.data};{end}";
        [self.get(&["deployment/api", wishes]), self.get(&["configmaps", maps]), self.get(&["jobs", jobs])].join(" | ")
    }

    fn reset(&self) {
        let one = |k: &str, path: &str, patch: Value| self.cluster.control(json!({ k: { "path": path, "patch": patch } }));
        let containers = json!([{ "name": "app", "image": "r/api:1" }, { "name": "side", "image": "r/side:1" }]);
        one("meddle", API, json!({ "spec": { "replicas": 2, "template": { "spec": { "containers": containers } } } }));
        one("meddle", SETTINGS, json!({ "data": { "mode": "live", "other": "1" } }));
        self.cluster.kubectl(&["delete", "configmap/fresh", "--ignore-not-found"]);
        self.cluster.kubectl(&["delete", "jobs", "--all"]);
        self.cluster.kubectl(&["rollout", "status", "deployment/api", "--timeout=10s"]);
    }

    fn meddle(&self) {
        match self.action {
            "kubernetes.scale" => self.cluster.meddle(API, json!({ "spec": { "replicas": 1 } })),
            "kubernetes.rollout" => {
                let containers = json!([{ "name": "app", "image": "r/api:9" }, { "name": "side", "image": "r/side:1" }]);
                self.cluster.meddle(API, json!({ "spec": { "template": { "spec": { "containers": containers } } } }));
            }
            _ => self.cluster.meddle(SETTINGS, json!({ "data": { "mode": "hands off" } })),
        }
    }

    fn refused(&self) -> Room {
        self.at(&self.server(), "another-token", self.with())
    }

    fn absent(&self) -> Room {
        let with = match self.action {
            "kubernetes.check" => json!({ "deployment": "none" }),
            "kubernetes.scale" => json!({ "deployment": "none", "replicas": 3 }),
            "kubernetes.rollout" => json!({ "deployment": "none", "restart": true }),
            "kubernetes.patch" => json!({ "resource": "configmap/none", "patch": { "data": { "mode": "x" } } }),
            "kubernetes.apply" => json!({ "files": ["none.yaml"] }),
            _ => json!({ "from": "cronjob/none" }),
        };
        self.at(&self.server(), TOKEN, with)
    }

    fn secret(&self) -> String {
        TOKEN.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        let path = format!("/usr/bin:{}", std::env::var("PATH").unwrap_or_default());
        (self.room(&self.server()), vec![("PATH".to_owned(), path)])
    }
}

#[tokio::test]
async fn laws_of_check() {
    hold(&Desk::of("kubernetes.check")).await;
}

#[tokio::test]
async fn laws_of_scale() {
    hold(&Desk::of("kubernetes.scale")).await;
}

#[tokio::test]
async fn laws_of_rollout() {
    hold(&Desk::of("kubernetes.rollout")).await;
}

#[tokio::test]
async fn laws_of_patch() {
    hold(&Desk::of("kubernetes.patch")).await;
}

#[tokio::test]
async fn laws_of_apply() {
    hold(&Desk::of("kubernetes.apply")).await;
}

#[tokio::test]
async fn laws_of_job() {
    hold(&Desk::of("kubernetes.job")).await;
}
