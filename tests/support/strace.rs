//! Runs a command under strace: what it asked of the kernel, in order, and its death at a chosen system call. It does
//! not know what a journal is, only files, writes and syncs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// One finished system call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The thread that made it.
    pub pid: u32,
    /// When it began, seconds of the wall clock.
    pub at: f64,
    /// Its place in the order of all beginnings and ends: strace stops one thread at a time.
    pub begin: usize,
    /// The place of its end, in the same order. A call that never ended has the last place of all.
    pub end: usize,
    /// `pwrite64`.
    pub name: String,
    /// Between its parentheses, as strace writes it; descriptors as `5</path>`.
    pub args: String,
    /// What it gave; none for a call that never ended.
    pub result: Option<i64>,
}

impl Call {
    /// Whether its first argument is a descriptor of this file.
    pub fn on(&self, file: &Path) -> bool {
        self.file().is_some_and(|path| path == file)
    }

    /// The file of its first argument, a descriptor.
    pub fn file(&self) -> Option<PathBuf> {
        let (fd, rest) = self.args.split_once('<')?;
        fd.bytes().all(|b| b.is_ascii_digit()).then(|| rest.split_once('>').map(|(path, _)| PathBuf::from(path)))?
    }

    /// The paths that it names, each joined to the directory that stands before it.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut out = Vec::new();
        let mut rest = self.args.as_str();
        while let Some((before, text)) = rest.split_once('"') {
            let dir = before.rsplit_once('<').and_then(|(_, dir)| dir.split_once('>')).map_or("", |(dir, _)| dir);
            out.push(Path::new(dir).join(String::from_utf8_lossy(&unescape(text)).as_ref()));
            rest = text.split_once('"').map_or("", |(_, rest)| rest);
        }
        out
    }

    /// The bytes of its first text argument.
    pub fn data(&self) -> Vec<u8> {
        self.args.split_once('"').map(|(_, rest)| unescape(rest)).unwrap_or_default()
    }
}

/// What a command did, and how it ended.
#[derive(Debug)]
pub struct Trace {
    /// Its exit and output.
    pub output: Output,
    /// Its calls and those of its children, by beginning.
    pub calls: Vec<Call>,
}

/// Runs a command and all that it starts, and keeps these system calls.
pub fn trace(calls: &str, command: &Command) -> Trace {
    traced(&["-e", &format!("trace={calls}")], command)
}

/// [`trace`] of a few files alone, with a fault in their calls as [`inject`] takes it.
pub fn trace_faulty(calls: &str, fault: &str, files: &[PathBuf], command: &Command) -> Trace {
    let (calls, fault) = (format!("trace={calls}"), format!("inject={fault}"));
    let paths = files.iter().flat_map(|file| ["-P", file.to_str().expect("a path that strace can take")]);
    traced(&["-e", &calls, "-e", &fault].into_iter().chain(paths).collect::<Vec<_>>(), command)
}

fn traced(filter: &[&str], command: &Command) -> Trace {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-ttt", "-y", "-s", "16777216", "-e", "signal=none"]).args(filter).arg("-o").arg(&file);
    let output = carried(strace, command).output().expect("strace is installed: ./dev test does it");
    let text = std::fs::read(&file).expect("strace writes its file: is ptrace allowed here?");
    Trace { output, calls: read(&String::from_utf8_lossy(&text)) }
}

/// Runs a command with a fault in its system calls, on one file or on all, as strace's `inject=` says it: `pwrite64:signal=KILL:when=3`
/// dies before the third write of a thread is done, `fdatasync:error=EIO` refuses every sync. What the command starts runs
/// on untraced, and may outlive it.
pub fn inject(fault: &str, file: Option<&Path>, command: &Command) -> Output {
    let call = fault.split(':').next().unwrap_or(fault);
    let mut strace = Command::new("strace");
    strace.args(["-f", "--detach-on=execve", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &format!("inject={fault}")]);
    if let Some(file) = file {
        strace.arg("-P").arg(file);
    }
    carried(strace, command).output().expect("strace is installed: ./dev test does it")
}

/// Whether an intent was safe on disk before its effect began: after the write that holds `intent` for the first time and
/// before the first call that `effect` knows, a sync of the same file ended well. The error says what was seen instead.
pub fn synced_between(calls: &[Call], wal: &Path, intent: &[u8], effect: impl Fn(&Call) -> bool) -> Result<(), String> {
    let what = String::from_utf8_lossy(intent);
    let writes = calls.iter().filter(|c| ["write", "pwrite64", "writev", "pwritev"].contains(&c.name.as_str()) && c.on(wal));
    let holds = |c: &&Call| c.data().windows(intent.len()).any(|w| w == intent);
    let written = writes.clone().find(holds).ok_or_else(|| format!("no write to {} holds {what}", wal.display()))?;
    let acted = calls.iter().find(|c| effect(c)).ok_or_else(|| format!("the effect of {what} was never begun"))?;
    if acted.begin < written.end {
        return Err(format!("{}({}) began before {what} was written", acted.name, acted.args));
    }
    let syncs = calls.iter().filter(|c| ["fsync", "fdatasync"].contains(&c.name.as_str()) && c.on(wal) && c.result == Some(0));
    match syncs.filter(|s| s.begin > written.end && s.end < acted.begin).count() {
        0 => Err(format!("{}({}) began after {what} was written, and before it was synced", acted.name, acted.args)),
        _ => Ok(()),
    }
}

/// The command behind strace, with its directory and environment.
fn carried(mut strace: Command, command: &Command) -> Command {
    strace.arg("--").arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        strace.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace
}

/// Reads what `strace -f -ttt -o` wrote, joining calls that were interrupted by another thread's.
pub fn read(text: &str) -> Vec<Call> {
    let last = text.lines().count();
    let mut calls: Vec<Call> = Vec::new();
    let mut open: BTreeMap<u32, usize> = BTreeMap::new();
    for (line, text) in text.lines().enumerate() {
        // A short process id is filled up with spaces.
        let Some((pid, rest)) = text.split_once(' ') else { continue };
        let Some((at, rest)) = rest.trim_start().split_once(' ') else { continue };
        let (Ok(pid), Ok(at)) = (pid.parse::<u32>(), at.parse::<f64>()) else { continue };
        if let Some(resumed) = rest.trim_start().strip_prefix("<... ") {
            let Some(call) = open.remove(&pid).map(|i| &mut calls[i]) else { continue };
            let (more, result) = ended(resumed.split_once("resumed>").map_or("", |(_, more)| more));
            call.args.push_str(more);
            (call.result, call.end) = (result, line);
        } else if let Some((name, rest)) = rest.trim_start().split_once('(') {
            let call = |args: &str, end, result| Call { pid, at, begin: line, end, name: name.to_owned(), args: args.to_owned(), result };
            match rest.strip_suffix("<unfinished ...>") {
                Some(args) => {
                    open.insert(pid, calls.len());
                    calls.push(call(args.trim_end(), last, None));
                }
                None => {
                    let (args, result) = ended(rest);
                    calls.push(call(args, line, result));
                }
            }
        }
    }
    calls
}

/// Cuts `args) = result` at its last `) = `.
fn ended(rest: &str) -> (&str, Option<i64>) {
    let Some((args, result)) = rest.rsplit_once(" = ") else { return (rest, None) };
    let args = args.trim_end();
    let result = result.split([' ', '<']).next().and_then(|r| r.parse().ok());
    (args.strip_suffix(')').unwrap_or(args), result)
}

/// Reads a text of C up to its closing quote.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'"' {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let next = bytes.get(at + 1).copied().unwrap_or(b'\\');
        let octal = bytes[at + 1..].iter().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
        if octal > 0 {
            out.push(bytes[at + 1..at + 1 + octal].iter().fold(0_u32, |n, b| n * 8 + u32::from(b - b'0')) as u8);
            at += 1 + octal;
            continue;
        }
        out.push(match next {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            other => other,
        });
        at += 2;
    }
    out
}
