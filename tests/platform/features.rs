//! A build without a feature, and a plan that needs it.

#[cfg(not(feature = "postgres"))]
#[test]
fn run_refuses_without_feature() {
    let program = crate::program::Program::new();
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/platform/plan.yaml");
    let said = program.say(&["run", plan, "-s", "region-loss", "--yes"]);
    assert_eq!(said.code, 2);
    assert!(said.text.contains("`postgres`") && said.text.contains("--features"), "{}", said.text);
    let runs = program.say(&["runs"]);
    assert!(runs.text.contains("no runs yet"), "refused before anything was begun: {}", runs.text);
}
