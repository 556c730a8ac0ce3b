//! `notify.webhook` and `notify.email` against real servers: what people are told, who can see that it came from us, and
//! what each answer means.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use drplan::actions::{self, Call, Effect, UndoKind};
use drplan::world::readonly::behind_glass;
use drplan::world::real::{RealSettings, Smtp, world};
use drplan::world::{Answer, Landed};
use serde_json::{Map, Value, json};

use super::http::got;
use super::room::{Room, refusal};
use super::sink::Sink;

fn webhook(with: Value) -> Room {
    Room::new("notify.webhook", with, None, "/nonexistent")
}

fn email(sink: &Sink, with: Value) -> Room {
    let mut room = Room::new("notify.email", with, None, "/nonexistent");
    let smtp = Smtp { url: sink.mail.clone(), password: None, from: Some("drplan@example.com".to_owned()) };
    room.world.mail = world(RealSettings { smtp: Some(smtp), ..RealSettings::new("/nonexistent", "/nonexistent") }).mail;
    room
}

#[test]
fn whoever_tells_goes_on_and_leaves_nothing_to_take_back() {
    for name in ["notify.webhook", "notify.email"] {
        let action = actions::find(name).unwrap();
        assert_eq!((action.effect, action.undo, action.goes_on), (Effect::Idempotent, UndoKind::Unneeded, true), "{name}");
        assert_eq!(action.timeout_ms, Some(30_000), "{name}");
    }
}

#[tokio::test]
async fn a_message_is_posted_and_signed() {
    let sink = Sink::up();
    let url = format!("{}/status/204", sink.web);
    let room = webhook(json!({ "url": url, "text": "it's \"back\"", "headers": { "X-A": "b" }, "signature_key": "k3y-of-ours" }));
    assert_eq!(room.apply(&Value::Null).await.unwrap()["status"], 204);
    webhook(json!({ "url": url, "json": { "severity": 1, "summary": ["x"] } })).apply(&Value::Null).await.unwrap();
    let sent = got(&sink, "/_sent").await;
    assert_eq!((&sent[0]["body"], &sent[0]["headers"]["x-a"]), (&json!(r#"{"text":"it's \"back\""}"#), &json!("b")), "{sent:#}");
    assert_eq!(
        (&sent[1]["body"], &sent[1]["headers"]["content-type"]),
        (&json!(r#"{"severity":1,"summary":["x"]}"#), &json!("application/json"))
    );
    assert_eq!(sent[1]["headers"]["x-signature-256"], Value::Null);
    let signed = sent[0]["headers"]["x-signature-256"].as_str().unwrap();
    // By another hand: openssl.
    let sum = Command::new("sh")
        .args(["-c", r#"printf '%s' "$BODY" | openssl dgst -sha256 -hmac k3y-of-ours"#])
        .env("BODY", sent[0]["body"].as_str().unwrap())
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(signed.strip_prefix("sha256=").unwrap(), sum.trim().rsplit(' ').next().unwrap());
}

#[tokio::test]
async fn only_a_2xx_is_heard() {
    let sink = Sink::up();
    let table = [
        ("/status/503", Landed::Maybe, "status 503"),
        ("/status/404", Landed::No, "status 404"),
        ("/status/429", Landed::No, "status 429"),
        ("/elsewhere", Landed::No, "status 302"),
        ("/lost", Landed::Maybe, "broke before"),
        ("/garbage", Landed::Maybe, "broke before"),
    ];
    for (path, landed, words) in table {
        let mut room = webhook(json!({ "url": format!("{}{path}?token=s3cret-token", sink.web), "text": "x" }));
        room.secrets = vec![format!("{}{path}?token=s3cret-token", sink.web)];
        let fault = refusal(room.apply(&Value::Null).await);
        assert!(fault.landed == landed && fault.cause.contains(words) && !fault.cause.contains("s3cret"), "{path}: {fault}");
    }
    assert!(refusal(webhook(json!({ "url": "http://127.0.0.1:1/", "text": "x" })).apply(&Value::Null).await).unreachable);
}

#[tokio::test]
async fn a_mail_is_handed_over_or_it_is_not() {
    let sink = Sink::up();
    let to = |who: &str| {
        email(
            &sink,
            json!({ "to": format!("{who}@example.com"), "subject": "shop\r\nBcc: x@example.com", "text": "It's \"back\".\n.\nEnd: é" }),
        )
    };
    to("ops").apply(&Value::Null).await.unwrap();
    let mails = got(&sink, "/_mails").await;
    assert_eq!((&mails[0]["to"], &mails[0]["from"]), (&json!(["ops@example.com"]), &json!("drplan@example.com")), "{mails:#}");
    let text = mails[0]["text"].as_str().unwrap();
    assert!(text.contains("Subject: shop  Bcc: x@example.com\r\n") && text.contains("It's \"back\".\r\n.\r\nEnd:"), "{text}");
    for (who, landed, words) in [("refused", Landed::No, "code 550"), ("later", Landed::No, "code 451"), ("full", Landed::No, "code 552")] {
        let fault = refusal(to(who).apply(&Value::Null).await);
        assert!(fault.landed == landed && fault.cause.contains(words) && !fault.cause.contains("@example"), "{fault}");
    }
    let fault = refusal(to("lost").apply(&Value::Null).await);
    assert_eq!((fault.landed, fault.unreachable), (Landed::Maybe, false), "it was taken, and nobody said so: {fault}");
    let mut nowhere = to("ops");
    nowhere.world = world(RealSettings::new("/nonexistent", "/nonexistent"));
    assert!(refusal(nowhere.apply(&Value::Null).await).cause.contains("no mail server is set"));
    assert!(
        refusal(email(&sink, json!({ "to": "nobody", "subject": "s", "text": "t" })).apply(&Value::Null).await)
            .cause
            .contains("no mail address")
    );
}

#[tokio::test]
async fn a_dry_run_tells_nobody() {
    let sink = Sink::up();
    let url = format!("{}/status/200/s3cret-token", sink.web);
    let mut all = [
        webhook(json!({ "url": url, "text": "moved" })),
        email(&sink, json!({ "to": "ops@example.com", "subject": "moved", "text": "t" })),
    ];
    for room in &mut all {
        room.world = behind_glass(&room.world, true);
        let before = room.before().await.unwrap();
        let preview: Answer<_> = room.preview(&before).await;
        let told = &preview.unwrap()[0];
        assert!(told.what == "message" && told.new.contains("moved") && !told.new.contains("s3cret"), "{told:?}");
        assert!(refusal(room.apply(&before).await).cause.contains("a dry run does not send"));
    }
    assert_eq!((got(&sink, "/_sent").await, got(&sink, "/_mails").await), (json!([]), json!([])));
}

/// What a person types posts the same, and signs it the same.
#[tokio::test]
async fn typed_by_hand() {
    let sink = Sink::up();
    let fields = json!({ "url": "${secrets.hook}", "text": "it's \"back\": ${steps.a.b}", "signature_key": "${secrets.key}", "headers": { "X-Quote": "a\"b\\c" } });
    let with: Map<String, Value> = fields.as_object().unwrap().clone();
    let call = Call { step: "tell", with: &with, target: None };
    let script = &(actions::find("notify.webhook").unwrap().commands)(&call)[0].script;
    let url = format!("{}/status/200?x=\"q\"", sink.web);
    let done = Command::new("/bin/sh")
        .args(["-c", script])
        .env("SECRET_HOOK", &url)
        .env("SECRET_KEY", "k3y-of-ours")
        .env("A_B", "x\"y")
        .output()
        .unwrap();
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
    let typed = got(&sink, "/_sent").await[0].clone();
    let body = typed["body"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), json!({ "text": "it's \"back\": x\"y" }));
    assert_eq!(typed["headers"]["x-quote"], "a\"b\\c");
    let room = webhook(json!({ "url": format!("{}/status/200", sink.web), "text": "it's \"back\": x\"y", "signature_key": "k3y-of-ours" }));
    room.apply(&Value::Null).await.unwrap();
    let ours = got(&sink, "/_sent").await[1].clone();
    assert_eq!((&ours["body"], &ours["headers"]["x-signature-256"]), (&typed["body"], &typed["headers"]["x-signature-256"]));

    let dir = tempfile::tempdir().unwrap();
    let stub = dir.path().join("sendmail");
    std::fs::write(&stub, "#!/bin/sh\nprintf '%s\\n' \"$*\" > \"$OUT\"\ncat >> \"$OUT\"\n").unwrap();
    std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).unwrap();
    let with: Map<String, Value> = json!({ "to": "${secrets.to}", "subject": "é", "text": "It's.\n.\nEnd" }).as_object().unwrap().clone();
    let script = &(actions::find("notify.email").unwrap().commands)(&Call { step: "tell", with: &with, target: None })[0].script;
    let (out, path) = (dir.path().join("out"), format!("{}:/usr/bin:/bin", dir.path().display()));
    let done = Command::new("/bin/sh")
        .args(["-c", script])
        .env("PATH", path)
        .env("OUT", &out)
        .env("SECRET_TO", "ops@example.com\nBcc: x@example.com")
        .status()
        .unwrap();
    assert!(done.success());
    let wanted = "-t -i\nTo: ops@example.com Bcc: x@example.com\nSubject: é\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nIt's.\n.\nEnd\n";
    assert_eq!(std::fs::read_to_string(out).unwrap(), wanted);
}
