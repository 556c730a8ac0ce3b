//! Whom a run tells that it waits for them, what it says, and when it says it again. Telling is no effect: it is not in
//! the journal, nothing waits for it, and if it fails the run goes on as if it had not been tried.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::secret;
use super::state::State;
use super::waiting::{Waiting, people};
use super::words;
use crate::actions::notify::{self, Post};
use crate::actions::template;
use crate::actions::units::duration_text;
use crate::model::{Contact, Id, Plan};
use crate::world::strike::Striker;
use crate::world::{Fault, Letter, World};

/// How long one channel may take.
const LIMIT_MS: u64 = 10_000;

/// How many steps one message names.
const MOST: usize = 10;

/// Who was told of what, and when.
pub struct Telling {
    every: Duration,
    /// False if no contact of the plan can be told.
    any: bool,
    told: BTreeMap<Id, Told>,
}

struct Told {
    last: Duration,
    times: u32,
    of: BTreeSet<(usize, Timestamp)>,
}

/// One message to one contact.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Who is told.
    pub contact: Id,
    channel: Contact,
    subject: String,
    text: String,
    body: Value,
}

/// How telling somebody came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who was told.
    pub contact: Id,
    /// By which channel: `webhook`, `email`.
    pub by: &'static str,
    /// Why it failed, without secrets.
    pub failed: Option<String>,
}

impl Telling {
    /// For a run of this plan; people are told again after `every`.
    pub fn new(plan: &Plan, every: Duration) -> Telling {
        let any = plan.contacts.values().any(|c| c.webhook.is_some() || c.email.is_some());
        Telling { every, any, told: BTreeMap::new() }
    }

    /// The messages that are due. `elapsed` is the clock that no one sets.
    pub fn due(&mut self, state: &State, now: Timestamp, elapsed: Duration) -> Vec<Note> {
        if !self.any {
            return Vec::new();
        }
        let mut wanted: BTreeMap<Id, Vec<(Waiting, Option<Id>)>> = BTreeMap::new();
        for waiting in people(state) {
            for (contact, before) in chain(&state.plan().plan, &waiting, now) {
                wanted.entry(contact).or_default().push((waiting.clone(), before));
            }
        }
        self.told.retain(|contact, _| wanted.contains_key(contact));
        let due = wanted.into_iter().filter_map(|(contact, of)| {
            let keys: BTreeSet<_> = of.iter().map(|(w, _)| (w.step, w.since)).collect();
            let told = self.told.get(&contact);
            let known = told.is_some_and(|told| keys.is_subset(&told.of) && elapsed.saturating_sub(told.last) < self.every);
            if known {
                return None;
            }
            let times = told.map_or(0, |told| told.times);
            self.told.insert(contact.clone(), Told { last: elapsed, times: times + 1, of: keys });
            note(state, contact, &of, now, times, self.every)
        });
        due.collect()
    }
}

/// Who is to be told by now: those who can answer, and whoever comes after them when nobody did; each with the one before.
fn chain(plan: &Plan, waiting: &Waiting, now: Timestamp) -> Vec<(Id, Option<Id>)> {
    let waited = u64::try_from(now.duration_since(waiting.since).as_millis()).unwrap_or(0);
    let mut out: Vec<(Id, Option<Id>)> = Vec::new();
    for first in &waiting.contacts {
        let (mut id, mut after, mut before) = (first, 0, None);
        while waited >= after && !out.iter().any(|(seen, _)| seen == id) {
            let Some(contact) = plan.contacts.get(id) else { break };
            out.push((id.clone(), before));
            let Some(next) = &contact.escalate else { break };
            before = Some(id.clone());
            (id, after) = (&next.to, after.saturating_add(next.after_ms));
        }
    }
    out
}

fn note(state: &State, contact: Id, of: &[(Waiting, Option<Id>)], now: Timestamp, times: u32, every: Duration) -> Option<Note> {
    let plan = state.plan();
    let channel = plan.plan.contacts.get(&contact)?.clone();
    channel.webhook.as_ref().or(channel.email.as_ref())?;
    let (run, name) = (&state.run, channel.title.as_deref().unwrap_or(&contact));
    let mut text = format!("Run {run} (plan {}, scenario {}) waits for {name}.\n", plan.plan.name, plan.scenario.id);
    let mut waits = Vec::new();
    for (waiting, _) in of.iter().take(MOST) {
        let step = &state.step(waiting.step).id;
        let choices = words::choices_of(state, waiting.step, Some(&contact));
        let commands: Vec<String> = choices.into_iter().map(|choice| choice.command).collect();
        let waited = duration_text(since_ms(waiting.since, now) / 1000 * 1000);
        text.push_str(&format!("\n{step}, for {waited}, since {}: {}\n", waiting.since, waiting.question));
        commands.iter().for_each(|command| text.push_str(&format!("  {command}\n")));
        waits.push(json!({ "step": step, "since": waiting.since, "question": waiting.question, "commands": commands }));
    }
    if of.len() > MOST {
        text.push_str(&format!("\nand {} more: drplan status {run}\n", of.len() - MOST));
    }
    let stake = at_stake(state, now);
    for (asset, rto_ms, left_ms) in &stake {
        let rto = duration_text(*rto_ms);
        let left = duration_text(left_ms.unsigned_abs() / 1000 * 1000);
        text.push_str(&match left_ms {
            0.. => format!("\n{asset} must be back within {left} (objective {rto}).\n"),
            _ => format!("\n{asset} should have been back {left} ago (objective {rto}).\n"),
        });
    }
    let before: BTreeSet<&Id> = of.iter().filter_map(|(_, before)| before.as_ref()).collect();
    for other in &before {
        text.push_str(&format!("\nYou are told because nobody answered who was told first: {other}.\n"));
    }
    text.push_str(&format!("\nIf nobody drives the run by then: drplan resume {run}\n"));
    text.push_str(&format!("You are told again every {} while the run is driven and waits.\n", duration_text(every.as_millis() as u64)));
    let first = state.step(of.first()?.0.step).id.as_str();
    let more = if of.len() > 1 { format!(" and {} more", of.len() - 1) } else { String::new() };
    let stake: Vec<Value> = stake.iter().map(|(a, rto, left)| json!({ "asset": a, "rto_ms": rto, "left_ms": left })).collect();
    let body = json!({
        "text": text,
        "run": run,
        "plan": plan.plan.name,
        "scenario": plan.scenario.id,
        "mode": plan.mode,
        "contact": contact,
        "told_before": times,
        "escalated_from": before,
        "waits": waits,
        "at_stake": stake,
    });
    Some(Note { subject: format!("drplan: {run} waits for {name}: {first}{more}"), contact, channel, text, body })
}

/// Assets with an objective that are not back: how long is left, less than nothing where it is missed. Most urgent first.
fn at_stake(state: &State, now: Timestamp) -> Vec<(String, u64, i64)> {
    let spent = i64::try_from(since_ms(state.incident_start, now)).unwrap_or(i64::MAX);
    let open = state.plan().predictions.iter().filter(|(asset, _)| !state.recovered.contains_key(*asset));
    let mut out: Vec<(String, u64, i64)> = open
        .filter_map(|(asset, p)| {
            let rto = p.rto_ms.filter(|_| p.recovery_ms.is_some())?;
            Some((asset.clone(), rto, i64::try_from(rto).unwrap_or(i64::MAX).saturating_sub(spent)))
        })
        .collect();
    out.sort_by_key(|(_, _, left)| *left);
    out.truncate(3);
    out
}

fn since_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

impl Note {
    /// Tells, by every channel that the contact has.
    pub async fn send(self, world: &World, plan: &Plan) -> Vec<Said> {
        let mut out = Vec::new();
        if let Some(address) = &self.channel.webhook {
            out.push(self.said("webhook", self.post(world, plan, address).await));
        }
        if let Some(address) = &self.channel.email {
            out.push(self.said("email", self.write(world, plan, address).await));
        }
        out
    }

    fn said(&self, by: &'static str, result: Result<(), Fault>) -> Said {
        Said { contact: self.contact.clone(), by, failed: result.err().map(|fault| fault.cause) }
    }

    async fn post(&self, world: &World, plan: &Plan, address: &str) -> Result<(), Fault> {
        let (url, secrets) = resolved(world, plan, address).await?;
        let post = Post { url, headers: Vec::new(), body: self.body.to_string(), timeout_ms: LIMIT_MS };
        notify::post(world, post).await.map(drop).map_err(|fault| struck(&secrets, fault))
    }

    async fn write(&self, world: &World, plan: &Plan, address: &str) -> Result<(), Fault> {
        let (to, secrets) = resolved(world, plan, address).await?;
        let letter = Letter { to, subject: self.subject.clone(), text: self.text.clone(), timeout_ms: LIMIT_MS };
        notify::mail(world, letter).await.map_err(|fault| struck(&secrets, fault))
    }
}

/// An address with its secrets in it, and these.
async fn resolved(world: &World, plan: &Plan, address: &str) -> Result<(String, Vec<String>), Fault> {
    let (full, secrets) = secret::filled(world, plan, &Value::String(address.to_owned())).await?;
    Ok((template::plain(&full), secrets))
}

fn struck(secrets: &[String], fault: Fault) -> Fault {
    Fault { cause: Striker::new(secrets).strike(&fault.cause), ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Input, compile};
    use crate::execute::Start;
    use crate::journal::{About, Doing, Entry, Event};
    use crate::world::sim::{Sim, Wrong};

    const PLAN: &str = r#"
drplan: v1
name: p
owner: ops
contacts:
  ops: { email: ops@example.com, escalate: { to: head, after: 15m } }
  head: { email: head@example.com, escalate: { to: cto, after: 15m } }
  cto: { email: cto@example.com }
  mute: { phone: "1" }
scenarios:
  s:
    cause: planned
    steps:
      - { id: look, uses: command, effect: read, with: { argv: [a] }, takes: 1s, retry: { attempts: 2, delay: 1s } }
      - { id: gate, uses: approval, needs: [], with: { ask: "Go on?", from: [head, mute], count: 2 }, takes: 1m }
"#;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn state(events: Vec<(i64, Event)>) -> State {
        let texts = BTreeMap::from([("p.yaml".to_owned(), PLAN.to_owned())]);
        let compiled = compile(&texts, "p.yaml", &Input::default()).unwrap();
        let start = Start { incident_start: at(0), ..Start::default() }.of(&compiled.checked[0]);
        let all = std::iter::once((0, start)).chain(events).zip(1..);
        State::of("r", &all.map(|((second, event), seq)| Entry { seq, at: at(second), event }).collect::<Vec<_>>()).unwrap()
    }

    fn failed(attempt: u32) -> Vec<Event> {
        let (step, doing) = ("look".to_owned(), Doing::Apply);
        let (key, inputs, before) = (String::new(), String::new(), Value::Null);
        vec![
            Event::Intent { step: step.clone(), doing, attempt, key, inputs, timeout_ms: None, settles_ms: 0, before },
            Event::Failed { step, doing, attempt, reason: "no".to_owned(), unreachable: false },
        ]
    }

    /// Who is told, second by second.
    fn told(telling: &mut Telling, state: &State, second: i64) -> Vec<String> {
        let elapsed = Duration::from_secs(u64::try_from(second).unwrap());
        telling.due(state, at(second), elapsed).into_iter().map(|note| note.contact).collect()
    }

    #[test]
    fn nobody_is_told_of_what_is_tried_again_by_itself() {
        let mut telling = Telling::new(&state(vec![]).plan().plan, Duration::from_secs(300));
        let none: [&str; 0] = [];
        let once: Vec<_> = failed(1).into_iter().map(|e| (1, e)).collect();
        assert_eq!(told(&mut telling, &state(once.clone()), 2), none);
        let twice = once.into_iter().chain(failed(2).into_iter().map(|e| (3, e))).collect();
        assert_eq!(told(&mut telling, &state(twice), 4), ["ops"]);
    }

    #[test]
    fn each_is_told_once_again_after_a_while_and_the_next_one_when_nobody_answers() {
        let asked = Event::Asked { step: "gate".to_owned(), about: About::Approval, question: "Go on?".to_owned() };
        let waits: Vec<_> = failed(1).into_iter().chain(failed(2)).map(|e| (0, e)).collect();
        let state_now = state(waits.clone());
        let mut telling = Telling::new(&state_now.plan().plan, Duration::from_secs(300));
        assert_eq!(told(&mut telling, &state_now, 1), ["ops"]);
        for quiet in [2, 100, 300] {
            assert_eq!(told(&mut telling, &state_now, quiet), [""; 0], "{quiet}");
        }
        assert_eq!(told(&mut telling, &state_now, 301), ["ops"]);
        // Something new is told at once, to those whom it concerns.
        let both = state(waits.into_iter().chain([(310, asked)]).collect());
        assert_eq!(told(&mut telling, &both, 311), ["head"]);
        assert_eq!(told(&mut telling, &both, 900), ["head", "ops"]);
        assert_eq!(told(&mut telling, &both, 1209), ["head", "ops"]);
        assert_eq!(told(&mut telling, &both, 1210), ["cto"], "fifteen minutes after the head");
        // What was answered is forgotten: asked anew, they are told anew.
        assert_eq!(told(&mut telling, &state(vec![]), 1300), [""; 0]);
        assert_eq!(told(&mut telling, &both, 1301).len(), 3);
    }

    #[test]
    fn what_fails_is_said_and_what_arrives_says_it_all() {
        let sim = Sim::new(1);
        let waits = failed(1).into_iter().chain(failed(2)).map(|e| (60, e)).collect();
        let state = state(waits);
        let mut telling = Telling::new(&state.plan().plan, Duration::from_secs(300));
        let plan = state.plan().plan.clone();
        let note = telling.due(&state, at(125), Duration::ZERO).remove(0);
        sim.go_wrong("ops@example.com", &[Wrong::Refused]);
        let world = sim.world();
        let (refused, sent) =
            sim.block_on(async { (note.clone().send(&world, &plan).await, note.send(&world, &plan).await) }).expect("nothing kills it");
        assert_eq!(refused[0].failed.as_deref(), Some("code 550"));
        assert_eq!(sent, [Said { contact: "ops".to_owned(), by: "email", failed: None }]);
        let letters = sim.letters();
        assert_eq!(letters[0].subject, "drplan: r waits for ops: look");
        for words in [
            "Run r (plan p, scenario s) waits for ops.",
            "look, for 1m5s, since",
            ": no\n",
            "  drplan retry r look --reason …\n",
            "again every 5m",
        ] {
            assert!(letters[0].text.contains(words), "{words}: {}", letters[0].text);
        }
    }
}
