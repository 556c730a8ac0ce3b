//! What processes of a command are left on this machine, and which machine and boot this is. It knows no files but those
//! of `/proc`, and no ends.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// The variable that marks a command and all that it starts.
pub(super) const MARK: &str = "DRPLAN_TICKET";

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// Its number, also that of its group.
    pub(super) pid: i32,
    /// Its start, in clock ticks since this boot.
    pub(super) start: u64,
}

/// The boot of this machine.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// This machine; its name where it has no number.
pub(super) fn machine_id() -> io::Result<String> {
    let name = super::host_name();
    match fs::read_to_string("/etc/machine-id") {
        Ok(id) => Ok(format!("{name} {}", id.trim())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(name),
        Err(e) => Err(e),
    }
}

/// A process by its number, as it stands now; none if there is none.
pub(super) fn process(pid: i32) -> io::Result<Option<Started>> {
    Ok(stat(pid)?.map(|s| Started { pid, start: s.start }))
}

struct Stat {
    zombie: bool,
    group: i32,
    start: u64,
}

fn stat(pid: i32) -> io::Result<Option<Stat>> {
    let text = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        // The second: it ended while its file was read.
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(3) => return Ok(None),
        Err(e) => return Err(e),
    };
    // The name in brackets may hold anything, brackets and spaces too.
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let (Some(&state), Some(group), Some(start)) =
        (fields.first(), fields.get(2).and_then(|f| f.parse().ok()), fields.get(19).and_then(|f| f.parse().ok()))
    else {
        return Err(io::Error::other(format!("/proc/{pid}/stat is not as expected")));
    };
    Ok(Some(Stat { zombie: matches!(state, "Z" | "X"), group, start }))
}

/// Whether anything of a command is left: itself, its group, or what carries its mark.
pub(super) fn alive(ticket: &str, process: Started) -> io::Result<bool> {
    // A number is not given again while a group has it: if it is another process's by now, the group is gone.
    let reused = stat(process.pid)?.is_some_and(|s| s.start != process.start);
    let mark = format!("{MARK}={ticket}");
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Some(stat) = stat(pid)?.filter(|s| !s.zombie) else {
            continue;
        };
        if stat.group == process.pid && !reused {
            return Ok(true);
        }
        // Other people's processes cannot be read, and are not ours.
        let marked = fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|&b| b == 0).any(|v| v == mark.as_bytes()));
        if marked {
            return Ok(true);
        }
    }
    Ok(false)
}
