//! `notify.email`: writes a mail. From whom, and through which server, are settings of the machine, not of a plan.

use serde_json::Value;

use super::notify_webhook::TIMEOUT_MS;
use super::{Action, Call, Change, Ctx, Effect, Field, Manual, Outputs, Probe, Type, given, notify, shell, template, words};
use crate::world::{Answer, Letter};

pub(super) static ACTION: Action = Action {
    name: "notify.email",
    page: include_str!("notify_email.md"),
    fields: &[
        Field::required("to", Type::Secret, "one mail address"),
        Field::required("subject", Type::Text, "one line"),
        Field::required("text", Type::Text, "what people read, as plain text"),
    ],
    effect: Effect::Idempotent,
    timeout_ms: Some(TIMEOUT_MS),
    goes_on: true,
    // What people hear late does no harm: nothing waits for it.
    settles_ms: 0,
    sentence: |call| format!("Write to {}: {}", words::value(&call.shown("to")), words::value(&call.shown("subject"))),
    seen: |_| "the mail server took it".to_owned(),
    commands,
    check,
    probe: |_, _| Box::pin(async { Ok(Probe::CannotTell("what people were told, only they know".to_owned())) }),
    preview: |ctx, _| Box::pin(async { Ok(preview(ctx)) }),
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let line = |name: &str| format!("\"$(printf '%s' {} | tr '\\r\\n' '  ')\"", shell::word(&call.shown(name)));
    let script = format!(
        "{{ printf 'To: %s\\n' {}; printf 'Subject: %s\\n' {};\n\
         printf 'MIME-Version: 1.0\\nContent-Type: text/plain; charset=utf-8\\n\\n'; printf '%s\\n' {}; }} | sendmail -t -i",
        line("to"),
        line("subject"),
        shell::word(&call.shown("text"))
    );
    vec![Manual {
        what: "Write the mail".to_owned(),
        script,
        changes: true,
        expect: "no complaint: the mail server of this machine took it; or write it with your own mail program".to_owned(),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    for name in ["to", "subject"] {
        let text = template::plain(&call.shown(name));
        if text.trim_end().contains(['\n', '\r']) {
            out.push((name, "this does not fit on one line".to_owned(), "leave out the line break".to_owned()));
        }
    }
    let to = template::plain(&call.shown("to"));
    if !template::marked(&to) && !to.contains('@') {
        out.push(("to", format!("{} is not a mail address", words::code(&to)), "to: on-call@example.com".to_owned()));
    }
    out
}

fn preview(ctx: &Ctx<'_>) -> Vec<Change> {
    let word = |name: &str| given::text(ctx.with, name).unwrap_or_default();
    vec![Change {
        what: "message".to_owned(),
        old: "not sent".to_owned(),
        new: ctx.struck(&format!("{} by mail: {}", word("to"), word("subject"))),
    }]
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let letter = Letter {
        to: given::need(ctx.with, "to")?,
        // What a value brings along is no further header.
        subject: given::need(ctx.with, "subject")?.replace(['\r', '\n'], " ").trim().to_owned(),
        text: template::plain(ctx.with.get("text").unwrap_or(&Value::Null)),
        timeout_ms: ctx.exchange_ms(TIMEOUT_MS),
    };
    notify::mail(ctx.world, letter).await?;
    Ok(Outputs::new())
}
