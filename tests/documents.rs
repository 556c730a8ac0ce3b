//! What the compiler half prints about the plans of this repository, as snapshots that a visitor can read. Their
//! runbooks stand beside the plans.

use std::process::Command;

fn said(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drplan"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1").env_remove("DRPLAN_FORMAT");
    let out = command.output().expect("the program starts");
    let code = out.status.code().expect("it ends by itself");
    format!(
        "$ drplan {}\n{}{}exit code {code}\n",
        args.join(" "),
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

fn same(name: &str, args: &[&str]) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, said(args)));
}

const PLATFORM: &str = "plans/platform/plan.yaml";

#[test]
fn graphs() {
    same("graph-mermaid", &["graph", PLATFORM, "-s", "region-loss", "--critical"]);
    same("graph-dot", &["graph", PLATFORM, "-s", "bad-data", "--format", "dot"]);
    same("graph-json", &["graph", "plans/quickstart", "--format", "json"]);
}

#[test]
fn rehearsals() {
    same("dry-run-offline", &["dry-run", "--offline", PLATFORM, "-s", "region-loss"]);
    same("dry-run-lost-site", &["dry-run", "--offline", PLATFORM, "-s", "region-loss", "--lose", "site:us-east-1"]);
    same("dry-run-after-no-return", &["dry-run", "--offline", PLATFORM, "-s", "region-loss", "--fail", "switch-dns"]);
}

#[test]
fn losses() {
    same("what-if", &["what-if", PLATFORM, "--lose", "site:us-east-1"]);
    same("what-if-no-answer", &["what-if", PLATFORM, "--lose", "asset:platform-db", "--cause", "ransomware"]);
    same("what-if-all", &["what-if", PLATFORM, "--all"]);
}

#[test]
fn what_a_person_mistypes() {
    same("no-scenario", &["render", PLATFORM]);
    same("wrong-scenario", &["render", PLATFORM, "-s", "region-los"]);
    same("wrong-parameter", &["compile", PLATFORM, "-s", "region-loss", "-p", "max_lagg=5m"]);
    same("wrong-step", &["dry-run", "--offline", PLATFORM, "-s", "region-loss", "--fail", "promot"]);
    same("wrong-page", &["explain", "postgres.promot"]);
    same("no-plan", &["check", "docs"]);
}

#[test]
fn pages() {
    same("explain-all", &["explain"]);
    same("explain-steps", &["explain", "steps"]);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let bin = env!("CARGO_BIN_EXE_drplan");
    let out = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; for n in 1 2 3 4 5; do {bin} schema | head -c 10 >/dev/null || exit 1; done")])
        .output()
        .expect("bash");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
}
