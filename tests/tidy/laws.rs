//! The laws of the house, as plain tables, and what a file does against them. It does not know how a file is read.

use crate::tidy::scan::{File, Name};

/// Whom a room may see. The same table stands in ARCHITECTURE.md, and a test compares both.
pub const ROOMS: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("diagnostic", &["source"]),
    ("syntax", &["source", "diagnostic"]),
    ("world", &[]),
    ("actions", &["source", "diagnostic", "syntax", "world"]),
    ("model", &["source", "diagnostic", "syntax", "actions"]),
    ("graph", &["source", "diagnostic", "syntax", "actions", "model"]),
    ("analysis", &["source", "diagnostic", "syntax", "actions", "model", "graph"]),
    ("render", &["source", "diagnostic", "syntax", "actions", "model", "graph", "analysis"]),
    ("compile", &["source", "diagnostic", "syntax", "actions", "model", "graph", "analysis", "render"]),
    ("journal", &[]),
    ("execute", &["diagnostic", "world", "actions", "model", "graph", "analysis", "journal"]),
    ("report", &["analysis", "render", "journal"]),
    (
        "bin",
        &[
            "source",
            "diagnostic",
            "syntax",
            "world",
            "actions",
            "model",
            "graph",
            "analysis",
            "render",
            "compile",
            "journal",
            "execute",
            "report",
        ],
    ),
];

/// Arrows that code under `#[cfg(test)]` may have besides: tests make what they need from the text of a plan.
const FOR_TESTS: &[&str] = &["compile"];

/// A name that only some places may use.
pub struct Ban {
    /// As it is written in full; whatever begins so is meant too.
    pub name: &'static str,
    /// Modules that may, each with all below it.
    pub only: &'static [&'static str],
    /// Why, in words that follow the name.
    pub why: &'static str,
}

const REAL: &str = "crate::world::real";
const JOURNAL: &str = "crate::journal";
const BIN: &str = "bin";

/// Where a plan of 100 000 steps wants a hash, and the map is only ever asked, never walked: clippy refuses loops over one.
const LOOKED_UP: &[&str] = &["crate::syntax::read", "crate::model::scope", "crate::model::lower", "crate::graph", "crate::analysis", REAL];

/// The supervisor of commands is a program of its own, whose standard streams are its driver's pipes.
const SUPERVISOR: &str = "crate::world::real::supervisor";
/// Lines that a person types while a run goes on come from a thread, and threads are the door's.
const HOST: &str = "crate::world::real::host";

/// Names and the places that may use them. Code for tests only is free, but for `granit_parser`.
pub const BANS: &[Ban] = &[
    Ban { name: "granit_parser", only: &["crate::syntax"], why: "is the YAML parser: only `syntax` knows which one" },
    Ban { name: "miette", only: &["crate::diagnostic::emit"], why: "draws findings: everything else has them as data" },
    Ban { name: "petgraph", only: &["crate::graph"], why: "has traps that `graph` knows" },
    Ban { name: "handlebars", only: &["crate::render"], why: "fills documents" },
    Ban { name: "clap", only: &[BIN], why: "reads the command line" },
    Ban { name: "clap_complete", only: &[BIN], why: "completes the command line" },
    Ban { name: "sqlx", only: &[REAL, JOURNAL], why: "talks to databases" },
    Ban { name: "reqwest", only: &[REAL], why: "uses the network" },
    Ban { name: "aws_config", only: &[REAL], why: "reads the environment" },
    Ban { name: "aws_sdk_s3", only: &[REAL], why: "uses the network" },
    Ban { name: "aws_sdk_route53", only: &[REAL], why: "uses the network" },
    Ban { name: "rustix", only: &[REAL, JOURNAL, BIN], why: "asks the operating system" },
    Ban { name: "std::env", only: &[REAL, BIN], why: "reads the environment" },
    Ban { name: "std::fs", only: &[REAL, JOURNAL, BIN], why: "touches files" },
    Ban { name: "std::net", only: &[REAL], why: "uses the network" },
    Ban { name: "std::process", only: &[REAL, BIN], why: "starts or ends programs" },
    Ban { name: "std::thread", only: &[REAL], why: "waits or runs beside the one loop" },
    Ban { name: "std::io::stdout", only: &[BIN, SUPERVISOR], why: "prints" },
    Ban { name: "std::io::stderr", only: &[BIN], why: "prints" },
    Ban { name: "std::io::stdin", only: &[BIN, SUPERVISOR, HOST], why: "asks a person" },
    Ban { name: "std::time::SystemTime", only: &[REAL, JOURNAL], why: "reads a clock" },
    Ban { name: "std::time::Instant", only: &[REAL, JOURNAL], why: "reads a clock" },
    Ban { name: "jiff::Timestamp::now", only: &[REAL, JOURNAL], why: "reads a clock" },
    Ban { name: "jiff::Zoned::now", only: &[REAL, JOURNAL], why: "reads a clock" },
    Ban { name: "tokio::fs", only: &[REAL, JOURNAL, BIN], why: "touches files" },
    Ban { name: "tokio::net", only: &[REAL], why: "uses the network" },
    Ban { name: "tokio::process", only: &[REAL], why: "starts programs" },
    Ban { name: "tokio::signal", only: &[REAL, BIN], why: "hears the operating system" },
    Ban { name: "tokio::time", only: &[REAL, JOURNAL], why: "reads a clock" },
    Ban { name: "tokio::io::stdout", only: &[BIN], why: "prints" },
    Ban { name: "tokio::io::stderr", only: &[BIN], why: "prints" },
    Ban { name: "tokio::io::stdin", only: &[BIN], why: "asks a person" },
    Ban { name: "std::collections::HashMap", only: LOOKED_UP, why: "has no order: use BTreeMap" },
    Ban { name: "std::collections::HashSet", only: LOOKED_UP, why: "has no order: use BTreeSet" },
    Ban { name: "std::hash::RandomState", only: &[], why: "has no order" },
    Ban { name: "print!", only: &[BIN], why: "prints" },
    Ban { name: "println!", only: &[BIN], why: "prints" },
    Ban { name: "eprint!", only: &[BIN], why: "prints" },
    Ban { name: "eprintln!", only: &[BIN], why: "prints" },
    Ban { name: "dbg!", only: &[], why: "prints" },
    Ban { name: "todo!", only: &[], why: "is not built" },
    Ban { name: "unimplemented!", only: &[], why: "is not built" },
    Ban { name: "include!", only: &[], why: "brings code from elsewhere: an arrow that nobody sees" },
    Ban { name: ".unwrap", only: &[], why: "does not say why it holds: use expect(\"why\")" },
    Ban { name: "Option::unwrap", only: &[], why: "does not say why it holds" },
    Ban { name: "Result::unwrap", only: &[], why: "does not say why it holds" },
];

/// Files over 500 lines, each with the reason why it is still one room.
pub const LONG: &[(&str, &str)] = &[
    ("src/execute/machine.rs", "one decision: its rules are asked in the order in which they stand"),
    ("src/execute/words.rs", "one question, who may say what when: each answer is read beside the others"),
    ("src/model/plan.rs", "the plan as plain data: every section of the language, mostly doc comments"),
    ("src/world/sim.rs", "one seeded outside: its services share the clock and the faults"),
];

/// What is wrong in the whole tree, one line each, sorted by file and line.
pub fn broken(files: &[File]) -> Vec<String> {
    let tests: Vec<&Vec<String>> = files.iter().flat_map(|f| &f.test_modules).collect();
    let handed = handed_on(files);
    let mut out = Vec::new();
    for file in files {
        let all_test = tests.iter().any(|t| file.module.starts_with(t));
        out.extend(file.tricks.iter().map(|(line, what)| format!("{}:{line}: `{what}` lets names travel unseen", file.path)));
        for name in &file.names {
            let name = Name { test: name.test || all_test, ..name.clone() };
            let wrong = arrow(file, &name, &handed).or_else(|| ban(file, &name));
            out.extend(wrong.map(|w| format!("{}:{}: {w}", file.path, name.line)));
        }
        out.extend(shape(file));
    }
    out.dedup();
    out
}

fn sees(from: &str, to: &str) -> bool {
    from == to || ROOMS.iter().any(|(room, seen)| *room == from && seen.contains(&to))
}

fn may(file: &File, name: &Name, to: &str) -> bool {
    sees(file.room(), to) || name.test && FOR_TESTS.contains(&to)
}

/// A name that a room hands on from another one.
struct Handed<'a> {
    by: &'a str,
    called: &'a str,
    from: &'a str,
}

fn handed_on(files: &[File]) -> Vec<Handed<'_>> {
    let names = files.iter().flat_map(|f| f.names.iter().map(move |n| (f.room(), n)));
    let own = names.filter(|(_, n)| n.path[0] == "crate" && n.path.len() > 1);
    own.filter(|(by, n)| n.path[1] != *by)
        .filter_map(|(by, n)| Some(Handed { by, called: n.handed_on.as_ref()?, from: &n.path[1] }))
        .collect()
}

fn arrow(file: &File, name: &Name, handed: &[Handed<'_>]) -> Option<String> {
    if name.path[0] != "crate" {
        return None;
    }
    let whole = name.path.join("::");
    let Some(to) = name.path.get(1) else {
        return Some(format!("`{whole}` as a whole takes every room at once: name the room"));
    };
    if !ROOMS.iter().any(|(room, _)| room == to) {
        return Some(format!("`{whole}` is in no room: ARCHITECTURE.md names them all"));
    }
    if !may(file, name, to) {
        return Some(format!("`{}` must not see `{to}` (`{whole}`)", file.room()));
    }
    // A name that was handed on is an arrow to where it comes from.
    let taken = |h: &&Handed<'_>| h.by == to && (h.called == "*" || name.glob || name.path[2..].iter().any(|p| p == h.called));
    let hidden = handed.iter().filter(taken).find(|h| file.room() != to && !may(file, name, h.from))?;
    Some(format!("`{}` must not see `{}`, of which `{whole}` is handed on by `{to}`", file.room(), hidden.from))
}

fn ban(file: &File, name: &Name) -> Option<String> {
    let whole = name.path.join("::");
    let module = file.module.join("::");
    BANS.iter().find_map(|ban| {
        let below = begins(&whole, ban.name);
        // `use std::time::*` brings `Instant` in without naming it.
        let swallowed = name.glob && begins(ban.name, &whole);
        let allowed = ban.only.iter().any(|place| begins(&module, place)) || name.test && ban.name != "granit_parser";
        ((below || swallowed) && !allowed).then(|| format!("`{whole}` {}{}", ban.why, places(ban.only)))
    })
}

fn begins(path: &str, with: &str) -> bool {
    path == with || path.strip_prefix(with).is_some_and(|rest| rest.starts_with("::"))
}

fn places(only: &[&str]) -> String {
    if only.is_empty() { String::new() } else { format!(": only {} may", only.join(", ").replace("crate::", "")) }
}

fn shape(file: &File) -> Vec<String> {
    let mut out = Vec::new();
    let path = &file.path;
    if !file.text.starts_with("//! ") {
        out.push(format!("{path}:1: begins without a `//!` sentence: what this room does, and what it does not know"));
    }
    let lines = file.text.lines().count();
    let listed = LONG.iter().any(|(long, _)| long == path);
    if lines > 500 && !listed {
        out.push(format!("{path}:{lines}: more than 500 lines: is it still one room? Then list it in LONG with the reason"));
    }
    if lines <= 500 && listed {
        out.push(format!("{path}:{lines}: is listed in LONG and is not long any more"));
    }
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    if ["utils", "util", "helpers", "common", "types", "misc"].contains(&stem) {
        out.push(format!("{path}:1: `{stem}` says nothing: name it for what it knows"));
    }
    if file.room() == "lib" && file.names.iter().any(|n| n.path[0] == "crate") {
        out.push(format!("{path}:1: the table of contents hands nothing on: `pub mod` lines only"));
    }
    out
}
