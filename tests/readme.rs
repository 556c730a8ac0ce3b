//! Each block of the README is run: files are written, commands typed, and what they print is what stands there.

use std::path::Path;
use std::process::Command;

use regex::Regex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A fenced block: what stands behind the fence, and its lines.
struct Block {
    info: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let mut open: Option<(String, Block)> = None;
    for line in page.lines() {
        match &mut open {
            Some((fence, _)) if line == fence => out.extend(open.take().map(|(_, block)| block)),
            Some((_, block)) => block.text.push_str(&format!("{line}\n")),
            None if line.starts_with("```") => {
                let info = line.trim_start_matches('`');
                let fence = line[..line.len() - info.len()].to_owned();
                open = Some((fence, Block { info: info.to_owned(), text: String::new() }));
            }
            None => {}
        }
    }
    assert!(open.is_none(), "a fence is left open");
    out
}

/// The commands of a console with what each prints.
fn typed(console: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for line in console.lines() {
        match (line.strip_prefix("$ "), out.last_mut()) {
            (Some(command), _) => out.push((command.to_owned(), String::new())),
            (None, Some((_, said))) => said.push_str(&format!("{line}\n")),
            (None, None) => panic!("a console begins with a command: {line}"),
        }
    }
    out
}

/// What may differ from run to run: times of day, names of runs, digests, how long something took.
fn steady(text: &str) -> String {
    let mut text = text.to_owned();
    for (what, word) in [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "DATE"),
        (r"\b\d\d:\d\d:\d\d(\.\d+)?Z?\b", "TIME"),
        (r"\b\d{8}-\d{4,6}[-a-z0-9]*\b", "RUN"),
        (r"\b[0-9a-f]{12,64}\b", "DIGEST"),
        (r"\b(\d+(\.\d+)?(ms|s|m|h|d))+\b", "LENGTH"),
        (r"\S+@\S+ pid \d+", "WHO"),
        (r"\S+/journal\.db", "JOURNAL"),
    ] {
        text = Regex::new(what).expect("a pattern").replace_all(&text, word).into_owned();
    }
    let lines: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.join("\n").trim_end().to_owned()
}

fn shell(command: &str, dir: &Path) -> (bool, String) {
    let bin = Path::new(env!("CARGO_BIN_EXE_drplan")).parent().expect("a directory").display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(dir).env("PATH", path).env("NO_COLOR", "1");
    shell.env("XDG_STATE_HOME", dir.join("state")).env_remove("DRPLAN_FORMAT").env_remove("DRPLAN_COLOR").env_remove("DRPLAN_JOURNAL");
    let out = shell.output().expect("a shell");
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn every_block_says_what_happens() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("the README");
    let dir = tempfile::tempdir().expect("a directory");
    let (mut files, mut commands) = (0, 0);
    for block in blocks(&page) {
        match block.info.split_once(' ') {
            Some(("yaml", name)) => {
                std::fs::write(dir.path().join(name), &block.text).expect("a file");
                files += 1;
            }
            None if block.info == "console" => {
                for (command, expected) in typed(&block.text) {
                    let (_, said) = shell(&command, dir.path());
                    assert_eq!(steady(&said), steady(&expected), "$ {command}\n{said}");
                    commands += 1;
                }
            }
            None if block.info == "sh" => {}
            _ => panic!("no test runs a block of `{}`", block.info),
        }
    }
    assert!(files >= 1 && commands >= 4, "{files} files, {commands} commands");
}

#[test]
fn the_two_commands_are_there() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("the README");
    let all: Vec<String> = blocks(&page).into_iter().filter(|b| b.info == "sh").map(|b| b.text.trim().to_owned()).collect();
    let [first, second] = all.as_slice() else { panic!("two blocks of sh: {all:?}") };
    assert_eq!(second, "./dev test");
    assert!(Path::new(ROOT).join("dev").exists());
    assert!(first.contains("cargo run --no-default-features -- run plans/quickstart/plan.yaml"), "{first}");
    // The same command with the program that is built already, on a copy.
    let dir = tempfile::tempdir().expect("a directory");
    let (copied, said) = shell(&format!("mkdir plans && cp -R {ROOT}/plans/quickstart plans/ && rm -rf plans/quickstart/live"), dir.path());
    assert!(copied, "{said}");
    let (good, said) = shell(&first.replace("cargo run --no-default-features --", "drplan"), dir.path());
    shell("plans/quickstart/live/bin/stop-writer", dir.path());
    assert!(good && said.contains("recovered · 7 of 7 steps done"), "{said}");
}

#[test]
fn every_place_that_is_named_is_there() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("the README");
    let link = Regex::new(r"\]\(([^)]+)\)").expect("a pattern");
    let places: Vec<&str> = link.captures_iter(&page).filter_map(|c| c.get(1)).map(|m| m.as_str()).collect();
    assert!(!places.is_empty());
    for place in places {
        assert!(Path::new(ROOT).join(place).exists(), "{place}");
    }
}
