//! The way back: before the promotion everything, after it only what stands on it, and never over somebody's newer change.

use std::fs;

use crate::failover::PEOPLE;
use crate::program::Program;
use crate::scene::Scene;

#[test]
fn rollback_after_the_switch() {
    let scene = Scene::new();
    let mut program = scene.program();
    // The plan as it is, but that a smoke test which fails fails at once; and one that does.
    let plan = include_str!("../../plans/platform/plan.yaml");
    let hasty = plan.replace("retry: { attempts: 10, delay: 5s }                 # resolvers", "# resolvers");
    assert_ne!(plan, hasty);
    let beside = program.home.path().join("platform");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/platform");
    assert!(std::process::Command::new("cp").args(["-r", own]).arg(&beside).status().unwrap().success());
    let path = beside.join("plan.yaml");
    fs::write(&path, hasty).unwrap();
    let tools = program.home.path().join("bin");
    broken_tool(&tools, "smoke-test.sh");
    program.env.insert("PATH".to_owned(), format!("{}:{}", tools.display(), scene.lab["PATH"]));

    let kill = scene.incident().to_string();
    let (plan, params) = (path.display().to_string(), scene.file("params.yaml").display().to_string());
    let args = ["run", &plan, "-s", "region-loss", "--params-file", &params, "--incident-start", &kill, "--yes", "--wait"];
    let mut run = program.start(&args);
    run.until(&program, &PEOPLE, |line| line.contains("✗ smoke"));
    assert_eq!(run.interrupt(&program), 130);
    let id = program.run();
    assert!(run.text().contains(&format!("drplan rollback {id} --to promote --reason")), "it offers what would be refused");
    let (east, west) = (format!("{} ttl 1", scene.lab["LAB_LB_EAST"]), format!("{} ttl 60", scene.lab["LAB_LB_WEST"]));
    assert_eq!(scene.record(), west);

    let plain = program.say(&["rollback", &id, "--yes", "--reason", "the smoke test fails"]);
    assert_eq!(plain.code, 2);
    for words in ["nothing was undone", "`promote` is in effect and cannot be undone", "--to promote", "where nothing takes writes"] {
        assert!(plain.text.contains(words), "it does not say {words:?}:\n{}", plain.text);
    }
    assert_eq!(scene.record(), west, "nothing was undone");

    let to = program.say(&["rollback", &id, "--to", "promote", "--yes", "--reason", "the smoke test fails"]);
    assert_eq!(to.code, 10);
    let goes = format!("Traffic of `platform-dns` then goes back to {}", scene.lab["LAB_LB_EAST"]);
    for words in [goes.as_str(), "where nothing takes writes: `platform-db` stays promoted at us-west-2."] {
        let said = to.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "it does not say {words:?}:\n{}", to.text);
    }
    println!("  record: {}", scene.record());
    assert_eq!(scene.record(), east, "the record is as it was");
    assert_eq!(scene.sql("standby", "select pg_is_in_recovery()"), "f", "the promotion stands");
    let status = program.status(&id);
    let steps = status["story"]["steps"].as_array().unwrap();
    let undone: Vec<&str> = steps.iter().filter(|s| s["status"] == "undone").map(|s| s["id"].as_str().unwrap()).collect();
    assert_eq!(undone, ["switch-dns"], "promotion, fence and all that they stand on are left");
}

#[test]
fn rollback_before_the_promotion() {
    let scene = Scene::new();
    let program = scene.program();
    let record = scene.record();
    let run = pauses(&scene, &program);
    assert_eq!(scene.record(), format!("{} ttl 1", scene.lab["LAB_LB_WEST"]));
    assert_eq!(scene.pods("dr"), "6");
    assert_eq!(accepts(&scene), "f");

    let said = program.say(&["rollback", &run, "--yes", "--reason", "it cannot go on"]);
    assert_eq!(said.code, 10);
    restored(&scene);
    assert_eq!(scene.record(), record);
    assert_eq!(scene.back(), scene.lab["LAB_REGION_EAST"]);

    // The same again, and somebody points the name elsewhere before it is taken back.
    let run = pauses(&scene, &program);
    let theirs = "lb.elsewhere.example.com";
    scene.set_record(theirs);
    let said = program.say(&["rollback", &run, "--yes", "--reason", "it cannot go on"]);
    assert_eq!(said.code, 12);
    for words in ["switch: somebody changed it meanwhile and it was not touched", theirs, "drplan resolve"] {
        assert!(said.text.contains(words), "it does not say {words:?}:\n{}", said.text);
    }
    assert_eq!(scene.record(), format!("{theirs} ttl 1"), "somebody's change is not overwritten");

    let said = program.say(&["resolve", &run, "switch", "--as", "done", "--reason", "the network team wants it so"]);
    assert_eq!(said.code, 0);
    let said = program.say(&["resume", &run, "--yes"]);
    assert_eq!(said.code, 10);
    restored(&scene);
    assert_eq!(scene.record(), format!("{theirs} ttl 1"));
}

/// Runs the small plan up to its step that fails, and gives the run's name.
fn pauses(scene: &Scene, program: &Program) -> String {
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/platform/before.yaml");
    let lab = &scene.lab;
    let params = [
        format!("zone={}", lab["LAB_ZONE_ID"]),
        format!("record={}", lab["LAB_RECORD"]),
        format!("lb_west={}", lab["LAB_LB_WEST"]),
        format!("primary_port={}", lab["LAB_PRIMARY_PORT"]),
        format!("standby_port={}", lab["LAB_STANDBY_PORT"]),
        format!("aws_endpoint={}", lab["AWS_ENDPOINT_URL"]),
    ];
    let mut args = vec!["run", plan, "--yes"];
    params.iter().for_each(|p| args.extend(["-p", p]));
    assert_eq!(program.start(&args).end(program, &[]), 11);
    program.run()
}

/// Whether the old primary lets sessions in.
fn accepts(scene: &Scene) -> String {
    scene.sql("primary", "select datallowconn from pg_database where datname = 'platform'")
}

/// Fence and scale are as they were before the run.
fn restored(scene: &Scene) {
    assert_eq!(scene.pods("dr"), "0");
    assert_eq!(accepts(scene), "t");
    assert_eq!(scene.sql("standby", "select pg_is_in_recovery()"), "t");
}

fn broken_tool(dir: &std::path::Path, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(name), "#!/bin/sh\necho 'FAIL healthz: the planted one always fails' >&2\nexit 1\n").unwrap();
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}
