//! Values of secrets, from where the plan says that they are. A value is given back and never written, shown or
//! kept; it does not know what they are for.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt;

use super::blocking;
use crate::world::{Answer, Fault, Secrets};

/// Shorter ones would be struck out of harmless texts, and guessed from what is struck out.
const SHORTEST: usize = 8;
/// The longest secret that is read.
const LONGEST: u64 = 1 << 16;
/// How long a command may take to give one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Variables with secrets of this program that commands inherit, because tools of the same service need them.
const INHERITED: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// Every secret that was given out, and those that the environment holds. They never leave this process but to be struck
/// out of what commands say.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Mutex<BTreeSet<String>>>);

impl Known {
    /// All of them.
    pub(super) fn all(&self) -> Vec<String> {
        let own = INHERITED.iter().filter_map(|name| std::env::var(name).ok()).filter(|value| value.len() >= SHORTEST);
        self.set().iter().cloned().chain(own).collect()
    }

    /// A set that a panic left behind is still a set.
    fn set(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn keep(&self, answer: Answer<String>) -> Answer<String> {
        if let Ok(value) = &answer {
            self.set().insert(value.clone());
        }
        answer
    }
}

/// The environment, files and commands.
pub(super) struct Real {
    /// What was given out.
    pub(super) known: Known,
    /// Relative paths of files and programs stand in it; commands run in it.
    pub(super) plan_dir: PathBuf,
}

#[async_trait]
impl Secrets for Real {
    async fn env(&self, name: &str) -> Answer<String> {
        self.known.keep(variable(name))
    }

    async fn file(&self, path: &str) -> Answer<String> {
        self.known.keep(self.in_file(path).await)
    }

    async fn command(&self, argv: &[String]) -> Answer<String> {
        self.known.keep(self.said_by(argv).await)
    }
}

fn variable(name: &str) -> Answer<String> {
    let place = format!("environment variable {name}");
    match std::env::var(name) {
        Ok(value) => checked(&place, value),
        Err(std::env::VarError::NotPresent) => Err(Fault::refused(format!("{place} is not set: type `export {name}=…`"))),
        Err(std::env::VarError::NotUnicode(_)) => Err(Fault::refused(format!("{place} is not a text in UTF-8"))),
    }
}

impl Real {
    async fn in_file(&self, path: &str) -> Answer<String> {
        let full = self.plan_dir.join(path);
        let place = format!("file {}", full.display());
        blocking(move || {
            let mut bytes = Vec::new();
            std::fs::File::open(&full)
                .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
                .map_err(|e| Fault::refused(format!("cannot read the secret's {place}: {e}")))?;
            text(&place, bytes)
        })
        .await
    }

    async fn said_by(&self, argv: &[String]) -> Answer<String> {
        let program = argv.first().ok_or_else(|| Fault::refused("the secret's command is empty"))?;
        let place = format!("command `{program}`");
        let refused = |why: String| Fault::refused(format!("the secret's {place} {why}"));
        let path = if program.contains('/') { self.plan_dir.join(program) } else { PathBuf::from(program) };
        let mut child = tokio::process::Command::new(path)
            .args(&argv[1..])
            .current_dir(&self.plan_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // What a provider of secrets says may hold them.
            .stderr(Stdio::null())
            // A Ctrl-C at the terminal is for the driver, which lets what it started end.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| refused(format!("cannot be started: {e}")))?;
        let mut bytes = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, async {
            if let Some(out) = child.stdout.take() {
                out.take(LONGEST + 1).read_to_end(&mut bytes).await?;
            }
            child.wait().await
        })
        .await;
        match ended {
            Err(_) => Err(refused(format!("gave nothing in {} s", PATIENCE.as_secs()))),
            Ok(Err(e)) => Err(refused(format!("failed: {e}"))),
            Ok(Ok(status)) if !status.success() => Err(refused(format!("failed ({status}): run it by hand to see why"))),
            Ok(Ok(_)) => text(&place, bytes),
        }
    }
}

fn text(place: &str, bytes: Vec<u8>) -> Answer<String> {
    if bytes.len() as u64 > LONGEST {
        return Err(Fault::refused(format!("the secret of {place} is longer than 64 KiB")));
    }
    let mut value = String::from_utf8(bytes).map_err(|_| Fault::refused(format!("the secret of {place} is not a text in UTF-8")))?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    checked(place, value)
}

fn checked(place: &str, value: String) -> Answer<String> {
    match value.len() {
        0 => Err(Fault::refused(format!("the secret of {place} is empty"))),
        n if n < SHORTEST => {
            Err(Fault::refused(format!("the secret of {place} is too short: one under {SHORTEST} bytes cannot be struck out of outputs")))
        }
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(dir: &tempfile::TempDir) -> Real {
        Real { plan_dir: dir.path().to_owned(), known: Known::default() }
    }

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|&w| w.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_file_loses_one_line_break_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s"), "correct horse\n\n").unwrap();
        assert_eq!(real(&dir).file("s").await.unwrap(), "correct horse\n");
        assert_eq!(real(&dir).command(&argv(&["printf", "battery\\r\\n1\\r\\n"])).await.unwrap(), "battery\r\n1");
    }

    #[tokio::test]
    async fn missing_empty_short_and_failing_ones_are_refused_without_their_value() {
        let dir = tempfile::tempdir().unwrap();
        let real = real(&dir);
        std::fs::write(dir.path().join("short"), "hunter2\n").unwrap();
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        let short = real.file("short").await.unwrap_err().cause;
        assert!(short.ends_with("one under 8 bytes cannot be struck out of outputs") && !short.contains("hunter2"), "{short}");
        assert!(real.file("empty").await.unwrap_err().cause.ends_with("is empty"));
        assert!(real.file("none").await.unwrap_err().cause.contains("cannot read"));
        assert!(real.env("DRPLAN_NO_SUCH_VARIABLE").await.unwrap_err().cause.contains("is not set"));
        assert!(real.command(&argv(&["sh", "-c", "echo correct-horse; exit 3"])).await.unwrap_err().cause.contains("exit status: 3"));
        assert!(real.command(&argv(&["no-such-program"])).await.unwrap_err().cause.contains("cannot be started"));
        assert!(real.command(&[]).await.unwrap_err().cause.contains("is empty"));
    }
}
