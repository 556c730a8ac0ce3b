//! A lab as the tests of this file see it: its incident, its record, its roles, its witness. It does not know `drplan`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;

use crate::lab::Lab;
use crate::program::{Program, wait_until};

/// A lab, and the turn of this test: labs stand on two cores one after the other.
pub struct Scene {
    pub lab: Lab,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    pub fn new() -> Scene {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Scene { lab: Lab::up(&[]), _turn: turn }
    }

    /// The program in this lab.
    pub fn program(&self) -> Program {
        let mut program = Program::new();
        program.env.extend(self.lab.iter().map(|(k, v)| (k.clone(), v.clone())));
        program
    }

    /// A file of the lab.
    pub fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(&self.lab["DRPLAN_LAB_DIR"]).join(name)
    }

    /// A file's text.
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Users write; the standby falls behind; the primary is killed. Gives the moment at which it is dead.
    pub fn incident(&self) -> Timestamp {
        self.lab.lab("writer-start", &[]);
        let acks = || self.text("writer.log").lines().filter(|line| line.starts_with("ack ")).count();
        wait_until("100 rows are written", || acks() >= 100);
        // What is written from now on is lost: the judge has something to hold against what is reported.
        self.lab.lab("cut-replication", &[]);
        let cut = acks();
        wait_until("200 more are written", || acks() >= cut + 200);
        self.lab.lab("kill-region", &[]);
        // The lab notes the moment before the kill; rows are acknowledged up to the moment after it.
        let dead = Timestamp::now();
        println!("  $ lab kill-region    (kill -9, {} rows acknowledged, dead at {dead})", acks());
        dead
    }

    /// The record as Route 53's API has it, value and TTL.
    pub fn record(&self) -> String {
        let listed = curl(&format!("{}/2013-04-01/hostedzone/{}/rrset", self.lab["AWS_ENDPOINT_URL"], self.lab["LAB_ZONE_ID"]), &[]);
        let name = format!("<Name>{}.</Name>", self.lab["LAB_RECORD"]);
        let set = listed.split("<ResourceRecordSet>").find(|set| set.contains(&name)).unwrap_or_else(|| panic!("no record: {listed}"));
        let part = |tag: &str| set.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once('<')).map(|(v, _)| v).unwrap();
        format!("{} ttl {}", part("Value").trim_end_matches('.'), part("TTL"))
    }

    /// Somebody else sets the record through the API.
    pub fn set_record(&self, value: &str) {
        let body = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change>\
             <Action>UPSERT</Action><ResourceRecordSet><Name>{}</Name><Type>CNAME</Type><TTL>1</TTL><ResourceRecords><ResourceRecord>\
             <Value>{value}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch>\
             </ChangeResourceRecordSetsRequest>",
            self.lab["LAB_RECORD"]
        );
        let url = format!("{}/2013-04-01/hostedzone/{}/rrset/", self.lab["AWS_ENDPOINT_URL"], self.lab["LAB_ZONE_ID"]);
        let said = curl(&url, &["-X", "POST", "-d", &body]);
        assert!(said.contains("ChangeInfo"), "{said}");
        println!("  (somebody else points the record to {value})");
    }

    /// What the app says to users, by the public name.
    pub fn edge(&self) -> Value {
        serde_json::from_str(&curl(&format!("{}/healthz", self.lab["LAB_EDGE_URL"]), &[])).unwrap_or(Value::Null)
    }

    /// Waits until users reach an app that takes writes, and gives its region.
    pub fn back(&self) -> String {
        wait_until("the edge answers with a database that takes writes", || self.edge()["db"]["writable"] == true);
        let answer = self.edge();
        println!("  edge: {answer}");
        answer["region"].as_str().unwrap().to_owned()
    }

    /// One value of a server's database `postgres`.
    pub fn sql(&self, server: &str, query: &str) -> String {
        self.sql_in(server, "postgres", query)
    }

    /// One value of a database of a server.
    pub fn sql_in(&self, server: &str, database: &str, query: &str) -> String {
        self.lab.lab("sql", &[server, "-d", database, "-Atc", query]).trim().to_owned()
    }

    /// How many orders a server has.
    pub fn count(&self, server: &str) -> u64 {
        self.sql_in(server, "platform", "select count(*) from orders").parse().unwrap()
    }

    /// A customer orders something by the public name, and is told that it is done.
    pub fn order(&self, note: &str) {
        let said = curl(&format!("{}/orders", self.lab["LAB_EDGE_URL"]), &["-d", &format!("{{\"note\":\"{note}\"}}")]);
        assert!(said.contains("\"id\""), "{said}");
    }

    /// How many pods of the API a cluster is to have.
    pub fn pods(&self, context: &str) -> String {
        let words = ["kubectl", "--context", context, "get", "deployment", "platform-api", "-o", "jsonpath={.spec.replicas}"];
        self.lab.lab("exec", &words).trim().to_owned()
    }

    /// What the writer's own log says.
    pub fn judge(&self) -> Value {
        serde_json::from_str(&self.lab.lab("judge", &[])).unwrap()
    }
}

fn curl(url: &str, args: &[&str]) -> String {
    // Who asks Route 53 names a key; who asks the app is not minded for it.
    let key = "Authorization: AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/route53/aws4_request, SignedHeaders=host, Signature=0";
    let output = Command::new("curl").args(["-s", "-m", "5", "-H", key]).args(args).arg(url).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
