//! What an estimate says, against what it would be: the plan is changed in its text and compiled again, times are drawn from a
//! formula, steps are made later one by one.

use drplan::analysis::Checked;
use drplan::analysis::estimate::{Ask, Change, Estimate, Source, estimate};
use drplan::compile::Input;
use drplan::graph::Graph;
use drplan::graph::schedule::{durations, schedule, worst_ms};
use drplan::render::estimate::{html, svg, text};

use super::dags;
use super::dice::{self, Taste};

fn few(seed: u64) -> Ask {
    Ask { samples: Some(20), seed, ..Ask::default() }
}

fn taste(seed: u64) -> Taste {
    Taste { steps: 4 + seed % 14, longest_ms: 600_000, grain_ms: 1_000, plain: false }
}

fn one(text: &str, input: &Input) -> Checked {
    let found = dice::compiled(text, input);
    let said = format!("{text}\n{:#?}", found.findings);
    found.checked.into_iter().next().unwrap_or_else(|| panic!("{said}"))
}

/// The text with what one step says changed.
fn with(text: &str, step: &str, change: impl Fn(&str) -> String) -> String {
    let own = format!("      - {{ id: {step},");
    let line = |line: &str| if line.starts_with(&own) { change(line) } else { line.to_owned() };
    text.lines().map(|l| line(l) + "\n").collect()
}

/// A key of a step's line with another value, or as a new one.
fn keyed(line: &str, key: &str, value: &str) -> String {
    let key = format!(", {key}: ");
    let Some(at) = line.find(&key) else {
        return line.replacen(" }", &format!("{key}{value} }}"), usize::from(!line.contains("with"))).replacen(
            ", uses:",
            &format!("{key}{value}, uses:"),
            usize::from(line.contains("with")),
        );
    };
    let rest = &line[at + key.len()..];
    let end = if rest.starts_with('[') { rest.find(']').unwrap() + 1 } else { rest.find([',', ' ']).unwrap() };
    format!("{}{key}{value}{}", &line[..at], &rest[end..])
}

/// The plan with a change made in its text.
fn changed(text: &str, input: &Input, change: &Change) -> (String, Input) {
    let mut input = input.clone();
    let text = match change {
        Change::Shorten { step, to_ms, .. } => with(text, step, |line| keyed(line, "takes", &format!("{to_ms}ms"))),
        Change::Beside { step, needs, .. } => with(text, step, |line| keyed(line, "needs", &format!("[{}]", needs.join(", ")))),
        Change::Parallel { to, .. } => {
            input.parallel = Some(*to);
            text.to_owned()
        }
        Change::Prepare { step, .. } => with(text, step, |line| keyed(line, "phase", "prepare")),
        Change::Share { step, with: other, locks, assets } => {
            let unlocked = with(text, step, |line| {
                let own =
                    ["crane", "hall"].into_iter().filter(|l| line.contains(&format!("lock: [{l}")) || line.contains(&format!(", {l}]")));
                let left: Vec<&str> = own.filter(|l| !locks.iter().any(|gone| gone == l)).collect();
                if locks.is_empty() { line.to_owned() } else { keyed(line, "lock", &format!("[{}]", left.join(", "))) }
            });
            match assets.is_empty() {
                true => unlocked,
                false => [step, other].into_iter().fold(unlocked, |text, step| with(&text, step, |line| keyed(line, "share", "both"))),
            }
        }
    };
    (text, input)
}

#[test]
fn what_a_change_is_said_to_win_it_wins() {
    let mut kinds = std::collections::BTreeMap::new();
    for seed in 0..dags().div_ceil(5) {
        let (text, input, checked) = dice::written(seed, taste(seed));
        let told = estimate(&checked, &few(seed));
        for lever in &told.levers {
            let (text, input) = changed(&text, &input, &lever.change);
            let found = one(&text, &input);
            let plan = found.compiled();
            let name = format!("{:?}", lever.change);
            *kinds.entry(name.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
            for (id, asset) in &told.assets {
                let Some(times) = &asset.recovery else { continue };
                let said = times.expected_ms + lever.lost_ms.get(id).copied().unwrap_or(0) - lever.won_ms.get(id).copied().unwrap_or(0);
                let seen = plan.predictions.get(id).and_then(|p| p.recovery_ms);
                assert_eq!(seen, Some(said), "seed {seed}: `{id}` after {name}\n{text}");
                let kept = asset.late() && seen <= asset.rto_ms;
                assert_eq!(kept, lever.keeps.contains(id), "seed {seed}: `{id}` after {name}");
            }
            let said = told.run.expected_ms + lever.run_lost_ms - lever.run_won_ms;
            assert_eq!(plan.predicted_ms, said, "seed {seed}: {name}");
        }
    }
    assert!(kinds.len() == 5, "{kinds:?}");
    println!("{kinds:?}");
}

#[test]
fn the_same_plan_and_seed_give_the_same_bytes() {
    for seed in 0..dags().div_ceil(50) {
        let (checked, _) = dice::plan(seed, taste(seed));
        let all = |seed| {
            let one = [estimate(&checked, &few(seed))];
            let json = serde_json::to_string(&one).unwrap();
            (json, text::render(&one[0]), svg::render(&one), html::render(&one))
        };
        assert_eq!(all(seed), all(seed));
    }
    let (checked, _) = dice::plan(3, taste(3));
    assert_ne!(estimate(&checked, &few(1)).run.drawn, estimate(&checked, &few(2)).run.drawn, "another seed draws other runs");
}

#[test]
fn an_estimate_says_what_the_prediction_says() {
    for seed in 0..dags().div_ceil(10) {
        let (checked, _) = dice::plan(seed, taste(seed));
        let plan = checked.compiled();
        let told = estimate(&checked, &few(seed));
        assert_eq!(told.run.expected_ms, plan.predicted_ms, "seed {seed}");
        assert_eq!(told.assets.keys().collect::<Vec<_>>(), plan.predictions.keys().collect::<Vec<_>>(), "seed {seed}");
        for (id, asset) in &told.assets {
            assert_eq!(asset.recovery.as_ref().map(|t| t.expected_ms), plan.predictions[id].recovery_ms, "seed {seed}: {id}");
        }
        for times in told.assets.values().filter_map(|a| a.recovery.as_ref()).chain([&told.run]) {
            let d = &times.drawn;
            let sorted = [d.least_ms, d.p50_ms, d.p90_ms, d.p95_ms, d.p99_ms, d.most_ms, times.worst_ms];
            assert!(sorted.is_sorted(), "seed {seed}: {times:?}");
            assert_eq!(d.counts.iter().sum::<usize>(), told.samples);
        }
        for line in text::render(&told).lines() {
            assert!(line.chars().count() < 80, "seed {seed}: {line}");
        }
        tiers(&told);
    }
}

/// The last asset of a tier is the last.
fn tiers(told: &Estimate) {
    for (name, tier) in &told.tiers {
        let back = |id: &String| told.assets[id].recovery.as_ref().map(|t| t.expected_ms);
        let of_tier = told.assets.iter().filter(|(_, a)| a.tier.as_ref() == Some(name) && a.rto_ms.is_some());
        assert_eq!(tier.last.as_ref().and_then(back), of_tier.filter_map(|(id, _)| back(id)).max(), "{name}");
    }
}

/// A plan of steps as they are given, of which nothing waits for a lock or a slot.
fn plain(steps: &str) -> Checked {
    let head = "drplan: v1\nname: p\nassets: { a: { kind: other, tier: none }, b: { kind: other, tier: none }, c: { kind: other, tier: none } }\ncontacts: { lead: {} }\n";
    let steps: String = steps.lines().map(|line| format!("      {}\n", line.trim())).collect();
    one(&format!("{head}scenarios:\n  s:\n    cause: planned\n    steps:\n{steps}"), &Input::default())
}

const LOOK: &str = "uses: command, effect: read, with: { argv: [look] }";

#[test]
fn the_worst_case_is_attempts_times_timeout_and_the_pauses() {
    let checked = plain(&format!(
        "      - {{ id: a, asset: a, phase: verify, takes: 1s, timeout: 10s, retry: {{ attempts: 3, delay: 2s, factor: 2 }}, {LOOK} }}\n\
               - {{ id: b, asset: b, takes: 5m, needs: [], uses: manual, with: {{ do: it }}, undo: {{ none: no }} }}\n\
               - {{ id: c, asset: c, needs: [a], takes: 1s, phase: verify, {LOOK} }}\n"
    ));
    let told = estimate(&checked, &few(1));
    let times = |id: &str| told.assets[id].recovery.clone().unwrap();
    // 3 × 10s + 2s + 4s.
    assert_eq!((times("a").worst_ms, times("a").unbounded.len()), (36_000, 0));
    assert_eq!((times("b").expected_ms, times("b").unbounded), (300_000, vec!["b".to_owned()]));
    // Without a time-out of its own four times what it takes, at least 30s; after `a` at its worst.
    assert_eq!((times("c").worst_ms, times("c").unbounded.len()), (66_000, 0));
    assert_eq!(told.run.unbounded, ["b"]);
    assert_eq!(worst_ms(&checked.compiled().scenario.steps[1]), None);
}

#[test]
fn what_is_drawn_is_the_triangle() {
    let checked = plain(&format!("      - {{ id: a, asset: a, phase: verify, takes: 100s, timeout: 400s, {LOOK} }}\n"));
    let told = estimate(&checked, &Ask { samples: Some(200_000), seed: 7, ..Ask::default() });
    let drawn = &told.run.drawn;
    // From 50 over 100 to 400: above the mode, 1 - F(x) = (400 - x)² / (350 × 300).
    let exact = |share: f64| 400_000.0 - ((1.0 - share) * 350.0 * 300.0).sqrt() * 1_000.0;
    for (ms, share) in [(drawn.p50_ms, 0.5), (drawn.p90_ms, 0.9), (drawn.p95_ms, 0.95), (drawn.p99_ms, 0.99)] {
        assert!((ms as f64 - exact(share)).abs() < 2_500.0, "{share}: {ms} and {}", exact(share));
    }
    assert!((50_000..52_000).contains(&drawn.least_ms) && (397_000..=400_000).contains(&drawn.most_ms), "{drawn:?}");
    // A manual step has no time-out: twice what it takes at most.
    let checked = plain("      - { id: a, takes: 100s, uses: manual, with: { do: it }, undo: { none: no } }\n");
    let told = estimate(&checked, &few(1));
    assert_eq!(told.steps[0].source, Source::Triangle { low_ms: 50_000, mode_ms: 100_000, high_ms: 200_000 });
}

#[test]
fn earlier_runs_count_where_there_are_enough() {
    let checked = plain(&format!(
        "      - {{ id: a, asset: a, phase: verify, takes: 100s, {LOOK} }}\n      - {{ id: b, asset: b, phase: verify, takes: 100s, {LOOK} }}\n"
    ));
    let past = [("a".to_owned(), vec![7_000, 5_000, 6_000, 5_000, 9_000]), ("b".to_owned(), vec![1; 4])].into_iter().collect();
    let told = estimate(&checked, &Ask { samples: Some(500), seed: 1, past });
    assert_eq!(told.steps[0].source, Source::Journal { passed: 5, low_ms: 5_000, middle_ms: 6_000, high_ms: 9_000 });
    assert!(matches!(told.steps[1].source, Source::Triangle { .. }), "four are not enough");
    let drawn = &told.assets["a"].recovery.as_ref().unwrap().drawn;
    assert_eq!((drawn.least_ms, drawn.p50_ms, drawn.most_ms), (5_000, 6_000, 9_000));
    let said = text::render(&told).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("for 1 step the journal"), "{said}");
}

#[test]
fn who_decides_is_counted() {
    // `a` ends after `b` unless it ends before 20s of its 10 to 40: `c` waits for both.
    let checked = plain(&format!(
        "      - {{ id: a, asset: a, takes: 20s, timeout: 40s, phase: verify, {LOOK} }}\n\
               - {{ id: b, asset: b, needs: [], takes: 20s, phase: verify, uses: wait, with: {{ for: 20s }}, timeout: 20s }}\n\
               - {{ id: c, asset: c, needs: [a, b], takes: 1s, phase: verify, {LOOK} }}\n"
    ));
    let told = estimate(&checked, &Ask { samples: Some(10_000), seed: 1, ..Ask::default() });
    let of = |i: usize| told.steps[i].decides;
    assert_eq!((of(0) + of(1), of(2)), (10_000, 10_000), "one of both, and always the last");
    // P(a > 20s) = 2/3.
    assert!((6_400..6_900).contains(&of(0)), "{}", of(0));
}

/// A step may end later by its slack, and by no more, where nothing waits for locks or slots.
#[test]
fn slack_is_as_much_as_there_is() {
    let mut looked = 0;
    for seed in 0..dags().div_ceil(5) {
        let (text, mut input, _) = dice::written(seed, taste(seed));
        let free: String = text.lines().map(|l| without(l, &["lock", "asset", "share"]) + "\n").collect();
        let free = free.replace("loses: { assets", "leaves: [names]\n    loses: { assets");
        input.parallel = Some(1_000);
        let Some(checked) = dice::compiled(&free, &input).checked.into_iter().next() else { continue };
        let told = estimate(&checked, &few(1));
        for (i, step) in told.steps.iter().enumerate().filter(|(_, s)| s.counts) {
            let total = |more: i64| {
                let mut plan = checked.compiled().clone();
                plan.scenario.steps[i].takes_ms = plan.scenario.steps[i].takes_ms.checked_add_signed(more).unwrap();
                let graph = Graph::of(&plan).unwrap();
                schedule(&plan, &graph, &durations(&plan)).total_ms
            };
            // Where alternatives are, longer may make another branch the one that counts.
            if checked.compiled().scenario.steps.iter().all(|s| s.when.is_empty()) {
                looked += 1;
                assert_eq!(total(step.slack_ms), told.run.expected_ms, "seed {seed}: {}", step.id);
                assert!(total(step.slack_ms + 1) > told.run.expected_ms, "seed {seed}: {}", step.id);
            }
        }
    }
    assert!(looked > 100, "{looked} steps");
}

/// What decides when the run ends has no slack, whatever it waits for.
#[test]
fn what_decides_has_no_slack() {
    for seed in 0..dags().div_ceil(5) {
        let (checked, _) = dice::plan(seed, taste(seed));
        let told = estimate(&checked, &few(1));
        let way = told.ways.iter().find(|w| w.asset.is_none()).map(|w| w.steps.clone()).unwrap_or_default();
        let step = |id: &String| told.steps.iter().find(|s| s.id == *id).unwrap();
        let mut at = 0;
        for hop in &way {
            let step = step(&hop.step);
            assert_eq!((step.start_ms, step.slack_ms), (at, 0), "seed {seed}: {} of {way:?}", step.id);
            at = step.end_ms;
        }
        assert_eq!(at, told.run.expected_ms, "seed {seed}: {way:?}");
        assert!(told.steps.iter().all(|s| s.slack_ms >= 0), "seed {seed}");
    }
}

fn without(line: &str, keys: &[&str]) -> String {
    let mut out = line.to_owned();
    for key in keys.iter().filter(|_| line.starts_with("      - { id:")) {
        let key = format!(", {key}: ");
        if let Some(at) = out.find(&key) {
            let rest = &out[at + key.len()..];
            let end = if rest.starts_with('[') { rest.find(']').unwrap() + 1 } else { rest.find([',', ' ']).unwrap() };
            out = format!("{}{}", &out[..at], &rest[end..]);
        }
    }
    out
}

/// What a person wrote stays a text on a page.
#[test]
fn pages_obey_no_text() {
    let evil = "drplan: v1\nname: p\nscenarios:\n  s:\n    cause: planned\n    steps:\n      - { id: a, takes: 1s, uses: wait, with: { for: 1s } }\n";
    let mut told = estimate(&one(evil, &Input::default()), &few(1));
    told.plan = "<script>alert(1)</script>\u{1b}[2J\"' onload=x".to_owned();
    let told = [told];
    for page in [html::render(&told), svg::render(&told)] {
        assert!(!page.contains("<script") && !page.contains('\u{1b}') && page.contains("&lt;script&gt;"), "{page}");
        assert_eq!(page.matches("http://").count(), page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count(), "{page}");
        assert!(!page.contains("https:") && !page.contains("url("), "{page}");
        let (open, close) = (page.matches("<text").count(), page.matches("</text>").count());
        assert_eq!(open, close);
    }
}
