//! A runbook as a person types it: all of its blocks in a shell, with tools that do nothing. It does not know what the
//! page says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The fenced blocks of a page, as CommonMark reads them.
pub fn blocks(page: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in page.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match &mut open {
            Some((fence, text)) if ticks >= *fence && line.trim_start_matches('`').trim().is_empty() => {
                out.push(std::mem::take(text));
                open = None;
            }
            Some((_, text)) => text.push_str(&format!("{line}\n")),
            None if ticks >= 3 => {
                open = Some((ticks, if line.trim_start_matches('`').starts_with("sh") { String::new() } else { "#".into() }))
            }
            None => {}
        }
    }
    assert!(open.is_none(), "a fence is left open");
    out.retain(|b| !b.starts_with('#') || b.starts_with("# "));
    out
}

/// Types blocks into a shell in a directory of tools that do nothing, and says whether `pwned` came to be.
pub fn typed(blocks: &[String]) -> bool {
    let dir = tempfile::tempdir().expect("a directory");
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).expect("bin");
    for (tool, says) in [("psql", "t"), ("aws", "INSYNC"), ("curl", "200"), ("kubectl", ""), ("sqlite3", "ok"), ("sleep", "")] {
        let path = bin.join(tool);
        fs::write(&path, format!("#!/bin/sh\ncat >/dev/null\necho {says}\n")).expect("a tool");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    for block in blocks {
        let mut shell = Command::new("timeout");
        shell.args(["10", "sh", "-c", block]).env("PATH", &path).current_dir(dir.path());
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.status().expect("a shell");
    }
    found(dir.path())
}

/// Whether something of that name came to be in a directory.
pub fn found(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).expect("the directory").flatten();
    entries.map(|e| e.path()).any(|p| p.file_name().is_some_and(|n| n.to_string_lossy().contains("pwned")) || p.is_dir() && found(&p))
}
