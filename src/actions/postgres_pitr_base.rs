//! Which base backup and which log `postgres.restore` with `until` means, and whether they fit its fields. It does not
//! know what is done with them.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::postgres_cluster::{self as cluster, Cluster};
use super::{Call, Ctx, Source, Target, backups, given, words};
use crate::world::{Answer, Fault};

/// Fields that say something only with `until`.
const ALONE: [&str; 5] = ["data", "log", "stop", "start", "as"];
/// Whether a point in time is wanted.
pub fn wanted(with: &Map<String, Value>) -> bool {
    with.get("until").is_some_and(|v| !v.is_null())
}

/// The directory of the log, as the plan says it.
pub fn log_dir(with: &Map<String, Value>, target: Option<&Target>) -> Option<String> {
    if let Some(log) = given::text(with, "log") {
        return Some(log);
    }
    let source = target?.source.as_ref()?;
    let log = match (source.base.is_some(), source.logs.as_slice()) {
        (true, _) => source,
        (false, [only]) => only,
        _ => return None,
    };
    backups::directories_of(Some(log)).into_iter().next()
}

/// Fields that do not fit each other.
pub fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let has = |name: &str| call.with.contains_key(name);
    let mut out = Vec::new();
    if !has("until") {
        if !has("backup") {
            out.push(("backup", "nothing says which backup".to_owned(), "backup: latest".to_owned()));
        }
        for name in ALONE.into_iter().filter(|name| has(name)) {
            let what = format!("`{name}` means something only with `until`: a dump is restored through the server");
            out.push((name, what, "until: \"${params.clean_at}\"".to_owned()));
        }
        if backups::nowhere(call) {
            out.push(("backup", "no copy of that backup lies in a directory".to_owned(), "to: \"file:backups/\" at the backup".to_owned()));
        }
        return out;
    }
    if has("no_owner") {
        let what = "`no_owner` is about a dump; with `until` the whole server is recovered, owners too".to_owned();
        out.push(("no_owner", what, "leave it out".to_owned()));
    }
    if !has("data") {
        let what = "nothing says which directory of this machine is recovered".to_owned();
        out.push(("data", what, "data: /var/lib/postgresql/15/main".to_owned()));
    }
    if call.target.is_some_and(|t| t.source.is_some()) && log_dir(call.with, call.target).is_none() {
        let what = "no backup of `method: log` with a directory belongs to that backup, or several do".to_owned();
        out.push(("log", what, "log: /srv/archive".to_owned()));
    }
    let dirs = backups::directories_of(call.target.and_then(|t| t.source.as_ref()).map(base_of));
    if call.target.is_some_and(|t| t.source.is_some()) && dirs.is_empty() && !has("backup") {
        out.push((
            "until",
            "no copy of the base backup lies in a directory".to_owned(),
            "to: \"file:/srv/backups/\" at the backup".to_owned(),
        ));
    }
    out.extend(cluster::problems(call, &["data", "log"]).into_iter().filter(|(field, ..)| *field != "log" || !relative(call, "log")));
    out
}

/// A path of the plan may stand in the plan's directory.
fn relative(call: &Call<'_>, name: &str) -> bool {
    given::text(call.with, name).is_some_and(|path| !path.starts_with('/'))
}

/// The base backup of a source: a log names the one under it.
pub fn base_of(source: &Source) -> &Source {
    source.base.as_deref().unwrap_or(source)
}

/// The newest base backup that ended before the time, if there is one, is whole, and whose log is there.
pub async fn choose(ctx: &Ctx<'_>, own: &Cluster<'_>, log: &str, until: Option<Timestamp>) -> Answer<(String, Timestamp)> {
    let source = ctx.target.and_then(|t| t.source.as_ref());
    let dirs: Vec<String> = backups::directories_of(source.map(base_of)).iter().map(|dir| given::path(ctx.dir, dir)).collect();
    let wanted = given::text(ctx.with, "backup").filter(|text| !text.is_empty() && text != "latest");
    let mut paths = Vec::new();
    let mut passed_over = Vec::new();
    match &wanted {
        Some(name) => {
            paths.extend(dirs.iter().filter(|_| !name.contains('/')).map(|dir| given::path(dir, name)));
            paths.push(given::path(ctx.dir, name));
        }
        None => {
            for dir in &dirs {
                paths.push(dir.clone());
                match ctx.world.files.list(dir).await {
                    Ok(names) => paths.extend(names.iter().filter(|n| !n.starts_with('.')).map(|name| given::path(dir, name))),
                    Err(fault) => passed_over.push(fault.to_string()),
                }
            }
        }
    }
    let mut found = Vec::new();
    for path in paths {
        let path = path.trim_end_matches('/').to_owned();
        if let Some(manifest) = ctx.world.files.facts(&format!("{path}/backup_manifest")).await.ok().flatten() {
            found.push((manifest.modified, path));
        }
    }
    found.sort();
    for (ended, path) in found.into_iter().rev() {
        if let Some(until) = until.filter(|until| ended > *until) {
            passed_over.push(format!("{} ended at {ended}, later than {until}", words::code(&path)));
            continue;
        }
        match whole(ctx, own, &path, log).await {
            Ok(()) => return Ok((path, ended)),
            Err(fault) => passed_over.push(format!("{}: {fault}", words::code(&path))),
        }
    }
    let why = if passed_over.is_empty() { "there is none".to_owned() } else { passed_over.join("; ") };
    let what = wanted.map_or_else(|| "no base backup".to_owned(), |name| format!("{} is no base backup", words::code(&name)));
    let ended = until.map_or_else(String::new, |until| format!(" and ended before {until}"));
    Err(Fault::refused(format!("{what} that is whole{ended}: {why}")))
}

async fn whole(ctx: &Ctx<'_>, own: &Cluster<'_>, base: &str, log: &str) -> Answer<()> {
    cluster::clean("backup", base)?;
    for (inner, outer) in [(base, own.data.as_str()), (log, &own.data)] {
        if inner == outer || inner.starts_with(&format!("{outer}/")) {
            return Err(Fault::refused(format!("{} lies in the directory that is replaced", words::code(inner))));
        }
    }
    let files = &ctx.world.files;
    let label = files.read(&format!("{base}/backup_label")).await?;
    let first = label.lines().find_map(|line| line.strip_prefix("START WAL LOCATION:")?.split_once("(file ")?.1.strip_suffix(')'));
    let first = first.ok_or_else(|| Fault::refused("its label does not say where its log begins"))?;
    let mut there = false;
    for dir in [log.to_owned(), format!("{base}/pg_wal"), format!("{}/pg_wal", own.data)] {
        there |= files.facts(&format!("{dir}/{first}")).await?.is_some();
    }
    if !there {
        return Err(Fault::refused(format!("its log begins with {first}, which is not in {}", words::code(log))));
    }
    let beside = files.facts(&format!("{base}/tablespace_map")).await?.is_some();
    if beside || !files.list(&format!("{base}/pg_tblspc")).await?.is_empty() {
        return Err(Fault::refused("it has tablespaces, which lie outside its directory: recover it by hand"));
    }
    own.ask("of \"$BASE\"\npg_verifybackup -n -q -- \"$BASE\" >&2\n", &[("BASE", base)]).await.map(drop)
}
