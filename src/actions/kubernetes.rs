//! What the actions on Kubernetes share: `kubectl` with the settings that the operator has, and what its end means. It
//! does not know the objects that are read and changed.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Call, Ctx, Earlier, given, shell, template, words};
use crate::world::{Answer, Command, Exit, Fault, Found};

/// After an attempt's limit `kubectl` is ended within seconds; what it sent, an API server works on for a minute at most.
pub(super) const SETTLES_MS: u64 = 70_000;

/// Longest time of one look.
const LOOK_MS: u64 = 20_000;

/// How much of an answer is read.
const KEEP_BYTES: usize = 8 << 20;

/// How much of what `kubectl` said stands in the reason of a failure, in characters.
const LAST_WORDS: usize = 1_000;

/// So many times a change is sent at most, each after a look that says that the one before was refused.
pub(super) const TRIES: u32 = 5;

/// A change that has not begun so long after it was asked for is not begun any more.
const SOON: Duration = Duration::from_secs(2);

/// Nothing was sent where one of these is said.
const NOT_SENT: &[&str] = &["was refused - did you specify", "connection refused", "dial tcp", "no such host", "TLS handshake timeout"];

/// The server, or `kubectl` before it sent anything, said no where one of these is said.
const NO: &[&str] = &[
    "(Conflict)",
    "(AlreadyExists)",
    "(Forbidden)",
    "(NotFound)",
    "(Invalid)",
    "(BadRequest)",
    "(Unauthorized)",
    "(TooManyRequests)",
    "(MethodNotAllowed)",
    "(UnsupportedMediaType)",
    "(RequestEntityTooLarge)",
    "You must be logged in to the server",
    "asked for the client to provide credentials",
    "error: Expected replicas to be",
    "the request is invalid",
    "The request is invalid",
    " is invalid: ",
    "Apply failed with",
    "the server doesn't have a resource type",
    "could not find the requested resource",
    "no matches for kind",
    "error validating",
    "error parsing",
    "error decoding",
    "does not exist",
    "context was not found",
    "invalid configuration",
    "unknown flag",
    "executable file not found",
];

/// Name of a resource's kind and of an object, where each is what Kubernetes takes.
pub(super) fn object(kind: &str, name: &str) -> Answer<String> {
    let good = |text: &str| {
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
        !text.is_empty() && text.len() <= 253 && letters && !text.starts_with(['-', '.']) && !text.ends_with(['-', '.'])
    };
    match (good(&kind.to_ascii_lowercase()), good(name)) {
        (true, true) => Ok(format!("{kind}/{name}")),
        (false, _) => Err(Fault::refused(format!("{} is not a kind of object", words::code(kind)))),
        (_, false) => Err(Fault::refused(format!("{} is not a name that an object can have", words::code(name)))),
    }
}

/// The fields of which one names a workload.
const WORKLOADS: [&str; 2] = ["deployment", "statefulset"];

/// The workload that a step names: `deployment/NAME`.
pub(super) fn workload(ctx: &Ctx<'_>) -> Answer<String> {
    let named = WORKLOADS.iter().find_map(|kind| Some((kind, given::text(ctx.with, kind)?)));
    let (kind, name) = named.ok_or_else(|| Fault::refused("neither `deployment` nor `statefulset` is given"))?;
    object(kind, &name)
}

/// The same for documents, `${…}` still in it.
pub(super) fn shown_workload(call: &Call<'_>) -> Value {
    let named = WORKLOADS.iter().find_map(|kind| Some(format!("{kind}/{}", template::plain(call.with.get(*kind)?))));
    Value::String(named.unwrap_or_else(|| "(nothing is named)".to_owned()))
}

/// What is wrong where not exactly one workload is named.
pub(super) fn check_workload(with: &Map<String, Value>) -> Vec<(&'static str, String, String)> {
    match WORKLOADS.iter().filter(|kind| with.contains_key(**kind)).count() {
        1 => vec![],
        0 => vec![("deployment", "nothing says which workload".to_owned(), "deployment: shop-api".to_owned())],
        _ => vec![("statefulset", "`deployment` and `statefulset` both name one".to_owned(), "leave out one of them".to_owned())],
    }
}

/// Where a step acts, in words: `` in `shop` of `frankfurt` ``.
pub(super) fn place_words(call: &Call<'_>) -> String {
    let part = |word: &str, name: &str| call.field(name).map(|v| format!(" {word} {}", words::value(v))).unwrap_or_default();
    format!("{}{}", part("in namespace", "namespace"), part("of cluster", "context"))
}

/// The settings of a target as options of `kubectl`, each one word.
fn options(connect: &Map<String, Value>, shown: &dyn Fn(&Value) -> String) -> Vec<String> {
    let named = ["kubeconfig", "context", "namespace"].iter();
    named.filter_map(|name| Some(format!("--{name}={}", shown(connect.get(*name).filter(|v| !v.is_null())?)))).collect()
}

/// `k`, which is `kubectl` with the settings of the target, for blocks that a person types.
pub(super) fn function(call: &Call<'_>) -> String {
    let options = call.target.map(|t| options(&t.connect, &shell::word)).unwrap_or_default();
    let options: String = options.iter().map(|o| format!(" {o}")).collect();
    format!("k() {{ kubectl{options} \"$@\"; }}")
}

fn command(ctx: &Ctx<'_>, words: &[&str], stdin: Option<String>) -> Answer<Command> {
    let connect = &ctx.asset()?.connect;
    let options = options(connect, &template::plain).into_iter().map(|option| match option.strip_prefix("--kubeconfig=") {
        Some(path) => format!("--kubeconfig={}", given::path(ctx.dir, path)),
        None => option,
    });
    Ok(Command {
        ticket: ctx.ticket.to_owned(),
        argv: std::iter::once("kubectl".to_owned()).chain(options).chain(words.iter().map(|w| (*w).to_owned())).collect(),
        env: Default::default(),
        cwd: Some(ctx.dir.to_owned()).filter(|dir| !dir.is_empty()),
        stdin,
        begin_by: None,
        timeout_ms: Some(ctx.exchange_ms(LOOK_MS)),
        keep_bytes: KEEP_BYTES,
        secrets: ctx.secrets.to_vec(),
    })
}

/// What `kubectl` prints when it only looks. No answer in time counts as not reached.
pub(super) async fn look(ctx: &Ctx<'_>, words: &[&str], stdin: Option<String>) -> Answer<String> {
    let exit = ctx.world.process.ask(&command(ctx, words, stdin)?).await?;
    if exit.timed_out {
        return Err(Fault::unreachable(format!("`kubectl {}` gave no answer in time", words.first().copied().unwrap_or_default())));
    }
    if exit.truncated {
        return Err(Fault::refused("kubectl said more than is read: ask for less"));
    }
    match exit.code {
        Some(0) => Ok(exit.stdout),
        // Of a list that it could not read it prints an empty one.
        _ => Err(Fault { landed: crate::world::Landed::No, ..meaning(ctx, &Exit { stdout: String::new(), ..exit }) }),
    }
}

/// The JSON that `kubectl` prints when it only looks.
pub(super) async fn look_json(ctx: &Ctx<'_>, words: &[&str], stdin: Option<String>) -> Answer<Value> {
    let said = look(ctx, words, stdin).await?;
    serde_json::from_str(&said).map_err(|_| Fault::refused("kubectl gave an answer that cannot be read: it is not one JSON text"))
}

/// An object as it is; none if it is not there.
pub(super) async fn get(ctx: &Ctx<'_>, object: &str) -> Answer<Option<Value>> {
    let said = look(ctx, &["get", object, "--output=json", "--ignore-not-found"], None).await?;
    if said.trim().is_empty() {
        return Ok(None);
    }
    let found: Option<Value> = serde_json::from_str(&said).ok();
    match found.filter(|f| f.pointer("/metadata/uid").is_some_and(Value::is_string)) {
        Some(found) => Ok(Some(found)),
        None => Err(Fault::refused(format!("{} was answered with something that is no object", words::code(object)))),
    }
}

/// An object that must be there.
pub(super) async fn need(ctx: &Ctx<'_>, object: &str) -> Answer<Value> {
    get(ctx, object).await?.ok_or_else(|| Fault::refused(format!("there is no {}", words::code(object))))
}

/// A text of an object; empty if it is not there.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The name under which the `n`th change of an attempt runs.
fn ticket(ctx: &Ctx<'_>, n: u32) -> String {
    if n == 1 { ctx.ticket.to_owned() } else { format!("{}/{n}", ctx.ticket) }
}

/// The changes of one attempt, each a command of its own name; together they have the attempt's time.
pub(super) struct Attempt<'a> {
    /// The attempt.
    pub ctx: &'a Ctx<'a>,
    /// By the clock's `elapsed`: when it began.
    pub since: Duration,
    sent: u32,
    /// True once the cluster took one of them.
    taken: bool,
}

impl<'a> Attempt<'a> {
    /// It begins now.
    pub fn new(ctx: &'a Ctx<'a>) -> Self {
        Attempt { ctx, since: ctx.world.clock.elapsed(), sent: 0, taken: false }
    }

    /// One change, supervised. A fault says no where the cluster, or `kubectl` by itself, did.
    pub async fn change(&mut self, words: &[&str], stdin: Option<String>) -> Answer<String> {
        let ctx = self.ctx;
        let now = ctx.world.clock.elapsed();
        let left = ctx.timeout.map(|limit| limit.saturating_sub(now.saturating_sub(self.since)));
        if left == Some(Duration::ZERO) {
            return Err(Fault::refused("its time was up before it was sent"));
        }
        let timeout_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        self.sent += 1;
        let ticket = ticket(ctx, self.sent);
        let command = Command { ticket, begin_by: Some(now + SOON), timeout_ms, ..command(ctx, words, stdin)? };
        let exit = ctx.world.process.run(&command).await?;
        match exit.code.filter(|_| !exit.timed_out) {
            Some(0) => {
                self.taken = true;
                Ok(exit.stdout)
            }
            _ => Err(meaning(ctx, &exit)),
        }
    }

    /// How the attempt ends: once a change was taken, nothing that fails later says that nothing happened.
    pub fn end<T>(&self, done: Answer<T>) -> Answer<T> {
        done.map_err(|fault| if self.taken { Fault::lost(fault.cause) } else { fault })
    }
}

/// What an end other than 0 means for a change.
fn meaning(ctx: &Ctx<'_>, exit: &Exit) -> Fault {
    let said = said(ctx, exit);
    if exit.timed_out || exit.code.is_none() {
        return Fault::lost(format!("kubectl was ended before it was done{said}"));
    }
    let cause = format!("kubectl says no{said}");
    // What is printed was done, whatever came after it.
    let began = !exit.stdout.trim().is_empty();
    if began {
        Fault::lost(format!("kubectl stopped in the middle{said}"))
    } else if NO.iter().any(|sign| exit.stderr.contains(sign)) {
        Fault::refused(cause)
    } else if NOT_SENT.iter().any(|sign| exit.stderr.contains(sign)) {
        Fault::unreachable(format!("the cluster cannot be reached{said}"))
    } else {
        Fault::lost(format!("kubectl did not hear what came of it{said}"))
    }
}

/// What `kubectl` said, without the log lines of its library.
fn said(ctx: &Ctx<'_>, exit: &Exit) -> String {
    let text = ctx.struck(&exit.stderr);
    let log = |line: &&str| {
        let mut letters = line.chars();
        matches!(letters.next(), Some('E' | 'W' | 'I')) && letters.take(4).all(|c| c.is_ascii_digit())
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty() && !log(l)).collect();
    let said: String = lines.join(" / ").chars().take(LAST_WORDS).collect();
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// True where another look may find that the same change can be sent again.
pub(super) fn outrun(fault: &Fault) -> bool {
    ["(Conflict)", "the object has been modified", "request is invalid", "Expected replicas to be"]
        .iter()
        .any(|sign| fault.cause.contains(sign))
}

/// What became of the commands of an attempt of an earlier driver. That they ended says that nothing more comes; what
/// they did, the cluster says.
pub(super) async fn earlier(ctx: &Ctx<'_>) -> Answer<Earlier> {
    let mut ended = false;
    for n in 1..=u32::MAX {
        match ctx.world.process.find(&ticket(ctx, n)).await? {
            Found::NeverStarted => break,
            Found::Running => return Ok(Earlier::Running),
            Found::Ended(_) => ended = true,
            Found::Unknown { why, gone } => return Ok(Earlier::CannotTell { why, gone }),
        }
    }
    let why = "kubectl ended; what came of it, the cluster says".to_owned();
    Ok(if ended { Earlier::CannotTell { why, gone: true } } else { Earlier::NeverStarted })
}
