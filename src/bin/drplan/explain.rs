//! `drplan explain [NAME]`: the manual page of an action, a rule or a section of a plan.

use drplan::actions::{self, Field};
use drplan::analysis::rules;
use drplan::diagnostic;
use drplan::model::vocabulary as words;
use std::borrow::Cow;

use serde_json::json;

use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;

/// Show the manual page of a rule, an action or a section; without a name, list them all.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `postgres.promote`, `missing-undo`, `scenarios`, …
    name: Option<String>,
}

/// One manual page.
struct Page {
    kind: &'static str,
    /// Of a rule: what it is about.
    subject: Option<&'static str>,
    name: &'static str,
    text: Cow<'static, str>,
}

/// Prints the page, or the list of all.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let pages = pages();
    let Some(name) = &args.name else {
        return list(&pages, settings);
    };
    let Some(page) = pages.iter().find(|p| p.name == name) else {
        let stop = Stop::no_input(format!("there is no page named `{name}`"));
        return Err(match diagnostic::nearest(name, pages.iter().map(|p| p.name)) {
            Some(near) => stop.help(format!("drplan explain {near}")),
            None => stop.help("drplan explain lists all pages"),
        });
    };
    if settings.json {
        output::json(&json!({ "kind": page.kind, "subject": page.subject, "name": page.name, "page": page.text }))?;
    } else {
        output::data(&page.text)?;
    }
    Ok(Exit::Good)
}

fn list(pages: &[Page], settings: &Settings) -> Ended {
    if settings.json {
        let all: Vec<_> =
            pages.iter().map(|p| json!({ "kind": p.kind, "subject": p.subject, "name": p.name, "title": title(&p.text) })).collect();
        output::json(&json!(all))?;
        return Ok(Exit::Good);
    }
    let width = pages.iter().map(|p| p.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut heading = String::new();
    for page in pages {
        let own = page.subject.map_or_else(|| format!("{}s", page.kind), |subject| format!("{}s about {subject}", page.kind));
        if own != heading {
            text.push_str(&format!("{}{own}\n", if text.is_empty() { "" } else { "\n" }));
            heading = own;
        }
        text.push_str(&format!("  {:width$}  {}\n", page.name, title(&page.text)));
    }
    output::data(&text)?;
    Ok(Exit::Good)
}

/// The first line of a page that is neither its heading nor empty.
fn title(page: &str) -> &str {
    page.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or("")
}

fn pages() -> Vec<Page> {
    let page = |kind, name, text| Page { kind, subject: None, name, text };
    let actions = actions::all().iter().map(|a| page("action", a.name, a.page.into()));
    let mut rules: Vec<_> = rules::TABLE.iter().collect();
    rules.sort_by_key(|r| (r.subject, r.name));
    let rules = rules.into_iter().map(|r| Page { subject: Some(r.subject.into()), ..page("rule", r.name, r.page.into()) });
    let sections = SECTIONS.iter().map(|(name, what, fields)| page("section", name, section(name, what, fields).into()));
    let topics = TOPICS.iter().map(|(name, text)| page("topic", name, (*text).into()));
    actions.chain(rules).chain(sections).chain(topics).collect()
}

/// What is no part of a plan.
const TOPICS: &[(&str, &str)] = &[
    ("adopt", include_str!("adopt.md")),
    ("check", include_str!("check.md")),
    ("estimate", include_str!("estimate.md")),
    ("executables", include_str!("executables.md")),
    ("include", include_str!("include.md")),
    ("lists", include_str!("lists.md")),
    ("rehearse", include_str!("rehearse.md")),
    ("what-if", include_str!("what-if.md")),
    ("words", include_str!("words.md")),
];

/// Where each kind of thing in a plan stands, and the table of its keys.
const SECTIONS: &[(&str, &str, &[Field])] = &[
    ("plan", "The top of a plan.", words::PLAN),
    ("params", "A value that is given when the plan is compiled: `params: { NAME: … }`.", words::PARAM),
    ("secrets", "Where a secret is found, never what it is: `secrets: { NAME: … }`.", words::SECRET),
    ("journal", JOURNAL, words::JOURNAL),
    ("sites", "A failure domain: `sites: { ID: … }`.", words::SITE),
    ("tiers", TIERS, words::TIER),
    ("contacts", CONTACTS, words::CONTACT),
    ("escalate", "Who is told next, in a contact's `escalate: { to: ID, after: 15m }`.", words::ESCALATE),
    ("assets", "What must be recovered: `assets: { ID: … }`.", words::ASSET),
    ("replicas", "A copy that can serve, in an asset's `replicas: [ … ]`.", words::REPLICA),
    ("backups", "A copy that can be restored, in an asset's `backups: [ … ]`.", words::BACKUP),
    ("verify", "How a backup is shown to be one, in its `verify: { exists: 7d, restore: 30d }`.", words::VERIFY),
    ("keep", "For how long something is kept, in the long form of `keep`; the short one is a duration.", words::KEEP),
    ("scenarios", "What is lost, why, and the way back: `scenarios: { ID: … }`.", words::SCENARIO),
    ("steps", "One step of a scenario's `steps: [ … ]`.", words::STEP),
    ("drills", DRILLS, words::DRILL),
    ("policy", POLICY, words::POLICY),
];

const DRILLS: &str = include_str!("drills_head.md");

const POLICY: &str = "\
What the plan allows those who run it, and how much findings weigh: `policy: { approval_by_starter: deny, rules: { … } }`.

`rules: { no-source: deny }` refuses the plan for what would be a warning. `rules: { no-source: { allow: WHY, until: DAY } }` allows
it until that day is over (UTC); then it is said again. One line is allowed by a comment at its end, or alone on the line above:

    # drplan: allow(no-source) until 2027-03-01: the notes are copied by hand until the new disk comes

What refuses a plan by itself cannot be allowed: its repair is in the plan. Findings that are allowed stay in `--format json` and
`sarif`, with their reason.";

const TIERS: &str = "\
Objectives that assets share: `tiers: { ID: … }`.

`rto` and `rpo` are what is promised. The other keys are the least that is done for it, and each makes the rules that read it speak about
assets of the tier; what a tier does not ask for is not missed. Backups: `copies`, `sites`, `offline`, `encrypted`, `immutable`, `worm`, `keep`
(`too-few-copies`, `unprotected-after`, `too-few-sites`, `no-offline-copy`, `not-encrypted`, `not-immutable`, `lock-can-be-lifted`, `kept-too-short`). Whether they are any
good: `verify`, `drill_every` (`verify-too-rare`, `drill-too-rare`). The recovery: `approvals`, `smoke`, `tell`, `failback` (`too-few-approvals`, `no-smoke-test`,
`nobody-told`, `no-way-back`). What has an answer: `survives` (`unanswered`). `policy: { rules }` sets the level of each.";

const JOURNAL: &str = "\
The journal that runs of the plan share: `journal: { url: …, required: true }`.

A run is what its journal says. Without this section it is one SQLite file of the machine that runs the plan, and dies with
it; a laptop that may die during a failover wants a PostgreSQL database that other machines reach too, and that stands at
none of the sites that the scenarios lose. `run` takes the journal that was typed (`--journal FILE|URL`) or set
(`DRPLAN_JOURNAL`), else this `url`, else the file; `required: true` refuses a file. Other commands know no plan: type or set
it for `status`, `resume` and the rest. A password is given as PGPASSWORD or in ~/.pgpass, never here and never shown; TLS
as in `?sslmode=verify-full&sslrootcert=FILE`; a schema of its own by `?options=-c%20search_path%3Ddrplan`.

One process drives a run, and gives a sign of life every 10 s. After 30 s without one, by the server's clock, another may take
the run, and the first one appends nothing and starts nothing from then on, whenever it wakes up. On a file a holder whose
process is gone has lost the run at once; one that was stopped in the middle of a write keeps the file locked: kill it. A
journal that does not answer is asked again until the lease ends; nothing is started meanwhile; then the program ends with 16.
A disk that is full, breaks or refuses a sync ends it with 16 at once. It says then which steps had ended without the journal
hearing of it, and which go on: note it, for after `resume` you may be asked. A server whose `fsync` is off may forget at a
power loss what it said it had; `run` and `doctor` say so and go on: at 3 a.m. that is yours to weigh.

- `drplan lease show`: who drives a run, the last sign of life, and what is in flight.
- `drplan lease break RUN --reason WHY`: takes the run from somebody who does not answer. What that one had begun may go on.
- `drplan journal verify [RUN|FILE]`: recomputes every digest of a run, of all, or of an export. It shows accidents and cuts,
  not somebody who recomputes all: keep the head that it prints, or an export, elsewhere.
- `drplan journal export RUN -o FILE`: a line of JSON for each event; the last one holds count and head.
- `drplan hand-over RUN -o FILE --reason WHY`: closes the run here and exports it. Where it goes on: `drplan journal import FILE`,
  in one place only, then `drplan resume RUN`. Handed over there and imported here, it comes back. `FILE.imported` then says
  where it went, and the file is refused elsewhere; two journals that each got a copy of it do not know of each other, so
  do not keep copies. The run still holds its assets here, for it goes on changing them: no other run of this journal may.
  They are free when it has come back and ends here, or its export is imported here once it has ended there.
- `drplan journal import FILE`: any other export is for reading. `--take-over --reason WHY` drives it all the same, with
  every step in flight unknown; make sure that nobody else drives it.
- `drplan journal migrate`: brings an older journal to the newest schema while nobody drives. Nothing else does: an older
  journal is read and driven as it is, and a newer one is refused.";

const CONTACTS: &str = "\
People and channels: `contacts: { ID: … }`.

When a run waits for a person, those who can answer are told: of an approval the contacts in its `from` who have not
approved, of anything else the step's `contact`, and that is the plan's `owner` unless the step names another. They are
told at once and again every 5m (`--remind`) for as long as somebody drives the run and it waits; a driver without a
terminal and without `--wait` tells them once and leaves. `webhook` gets a POST of JSON, whose `text` says it all; `email`
gets the same text through the mail server of the setting `--smtp` (`DRPLAN_SMTP`). The message names the run, the plan,
the scenario, the step, what is asked, since when, how long the objectives still allow, and the commands to type.

If nobody answers for `escalate.after`, `escalate.to` is told as well, and so on. Telling somebody is no effect: it is not
in the journal, no run waits for it or fails with it, and one that fails is said on the screen.";

/// A section's page: the table of its keys.
fn section(name: &str, what: &str, fields: &[Field]) -> String {
    let mut out = format!("# `{name}`\n\n{what}\n\n| key | needed | meaning |\n|---|---|---|\n");
    for field in fields {
        let needed = match (field.required, field.default) {
            (true, _) => "yes".to_owned(),
            (false, Some(default)) => format!("else `{default}`"),
            (false, None) => "no".to_owned(),
        };
        out.push_str(&format!("| `{}` | {needed} | {} |\n", field.name, field.doc));
    }
    out
}
