//! The stands of the actions on Route 53. The test that starts the servers runs this file again: keys come from files that
//! the environment names, and a process cannot change its own.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use drplan::actions::AssetKind;
use drplan::world::Clock;

use serde_json::{Value, json};

use super::laws::{Law, Stand, hold};
use super::room::Room;
use super::stands::{EFFECT, READS, because, target};
use super::zones::{Aws, cache, curl};

/// Says to the test inside at which endpoint and zone, and with which health check.
const INSIDE: &str = "DRPLAN_TEST_CLOUD";

/// The secret half of the lab's key.
pub const SECRET: &str = "lab-secret-key-9d41";

/// The keys as a person has them: `default` is the lab's, nobody knows `stranger`.
pub const KEYS: &str = "[default]\naws_access_key_id = lab\naws_secret_access_key = lab-secret-key-9d41\n\
                        [stranger]\naws_access_key_id = stranger\naws_secret_access_key = another-secret-key\n";

/// This test program again, for one test, with keys of its own.
pub fn again(test: &str, keys: &str, inside: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials");
    std::fs::write(&file, keys).unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"] {
        again.env_remove(name);
    }
    again.args(["--exact", test, "--nocapture"]).env(INSIDE, inside).envs([
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_PAGER", ""),
        ("PATH", &format!("{}/bin:{}", cache(), std::env::var("PATH").unwrap_or_default())),
    ]);
    assert!(again.status().unwrap().success(), "see above");
}

/// What the outer test said, word by word.
pub fn inside() -> Option<Vec<String>> {
    Some(std::env::var(INSIDE).ok()?.split(' ').map(str::to_owned).collect())
}

/// A clock whose pauses are short and are counted: nobody waits for minutes.
pub struct Quick(Arc<dyn Clock>, Mutex<Duration>);

impl Quick {
    /// In the place of a room's clock.
    pub fn of(room: &Room) -> Quick {
        Quick(room.world.clock.clone(), Mutex::default())
    }

    /// How long the pauses would have been.
    pub fn slept(&self) -> Duration {
        *self.1.lock().unwrap()
    }
}

#[async_trait]
impl Clock for Quick {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    async fn sleep(&self, time: Duration) {
        *self.1.lock().unwrap() += time;
        self.0.sleep(time.min(Duration::from_millis(100))).await;
    }
}

/// A zone with records by weight and a health check, and an action on it.
struct Zone {
    action: &'static str,
    at: String,
    zone: String,
    check: String,
}

const SHOP: &str = "shop.example.test";
const PLAIN: &str = "plain.example.test";

impl Zone {
    fn control(&self, order: Value) -> Value {
        let (good, said) = curl(&["--data", &order.to_string(), &format!("http://{}/_control", self.at)]);
        assert!(good, "{said}");
        serde_json::from_str(&said).unwrap()
    }

    fn with(&self) -> Value {
        match self.action {
            "route53.check" => json!({ "expect": "192.0.2.1" }),
            "route53.upsert" => json!({ "value": "192.0.2.7" }),
            "route53.weight" => json!({ "to": { "lb-a": 0, "lb-b": 100 }, "paces": [50, 100], "every": "1s" }),
            _ => json!({ "health_check": self.check, "inverted": true, "disabled": true }),
        }
    }

    fn at(&self, at: &str, with: Value, connect: Value) -> Room {
        let (record, kind) = if self.action == "route53.weight" { (SHOP, "CNAME") } else { (PLAIN, "A") };
        let mut all = json!({ "zone": self.zone, "record": record, "type": kind, "endpoint": format!("http://{at}") });
        all.as_object_mut().unwrap().extend(connect.as_object().unwrap().clone());
        let mut room = Room::new(self.action, with, Some(target(AssetKind::Route53, all)), "/nonexistent");
        room.world.clock = Arc::new(Quick::of(&room));
        room
    }
}

#[async_trait]
impl Stand for Zone {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        if self.action == "route53.check" { because(&EFFECT, READS) } else { Vec::new() }
    }

    fn room(&self, at: &str) -> Room {
        self.at(at, self.with(), json!({}))
    }

    fn server(&self) -> String {
        self.at.clone()
    }

    fn state(&self) -> String {
        let state = self.control(json!({}));
        let check = &state["health_checks"][&self.check]["HealthCheckConfig"];
        // What Route 53 writes into a check that was never turned says the same.
        let word = |name: &str| check[name] == json!("true");
        format!("{} inverted {} disabled {}", state["record_sets"][&self.zone], word("Inverted"), word("Disabled"))
    }

    fn reset(&self) {
        self.control(json!({ "restore": true }));
    }

    fn meddle(&self) {
        let order = match self.action {
            "route53.upsert" => {
                let set = json!({ "Name": format!("{PLAIN}."), "Type": "A", "TTL": "60", "ResourceRecords": ["192.0.2.99"] });
                json!({ "meddle": { "zone": self.zone, "set": set } })
            }
            "route53.weight" => {
                let mut set = json!({ "Name": format!("{SHOP}."), "Type": "CNAME", "SetIdentifier": "lb-b", "Weight": "33" });
                set["TTL"] = json!("60");
                set["ResourceRecords"] = json!(["b.example.com"]);
                json!({ "meddle": { "zone": self.zone, "set": set } })
            }
            _ => json!({ "meddle": { "check": self.check, "config": { "Inverted": "false", "Disabled": "true" } } }),
        };
        self.control(order);
    }

    fn refused(&self) -> Room {
        self.at(&self.at, self.with(), json!({ "profile": "stranger" }))
    }

    fn absent(&self) -> Room {
        let with = match self.action {
            "route53.health_check" => json!({ "health_check": "00000000-0000-0000-0000-000000000000", "inverted": true }),
            _ => self.with(),
        };
        let connect = match self.action {
            "route53.weight" => json!({ "record": "none.example.test" }),
            "route53.check" => json!({ "record": "none.example.test" }),
            _ => json!({ "zone": "Z00000000000000000000" }),
        };
        self.at(&self.at, with, connect)
    }

    fn secret(&self) -> String {
        SECRET.to_owned()
    }
}

fn in_a_zone(test: &str) {
    let aws = Aws::up();
    let inside = format!("{} {} {}", aws.endpoint.trim_start_matches("http://"), aws.zone, aws.check());
    again(&format!("cloud::inside_{test}"), KEYS, &inside);
}

async fn inside_a_zone(action: &'static str) {
    let Some(said) = inside() else { return };
    let [at, zone, check] = said.try_into().unwrap();
    let zone = Zone { action, at, zone, check };
    zone.control(json!({ "keep": true, "pending_seconds": 0.2 }));
    hold(&zone).await;
}

#[test]
fn records_looked_at() {
    in_a_zone("records_looked_at");
}

/// Not a test by itself, as those below: see the one of the same name.
#[tokio::test]
async fn inside_records_looked_at() {
    inside_a_zone("route53.check").await;
}

#[test]
fn records_set() {
    in_a_zone("records_set");
}

#[tokio::test]
async fn inside_records_set() {
    inside_a_zone("route53.upsert").await;
}

#[test]
fn weights_shifted() {
    in_a_zone("weights_shifted");
}

#[tokio::test]
async fn inside_weights_shifted() {
    inside_a_zone("route53.weight").await;
}

#[test]
fn checks_turned() {
    in_a_zone("checks_turned");
}

#[tokio::test]
async fn inside_checks_turned() {
    inside_a_zone("route53.health_check").await;
}
