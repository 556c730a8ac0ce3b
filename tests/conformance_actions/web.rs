//! The stands of actions that ask and tell by HTTP and by mail: a web server with a switch, a channel, a mail server.

use std::process::Command;

use async_trait::async_trait;
use drplan::world::real::{RealSettings, Smtp, world};
use serde_json::{Value, json};

use super::laws::{Law, Stand, hold};
use super::room::Room;
use super::sink::Sink;
use super::stands::{EFFECT, READS, because};

const TOKEN: &str = "lab-token-7c1e";
/// With which the sink knows `mailer`.
const MAIL_PASSWORD: &str = "lab-mail-password-3b90";
const NO_PROBE: &str = "the other side alone knows whether anything happened: its probe says so, and a `check` of the step tells";

/// A web server, and an action that is done there.
struct Web {
    action: &'static str,
    sink: Sink,
}

impl Web {
    fn of(action: &'static str) -> Web {
        Web { action, sink: Sink::up() }
    }

    fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.sink.web);
        let done = Command::new("curl").args(["-gsS", "--max-time", "10", &url]).output().expect("curl is installed");
        assert!(done.status.success(), "{url}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// What this action is given at an address.
    fn with(&self, at: &str, page: Option<&str>, token: &str) -> Value {
        let headers = json!({ "Authorization": format!("Bearer {token}") });
        let url = |own: &str| format!("http://{at}/{}", page.unwrap_or(own));
        match self.action {
            "http.check" => json!({ "url": url("locked"), "headers": headers, "expect": { "json": { "on": false } } }),
            "http.call" => {
                let json = json!({ "on": true });
                json!({ "url": url("locked"), "method": "PUT", "headers": headers, "json": json, "expect": { "json": json } })
            }
            _ => json!({ "url": url("heard"), "headers": headers, "text": "it's back" }),
        }
    }

    fn told(&self) -> bool {
        self.action == "notify.webhook"
    }
}

#[async_trait]
impl Stand for Web {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        match self.action {
            "http.check" => because(&EFFECT, READS),
            "http.call" => {
                let mut out = because(&[Law::Twice], NO_PROBE);
                out.extend(because(&[Law::Undo], "another call takes it back, which the plan names"));
                out
            }
            _ => {
                let mut out = because(&[Law::Twice], "what people were told only they know: its probe says so");
                out.extend(because(&[Law::Undo], "what was said stays said"));
                out.extend(because(&[Law::Wrong], "of a channel nothing is known but its status"));
                out
            }
        }
    }

    fn room(&self, at: &str) -> Room {
        Room::new(self.action, self.with(at, None, TOKEN), None, "/nonexistent")
    }

    fn server(&self) -> String {
        self.sink.web.trim_start_matches("http://").to_owned()
    }

    /// Of messages each that is another one counts.
    fn state(&self) -> String {
        if !self.told() {
            return self.get("/switch");
        }
        let sent: Vec<Value> = serde_json::from_str(&self.get("/_sent")).unwrap();
        let mut texts: Vec<String> = sent.iter().filter(|s| s["path"] == "/heard").map(|s| s["body"].to_string()).collect();
        texts.sort();
        texts.dedup();
        texts.join("\n")
    }

    fn reset(&self) {
        self.get("/_reset");
    }

    fn meddle(&self) {
        let (path, body, method) = if self.told() { ("heard", "somebody else's", "POST") } else { ("switch", "{\"on\": 7}", "PUT") };
        let url = format!("{}/{path}", self.sink.web);
        let done = Command::new("curl").args(["-sS", "-o", "/dev/null", "-X", method, "-d", body, &url]).status();
        assert!(done.unwrap().success());
    }

    fn refused(&self) -> Room {
        Room::new(self.action, self.with(&self.server(), None, "another-token"), None, "/nonexistent")
    }

    fn absent(&self) -> Room {
        let gone = Room::new(self.action, self.with(&self.server(), Some("status/404"), TOKEN), None, "/nonexistent");
        self.reset();
        gone
    }

    fn secret(&self) -> String {
        TOKEN.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        let with = self.with(&self.server(), None, "${secrets.token}");
        (Room::new(self.action, with, None, "/nonexistent"), vec![("SECRET_TOKEN".to_owned(), TOKEN.to_owned())])
    }
}

#[tokio::test]
async fn pages_asked() {
    hold(&Web::of("http.check")).await;
}

#[tokio::test]
async fn services_called() {
    hold(&Web::of("http.call")).await;
}

#[tokio::test]
async fn channels_told() {
    hold(&Web::of("notify.webhook")).await;
}

/// A mail server.
struct Mails(Sink);

impl Mails {
    fn to(&self, at: &str, who: &str, password: &str) -> Room {
        let with = json!({ "to": format!("{who}@example.com"), "subject": "back", "text": "it's back" });
        let mut room = Room::new("notify.email", with, None, "/nonexistent");
        let smtp =
            Smtp { url: format!("smtp://mailer@{at}"), password: Some(password.to_owned()), from: Some("drplan@example.com".to_owned()) };
        room.world.mail = world(RealSettings { smtp: Some(smtp), ..RealSettings::new("/nonexistent", "/nonexistent") }).mail;
        room
    }

    fn get(&self, path: &str) -> String {
        let done = Command::new("curl").args(["-gsS", &format!("{}{path}", self.0.web)]).output().expect("curl is installed");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

#[async_trait]
impl Stand for Mails {
    fn action(&self) -> &'static str {
        "notify.email"
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        let mut out = because(&[Law::Twice], "what people were told only they know: its probe says so");
        out.extend(because(&[Law::Undo], "what was said stays said"));
        out.extend(because(&[Law::ByHand], "`sendmail` goes by the settings of its machine; what it is given, another test compares"));
        out
    }

    fn room(&self, at: &str) -> Room {
        self.to(at, "ops", MAIL_PASSWORD)
    }

    fn server(&self) -> String {
        self.0.mail.trim_start_matches("smtp://").to_owned()
    }

    /// Each mail that is another one, without what every sending has of its own.
    fn state(&self) -> String {
        let mails: Vec<Value> = serde_json::from_str(&self.get("/_mails")).unwrap();
        let text = |m: &Value| m["text"].as_str().unwrap().lines().filter(|l| !l.starts_with("Date:")).collect::<Vec<_>>().join("\n");
        let mut all: Vec<String> = mails.iter().map(|m| format!("{} {}", m["to"], text(m))).collect();
        all.sort();
        all.dedup();
        all.join("\n")
    }

    fn reset(&self) {
        self.get("/_reset");
    }

    fn meddle(&self) {
        let to = self.server();
        let done = Command::new("curl")
            .args(["-sS", "--mail-from", "a@example.com", "--mail-rcpt", "b@example.com", "-T", "-", &format!("smtp://{to}")])
            .stdin(std::process::Stdio::null())
            .status();
        assert!(done.unwrap().success());
    }

    fn absent(&self) -> Room {
        self.to(&self.server(), "refused", MAIL_PASSWORD)
    }

    fn refused(&self) -> Room {
        self.to(&self.server(), "ops", "another-password")
    }

    fn secret(&self) -> String {
        MAIL_PASSWORD.to_owned()
    }
}

#[tokio::test]
async fn mail_sent() {
    hold(&Mails(Sink::up())).await;
}
