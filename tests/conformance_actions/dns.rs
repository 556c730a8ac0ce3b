//! The actions on name servers, on Knot DNS.

use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use drplan::actions::{AssetKind, Call, Probe, Target};
use drplan::world::{Landed, NameServer, RecordSet};
use serde_json::{Value, json};

use super::between::{Break, Way};
use super::laws::{Law, Stand, hold};
use super::room::{Room, refusal};
use super::stands::{EFFECT, READS, because};

/// The key that the server knows, in base64; another one differs in one letter.
pub const KEY: &str = "bGFiLWtleS1vZi10aGUtbmFtZS1zZXJ2ZXItMzIgYnl0ZXM=";

/// A server of its own with zone `example.test`, gone with the value.
pub struct Server {
    dir: tempfile::TempDir,
    process: Child,
    pub at: String,
}

impl Server {
    pub fn up() -> Server {
        let dir = tempfile::tempdir().unwrap();
        // Both by UDP and by TCP: whoever has one of both leaves the other to us.
        let (tcp, udp) = (0..100)
            .find_map(|_| {
                let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
                let udp = UdpSocket::bind(tcp.local_addr().unwrap()).ok()?;
                Some((tcp, udp))
            })
            .expect("a port is free");
        let port = tcp.local_addr().unwrap().port();
        drop((tcp, udp));
        let home = dir.path().to_str().unwrap();
        let zone = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 5\n@ NS ns\nns A 127.0.0.1\nshop CNAME lb-a\nlb-a A 192.0.2.1\nlb-b A 192.0.2.2\nmany 30 A 192.0.2.3\nmany 30 A 192.0.2.4\ntext TXT \"it's\" \"a \\\"b\\\"\"\n";
        std::fs::write(dir.path().join("example.test.zone"), zone).unwrap();
        let conf = format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: {home}\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {home}\n\
             key:\n  - id: lab\n    algorithm: hmac-sha256\n    secret: {KEY}\nacl:\n  - id: update\n    key: lab\n    action: update\n\
             zone:\n  - domain: example.test\n    storage: {home}\n    file: example.test.zone\n    acl: update\n"
        );
        std::fs::write(dir.path().join("knot.conf"), conf).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let knotd = if std::path::Path::new("/usr/sbin/knotd").exists() { "/usr/sbin/knotd" } else { "knotd" };
        let process = Command::new(knotd).arg("-c").arg(dir.path().join("knot.conf")).stderr(log).stdout(Stdio::null()).spawn();
        let server = Server { process: process.expect("knotd is installed: tests/lab/lab install"), at: format!("127.0.0.1:{port}"), dir };
        let begin = Instant::now();
        while server.dig("example.test", "SOA").is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(20), "knotd does not answer:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn dig(&self, name: &str, kind: &str) -> String {
        let port = self.at.rsplit(':').next().unwrap();
        let done = Command::new("dig").args(["+noall", "+answer", "+time=1", "+tries=1", "@127.0.0.1", "-p", port, name, kind]).output();
        let said = String::from_utf8(done.expect("dig is installed: tests/lab/lab install").stdout).unwrap();
        let mut lines: Vec<String> =
            said.lines().filter(|l| !l.starts_with(';')).map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        lines.sort();
        lines.join("\n")
    }

    /// Somebody else's change, by their own tool.
    pub fn nsupdate(&self, lines: &str) {
        let script = format!("server {}\nzone example.test\nkey hmac-sha256:lab {KEY}\n{lines}\nsend\n", self.at.replace(':', " "));
        let mut done = Command::new("nsupdate").stdin(Stdio::piped()).spawn().expect("nsupdate is installed: tests/lab/lab install");
        std::io::Write::write_all(done.stdin.as_mut().unwrap(), script.as_bytes()).unwrap();
        assert!(done.wait().unwrap().success(), "{lines}");
    }

    pub fn target(at: &str, record: &str, kind: &str) -> Target {
        let connect = json!({ "server": at, "zone": "example.test", "record": record, "type": kind, "ttl": "30s", "tsig_name": "lab", "tsig_secret": KEY });
        Target { asset: "zone".to_owned(), kind: AssetKind::Dns, site: None, connect: connect.as_object().unwrap().clone(), source: None }
    }

    fn room(&self, action: &str, with: Value, record: &str, kind: &str) -> Room {
        let mut room = Room::new(action, with, Some(Server::target(&self.at, record, kind)), "/nonexistent");
        room.timeout = Duration::from_secs(6);
        room
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("knotd said:\n{}", self.log());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_record_of_each_type_is_changed_and_put_back() {
    let server = Server::up();
    for (record, kind, with) in [
        ("shop.example.test", "CNAME", json!({ "value": "LB-B.example.test." })),
        ("many.example.test", "A", json!({ "values": ["192.0.2.9", "192.0.2.3"] })),
        ("new.example.test", "AAAA", json!({ "value": "2001:db8::1" })),
        ("text.example.test", "TXT", json!({ "value": "x=\"1\" it's" })),
        ("mail.example.test", "MX", json!({ "values": ["10 lb-a.example.test", "20 lb-b.example.test"] })),
        ("_s._tcp.example.test", "SRV", json!({ "value": "1 2 443 lb-a.example.test" })),
    ] {
        let start = server.dig(record, kind);
        let room = server.room("dns.update", with, record, kind);
        let (before, outputs) = room.lawful().await;
        assert_ne!(server.dig(record, kind), start, "{outputs:?}");
        assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
        assert_eq!(server.dig(record, kind), start);
        room.written();
        assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
        assert!(room.written().is_empty(), "a second undo");
    }
    assert!(server.dig("shop.example.test", "CNAME").ends_with("lb-a.example.test."));
}

#[tokio::test]
async fn somebodys_newer_change_makes_it_fail() {
    let server = Server::up();
    let room = server.room("dns.update", json!({ "value": "lb-b.example.test" }), "shop.example.test", "CNAME");
    let before = room.before().await.unwrap();
    server.nsupdate("update delete shop.example.test CNAME\nupdate add shop.example.test 60 CNAME lb-c.example.test");
    assert!(refusal(room.apply(&before).await).cause.contains("neither what this step sets nor what was there before"));
    assert!(matches!(room.probe(&before).await.unwrap(), Probe::Other(_)));
    assert!(matches!(room.undo(&before).await.unwrap(), Probe::Other(_)));
    // In the moment between the look and the change it is the server that says so.
    let set = |value: &str| RecordSet {
        name: "shop.example.test".to_owned(),
        kind: "CNAME".to_owned(),
        ttl_s: 60,
        values: vec![value.to_owned()],
    };
    let (old, new) = (set("lb-a.example.test"), set("lb-b.example.test"));
    let target = Server::target(&server.at, "shop.example.test", "CNAME");
    let key = drplan::world::NameKey { name: "lab".to_owned(), algorithm: "hmac-sha256".to_owned(), secret: KEY.to_owned() };
    let to = NameServer { at: server.at.clone(), key: Some(key), stream: true };
    for was in [Some(&old), None] {
        let fault = refusal(room.world.names.update(&to, "example.test", was, Some(&new), 5_000).await);
        assert!(fault.landed == Landed::No && fault.cause.contains("somebody changed it meanwhile"), "{fault}");
    }
    assert!(server.dig("shop.example.test", "CNAME").ends_with("lb-c.example.test."), "{target:?}");
    // A name with records of another type takes no CNAME, and the server does not say so.
    let room = server.room("dns.update", json!({ "value": "lb-b.example.test" }), "many.example.test", "CNAME");
    let before = room.before().await;
    if let Ok(before) = before {
        assert!(room.apply(&before).await.is_err());
        assert!(!matches!(room.probe(&before).await, Ok(Probe::There(_))));
    }
}

#[tokio::test]
async fn what_is_lost_or_refused_is_said_as_such() {
    let server = Server::up();
    let good = server.room("dns.update", json!({ "value": "lb-b.example.test" }), "shop.example.test", "CNAME");
    let before = good.before().await.unwrap();
    let start = server.dig("shop.example.test", "CNAME");
    for (name, value) in [
        ("tsig_secret", KEY.replace('b', "c")),
        ("tsig_secret", "!!!! secret".to_owned()),
        ("tsig_name", "other".to_owned()),
        ("zone", "other.test".to_owned()),
    ] {
        let mut room = server.room("dns.update", json!({ "value": "lb-b.example.test" }), "shop.example.test", "CNAME");
        room.target.as_mut().unwrap().connect.insert(name.to_owned(), json!(value));
        let fault = refusal(room.apply(&before).await);
        assert!(fault.landed == Landed::No && (name != "tsig_secret" || !fault.cause.contains(&value[..8])), "{name}: {fault}");
        assert_eq!(server.dig("shop.example.test", "CNAME"), start, "{name}");
    }
    // The answer to the change is cut: the look before it has 90 bytes or so.
    let way = Way::to(&server.at, Break::Never);
    let room =
        Room::new("dns.update", json!({ "value": "lb-b.example.test" }), Some(Server::target(&way.at, "shop.example.test", "CNAME")), "/");
    room.world.names.ask(&NameServer { at: way.at.clone(), key: None, stream: true }, "shop.example.test", "CNAME", 5_000).await.unwrap();
    let (_, look) = way.passed();
    let way = Way::to(&server.at, Break::Down(look + 5));
    let room =
        Room::new("dns.update", json!({ "value": "lb-b.example.test" }), Some(Server::target(&way.at, "shop.example.test", "CNAME")), "/");
    let fault = refusal(room.apply(&before).await);
    assert_eq!(fault.landed, Landed::Maybe, "{fault}");
    assert!(matches!(good.probe(&before).await.unwrap(), Probe::There(_)));
    assert_eq!(good.undo(&before).await.unwrap(), Probe::NotThere);
    let nobody = Room::new("dns.update", json!({ "value": "x" }), Some(Server::target("127.0.0.1:1", "shop.example.test", "CNAME")), "/");
    assert!(refusal(nobody.before().await).unreachable);
}

#[tokio::test]
async fn resolvers_must_all_answer_and_the_same() {
    let (one, two) = (Server::up(), Server::up());
    let check = async |with: Value, record: &str, kind: &str| one.room("dns.check", with, record, kind).read().await;
    let both = json!([one.at, two.at]);
    let found = check(json!({ "resolvers": both, "expect": "lb-a.example.test" }), "shop.example.test", "CNAME").await.unwrap();
    assert_eq!((&found["value"], &found["ttl"], &found["found"]), (&json!("lb-a.example.test"), &json!("60s"), &json!(true)));
    let found = check(json!({ "expect": "192.0.2.1" }), "shop.example.test", "A").await.unwrap();
    assert_eq!(found["value"], json!("192.0.2.1"), "what the name leads to");
    let found = check(json!({ "expect": ["192.0.2.3", "192.0.2.4"] }), "many.example.test", "A").await.unwrap();
    assert_eq!(found["ttl"], json!("30s"));
    let found = check(json!({ "expect": { "present": false } }), "none.example.test", "A").await.unwrap();
    assert_eq!((&found["found"], &found["ttl"]), (&json!(false), &json!("5s")));

    two.nsupdate("update delete shop.example.test CNAME\nupdate add shop.example.test 300 CNAME lb-b.example.test");
    let fault = refusal(check(json!({ "resolvers": both, "expect": "lb-a.example.test" }), "shop.example.test", "CNAME").await);
    assert!(
        fault.cause.contains(&two.at) && fault.cause.contains("found \"lb-b.example.test\", which its clients may believe for 300 s more"),
        "{fault}"
    );
    let fault = refusal(check(json!({ "resolvers": both }), "shop.example.test", "CNAME").await);
    assert!(fault.cause.starts_with("they do not agree"), "{fault}");
    for (resolvers, words) in [(json!([one.at, "127.0.0.1:1"]), "cannot be reached"), (json!([one.at, ""]), "is no name server")] {
        let fault = refusal(check(json!({ "resolvers": resolvers }), "shop.example.test", "CNAME").await);
        assert!(fault.cause.contains(words), "{fault}");
    }
    // A server that hears and says nothing, or answers with something else.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let fault = refusal(check(json!({ "resolvers": [at] }), "shop.example.test", "CNAME").await);
    assert!(fault.unreachable && fault.cause.contains("gave no answer"), "{fault}");
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((n, from)) = silent.recv_from(&mut buffer) {
            // Its own question back, another question's answer, and noise.
            buffer[2] |= 0x80;
            buffer[0] ^= 1;
            let _ = silent.send_to(&buffer[..n], from);
            let _ = silent.send_to(b"noise", from);
        }
    });
    assert!(refusal(check(json!({ "resolvers": [at] }), "shop.example.test", "CNAME").await).unreachable);
    let fault = refusal(check(json!({}), "shop.elsewhere.test", "CNAME").await);
    assert!(fault.cause.contains("refuses to answer"), "{fault}");
}

#[test]
fn typed_by_hand_the_commands_do_the_same() {
    let server = Server::up();
    let dir = tempfile::tempdir().unwrap();
    let mut target = Server::target(&server.at, "shop.example.test", "CNAME");
    target.connect.insert("tsig_secret".to_owned(), json!("${secrets.dns}"));
    let typed = |action: &str, with: Value, undo: bool| {
        let with = with.as_object().unwrap().clone();
        let call = Call { step: "point", with: &with, target: Some(&target) };
        let action = drplan::actions::find(action).unwrap();
        let blocks = if undo { (action.undo_commands)(&call) } else { (action.commands)(&call) };
        let done = Command::new("sh").args(["-ec", &blocks[0].script]).current_dir(dir.path()).env("SECRET_DNS", KEY).output().unwrap();
        (
            done.status.success(),
            format!("{}{}\n{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr), blocks[0].script),
        )
    };
    let now = || server.dig("shop.example.test", "CNAME");
    let start = now();
    let point = json!({ "value": "lb-b.example.test" });
    let (good, said) = typed("dns.update", point.clone(), false);
    assert!(good && now().ends_with("30 IN CNAME lb-b.example.test."), "{}\n{said}", now());
    assert!(typed("dns.check", json!({ "expect": "lb-b.example.test" }), false).0);
    assert!(!typed("dns.check", json!({ "expect": "lb-a.example.test" }), false).0);
    let (good, said) = typed("dns.update", point.clone(), true);
    assert!(good && now() == start, "{said}");
    server.nsupdate("update delete shop.example.test CNAME\nupdate add shop.example.test 60 CNAME lb-c.example.test");
    assert!(!typed("dns.update", point, true).0, "it is not ours any more");
    assert!(now().ends_with("lb-c.example.test."));
}

/// A record of a name server, and an action on it.
struct Record {
    action: &'static str,
    server: Server,
}

impl Record {
    fn of(action: &'static str) -> Record {
        Record { action, server: Server::up() }
    }

    fn at(&self, at: &str, zone: &str, key: &str) -> Room {
        let mut target = Server::target(at, &format!("shop.{zone}"), "CNAME");
        target.connect.insert("zone".to_owned(), json!(zone));
        target.connect.insert("tsig_secret".to_owned(), json!(key));
        let with = match self.action {
            "dns.check" => json!({ "expect": "lb-a.example.test" }),
            _ => json!({ "value": "lb-b.example.test" }),
        };
        Room::new(self.action, with, Some(target), "/nonexistent")
    }

    fn set(&self, value: &str) {
        self.server.nsupdate(&format!("update delete shop.example.test CNAME\nupdate add shop.example.test 60 CNAME {value}"));
    }
}

#[async_trait]
impl Stand for Record {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        if self.action == "dns.update" {
            return Vec::new();
        }
        let mut out = because(&EFFECT, READS);
        out.extend(because(&[Law::Credentials, Law::Secret], "it asks as everybody does, without a key"));
        out.extend(because(&[Law::Lost, Law::TimeOut], "its questions go by UDP, where nothing is cut: another test loses whole answers"));
        out
    }

    fn room(&self, at: &str) -> Room {
        self.at(at, "example.test", KEY)
    }

    fn server(&self) -> String {
        self.server.at.clone()
    }

    fn state(&self) -> String {
        self.server.dig("shop.example.test", "CNAME")
    }

    fn reset(&self) {
        self.set("lb-a.example.test");
    }

    fn meddle(&self) {
        self.set("lb-c.example.test");
    }

    fn refused(&self) -> Room {
        self.at(&self.server.at, "example.test", &KEY.replace('b', "c"))
    }

    fn absent(&self) -> Room {
        self.at(&self.server.at, "elsewhere.test", KEY)
    }

    fn secret(&self) -> String {
        KEY.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        (self.at(&self.server.at, "example.test", "${secrets.dns}"), vec![("SECRET_DNS".to_owned(), KEY.to_owned())])
    }
}

#[tokio::test]
async fn laws_of_check() {
    hold(&Record::of("dns.check")).await;
}

#[tokio::test]
async fn laws_of_update() {
    hold(&Record::of("dns.update")).await;
}
