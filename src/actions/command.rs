//! `command`: runs a program with its arguments, never through a shell. It does not know what the program does: the
//! plan vouches for its effect.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::matcher::{at, judge};
use super::{
    Action, Call, Change, Ctx, Dry, Earlier, Effect, Field, Manual, NO_UNDO, Output, Outputs, Probe, Type, UndoKind, given, shell,
    template, units, words,
};
use crate::world::{Answer, Command, Exit, Fault, Found};

/// How much of what a command said last stands in the reason of its failure, in characters.
const LAST_WORDS: usize = 2_000;

/// A program may be started 2 s after its intent, and takes 5 s to be ended; the rest is for a slow machine.
pub(super) const SETTLES_MS: u64 = 10_000;

/// How much of each output is read.
const KEEP_BYTES: usize = 1 << 20;

pub(super) static ACTION: Action = Action {
    name: "command",
    page: include_str!("command.md"),
    fields: &[
        Field::required("argv", Type::List(&Type::Text), "the program and its arguments"),
        Field::optional("env", Type::Map(&Type::Secret), "variables added to the environment"),
        Field::optional("cwd", Type::Text, "working directory; else the plan's directory"),
        Field::optional("stdin", Type::Secret, "what it reads"),
        Field::default("exit", Type::Matcher, "0", "the exit code that is wanted"),
    ],
    outputs: &[Output::new("exit", Type::Int, "its exit code")],
    outputs_by_plan: true,
    effect: Effect::Once,
    effect_by_plan: true,
    dry: |_| Dry::IfTrusted,
    settles_ms: SETTLES_MS,
    undo: UndoKind::ByPlan,
    sentence: |call| format!("Run {}", words::code(&shown(call))),
    seen: |call| seen(call.with),
    commands: |call| vec![by_hand(call.with)],
    check,
    probe: |ctx, _| Box::pin(probe(ctx)),
    preview: |ctx, _| Box::pin(preview(ctx)),
    apply: |ctx, _| Box::pin(async { started(ctx, &command(ctx)).await }),
    earlier: Some(|ctx, _| Box::pin(earlier(ctx))),
    undo_apply: NO_UNDO,
    ..Action::READ
};

/// What an ended command means: its outputs, a failure (an exit code that is not wanted), or nobody knows (a signal,
/// its time was up).
pub fn outcome(ctx: &Ctx<'_>, exit: &Exit) -> Answer<Outputs> {
    let Some(code) = exit.code.filter(|_| !exit.timed_out) else {
        let why = match (exit.timed_out, exit.signal) {
            (true, _) => "its time was up and it was ended".to_owned(),
            (false, Some(signal)) => format!("signal {signal} ended it"),
            (false, None) => "nobody saw how it ended".to_owned(),
        };
        return Err(Fault::lost(format!("{why}{}", last_words(ctx, exit))));
    };
    judge("exit code", &exit_wanted(ctx.with), Some(&json!(code)))
        .map_err(|why| Fault::refused(format!("{why}{}", last_words(ctx, exit))))?;
    let mut out = Outputs::new();
    for (name, decl) in ctx.outputs {
        let value = output(decl, exit).map_err(|why| Fault::refused(format!("it ended well, but output `{name}` {why}")))?;
        out.insert(name.clone(), value);
    }
    out.entry("exit").or_insert(json!(code));
    Ok(out)
}

/// What must be seen of a program that ended.
pub(super) fn seen(with: &Map<String, Value>) -> String {
    format!("it ends and its exit code {}", words::matcher(&exit_wanted(with)))
}

fn shown(call: &Call<'_>) -> String {
    given::list(call.with, "argv").iter().map(shell::word).collect::<Vec<_>>().join(" ")
}

fn exit_wanted(with: &Map<String, Value>) -> Value {
    with.get("exit").filter(|v| !v.is_null()).cloned().unwrap_or(json!(0))
}

/// The fields of a command as a person types them.
pub(super) fn by_hand(with: &Map<String, Value>) -> Manual {
    let mut line = String::new();
    for (name, value) in given::record(with, "env").into_iter().flatten() {
        line.push_str(&format!("{}={} ", name, shell::word(value)));
    }
    let argv = given::list(with, "argv");
    line.push_str(&argv.first().map(shell::program).unwrap_or_default());
    for value in argv.iter().skip(1) {
        line.push_str(&format!(" {}", shell::word(value)));
    }
    if let Some(text) = with.get("stdin").filter(|v| !v.is_null()) {
        line = format!("printf '%s' {} | {line}", shell::word(text));
    }
    if let Some(dir) = with.get("cwd").filter(|v| !v.is_null()) {
        line = format!("(cd -- {} && {line})", shell::word(dir));
    }
    let wanted = exit_wanted(with);
    if wanted.is_i64() && wanted != json!(0) {
        line.push_str(&format!("; [ \"$?\" -eq {wanted} ]"));
    }
    Manual { what: "Run the command".to_owned(), script: line, changes: true, expect: format!("{} (`echo $?`)", seen(with)) }
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    let argv = given::list(call.with, "argv");
    if argv.first().is_none_or(|program| template::plain(program).is_empty()) {
        out.push(("argv", "there is no program to run".to_owned(), "argv: [systemctl, restart, app]".to_owned()));
    }
    if argv.len() == 1 && template::plain(&argv[0]).contains(' ') {
        let words: Vec<String> = template::plain(&argv[0]).split_whitespace().map(str::to_owned).collect();
        out.push(("argv", "this is one word with spaces in it: no shell will cut it".to_owned(), format!("argv: [{}]", words.join(", "))));
    }
    out.extend(check_env(call));
    out
}

/// What is wrong with the names of variables.
pub(super) fn check_env(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    for name in given::record(call.with, "env").into_iter().flatten().map(|(name, _)| name) {
        let good = name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || i > 0 && b.is_ascii_digit());
        if name.is_empty() || !good {
            out.push(("env", format!("{} is not the name of a variable", words::code(name)), "letters, digits and `_`".to_owned()));
        }
    }
    out
}

fn command(ctx: &Ctx<'_>) -> Command {
    let cwd = given::text(ctx.with, "cwd").map_or_else(|| ctx.dir.to_owned(), |cwd| given::path(ctx.dir, &cwd));
    let mut argv: Vec<String> = given::list(ctx.with, "argv").iter().map(template::plain).collect();
    // A program named by a relative path is looked for where the command runs, not where the driver does.
    if let Some(program) = argv.first_mut().filter(|p| p.contains('/')) {
        *program = given::path(&cwd, program);
    }
    of(ctx, argv, cwd)
}

/// A program with the environment and the standard input of the fields.
pub(super) fn of(ctx: &Ctx<'_>, argv: Vec<String>, cwd: String) -> Command {
    let env = given::record(ctx.with, "env").into_iter().flatten();
    Command {
        ticket: ctx.ticket.to_owned(),
        argv,
        env: env.map(|(name, value)| (name.clone(), template::plain(value))).collect::<BTreeMap<_, _>>(),
        cwd: Some(cwd).filter(|dir| !dir.is_empty()),
        stdin: given::text(ctx.with, "stdin"),
        begin_by: ctx.begin_by,
        timeout_ms: ctx.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
        keep_bytes: KEEP_BYTES,
        secrets: ctx.secrets.to_vec(),
    }
}

/// Starts it, and says what its end means.
pub(super) async fn started(ctx: &Ctx<'_>, command: &Command) -> Answer<Outputs> {
    let exit = ctx.world.process.run(command).await?;
    outcome(ctx, &exit)
}

/// What became of an attempt of an earlier driver.
pub(super) async fn earlier(ctx: &Ctx<'_>) -> Answer<Earlier> {
    Ok(match ctx.world.process.find(ctx.ticket).await? {
        Found::NeverStarted => Earlier::NeverStarted,
        Found::Running => Earlier::Running,
        Found::Ended(exit) => Earlier::Ended(outcome(ctx, &exit)),
        Found::Unknown { why, gone } => Earlier::CannotTell { why, gone },
    })
}

/// Only how it ended can be told, and only of this attempt.
pub(super) async fn probe(ctx: &Ctx<'_>) -> Answer<Probe> {
    Ok(match earlier(ctx).await? {
        Earlier::NeverStarted => Probe::NotThere,
        Earlier::Running => Probe::CannotTell("the command still runs".to_owned()),
        Earlier::Ended(Ok(outputs)) => Probe::There(outputs),
        Earlier::Ended(Err(fault)) => Probe::CannotTell(fault.cause),
        Earlier::CannotTell { why, .. } => Probe::CannotTell(why),
    })
}

async fn preview(ctx: &Ctx<'_>) -> Answer<Vec<Change>> {
    let command = command(ctx);
    let program = command.argv.first().cloned().unwrap_or_default();
    let found =
        if program.contains('/') { ctx.world.files.facts(&program).await?.is_some() } else { ctx.world.process.which(&program).is_some() };
    if !found {
        return Err(Fault::refused(format!("{} is not found", words::code(&program))));
    }
    let line = command.argv.iter().map(|word| shell::literal(word)).collect::<Vec<_>>().join(" ");
    Ok(vec![Change { what: "command".to_owned(), old: "not run".to_owned(), new: line }])
}

/// The end of what it said; nothing of it if it was given a secret.
pub(super) fn last_words(ctx: &Ctx<'_>, exit: &Exit) -> String {
    if !ctx.secrets.is_empty() {
        return "; what it said is not kept, because it was given a secret".to_owned();
    }
    let said = if exit.stderr.trim().is_empty() { &exit.stdout } else { &exit.stderr };
    let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join(" / ");
    let last = match last.char_indices().nth_back(LAST_WORDS) {
        Some((cut, c)) => format!("…{}", &last[cut + c.len_utf8()..]),
        None => last,
    };
    if last.is_empty() { String::new() } else { format!("; it said: {last}") }
}

/// A declared output, or what is wrong with it in words that follow its name.
fn output(decl: &Value, exit: &Exit) -> Result<Value, String> {
    if exit.truncated {
        return Err("cannot be read: the command said more than is kept".to_owned());
    }
    let found = if let Some(path) = decl.get("json").and_then(Value::as_str) {
        let said: Value = serde_json::from_str(&exit.stdout).map_err(|_| "cannot be read: standard output is not JSON".to_owned())?;
        at(&said, path).cloned().ok_or_else(|| format!("is not there: the JSON has no {}", words::code(path)))?
    } else if let Some(pattern) = decl.get("pattern").and_then(Value::as_str) {
        let re = regex::Regex::new(pattern).map_err(|_| format!("has no regular expression: {}", words::code(pattern)))?;
        let found = re.captures(&exit.stdout).and_then(|c| c.get(1).or_else(|| c.get(0)));
        Value::String(found.ok_or_else(|| format!("is not there: nothing matches {}", words::code(pattern)))?.as_str().to_owned())
    } else {
        Value::String(exit.stdout.trim_end_matches('\n').to_owned())
    };
    typed(decl.get("type").and_then(Value::as_str).unwrap_or("string"), found)
}

fn typed(kind: &str, found: Value) -> Result<Value, String> {
    let text = template::plain(&found);
    let wrong = || format!("is not of type {kind}: {}", words::code(&text));
    match kind {
        "int" => text.trim().parse::<i64>().map(|n| json!(n)).map_err(|_| wrong()),
        "bool" => text.trim().parse::<bool>().map(|b| json!(b)).map_err(|_| wrong()),
        "duration" => units::duration_ms(text.trim()).map(|_| json!(text.trim())).map_err(|_| wrong()),
        "size" => units::size_bytes(text.trim()).map(|_| json!(text.trim())).map_err(|_| wrong()),
        "time" => units::time(text.trim()).map(|_| json!(text.trim())).map_err(|_| wrong()),
        _ => Ok(Value::String(text)),
    }
}
