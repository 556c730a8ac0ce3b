//! How long it takes to look at every state of a scenario: plans of 25 steps, as wide as eight, all of them on one asset.
//! Fails when one of them needs more than a second.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use drplan::compile::{Input, compile};

/// The program's own.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MOST_MS: f64 = 1_000.0;
const PATH: &str = "plan.yaml";

fn main() -> ExitCode {
    let mut slow = false;
    for (name, chain) in [("restore, bring up, look", RESTORE), ("stop, promote, look", PROMOTE), ("look, look, look", LOOK)] {
        let text = BTreeMap::from([(PATH.to_owned(), plan(chain))]);
        let input = Input { states: Some(u64::MAX), ..Input::default() };
        let began = Instant::now();
        let found = compile(&text, PATH, &input).expect("the text is there");
        let ms = began.elapsed().as_secs_f64() * 1e3;
        let explored = found.explored.values().next().expect("it can be ordered");
        assert!(explored.sampled.is_empty() && explored.left.is_empty(), "{explored:?}");
        let most = explored.parts.iter().map(|p| p.steps.len()).max().unwrap_or_default();
        println!(
            "8 × {name}, then a switch: {most} steps on one asset, {} states, {} orders, {} bad: {ms:.1} ms (at most {MOST_MS})",
            explored.states,
            explored.orders,
            explored.bad.len()
        );
        slow |= ms > MOST_MS;
    }
    if slow {
        println!("too slow");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Eight chains side by side, and one step after them.
fn plan(chain: &[&str]) -> String {
    let mut text = HEAD.to_owned();
    for site in 0..8 {
        for (n, step) in chain.iter().enumerate() {
            let needs = if n == 0 { String::new() } else { format!("s{site}-{}", n - 1) };
            text.push_str(&format!(
                "      - {{ id: s{site}-{n}, asset: db, at: site-{site}, needs: [{needs}], takes: 1s, when_unreachable: ask, {step} }}\n"
            ));
        }
    }
    text.push_str("      - { id: switch, asset: www, uses: route53.upsert, with: { value: x.example.com }, takes: 1s, undo: auto }\n");
    text
}

const RESTORE: &[&str] = &[
    "from: nightly, phase: prepare, uses: command, with: { argv: [x] }, undo: { none: x }",
    "phase: prepare, uses: command, with: { argv: [x] }, undo: { none: x }",
    "phase: verify, uses: command, effect: read, with: { argv: [look] }",
];
const PROMOTE: &[&str] = &[
    "phase: contain, uses: command, with: { argv: [x] }, check: { uses: command, effect: read, with: { argv: [y] } }, undo: { none: x }",
    "from: replica, uses: command, with: { argv: [x] }, undo: { none: x }",
    "phase: verify, uses: command, effect: read, with: { argv: [look] }",
];
const LOOK: &[&str] = &["phase: verify, uses: command, effect: read, with: { argv: [look] }"; 3];

const HEAD: &str = r#"drplan: v1
name: wide
sites: { site-0: {}, site-1: {}, site-2: {}, site-3: {}, site-4: {}, site-5: {}, site-6: {}, site-7: {}, global: {} }
assets:
  db:
    kind: other
    tier: none
    site: site-0
    replicas:
      - { site: site-1, mode: streaming, max_lag: 10s }
      - { site: site-2, mode: streaming, max_lag: 10s }
      - { site: site-3, mode: streaming, max_lag: 10s }
      - { site: site-4, mode: streaming, max_lag: 10s }
      - { site: site-5, mode: streaming, max_lag: 10s }
      - { site: site-6, mode: streaming, max_lag: 10s }
      - { site: site-7, mode: streaming, max_lag: 10s }
    backups: [{ id: nightly, method: dump, schedule: "0 2 * * *", takes: 10m, to: "s3://b/db/", site: global }]
  www: { kind: route53, tier: none, site: global, depends_on: [db], connect: { zone: Z1, record: www.example.com, type: CNAME, ttl: 60s } }
scenarios:
  lost:
    cause: outage
    loses: { sites: [site-0] }
    detect: 5m
    steps:
"#;
