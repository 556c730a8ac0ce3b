//! Large plans for measuring. They know nothing of what is measured.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The one file of a plan.
pub const PATH: &str = "large.yaml";

/// A plan of so many steps, as a company with many alike services would have it: each service a database with a standby,
/// an API that needs it, and ten steps that bring both back.
pub fn plan(steps: usize) -> BTreeMap<String, String> {
    let mut text = String::from(HEAD);
    let services = steps / 10;
    for n in 0..services {
        write!(text, "{}", ASSETS.replace("{n}", &n.to_string())).expect("a text takes all");
    }
    text.push_str(SCENARIO);
    for n in 0..services {
        write!(text, "{}", STEPS.replace("{n}", &n.to_string())).expect("a text takes all");
    }
    BTreeMap::from([(PATH.to_owned(), text)])
}

const HEAD: &str = r#"drplan: v1
name: large
owner: on-call
params:
  domain: { type: string, default: example.com }
  max_lag: { type: duration, default: 10s }
secrets:
  pg_admin: { env: PG_PASSWORD }
sites:
  east: { kind: region }
  west: { kind: region }
tiers:
  critical: { rto: 90d, rpo: 1m }
contacts:
  on-call: { title: On call, reach: the pager }
assets:
"#;

const ASSETS: &str = r#"  db-{n}:
    kind: postgres
    tier: critical
    site: east
    connect: { host: db-{n}.east.internal, database: app, user: dr, password: "${secrets.pg_admin}" }
    replicas:
      - site: west
        mode: streaming
        max_lag: 10s
        connect: { host: db-{n}.west.internal }
  api-{n}:
    kind: http
    tier: critical
    site: east
    depends_on: [db-{n}]
    connect: { url: "https://api-{n}.east.${params.domain}" }
    replicas:
      - { site: west, mode: standby, connect: { url: "https://api-{n}.west.${params.domain}" } }
"#;

const SCENARIO: &str = r#"scenarios:
  east-lost:
    title: The east is gone
    loses: { sites: [east] }
    cause: outage
    detect: 1m
    decide: 2m
    steps:
      - id: approve
        title: Decide to leave the east
        uses: approval
        with: { ask: "Leave the east?", from: [on-call] }
        takes: 2m
"#;

const STEPS: &str = r#"
      # ---- service {n}
      - id: probe-{n}
        phase: assess
        title: See what the API of service {n} answers in the east
        uses: http.check
        with: { url: "https://api-{n}.east.${params.domain}/healthz" }
        needs: []
        takes: 5s
      - id: fence-{n}
        title: Stop writes to the old database of service {n}
        asset: db-{n}
        uses: postgres.fence
        at: east
        when_unreachable: ask
        needs: [approve]
        takes: 20s
        undo: auto
      - id: promote-{n}
        title: Make the standby of service {n} the primary
        asset: db-{n}
        uses: postgres.promote
        at: west
        with: { max_lag: "${params.max_lag}" }
        takes: 30s
        timeout: 2m
        undo: { none: "a promoted replica starts a new timeline" }
      - id: db-writes-{n}
        phase: verify
        title: See that the database of service {n} takes writes in the west
        asset: db-{n}
        uses: postgres.check
        at: west
        with: { query: "select pg_is_in_recovery()", expect: false }
        takes: 5s
      - id: config-{n}
        phase: prepare
        title: Give service {n} its configuration for the west
        asset: api-{n}
        uses: command
        at: west
        with: { argv: [deployctl, config, set, service-{n}, --site, west] }
        effect: idempotent
        needs: [approve]
        takes: 10s
        undo: { uses: command, with: { argv: [deployctl, config, set, service-{n}, --site, east] } }
      - id: scale-{n}
        phase: prepare
        title: Start service {n} in the west
        asset: api-{n}
        uses: command
        at: west
        with: { argv: [deployctl, scale, service-{n}, --site, west, --to, "6"] }
        effect: idempotent
        needs: [config-{n}]
        takes: 45s
        undo: { uses: command, with: { argv: [deployctl, scale, service-{n}, --site, west, --to, "0"] } }
      - id: ready-{n}
        phase: verify
        title: Wait until service {n} is ready
        asset: api-{n}
        uses: command
        at: west
        with: { argv: [deployctl, wait, service-{n}, --site, west] }
        effect: read
        needs: [scale-{n}, promote-{n}]
        takes: 30s
      - id: healthy-{n}
        phase: verify
        title: See that service {n} is healthy on a database that takes writes
        asset: api-{n}
        uses: http.check
        at: west
        with: { url: "https://api-{n}.west.${params.domain}/healthz", expect: { status: 200, json: { db.writable: true } } }
        retry: { attempts: 8, delay: 2s, factor: 2, max_delay: 30s }
        needs: [ready-{n}]
        takes: 20s
      - id: smoke-{n}
        phase: verify
        title: Run the smoke test of service {n}
        asset: api-{n}
        uses: command
        at: west
        with: { argv: [smoke-test, --service, service-{n}] }
        effect: read
        needs: [healthy-{n}]
        takes: 30s
      - id: tell-{n}
        phase: close
        title: Tell the owner of service {n}
        uses: manual
        with: { do: "Tell the owner of service {n} that it runs in the west." }
        needs: [smoke-{n}]
        takes: 1m
        undo: { none: "what was said cannot be unsaid" }
"#;
