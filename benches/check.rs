//! How long `check` takes beside the bare parser events over the same bytes, and how it grows. Prints the ratios and
//! fails if they are worse than promised: at most 4 × the events for 10 000 steps, at most 11 × that for 100 000.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use drplan::compile::{Compilation, Input, compile};

fn main() {
    // Without optimisation the numbers say nothing; `cargo test --all-targets` runs benches so.
    let quick = cfg!(debug_assertions);
    let (small, large) = if quick { (200, 2_000) } else { (10_000, 100_000) };
    let text = plan(small);
    let events = best(5, || assert!(count_events(&text) > small));
    let check = best(5, || passed(&checked(&text), small));
    println!("{small} steps, {:.1} MB: events {events:.1?}, check {check:.1?}, ratio {:.2} (at most 4)", mb(&text), ratio(check, events));
    let big = plan(large);
    let check_big = best(if quick { 1 } else { 2 }, || passed(&checked(&big), large));
    println!("{large} steps, {:.1} MB: check {check_big:.1?}, ratio {:.2} (at most 11)", mb(&big), ratio(check_big, check));
    if !quick && (ratio(check, events) > 4.0 || ratio(check_big, check) > 11.0) {
        println!("slower than promised");
        std::process::exit(1);
    }
}

/// A plan of many steps over a hundred assets, about 480 bytes a step; one in a hundred is an `assess` step.
fn plan(steps: usize) -> String {
    let mut out = String::from("drplan: v1\nname: large\nparams:\n  host: { default: example.com }\nassets:\n");
    for a in 0..100 {
        let depends = if a > 0 { format!("depends_on: [asset-{}], ", a - 1) } else { String::new() };
        writeln!(out, "  asset-{a}: {{ kind: http, tier: none, {depends}connect: {{ url: \"https://a{a}.${{params.host}}/\" }} }}")
            .expect("a string");
    }
    out.push_str("scenarios:\n  move:\n    cause: planned\n    steps:\n");
    for i in 0..steps {
        let assess = i % 100 == 0 && i < steps / 2;
        let asset = i * 100 / steps;
        writeln!(out, "      - id: step-{i}").expect("a string");
        writeln!(out, "        title: Step {i} of a plan that is large enough to show how the time grows with it").expect("a string");
        writeln!(out, "        asset: asset-{asset}").expect("a string");
        writeln!(
            out,
            "        phase: {}",
            if assess {
                "assess"
            } else if i % 3 == 0 {
                "verify"
            } else {
                "recover"
            }
        )
        .expect("a string");
        if assess {
            out.push_str("        needs: []\n");
        }
        writeln!(out, "        uses: command").expect("a string");
        writeln!(out, "        with: {{ argv: [systemctl, restart, \"service-{i}.${{params.host}}\"], env: {{ STEP: \"{i}\" }} }}")
            .expect("a string");
        writeln!(out, "        effect: {}", if assess { "read" } else { "idempotent" }).expect("a string");
        writeln!(out, "        takes: {}s\n        timeout: 2m", 1 + i % 60).expect("a string");
        writeln!(out, "        retry: {{ attempts: 3, delay: 2s, factor: 2, max_delay: 30s }}").expect("a string");
        if !assess {
            writeln!(out, "        undo: {{ uses: command, with: {{ argv: [systemctl, stop, \"service-{i}\"] }} }}").expect("a string");
        }
    }
    out
}

fn checked(text: &str) -> Compilation {
    let files = BTreeMap::from([("plan.yaml".to_owned(), text.to_owned())]);
    compile(&files, "plan.yaml", &Input::default()).expect("the text is there")
}

fn passed(plan: &Compilation, steps: usize) {
    let first = plan.findings.first().map(|f| &f.headline);
    assert!(plan.passed() && plan.checked[0].compiled().scenario.steps.len() == steps, "{first:?}");
}

fn count_events(text: &str) -> usize {
    granit_parser::Parser::new_from_str(text).inspect(|e| assert!(e.is_ok(), "the plan is YAML")).count()
}

fn best(times: u32, mut work: impl FnMut()) -> Duration {
    let once = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..times).map(|_| once(&mut work)).min().expect("at least once")
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn mb(text: &str) -> f64 {
    text.len() as f64 / 1e6
}
