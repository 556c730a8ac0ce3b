//! The laws of the actions on PostgreSQL that go through the server alone.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::laws::{Law, Stand, hold};
use super::postgres::{PASSWORD, Server, psql};
use super::postgres_follow::Pair;
use super::room::Room;
use super::stands::{EFFECT, READS, because};

/// A look, a statement or a fence on a database `shop` of one table.
struct One(Server, &'static str);

impl One {
    fn start(action: &'static str, with: Value) -> One {
        One(Server::start(action, with), action)
    }

    fn maintenance(&self, sql: &str) -> String {
        psql(self.0.port, "postgres", sql).unwrap_or_else(|| panic!("{sql}"))
    }
}

#[async_trait]
impl Stand for One {
    fn action(&self) -> &'static str {
        self.1
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        match self.1 {
            "postgres.check" => because(&EFFECT, READS),
            "postgres.fence" => because(&[Law::Newer], "it has two states: a fence that somebody lifted is as it was before"),
            _ => {
                let told = "the other side alone knows whether anything happened: its probe says so, and a `check` of the step tells";
                let mut out = because(&[Law::Twice], told);
                out.extend(because(&[Law::Undo], "what takes it back the plan names"));
                out
            }
        }
    }

    fn room(&self, at: &str) -> Room {
        self.0.at(at, PASSWORD, "shop")
    }

    fn server(&self) -> String {
        self.0.server()
    }

    fn state(&self) -> String {
        let rows = psql(self.0.port, "shop", "select count(*), md5(string_agg(note, ',' order by n)) from orders");
        format!("{rows:?}, {}", self.maintenance("select datallowconn from pg_database where datname = 'shop'"))
    }

    fn reset(&self) {
        self.maintenance("alter database shop with allow_connections true");
        self.0.reset();
    }

    fn meddle(&self) {
        self.0.sql("update orders set note = 'theirs' where n = 1");
    }

    fn refused(&self) -> Room {
        self.0.at(&self.server(), "another", "shop")
    }

    fn absent(&self) -> Room {
        self.0.at(&self.server(), PASSWORD, "none")
    }

    fn secret(&self) -> String {
        PASSWORD.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        (self.0.at(&self.server(), "${secrets.pw}", "shop"), vec![("SECRET_PW".to_owned(), PASSWORD.to_owned())])
    }
}

#[tokio::test]
async fn a_look_keeps_the_laws() {
    hold(&One::start("postgres.check", json!({ "query": "select count(*) from orders", "expect": 500 }))).await;
}

#[tokio::test]
async fn a_statement_keeps_the_laws() {
    hold(&One::start("postgres.query", json!({ "query": "update orders set note = $1 where n = 1", "params": ["asked"] }))).await;
}

#[tokio::test]
async fn a_fence_keeps_the_laws() {
    hold(&One::start("postgres.fence", json!({}))).await;
}

/// A look at a replica, or its promotion, while its primary lives.
struct Replica(Pair, &'static str);

impl Replica {
    fn start(action: &'static str) -> Replica {
        let own = Replica(Pair::kept_as_replica(), action);
        own.reset();
        own
    }

    fn at(&self, at: &str, password: &str, database: &str) -> Room {
        let mut room = self.0.old.room(self.1, at, password);
        room.target.as_mut().unwrap().connect.insert("database".to_owned(), json!(database));
        room
    }
}

#[async_trait]
impl Stand for Replica {
    fn action(&self) -> &'static str {
        self.1
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        if self.1 == "postgres.lag" {
            return because(&EFFECT, READS);
        }
        let mut out = because(&[Law::There], "a server that took writes before the step is not the replica that is meant: it is refused");
        out.extend(because(&[Law::Undo], "it has no undo of its own"));
        out
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn room(&self, at: &str) -> Room {
        self.at(at, PASSWORD, "shop")
    }

    fn server(&self) -> String {
        self.0.server()
    }

    fn state(&self) -> String {
        let sql = "select pg_is_in_recovery(), (select datallowconn from pg_database where datname = 'shop')";
        psql(self.0.port, "postgres", sql).unwrap_or_default()
    }

    /// What only looks leaves it as it was.
    fn reset(&self) {
        if self.state() != "t|t" {
            self.0.reset();
        }
    }

    fn meddle(&self) {
        psql(self.0.port, "postgres", "alter database shop with allow_connections false").unwrap();
    }

    fn refused(&self) -> Room {
        self.at(&self.server(), "another", "shop")
    }

    /// A promotion wants its database, a look a replica.
    fn absent(&self) -> Room {
        match self.1 {
            "postgres.lag" => self.at(&self.0.old.at(), PASSWORD, "shop"),
            _ => self.at(&self.server(), PASSWORD, "none"),
        }
    }

    fn secret(&self) -> String {
        PASSWORD.to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        (self.at(&self.server(), "${secrets.pw}", "shop"), vec![("SECRET_PW".to_owned(), PASSWORD.to_owned())])
    }
}

#[tokio::test]
async fn a_look_at_the_lag_keeps_the_laws() {
    hold(&Replica::start("postgres.lag")).await;
}

#[tokio::test]
async fn a_promotion_keeps_the_laws() {
    hold(&Replica::start("postgres.promote")).await;
}
