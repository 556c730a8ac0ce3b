//! Records in PostgreSQL and ClickHouse, and the archive that nobody deletes.

use super::desk::Desk;
use super::house::House;
use super::{Story, hold};

const PEOPLE: &[&str] = &["records-oncall", "data-lead"];

fn story(scenario: &'static str, dies_in: &'static str) -> Story {
    Story { plan: "records", scenario, people: PEOPLE, dies_in, back: None, lose: scenario, passed_over: &[] }
}

#[test]
fn records() {
    hold(&[
        story("postgres-loss", "restore"),
        story("clickhouse-loss", "restore"),
        story("hot-data-loss", "restore-rows"),
        story("nightly-backup", "run-dump"),
    ]);
}

/// What the quarter's drill does, in the rehearsal namespace with stores of its own: what was lost there is there again, production is as
/// it was, and the time from the loss until the service is healthy is told beside the objective.
#[test]
fn records_rehearsed() {
    let house = House::up("records");
    let said = house.verb(&["lose-rehearsed"]).unwrap_or_else(|said| panic!("{said}"));
    let (told, known): (Vec<&str>, Vec<&str>) = said.lines().filter(|l| l.contains('=')).partition(|l| l.starts_with("lost_at="));
    let story = story("postgres-loss", "");
    let lost_at = told[0].trim_start_matches("lost_at=");
    let end = Desk::new(&house, &story, &known).rehearsed("quarterly-postgresql", lost_at);
    house.verb(&["judge-rehearsed"]).unwrap_or_else(|said| panic!("{said}"));
    let service = end.lines().find(|l| l.trim_start().starts_with("api ")).unwrap_or_default();
    assert!(service.contains("30m 00s") && service.contains("RTO met"), "{end}");
    assert!(!end.contains("nobody gave --incident-start"), "{end}");
}
