//! Backups that are files in directories of this machine: which of them a restore means. It does not know what is in
//! them.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use super::{Call, Ctx, Source, Target, given, shell, sqlite, template, units, words};
use crate::world::{Answer, Fault};

/// What makes a file a backup of its kind.
pub struct Kind {
    /// Whether a file of this name may be one.
    pub passes: fn(&str) -> bool,
    /// Whether it can be read and is whole; the error says what is wrong.
    pub whole: for<'a> fn(&'a Ctx<'a>, &'a str) -> BoxFuture<'a, Answer<()>>,
}

/// Directories of the source's places that are directories of this machine.
pub fn directories(target: Option<&Target>) -> Vec<String> {
    directories_of(target.and_then(|t| t.source.as_ref()))
}

/// Places of a backup that are directories of this machine.
pub fn directories_of(source: Option<&Source>) -> Vec<String> {
    let places = source.map_or(&[][..], |s| s.places.as_slice());
    places.iter().filter_map(|place| place.strip_prefix("file:")).map(|dir| dir.strip_prefix("//").unwrap_or(dir).to_owned()).collect()
}

/// Which backup is meant, in words.
pub fn which(call: &Call<'_>) -> String {
    match (call.with.get("backup").map(template::plain), call.with.get("until")) {
        (Some(text), _) if text == "latest" => match call.target.and_then(|t| t.source.as_ref()) {
            Some(source) => format!("the newest whole backup {}", words::code(&source.id)),
            None => "the newest whole backup".to_owned(),
        },
        (Some(text), _) => format!("backup {}", words::code(&text)),
        (None, Some(until)) => format!("the newest whole backup not later than {}", words::value(until)),
        (None, None) => "a backup".to_owned(),
    }
}

/// Whether the newest of a backup is wanted, of which no copy lies in a directory.
pub fn nowhere(call: &Call<'_>) -> bool {
    let searches = given::text(call.with, "backup").is_none_or(|b| b == "latest");
    searches && call.target.is_some_and(|t| t.source.is_some()) && directories(call.target).is_empty()
}

/// What a person types to have the name of the backup in `$BACKUP`. `names` leaves out files for `find`; `whole` holds of
/// a backup whose name is in `$f`.
pub fn script(call: &Call<'_>, names: &str, whole: &str) -> String {
    let wanted = given::text(call.with, "backup").unwrap_or_default();
    let dirs = directories(call.target);
    if wanted.is_empty() || wanted == "latest" {
        let dir: Vec<String> = dirs.iter().map(|d| sqlite::file_word(&Value::String(format!("{}/", d.trim_end_matches('/'))))).collect();
        let dir = if dir.is_empty() { vec!["./".to_owned()] } else { dir };
        let limit = call.with.get("until").map(shell::word).filter(|_| wanted.is_empty());
        let limit = limit.map(|t| format!(" ! -newermt {t}")).unwrap_or_default();
        return format!(
            "# The newest that is whole, by the time at which it was written.\n\
             BACKUP=$(find {} -maxdepth 1 -type f ! -name '.*' {names}{limit} -printf '%T@ %p\\n' |\n\
             sort -rn | cut -d ' ' -f 2- | while IFS= read -r f; do\n\
             if {whole}; then printf '%s\\n' \"$f\"; break; fi; done)\n",
            dir.join(" "),
        );
    }
    let bare = !wanted.contains('/') && !template::marked(&wanted);
    let file = match dirs.first().filter(|_| bare) {
        Some(dir) => format!("{}/{wanted}", dir.trim_end_matches('/')),
        None => wanted,
    };
    format!("BACKUP={}\n", sqlite::file_word(&Value::String(file)))
}

/// The backup that is meant: read, and whole.
pub async fn choose(ctx: &Ctx<'_>, kind: &Kind) -> Answer<String> {
    let wanted = given::text(ctx.with, "backup").unwrap_or_default();
    let dirs: Vec<String> = directories(ctx.target).iter().map(|dir| given::path(ctx.dir, dir)).collect();
    if !wanted.is_empty() && wanted != "latest" {
        let beside = dirs.iter().filter(|_| !wanted.contains('/')).map(|dir| given::path(dir, &wanted));
        for path in beside.chain([given::path(ctx.dir, &wanted)]) {
            if ctx.world.files.facts(&path).await?.is_some() {
                let whole = (kind.whole)(ctx, &path).await;
                return whole
                    .map(|()| path.clone())
                    .map_err(|f| Fault { cause: format!("backup {}: {}", words::code(&path), f.cause), ..f });
            }
        }
        return Err(Fault::refused(format!("backup {} is not there", words::code(&wanted))));
    }
    let until = match given::text(ctx.with, "until").filter(|t| wanted.is_empty() && t != "latest") {
        Some(text) => Some(units::time(&text).map_err(|p| Fault::refused(format!("`until`: {}", p.what)))?),
        None => None,
    };
    let mut found: Vec<(Timestamp, String)> = Vec::new();
    let mut unread = None;
    for dir in &dirs {
        let names = match ctx.world.files.list(dir).await {
            Ok(names) => names,
            // A place that is gone is no reason to leave its copies elsewhere.
            Err(fault) => {
                unread = Some(format!("{}: {fault}", words::code(dir)));
                continue;
            }
        };
        for name in names.iter().filter(|n| !n.starts_with('.') && (kind.passes)(n)) {
            let path = given::path(dir, name);
            let facts = ctx.world.files.facts(&path).await?.filter(|f| !f.directory && f.link.is_none());
            found.extend(facts.filter(|f| until.is_none_or(|t| f.modified <= t)).map(|f| (f.modified, path)));
        }
    }
    found.sort();
    let mut passed_over = Vec::new();
    for (_, path) in found.into_iter().rev() {
        match (kind.whole)(ctx, &path).await {
            Ok(()) => return Ok(path),
            Err(fault) => passed_over.push(format!("{}: {fault}", words::code(&path))),
        }
    }
    passed_over.extend(unread);
    let why = if passed_over.is_empty() { "there is none".to_owned() } else { passed_over.join("; ") };
    Err(Fault::refused(format!("no backup that can be read and is whole: {why}")))
}
