//! Every plan under `tests/broken` is refused at exactly the places that its own `# expect: LINE:COL rule` comments
//! name, with nothing said twice, and what a person sees of it stands in `snapshots/broken`. Plans are written before the
//! rules that they hit: those that wait for theirs stand in `tests/broken/pending`, and are refused there once it is built.

#[path = "support/texts.rs"]
mod texts;

use std::path::PathBuf;

use drplan::analysis::rules;
use drplan::compile::{Compilation, Input, PLAN, compile};
use drplan::diagnostic::Level;
use drplan::diagnostic::emit::{self, Judged, Look, human};
use drplan::model::Verdict;

fn plans() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    let name = |p: &PathBuf| p.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|p| (name(p), std::fs::read(p).unwrap())).collect()
}

/// Names of plans whose rules are not built yet.
fn pending() -> Vec<String> {
    let list = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken/pending")).unwrap_or_default();
    list.lines().map(str::to_owned).collect()
}

/// Plans whose rules are built.
fn built() -> Vec<(String, Vec<u8>)> {
    let pending = pending();
    plans().into_iter().filter(|(name, _)| !pending.contains(name)).collect()
}

fn compiled(name: &str, text: &[u8]) -> Compilation {
    let (path, files) = texts::files(text, &format!("{name}.yaml"));
    let input = Input { today: Some(jiff::civil::date(2026, 11, 21)), ..Input::default() };
    compile(&files, &path, &input).unwrap()
}

fn found(plan: &Compilation) -> Vec<String> {
    let place = |f: &drplan::diagnostic::Diagnostic| {
        let source = plan.sources.get(f.span().source);
        let (line, column) = source.line_col(f.span().start);
        let file = if f.span().source == PLAN { String::new() } else { format!("{}:", source.name) };
        format!("{file}{line}:{column} {}", f.rule)
    };
    plan.findings.iter().map(place).collect()
}

#[test]
fn each_is_refused_where_it_says() {
    let mut wrong = Vec::new();
    let (all, pending) = (plans(), pending());
    assert!(all.len() >= 30, "{} broken plans", all.len());
    for (name, text) in &all {
        let said = String::from_utf8_lossy(text);
        let expected: Vec<&str> = said.lines().filter_map(|l| l.strip_prefix("# expect: ")).collect();
        let plan = compiled(name, text);
        if pending.contains(name) {
            if found(&plan) == expected {
                wrong.push(format!("{name}: is found as it should be: take it out of `tests/broken/pending`"));
            }
            continue;
        }
        if expected.is_empty() || found(&plan) != expected {
            wrong.push(format!("{name}: expected {expected:?}, found {:?}", found(&plan)));
        }
        let own = |rule: &str| plan.plan.as_ref().is_some_and(|p| p.policy.rules.get(rule) == Some(&Verdict::Deny));
        let refusing =
            |f: &&str| f.split(' ').nth(1).is_none_or(|name| own(name) || rules::find(name).is_none_or(|r| r.level == Level::Deny));
        if plan.passed() == expected.iter().any(refusing) {
            wrong.push(format!("{name}: passed: {}", plan.passed()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_finding_of_the_catalogue_occurs() {
    let all: Vec<String> = plans().iter().flat_map(|(name, text)| found(&compiled(name, text))).collect();
    let occurs = |rule: &str| all.iter().any(|f| f.ends_with(&format!(" {rule}")));
    let missing: Vec<&str> = rules::TABLE.iter().map(|r| r.name).filter(|name| !occurs(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    println!("{} broken plans, {} findings, {} rules", plans().len(), all.len(), rules::TABLE.len());
}

#[test]
fn each_is_explained_to_a_person() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/broken"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, text) in built() {
            let plan = compiled(&name, &text);
            insta::assert_snapshot!(name, human(&plan.findings, &plan.sources, Look::default()));
        }
    });
}

#[test]
fn nobody_sees_rust_or_a_library() {
    let foreign = [
        "serde",
        "invalid type",
        "missing field",
        "unknown field",
        "expected struct",
        "did not find expected",
        "unwrap",
        "Some(",
        "Err(",
        "ParseInt",
    ];
    for (name, text) in built() {
        let plan = compiled(&name, &text);
        let seen = human(&plan.findings, &plan.sources, Look::default());
        let shown = foreign.iter().find(|w| seen.contains(**w));
        assert_eq!(shown, None, "{name}:\n{seen}");
        for f in &plan.findings {
            assert!(!f.headline.ends_with('.') && !f.headline.starts_with(|c: char| c.is_ascii_uppercase()), "{name}: {}", f.headline);
            assert!(rules::find(f.rule).is_some(), "{name}: rule {} is not in the table", f.rule);
            assert!(f.help.is_some(), "{name}: {} says not what to type", f.headline);
        }
    }
}

/// What must not be seen of `188-…` to `198-…`, whatever the format.
const SECRETS: &[&str] = &[
    "AKIAIOSFODNN7",
    "wJalrXUtnFEMI",
    "ghp_0123456789",
    "glpat-0123456789",
    "eyJhbGciOiJIUzI1NiJ9",
    "hooks.slack.com",
    "b3BlbnNzaC1rZXktdjEA",
    "Tr0ub4dor",
    "hunter22",
    "s3cr3t-pass",
    "Sommer2026",
    "letmein",
    "correct-horse",
    "Winter2026",
];

#[test]
fn no_format_shows_a_secret() {
    let mut held = 0;
    // A finding next to a secret draws its line, too, and a text that cannot be read has no values.
    let beside = plans().into_iter().flat_map(|(name, text)| {
        let cut = [text.as_slice(), b"broken: \"never closed\n"].concat();
        [(name.clone(), text), (name, cut)]
    });
    for (name, text) in beside.filter(|(name, _)| name.as_str() > "188" && name.as_str() < "199") {
        let plan = compiled(&name, &text);
        held += SECRETS.iter().filter(|s| String::from_utf8_lossy(&text).contains(**s)).count();
        let judged = [Judged { plan: &name, scenarios: 1, sources: &plan.sources, findings: &plan.findings, strict: false, unread: None }];
        let shown = [
            human(&plan.findings, &plan.sources, Look::default()),
            emit::short(&plan.findings, &plan.sources),
            emit::json(&judged).to_string(),
            format!("{:?}", emit::jsonl(&judged)),
            emit::sarif(&judged, &[], "0").to_string(),
            emit::github(&judged),
            emit::gitlab(&judged).to_string(),
            emit::junit(&judged),
        ];
        for secret in SECRETS {
            assert!(shown.iter().all(|s| !s.contains(secret)), "{name} shows {secret}:\n{shown:?}");
        }
    }
    assert!(held >= 2 * SECRETS.len(), "only {held} secrets stand in the plans");
}
