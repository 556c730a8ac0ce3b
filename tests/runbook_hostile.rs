//! A runbook whose every text tries to run something: a person types all of its blocks, and nothing of it runs.

mod support {
    pub mod typed;
    pub mod values;
}

use std::collections::BTreeMap;

use drplan::compile::{Input, compile};
use drplan::render::runbook;
use support::typed::{blocks, typed};
use support::values::{VALUES, obeyed};

const TEXTS: &[&str] = &[
    "a \" quote",
    "it's; touch pwned",
    "two\nlines\ntouch pwned\n",
    "$(touch pwned)",
    "`touch pwned`",
    "```\ntouch pwned\n```",
    // On lines of their own they would close a fence that is too short, and open another.
    "a\n```\ntouch pwned\n\n```sh\ntouch pwned\n```\nb",
    "a \" ' ; touch pwned\n$(touch pwned) ``` `touch pwned`\n````\n\n````sh\ntouch pwned\n````\nb",
    "\"; touch pwned; \"",
    "'; touch pwned; '",
    "\\'; touch pwned; \\'",
    "x\nSQL\ntouch pwned\nSQL",
    "# \n\ntouch pwned",
    "{{scenario}} {{{raw}}} <script>x</script> \u{1b}]0;x\u{7}",
    "--help; touch pwned",
];

/// A text between quotes, as YAML takes it: some characters may only stand there as their number.
fn quoted(text: &str) -> String {
    let hidden = |c: char| obeyed(c) || drplan::source::obeyed(c);
    let coded = |c: char| if hidden(c) { format!("\\U{:08x}", c as u32) } else { c.to_string() };
    serde_json::to_string(text).expect("a text is JSON").chars().map(coded).collect()
}

/// A plan with a text in every place that takes one.
fn plan(text: &str) -> String {
    let text = text.replace("${", "$${");
    let t = quoted(&text);
    // A reason has words.
    let w = quoted(&format!("because of {text}"));
    // A header holds one line; a text of several is refused there.
    let l = quoted(&text.replace(['\n', '\r'], " "));
    format!(
        r#"
drplan: v1
name: hostile
title: {t}
owner: me
params: {{ p: {{ type: string, title: {t} }}, q: {{ type: string, default: {t} }} }}
secrets: {{ e: {{ file: {t} }}, f: {{ file: {t} }} }}
sites: {{ here: {{ title: {t} }}, there: {{ title: {t} }} }}
tiers: {{ t: {{ rto: 4h, rpo: 4h }} }}
contacts: {{ me: {{ title: {t}, reach: {t}, phone: {t} }} }}
assets:
  db:
    kind: postgres
    title: {t}
    tier: t
    site: here
    connect: {{ host: {t}, database: {t}, user: {t}, password: "${{secrets.e}}" }}
    replicas: [{{ site: there, mode: streaming, max_lag: 1m, connect: {{ host: {t} }} }}]
    backups: [{{ id: b, method: full, schedule: "0 * * * *", takes: 1m, to: {t}, site: there, encryption: {{ key: {t} }} }}]
  dns: {{ kind: route53, tier: t, site: there, connect: {{ zone: {t}, record: {t}, region: {t} }} }}
  store: {{ kind: s3, tier: t, site: there, connect: {{ bucket: {t}, region: {t} }} }}
scenarios:
  loss:
    title: {t}
    symptoms: [{t}]
    cause: outage
    loses: {{ sites: [here] }}
    detect: 1m
    steps:
      - {{ id: look, phase: assess, asset: store, uses: s3.check, with: {{ prefix: {t}, expect: {{ checksum: {t} }} }}, takes: 1s, title: {t} }}
      - {{ id: ask, uses: approval, with: {{ ask: {t}, from: [me] }}, takes: 1s }}
      - {{ id: note, uses: manual, with: {{ do: {t}, seen: {t}, record: {{ found: {{ title: {t}, enum: [{t}] }} }} }}, takes: 1s, undo: {{ uses: manual, with: {{ do: {t} }} }} }}
      - {{ id: fence, asset: db, at: here, uses: postgres.fence, when_unreachable: ask, takes: 1s, undo: auto }}
      - {{ id: promote, asset: db, at: there, uses: postgres.promote, with: {{ max_lag: 1m }}, takes: 1s, undo: {{ none: {w} }} }}
      - {{ id: rows, phase: verify, asset: db, at: there, uses: postgres.check, with: {{ query: {t}, params: [{t}], expect: {t} }}, takes: 1s }}
      - {{ id: write, asset: db, at: there, uses: postgres.query, with: {{ query: {t}, params: [{t}] }}, takes: 1s, undo: {{ none: {w} }} }}
      - id: call
        uses: command
        with: {{ argv: ["true", {t}, "${{params.p}}", "${{params.q}}", "${{steps.note.found}}"], env: {{ A: {t} }}, stdin: {t} }}
        takes: 1s
        check: {{ uses: command, effect: read, with: {{ argv: ["true", {t}] }} }}
        undo: {{ uses: command, with: {{ argv: ["true", {t}] }} }}
      - {{ id: point, asset: dns, at: there, uses: route53.upsert, with: {{ value: {t} }}, takes: 1s, undo: auto }}
      - {{ id: web, phase: verify, asset: dns, at: there, uses: http.check, with: {{ url: "http://127.0.0.1:9/", headers: {{ x: {l} }}, expect: {{ body: {t}, headers: {{ y: {t} }}, json: {{ a.b: {t} }} }} }}, takes: 1s }}
"#
    )
}

fn page(text: &str) -> String {
    let texts = BTreeMap::from([("plan.yaml".to_owned(), plan(text))]);
    let compiled = compile(&texts, "plan.yaml", &Input::default()).expect("a text");
    assert!(compiled.passed(), "{text:?}: {:#?}", compiled.findings);
    runbook::render(&compiled.checked[0])
}

#[test]
fn the_test_notices_what_runs() {
    assert!(typed(&["echo 'x'; touch pwned".to_owned()]));
    assert!(!typed(&["echo 'x; touch pwned'".to_owned()]));
    assert_eq!(blocks("a\n````sh look\n```\nb\n````\n```mermaid\nc\n```\n"), ["```\nb\n"]);
}

#[test]
fn nothing_of_a_hostile_text_runs() {
    let usual = blocks(&page("harmless")).len();
    assert!(usual >= 12, "{usual} blocks");
    let all = TEXTS.iter().copied().chain(VALUES.iter().map(|(_, value)| *value));
    // A NUL is refused where it is read; what is empty or blank is refused in places that need a text.
    for text in all.filter(|text| !text.contains('\0') && !text.trim().is_empty()) {
        let page = page(text);
        assert!(!page.chars().any(|c| obeyed(c) && c != '\n' && c != '\t'), "{text:?}:\n{page:?}");
        let blocks = blocks(&page);
        assert_eq!(blocks.len(), usual, "a block was opened or closed by {text:?}:\n{page}");
        assert!(!typed(&blocks), "{text:?} ran:\n{page}");
        // And all of them in one window, as a person has it.
        assert!(!typed(&[blocks.join("\n")]), "{text:?} ran in one window:\n{page}");
    }
}
