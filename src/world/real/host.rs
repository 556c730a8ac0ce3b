//! Who and where this program is: names for records, the directory for state. It decides nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Wall-clock time.
pub fn now() -> Timestamp {
    super::clock::wall()
}

/// The name of the person at the keyboard, as the system knows it.
pub fn user_name() -> String {
    let given = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok().filter(|name| !name.is_empty());
    given.or_else(|| passwd(rustix::process::getuid().as_raw())).unwrap_or_else(|| "nobody".to_owned())
}

fn passwd(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = text.lines().map(|line| line.split(':'));
    fields.find_map(|mut f| {
        let name = f.next()?;
        (f.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Where programs keep what outlives them: `$XDG_STATE_HOME`, else `~/.local/state`.
pub fn state_home() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    given.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")))
}

/// Something that no other process has at this moment.
pub fn salt() -> String {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    format!("{}-{}-{}", std::process::id(), t.tv_sec, t.tv_nsec)
}

/// The Git commit of a directory, `+changes` added for a dirty work tree; none outside of Git.
pub fn git_commit(dir: &Path) -> Option<String> {
    let git = |args: &[&str]| Command::new("git").arg("-C").arg(dir).args(args).output().ok().filter(|o| o.status.success());
    let head = String::from_utf8(git(&["rev-parse", "HEAD"])?.stdout).ok()?.trim().to_owned();
    let dirty = git(&["status", "--porcelain", "--", "."]).is_some_and(|o| !o.stdout.is_empty());
    Some(if dirty { format!("{head}+changes") } else { head })
}

/// Lines as a person types them. The thread that waits for them ends with the program, not with its reader.
pub fn typed_lines() -> UnboundedReceiver<String> {
    let (send, lines) = unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}
