//! What the actions on Redis share: how a server is reached, where it stands in its replication, how far a replica is
//! behind, and the `redis-cli` line that a person would type. It does not know what a step wants of it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Call, Ctx, given, shell, template, units};
use crate::world::{Answer, Fault, RedisTarget};

/// Longest time of one command.
pub const LOOK_MS: u64 = 15_000;

/// Pause between two looks.
pub const PAUSE: Duration = Duration::from_millis(100);

/// How long a replica in stream may take to show that it has what its master had when it was asked.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The step's server.
pub fn target(ctx: &Ctx<'_>) -> Answer<RedisTarget> {
    let connect = &ctx.asset()?.connect;
    let number = |name: &str| {
        let parsed = given::text(connect, name).map(|text| text.parse::<u16>()).transpose();
        parsed.map_err(|_| Fault::refused(format!("`{name}` is not such a number")))
    };
    Ok(RedisTarget {
        host: given::need(connect, "host")?,
        port: number("port")?,
        database: number("database")?,
        user: given::text(connect, "user"),
        password: given::text(connect, "password"),
        tls: given::bool(connect, "tls", false),
        tls_ca: given::text(connect, "tls_ca").map(|file| given::path(ctx.dir, &file)),
    })
}

/// `HOST:PORT` for words.
pub fn place(to: &RedisTarget) -> String {
    format!("{}:{}", to.host, to.port.unwrap_or(6379))
}

/// One command, its arguments as they are.
pub async fn ask(ctx: &Ctx<'_>, to: &RedisTarget, words: &[&str]) -> Answer<Value> {
    ctx.world.redis.command(to, words, ctx.exchange_ms(LOOK_MS)).await
}

/// Where a server stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Whom it follows; none: it takes writes itself.
    pub master: Option<(String, u16)>,
    /// The stream from its master runs.
    pub link: bool,
    /// It takes over everything of its master anew: what it has is not whole.
    pub syncing: bool,
    /// Seconds since the stream broke off; none if it runs or never did since the server was started.
    pub down_s: Option<u64>,
    /// Name of the history that its data are of.
    pub history: String,
    /// Name of the history before a promotion, and the position at which the present one parted from it.
    pub earlier: (String, i64),
    /// Position in that history up to which it has everything.
    pub offset: i64,
    /// Bytes received and not yet carried out.
    pub unread: i64,
    /// Number of keys in all databases.
    pub keys: i64,
    /// It still reads its data from the disk.
    pub loading: bool,
    /// It keeps an append-only file: an RDB file laid into its directory is then ignored.
    pub append_only: bool,
    /// It was started with a configuration file, which can be rewritten.
    pub config_file: bool,
    /// Name of this run of the server.
    pub run: String,
}

impl Standing {
    /// `master` or `replica`.
    pub fn role(&self) -> &'static str {
        if self.master.is_some() { "replica" } else { "master" }
    }
}

/// Where the step's server stands.
pub async fn standing(ctx: &Ctx<'_>) -> Answer<Standing> {
    standing_of(ctx, &target(ctx)?).await
}

/// Where a server stands, in one look.
pub async fn standing_of(ctx: &Ctx<'_>, to: &RedisTarget) -> Answer<Standing> {
    let said = template::plain(&ask(ctx, to, &["INFO"]).await?);
    read(&said).ok_or_else(|| Fault::refused(format!("{} did not say how it stands: its INFO is not whole", place(to))))
}

/// None if something that every server says is missing.
fn read(info: &str) -> Option<Standing> {
    let text = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let number = |key: &str| text(key)?.parse::<i64>().ok();
    let yes = |key: &str| text(key) == Some("1");
    let replica = match text("role")? {
        "master" => false,
        "slave" => true,
        _ => return None,
    };
    let keys = info.lines().filter(|line| line.starts_with("db")).filter_map(|line| {
        let (name, rest) = line.split_once(":keys=")?;
        name[2..].parse::<u16>().ok()?;
        rest.split(',').next()?.parse::<i64>().ok()
    });
    let offset = number(if replica { "slave_repl_offset" } else { "master_repl_offset" })?;
    let master = match replica {
        true => Some((text("master_host")?.to_owned(), text("master_port")?.parse().ok()?)),
        false => None,
    };
    Some(Standing {
        link: replica && text("master_link_status")? == "up",
        syncing: replica && text("master_sync_in_progress")? != "0",
        down_s: number("master_link_down_since_seconds").and_then(|s| u64::try_from(s).ok()),
        history: text("master_replid")?.to_owned(),
        earlier: (text("master_replid2")?.to_owned(), number("second_repl_offset")?),
        offset,
        unread: number("slave_read_repl_offset").map_or(0, |received| (received - offset).max(0)),
        keys: keys.sum(),
        loading: yes("loading"),
        append_only: yes("aof_enabled"),
        config_file: !text("config_file")?.is_empty(),
        run: text("run_id")?.to_owned(),
        master,
    })
}

/// How far behind a replica is.
#[derive(Debug, Clone, PartialEq)]
pub struct Lag {
    /// At most so many milliseconds; none if it cannot be told.
    pub ms: Option<u64>,
    /// Bytes that its master has and it has not; none if its master cannot be asked.
    pub bytes: Option<u64>,
    /// How it was found, for a person who must decide.
    pub how: String,
}

/// How far a replica is behind, and where it stood when that was found. The time since the last byte of the stream says
/// nothing: a stream that is minutes late flows too. So the master is asked where it is, and the replica until it is
/// there. Where the master is gone, what counts is when the stream broke off, against the beginning of the incident;
/// what the master had not sent by then is missing, and nothing on this side can count it.
pub async fn lag(ctx: &Ctx<'_>) -> Answer<(Standing, Lag)> {
    let asked = ctx.world.clock.elapsed();
    let ms = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut s = standing(ctx).await?;
    let Some((host, port)) = s.master.clone() else {
        return Err(Fault::refused(format!("{} is not a replica: it takes writes itself", place(&target(ctx)?))));
    };
    let master = RedisTarget { host, port: Some(port), ..target(ctx)? };
    let at = place(&master);
    let silence = match standing_of(ctx, &master).await {
        Ok(m) if m.history == s.history => {
            // Only what it had when it was asked counts: it goes on meanwhile.
            let goal = m.offset;
            loop {
                let behind = u64::try_from(goal - s.offset).unwrap_or(0);
                let took = ctx.world.clock.elapsed().saturating_sub(asked);
                if behind == 0 {
                    let how = format!("it has everything that {at} had {} ago", units::duration_text(ms(took)));
                    return Ok((s, Lag { ms: Some(ms(took)), bytes: Some(0), how }));
                }
                if !s.link || took >= CATCH_UP {
                    let how = format!("{behind} bytes that {at} has are not here{}", broken(&s));
                    return Ok((s, Lag { ms: None, bytes: Some(behind), how }));
                }
                ctx.world.clock.sleep(PAUSE).await;
                s = standing(ctx).await?;
            }
        }
        Ok(_) => format!("{at} has another history than this replica"),
        Err(fault) => format!("{at} cannot be asked: {fault}"),
    };
    if s.link {
        return Ok((s, Lag { ms: None, bytes: None, how: format!("the stream runs, but {silence}") }));
    }
    if s.unread > 0 {
        let how = format!("{} bytes are received and not carried out", s.unread);
        return Ok((s, Lag { ms: None, bytes: None, how }));
    }
    let Some(down_s) = s.down_s else {
        let how = format!("{silence}; it was never in stream since it was started: its data are as old as its last save");
        return Ok((s, Lag { ms: None, bytes: None, how }));
    };
    let broke = ctx.world.clock.now() - jiff::SignedDuration::from_secs(i64::try_from(down_s).unwrap_or(i64::MAX));
    // Whole seconds are told: it may have broken off up to one earlier.
    let before = u64::try_from(ctx.incident_start.duration_since(broke).as_millis() + 1000).unwrap_or(0);
    let assumed = if ctx.incident_assumed { ", as assumed: `--incident-start` says when it really was" } else { "" };
    let start = ctx.incident_start;
    let how = format!(
        "{silence}{}, up to {} before the incident began at {start}{assumed}; what the master had not sent by then is missing and cannot be counted here",
        broken(&s),
        units::duration_text(before)
    );
    Ok((s, Lag { ms: Some(before), bytes: None, how }))
}

fn broken(s: &Standing) -> String {
    match s.down_s {
        _ if s.link => String::new(),
        Some(seconds) => format!("; its stream broke off {} ago", units::duration_text(seconds * 1000)),
        None => "; its stream does not run".to_owned(),
    }
}

/// Whether a lag is within limits; the error is for a person who must decide.
pub fn within(lag: &Lag, max_ms: Option<u64>, max_bytes: Option<u64>) -> Result<(), String> {
    let time =
        max_ms.map(units::duration_text).map(|max| ("`max_lag`", max, lag.ms.map(|ms| (max_ms >= Some(ms), units::duration_text(ms)))));
    let bytes =
        max_bytes.map(units::size_text).map(|max| ("`max_bytes`", max, lag.bytes.map(|b| (max_bytes >= Some(b), units::size_text(b)))));
    for (name, max, found) in time.into_iter().chain(bytes) {
        match found {
            Some((true, _)) => {}
            Some((false, found)) => return Err(format!("up to {found} behind, {name} is {max}: {}", lag.how)),
            None => return Err(format!("how far behind cannot be told, {name} is {max}: {}", lag.how)),
        }
    }
    Ok(())
}

/// A limit of a step, in words that follow a sentence.
pub fn limits(call: &Call<'_>) -> String {
    let limit = |name: &str, what: &str| call.with.get(name).map(|v| format!("at most {}{what}", super::words::value(v)));
    let both: Vec<String> = limit("max_lag", "").into_iter().chain(limit("max_bytes", " of changes")).collect();
    if both.is_empty() { String::new() } else { format!(", {} behind", super::words::list(&both)) }
}

/// Lets the server keep in its own configuration file whom it follows: else its next start undoes the step.
pub async fn keep(ctx: &Ctx<'_>, s: &Standing) -> Answer<bool> {
    if !s.config_file || !given::bool(ctx.with, "persist", true) {
        return Ok(false);
    }
    let to = target(ctx)?;
    match ask(ctx, &to, &["CONFIG", "REWRITE"]).await {
        Ok(_) => Ok(true),
        // The role has changed already, whatever became of the file.
        Err(fault) => Err(Fault::lost(format!(
            "done, but {} cannot rewrite its configuration file, so that its next start would undo it: {fault}; mend that and try again, or say `persist: false`",
            place(&to)
        ))),
    }
}

/// `redis-cli` for the step's server, as `redis` in the lines that follow. A password goes by the environment.
pub fn cli(call: &Call<'_>) -> String {
    let mut line = "redis() { ".to_owned();
    if let Some(password) = connect(call, "password") {
        line.push_str(&format!("REDISCLI_AUTH={} ", shell::word(password)));
    }
    let host = connect(call, "host").cloned().unwrap_or_else(|| Value::String("(host is not given)".to_owned()));
    line.push_str(&format!("redis-cli -e -h {}", shell::word(&host)));
    for (key, option) in [("port", "-p"), ("database", "-n"), ("user", "--user")] {
        if let Some(value) = connect(call, key) {
            line.push_str(&format!(" {option} {}", shell::word(value)));
        }
    }
    if connect(call, "tls") == Some(&Value::Bool(true)) {
        line.push_str(" --tls");
        if let Some(file) = connect(call, "tls_ca") {
            line.push_str(&format!(" --cacert {}", shell::word(file)));
        }
    }
    format!("{line} \"$@\"; }}\n")
}

/// `redis INFO` of a section, one value of it.
pub fn told(section: &str, key: &str) -> String {
    format!("redis INFO {section} | tr -d '\\r' | sed -n 's/^{key}://p'")
}

/// Lets the server keep what it was told, if it was started with a configuration file.
pub fn kept(call: &Call<'_>) -> String {
    match call.with.get("persist") {
        Some(Value::Bool(false)) => String::new(),
        _ => format!(" &&\nif [ -n \"$({})\" ]; then redis CONFIG REWRITE; fi", told("server", "config_file")),
    }
}

/// A key of the connection alone: a field of the same name means something else.
fn connect<'a>(call: &Call<'a>, key: &str) -> Option<&'a Value> {
    call.target.and_then(|t| t.connect.get(key)).filter(|v| !v.is_null())
}

/// `HOST:PORT` of the step's server as a document shows it.
pub fn shown(call: &Call<'_>) -> String {
    let host = connect(call, "host").map_or_else(|| "(host is not given)".to_owned(), template::plain);
    let port = connect(call, "port").map_or_else(|| "6379".to_owned(), template::plain);
    super::words::code(&format!("{host}:{port}"))
}

/// A server that the plan does not name.
pub fn problems(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    match connect(call, "host") {
        Some(_) => vec![],
        None => vec![("", "nothing says which server is meant".to_owned(), "connect: { host: redis.example.com }".to_owned())],
    }
}

/// The two limits, as they were given.
pub fn given_limits(with: &Map<String, Value>) -> Answer<(Option<u64>, Option<u64>)> {
    Ok((given::duration_ms(with, "max_lag")?, given::size_bytes(with, "max_bytes")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "# Server\r\nrun_id:r\r\nconfig_file:\r\n# Persistence\r\nloading:0\r\naof_enabled:1\r\n# Replication\r\nrole:master\r\n\
        master_replid:a\r\nmaster_replid2:b\r\nmaster_repl_offset:10\r\nsecond_repl_offset:-1\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb12:keys=4,expires=0\r\n";

    #[test]
    fn an_info_that_was_cut_is_no_answer() {
        let whole = read(MASTER).unwrap();
        assert_eq!((whole.role(), whole.keys, whole.append_only, whole.offset), ("master", 7, true, 10));
        for key in ["role", "run_id", "master_replid", "master_repl_offset", "second_repl_offset", "config_file"] {
            let cut: String = MASTER.lines().filter(|line| !line.starts_with(&format!("{key}:"))).map(|line| format!("{line}\n")).collect();
            assert_eq!(read(&cut), None, "{key}");
        }
        assert_eq!(read("PONG"), None);
    }

    #[test]
    fn what_cannot_be_told_is_not_within_a_limit() {
        let lag = Lag { ms: None, bytes: None, how: "why".to_owned() };
        assert!(within(&lag, None, None).is_ok());
        assert_eq!(within(&lag, Some(10_000), None).unwrap_err(), "how far behind cannot be told, `max_lag` is 10s: why");
        assert_eq!(within(&lag, None, Some(1024)).unwrap_err(), "how far behind cannot be told, `max_bytes` is 1KiB: why");
        let lag = Lag { ms: Some(0), bytes: Some(2048), ..lag };
        assert!(within(&lag, Some(0), Some(2048)).is_ok());
        assert!(within(&lag, Some(0), Some(2047)).unwrap_err().starts_with("up to 2KiB behind"));
    }
}
