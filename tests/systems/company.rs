//! A company: trading in one region of two, users in both, and a vault.

use super::{Story, hold};

const PEOPLE: &[&str] = &["operations", "management"];

#[test]
fn company() {
    let story =
        |scenario, dies_in| Story { plan: "company", scenario, people: PEOPLE, dies_in, back: None, lose: scenario, passed_over: &[] };
    hold(&[
        story("database-failure", "restore"),
        story("server-failure", "restore-config"),
        story("data-corruption", "copy-back"),
        story("ransomware", "restore-user-db-west"),
        story("region-loss", "switch-trading"),
        story("weekly-backups", "trading-dump-valid"),
    ]);
}
