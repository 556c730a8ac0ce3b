//! The region is lost, and comes back elsewhere: undisturbed, and with the program's death at the worst moment.

use serde_json::Value;

use crate::program::Program;
use crate::proxy::Proxy;
use crate::scene::Scene;

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/platform/plan.yaml");

/// The steps of scenario `region-loss` that a person answers.
pub const PEOPLE: [&str; 5] = ["approve", "tell-stakeholders", "fence-virginia", "tell-customers", "write-up"];

#[test]
fn region_loss() {
    let scene = Scene::new();
    let program = scene.program();
    assert_eq!(scene.record(), format!("{} ttl 1", scene.lab["LAB_LB_EAST"]));
    let kill = scene.incident().to_string();
    let params = scene.file("params.yaml").display().to_string();
    let args = ["run", PLAN, "-s", "region-loss", "--params-file", &params, "--incident-start", &kill, "--yes", "--wait"];
    let mut run = program.start(&args);
    assert_eq!(run.end(&program, &PEOPLE), 0);
    recovered(&scene, &program);
    assert_eq!(promotions(&scene), 1, "so often was the standby told to promote itself");
}

#[test]
fn death_after_promotion() {
    let scene = Scene::new();
    let program = scene.program();
    let proxy = Proxy::before(scene.lab["LAB_STANDBY_PORT"].parse().unwrap(), "pg_promote(", "execute drplan_statement");
    let kill = scene.incident().to_string();
    let params = scene.file("params.yaml").display().to_string();
    let port = format!("standby_port={}", proxy.port);
    let args = ["run", PLAN, "-s", "region-loss", "--params-file", &params, "-p", &port, "--incident-start", &kill, "--yes", "--wait"];
    let mut run = program.start(&args);
    run.until(&program, &PEOPLE, |line| line.contains("▸ promote"));
    proxy.kept();
    run.kill();
    let id = program.run();
    assert_eq!(scene.sql("standby", "select pg_is_in_recovery()"), "f", "the promotion's effect is there");
    let known = program.events(&id, "promote");
    assert_eq!(kinds(&known, "intent"), 1, "{known:#?}");
    assert_eq!(kinds(&known, "done"), 0, "its result is not in the journal: {known:#?}");

    let mut resumed = program.start(&["resume", &id, "--yes", "--wait"]);
    assert_eq!(resumed.end(&program, &PEOPLE), 0);
    let known = program.events(&id, "promote");
    println!("  the journal about `promote`: {}", known.iter().map(|e| e["event"].as_str().unwrap()).collect::<Vec<_>>().join(", "));
    assert_eq!(kinds(&known, "intent"), 1, "{known:#?}");
    let done: Vec<&Value> = known.iter().filter(|e| e["event"] == "done").collect();
    assert!(done.len() == 1 && done[0]["found"] == true, "{known:#?}");
    assert_eq!(promotions(&scene), 1, "so often was the standby told to promote itself");
    recovered(&scene, &program);
}

fn kinds(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|e| e["event"] == kind).count()
}

/// How often the standby was told to promote itself, by its own log of statements.
fn promotions(scene: &Scene) -> usize {
    let log = scene.text("log/standby.log");
    let executed = |line: &&str| line.contains("DETAIL:  prepare:") && line.contains("select pg_promote(");
    let told = log.lines().filter(executed).count();
    let heard = log.lines().filter(|line| line.contains("received promote request")).count();
    println!("  the standby's log: pg_promote executed {told} times, \"received promote request\" {heard} times");
    assert_eq!(told, heard);
    told
}

/// Users are served from Oregon, and what is reported holds before the witness.
fn recovered(scene: &Scene, program: &Program) {
    assert_eq!(scene.back(), scene.lab["LAB_REGION_WEST"]);
    let record = scene.record();
    println!("  record: {record}");
    assert_eq!(record, format!("{} ttl 60", scene.lab["LAB_LB_WEST"]));
    scene.lab.lab("writer-stop", &[]);
    let judge = scene.judge();
    println!("  the writer's log: {judge}");
    let id = program.run();
    let objectives = program.status(&id)["story"]["objectives"].clone();
    println!("  drplan status --json: {objectives}");

    let ms = |seconds: &Value| (seconds.as_f64().unwrap() * 1000.0).ceil() as u64;
    assert!(judge["missing"].as_u64().unwrap() >= 100, "the witness has too little to hold against the report: {judge}");
    assert_eq!(judge["open_gap_seconds"].as_f64().map(|s| s < 2.0), Some(true), "rows are acknowledged again: {judge}");
    let lost = ms(&judge["loss_seconds"]);
    let reported = objectives["platform-db"]["loss_ms"].as_u64().expect("the data loss is measured");
    assert!(reported >= lost, "reported {reported} ms of lost data, the writer misses {lost} ms");
    let gap = ms(&judge["longest_gap_seconds"]);
    for asset in ["platform-api", "platform-db", "platform-dns"] {
        let reached = &objectives[asset];
        assert_eq!(reached["shown"], "shown", "{asset}: {reached}");
        for key in ["predicted_ms", "rto_ms"] {
            assert!(reached[key].as_u64().is_some_and(|ms| ms > 0), "{asset} has no {key}: {reached}");
        }
    }
    // Users are back when the name is: the assets under it may be back before.
    let recovery = objectives["platform-dns"]["recovery_ms"].as_u64().unwrap();
    assert!(recovery >= gap, "reported {recovery} ms until users are served, the writer waited {gap} ms");
    println!("  data loss: reported {reported} ms, witnessed {lost} ms; recovery: reported {recovery} ms, witnessed {gap} ms");
}
