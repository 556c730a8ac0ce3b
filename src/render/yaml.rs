//! A plan as the compiler understood it, as a plan again: files joined, lists written out, parameters and every default
//! filled in. Reading it gives the same plan, but for drills that set parameters, of which nothing is left in it.

use serde_json::{Map, Value};
use serde_yaml::{Mapping, Value as Yaml};

use crate::actions::units::{duration_text, size_text};
use crate::actions::{self, Field, Type};
use crate::model::{
    ActionUse, Asset, Backup, Cause, Contact, Drill, OnFailure, Plan, Policy, Replica, Retry, Scenario, SecretSource, Site, Step, Tier,
    Undo, Verdict, Verify, WhenUnreachable,
};

/// The plan as text.
pub fn render<'s>(plan: &Plan, scenarios: impl IntoIterator<Item = &'s Scenario>, drills: &[Drill]) -> String {
    let mut top = Rows::default();
    top.put("drplan", "v1");
    top.put("name", &*plan.name);
    top.text("title", plan.title.as_ref());
    top.some("owner", plan.owner.as_deref());
    top.map(
        "params",
        plan.params.iter().map(|(name, param)| {
            let mut rows = Rows::default();
            rows.put("type", word(&param.kind));
            rows.text("title", param.title.as_ref());
            rows.some("default", param.value.as_ref().map(yaml));
            (name, rows)
        }),
    );
    top.map(
        "secrets",
        plan.secrets.iter().map(|(name, secret)| {
            let mut rows = Rows::default();
            match &secret.source {
                SecretSource::Env(name) => rows.put("env", escaped(name)),
                SecretSource::File(path) => rows.put("file", escaped(path)),
                SecretSource::Command(argv) => rows.put("command", argv.iter().map(|a| escaped(a)).collect::<Vec<_>>()),
            }
            rows.some("site", secret.site.as_deref());
            (name, rows)
        }),
    );
    if let Some(journal) = &plan.journal {
        let mut rows = Rows::default();
        rows.some("url", journal.url.as_deref());
        rows.some("site", journal.site.as_deref());
        rows.put("required", journal.required);
        top.put("journal", rows);
    }
    if !plan.lists.is_empty() {
        top.put(
            "lists",
            plan.lists.iter().fold(Rows::default(), |mut rows, (name, ids)| {
                rows.put(name, ids.clone());
                rows
            }),
        );
    }
    top.map("sites", plan.sites.iter().map(|(id, s)| (id, site(s))));
    top.map("tiers", plan.tiers.iter().map(|(id, t)| (id, tier(t))));
    top.map("contacts", plan.contacts.iter().map(|(id, c)| (id, contact(c))));
    top.map("assets", plan.assets.iter().map(|(id, a)| (id, asset(a))));
    top.map("scenarios", scenarios.into_iter().map(|s| (&s.id, scenario(s))));
    top.map("drills", drills.iter().filter(|d| d.with.is_empty()).map(|d| (&d.id, drill(d))));
    if plan.policy != Policy::default() {
        top.put("policy", policy(&plan.policy));
    }
    let left: Vec<&str> = drills.iter().filter(|d| !d.with.is_empty()).map(|d| d.id.as_str()).collect();
    let note = if left.is_empty() { String::new() } else { format!("# Without drills that set parameters: {}\n", left.join(", ")) };
    note + &serde_yaml::to_string(&Yaml::from(top)).expect("texts, numbers, lists and maps with texts as keys are YAML")
}

/// Rows of a map, in the order in which a person would write them.
#[derive(Default)]
struct Rows(Mapping);

impl From<Rows> for Yaml {
    fn from(rows: Rows) -> Yaml {
        Yaml::Mapping(rows.0)
    }
}

impl Rows {
    fn put(&mut self, key: &str, value: impl Into<Yaml>) {
        self.0.insert(key.into(), value.into());
    }

    fn some(&mut self, key: &str, value: Option<impl Into<Yaml>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// A text for people, in which no `${` means anything.
    fn text(&mut self, key: &str, value: Option<&String>) {
        self.some(key, value.map(|text| escaped(text)));
    }

    fn time(&mut self, key: &str, ms: Option<u64>) {
        self.some(key, ms.map(duration_text));
    }

    fn names(&mut self, key: &str, all: &[String]) {
        if !all.is_empty() {
            self.put(key, all.to_vec());
        }
    }

    fn map<'n>(&mut self, key: &str, all: impl Iterator<Item = (&'n String, Rows)>) {
        let mut rows = Rows::default();
        all.for_each(|(name, value)| rows.put(name, value));
        if !rows.0.is_empty() {
            self.put(key, rows);
        }
    }

    fn rows(&mut self, key: &str, all: Vec<Rows>) {
        if !all.is_empty() {
            self.put(key, Yaml::Sequence(all.into_iter().map(Yaml::from).collect()));
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

/// A word of the language.
fn word<T: serde::Serialize>(value: &T) -> Yaml {
    serde_yaml::to_value(value).expect("a word is a text")
}

fn yaml(value: &Value) -> Yaml {
    serde_yaml::to_value(value).expect("JSON is YAML")
}

fn one_or_many(all: &[String]) -> Yaml {
    match all {
        [one] => Yaml::from(one.as_str()),
        many => Yaml::from(many.to_vec()),
    }
}

fn site(site: &Site) -> Rows {
    let mut rows = Rows::default();
    rows.text("title", site.title.as_ref());
    rows.some("kind", site.kind.as_deref());
    rows.names("within", &site.within);
    rows
}

fn tier(tier: &Tier) -> Rows {
    let mut rows = Rows::default();
    rows.time("rto", tier.rto_ms);
    rows.time("rpo", tier.rpo_ms);
    rows.time("drill_every", tier.drill_every_ms);
    rows.some("approvals", tier.approvals);
    rows.time("immutable", tier.immutable_ms);
    rows.some("copies", tier.copies);
    rows.some("keep", tier.keep.as_ref().map(yaml));
    rows.some("sites", tier.sites);
    for (key, said) in [("offline", tier.offline), ("encrypted", tier.encrypted), ("worm", tier.worm)] {
        rows.some(key, said.then_some(true));
    }
    rows.some("verify", tier.verify.as_ref().map(verify));
    rows.some("failback", tier.failback.then_some(true));
    rows.some("smoke", tier.smoke.then_some(true));
    rows.names("tell", &tier.tell);
    let survives: Vec<String> = tier.survives.iter().map(Cause::to_string).collect();
    rows.names("survives", &survives);
    rows
}

fn verify(verify: &Verify) -> Rows {
    let mut often = Rows::default();
    often.time("exists", verify.exists_ms);
    often.time("restore", verify.restore_ms);
    often
}

fn contact(contact: &Contact) -> Rows {
    let mut rows = Rows::default();
    rows.text("title", contact.title.as_ref());
    rows.text("reach", contact.reach.as_ref());
    rows.text("phone", contact.phone.as_ref());
    rows.some("webhook", contact.webhook.as_deref());
    rows.some("email", contact.email.as_deref());
    rows.some("site", contact.site.as_deref());
    if let Some(next) = &contact.escalate {
        let mut to = Rows::default();
        to.put("to", &*next.to);
        to.put("after", duration_text(next.after_ms));
        rows.put("escalate", to);
    }
    rows
}

fn asset(asset: &Asset) -> Rows {
    let mut rows = Rows::default();
    rows.some("for_each", asset.each.as_deref());
    rows.put("kind", word(&asset.kind));
    rows.text("title", asset.title.as_ref());
    rows.put("tier", asset.tier.as_deref().unwrap_or("none"));
    rows.put("site", one_or_many(&asset.sites));
    rows.some("size", asset.size_bytes.map(size_text));
    if !asset.connect.is_empty() {
        rows.put("connect", connect(&asset.connect));
    }
    let dependency = |d: &crate::model::Dependency| {
        let mut rows = Rows::default();
        rows.put("asset", &*d.asset);
        rows.put("strength", if d.weak { "weak" } else { "strong" });
        rows
    };
    rows.rows("depends_on", asset.depends_on.iter().map(dependency).collect());
    rows.rows("replicas", asset.replicas.iter().map(replica).collect());
    rows.rows("backups", asset.backups.iter().map(backup).collect());
    if let Some(rebuild) = &asset.rebuild {
        let mut from = Rows::default();
        from.put("from", &*rebuild.from);
        from.put("within", duration_text(rebuild.within_ms));
        from.put("takes", duration_text(rebuild.takes_ms));
        rows.put("rebuild", from);
    }
    rows.time("keep", asset.keep_ms);
    rows
}

fn connect(connect: &std::collections::BTreeMap<String, Value>) -> Rows {
    connect.iter().fold(Rows::default(), |mut rows, (key, value)| {
        rows.put(key, yaml(value));
        rows
    })
}

fn replica(replica: &Replica) -> Rows {
    let mut rows = Rows::default();
    rows.put("site", &*replica.site);
    rows.put("mode", word(&replica.mode));
    rows.time("max_lag", replica.max_lag_ms);
    if !replica.connect.is_empty() {
        rows.put("connect", connect(&replica.connect));
    }
    rows
}

fn backup(backup: &Backup) -> Rows {
    let mut rows = Rows::default();
    rows.put("id", &*backup.id);
    rows.put("method", word(&backup.method));
    rows.some("base", backup.base.as_deref());
    rows.text("schedule", backup.schedule.as_ref());
    rows.text("timezone", backup.timezone.as_ref());
    rows.time("continuous", backup.continuous_ms);
    rows.time("takes", backup.takes_ms);
    rows.put("to", escaped(&backup.to));
    rows.some("site", backup.site.as_deref());
    rows.some("keep", backup.keep.as_ref().map(yaml));
    if let Some(encryption) = &backup.encryption {
        let mut key = Rows::default();
        key.put("key", escaped(&encryption.key));
        key.some("site", encryption.site.as_deref());
        rows.put("encryption", key);
    }
    if let Some(lock) = &backup.immutable {
        let mut until = Rows::default();
        until.put("mode", &*lock.mode);
        until.put("for", duration_text(lock.for_ms));
        rows.put("immutable", until);
    }
    let copy = |copy: &crate::model::Copy| {
        let mut rows = Rows::default();
        rows.put("to", escaped(&copy.to));
        rows.some("site", copy.site.as_deref());
        rows.time("after", copy.after_ms);
        rows.some("keep", copy.keep.as_ref().map(yaml));
        rows
    };
    rows.rows("copies", backup.copies.iter().map(copy).collect());
    rows.some("verify", backup.verify.as_ref().map(verify));
    rows
}

fn scenario(scenario: &Scenario) -> Rows {
    let mut rows = Rows::default();
    rows.text("title", scenario.title.as_ref());
    if !scenario.symptoms.is_empty() {
        rows.put("symptoms", scenario.symptoms.iter().map(|s| escaped(s)).collect::<Vec<_>>());
    }
    let mut loses = Rows::default();
    loses.names("sites", &scenario.loses.sites);
    loses.names("assets", &scenario.loses.assets);
    loses.names("backups", &scenario.loses.backups);
    rows.put("loses", loses);
    rows.put("cause", word(&scenario.cause));
    rows.put("detect", duration_text(scenario.detect_ms));
    rows.put("decide", duration_text(scenario.decide_ms));
    rows.map("objectives", scenario.objectives.iter().map(|(id, t)| (id, tier(t))));
    rows.some("undoes", scenario.undoes.as_deref());
    rows.names("leaves", &scenario.leaves);
    rows.put("steps", Yaml::Sequence(scenario.steps.iter().map(|s| step(s).into()).collect()));
    rows
}

fn step(step: &Step) -> Rows {
    let mut rows = Rows::default();
    let action = actions::find(&step.call.uses);
    rows.put("id", &*step.id);
    rows.some("for_each", step.each.as_deref());
    rows.text("title", step.title.as_ref());
    rows.put("phase", word(&step.phase));
    if !step.assets.is_empty() {
        rows.put("asset", one_or_many(&step.assets));
    }
    rows.some("share", step.share.as_deref());
    rows.some("at", step.at.as_deref());
    rows.some("from", step.from.as_deref());
    call(&mut rows, &step.call);
    // Of most actions the effect is known, and nobody vouches for it.
    if action.is_some_and(|a| a.effect_by_plan) {
        rows.put("effect", word(&step.effect));
    }
    rows.some("needs", step.needs.clone());
    rows.put("takes", duration_text(step.takes_ms));
    rows.time("timeout", step.timeout_ms);
    if step.retry != Retry::default() {
        let mut retry = Rows::default();
        retry.put("attempts", step.retry.attempts);
        retry.put("delay", duration_text(step.retry.delay_ms));
        retry.put("factor", step.retry.factor);
        retry.time("max_delay", Some(step.retry.max_delay_ms).filter(|ms| *ms < u64::MAX));
        rows.put("retry", retry);
    }
    if let Some(check) = &step.check {
        rows.put("check", reading(check));
    }
    match &step.undo {
        Undo::Unneeded => {}
        Undo::Auto => rows.put("undo", "auto"),
        Undo::Use(undo) => {
            let mut back = Rows::default();
            call(&mut back, undo);
            rows.put("undo", back);
        }
        Undo::None(why) => {
            let mut none = Rows::default();
            none.put("none", escaped(why));
            rows.put("undo", none);
        }
    }
    if step.modes.len() < 3 {
        rows.put("modes", Yaml::Sequence(step.modes.iter().map(word).collect()));
    }
    if !step.when.is_empty() {
        let when = step.when.iter().fold(Rows::default(), |mut rows, when| {
            rows.put(&format!("steps.{}.{}", when.step, when.output), yaml(&when.matcher));
            rows
        });
        rows.put("when", when);
    }
    if step.on_failure != OnFailure::of(action) {
        rows.put("on_failure", word(&step.on_failure));
    }
    if step.when_unreachable != WhenUnreachable::default() {
        rows.put("when_unreachable", word(&step.when_unreachable));
    }
    rows.map(
        "outputs",
        step.outputs.iter().map(|(name, output)| {
            let mut rows = Rows::default();
            rows.put("type", word(&output.kind));
            rows.some("json", output.json.as_deref());
            rows.some("pattern", output.pattern.as_deref());
            (name, rows)
        }),
    );
    rows.names("lock", &step.locks);
    rows.some("contact", step.contact.as_deref());
    rows
}

fn call(rows: &mut Rows, call: &ActionUse) {
    rows.put("uses", &*call.uses);
    // What an executable says about itself stands beside it.
    let mut with = call.with.clone();
    with.remove(actions::described::KEY);
    if !with.is_empty() {
        rows.put("with", fields(&with, actions::find(&call.uses).map_or(&[][..], |a| a.fields)));
    }
}

/// An action that only looks; of some nobody knows that unless it is said.
fn reading(of: &ActionUse) -> Rows {
    let mut rows = Rows::default();
    call(&mut rows, of);
    if actions::find(&of.uses).is_some_and(|a| a.effect_by_plan) {
        rows.put("effect", "read");
    }
    rows
}

fn fields(with: &Map<String, Value>, fields: &[Field]) -> Rows {
    with.iter().fold(Rows::default(), |mut rows, (key, value)| {
        let kind = fields.iter().find(|f| f.name == key).map(|f| f.kind);
        match (kind, serde_json::from_value::<ActionUse>(value.clone())) {
            (Some(Type::Call), Ok(inner)) => rows.put(key, reading(&inner)),
            _ => rows.put(key, yaml(value)),
        }
        rows
    })
}

fn drill(drill: &Drill) -> Rows {
    let mut rows = Rows::default();
    rows.text("title", drill.title.as_ref());
    rows.put("scenario", &*drill.scenario);
    rows.put("every", duration_text(drill.every_ms));
    rows.put("on", if drill.production { "production" } else { "rehearsal" });
    rows.names("skip", &drill.skip);
    rows.map(
        "connect",
        drill.connect.iter().map(|(asset, sites)| {
            let sites = sites.iter().fold(Rows::default(), |mut rows, (site, keys)| {
                rows.put(site, connect(keys));
                rows
            });
            (asset, sites)
        }),
    );
    rows.rows("cleanup", drill.cleanup.iter().map(step).collect());
    rows
}

fn policy(policy: &Policy) -> Rows {
    let mut rows = Rows::default();
    rows.put("approval_by_starter", word(&policy.approval_by_starter));
    if !policy.rules.is_empty() {
        let rules = policy.rules.iter().fold(Rows::default(), |mut rows, (name, verdict)| {
            match verdict {
                Verdict::Deny => rows.put(name, "deny"),
                Verdict::Warn => rows.put(name, "warn"),
                Verdict::Allow { reason, until } => {
                    let mut allow = Rows::default();
                    allow.put("allow", escaped(reason));
                    allow.put("until", until.to_string());
                    rows.put(name, allow);
                }
            }
            rows
        });
        rows.put("rules", rules);
    }
    rows
}
