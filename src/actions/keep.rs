//! What a step keeps from before its first attempt: the state, and the names that it makes, settled once so that each attempt
//! does the same. It does not know what the step does.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Before, Ctx, given, words};
use crate::world::{Answer, Fault};

/// A state as the journal keeps it.
pub fn state(of: &impl Serialize) -> Answer<Before> {
    serde_json::to_value(of).map_err(|e| Fault::refused(format!("the state before cannot be kept: {e}")))
}

/// A short name that is made of a longer one.
pub fn mark(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect()
}

/// Part of the names that a step makes: its own, and new whenever the state before is read.
pub fn fresh(ctx: &Ctx<'_>) -> String {
    mark(&format!("{} {}", ctx.key, ctx.world.clock.now()))
}

/// The file that a step is to write, and whether it was there before: a path, or with a `/` at its end a directory in which
/// it gets a name of its own.
pub async fn new_file(ctx: &Ctx<'_>, to: &str, ending: &str) -> Answer<Before> {
    let mut to = given::path(ctx.dir, to);
    if to.ends_with('/') {
        let time = ctx.world.clock.now().strftime("%Y%m%dT%H%M%SZ");
        to = format!("{to}{}-{time}-{}.{ending}", ctx.asset()?.asset, mark(ctx.key));
    }
    let exists = ctx.world.files.facts(&to).await?.is_some();
    Ok(json!({ "to": to, "exists": exists }))
}

/// That file, if the step may write it; what was there before is not written over.
pub fn own_file(before: &Before) -> Answer<&str> {
    let to = before.get("to").and_then(Value::as_str).ok_or_else(|| Fault::refused("the state before names no file"))?;
    match before.get("exists") {
        Some(Value::Bool(false)) => Ok(to),
        _ => Err(Fault::refused(format!("{} was there before this step: it is not written over", words::code(to)))),
    }
}
