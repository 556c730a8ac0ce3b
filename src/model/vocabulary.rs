//! The words of a plan as data: every key with its type, whether it must stand, and one sentence. The validator, the
//! JSON Schema and the manual read this table; nothing else says what a plan may hold.

use crate::actions::{Field, Type};

const fn may(name: &'static str, kind: Type, doc: &'static str) -> Field {
    Field { name, kind, required: false, default: None, doc }
}

const fn must(name: &'static str, kind: Type, doc: &'static str) -> Field {
    Field { name, kind, required: true, default: None, doc }
}

const fn or(name: &'static str, kind: Type, default: &'static str, doc: &'static str) -> Field {
    Field { name, kind, required: false, default: Some(default), doc }
}

const ID_OR_IDS: Type = Type::Either(&[Type::Id, Type::List(&Type::Id)]);
const NAME_OR_NAMES: Type = Type::Either(&[Type::Name, Type::List(&Type::Name)]);

/// Ids, or ids with what each has.
const LIST: Type = Type::Either(&[Type::List(&Type::Name), Type::ByName(&Type::Map(&Type::Any))]);

/// The top of a plan.
pub const PLAN: &[Field] = &[
    must("drplan", Type::Word(&["v1"]), "Version of the plan language: `v1`."),
    must("name", Type::Id, "Name of the plan."),
    may("title", Type::Text, "A line for people."),
    may("owner", Type::Id, "The contact who answers for the plan."),
    may("include", Type::List(&Type::Text), "Other files that are joined into this one, by path relative to it."),
    may("params", Type::ByName(&Type::Record(PARAM)), "Values that are given when the plan is compiled."),
    may("secrets", Type::ByName(&Type::Record(SECRET)), "Where secrets are found; never what they are."),
    may("journal", Type::Record(JOURNAL), "The shared journal, for when the machine that runs the plan may die too."),
    may("lists", Type::ByName(&LIST), "Names of things that are alike, for `for_each`: ids, or ids with values."),
    may("sites", Type::ById(&Type::Record(SITE)), "Failure domains; without any there is one, `here`."),
    may("tiers", Type::ById(&Type::Record(TIER)), "Objectives by name."),
    may("contacts", Type::ById(&Type::Record(CONTACT)), "People, named by steps, approvals and the runbook."),
    may("assets", Type::ById(&Type::Record(ASSET)), "What must be recovered."),
    must("scenarios", Type::ById(&Type::Record(SCENARIO)), "What may happen, and the way back."),
    may("drills", Type::ById(&Type::Record(DRILL)), "How often each scenario is rehearsed, and what differs then."),
    may("policy", Type::Record(POLICY), "What the plan allows those who run it."),
];

/// What a plan allows.
pub const POLICY: &[Field] = &[
    or(
        "approval_by_starter",
        Type::Word(&["deny", "warn", "allow"]),
        "warn",
        "Whether somebody may approve in a run that they started: `deny` refuses it, `warn` says so in the record.",
    ),
    may(
        "rules",
        Type::ById(&VERDICT),
        "The weight of findings in this plan, by rule: `deny`, `warn`, or `{ allow: WHY, until: DAY }`. Only what warns can be given another.",
    ),
];

/// What a plan says about the findings of a rule.
pub const VERDICT: Type = Type::Either(&[Type::Word(&["deny", "warn"]), Type::Record(ALLOWED)]);

/// Findings that are known and allowed for a while.
pub const ALLOWED: &[Field] = &[
    must("allow", Type::Text, "Why they are allowed."),
    must("until", Type::Day, "The last day on which they are, like `2027-03-01` (UTC)."),
];

/// A parameter.
pub const PARAM: &[Field] = &[
    or("type", Type::Word(&["string", "int", "bool", "duration", "size", "time", "url"]), "string", "What the parameter holds."),
    may("title", Type::Text, "A line for people."),
    may("default", Type::Any, "The value if none is given; without it `run` asks for one."),
    may("pattern", Type::Pattern, "A regular expression that the value must match."),
    may("enum", Type::List(&Type::Any), "The values that may be given."),
];

/// A secret: exactly one of the first three.
pub const SECRET: &[Field] = &[
    may("env", Type::Text, "The environment variable that holds the secret."),
    may("file", Type::Text, "The file that holds the secret."),
    may("command", Type::List(&Type::Text), "The command (argv) that prints the secret."),
    may("site", Type::Id, "The site at which that provider stands."),
];

/// The shared journal.
pub const JOURNAL: &[Field] = &[
    may(
        "url",
        Type::Text,
        "`postgres://USER@HOST:PORT/DATABASE`: where `run` keeps the run unless `--journal` says otherwise; never with a password.",
    ),
    may("site", Type::Id, "The site at which that server stands."),
    or("required", Type::Bool, "false", "Refuse to run on a journal that only this machine reaches."),
];

/// A site.
pub const SITE: &[Field] = &[
    may("title", Type::Text, "A line for people."),
    may("kind", Type::Word(&["region", "zone", "datacenter", "host", "account", "cloud", "offline"]), "What kind of failure domain it is."),
    may("within", ID_OR_IDS, "Outer sites: losing one of them loses this one."),
];

/// A tier of the plan.
pub const TIER: &[Field] = &[
    may("rto", Type::Duration, "Longest time until an asset of the tier is back."),
    may("rpo", Type::Duration, "Most data that may be lost, as time."),
    may("drill_every", Type::Duration, "How often, at least, a drill rehearses each scenario that brings such an asset back."),
    may("approvals", Type::Int, "How many people, at least, approve before such an asset is changed."),
    may("immutable", Type::Keep, "For how long, at least, nobody can delete the newest copy of its data."),
    may("copies", Type::Int, "How many copies of its data there are at least, the asset itself counted."),
    may("keep", Type::Keep, "How long copies are kept at least: a duration, or `{ daily: 30d, monthly: 12mo }`."),
    may(
        "sites",
        Type::Int,
        "At how many sites, at least, its data lie, the asset's own counted; a site within another one is not another one.",
    ),
    or("offline", Type::Bool, "false", "A copy of its data lies at a site of kind `offline`."),
    or("encrypted", Type::Bool, "false", "Every backup of it is encrypted."),
    or("worm", Type::Bool, "false", "Every lock against deletion is one that nobody can lift: mode `compliance`."),
    may("verify", Type::Record(VERIFY), "How often, at least, each backup of it is seen to be there, and restored."),
    or("failback", Type::Bool, "false", "Each scenario that moves it to another site has a scenario that undoes it."),
    or("smoke", Type::Bool, "false", "Each scenario that brings it back tries what people use: the outermost assets that stand on it."),
    may("tell", Type::List(&Type::Id), "Contacts: each scenario that brings it back has a step of each of them that tells people."),
    may(
        "survives",
        Type::List(&Type::Word(&["outage", "corruption", "ransomware"])),
        "What the plan has an answer to: a scenario with this cause that brings it back, and, for an outage, each of its sites.",
    ),
];

/// What counts in a scenario instead of a tier.
pub const OBJECTIVE: &[Field] = &[
    may("rto", Type::Duration, "Longest time until an asset of the tier is back."),
    may("rpo", Type::Duration, "Most data that may be lost, as time."),
];

/// A contact.
pub const CONTACT: &[Field] = &[
    may("title", Type::Text, "Name of the person or the team."),
    may("reach", Type::Text, "How to reach them, for people."),
    may("phone", Type::Text, "A telephone number."),
    may("webhook", Type::Secret, "An address (http or https) to which the program posts JSON when a run waits for them; may be a secret."),
    may("email", Type::Secret, "A mail address to which the program writes when a run waits for them; may be a secret."),
    may("site", Type::Id, "The site of that channel."),
    may("escalate", Type::Record(ESCALATE), "Who is told as well, if nobody answers."),
];

/// Who is told next.
pub const ESCALATE: &[Field] = &[
    must("to", Type::Id, "The contact who is told as well; with a `webhook` or an `email`."),
    must("after", Type::Duration, "How long the run has waited by then, counted from the contact before."),
];

/// Kinds of assets.
pub const KINDS: &[&str] =
    &["postgres", "clickhouse", "redis", "sqlite", "s3", "route53", "dns", "kubernetes", "kafka", "flink", "http", "host", "other"];

/// An asset.
pub const ASSET: &[Field] = &[
    must("kind", Type::Word(KINDS), "What it is; decides which keys `connect` takes and which actions fit."),
    may("title", Type::Text, "A line for people."),
    must("tier", Type::Id, "Its tier, or `none`."),
    may("site", ID_OR_IDS, "Where it stands; a list means the same data in all of them."),
    may("size", Type::Size, "Its size at the last review; `takes: { per_gib }` uses it."),
    may("connect", Type::Connect, "How to reach it; the keys depend on the kind."),
    may("depends_on", Type::List(&Type::Either(&[Type::Id, Type::Record(DEPENDENCY)])), "What it stands on."),
    may("replicas", Type::List(&Type::Record(REPLICA)), "Copies that can serve."),
    may("backups", Type::List(&Type::Record(BACKUP)), "Copies that can be restored."),
    may("rebuild", Type::Record(REBUILD), "The asset from which it can be computed anew."),
    may("keep", Type::Keep, "How far back the asset itself keeps what a rebuild replays."),
    may("for_each", Type::Name, "One asset for each id of a list, addressed `name[id]`; in it stand `${each.id}` and `${each.KEY}`."),
];

/// A dependency with its strength.
pub const DEPENDENCY: &[Field] = &[
    must("asset", Type::Id, "The asset that it stands on."),
    or("strength", Type::Word(&["strong", "weak"]), "strong", "A weak one orders only planned scenarios."),
];

/// A replica.
pub const REPLICA: &[Field] = &[
    must("site", Type::Id, "Where it stands."),
    must(
        "mode",
        Type::Word(&["streaming", "synchronous", "logical", "active", "standby"]),
        "How it follows; `active` serves and writes too, `standby` holds no data.",
    ),
    may("max_lag", Type::Duration, "How far it may be behind."),
    may("connect", Type::Connect, "Keys of `connect` that differ from the asset's."),
];

/// A backup.
pub const BACKUP: &[Field] = &[
    must("id", Type::Id, "Its name within the asset."),
    must("method", Type::Word(&["full", "incremental", "differential", "log", "snapshot", "dump"]), "How it is taken."),
    may("base", Type::Id, "The backup that it builds on."),
    may("schedule", Type::Text, "When it is taken: a cron line, in UTC unless `timezone` is given."),
    may("timezone", Type::Text, "Time zone of the schedule, like `Europe/Berlin`."),
    may("continuous", Type::Duration, "For one that never stops: how far it may be behind."),
    may("takes", Type::Duration, "How long a run takes."),
    must("to", Type::Text, "Where it goes."),
    may("site", Type::Id, "The site of that place."),
    may("keep", Type::Keep, "How long one is kept."),
    may("encryption", Type::Record(ENCRYPTION), "The key without which it cannot be read."),
    may("immutable", Type::Record(IMMUTABLE), "A lock against deletion."),
    may("copies", Type::List(&Type::Record(COPY)), "The same backup elsewhere."),
    may("verify", Type::Record(VERIFY), "How often it is seen to be there, and restored."),
];

/// How a backup is shown to be one.
pub const VERIFY: &[Field] = &[
    may("exists", Type::Duration, "At least so often a run sees that it is there: an `s3.check` of its place that passed."),
    may("restore", Type::Duration, "At least so often a drill restores it: a step with `from: ID` that passed."),
];

/// For how long something is kept, in its long form.
pub const KEEP: &[Field] = &[
    may("last", Type::Int, "So many of the newest."),
    may("hourly", Type::Kept, "The first of each hour, for so long."),
    may("daily", Type::Kept, "The first of each day, for so long."),
    may("weekly", Type::Kept, "The first of each week, for so long."),
    may("monthly", Type::Kept, "The first of each month, for so long."),
    may("yearly", Type::Kept, "The first of each year, for so long."),
];

/// The key of a backup.
pub const ENCRYPTION: &[Field] = &[must("key", Type::Text, "Which key."), may("site", Type::Id, "The site of the key.")];

/// A lock against deletion.
pub const IMMUTABLE: &[Field] = &[
    must("mode", Type::Word(&["governance", "compliance"]), "Whether anybody may lift the lock."),
    must("for", Type::Keep, "For how long nobody can delete it."),
];

/// A copy of a backup.
pub const COPY: &[Field] = &[
    must("to", Type::Text, "Where it goes."),
    may("site", Type::Id, "The site of that place."),
    or("after", Type::Duration, "0s", "How long after the backup's end it is there."),
    may("keep", Type::Keep, "How long one is kept."),
];

/// What an asset is computed anew from.
pub const REBUILD: &[Field] = &[
    must("from", Type::Id, "The asset that is replayed."),
    must("within", Type::Keep, "How far back the replay reaches."),
    must("takes", Type::Duration, "How long it takes."),
];

/// A scenario.
pub const SCENARIO: &[Field] = &[
    may("title", Type::Text, "Its name for people."),
    may("symptoms", Type::List(&Type::Text), "How a person recognises it."),
    may("loses", Type::Record(LOSES), "What is gone; required unless the cause is `planned`."),
    must("cause", Type::Word(&["outage", "corruption", "ransomware", "planned"]), "Why it happens."),
    may("detect", Type::Duration, "From the damage until somebody is called; required unless the cause is `planned`."),
    or("decide", Type::Duration, "0s", "From then until the run starts."),
    may("objectives", Type::ById(&Type::Record(OBJECTIVE)), "What counts here instead of the tier's objectives."),
    may("undoes", Type::Id, "The scenario whose end is this one's beginning."),
    may("leaves", Type::List(&Type::Id), "Lost assets that this scenario does not bring back."),
    must("steps", Type::List(&Type::Record(STEP)), "What is done, in order."),
];

/// What a scenario loses.
pub const LOSES: &[Field] = &[
    may("sites", Type::List(&Type::Id), "Sites; with each goes every site within it."),
    may("assets", Type::List(&Type::Id), "Assets that alone are gone, or damaged."),
    may("backups", Type::List(&Type::Text), "Backups, as `asset.id`."),
];

/// A step.
pub const STEP: &[Field] = &[
    must("id", Type::Id, "Its name within the scenario."),
    may("title", Type::Text, "One imperative line for the runbook."),
    must("uses", Type::Text, "The action."),
    may("with", Type::With, "The action's fields."),
    may("asset", ID_OR_IDS, "What this step brings back, and locks."),
    may("share", Type::Name, "Steps with the same name here may use their assets side by side."),
    may("at", Type::Id, "The site at which it acts."),
    may("phase", Type::Word(&["assess", "contain", "prepare", "recover", "verify", "close"]), "Where it stands in the recovery."),
    may("needs", Type::List(&Type::Id), "Steps that must be done before it; `[]` starts at once."),
    may("takes", Type::Either(&[Type::Duration, Type::Record(TAKES)]), "The expected time."),
    may("timeout", Type::Duration, "Limit of one attempt; after it the outcome is unknown."),
    may("retry", Type::Record(RETRY), "How often it is tried, and how long between."),
    may("undo", Type::Either(&[Type::Word(&["auto"]), Type::Record(UNDO)]), "How it is taken back."),
    may("from", Type::Id, "The source that it restores: a backup's id, `replica`, `rebuild`."),
    may("effect", Type::Word(EFFECTS), "What its author vouches for."),
    may("check", Type::Record(CHECK), "A reading action that tells whether this step's effect is there."),
    may("modes", Type::List(&Type::Word(&["planned", "unplanned", "drill"])), "In which modes it runs."),
    may("when", Type::Map(&Type::Matcher), "Conditions on outputs: `{steps.X.K: matcher}`."),
    or("on_failure", Type::Word(&["pause", "continue", "rollback"]), "pause", "What a failure means for the run."),
    or("when_unreachable", Type::Word(&["fail", "ask", "skip"]), "fail", "What an unreachable target means."),
    may("outputs", Type::ByName(&Type::Record(OUTPUT)), "What a `command` finds out."),
    may("lock", NAME_OR_NAMES, "Further things that no two steps may use at once."),
    may("contact", Type::Id, "Who does it or answers for it."),
    may("for_each", Type::Name, "One step for each id of a list, addressed `name[id]`; in it stand `${each.id}` and `${each.KEY}`."),
];

const EFFECTS: &[&str] = &["read", "idempotent", "verifiable", "once"];

/// An expected time that grows with the asset.
pub const TAKES: &[Field] = &[
    or("base", Type::Duration, "0s", "The part that does not grow."),
    must("per_gib", Type::Duration, "Times the asset's `size` in GiB."),
];

/// Repetition.
pub const RETRY: &[Field] = &[
    must("attempts", Type::Int, "At most so many attempts in all."),
    or("delay", Type::Duration, "0s", "Before the second attempt."),
    or("factor", Type::Number, "1", "Each delay is the last times this."),
    may("max_delay", Type::Duration, "No delay is longer."),
];

/// An undo that is not `auto`.
pub const UNDO: &[Field] = &[
    may("uses", Type::Text, "The action that takes the step back."),
    may("with", Type::With, "That action's fields."),
    may("none", Type::Text, "Why the step cannot be taken back."),
];

/// A check of a step.
pub const CHECK: &[Field] = &[
    must("uses", Type::Text, "A reading action."),
    may("with", Type::With, "That action's fields."),
    may("effect", Type::Word(EFFECTS), "`read`, for an action whose effect its author vouches for."),
];

/// A rehearsal.
pub const DRILL: &[Field] = &[
    may("title", Type::Text, "A line for people."),
    must("scenario", Type::Id, "The scenario that is rehearsed."),
    must("every", Type::Duration, "How often."),
    or(
        "on",
        Type::Word(&["rehearsal", "production"]),
        "rehearsal",
        "Where: `rehearsal` lets no step change what it would change in an incident; `production` needs an approval in the scenario.",
    ),
    may("skip", Type::List(&Type::Id), "Steps that are left out, and with each the `verify` steps of its assets."),
    may("with", Type::ByName(&Type::One), "Parameters that are others in the drill."),
    may("connect", Type::ById(&Type::ById(&Type::Connect)), "By asset and site: keys that replace those of its `connect`."),
    may("cleanup", Type::List(&Type::Record(STEP)), "Steps that run at the end, whatever happened."),
];

/// A declared output.
pub const OUTPUT: &[Field] = &[
    or("type", Type::Word(&["string", "int", "bool", "duration", "size", "time", "url"]), "string", "What it holds."),
    may("json", Type::Text, "A dotted path into the JSON on standard output."),
    may("pattern", Type::Pattern, "A regular expression; its first group, or the whole match, is the value."),
];
