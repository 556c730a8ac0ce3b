//! The laws of an executable, each tried on it once. It knows the protocol, and nothing of what the executable is for.

use std::collections::BTreeMap;
use std::path::Path;

use drplan::actions::Effect;
use drplan::actions::described::{self, Description, Kind};
use drplan::actions::protocol::{self, Ask, Reply};
use drplan::render::escape;
use drplan::world::Exit;
use serde_json::{Map, Value, json};

use crate::action::Program;

/// Longest time of one request.
pub const PATIENCE_MS: u64 = 20_000;
/// The time after which it is told to end.
const SHORT_MS: u64 = 300;
/// A secret that no executable can have from elsewhere.
const SECRET: &str = "drplan-test-secret-5c1f0e";

/// What is tried, with what, and where.
pub struct Kit<'a> {
    /// The executable.
    pub program: &'a Program,
    /// Fields that were typed.
    pub given: Map<String, Value>,
    /// An empty directory.
    pub place: &'a Path,
}

/// What was found of a law: kept, not asked of it, or broken and how.
pub struct Found {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub what: &'static str,
    /// None: it cannot be asked of this executable.
    pub kept: Result<(), Option<String>>,
}

type Kept = Result<(), Option<String>>;

const LAWS: [(&str, &str); 11] = [
    ("describes", "it says what it is, in a form that can be used"),
    ("beside", "the file beside it says the same, so that a plan is compiled with the truth"),
    ("garbage", "what is no request it knows is not carried out"),
    ("looks", "reading the state and probing change nothing, and its effect is not there at first"),
    ("applies", "it does it, and says every output that it declares"),
    ("there", "its probe then says that it is there, with the same outputs"),
    ("twice", "doing it again changes nothing more"),
    ("undo", "it takes back what it did, and the state is what it was"),
    ("undo twice", "taking it back again changes nothing, and says that it is not there"),
    ("secret", "no secret that it is given is in anything that it says"),
    ("ends", "told to end, it ends within five seconds"),
];

/// Tries every law, in their order: each goes on where the one before left things.
pub async fn hold(kit: &Kit<'_>) -> Vec<Found> {
    let described = kit.program.describe().await;
    let says = described.as_ref().ok().cloned();
    let mut all: BTreeMap<&str, Kept> = BTreeMap::new();
    all.insert("describes", described.map(drop).map_err(Some));
    if let Some(says) = says {
        let mut court = Court { kit, with: with(kit, &says), says, heard: String::new(), before: Value::Null };
        all.insert("beside", court.beside());
        all.insert("garbage", court.garbage().await);
        all.insert("looks", court.looks().await);
        let start = court.tree();
        let applied = court.applies().await;
        let done = applied.as_ref().ok().cloned();
        all.insert("applies", applied.map(drop).map_err(Some));
        // What was not done can be neither seen nor taken back.
        if let Some(outputs) = done {
            all.insert("there", court.there(&outputs).await);
            all.insert("twice", court.twice().await);
            all.insert("undo", court.undo(&start).await);
            all.insert("undo twice", court.undo(&start).await);
            all.insert("secret", court.secret());
            all.insert("ends", court.ends().await);
        }
    }
    let unknown = || Err(Some("it could not be tried, because of what is broken above".to_owned()));
    LAWS.into_iter().map(|(name, what)| Found { name, what, kept: all.remove(name).unwrap_or_else(unknown) }).collect()
}

/// The table that people read.
pub fn text(program: &str, found: &[Found]) -> String {
    let width = found.iter().map(|law| law.name.len()).max().unwrap_or(0);
    let mut out = format!("{program}, held against the laws of an action\n\n");
    for law in found {
        let (mark, words) = match &law.kept {
            Ok(()) => ("✓", law.what.to_owned()),
            Err(None) => ("–", format!("not asked of it: {}", law.what)),
            Err(Some(why)) => ("✗", format!("{}\n    {:width$}  {}", law.what, "", escape::line(why))),
        };
        out.push_str(&format!("  {mark} {:width$}  {words}\n", law.name));
    }
    let broken = found.iter().filter(|law| matches!(law.kept, Err(Some(_)))).count();
    out.push_str(&match broken {
        0 => "\nIt keeps every law that was asked of it.\n".to_owned(),
        1 => "\nOne law is broken: no plan should use it.\n".to_owned(),
        n => format!("\n{n} laws are broken: no plan should use it.\n"),
    });
    out
}

/// The sample, and what was typed over it; each secret is one that is looked for.
fn with(kit: &Kit<'_>, says: &Description) -> Map<String, Value> {
    let dir = kit.place.to_string_lossy();
    let mut all: Map<String, Value> = says.sample.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    all.extend(kit.given.iter().map(|(k, v)| (k.clone(), v.clone())));
    for (name, field) in &says.fields {
        if field.kind == Kind::Secret {
            all.insert(name.clone(), json!(SECRET));
        }
    }
    for value in all.values_mut() {
        if let Some(text) = value.as_str().map(|t| t.replace("{dir}", &dir)) {
            *value = json!(text);
        }
    }
    says.filled(&all)
}

struct Court<'a> {
    kit: &'a Kit<'a>,
    says: Description,
    with: Map<String, Value>,
    /// All that it said.
    heard: String,
    before: Value,
}

impl Court<'_> {
    /// Every file in the directory with its content, and every link.
    fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut out = BTreeMap::new();
        let mut open = vec![self.kit.place.to_path_buf()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    out.insert(path.display().to_string(), Vec::new());
                    open.push(path);
                } else {
                    out.insert(path.display().to_string(), std::fs::read(&path).unwrap_or_default());
                }
            }
        }
        out
    }

    async fn ask(&mut self, ask: Ask) -> Result<Reply, String> {
        let more = json!({
            "with": self.with, "before": self.before, "key": "action-test/step/apply", "attempt": "action-test/step/apply/1",
            "target": null, "timeout_ms": PATIENCE_MS,
        });
        let line = protocol::request(ask, more.as_object().unwrap_or(&Map::new()));
        let exit = self.hear(line, PATIENCE_MS).await?;
        protocol::reply(ask, &exit).map_err(|why| format!("`{}`: {why}", ask.word()))
    }

    async fn hear(&mut self, line: String, timeout_ms: u64) -> Result<Exit, String> {
        let exit = self.kit.program.says(line, timeout_ms).await?;
        self.heard.push_str(&format!("{}\n{}\n", exit.stdout, exit.stderr));
        Ok(exit)
    }

    fn unchanged(&self, start: &BTreeMap<String, Vec<u8>>, what: &str) -> Kept {
        let now = self.tree();
        let differs = now.iter().find(|(k, v)| start.get(*k) != Some(v)).or_else(|| start.iter().find(|(k, _)| !now.contains_key(*k)));
        differs.map_or(Ok(()), |(path, _)| Err(Some(format!("{what} changed {path}"))))
    }

    fn beside(&self) -> Kept {
        let hint = format!("drplan action describe {0} > {0}.action.yaml", self.kit.program.shown);
        let text = self.kit.program.beside().ok_or_else(|| format!("there is none: {hint}"))?;
        let said = described::read(&text).map_err(|why| format!("it cannot be used: {why}"))?;
        if said == self.says { Ok(()) } else { Err(Some(format!("it says something else: {hint}"))) }
    }

    async fn garbage(&mut self) -> Kept {
        let start = self.tree();
        let line = |version: u32, word: &str| format!("{}\n", json!({ "drplan": version, "do": word, "with": self.with, "before": null }));
        for (what, line) in
            [("what is no JSON", "turn it\n".to_owned()), ("another version", line(99, "apply")), ("another word", line(1, "applyx"))]
        {
            let exit = self.hear(line, PATIENCE_MS).await?;
            let reply = protocol::reply(Ask::Apply, &exit);
            if reply.is_ok_and(|r| r.result == "ok") {
                return Err(Some(format!("{what} is answered with ok")));
            }
            self.unchanged(&start, what)?;
        }
        Ok(())
    }

    async fn looks(&mut self) -> Kept {
        let start = self.tree();
        if self.says.effect != Effect::Read {
            let reply = self.ask(Ask::Before).await?;
            if reply.result != "ok" {
                return Err(Some(format!("the state before cannot be read: {}", reply.why())));
            }
            self.before = reply.line.get("before").cloned().unwrap_or(Value::Null);
            let found = self.ask(Ask::Probe).await?;
            let told = self.says.effect == Effect::Once && found.result == "cannot_tell";
            if found.result != "not_there" && !told {
                return Err(Some(format!("before anything was done its probe says `{}`", found.result)));
            }
        }
        self.unchanged(&start, "looking")
    }

    async fn applies(&mut self) -> Result<Map<String, Value>, String> {
        let reply = self.ask(Ask::Apply).await?;
        if reply.result != "ok" {
            return Err(format!("it says `{}`: {}", reply.result, reply.why()));
        }
        self.outputs(&reply)
    }

    fn outputs(&self, reply: &Reply) -> Result<Map<String, Value>, String> {
        let given = reply.line.get("outputs").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, found) in &self.says.outputs {
            match given.get(name) {
                None => return Err(format!("output `{name}` is not there")),
                Some(value) if !found.kind.fits(value) => return Err(format!("output `{name}` is not of its type: {value}")),
                Some(_) => {}
            }
        }
        match given.keys().find(|name| !self.says.outputs.contains_key(*name)) {
            Some(name) => Err(format!("output `{name}` is not declared")),
            None => Ok(given),
        }
    }

    async fn there(&mut self, outputs: &Map<String, Value>) -> Kept {
        let found = match self.says.effect {
            Effect::Read => return Err(None),
            _ => self.ask(Ask::Probe).await?,
        };
        match found.result.as_str() {
            "cannot_tell" if self.says.effect == Effect::Once => Err(None),
            "there" if self.outputs(&found)?.keys().eq(outputs.keys()) => Ok(()),
            "there" => Err(Some("its outputs are others than those of doing it".to_owned())),
            other => Err(Some(format!("after it was done its probe says `{other}`: {}", found.why()))),
        }
    }

    async fn twice(&mut self) -> Kept {
        if !Program::repeats(self.says.effect) {
            return Err(None);
        }
        let start = self.tree();
        self.applies().await?;
        self.unchanged(&start, "the second time")
    }

    async fn undo(&mut self, start: &BTreeMap<String, Vec<u8>>) -> Kept {
        if !self.says.undo {
            return Err(None);
        }
        let reply = self.ask(Ask::Undo).await?;
        if reply.result != "not_there" {
            return Err(Some(format!("it says `{}`: {}", reply.result, reply.why())));
        }
        self.unchanged(start, "doing it and taking it back")?;
        match self.ask(Ask::Probe).await?.result.as_str() {
            "not_there" => Ok(()),
            other => Err(Some(format!("afterwards its probe says `{other}`"))),
        }
    }

    fn secret(&self) -> Kept {
        if !self.says.fields.values().any(|f| f.kind == Kind::Secret) {
            return Err(None);
        }
        if self.heard.contains(SECRET) { Err(Some("it said the secret that it was given".to_owned())) } else { Ok(()) }
    }

    async fn ends(&mut self) -> Kept {
        let line = protocol::request(Ask::Describe, &Map::from_iter([("timeout_ms".to_owned(), json!(SHORT_MS))]));
        let exit = self.hear(line, SHORT_MS).await?;
        // Whoever does not hear TERM is killed five seconds later.
        if exit.signal == Some(9) { Err(Some("it had to be killed".to_owned())) } else { Ok(()) }
    }
}
