//! A PostgreSQL server's data directory on this machine: who it belongs to, what it says of itself while nobody runs it,
//! and how its server is stopped and started. It does not know what a step wants of it.
//!
//! What is done there is done by scripts of this program, the same that a person types: no value of a plan stands in
//! their text, all come by the environment. Each has a ticket of its own below the attempt's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Call, Ctx, Earlier, Field, Type, given, postgres, shell, template, words};
use crate::world::{Answer, Command, Exit, Fault, Found};

/// How much of what a script says is read.
const KEEP_BYTES: usize = 1 << 20;

/// How the server is stopped, of every action that works on a data directory.
pub const STOP: Field = Field::optional(
    "stop",
    Type::List(&Type::Text),
    "the program and arguments that stop the server, e.g. `[systemctl, stop, postgresql@15-main]`; else `pg_ctl`",
);
/// How it is started.
pub const START: Field =
    Field::optional("start", Type::List(&Type::Text), "the program and arguments that start the server; else `pg_ctl`");
/// To whom the directory belongs.
pub const AS: Field =
    Field::optional("as", Type::Text, "the system user to whom the data directory belongs; needed where drplan runs as root");

/// What every script begins with: the programs of the version of a directory, in their own language.
pub const PRELUDE: &str = r#"export LC_ALL=C
paths=$PATH
of() {
  version=$(cat "$1/PG_VERSION")
  PATH=/usr/lib/postgresql/$version/bin:/usr/pgsql-$version/bin:$paths
}
runs() {
  [ -e "$1/PG_VERSION" ] || return 1
  of "$1"
  pg_ctl status -D "$1" >/dev/null 2>&1
}
"#;

/// Stops the server of `$DATA`, if it runs.
pub const HALT: &str = r#"if runs "$DATA"; then pg_ctl stop -s -w -t 3600 -m fast -D "$DATA"; fi
"#;

/// Starts the server of `$DATA`, which inherits nothing of what a step was given.
pub const LAUNCH: &str = r#"unset COPY KEPT LOGIN_PASSWORD PGPASSWORD
of "$DATA"
pg_ctl start -s -W -D "$DATA" -l "$DATA/drplan_server.log"
"#;

/// What stands at `$DATA`, `$COPY` and `$KEPT`.
const LOOK: &str = r#"seen() {
  if [ -L "$2" ]; then echo "$1 link: yes"; fi
  if [ -e "$2" ]; then
    echo "$1 is: $(stat -c %d:%i -- "$2")"
    if [ -e "$2/drplan_restored" ]; then echo "$1 note: $(head -n 1 "$2/drplan_restored")"; fi
    if [ -e "$2/drplan_follows" ]; then echo "$1 follows: $(head -n 1 "$2/drplan_follows")"; fi
  fi
}
seen data "$DATA"; seen copy "$COPY"; seen kept "$KEPT"
echo "parent is: $(stat -c %d -- "$(dirname -- "$DATA")")"
if [ -e "$DATA/PG_VERSION" ]; then
  if runs "$DATA"; then echo 'data runs: yes'; fi
  pg_controldata -D "$DATA" | sed 's/^/data /'
fi
if [ -n "$BASE" ]; then of "$BASE"; pg_controldata -D "$BASE" | sed 's/^/base /'; fi
"#;

/// A data directory, and as whom programs work on it.
pub struct Cluster<'a> {
    ctx: &'a Ctx<'a>,
    /// The directory.
    pub data: String,
    /// What stands before a program's argv.
    through: Vec<String>,
    /// By the clock: nothing is begun later.
    deadline: Option<Duration>,
}

/// What stands there.
#[derive(Debug, Default, Clone)]
pub struct Seen(BTreeMap<String, String>);

impl Seen {
    /// A fact: `data is`, `copy note`, `data Database system identifier`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// True if the server of the directory runs.
    pub fn runs(&self) -> bool {
        self.get("data runs").is_some()
    }

    /// The next transaction's number, as the directory says while nobody runs it.
    pub fn next(&self) -> Option<String> {
        let (epoch, xid) = self.get("data Latest checkpoint's NextXID")?.split_once(':')?;
        Some(((epoch.parse::<u64>().ok()? << 32) + xid.parse::<u64>().ok()?).to_string())
    }
}

/// Why a path may not be used; none if it may. `pg_ctl` gives it to a shell in double quotes.
fn odd(path: &str) -> bool {
    path.chars().any(|c| c.is_control() || "\"'`$\\".contains(c))
}

/// What is wrong with these paths, where that is known.
pub fn problems(call: &Call<'_>, names: &[&'static str]) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    for name in names {
        let Some(value) = call.with.get(*name).filter(|v| template::references(v).is_empty()) else { continue };
        let path = template::plain(value);
        if !path.starts_with('/') || path.trim_end_matches('/').is_empty() {
            out.push((
                *name,
                format!("{} is not the whole path of a directory", words::code(&path)),
                format!("{name}: /var/lib/postgresql/15/main"),
            ));
        } else if odd(&path) {
            out.push((
                *name,
                format!("{} holds a character that a shell takes for its own", words::code(&path)),
                "rename the directory".to_owned(),
            ));
        }
    }
    out.extend(["stop", "start"].into_iter().filter_map(|name| {
        let empty = call.with.get(name)?.as_array()?.first().is_none_or(|word| template::plain(word).is_empty());
        empty.then(|| (name, "there is no program to run".to_owned(), format!("{name}: [systemctl, {name}, postgresql]")))
    }));
    let (stop, start) = (call.with.contains_key("stop"), call.with.contains_key("start"));
    match (stop, start) {
        (true, false) => out.push((
            "start",
            "who stops it so is not the one who starts it again".to_owned(),
            "start: [systemctl, start, postgresql]".to_owned(),
        )),
        (false, true) => {
            out.push(("stop", "who starts it so is not the one who stops it".to_owned(), "stop: [systemctl, stop, postgresql]".to_owned()))
        }
        _ => {}
    }
    out
}

/// A path of a field that must be there, without a slash at its end.
pub fn path(with: &Map<String, Value>, name: &str) -> Answer<String> {
    clean(name, &given::need(with, name)?)
}

/// A path without a slash at its end, if it can be used.
pub fn clean(name: &str, path: &str) -> Answer<String> {
    let path = path.trim_end_matches('/').to_owned();
    if !path.starts_with('/') || odd(&path) {
        return Err(Fault::refused(format!("`{name}` is not a path that can be used: {}", words::code(&path))));
    }
    Ok(path)
}

impl<'a> Cluster<'a> {
    /// The step's data directory.
    pub async fn open(ctx: &'a Ctx<'a>) -> Answer<Cluster<'a>> {
        let data = path(ctx.with, "data")?;
        let now = ctx.world.clock.elapsed();
        let mut own = Cluster { ctx, data, through: Vec::new(), deadline: ctx.timeout.map(|limit| now + limit) };
        let said = own.asked(&["id".to_owned(), "-un".to_owned()], None, &[]).await?;
        let (who, wanted) = (said.stdout.trim(), given::text(ctx.with, "as"));
        match (who, wanted) {
            ("root", None) => Err(Fault::refused("PostgreSQL does not run as root: say to whom its directory belongs, `as: postgres`")),
            (_, None) => Ok(own),
            (who, Some(wanted)) if who == wanted => Ok(own),
            ("root", Some(wanted)) => {
                own.through = ["runuser", "-u", &wanted, "--"].map(str::to_owned).to_vec();
                Ok(own)
            }
            (who, Some(wanted)) => {
                Err(Fault::refused(format!("drplan runs as {}, and only root can work as {}", words::code(who), words::code(&wanted))))
            }
        }
    }

    /// Milliseconds that are left of the attempt.
    fn left_ms(&self) -> Option<u64> {
        let left = self.deadline?.saturating_sub(self.ctx.world.clock.elapsed());
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1))
    }

    /// True once the attempt's time is up.
    pub fn late(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.ctx.world.clock.elapsed() >= deadline)
    }

    fn command(&self, ticket: &str, argv: Vec<String>, stdin: Option<String>, env: &[(&str, &str)]) -> Command {
        Command {
            ticket: format!("{}/{ticket}", self.ctx.ticket),
            argv,
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            cwd: Some("/".to_owned()),
            stdin,
            // Soon: what an attempt begins late, its own ticket stops (see [`earlier`]).
            begin_by: None,
            timeout_ms: self.left_ms(),
            keep_bytes: KEEP_BYTES,
            secrets: self.ctx.secrets.to_vec(),
        }
    }

    fn script(&self) -> Vec<String> {
        self.through.iter().cloned().chain(["sh".to_owned(), "-eu".to_owned()]).collect()
    }

    async fn asked(&self, argv: &[String], stdin: Option<String>, env: &[(&str, &str)]) -> Answer<Exit> {
        let exit = self.ctx.world.process.ask(&self.command("", argv.to_vec(), stdin, env)).await?;
        self.good(exit, argv.first().map_or("it", String::as_str))
    }

    /// What a script says that only looks.
    pub async fn ask(&self, script: &str, env: &[(&str, &str)]) -> Answer<String> {
        let exit = self.ctx.world.process.ask(&self.command("", self.script(), Some(format!("{PRELUDE}{script}")), env)).await?;
        Ok(self.good(exit, "a look at the data directory")?.stdout)
    }

    /// Does what a script says, as the directory's user.
    pub async fn tell(&self, ticket: &str, script: &str, env: &[(&str, &str)]) -> Answer<String> {
        if self.late() {
            return Err(Fault::lost("the attempt's time was up before all was done"));
        }
        let command = self.command(ticket, self.script(), Some(format!("{PRELUDE}{script}")), env);
        let exit = self.ctx.world.process.run(&command).await?;
        Ok(self.good(exit, "it")?.stdout)
    }

    /// What stands at the directory and at two beside it.
    pub async fn look(&self, copy: &str, kept: &str, base: &str) -> Answer<Seen> {
        let said = self.ask(LOOK, &[("DATA", &self.data), ("COPY", copy), ("KEPT", kept), ("BASE", base)]).await?;
        let pairs = said.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
        Ok(Seen(pairs.collect()))
    }

    /// Refuses a directory that cannot be renamed.
    pub fn movable(&self, seen: &Seen) -> Answer<()> {
        let data = words::code(&self.data);
        if seen.get("data link").is_some() {
            return Err(Fault::refused(format!("{data} is a link: give the directory itself as `data`")));
        }
        let device = seen.get("data is").and_then(|at| at.split_once(':')).map(|(device, _)| device);
        if device.is_some() && device != seen.get("parent is") {
            return Err(Fault::refused(format!(
                "{data} is a file system of its own, which cannot be renamed: mount it one directory higher"
            )));
        }
        Ok(())
    }

    /// Stops the server, and sees that it is gone.
    pub async fn halt(&self, ticket: &str) -> Answer<()> {
        self.service(ticket, "stop", HALT).await?;
        if self.look("", "", "").await?.runs() {
            return Err(Fault::lost(format!("the server of {} still runs after it was told to stop", words::code(&self.data))));
        }
        Ok(())
    }

    /// Starts the server.
    pub async fn launch(&self, ticket: &str) -> Answer<()> {
        self.service(ticket, "start", LAUNCH).await
    }

    async fn service(&self, ticket: &str, field: &str, script: &str) -> Answer<()> {
        let argv: Vec<String> = given::list(self.ctx.with, field).iter().map(template::plain).collect();
        if argv.is_empty() {
            return self.tell(ticket, script, &[("DATA", &self.data)]).await.map(drop);
        }
        let exit = self.ctx.world.process.run(&self.command(ticket, argv, None, &[])).await?;
        self.good(exit, &format!("`{field}`")).map(drop)
    }

    /// Neither script was given a secret, and whatever they say all the same is struck.
    fn good(&self, exit: Exit, what: &str) -> Answer<Exit> {
        let lines: Vec<&str> = exit.stderr.lines().filter(|l| !l.trim().is_empty()).collect();
        let said = self.ctx.struck(&lines[lines.len().saturating_sub(6)..].join(" / "));
        let said = if said.is_empty() { said } else { format!(": {said}") };
        match (exit.code, exit.timed_out) {
            (Some(0), false) => Ok(exit),
            (Some(code), false) => Err(Fault::refused(format!("{what} ended with exit code {code}{said}"))),
            _ => Err(Fault::lost(format!("{what} was ended before its time{said}"))),
        }
    }
}

/// What a server says of itself.
pub struct Server {
    /// It replays another's log and takes no writes.
    pub in_recovery: bool,
    /// The number of its system.
    pub system: String,
    /// The timeline on which it writes; none in recovery.
    pub timeline: Option<i64>,
    /// The number of the next transaction.
    pub next: String,
}

/// The server at the step's address, which must be the one of the directory.
pub async fn server(ctx: &Ctx<'_>, seen: &Seen) -> Answer<Server> {
    let to = postgres::maintenance(ctx)?;
    let sql = "select pg_is_in_recovery() as in_recovery, (select system_identifier::text from pg_control_system()) as system, \
               case when pg_is_in_recovery() then null else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint end as timeline, \
               pg_snapshot_xmax(pg_current_snapshot())::text as next, \
               (select setting from pg_settings where name = 'data_directory') as data";
    let row = postgres::row(ctx, &to, sql, &[]).await?;
    let said = |key: &str| row.get(key).filter(|v| !v.is_null()).map(template::plain);
    let need = |key: &str| said(key).ok_or_else(|| Fault::refused(format!("{} did not say `{key}`", postgres::place(&to))));
    let (system, here) = (need("system")?, given::need(ctx.with, "data")?);
    let here = here.trim_end_matches('/');
    if seen.get("data Database system identifier").is_some_and(|own| own != system) || said("data").is_some_and(|data| data != here) {
        let other = said("data").unwrap_or_else(|| format!("system {system}"));
        return Err(Fault::refused(format!(
            "the server at {} is not the one of {}, but of {other}",
            postgres::place(&to),
            words::code(here)
        )));
    }
    let in_recovery = row.get("in_recovery").and_then(Value::as_bool).ok_or_else(|| Fault::refused("it did not say `in_recovery`"))?;
    Ok(Server { in_recovery, system, timeline: row.get("timeline").and_then(Value::as_i64), next: need("next")? })
}

/// Refuses a directory that nobody runs while a server answers at the step's address: that one is on another machine.
pub async fn here(ctx: &Ctx<'_>, own: &Cluster<'_>, seen: &Seen) -> Answer<()> {
    let to = postgres::maintenance(ctx)?;
    if seen.runs() || postgres::look(ctx, &to, "select 1 as one", &[]).await.is_err() {
        return Ok(());
    }
    Err(Fault::refused(format!(
        "a server answers at {}, and none of {} runs on this machine: drplan must run where that directory is",
        postgres::place(&to),
        words::code(&own.data)
    )))
}

/// What became of an attempt: each of its tickets is asked for, so that none that has not begun ever will.
pub async fn earlier(ctx: &Ctx<'_>, tickets: &[&str]) -> Answer<Earlier> {
    let mut out = Earlier::NeverStarted;
    for ticket in tickets {
        let found = match ctx.world.process.find(&format!("{}/{ticket}", ctx.ticket)).await? {
            Found::NeverStarted => continue,
            Found::Running => Earlier::Running,
            Found::Ended(_) => Earlier::CannotTell { why: format!("its part `{ticket}` ended while nobody looked"), gone: true },
            Found::Unknown { why, gone } => Earlier::CannotTell { why, gone },
        };
        if out != Earlier::Running {
            out = found;
        }
    }
    Ok(out)
}

/// A script as a person types it: its values as variables before it, done by the directory's user. `after` stands behind
/// the program that reads it.
pub fn typed(call: &Call<'_>, values: &[(&str, String)], args: &str, after: &str, script: &str) -> String {
    let values: String = values.iter().map(|(name, word)| format!("export {name}={word}\n")).collect();
    let who = call.with.get("as").map(|user| format!("runuser -u {} -- ", shell::word(user))).unwrap_or_default();
    format!("{values}{who}sh -eu{args} <<'SH'{after}\n{PRELUDE}{script}SH")
}

/// A script between the stop and the start of the server, as a person types it; `only` says when it is started.
pub fn between(call: &Call<'_>, values: &[(&str, String)], halt: &str, script: &str, only: &str, launch: &str) -> String {
    let (Some(stop), Some(start)) = (service(call, "stop"), service(call, "start")) else {
        let only = if only.is_empty() { String::new() } else { format!("{only}{{ ") };
        let end = if only.is_empty() { "" } else { "}\n" };
        return typed(call, values, "", "", &format!("{halt}{script}{only}{launch}{end}"));
    };
    let values: String = values.iter().map(|(name, word)| format!("export {name}={word}\n")).collect();
    let after = format!(" && {{ {only}{start}; }}");
    format!("{values}{stop} && {}", typed(call, &[], "", &after, script))
}

/// The program of a field and its arguments as a person types them.
fn service(call: &Call<'_>, field: &str) -> Option<String> {
    let (program, rest) = given::list(call.with, field).split_first()?;
    let rest: String = rest.iter().map(|word| format!(" {}", shell::word(word))).collect();
    Some(format!("{}{rest}", shell::program(program)))
}
