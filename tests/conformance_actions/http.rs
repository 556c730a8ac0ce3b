//! `http.call` against a real web server: what is sent, what each answer means, and what a person types sends the same.

use std::process::Command;
use std::time::Duration;

use drplan::actions::{self, Call, Probe};
use drplan::world::readonly::behind_glass;
use drplan::world::{Landed, World};
use serde_json::{Map, Value, json};

use super::room::{Room, refusal};
use super::sink::Sink;

fn call(with: Value) -> Room {
    Room::new("http.call", with, None, "/nonexistent")
}

pub async fn got(sink: &Sink, path: &str) -> Value {
    let found = Room::new("http.check", json!({ "url": format!("{}{path}", sink.web) }), None, "/nonexistent").read().await.unwrap();
    found["json"].clone()
}

async fn sent(sink: &Sink) -> Vec<Value> {
    got(sink, "/_sent").await.as_array().unwrap().clone()
}

#[tokio::test]
async fn what_is_sent_is_what_the_plan_says_with_the_key_of_the_step() {
    let sink = Sink::up();
    let url = format!("{}/echo", sink.web);
    let with = json!({ "url": url, "method": "PUT", "headers": { "X-A": "b" }, "json": { "to": ["x", 1, null] }, "expect": { "status": 200, "json": { "method": "PUT" } } });
    let found = call(with).apply(&Value::Null).await.unwrap();
    let echo = &found["json"];
    assert_eq!((&echo["body"], &echo["headers"]["x-a"]), (&json!("{\"to\":[\"x\",1,null]}"), &json!("b")), "{echo:#}");
    assert_eq!(echo["headers"]["content-type"], "application/json");
    assert_eq!(echo["headers"]["idempotency-key"], "run/step", "the same at every attempt");
    assert!(found["ms"].is_u64() && found["status"] == 200, "{found:?}");
    let with = json!({ "url": url, "body": "plain", "headers": { "content-TYPE": "text/x", "x-key": "mine" }, "key_header": "X-Key" });
    let echo = call(with).apply(&Value::Null).await.unwrap()["json"].clone();
    assert_eq!((&echo["method"], &echo["body"], &echo["headers"]["content-type"]), (&json!("POST"), &json!("plain"), &json!("text/x")));
    assert_eq!((&echo["headers"]["x-key"], &echo["headers"]["idempotency-key"]), (&json!("mine"), &Value::Null), "{echo:#}");
    for with in [json!({ "url": url, "key_header": "none" }), json!({ "url": url, "method": "GET" })] {
        assert_eq!(call(with).apply(&Value::Null).await.unwrap()["json"]["headers"]["idempotency-key"], Value::Null);
    }
}

#[tokio::test]
async fn twice_with_one_key_is_once() {
    let sink = Sink::up();
    let room = call(json!({ "url": format!("{}/once", sink.web), "expect": { "json": { "done": 1 } } }));
    for _ in 0..2 {
        room.apply(&Value::Null).await.unwrap();
    }
    assert!(matches!(room.probe(&Value::Null).await.unwrap(), Probe::CannotTell(_)));
    assert_eq!(sent(&sink).await.len(), 2, "its probe asks nobody");
}

#[tokio::test]
async fn a_no_is_a_no_and_what_nobody_knows_is_unknown() {
    let sink = Sink::up();
    let (no, maybe) = (Landed::No, Landed::Maybe);
    let table = [
        ("/status/404", json!({}), no, "it answered with status 404"),
        ("/status/429", json!({}), no, "it answered with status 429"),
        ("/status/401", json!({}), no, "it answered with status 401"),
        ("/elsewhere", json!({}), no, "no redirect is followed"),
        ("/status/200", json!({ "json": { "ok": true } }), no, "`ok`"),
        ("/status/200", json!({ "status": 201 }), no, "status is 201"),
        ("/status/500", json!({}), maybe, "status 500, after the request was sent"),
        ("/status/503", json!({ "status": 200 }), maybe, "status 503, after the request was sent"),
        ("/lost", json!({}), maybe, "broke before the whole answer came"),
        ("/cut", json!({}), maybe, "broke before the whole answer came"),
        ("/garbage", json!({}), maybe, "broke before the whole answer came"),
        ("/silent", json!({}), maybe, "did not answer in 300 ms"),
        ("/huge", json!({ "json": { "ok": true } }), maybe, "longer than what is read"),
    ];
    for (path, expect, landed, words) in table {
        let with = json!({ "url": format!("{}{path}", sink.web), "expect": expect, "timeout": "300ms" });
        let fault = refusal(call(with).apply(&Value::Null).await);
        assert_eq!((fault.landed, fault.unreachable), (landed, false), "{path}: {fault}");
        assert!(fault.cause.contains(words), "{path}: {fault}");
    }
    // The one thing that was done without an answer was done.
    assert_eq!(got(&sink, "/once").await["done"], 2);
    // A long answer of which nothing is asked is an answer; a status that is named is wanted.
    for (path, expect) in [("/huge", json!({})), ("/status/404", json!({ "status": 404 })), ("/status/503", json!({ "status": 503 }))] {
        let found = call(json!({ "url": format!("{}{path}", sink.web), "expect": expect })).apply(&Value::Null).await.unwrap();
        assert!(found["status"].is_u64(), "{path}");
    }
    let fault = refusal(call(json!({ "url": "http://127.0.0.1:1/" })).apply(&Value::Null).await);
    assert!(fault.unreachable && fault.landed == no, "{fault}");
    let mut hurried = call(json!({ "url": format!("{}/silent", sink.web) }));
    hurried.timeout = Duration::from_millis(200);
    assert!(refusal(hurried.apply(&Value::Null).await).cause.contains("did not answer in 200 ms"));
}

#[tokio::test]
async fn a_secret_that_comes_back_is_not_kept() {
    let sink = Sink::up();
    let with = json!({ "url": format!("{}/echo", sink.web), "headers": { "Authorization": "Bearer s3cret-token" }, "json": { "key": "s3cret-token" } });
    let mut room = call(with.clone());
    room.secrets = vec!["s3cret-token".to_owned()];
    let found = room.apply(&Value::Null).await.unwrap();
    assert!(!found.contains_key("json") && !json!(found).to_string().contains("s3cret"), "{found:?}");
    room.with.insert("expect".to_owned(), json!({ "body": "x" }));
    let fault = refusal(room.apply(&Value::Null).await);
    assert!(!fault.cause.contains("s3cret") && fault.cause.contains("the body"), "{fault}");
    assert!(sent(&sink).await[0]["headers"]["authorization"] == "Bearer s3cret-token", "it was sent all the same");
}

/// A world through glass.
fn glass(room: &mut Room) -> World {
    let world = behind_glass(&room.world, true);
    std::mem::replace(&mut room.world, world)
}

#[tokio::test]
async fn a_dry_run_sends_nothing_that_could_change_something() {
    let sink = Sink::up();
    let mut room = call(json!({ "url": format!("{}/once", sink.web) }));
    glass(&mut room);
    let before = room.before().await.unwrap();
    let preview = room.preview(&before).await.unwrap();
    assert_eq!((preview[0].what.as_str(), preview[0].new.clone()), ("request", format!("POST {}/once", sink.web)));
    assert!(refusal(room.apply(&before).await).cause.contains("a dry run does not send POST"));
    assert!(sent(&sink).await.is_empty());
    let dry = |with: Value| (room.action.dry)(with.as_object().unwrap());
    assert_eq!(dry(json!({ "method": "GET" })), actions::Dry::Looks);
    assert_eq!(dry(json!({ "method": "POST" })), actions::Dry::Never);
}

/// What a person types sends what the program sends.
#[tokio::test]
async fn typed_by_hand() {
    let sink = Sink::up();
    let with = json!({
        "url": format!("{}/echo", sink.web),
        "method": "PATCH",
        "headers": { "X-Quote": "it's \"so\"", "Authorization": "Bearer ${secrets.pg}" },
        "json": { "a \"b\"": ["it's", "${secrets.pg}", 1], "empty": {}, "": [] },
        "expect": { "status": 200 }
    });
    let with: Map<String, Value> = with.as_object().unwrap().clone();
    let action = actions::find("http.call").unwrap();
    let block = &(action.commands)(&Call { step: "tell-them", with: &with, target: None })[0];
    let secret = "x\"y\\z'; exit 9";
    let done = Command::new("/bin/sh").args(["-c", &block.script]).env("SECRET_PG", secret).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{}\n{said}{}", block.script, String::from_utf8_lossy(&done.stderr));
    let echo: Value = serde_json::from_str(said.rsplit_once("\n200\n").unwrap().0).unwrap();
    let body: Value = serde_json::from_str(echo["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({ "a \"b\"": ["it's", secret, 1], "empty": {}, "": [] }));
    assert_eq!(echo["headers"]["authorization"], format!("Bearer {secret}"));
    assert_eq!((&echo["headers"]["x-quote"], &echo["method"]), (&json!("it's \"so\""), &json!("PATCH")));
    assert!(echo["headers"]["idempotency-key"].as_str().unwrap().starts_with("tell_them_key-2"), "{echo}");
    // A status that is not wanted, and no server, are failures there too.
    for url in [format!("{}/status/404", sink.web), format!("{}/lost", sink.web), "http://127.0.0.1:1/".to_owned()] {
        let with: Map<String, Value> = json!({ "url": url }).as_object().unwrap().clone();
        let block = &(action.commands)(&Call { step: "s", with: &with, target: None })[0];
        assert!(!Command::new("/bin/sh").args(["-c", &block.script]).output().unwrap().status.success(), "{url}");
    }
}
