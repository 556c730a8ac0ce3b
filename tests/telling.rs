//! Contacts are told that a run waits for them: by real webhooks and real mail, again and again, and whoever comes next
//! when they do not answer. A run neither waits for that nor fails with it.

mod support {
    pub mod desk;
    pub mod sinks;
}

use std::process::Stdio;

use serde_json::Value;
use support::desk::{Desk, Said, said};
use support::sinks::Sink;

fn plan(contacts: &str) -> String {
    format!(
        r#"
drplan: v1
name: told
owner: ops
secrets: {{ hook: {{ env: HOOK }}, box: {{ env: BOX }} }}
contacts: {contacts}
tiers: {{ fast: {{ rto: 15m }} }}
assets: {{ app: {{ kind: other, tier: fast }} }}
scenarios:
  gone:
    cause: outage
    loses: {{ assets: [app] }}
    detect: 1m
    steps:
      - {{ id: gate, uses: approval, with: {{ ask: "Go on?", from: [ops, cto], count: 2 }}, takes: 1m }}
      - {{ id: act, asset: app, uses: command, with: {{ argv: [sh, -c, "echo acted >> out"] }}, takes: 1s, undo: {{ none: done }} }}
"#
    )
}

/// With the secrets that its contacts need.
fn say(desk: &Desk, hook: &str, smtp: &str, words: &[&str]) -> Said {
    let mut program = desk.program(words);
    program.env("HOOK", hook).env("BOX", "secret-box@example.com").env("DRPLAN_SMTP", smtp).env("DRPLAN_SMTP_FROM", "drplan@example.com");
    said(&mut program)
}

/// What somebody else says.
fn by(desk: &Desk, who: &str, words: &[&str]) -> Said {
    said(desk.program(words).env("DRPLAN_OPERATOR", format!("{who}@there")))
}

#[test]
fn whoever_may_approve_hears_what_is_asked_and_what_to_type() {
    let (hooks, mails) = (Sink::http(200), Sink::smtp(false));
    let hook = format!("http://{}/hook/s3cret-token-of-ops", hooks.at);
    let desk = Desk::new(&plan(r#"{ ops: { webhook: "${secrets.hook}" }, cto: { title: The CTO, email: "${secrets.box}" } }"#));
    let smtp = format!("smtp://{}", mails.at);
    let ran = say(&desk, &hook, &smtp, &["run", "--yes"]);
    assert_eq!(ran.code, Some(11), "{ran:?}");
    let (bodies, letters) = (hooks.all(), mails.all());
    assert_eq!((bodies.len(), letters.len()), (1, 1), "{bodies:?}{letters:?}{ran:?}");
    let body: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!((&body["plan"], &body["scenario"], &body["contact"]), (&"told".into(), &"gone".into(), &"ops".into()), "{body:#}");
    assert_eq!((&body["waits"][0]["step"], &body["waits"][0]["question"]), (&"gate".into(), &"Go on?".into()), "{body:#}");
    assert_eq!((&body["at_stake"][0]["asset"], &body["at_stake"][0]["rto_ms"]), (&"app".into(), &900_000.into()), "{body:#}");
    let left = body["at_stake"][0]["left_ms"].as_i64().unwrap();
    assert!((830_000..=840_000).contains(&left), "a minute of the fifteen is gone: {left}");
    assert!(letters[0].starts_with("RCPT TO:<secret-box@example.com>"), "{}", letters[0]);
    assert!(letters[0].contains("waits for The CTO") && letters[0].contains("From: drplan@example.com"), "{}", letters[0]);
    assert!(letters[0].contains("app must be back within 13m5"), "{}", letters[0]);
    // What it says is what is typed.
    for (command, who) in [(body["waits"][0]["commands"][0].as_str().unwrap().to_owned(), "ops"), (approve(&letters[0]), "cto")] {
        assert!(command.ends_with(&format!("--as {who}")), "{command}");
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        assert_eq!(by(&desk, who, &words).code, Some(0), "{command}");
    }
    let resumed = say(&desk, &hook, &smtp, &["resume", "--yes"]);
    assert_eq!((resumed.code, desk.text("out").as_str()), (Some(0), "acted\n"), "{resumed:?}");
    let log = desk.say(&["log", body["run"].as_str().unwrap(), "--json"]).out;
    for secret in ["s3cret-token-of-ops", "secret-box"] {
        for said in [&ran.out, &ran.err, &resumed.out, &resumed.err, &log] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// Steps that tell people, of which two are not heard.
#[test]
fn a_channel_that_is_gone_does_not_hold_up_a_recovery() {
    let (hooks, gone, mails) = (Sink::http(204), Sink::http(503), Sink::smtp(true));
    let steps = format!(
        r#"
      - {{ id: begin, phase: assess, uses: notify.webhook, with: {{ url: "${{secrets.hook}}", text: "run ${{run.id}} begins" }}, takes: 5s }}
      - {{ id: gone, uses: notify.webhook, with: {{ url: "http://{}/x", json: {{ about: "${{steps.act.exit}}" }} }}, takes: 5s }}
      - {{ id: mail, uses: notify.email, with: {{ to: "${{secrets.box}}", subject: back, text: "all is well" }}, takes: 5s }}
      - {{ id: act, asset: app, needs: [], uses: command, with: {{ argv: [sh, -c, "echo acted >> out"] }}, takes: 1s, undo: {{ none: done }} }}
"#,
        gone.at
    );
    let head = plan("{ ops: {}, cto: {} }");
    let desk = Desk::new(&format!("{}    steps:{steps}", head.split("    steps:").next().unwrap()));
    let hook = format!("http://{}/hook/s3cret-token-of-ops", hooks.at);
    let smtp = format!("smtp://{}", mails.at);
    let dry = say(&desk, &hook, &smtp, &["dry-run"]);
    assert!(dry.code == Some(0) && dry.out.contains("would tell the webhook at") && !dry.out.contains("s3cret"), "{dry:?}");
    assert!(hooks.all().is_empty() && mails.all().is_empty(), "a dry run tells nobody");
    let ran = say(&desk, &hook, &smtp, &["run", "--yes"]);
    assert_eq!((ran.code, desk.text("out").as_str()), (Some(4), "acted\n"), "{ran:?}");
    let body: Value = serde_json::from_str(&hooks.all()[0]).unwrap();
    let run = body["text"].as_str().and_then(|t| t.strip_prefix("run ")?.strip_suffix(" begins")).unwrap();
    assert_eq!(gone.all(), [r#"{"about":0}"#], "what a reference alone stands for keeps its type");
    let log = desk.say(&["log", run, "--json"]).out;
    for (why, secret) in [("it answered with status 503", "s3cret-token"), ("the mail server refused it: code 550", "secret-box")] {
        assert!(log.contains(why) && !log.contains(secret) && !ran.err.contains(secret), "{why}: {log}{}", ran.err);
    }
}

/// The command by which a mail lets approve.
fn approve(letter: &str) -> String {
    let text = letter.replace("=\n", "").replace("=3D", "=");
    text.lines().find(|l| l.contains("drplan approve")).unwrap_or_else(|| panic!("{letter}")).trim().to_owned()
}

#[test]
fn they_are_told_again_and_then_whoever_comes_next() {
    let hooks = Sink::http(204);
    let channel = |name: &str| format!("http://{}/{name}", hooks.at);
    let contacts = format!(
        r#"{{ ops: {{ webhook: "{}", escalate: {{ to: head, after: 2s }} }}, cto: {{ title: silent }}, head: {{ webhook: "{}" }} }}"#,
        channel("ops"),
        channel("head")
    );
    let desk = Desk::new(&plan(&contacts));
    let mut run =
        desk.program(&["run", "--yes", "--wait", "--remind", "1s"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let of = |body: &String, name: &str| serde_json::from_str::<Value>(body).unwrap()["contact"] == name;
    let all = hooks.until(|kept| kept.iter().filter(|b| of(b, "head")).count() >= 2);
    let told: Vec<Value> = all.iter().map(|b| serde_json::from_str(b).unwrap()).collect();
    let ops: Vec<&Value> = told.iter().filter(|b| b["contact"] == "ops").collect();
    assert!(
        ops.len() >= 3 && ops.windows(2).all(|w| w[1]["told_before"].as_u64() == w[0]["told_before"].as_u64().map(|n| n + 1)),
        "{told:#?}"
    );
    let head = told.iter().find(|b| b["contact"] == "head").unwrap();
    assert_eq!(head["escalated_from"], serde_json::json!(["ops"]), "{head:#}");
    // Who comes next may not approve, and is not told to: the command is that of one who may.
    assert!(head["waits"][0]["commands"][0].as_str().unwrap().ends_with("--as ops"), "{head:#}");
    for contact in ["ops", "cto"] {
        assert_eq!(by(&desk, contact, &["approve", "gate", "--as", contact]).code, Some(0));
    }
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert_eq!(desk.text("out"), "acted\n");
}

#[test]
fn who_cannot_be_told_is_said_and_stops_nothing() {
    let (hooks, mails) = (Sink::http(503), Sink::smtp(true));
    let contacts = format!(
        r#"{{ ops: {{ webhook: "http://{}/ops", email: "${{secrets.box}}" }}, cto: {{ email: "cto@example.com", webhook: "http://127.0.0.1:1/cto" }} }}"#,
        hooks.at
    );
    let desk = Desk::new(&plan(&contacts));
    let ran = say(&desk, "unused-secret", &format!("smtp://{}", mails.at), &["run", "--yes"]);
    assert_eq!(ran.code, Some(11), "{ran:?}");
    for why in [
        "`ops` could not be told that the run waits (webhook): it answered with status 503",
        "(email): the mail server refused it: code 550",
    ] {
        assert!(ran.err.contains(why), "{why}: {}", ran.err);
    }
    assert!(ran.err.contains("127.0.0.1:1 cannot be reached"), "{}", ran.err);
    assert!(!ran.err.contains("secret-box"), "{}", ran.err);
    // Without a mail server and without the secret it goes on as well.
    for contact in ["ops", "cto"] {
        assert_eq!(by(&desk, contact, &["approve", "gate", "--as", contact]).code, Some(0));
    }
    let resumed = desk.say(&["resume", "--yes"]);
    assert_eq!((resumed.code, desk.text("out").as_str()), (Some(0), "acted\n"), "{resumed:?}");
    let unset = Desk::new(&plan(&contacts));
    let ran = unset.say(&["run", "--yes"]);
    assert!(ran.code == Some(11) && ran.err.contains("no mail server is set") && ran.err.contains("secret `box`"), "{ran:?}");
    let typed = unset.say(&["status", "--smtp", "smtp://me:pa55@127.0.0.1:25"]);
    assert!(typed.code == Some(2) && !typed.err.contains("pa55"), "{typed:?}");
}
