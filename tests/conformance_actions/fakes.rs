//! `http.check`, `command` and `wait` in a world that answers as it is told, with a clock that nobody waits for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use drplan::actions::{Call, Earlier, Probe};
use drplan::world::{Answer, Clock, Command, Exit, Fault, Found, Http, Landed, Process, Request, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::room::{Room, refusal};

#[derive(Default)]
struct Time(Mutex<Duration>);

#[async_trait]
impl Clock for Time {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + *self.0.lock().unwrap()
    }
    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }
    async fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

/// Answers in order; the last one for ever.
struct Server(Mutex<VecDeque<Answer<Response>>>, Mutex<Vec<Request>>);

#[async_trait]
impl Http for Server {
    async fn send(&self, request: &Request) -> Answer<Response> {
        self.1.lock().unwrap().push(request.clone());
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    }
}

struct Programs(Answer<Exit>, Mutex<Vec<Command>>);

#[async_trait]
impl Process for Programs {
    async fn run(&self, command: &Command) -> Answer<Exit> {
        self.1.lock().unwrap().push(command.clone());
        self.0.clone()
    }
    async fn ask(&self, _: &Command) -> Answer<Exit> {
        self.0.clone()
    }
    async fn find(&self, _: &str) -> Answer<Found> {
        self.0.clone().map(Found::Ended)
    }
    fn which(&self, program: &str) -> Option<String> {
        (program == "known").then(|| "/usr/bin/known".to_owned())
    }
}

fn said(status: u16, body: &str) -> Answer<Response> {
    Ok(Response {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_owned(),
        truncated: false,
    })
}

fn room(name: &str, with: Value, answers: Vec<Answer<Response>>) -> (Room, Arc<Server>, Arc<Time>) {
    let mut room = Room::new(name, with, None, "/plan");
    let (server, time) = (Arc::new(Server(Mutex::new(answers.into()), Mutex::default())), Arc::new(Time::default()));
    room.world.http = server.clone();
    room.world.clock = time.clone();
    (room, server, time)
}

async fn http(with: Value, answer: Answer<Response>) -> Answer<Map<String, Value>> {
    room("http.check", with, vec![answer]).0.read().await
}

const URL: &str = "http://app/healthz";

#[tokio::test]
async fn an_answer_is_judged_in_all_its_parts() {
    let expect = json!({ "status": 200, "json": { "db.writable": true }, "headers": { "Content-Type": { "contains": "json" } }, "body": { "contains": "db" } });
    let with = json!({ "url": URL, "expect": expect });
    let found = http(with.clone(), said(200, r#"{"db": {"writable": true}}"#)).await.unwrap();
    assert_eq!((&found["status"], &found["reachable"], &found["json"]["db"]["writable"]), (&json!(200), &json!(true), &json!(true)));
    let fault = refusal(http(with.clone(), said(503, r#"{"db": {"writable": false}}"#)).await);
    assert_eq!(fault.cause, "wanted: status is 200; found 503; wanted: `db.writable` is true; found false");
    assert!(refusal(http(with, said(200, "the db is fine")).await).cause.contains("the body is not JSON"));
    assert!(http(json!({ "url": URL }), said(500, "")).await.is_ok(), "without `expect` any answer passes");
}

#[tokio::test]
async fn what_was_cut_off_or_did_not_come_is_never_a_pass() {
    let cut = Ok(Response { status: 200, body: "good".to_owned(), truncated: true, ..Response::default() });
    let with = json!({ "url": URL, "expect": { "body": { "not": "bad" } } });
    assert!(refusal(http(with, cut).await).cause.contains("longer than what is read"));
    assert!(http(json!({ "url": URL }), Err(Fault::unreachable("refused"))).await.is_err());
    let silent = json!({ "url": URL, "expect": { "reachable": false } });
    for fault in [Fault::unreachable("refused"), Fault::lost("timed out")] {
        assert_eq!(http(silent.clone(), Err(fault)).await.unwrap()["reachable"], json!(false));
    }
    assert_eq!(refusal(http(silent, said(503, "")).await).cause, "wanted: nothing answers; found status 503");
}

#[tokio::test]
async fn a_wait_polls_until_it_holds_and_says_what_was_missing() {
    let until = |more: Value| {
        let mut with = json!({ "until": { "uses": "http.check", "with": { "url": URL, "expect": { "status": 200 } } }, "every": "2s" });
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with
    };
    let (wait, server, _) = room("wait", until(json!({})), vec![said(503, ""), Err(Fault::unreachable("refused")), said(200, "")]);
    let found = wait.read().await.unwrap();
    assert_eq!((&found["waited"], &found["found"]["status"], server.1.lock().unwrap().len()), (&json!("4s"), &json!(200), 3));
    let (mut wait, ..) = room("wait", until(json!({})), vec![said(503, "")]);
    wait.timeout = Duration::from_secs(20);
    assert_eq!(refusal(wait.read().await).cause, "it did not hold within 20s: wanted: status is 200; found 503");
    let (wait, _, time) = room("wait", until(json!({ "holds_for": "10s" })), vec![said(503, ""), said(200, "")]);
    wait.read().await.unwrap();
    assert_eq!(time.elapsed(), Duration::from_secs(12));
    let (wait, ..) = room("wait", until(json!({ "holds_for": "10s" })), vec![said(200, ""), said(200, ""), said(503, "")]);
    assert!(refusal(wait.read().await).cause.starts_with("it held for 4s and then no more: wanted: status is 200"));
    let (wait, _, time) = room("wait", json!({ "for": "10m" }), vec![said(200, "")]);
    assert_eq!((wait.read().await.unwrap()["waited"].clone(), time.elapsed().as_secs()), (json!("10m"), 600));
}

async fn command(
    with: Value,
    exit: Answer<Exit>,
    outputs: Value,
    secrets: &[String],
) -> (Answer<Map<String, Value>>, Command, Earlier, Probe) {
    let mut room = Room::new("command", with, None, "/plan");
    let programs = Arc::new(Programs(exit, Mutex::default()));
    room.world.process = programs.clone();
    let outputs = outputs.as_object().unwrap().clone();
    let mut ctx = room.ctx(&outputs);
    ctx.secrets = secrets;
    let answer = (room.action.apply)(&ctx, &Value::Null).await;
    let earlier = (room.action.earlier.expect("a command outlives its driver"))(&ctx, &Value::Null).await;
    let probe = (room.action.probe)(&ctx, &Value::Null).await;
    let ran = programs.1.lock().unwrap().pop().unwrap();
    (answer, ran, earlier.unwrap_or(Earlier::Running), probe.unwrap_or(Probe::NotThere))
}

fn exit(code: i32, stdout: &str, stderr: &str) -> Answer<Exit> {
    Ok(Exit { code: Some(code), stdout: stdout.to_owned(), stderr: stderr.to_owned(), ..Exit::default() })
}

#[tokio::test]
async fn a_command_runs_where_and_as_it_is_told() {
    let with = json!({ "argv": ["./replay", "--days", "7"], "cwd": "jobs", "env": { "A": "b" }, "stdin": "in" });
    let (answer, ran, ..) = command(with, exit(0, "", ""), json!({}), &[]).await;
    assert_eq!(answer.unwrap()["exit"], json!(0));
    assert_eq!((ran.argv[0].as_str(), ran.cwd.as_deref(), ran.stdin.as_deref()), ("/plan/jobs/replay", Some("/plan/jobs"), Some("in")));
    assert_eq!((ran.env["A"].as_str(), ran.ticket.as_str(), ran.timeout_ms), ("b", "run/step/1", Some(60_000)));
    let (_, ran, ..) = command(json!({ "argv": ["known"] }), exit(0, "", ""), json!({}), &[]).await;
    assert_eq!((ran.argv[0].as_str(), ran.cwd.as_deref()), ("known", Some("/plan")));
}

#[tokio::test]
async fn its_end_is_a_yes_a_no_or_unknown() {
    let with = json!({ "argv": ["known"], "exit": { "one_of": [0, 2] } });
    let (answer, _, earlier, probe) = command(with.clone(), exit(2, "", ""), json!({}), &[]).await;
    assert_eq!(answer.as_ref().unwrap()["exit"], json!(2));
    assert_eq!((earlier, probe), (Earlier::Ended(answer.clone()), Probe::There(answer.unwrap())));
    let (answer, _, earlier, probe) = command(with.clone(), exit(1, "", "disk full\n"), json!({}), &[]).await;
    let fault = refusal(answer);
    assert_eq!((fault.landed, fault.cause.as_str()), (Landed::No, "wanted: exit code is one of [0,2]; found 1; it said: disk full"));
    assert!(matches!((earlier, probe), (Earlier::Ended(Err(_)), Probe::CannotTell(_))));
    for ended in [Exit { signal: Some(9), ..Exit::default() }, Exit { code: Some(0), timed_out: true, ..Exit::default() }, Exit::default()]
    {
        assert_eq!(refusal(command(with.clone(), Ok(ended), json!({}), &[]).await.0).landed, Landed::Maybe);
    }
}

#[tokio::test]
async fn its_outputs_are_found_and_typed_or_it_has_failed() {
    let with = json!({ "argv": ["known"] });
    let outputs = json!({ "n": { "type": "int", "json": "a.0.n" }, "at": { "type": "time", "pattern": "at\":\"([^\"]+)" } });
    let good = r#"{"a": [{"n": 7}], "at":"2026-11-21T03:00:00Z"}"#;
    let found = command(with.clone(), exit(0, good, ""), outputs.clone(), &[]).await.0.unwrap();
    assert_eq!((&found["n"], &found["at"]), (&json!(7), &json!("2026-11-21T03:00:00Z")));
    for (said, words) in
        [("{}", "output `at` is not there"), ("no", "output `at` is not there"), (r#"{"at":"soon"}"#, "is not of type time")]
    {
        assert!(refusal(command(with.clone(), exit(0, said, ""), outputs.clone(), &[]).await.0).cause.contains(words), "{said}");
    }
    let cut = Ok(Exit { code: Some(0), stdout: good.to_owned(), truncated: true, ..Exit::default() });
    assert!(refusal(command(with, cut, outputs, &[]).await.0).cause.contains("said more than is kept"));
}

#[tokio::test]
async fn what_it_said_is_not_kept_if_it_was_given_a_secret() {
    let with = json!({ "argv": ["known"], "env": { "TOKEN": "hunter2hunter2" } });
    let secrets = ["hunter2hunter2".to_owned()];
    let (answer, ran, ..) = command(with, exit(1, "", "bad token hunter2hunter2"), json!({}), &secrets).await;
    let fault = refusal(answer);
    assert!(!fault.cause.contains("hunter2") && fault.cause.contains("not kept"), "{fault}");
    assert_eq!(ran.secrets, secrets);
}

#[tokio::test]
async fn a_dry_run_finds_the_program_and_starts_nothing() {
    for (argv, good) in [(json!(["known", "x"]), true), (json!(["unknown"]), false), (json!(["./missing"]), false)] {
        let mut room = Room::new("command", json!({ "argv": argv }), None, "/plan");
        let programs = Arc::new(Programs(exit(0, "", ""), Mutex::default()));
        room.world.process = programs.clone();
        assert_eq!(room.preview(&Value::Null).await.is_ok(), good);
        assert!(programs.1.lock().unwrap().is_empty());
    }
}

/// sh, curl and a real answer: the block's end says whether what sh can judge holds.
#[test]
fn typed_by_hand_a_check_ends_as_it_should() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 2048]);
            let body = r#"{"db":{"writable":true},"n":5,"at":"us-west-2","v":"1x2"}"#;
            let _ = std::io::Write::write_all(
                &mut stream,
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).as_bytes(),
            );
        }
    });
    let silent = "http://127.0.0.1:1/".to_owned();
    for (url, expect, good) in [
        (&url, json!({ "status": 200, "json": { "db.writable": true, "n": 5 } }), true),
        (&url, json!({ "status": 503 }), false),
        (&url, json!({ "status": 503, "json": { "db.writable": true } }), false),
        (&url, json!({ "json": { "db.writable": false } }), false),
        (&url, json!({ "json": { "n": 55 } }), false),
        (&url, json!({ "json": { "at": "us-west-2" } }), true),
        (&url, json!({ "json": { "at": "us-west" } }), false),
        (&url, json!({ "json": { "v": "1.2" } }), false),
        (&url, json!({ "reachable": false }), false),
        (&silent, json!({ "reachable": false }), true),
        (&silent, json!({}), false),
    ] {
        let with = json!({ "url": url, "expect": expect, "headers": { "X-Secret": "${secrets.x}" } }).as_object().unwrap().clone();
        let action = drplan::actions::find("http.check").unwrap();
        let script = &(action.commands)(&Call { step: "s", with: &with, target: None })[0].script;
        let done = std::process::Command::new("sh").args(["-c", script]).env("SECRET_X", "y").output().unwrap();
        assert_eq!(done.status.success(), good, "{expect}: {script}\n{}", String::from_utf8_lossy(&done.stdout));
    }
}
