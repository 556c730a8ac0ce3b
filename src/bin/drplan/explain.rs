//! `drplan explain [NAME]`: the manual page of an action.

use drplan::{actions, diagnostic};
use serde_json::json;

use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;

/// Show the manual page of a rule, an action or a section; without a name, list them all.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `postgres.promote`, `missing-undo`, `scenarios`, …
    name: Option<String>,
}

/// One manual page.
struct Page {
    kind: &'static str,
    name: &'static str,
    text: &'static str,
}

/// Prints the page, or the list of all.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let pages = pages();
    let Some(name) = &args.name else {
        return list(&pages, settings);
    };
    let Some(page) = pages.iter().find(|p| p.name == name) else {
        let stop = Stop::no_input(format!("there is no page named `{name}`"));
        return Err(match diagnostic::nearest(name, pages.iter().map(|p| p.name)) {
            Some(near) => stop.help(format!("drplan explain {near}")),
            None => stop.help("drplan explain lists all pages"),
        });
    };
    if settings.json {
        output::json(&json!({ "kind": page.kind, "name": page.name, "page": page.text }))?;
    } else {
        output::data(page.text)?;
    }
    Ok(Exit::Good)
}

fn list(pages: &[Page], settings: &Settings) -> Ended {
    if settings.json {
        let all: Vec<_> = pages.iter().map(|p| json!({ "kind": p.kind, "name": p.name, "title": title(p.text) })).collect();
        output::json(&json!(all))?;
        return Ok(Exit::Good);
    }
    let width = pages.iter().map(|p| p.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut kind = "";
    for page in pages {
        if page.kind != kind {
            kind = page.kind;
            text.push_str(&format!("{}{kind}s\n", if text.is_empty() { "" } else { "\n" }));
        }
        text.push_str(&format!("  {:width$}  {}\n", page.name, title(page.text)));
    }
    output::data(&text)?;
    Ok(Exit::Good)
}

/// The first line of a page that is neither its heading nor empty.
fn title(page: &str) -> &str {
    page.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or("")
}

fn pages() -> Vec<Page> {
    actions::all().iter().map(|a| Page { kind: "action", name: a.name, text: a.page }).collect()
}
