//! `drplan estimate` as a person types it.

use serde_json::Value;

use super::support::desk::Desk;

const PLAN: &str = r#"
drplan: v1
name: notes
tiers: { gold: { rto: 1m } }
assets: { app: { kind: other, tier: gold } }
scenarios:
  one:
    cause: outage
    loses: { assets: [app] }
    detect: 10s
    steps:
      - { id: look, asset: app, phase: verify, takes: 40s, uses: command, effect: read, with: { argv: ["true"] } }
  two:
    cause: outage
    loses: { assets: [app] }
    detect: 10s
    steps:
      - { id: look, asset: app, phase: verify, takes: 90s, uses: command, effect: read, with: { argv: ["true"] } }
"#;

#[test]
fn a_missed_objective_is_told_and_the_exit_code_is_0() {
    let desk = Desk::new(PLAN);
    let said = desk.say(&["estimate", "plan.yaml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("gold: `app` is back last, after 50s, and keeps the RTO of 1m, 10s to spare"), "{}", said.out);
    assert!(said.out.contains("gold: `app` is back last, after 1m40s, and breaks the RTO of 1m by 40s"), "{}", said.out);
    assert!(said.out.contains("`look` in 50s instead of 1m30s"), "as little as keeps the objective: {}", said.out);
    assert!(said.out.lines().all(|line| line.chars().count() < 80), "{}", said.out);
    assert!(said.err.contains("no journal at"), "{}", said.err);
    assert_eq!(desk.say(&["estimate", "plan.yaml"]).out, said.out, "the same seed, the same bytes");
    assert_ne!(desk.say(&["estimate", "plan.yaml", "--seed", "2"]).out, said.out);
}

#[test]
fn it_is_refused_where_it_cannot_be() {
    let desk = Desk::new(&PLAN.replace("takes: 40s", "takes: 40"));
    assert_eq!(desk.say(&["estimate", "plan.yaml"]).code, Some(1));
    let desk = Desk::new(PLAN);
    assert_eq!(desk.say(&["estimate", "plan.yaml", "--samples", "0"]).code, Some(2));
    assert_eq!(desk.say(&["estimate", "plan.yaml", "-s", "three"]).code, Some(2));
    assert_eq!(desk.say(&["estimate", "none.yaml"]).code, Some(3));
}

#[test]
fn every_format_is_written_where_it_is_wanted() {
    let desk = Desk::new(PLAN);
    let json: Value = serde_json::from_str(&desk.say(&["estimate", "plan.yaml", "--json", "--samples", "50"]).out).unwrap();
    let first = &json["estimates"][0];
    assert_eq!(
        (&first["scenario"], &first["samples"], &first["assets"]["app"]["recovery"]["expected_ms"]),
        (&"one".into(), &50.into(), &50_000.into())
    );
    for (format, begins) in [("json", "{"), ("text", "notes · one"), ("html", "<!doctype html>"), ("svg", "<svg ")] {
        let said = desk.say(&["estimate", "plan.yaml", "--format", format, "--out", "page"]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");
        assert!(desk.text("page").starts_with(begins), "{format}: {}", desk.text("page"));
        assert_eq!(desk.say(&["estimate", "plan.yaml", "--format", format]).out, desk.text("page"), "{format}");
    }
    let drawn = desk.text("page");
    assert!(drawn.trim_end().ends_with("</svg>") && drawn.matches("notes · ").count() == 2, "{drawn}");
}

#[test]
fn earlier_runs_of_the_journal_count() {
    let desk = Desk::new(PLAN);
    for _ in 0..5 {
        assert_eq!(desk.say(&["run", "plan.yaml", "-s", "one", "--yes"]).code, Some(0));
    }
    let json: Value = serde_json::from_str(&desk.say(&["estimate", "plan.yaml", "--json"]).out).unwrap();
    let source = |n: usize| json["estimates"][n]["steps"][0]["source"].clone();
    assert_eq!((&source(0)["from"], &source(0)["passed"]), (&"journal".into(), &5.into()));
    assert_eq!(source(1)["from"], "triangle", "another scenario");
    let back = &json["estimates"][0]["assets"]["app"]["recovery"];
    assert!(back["expected_ms"] == 50_000 && back["drawn"]["p99_ms"].as_u64().unwrap() < 20_000, "{back}");
}
