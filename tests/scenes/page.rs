//! A scene as it is written: a title, why it matters, files, and what is typed and seen. It does not play it.
//!
//! ```text
//! # Title                     what happened, in prose
//! ```yaml steps               steps of the usual plan; or a whole file: ```yaml plan.yaml
//! ```console
//! $ sh plan-b.sh              typed by whoever makes the trouble, or looks
//! & drplan run --yes --wait   the same, and it goes on behind (its process is $(cat behind))
//! ~ text                      until that is said after the last command (line breaks do not count)
//! ? text                      the screen says that
//! > drplan retry * copy --reason 'made room'    the screen offers that; * is the run
//! = 11                        the last command's exit code
//! &= 0                        the one behind ends with that
//! ```
//! ```

use std::fmt;
use std::path::Path;

/// One line of what is typed and seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A command of the shell.
    Shell(String),
    /// One that goes on behind.
    Behind(String),
    /// One that the screen offers.
    Offered(String),
    /// What the screen says.
    Says(String),
    /// What it says sooner or later.
    Until(String),
    /// How the last command ended.
    Ends(i32),
    /// How the one behind ends.
    BehindEnds(i32),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Shell(text) => write!(f, "$ {text}"),
            Line::Behind(text) => write!(f, "& {text}"),
            Line::Offered(text) => write!(f, "> {text}"),
            Line::Says(text) => write!(f, "? {text}"),
            Line::Until(text) => write!(f, "~ {text}"),
            Line::Ends(code) => write!(f, "= {code}"),
            Line::BehindEnds(code) => write!(f, "&= {code}"),
        }
    }
}

/// A scene.
#[derive(Debug)]
pub struct Page {
    /// The name of its file.
    pub name: String,
    /// Files of its directory.
    pub files: Vec<(String, String)>,
    /// It has a journal that other machines reach.
    pub shared: bool,
    /// What is typed and seen.
    pub lines: Vec<Line>,
}

/// What the steps of a scene stand in.
const USUAL: &str = r#"drplan: v1
name: scene
owner: ops
contacts: { ops: { title: Operations }, cto: { title: The CTO } }
sites: { old: {}, new: {} }
tiers: { fast: { rto: 15m, rpo: 1h } }
assets:
  app: { kind: other, tier: fast, site: old, replicas: [{ site: new, mode: active, max_lag: 10s }] }
scenarios:
  gone:
    cause: outage
    loses: { sites: [old] }
    detect: 1m
    steps:
"#;

impl Page {
    /// All scenes, by name.
    pub fn all() -> Vec<Page> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
        let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
        let mut pages: Vec<Page> = files.filter(|path| path.extension().is_some_and(|e| e == "md")).map(|path| Page::read(&path)).collect();
        pages.sort_by(|a, b| a.name.cmp(&b.name));
        pages
    }

    fn read(path: &Path) -> Page {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut page = Page { name, files: Vec::new(), shared: text.contains("journal that other machines reach"), lines: Vec::new() };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(head) = line.strip_prefix("```") else { continue };
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match head.split_once(' ') {
                Some((_, "steps")) => {
                    let steps: String = body.iter().map(|line| format!("      {line}\n")).collect();
                    page.files.push(("plan.yaml".to_owned(), format!("{USUAL}{steps}")));
                }
                Some((_, file)) => page.files.push((file.to_owned(), format!("{}\n", body.join("\n")))),
                None => page.lines.extend(body.iter().filter(|line| !line.trim().is_empty()).map(|line| said(&page.name, line))),
            }
        }
        page
    }
}

fn said(page: &str, line: &str) -> Line {
    let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim().to_owned();
    let code = || rest.parse().unwrap_or_else(|_| panic!("{page}: no exit code: {line}"));
    match mark {
        "$" => Line::Shell(rest),
        "&" => Line::Behind(rest),
        ">" => Line::Offered(rest),
        "?" => Line::Says(rest),
        "~" => Line::Until(rest),
        "=" => Line::Ends(code()),
        "&=" => Line::BehindEnds(code()),
        _ => panic!("{page}: what is this? {line}"),
    }
}
