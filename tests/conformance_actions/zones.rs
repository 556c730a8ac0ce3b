//! Weights and health checks of Route 53, on the lab's stub in front of moto. The test that starts both runs this file again:
//! credentials come from the environment, and a process cannot change its own.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use drplan::actions::{AssetKind, Call, Probe};
use drplan::world::{Answer, Http, Landed, Request, Response};
use serde_json::{Value, json};

use super::cloud::Quick;
use super::owned::{Owned, free_port};
use super::room::{Room, refusal};
use super::stands::target;

/// Says to the test inside at which endpoint and zone.
const INSIDE: &str = "DRPLAN_TEST_ZONE";

const KEYS: [(&str, &str); 4] = [
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "lab"),
    ("AWS_SECRET_ACCESS_KEY", "lab-secret-key"),
    ("AWS_REGION", "us-east-1"),
];

/// moto and the stub in front of it.
pub struct Aws {
    _servers: Vec<Owned>,
    dir: tempfile::TempDir,
    pub endpoint: String,
    pub zone: String,
}

/// Where the lab keeps what it installed.
pub fn cache() -> String {
    let home = || {
        format!("{}/drplan-lab", std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap())))
    };
    std::env::var("DRPLAN_LAB_CACHE").unwrap_or_else(|_| home())
}

impl Aws {
    pub fn up() -> Aws {
        let dir = tempfile::tempdir().unwrap();
        let (moto, stub) = (free_port(), free_port());
        let (moto_word, stub_word, venv) = (moto.to_string(), stub.to_string(), format!("{}/venv/bin", cache()));
        let log = |name: &str| dir.path().join(name);
        let program = format!("{venv}/moto_server");
        let ready = || curl(&[&format!("http://127.0.0.1:{moto}/moto-api/")]).0;
        let one = Owned::start(&[&program, "-H", "127.0.0.1", "-p", &moto_word], &log("moto.log"), ready);
        let endpoint = format!("http://127.0.0.1:{stub}");
        let (program, script) = (format!("{venv}/python"), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/r53stub.py"));
        let ready = || curl(&[&format!("{endpoint}/_control")]).0;
        let two = Owned::start(&[&program, script, &stub_word, &moto_word, "0.2"], &log("stub.log"), ready);
        let mut aws = Aws { _servers: vec![one, two], dir, endpoint, zone: String::new() };
        let made = aws.post("hostedzone", "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>example.test</Name><CallerReference>x</CallerReference></CreateHostedZoneRequest>");
        aws.zone = made.split("<Id>/hostedzone/").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let set = |id: &str, weight: u32, value: &str| {
            format!(
                "<Change><Action>CREATE</Action><ResourceRecordSet><Name>shop.example.test</Name><Type>CNAME</Type><SetIdentifier>{id}</SetIdentifier><Weight>{weight}</Weight><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change>"
            )
        };
        let alias = "<Change><Action>CREATE</Action><ResourceRecordSet><Name>alias.example.test</Name><Type>A</Type><SetIdentifier>lb-a</SetIdentifier><Weight>7</Weight><AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>elb.example.com.</DNSName><EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget><HealthCheckId>h-1</HealthCheckId></ResourceRecordSet></Change>";
        let plain = "<Change><Action>CREATE</Action><ResourceRecordSet><Name>plain.example.test</Name><Type>A</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change>";
        let batch = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>{}{}{}{alias}{plain}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>",
            set("lb-a", 100, "a.example.com"),
            set("lb-b", 0, "b.example.com"),
            set("third", 5, "c.example.com")
        );
        aws.post(&format!("hostedzone/{}/rrset", aws.zone), &batch);
        let check = aws.post("healthcheck", "<CreateHealthCheckRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><CallerReference>x</CallerReference><HealthCheckConfig><Type>HTTP</Type><Port>80</Port><FullyQualifiedDomainName>a.example.com</FullyQualifiedDomainName></HealthCheckConfig></CreateHealthCheckRequest>");
        let id = check.split("<Id>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        std::fs::write(aws.dir.path().join("check"), id).unwrap();
        aws
    }

    /// Id of its health check.
    pub fn check(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("check")).unwrap()
    }

    fn post(&self, path: &str, body: &str) -> String {
        let auth =
            "Authorization: AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/route53/aws4_request, SignedHeaders=host, Signature=0";
        let url = format!("{}/2013-04-01/{path}", self.endpoint);
        let (good, said) = curl(&["-H", auth, "-H", "Content-Type: text/xml", "--data", body, &url]);
        assert!(good && !said.contains("ErrorResponse"), "{path}: {said}");
        said
    }
}

/// Whether `curl` got an answer that says yes, and what it says.
pub fn curl(args: &[&str]) -> (bool, String) {
    let done = Command::new("curl").args(["-fsS", "-m", "10"]).args(args).output().expect("curl is installed");
    (done.status.success(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
}

#[test]
fn in_a_zone() {
    let aws = Aws::up();
    let check = aws.check();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "zones::inside_a_zone", "--nocapture"]).envs(KEYS).env(INSIDE, format!("{} {} {check}", aws.endpoint, aws.zone));
    assert!(again.status().unwrap().success(), "see above");
}

fn inside() -> Option<[String; 3]> {
    let said = std::env::var(INSIDE).ok()?;
    said.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().ok()
}

fn room(action: &str, with: Value, record: &str, kind: &str) -> Room {
    let [endpoint, zone, _] = inside().unwrap();
    let connect = json!({ "zone": zone, "record": record, "type": kind, "endpoint": endpoint });
    Room::new(action, with, Some(target(AssetKind::Route53, connect)), "/nonexistent")
}

fn control(order: &str) -> Value {
    let (good, said) = curl(&["--data", order, &format!("{}/_control", inside().unwrap()[0])]);
    assert!(good, "{said}");
    serde_json::from_str(&said).unwrap()
}

/// The weights, as the stub has them.
fn weights(record: &str) -> String {
    let state = control("{}");
    let sets = state["record_sets"][&inside().unwrap()[1]].as_array().unwrap();
    let ours = sets.iter().filter(|s| s["Name"] == json!(format!("{record}.")));
    ours.filter_map(|s| Some(format!("{} {}", s["SetIdentifier"].as_str()?, s["Weight"].as_str()?))).collect::<Vec<_>>().join(", ")
}

/// Somebody else sets a weight.
fn meddle(id: &str, weight: u32) {
    let [endpoint, zone, _] = inside().unwrap();
    let set = format!(
        r#"{{"Changes":[{{"Action":"UPSERT","ResourceRecordSet":{{"Name":"shop.example.test","Type":"CNAME","SetIdentifier":"{id}","Weight":{weight},"TTL":60,"ResourceRecords":[{{"Value":"{}.example.com"}}]}}}}]}}"#,
        id.trim_start_matches("lb-")
    );
    let aws = Command::new(format!("{}/bin/aws", cache()));
    let mut aws = aws;
    let done = aws
        .args(["route53", "change-resource-record-sets", "--endpoint-url", &endpoint, "--hosted-zone-id", &zone, "--change-batch", &set])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Good so many times, then bad.
struct Guard(std::sync::Mutex<u32>);

#[async_trait]
impl Http for Guard {
    async fn send(&self, _: &Request) -> Answer<Response> {
        let mut left = self.0.lock().unwrap();
        let status = if *left > 0 { 200 } else { 503 };
        *left = left.saturating_sub(1);
        Ok(Response { status, ..Response::default() })
    }
}

fn guarded(good: u32) -> (Room, Arc<Quick>) {
    let guard = json!({ "uses": "http.check", "with": { "url": "http://app/healthz", "expect": { "status": 200 } } });
    let with = json!({ "to": { "lb-a": 0, "lb-b": 100 }, "paces": [10, 50, 100], "every": "2m", "guard": guard });
    let mut room = room("route53.weight", with, "shop.example.test", "CNAME");
    let clock = Arc::new(Quick::of(&room));
    room.world.clock = clock.clone();
    room.world.http = Arc::new(Guard(std::sync::Mutex::new(good)));
    (room, clock)
}

/// Not a test by itself: see `in_a_zone`.
#[tokio::test]
async fn inside_a_zone() {
    let Some([_, _, check]) = inside() else { return };
    const START: &str = "lb-a 100, lb-b 0, third 5";

    // Pace by pace, each in sync before the next, and back from the end.
    let (shift, clock) = guarded(3);
    let before = shift.before().await.unwrap();
    assert_eq!(shift.probe(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(shift.preview(&before).await.unwrap().len(), 2);
    assert!(shift.written().is_empty());
    let outputs = shift.apply(&before).await.unwrap();
    assert_eq!((&outputs["old"], &outputs["new"]), (&json!("lb-a: 100, lb-b: 0"), &json!("lb-a: 0, lb-b: 100")));
    let sent = shift.written();
    assert!(sent.len() == 3 && sent[0].contains("weight: 90") && sent[1].contains("weight: 50"), "{sent:?}");
    assert!(clock.slept() >= Duration::from_secs(240), "two pauses");
    assert!(matches!(shift.probe(&before).await.unwrap(), Probe::There(_)));
    shift.apply(&before).await.unwrap();
    assert!(shift.written().is_empty(), "a second attempt");
    assert_eq!(shift.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(weights("shop.example.test"), START);
    shift.written();
    assert_eq!(shift.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(shift.written().is_empty(), "a second undo");

    // A guard that does not hold before the third pace: the weights go back by themselves, and the step has failed.
    let (shift, _) = guarded(2);
    let fault = refusal(shift.apply(&before).await);
    assert!(fault.landed == Landed::No && fault.cause.contains("after 50 % of the way, and the weights are back"), "{fault}");
    assert_eq!(weights("shop.example.test"), START);
    let (shift, _) = guarded(0);
    assert!(refusal(shift.apply(&before).await).cause.contains("nothing was shifted"));
    assert!(shift.written().is_empty());

    // A reply that is lost at the second pace: the way is half gone, and the next attempt ends it.
    for (order, landed) in [
        (r#"{"lose_reply": 1}"#, Landed::Maybe),
        (r#"{"break": 1}"#, Landed::Maybe),
        (r#"{"refuse": 1}"#, Landed::No),
        (r#"{"throttle": {"n": 1, "op": "ChangeResourceRecordSets"}}"#, Landed::No),
    ] {
        let (shift, _) = guarded(9);
        control(order);
        let fault = refusal(shift.apply(&before).await);
        assert_eq!(fault.landed, landed, "{order}: {fault}");
        let probe = shift.probe(&before).await.unwrap();
        match landed {
            Landed::Maybe => assert!(matches!(probe, Probe::CannotTell(why) if why.starts_with("10 % of the way")), "{order}"),
            Landed::No => assert_eq!(probe, Probe::NotThere, "{order}"),
        }
        shift.apply(&before).await.unwrap();
        assert_eq!(weights("shop.example.test"), "lb-a 0, lb-b 100, third 5");
        assert_eq!(shift.undo(&before).await.unwrap(), Probe::NotThere);
    }

    // Somebody's newer weight is theirs; one of a set that is not named is nobody's concern.
    meddle("third", 9);
    meddle("lb-b", 33);
    let (shift, _) = guarded(9);
    assert!(refusal(shift.apply(&before).await).cause.contains("none of this step's paces"));
    assert!(matches!(shift.probe(&before).await.unwrap(), Probe::Other(_)));
    assert!(matches!(shift.undo(&before).await.unwrap(), Probe::Other(_)));
    meddle("lb-b", 0);
    meddle("third", 5);
    // In the moment between the look and the change it is Route 53 that says so.
    let read = shift
        .world
        .dns
        .weighted(
            &drplan::world::AwsSettings { endpoint: inside().map(|i| i[0].clone()), ..Default::default() },
            &inside().unwrap()[1],
            "shop.example.test",
            "CNAME",
        )
        .await
        .unwrap();
    meddle("lb-a", 44);
    let changes = [
        drplan::world::DnsChange::DeleteWeighted(read[0].clone()),
        drplan::world::DnsChange::CreateWeighted(drplan::world::WeightedSet { weight: 1, ..read[0].clone() }),
    ];
    let settings = drplan::world::AwsSettings { endpoint: inside().map(|i| i[0].clone()), ..Default::default() };
    let fault = refusal(shift.world.dns.change(&settings, &inside().unwrap()[1], &changes, "x").await);
    assert!(fault.landed == Landed::No && fault.cause.contains("do not match the current values"), "{fault}");
    meddle("lb-a", 100);

    // An alias keeps where it leads and its health check.
    let alias = room("route53.weight", json!({ "to": { "lb-a": 0 } }), "alias.example.test", "A");
    let (before, _) = alias.lawful().await;
    let state = control("{}")["record_sets"].to_string();
    assert!(state.contains("h-1") && state.contains("elb.example.com"), "{state}");
    assert_eq!(alias.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(weights("alias.example.test"), "lb-a 7");
    for (record, kind, to, words) in [
        ("plain.example.test", "A", json!({ "lb-a": 0 }), "is not dealt out by weight"),
        ("shop.example.test", "CNAME", json!({ "none": 0 }), "has no set `none`: there are `lb-a, lb-b, third`"),
        ("none.example.test", "A", json!({ "lb-a": 0 }), "there is none"),
        ("shop.example.test", "CNAME", json!({ "lb-a": 256 }), "from 0 to 255"),
    ] {
        let fault = refusal(room("route53.weight", json!({ "to": to }), record, kind).before().await);
        assert!(fault.cause.contains(words), "{fault}");
    }
    health_checks(&check).await;
    typed(&check);
}

async fn health_checks(id: &str) {
    let set = |with: Value| room("route53.health_check", with, "shop.example.test", "CNAME");
    let turn = set(json!({ "health_check": id, "inverted": true }));
    let (before, outputs) = turn.lawful().await;
    assert_eq!((&outputs["inverted"], &outputs["disabled"]), (&json!(true), &json!(false)));
    // Another word of the same check is nobody's concern.
    let other = set(json!({ "health_check": id, "disabled": true }));
    let (theirs, _) = other.lawful().await;
    assert_eq!(turn.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(matches!(other.probe(&theirs).await.unwrap(), Probe::There(_)));
    assert_eq!(other.undo(&theirs).await.unwrap(), Probe::NotThere);
    // Somebody was faster: the version that was read is not the newest any more.
    let settings = drplan::world::AwsSettings { endpoint: inside().map(|i| i[0].clone()), ..Default::default() };
    let old = turn.world.dns.health_check(&settings, id).await.unwrap().unwrap();
    turn.apply(&before).await.unwrap();
    let fault = refusal(turn.world.dns.set_health_check(&settings, id, &old).await);
    assert!(fault.landed == Landed::No && fault.cause.contains("HealthCheckVersionMismatch"), "{fault}");
    assert_eq!(turn.undo(&before).await.unwrap(), Probe::NotThere);
    // Both words, and somebody turned one of them back.
    let both = set(json!({ "health_check": id, "inverted": true, "disabled": true }));
    let (before, _) = both.lawful().await;
    other.undo(&theirs).await.unwrap();
    assert!(matches!(both.probe(&before).await.unwrap(), Probe::Other(_)));
    assert!(matches!(both.undo(&before).await.unwrap(), Probe::Other(_)));
    turn.undo(&json!({ "version": 1, "inverted": false, "disabled": false })).await.unwrap();
    control(r#"{"lose_reply": {"n": 1, "op": "UpdateHealthCheck"}}"#);
    let before = turn.before().await.unwrap();
    assert_eq!(refusal(turn.apply(&before).await).landed, Landed::Maybe);
    assert!(matches!(turn.probe(&before).await.unwrap(), Probe::There(_)));
    assert_eq!(turn.undo(&before).await.unwrap(), Probe::NotThere);
    let none = set(json!({ "health_check": "00000000-0000-0000-0000-000000000000", "inverted": true }));
    assert!(refusal(none.before().await).cause.contains("there is no health check"));
}

/// What a person types does the same.
fn typed(check: &str) {
    let [endpoint, zone, _] = inside().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = format!("{}/bin:{}", cache(), std::env::var("PATH").unwrap_or_default());
    let typed = |step: &str, action: &str, with: Value, undo: bool| {
        let connect = json!({ "zone": zone, "record": "shop.example.test", "type": "CNAME", "endpoint": endpoint });
        let target = target(AssetKind::Route53, connect);
        let with = with.as_object().unwrap().clone();
        let call = Call { step, with: &with, target: Some(&target) };
        let action = drplan::actions::find(action).unwrap();
        let blocks = if undo { (action.undo_commands)(&call) } else { (action.commands)(&call) };
        for block in blocks {
            let done = Command::new("sh").args(["-ec", &block.script]).current_dir(dir.path()).env("PATH", &path).output().unwrap();
            assert!(
                done.status.success(),
                "{}{}\n{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr),
                block.script
            );
        }
    };
    let shift = json!({ "to": { "lb-a": 0, "lb-b": 100 }, "paces": [50, 100] });
    typed("shift", "route53.weight", shift.clone(), false);
    assert_eq!(weights("shop.example.test"), "lb-a 0, lb-b 100, third 5");
    typed("shift", "route53.weight", shift, true);
    assert_eq!(weights("shop.example.test"), "lb-a 100, lb-b 0, third 5");
    let turn = json!({ "health_check": check, "inverted": true });
    let inverted = || control("{}")["health_checks"][check]["HealthCheckConfig"]["Inverted"].clone();
    typed("turn", "route53.health_check", turn.clone(), false);
    assert_eq!(inverted(), json!("true"));
    typed("turn", "route53.health_check", turn, true);
    assert_eq!(inverted(), json!("false"));
}
