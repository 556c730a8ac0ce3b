//! What a lab looks like when all is done: roles and rows of every server, record sets, what the app answers and how
//! many of it there are. Times and numbers of rows are left out: they differ between two runs of the same.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::lab::Lab;

/// Where, and what stands there.
pub type Picture = BTreeMap<String, String>;

const ROLE: &str =
    "select 'in recovery: ' || pg_is_in_recovery() || ', lets sessions in: ' || datallowconn from pg_database where datname = 'platform'";
const ROWS: &str = r"select format('select %L, to_jsonb(t) - ''id'' - ''at'' from %I t order by 2::text', tablename, tablename)
    from pg_tables where schemaname = 'public' order by tablename \gexec";

/// Names, sizes and images of what runs, and where its database is; the labels of who made it.
const OBJECTS: [(&str, &str); 2] = [
    (
        "deployments",
        "jsonpath={range .items[*]}{.metadata.name} {.spec.replicas} {.status.readyReplicas} {.spec.template.spec.containers[*].image} {.metadata.labels}{\"\\n\"}{end}",
    ),
    ("configmaps", "jsonpath={range .items[*]}{.metadata.name} {.metadata.labels}{\"\\n\"}{end}"),
];

/// Takes it. Customers place an order first: the answer is theirs, and the row shows which server has it.
pub fn take(lab: &Lab) -> Picture {
    let mut out = Picture::new();
    out.insert("order".to_owned(), order(lab, "the last"));
    for (name, port) in [("primary", "LAB_PRIMARY_PORT"), ("standby", "LAB_STANDBY_PORT"), ("restored", "LAB_PITR_PORT")] {
        out.insert(format!("{name}: role"), sql(lab, port, "postgres", ROLE).unwrap_or_else(|_| "no answer".to_owned()));
        out.insert(format!("{name}: rows"), sql(lab, port, "platform", ROWS).unwrap_or_else(|_| "nobody is let in".to_owned()));
    }
    for (name, url) in [("edge", "LAB_EDGE_URL"), ("east", "LAB_APP_EAST_URL"), ("west", "LAB_APP_WEST_URL")] {
        out.insert(format!("app by {name}"), health(&lab[url]));
    }
    for context in ["primary", "dr"] {
        for (kind, path) in OBJECTS {
            let said = ran(lab, "kubectl", &["--context", context, "get", kind, "-o", path]);
            out.insert(format!("{kind} of {context}"), said.unwrap_or_else(|_| "no answer".to_owned()));
        }
    }
    for region in ["LAB_REGION_EAST", "LAB_REGION_WEST"] {
        // Each row of each table, each key.
        out.insert(format!("stores of {}", lab[region]), lab.lab("rows", &[&lab[region]]));
    }
    let control = ran(lab, "curl", &["-sS", &lab["LAB_CONTROL_URL"]]).expect("the stub answers");
    let control: Value = serde_json::from_str(&control).expect("it answers in JSON");
    for kind in ["record_sets", "in_sync"] {
        out.insert(kind.to_owned(), control[kind][&lab["LAB_ZONE_ID"]].to_string());
    }
    out
}

/// What two pictures do not share.
pub fn differences(one: &Picture, other: &Picture) -> Vec<String> {
    let both = one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>();
    let short = |p: &Picture, key: &str| {
        let text = p.get(key).map_or("nothing", String::as_str);
        let tail: Vec<&str> = text.lines().rev().take(4).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join(" ⏎ ")
    };
    both.into_iter().filter(|k| one.get(*k) != other.get(*k)).map(|k| format!("{k}: {} ≠ {}", short(one, k), short(other, k))).collect()
}

/// A customer orders something by the public name; the status of the answer.
pub fn order(lab: &Lab, note: &str) -> String {
    let body = format!("{{\"note\":\"{note}\"}}");
    let url = format!("{}/orders", lab["LAB_EDGE_URL"]);
    ran(lab, "curl", &["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", &body, &url]).unwrap_or_else(|e| e)
}

/// What a server says to a question.
pub fn sql(lab: &Lab, port: &str, database: &str, question: &str) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "dr"]);
    psql.args(["-p", &lab[port], "-d", database]).env("PGPASSWORD", &lab["LAB_DR_PASSWORD"]).env("PGAPPNAME", "judge");
    ended(psql.envs(&**lab).stdin(input(question)))
}

fn input(text: &str) -> std::process::Stdio {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("it takes a text");
    file.reopen().expect("it is there").into()
}

/// A tool of the lab, and what it says.
pub fn ran(lab: &Lab, tool: &str, args: &[&str]) -> Result<String, String> {
    ended(Command::new(tool).args(args).envs(&**lab))
}

fn ended(command: &mut Command) -> Result<String, String> {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(format!("{command:?}: {}{}", text(&out.stdout), text(&out.stderr))) }
}

/// Region, release and whether it can write; not in whose words it says why it cannot.
fn health(url: &str) -> String {
    let said = Command::new("curl").args(["-sS", "-m", "5", &format!("{url}/healthz")]).output().expect("curl is installed");
    let Ok(said) = serde_json::from_slice::<Value>(&said.stdout) else { return "no answer".to_owned() };
    format!("{} {} writable: {}", said["region"], said["release"], said["db"]["writable"])
}
