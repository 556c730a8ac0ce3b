//! `drplan init`: a first plan, by a few questions or from an example. What it writes has no findings; it never writes over
//! anything. It does not know what a plan is: `check` judges what was written.

use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use drplan::compile::Input;
use drplan::diagnostic::nearest;
use drplan::model::schema;
use serde_json::json;

use crate::exit::{Ended, Exit, Stop};
use crate::findings::{self, Format};
use crate::load;
use crate::output;
use crate::settings::Settings;

/// Write a first plan: by a few questions, or from an example.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Start from an example instead of questions; without a name, list them.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    example: Option<String>,

    /// Where the plan goes; a file that is there is never written over.
    #[arg(long, value_name = "FILE", default_value = "plan.yaml")]
    out: PathBuf,
}

/// What editors are told by a plan's first line: the schema that is written beside it.
const SCHEMA: &str = "plan.schema.json";

const HEAD: &str = include_str!("init/head.yaml");

/// A first plan in the making.
struct Kind {
    /// What one types.
    word: &'static str,
    /// What it is.
    what: &'static str,
    /// Where it is, as a question and an answer.
    place: (&'static str, &'static str),
    /// What may happen to it: the word, in words, and the plan's text.
    scenarios: &'static [(&'static str, &'static str, &'static str)],
}

const KINDS: &[Kind] = &[
    Kind {
        word: "sqlite",
        what: "an SQLite database in a file",
        place: ("Its file, from the plan's directory", "data.db"),
        scenarios: &[
            ("damaged", "the data is damaged, the machine is well", include_str!("init/sqlite-damaged.yaml")),
            ("lost", "the machine is gone, another one takes over", include_str!("init/sqlite-lost.yaml")),
        ],
    },
    Kind {
        word: "postgres",
        what: "a PostgreSQL server with a standby",
        place: ("The host of its primary", "db-1.example.com"),
        scenarios: &[("lost", "the primary is gone, the standby takes over", include_str!("init/postgres-lost.yaml"))],
    },
    Kind {
        word: "other",
        what: "anything else, brought back by hand",
        place: ("What people call it", "the system"),
        scenarios: &[("damaged", "its data is damaged", include_str!("init/other-damaged.yaml"))],
    },
];

/// How often a copy is taken: the word, the cron line, and what may then be lost at most.
const OFTEN: &[(&str, &str, &str)] = &[("hourly", "0 * * * *", "2h"), ("daily", "0 2 * * *", "26h"), ("weekly", "0 2 * * 0", "8d")];

/// A plan of `examples/`, and the files that it includes, by their paths from it.
struct Example {
    name: &'static str,
    text: &'static str,
    parts: &'static [(&'static str, &'static str)],
}

macro_rules! example {
    ($name:literal $(, $part:literal)*) => {
        Example {
            name: $name,
            text: include_str!(concat!("../../../examples/", $name, ".yaml")),
            parts: &[$(($part, include_str!(concat!("../../../examples/", $part)))),*],
        }
    };
}

/// The examples, in learning order.
const EXAMPLES: &[Example] = &[
    example!("01-smallest"),
    example!("02-undo"),
    example!("03-backup-and-restore"),
    example!("04-parameters"),
    example!("05-secrets"),
    example!("06-failover"),
    example!("07-order"),
    example!("08-outputs"),
    example!("09-retries"),
    example!("10-contacts"),
    example!("11-conditions"),
    example!("12-modes"),
    example!("13-failback"),
    example!("14-backups"),
    example!("15-rebuild"),
    example!("16-sites"),
    example!("17-lists"),
    example!("18-files", "18-files/database.yaml", "18-files/website.yaml"),
    example!("19-drill"),
    example!("20-policy"),
    example!("21-another-plan", "21-another-plan/database.yaml", "21-another-plan/sites.yaml"),
    example!(
        "22-executables",
        "22-executables/flag.py",
        "22-executables/flag.py.action.yaml",
        "22-executables/mark.sh",
        "22-executables/mark.sh.action.yaml"
    ),
];

/// Writes the plan, or lists the examples.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    match args.example.as_deref() {
        Some("") => list(settings),
        Some(name) => {
            free(&args.out)?;
            let example = example(name)?;
            let beside = |part: &str| args.out.parent().unwrap_or(Path::new("")).join(part);
            example.parts.iter().try_for_each(|(part, _)| free(&beside(part)))?;
            for (part, text) in example.parts {
                let path = beside(part);
                let dir = path.parent().unwrap_or(Path::new(""));
                std::fs::create_dir_all(dir).map_err(|e| Stop::no_input(format!("cannot make {}: {e}", dir.display())))?;
                output::file(&path, text)?;
                if text.starts_with("#!") {
                    let executable = std::fs::Permissions::from_mode(0o755);
                    let made = std::fs::set_permissions(&path, executable);
                    made.map_err(|e| Stop::no_input(format!("cannot make {} executable: {e}", path.display())))?;
                }
            }
            written(&args.out, &format!("# yaml-language-server: $schema={SCHEMA}\n{}", example.text), settings)
        }
        None => {
            free(&args.out)?;
            if !output::asks() {
                return Err(Stop::usage("there is no terminal to ask questions at")
                    .help("drplan init --example NAME; drplan init --example lists them"));
            }
            let text = asked(&args.out)?;
            written(&args.out, &text, settings)
        }
    }
}

fn list(settings: &Settings) -> Ended {
    let title = |text: &'static str| text.lines().next().unwrap_or_default().trim_start_matches("# ");
    if settings.json {
        let all: Vec<_> = EXAMPLES.iter().map(|e| json!({ "name": e.name, "title": title(e.text) })).collect();
        output::json(&json!(all))?;
        return Ok(Exit::Good);
    }
    let width = EXAMPLES.iter().map(|e| e.name.len()).max().unwrap_or(0) + 2;
    let lines = EXAMPLES.iter().map(|e| format!("{:width$}{}", e.name, output::folded(title(e.text), width, width).trim_start()));
    output::data(&lines.collect::<String>())?;
    Ok(Exit::Good)
}

/// By its whole name, or by what follows its number.
fn example(name: &str) -> Result<&'static Example, Stop> {
    let bare = |full: &'static str| full.split_once('-').map_or(full, |(_, rest)| rest);
    let found = EXAMPLES.iter().find(|e| e.name == name || bare(e.name) == name);
    found.ok_or_else(|| {
        let names = EXAMPLES.iter().flat_map(|e| [e.name, bare(e.name)]);
        Stop::no_input(format!("there is no example `{name}`")).help(match nearest(name, names) {
            Some(near) => format!("drplan init --example {near}"),
            None => "drplan init --example lists them".to_owned(),
        })
    })
}

/// Said before anything is asked.
fn free(path: &Path) -> Result<(), Stop> {
    if path.symlink_metadata().is_ok() {
        return Err(Stop::usage(format!("{} is there already, and nothing is written over", path.display())).help("--out FILE"));
    }
    Ok(())
}

/// The plan that the answers make.
fn asked(out: &Path) -> Result<String, Stop> {
    output::say("A first plan. Enter takes what stands in [ ]; Ctrl-C leaves nothing behind.\n\n");
    let name = question("What the plan is called", &name_here(out), named)?;
    for kind in KINDS {
        output::say(&format!("  {:9} {}\n", kind.word, kind.what));
    }
    let kinds: Vec<&str> = KINDS.iter().map(|k| k.word).collect();
    let kind = &KINDS[choice("What is to come back", &kinds)?];
    let place = question(kind.place.0, kind.place.1, line)?;
    let mut answers = vec![("NAME", name.clone()), ("WHERE", place)];
    if kind.word == "postgres" {
        answers.push(("DATABASE", question("Its database", &name, line)?));
        answers.push(("STANDBY", question("The host of its standby", "db-2.example.com", line)?));
    } else {
        answers.push(("BACKUPS", question("Where its backups are put", "backups/", line)?));
        let words: Vec<&str> = OFTEN.iter().map(|o| o.0).collect();
        let often = OFTEN[choice_of("How often one is taken", &words, 1)?];
        answers.extend([("SCHEDULE", often.1.to_owned()), ("RPO", often.2.to_owned())]);
    }
    let mut chosen = 0;
    if kind.scenarios.len() > 1 {
        for (word, what, _) in kind.scenarios {
            output::say(&format!("  {word:9} {what}\n"));
        }
        let words: Vec<&str> = kind.scenarios.iter().map(|s| s.0).collect();
        chosen = choice("What may happen", &words)?;
    }
    output::say("\n");
    Ok(filled(&format!("{HEAD}{}", kind.scenarios[chosen].2), &answers))
}

/// A text of ours with answers in it, each as it stands within double quotes.
fn filled(text: &str, answers: &[(&str, String)]) -> String {
    answers.iter().fold(text.to_owned(), |text, (word, answer)| {
        let quoted = json!(answer.replace("${", "$${")).to_string();
        text.replace(&format!("@{word}@"), &quoted[1..quoted.len() - 1])
    })
}

/// Asks until the answer will do.
fn question(what: &str, usual: &str, good: fn(&str) -> Result<(), String>) -> Result<String, Stop> {
    loop {
        output::say(&format!("{what} [{usual}]: "));
        let mut typed = String::new();
        let read = std::io::stdin().lock().read_line(&mut typed);
        if !matches!(read, Ok(1..)) {
            return Err(Stop::usage("no answer came; nothing was written"));
        }
        let answer = if typed.trim().is_empty() { usual } else { typed.trim() };
        match good(answer) {
            Ok(()) => return Ok(answer.to_owned()),
            Err(why) => output::say(&format!("  {why}\n")),
        }
    }
}

fn choice(what: &str, words: &[&str]) -> Result<usize, Stop> {
    choice_of(what, words, 0)
}

/// Which of the words; one may be cut short.
fn choice_of(what: &str, words: &[&str], usual: usize) -> Result<usize, Stop> {
    loop {
        let answer = question(&format!("{what}: {}", words.join(", ")), words[usual], |_| Ok(()))?;
        let meant: Vec<usize> = (0..words.len()).filter(|&i| words[i].starts_with(&answer.to_lowercase())).collect();
        match meant[..] {
            [one] => return Ok(one),
            _ => output::say(&format!("  type one of {}\n", words.join(", "))),
        }
    }
}

fn named(text: &str) -> Result<(), String> {
    let good = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if good { Ok(()) } else { Err("a name is `a` to `z`, digits and `-`, begins with a letter, and has 64 at most".to_owned()) }
}

fn line(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) { Err("one line of plain text".to_owned()) } else { Ok(()) }
}

/// The directory's name, as a plan may be called.
fn name_here(out: &Path) -> String {
    let dir = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).canonicalize().unwrap_or_default();
    let name = dir.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    let name: String = name.trim_matches(|c: char| c == '-' || c.is_ascii_digit()).chars().take(64).collect();
    if named(&name).is_ok() { name } else { "notes".to_owned() }
}

/// Writes the plan and its schema, and says what stands in them.
fn written(out: &Path, text: &str, settings: &Settings) -> Ended {
    create(out, text)?;
    let beside = out.with_file_name(SCHEMA);
    let schema = match create(&beside, &format!("{:#}\n", schema::schema())) {
        Ok(()) => format!(", and {} for editors", beside.display()),
        Err(_) if beside.exists() => format!("; {} was there already, and is what editors use", beside.display()),
        Err(stop) => return Err(stop),
    };
    let plan = load::shown(out);
    let compilation = load::compilation(out, &Input::default())?;
    findings::print(&compilation, settings, Format::Human);
    output::say(&format!(
        "Wrote {plan}{schema}.\nRead it: it is short, and says what it means. Then:\n  \
         drplan check {plan}      what is wrong with it, after every change\n  \
         drplan render {plan}     its runbook, for the day this program is gone\n  \
         drplan rehearse {plan}   how it ends when the world fails on purpose\n"
    ));
    Ok(if compilation.passed() { Exit::Good } else { Exit::Findings })
}

fn create(path: &Path, text: &str) -> Result<(), Stop> {
    let made = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|e| Stop::no_input(format!("cannot write {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use drplan::compile::{Compilation, compile};
    use drplan::diagnostic::emit::short;

    use super::*;

    fn compiled(text: &str) -> Compilation {
        compile(&BTreeMap::from([("plan.yaml".to_owned(), text.to_owned())]), "plan.yaml", &Input::default()).unwrap()
    }

    #[test]
    fn whatever_is_answered_there_is_no_finding() {
        for kind in KINDS {
            for (often, (_, _, text)) in OFTEN.iter().flat_map(|often| kind.scenarios.iter().map(move |s| (often, s))) {
                for odd in ["data.db", "it's \"odd\": # ${params.x} \\ *", "日本 @NAME@ {{x}}"] {
                    let answers = [
                        ("NAME", "notes".to_owned()),
                        ("WHERE", odd.to_owned()),
                        ("DATABASE", odd.to_owned()),
                        ("STANDBY", odd.to_owned()),
                        ("BACKUPS", odd.to_owned()),
                        ("SCHEDULE", often.1.to_owned()),
                        ("RPO", often.2.to_owned()),
                    ];
                    let text = filled(&format!("{HEAD}{text}"), &answers);
                    let plan = compiled(&text);
                    assert_eq!(short(&plan.findings, &plan.sources), "", "{} {odd}\n{text}", kind.word);
                    assert_eq!(plan.checked.len(), 1);
                }
            }
        }
    }

    #[test]
    fn every_example_can_be_had() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
            .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        there.sort();
        assert_eq!(
            EXAMPLES.iter().map(|e| e.name).collect::<Vec<_>>(),
            there,
            "examples that `init` knows (left), and those that are there"
        );
        assert_eq!(example("undo").unwrap().name, "02-undo");
        assert!(example("retires").err().unwrap().to_string().contains("drplan init --example retries"));
    }

    #[test]
    fn a_directory_gives_a_name() {
        let dir = tempfile::tempdir().unwrap();
        for (dirname, name) in [("My Shop_2", "my-shop"), ("42", "notes"), ("notes-app", "notes-app")] {
            let path = dir.path().join(dirname);
            std::fs::create_dir(&path).unwrap();
            assert_eq!(name_here(&path.join("plan.yaml")), name);
        }
    }
}
