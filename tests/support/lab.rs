//! One lab (tests/lab/README.md) for a test: started on ports of its own, taken down with the value, and by itself when
//! this process dies. What is not installed is a failure that says what to type; nothing is skipped.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A lab that is up.
pub struct Lab {
    dir: PathBuf,
    env: BTreeMap<String, String>,
}

impl Lab {
    /// Starts one; with `--servers` PostgreSQL, Route 53 and S3 alone, without clusters, ClickHouse, Redis and users.
    pub fn up(more: &[&str]) -> Lab {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(format!("/dev/shm/drplan-lab-{}-{n}", std::process::id()));
        let mut lab = Lab { dir, env: BTreeMap::new() };
        let owner = std::process::id().to_string();
        lab.lab("up", &[&["--base-port", "auto", "--owner", &owner], more].concat());
        lab.env = variables(&std::fs::read_to_string(lab.dir.join("env")).expect("`lab up` leaves its variables"));
        lab
    }

    /// `lab COMMAND DIR ARGS…`, and what it says; a failure is one of the test.
    pub fn lab(&self, command: &str, args: &[&str]) -> String {
        run(&self.dir, command, args).unwrap_or_else(|said| panic!("{said}"))
    }
}

/// Its variables, for a process that is to run in it: `lab["LAB_PRIMARY_PORT"]`, `.envs(&*lab)`. `PATH` has its tools
/// in front.
impl Deref for Lab {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.env
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(said) = run(&self.dir, "down", &["--remove"]) {
            eprintln!("{said}");
        }
    }
}

fn run(dir: &Path, command: &str, args: &[&str]) -> Result<String, String> {
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab");
    let done = Command::new(lab).arg(command).arg(dir).args(args).output().map_err(|e| format!("{lab}: {e}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(said(&done.stdout))
    } else {
        Err(format!("`lab {command} {}` failed:\n{}{}", dir.display(), said(&done.stdout), said(&done.stderr)))
    }
}

/// `export K='V'`, and `export PATH="$LAB_PATH:$PATH"`.
fn variables(text: &str) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .filter_map(|(name, value)| Some((name.to_owned(), value.strip_prefix('\'')?.strip_suffix('\'')?.to_owned())))
        .collect();
    let path = std::env::var("PATH").unwrap_or_default();
    if let Some(tools) = env.get("LAB_PATH") {
        env.insert("PATH".to_owned(), format!("{tools}:{path}"));
    }
    env
}
