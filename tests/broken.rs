//! Every plan under `tests/broken` is refused at exactly the places that its own `# expect: LINE:COL rule` comments
//! name, with nothing said twice, and what a person sees of it stands in `snapshots/broken`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::emit::{Look, human};

fn plans() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    let name = |p: &PathBuf| p.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|p| (name(p), std::fs::read_to_string(p).unwrap())).collect()
}

fn compiled(name: &str, text: &str) -> Compilation {
    let path = format!("{name}.yaml");
    let files = BTreeMap::from([(path.clone(), text.to_owned())]);
    compile(&files, &path, &Input::default()).unwrap()
}

fn found(plan: &Compilation) -> Vec<String> {
    let place = |f: &drplan::diagnostic::Diagnostic| {
        let (line, column) = plan.sources.get(f.span().source).line_col(f.span().start);
        format!("{line}:{column} {}", f.rule)
    };
    plan.findings.iter().map(place).collect()
}

#[test]
fn each_is_refused_where_it_says() {
    let mut wrong = Vec::new();
    let all = plans();
    assert!(all.len() >= 30, "{} broken plans", all.len());
    for (name, text) in &all {
        let expected: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# expect: ")).collect();
        let plan = compiled(name, text);
        if expected.is_empty() || found(&plan) != expected {
            wrong.push(format!("{name}: expected {expected:?}, found {:?}", found(&plan)));
        }
        if plan.passed() {
            wrong.push(format!("{name}: passed"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_is_explained_to_a_person() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/broken"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, text) in plans() {
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
    for (name, text) in plans() {
        let plan = compiled(&name, &text);
        let seen = human(&plan.findings, &plan.sources, Look::default());
        let shown = foreign.iter().find(|w| seen.contains(**w));
        assert_eq!(shown, None, "{name}:\n{seen}");
        for f in &plan.findings {
            assert!(!f.headline.ends_with('.') && !f.headline.starts_with(|c: char| c.is_ascii_uppercase()), "{name}: {}", f.headline);
            assert!(drplan::analysis::rules::find(f.rule).is_some(), "{name}: rule {} is not in the table", f.rule);
            assert!(f.help.is_some(), "{name}: {} says not what to type", f.headline);
        }
    }
}
