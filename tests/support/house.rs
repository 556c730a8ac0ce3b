//! One lab of a plan (`plans/NAME/lab.py`, tests/lab/house.py) for a test: taken down with the value, and by itself when
//! this process dies; what its servers said is shown when the test fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A lab that is up.
pub struct House {
    plan: &'static str,
    dir: PathBuf,
    /// Variables for whoever works in it.
    pub env: BTreeMap<String, String>,
}

impl House {
    /// Starts one.
    pub fn up(plan: &'static str) -> House {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(format!("/dev/shm/drplan-house-{}-{n}", std::process::id()));
        let mut house = House { plan, dir, env: BTreeMap::new() };
        house.verb(&["up", "--owner", &std::process::id().to_string()]).unwrap_or_else(|said| panic!("{said}"));
        let kept: Value = serde_json::from_str(&house.text("house.json")).unwrap();
        house.env = serde_json::from_value(kept["env"].clone()).unwrap();
        let path = house.text("env").lines().find_map(|l| l.strip_prefix("export PATH=")).unwrap().replace(":\"$PATH\"", "");
        house.env.insert("PATH".to_owned(), format!("{path}:{}", std::env::var("PATH").unwrap()));
        house
    }

    /// The parameters of the plan as they are in it.
    pub fn params(&self) -> String {
        self.dir.join("params.yaml").display().to_string()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap()
    }

    /// `house PLAN VERB DIR WORDS…`, and what it says; the error is what it said too.
    pub fn verb(&self, words: &[&str]) -> Result<String, String> {
        house(self.plan, words[0], &self.dir, &words[1..])
    }

    /// What is the same whichever way one came here.
    pub fn facts(&self) -> Value {
        serde_json::from_str(&self.verb(&["facts"]).unwrap_or_else(|said| panic!("{said}"))).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.verb(&["logs"]).unwrap_or_else(|said| said));
        }
        if let Err(said) = self.verb(&["down", "--remove"]) {
            eprintln!("{said}");
        }
    }
}

fn house(plan: &str, verb: &str, dir: &Path, words: &[&str]) -> Result<String, String> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/house");
    let done = Command::new(program).args([plan, verb]).arg(dir).args(words).output().map_err(|e| format!("{program}: {e}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(said(&done.stdout))
    } else {
        Err(format!("`house {plan} {verb} {}` failed:\n{}{}", dir.display(), said(&done.stdout), said(&done.stderr)))
    }
}
