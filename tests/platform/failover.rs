//! The region is lost, comes back elsewhere, and is gone back to; data go wrong, and go back: undisturbed, and with the
//! program's death at the worst moment.

use serde_json::Value;

use crate::program::Program;
use crate::proxy::Proxy;
use crate::scene::Scene;

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/platform/plan.yaml");

/// The steps of scenario `region-loss` that a person answers.
pub const PEOPLE: [&str; 6] = ["approve", "tell-stakeholders", "fence-virginia", "tell-customers", "backups-again", "write-up"];

/// Those of `region-return`.
const HOMEWARD: [&str; 5] = ["follow", "approve", "stop-loads", "loads-again", "follow-again"];

/// Those of `bad-data`.
const DAMAGED: [&str; 6] = ["find-moment", "approve", "new-backup", "tell-stakeholders", "tell-customers", "write-up"];

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
    let lost = recovered(&scene, &program);
    assert_eq!(promotions(&scene), 1, "so often was the standby told to promote itself");
    returned(&scene, &program, &params, lost);
}

/// Virginia is there again as it died, follows, and is gone back to; the program dies on the way.
fn returned(scene: &Scene, program: &Program, params: &str, lost: u64) {
    scene.lab.lab("start-region", &[]);
    scene.lab.lab("rejoin", &["primary"]);
    scene.lab.lab("exec", &["kubectl", "--context", "primary", "scale", "deployment/platform-api", "--replicas=0"]);
    scene.lab.lab("writer-start", &[]);
    let mut run = program.start(&["run", PLAN, "-s", "region-return", "--params-file", params, "--yes", "--wait"]);
    run.until(program, &HOMEWARD, |line| line.contains("▸ start-api"));
    run.kill();
    let id = program.run();
    let mut resumed = program.start(&["resume", &id, "--yes", "--wait"]);
    assert_eq!(resumed.end(program, &HOMEWARD), 0);
    assert_eq!(scene.back(), scene.lab["LAB_REGION_EAST"]);
    assert_eq!(scene.record(), format!("{} ttl 60", scene.lab["LAB_LB_EAST"]));
    scene.lab.lab("writer-stop", &[]);
    // What was restored in Oregon, and nothing that Virginia had beside it.
    scene.lab.lab("judge-stores", &[&scene.lab["LAB_REGION_EAST"]]);
    assert_eq!(scene.judge()["missing"].as_u64(), Some(lost), "no order is missing but those that were lost with Virginia");
    assert_eq!((scene.pods("primary"), scene.pods("dr")), ("6".to_owned(), "0".to_owned()));
}

/// A mistyped statement, seen by nobody until somebody looks; the program dies while a copy is restored.
#[test]
fn bad_data_and_death_in_the_restore() {
    let scene = Scene::new();
    let program = scene.program();
    let wrong = "select count(*) from orders where note = 'wrong'";
    let clean = scene.sql("primary", "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    scene.sql_in("primary", "platform", "update orders set note = 'wrong'");
    assert_eq!(scene.sql_in("primary", "platform", wrong), "1000");
    let params = scene.file("params.yaml").display().to_string();
    let moment = format!("clean_at={clean}");
    let args = ["run", PLAN, "-s", "bad-data", "--params-file", &params, "-p", &moment, "--yes", "--wait"];
    let mut run = program.start(&args);
    run.until(&program, &DAMAGED, |line| line.contains("▸ restore"));
    run.kill();
    let id = program.run();
    let mut resumed = program.start(&["resume", &id, "--yes", "--wait"]);
    assert_eq!(resumed.end(&program, &DAMAGED), 0);
    assert_eq!(scene.sql_in("pitr", "platform", wrong), "0");
    assert_eq!(scene.count("pitr"), 1000, "each order is there");
    assert_eq!(scene.sql_in("primary", "platform", wrong), "1000", "the damaged server is kept");
    // Customers are served from the copy.
    let note = "the first after it";
    scene.order(note);
    assert_eq!(scene.sql_in("pitr", "platform", &format!("select count(*) from orders where note = '{note}'")), "1");
}

/// Backups are looked at each week; one that is gone is noticed.
#[test]
fn weekly_backups() {
    let scene = Scene::new();
    let program = scene.program();
    let params = scene.file("params.yaml").display().to_string();
    let args = ["run", PLAN, "-s", "weekly-backups", "--params-file", &params, "--yes"];
    assert_eq!(program.say(&args).code, 0);
    let lost = format!("s3://{}/clickhouse/silver/", scene.lab["LAB_BACKUP_BUCKET"]);
    scene.lab.lab("exec", &["aws", "s3", "rm", "--recursive", &lost]);
    let said = program.say(&args);
    assert_eq!(said.code, 11);
    assert!(said.text.contains("✗ silver-backup"), "{}", said.text);
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
    // What goes on beside it is done: of a restore in its middle nobody could tell for hours what comes of it.
    for beside in ["✓ gold-there", "✓ silver-there", "✓ cache-there", "✓ scale-up"] {
        if !run.text().contains(beside) {
            run.until(&program, &PEOPLE, |line| line.contains(beside));
        }
    }
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

/// Users are served from Oregon, and what is reported holds before the witness. Gives how many orders are missing.
fn recovered(scene: &Scene, program: &Program) -> u64 {
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
    // Row by row and key by key, what was in the backups, and no more.
    let stores = scene.lab.lab("judge-stores", &[&scene.lab["LAB_REGION_WEST"]]);
    println!("  ClickHouse and Redis: {}", stores.split_whitespace().collect::<String>());
    for asset in ["cache", "gold", "silver"] {
        assert_eq!(objectives[asset]["shown"], "shown", "{asset}: {}", objectives[asset]);
    }
    let release = scene.edge()["release"].clone();
    assert_eq!(release, "r42", "Argo CD brought what Git says");
    println!("  data loss: reported {reported} ms, witnessed {lost} ms; recovery: reported {recovery} ms, witnessed {gap} ms");
    judge["missing"].as_u64().unwrap()
}
