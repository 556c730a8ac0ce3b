//! `script`: runs a file of the plan's directory, as it was reviewed. Values reach it by its environment and its standard
//! input only. It does not know what the script does: the plan vouches for its effect.

use serde_json::{Map, Value, json};

use super::{
    Action, Call, Change, Ctx, Dry, Effect, Field, Manual, NO_UNDO, Output, Outputs, Type, UndoKind, command, given, inside, shell,
    template, words,
};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "script",
    page: include_str!("script.md"),
    fields: &[
        Field::required("file", Type::Text, "the script, relative to the plan's directory; known when the plan is compiled"),
        Field::optional(
            "interpreter",
            Type::List(&Type::Text),
            "the program that reads it, and its options; else the one that its first line (`#!`) names",
        ),
        Field::optional("env", Type::Map(&Type::Secret), "variables added to the environment"),
        Field::optional("stdin", Type::Secret, "what it reads"),
        Field::default("exit", Type::Matcher, "0", "the exit code that is wanted"),
    ],
    outputs: &[Output::new("exit", Type::Int, "its exit code")],
    outputs_by_plan: true,
    effect: Effect::Once,
    effect_by_plan: true,
    dry: |_| Dry::IfTrusted,
    settles_ms: command::SETTLES_MS,
    undo: UndoKind::ByPlan,
    sentence: |call| format!("Run {}", words::code(&line(call.with))),
    seen: |call| command::seen(call.with),
    commands: |call| {
        let with = as_command(call.with);
        vec![Manual { what: "Run the script".to_owned(), ..command::by_hand(&with) }]
    },
    check,
    before: |ctx| Box::pin(async move { inside::kept(ctx, &path(ctx)?).await }),
    probe: |ctx, _| Box::pin(command::probe(ctx)),
    preview: |ctx, _| Box::pin(preview(ctx)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    earlier: Some(|ctx, _| Box::pin(command::earlier(ctx))),
    undo_apply: NO_UNDO,
    ..Action::READ
};

fn path(ctx: &Ctx<'_>) -> Answer<String> {
    given::need(ctx.with, "file")
}

/// The words that start a script which stands at a path.
fn argv(with: &Map<String, Value>, at: &str) -> Vec<Value> {
    given::list(with, "interpreter").iter().cloned().chain([json!(at)]).collect()
}

/// The same as a `command` that is typed in the plan's directory.
fn as_command(with: &Map<String, Value>) -> Map<String, Value> {
    let file = given::text(with, "file").unwrap_or_default();
    let file = format!("./{}", file.strip_prefix("./").unwrap_or(&file));
    let mut out: Map<String, Value> = with.iter().filter(|(k, _)| ["env", "stdin", "exit"].contains(&k.as_str())).map(own).collect();
    out.insert("argv".to_owned(), Value::Array(argv(with, &file)));
    out
}

fn own((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

fn line(with: &Map<String, Value>) -> String {
    given::list(&as_command(with), "argv").iter().map(shell::word).collect::<Vec<_>>().join(" ")
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = command::check_env(call);
    let file = given::text(call.with, "file").unwrap_or_default();
    let fixed = "write the words themselves, and give values by `env`";
    if template::marked(&file) {
        out.push(("file", "which script is started must be known when the plan is compiled".to_owned(), fixed.to_owned()));
    } else if let Err(why) = inside::plain(&file) {
        out.push(("file", format!("{}: {why}", words::code(&file)), "file: scripts/restore.sh".to_owned()));
    }
    if given::list(call.with, "interpreter").iter().any(|word| template::marked(&template::plain(word))) {
        out.push(("interpreter", "no value of a plan is given to an interpreter as an argument".to_owned(), fixed.to_owned()));
    }
    out
}

async fn preview(ctx: &Ctx<'_>) -> Answer<Vec<Change>> {
    let digest = inside::digest(ctx, &path(ctx)?).await?;
    let program = given::list(ctx.with, "interpreter").first().map(template::plain);
    if let Some(program) = program.filter(|p| ctx.world.process.which(p).is_none()) {
        return Err(Fault::refused(format!("{} is not found", words::code(&program))));
    }
    Ok(vec![Change { what: "script".to_owned(), old: "not run".to_owned(), new: format!("{} (sha256 {digest})", line(ctx.with)) }])
}

async fn apply(ctx: &Ctx<'_>, before: &Value) -> Answer<Outputs> {
    let at = inside::same(ctx, &path(ctx)?, before).await?;
    let argv = argv(ctx.with, &at).iter().map(template::plain).collect();
    command::started(ctx, &command::of(ctx, argv, ctx.dir.to_owned())).await
}
