//! What proving costs, beside what parsing the same bytes does: every rule about a plan and its scenarios, the schedule, recovery
//! times and data loss, on 10 000 steps with 50 000 edges; the exploration of states apart, which has its own bound. Then every
//! single loss of 1 000 assets. Fails when a figure misses its bound.

#[path = "support/clock.rs"]
mod clock;
#[path = "support/company.rs"]
mod company;
#[path = "support/parsing.rs"]
mod parsing;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

use company::{PATH, plan};
use drplan::analysis;
use drplan::analysis::facts::Facts;
use drplan::analysis::rules::{Looks, TABLE};
use drplan::analysis::states::{Ends, Wanted};
use drplan::analysis::what_if::{Loss, Single, WhatIf};
use drplan::compile::{Compilation, Input, compile};
use drplan::graph::Graph;
use parsing::{best, ms, parsing};

/// The program's own.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// All proofs but exploration, as a multiple of parsing.
const MOST_OVER_PARSING: f64 = 3.0;
/// Edges of the large plan.
const LEAST_EDGES: usize = 50_000;
/// Steps that each `close` step waits for, in the plan of many edges.
const FAN_IN: usize = 40;
/// All single losses of 1 000 assets, in milliseconds.
const MOST_LOSSES_MS: f64 = 1_000.0;
/// Rules that look at explored states.
const EXPLORE: [&str; 3] = ["newer-lost", "two-writers", "unverified-traffic"];

fn main() -> ExitCode {
    let (proving, asking) = (proofs(), losses());
    if proving && asking {
        return ExitCode::SUCCESS;
    }
    println!("too slow");
    ExitCode::FAILURE
}

/// All proofs but exploration on a plan of many edges.
fn proofs() -> bool {
    let text = tangled(10_000);
    let found = compiled(&text);
    let (Some(plan), [checked]) = (found.plan.as_deref(), found.checked.as_slice()) else { return false };
    let compiled = checked.compiled();
    let edges: usize = compiled.waits.iter().chain(compiled.joins.iter().map(|j| &j.waits)).map(Vec::len).sum();
    assert!(edges >= LEAST_EDGES, "only {edges} edges");
    let ends = Ends::new();
    let scenarios = [compiled.scenario.clone()];
    let parsing = parsing(&text);
    let proving = best(|| {
        let mut findings = Vec::new();
        analysis::judge(plan, &scenarios, &found.drills, &found.places, &mut findings);
        let graph = Graph::of(compiled).expect("it was ordered before");
        let facts = Facts::new(compiled, &found.places, 0, &graph, Wanted { states: 0, ends: &ends });
        for rule in TABLE.iter().filter(|r| !EXPLORE.contains(&r.name)) {
            if let Looks::Scenario(run) = rule.looks {
                run(&facts, &mut findings);
            }
        }
        assert!(findings.is_empty(), "{}", findings[0].headline);
        std::hint::black_box(&facts.predictions);
    });
    let over = proving.as_secs_f64() / parsing.as_secs_f64();
    println!("parser events, 10 000 steps, {:.1} MB:                {:>8.1} ms", text[PATH].len() as f64 / 1e6, ms(parsing));
    println!(
        "all proofs but exploration, {edges} edges:           {:>8.1} ms, {over:.2} × parsing (at most {MOST_OVER_PARSING})",
        ms(proving)
    );
    over <= MOST_OVER_PARSING
}

/// Every single loss of 1 000 assets, by every cause that can befall it.
fn losses() -> bool {
    let found = compiled(&plan(5_000));
    let (Some(plan), Some(checked)) = (found.plan.as_deref(), found.checked.first()) else { return false };
    assert_eq!(plan.assets.len(), 1_000);
    let mut asked = 0;
    let took = best(|| {
        let what = WhatIf::new(plan, &found.places, [&checked.compiled().scenario]);
        asked = 0;
        for row in what.matrix() {
            for cause in row.answers.into_keys() {
                let (sites, assets) = match row.what {
                    Single::Site(id) => (vec![id.to_owned()], Vec::new()),
                    Single::Asset(id) => (Vec::new(), vec![id.to_owned()]),
                };
                std::hint::black_box(what.ask(&Loss { cause, sites, assets, backups: Vec::new() }));
                asked += 1;
            }
        }
    });
    println!("what-if, {asked} single losses of 1 000 assets:        {:>8.1} ms (at most {MOST_LOSSES_MS})", ms(took));
    ms(took) <= MOST_LOSSES_MS
}

fn compiled(text: &BTreeMap<String, String>) -> Compilation {
    let input = Input { states: Some(0), ..Input::default() };
    let found = compile(text, PATH, &input).expect("the text is there");
    assert!(found.passed(), "{}", drplan::diagnostic::emit::short(&found.findings, &found.sources));
    found
}

/// The plan of a company in which the last step of each service waits for the checks of many others.
fn tangled(steps: usize) -> BTreeMap<String, String> {
    let mut all = plan(steps);
    let text = all.get_mut(PATH).expect("it is there");
    let services = steps / 10;
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text.as_str();
    for n in 0..services {
        let wanted = format!("needs: [smoke-{n}]");
        let at = rest.find(&wanted).expect("each service has one");
        out.push_str(&rest[..at]);
        write!(out, "needs: [smoke-{n}").expect("a text takes all");
        (1..=FAN_IN).for_each(|k| write!(out, ", smoke-{}", (n + k) % services).expect("a text takes all"));
        out.push(']');
        rest = &rest[at + wanted.len()..];
    }
    out.push_str(rest);
    *text = out;
    all
}
