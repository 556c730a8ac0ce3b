//! What was found, as programs read it: SARIF against the schema of its standard, JUnit against the one of Jenkins, and of
//! every format that it says all, in one order, with names that stay when lines move.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use drplan::analysis::rules::TABLE;
use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::emit::{self, Judged, Manual};
use drplan::diagnostic::{Diagnostic, Level};
use drplan::source::{Sources, Span};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every broken plan, by name.
fn broken() -> Vec<(String, Compilation)> {
    let mut paths: Vec<_> = std::fs::read_dir(format!("{ROOT}/tests/broken")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    let one = |path: &Path| {
        let name = format!("broken/{}", path.file_name().unwrap().to_str().unwrap());
        let plan = compile(&BTreeMap::from([(name.clone(), std::fs::read(path).unwrap())]), &name, &Input::default()).unwrap();
        (name, plan)
    };
    paths.iter().map(|p| one(p)).collect()
}

fn judged<'a>(name: &'a str, plan: &'a Compilation) -> Judged<'a> {
    Judged { plan: name, scenarios: plan.scenarios, sources: &plan.sources, findings: &plan.findings, strict: false, unread: None }
}

fn compiled(texts: &[(&str, &str)]) -> Compilation {
    let texts: BTreeMap<String, String> = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    compile(&texts, "plan.yaml", &Input::default()).unwrap()
}

fn sarif(all: &[Judged<'_>]) -> Value {
    let manuals: Vec<Manual<'_>> = TABLE.iter().map(|r| Manual { name: r.name, level: r.level, page: r.page }).collect();
    emit::sarif(all, &manuals, "1.2.3")
}

/// What the schema has against a log.
fn against_schema(log: &Value) -> Vec<String> {
    let mut schema: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{ROOT}/tests/schemas/sarif-schema-2.1.0.json")).unwrap()).unwrap();
    // A bracket too many, as published: no engine takes it for a pattern.
    for part in ["run", "toolComponent"] {
        schema["definitions"][part]["properties"]["language"].as_object_mut().unwrap().remove("pattern").unwrap();
    }
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    validator.iter_errors(log).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

/// What the schema of Jenkins has against a report.
fn against_xsd(report: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.xml");
    std::fs::write(&path, report).unwrap();
    let mut xmllint = Command::new("xmllint");
    xmllint.args(["--noout", "--nonet", "--schema", &format!("{ROOT}/tests/schemas/junit-10.xsd")]).arg(&path);
    let out = xmllint.output().expect("xmllint: `tests/lab/lab install` installs it (Debian's libxml2-utils)");
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

const TWO: &[(&str, &str)] = &[
    (
        "plan.yaml",
        "drplan: v1\nname: two\ninclude: [part.yaml]\nassets: { db: { kind: other, tier: none } }\nscenarios: { a: { cause: planned, steps: [{ id: w, uses: wait, with: { for: 1s }, takes: 1s }] } }\n",
    ),
    ("part.yaml", "drplan: v1\nassets:\n  # the same once more\n  db: { kind: other, tier: none }\n"),
];

#[test]
fn sarif_is_what_its_standard_says() {
    let plans = broken();
    let mut all: Vec<Judged<'_>> = plans.iter().map(|(name, plan)| judged(name, plan)).collect();
    let unread = Judged { unread: Some("no such file"), sources: &Sources::default(), findings: &[], ..all[0] };
    all.push(unread);
    let log = sarif(&all);
    assert_eq!(against_schema(&log), Vec::<String>::new());
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), plans.iter().map(|(_, p)| p.findings.len()).sum::<usize>());
    for result in results {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert!(region["startLine"].as_u64() <= region["endLine"].as_u64(), "{result:#}");
    }
    assert!(results.iter().any(|r| r["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"] == "phase"));
    let names: BTreeSet<&str> = results.iter().map(|r| r["partialFingerprints"]["drplanFinding/v1"].as_str().unwrap()).collect();
    assert_eq!(names.len(), results.len(), "each has a name of its own");
    for rule in run["tool"]["driver"]["rules"].as_array().unwrap() {
        assert!(rule["shortDescription"]["text"].as_str().unwrap().ends_with('.'), "{}", rule["shortDescription"]);
    }
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    // The guard barks.
    let mut wrong = log;
    wrong["runs"][0]["results"][0]["level"] = "deny".into();
    assert_eq!(against_schema(&wrong).len(), 1);
}

#[test]
fn the_other_place_may_lie_in_another_file() {
    let plan = compiled(TWO);
    assert_eq!(plan.findings.len(), 1, "{:#?}", plan.findings);
    let log = sarif(&[judged("plan.yaml", &plan)]);
    assert_eq!(against_schema(&log), Vec::<String>::new());
    let result = &log["runs"][0]["results"][0];
    let file = |place: &Value| place["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap().to_owned();
    let mut files = [file(&result["locations"][0]), file(&result["relatedLocations"][0])];
    files.sort();
    assert_eq!(files, ["part.yaml", "plan.yaml"]);
    let drawn = emit::human(&plan.findings, &plan.sources, emit::Look::default());
    assert!(drawn.contains("[part.yaml:4:3]") && drawn.contains("[plan.yaml:4:11]"), "{drawn}");
    assert!(drawn.contains("# the same once more") && drawn.contains("include: [part.yaml]"), "{drawn}");
}

#[test]
fn what_is_allowed_is_said_to_be() {
    let mut sources = Sources::default();
    let source = sources.add("a b,c:d%.yaml", "x\ny\n");
    let found = |level| Diagnostic::new("yaml", level, "wrong", Span { source, start: 2, end: 3 }, "here\nand <more> & \"so\"\u{1b}[2J");
    let findings = [found(Level::Allow), found(Level::Warn)];
    let plan = Judged { plan: "a b,c:d%.yaml", scenarios: 1, sources: &sources, findings: &findings[..1], strict: false, unread: None };
    let log = sarif(&[plan]);
    assert_eq!(against_schema(&log), Vec::<String>::new());
    assert_eq!(log["runs"][0]["results"][0]["level"], "note");
    assert_eq!(log["runs"][0]["results"][0]["suppressions"][0]["kind"], "inSource");
    assert_eq!((emit::github(&[plan]).as_str(), emit::gitlab(&[plan])), ("", serde_json::json!([])));
    assert_eq!(
        emit::github(&[Judged { findings: &findings[1..], ..plan }]).lines().collect::<Vec<_>>(),
        [
            "::warning file=a b%2Cc%3Ad%25.yaml,line=2,endLine=2,col=1,endColumn=2,title=drplan%3A yaml::wrong: here%0Aand <more> & \"so\"\u{fffd}[2J"
        ]
    );
    let warned = Judged { findings: &findings, ..plan };
    for (strict, failures) in [(false, 0), (true, 1)] {
        let report = emit::junit(&[Judged { strict, ..warned }]);
        assert_eq!(against_xsd(&report), Ok(()), "{report}");
        assert!(report.contains(&format!("tests=\"1\" failures=\"{failures}\"")), "{report}");
        assert!(!report.contains('\u{1b}') && report.contains("&lt;more&gt;"), "{report}");
    }
}

#[test]
fn junit_is_what_jenkins_takes() {
    let plans = broken();
    let good = compiled(&[("plan.yaml", &std::fs::read_to_string(format!("{ROOT}/examples/01-smallest.yaml")).unwrap())]);
    let mut all: Vec<Judged<'_>> = plans.iter().map(|(name, plan)| judged(name, plan)).collect();
    all.push(judged("plan.yaml", &good));
    all.push(Judged { plan: "gone.yaml", unread: Some("no such file"), ..judged("plan.yaml", &good) });
    let report = emit::junit(&all);
    assert_eq!(against_xsd(&report), Ok(()));
    let rules: usize = plans.iter().map(|(_, p)| p.findings.iter().map(|f| f.rule).collect::<BTreeSet<_>>().len().max(1)).sum();
    assert_eq!(report.matches("<testcase ").count(), rules + 2);
    assert!(
        report
            .starts_with(&format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"drplan check\" tests=\"{}\"", rules + 2))
    );
    assert!(report.contains("<testcase name=\"no findings\" classname=\"plan.yaml\"></testcase>"), "{report}");
    assert!(report.contains("<error type=\"unread\" message=\"no such file\"/>"), "{report}");
    // The guard barks.
    assert!(against_xsd(&report.replace("classname=", "class=")).is_err());
}

#[test]
fn json_says_all_and_its_version() {
    let plans = broken();
    let all: Vec<Judged<'_>> = plans.iter().map(|(name, plan)| judged(name, plan)).collect();
    let (document, lines) = (emit::json(&all), emit::jsonl(&all));
    assert_eq!(document["version"], 1);
    let findings: Vec<&Value> = document["plans"].as_array().unwrap().iter().flat_map(|p| p["findings"].as_array().unwrap()).collect();
    assert_eq!(lines.len(), findings.len() + all.len() + 1);
    assert_eq!(lines.last().unwrap()["type"], "summary");
    let of = |kind: &str| lines.iter().filter(|l| l["type"] == kind).count();
    assert_eq!((of("finding"), of("plan")), (findings.len(), all.len()));
    assert_eq!(document["summary"]["deny"].as_u64().unwrap() + document["summary"]["warn"].as_u64().unwrap(), findings.len() as u64);
    let repaired = findings.iter().find(|f| f["fix"]["what"] == "write `phase`").unwrap();
    let edit = &repaired["fix"]["edits"][0];
    assert_eq!((&edit["replacement"], &edit["file"]), (&"phase".into(), &"broken/05-unknown-key.yaml".into()));
    assert!(edit["start"]["line"].is_u64() && edit["start"]["column"].is_u64() && edit["start"]["byte"].is_u64());
    let short = emit::short(&plans[4].1.findings, &plans[4].1.sources);
    assert!(short.contains(" (fix: write `phase`)\n"), "{short}");
}

#[test]
fn a_finding_keeps_its_name_when_lines_move() {
    let text = std::fs::read_to_string(format!("{ROOT}/tests/broken/18-unknown-names.yaml")).unwrap();
    let (before, after) = (compiled(&[("plan.yaml", &text)]), compiled(&[("plan.yaml", &format!("# one\n\n# two\n{text}"))]));
    let (was, is) = (emit::gitlab(&[judged("plan.yaml", &before)]), emit::gitlab(&[judged("plan.yaml", &after)]));
    let names = |report: &Value| -> Vec<String> {
        report.as_array().unwrap().iter().map(|f| f["fingerprint"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&was), names(&is));
    assert_eq!(names(&was).iter().collect::<BTreeSet<_>>().len(), before.findings.len());
    assert_ne!(was[0]["location"]["lines"]["begin"], is[0]["location"]["lines"]["begin"]);
    for issue in was.as_array().unwrap() {
        assert!(["info", "minor", "major", "critical", "blocker"].contains(&issue["severity"].as_str().unwrap()));
        assert!(!issue["description"].as_str().unwrap().is_empty() && !issue["check_name"].as_str().unwrap().is_empty());
    }
}

#[test]
fn what_two_plans_include_is_said_once() {
    let plan = compiled(TWO);
    let all = [judged("plan.yaml", &plan), judged("plan.yaml", &plan)];
    assert_eq!(emit::github(&all).lines().count(), 1);
    assert_eq!(emit::gitlab(&all).as_array().unwrap().len(), 1);
    assert_eq!(sarif(&all)["runs"][0]["results"].as_array().unwrap().len(), 1);
}

#[test]
fn a_workflow_command_is_one_line_whatever_stands_in_it() {
    for (name, plan) in broken() {
        let text = emit::github(&[judged(&name, &plan)]);
        assert_eq!(text.lines().count(), plan.findings.len(), "{text}");
        assert!(text.lines().all(|l| l.starts_with("::error file=") || l.starts_with("::warning file=")), "{text}");
    }
}
