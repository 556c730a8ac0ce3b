//! Every rule's manual page is run: its first plan has the finding, drawn as the page shows it, and in its second plan
//! it is gone. `UPDATE_PAGES=1 cargo test --test pages` draws the findings anew.

#[path = "support/texts.rs"]
mod texts;

use drplan::analysis::rules::{Rule, TABLE};
use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::Level;
use drplan::diagnostic::emit::{Look, human};

/// A page is UTF-8: where a plan is not, it shows the byte as its number. What is typed besides stands in the first line,
/// as `-p NAME=VALUE`.
fn compiled(text: &str) -> Compilation {
    let mut bytes = text.as_bytes().to_vec();
    let shown = "‹E9›".as_bytes();
    if let Some(at) = bytes.windows(shown.len()).position(|w| w == shown) {
        bytes.splice(at..at + shown.len(), [0xe9]);
    }
    let (plan, files) = texts::files(&bytes, "plan.yaml");
    let typed = text.lines().next().filter(|l| l.starts_with("# drplan ")).and_then(|l| l.split(" -p ").nth(1)?.split_once('='));
    let params = typed.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    compile(&files, &plan, &Input { params, today: Some(jiff::civil::date(2026, 11, 21)), ..Input::default() }).unwrap()
}

/// The fenced blocks of one language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let open = format!("```{language}\n");
    page.split(&open).skip(1).map(|rest| &rest[..rest.find("```").unwrap()]).collect()
}

fn drawn(rule: &Rule, plan: &Compilation) -> String {
    let own: Vec<_> = plan.findings.iter().filter(|f| f.rule == rule.name).cloned().collect();
    human(&own, &plan.sources, Look::default()).lines().map(|l| l.trim_end().to_owned() + "\n").collect::<String>().trim_start().to_owned()
}

#[test]
fn pages_are_true() {
    let mut wrong = Vec::new();
    for rule in TABLE {
        let [bad, good] = blocks(rule.page, "yaml")[..] else {
            wrong.push(format!("{}: a page has two plans", rule.name));
            continue;
        };
        let (bad, good) = (compiled(bad), compiled(good));
        let found = drawn(rule, &bad);
        let shown = blocks(rule.page, "text").first().copied().unwrap_or("");
        if std::env::var_os("UPDATE_PAGES").is_some() {
            let path = format!("{}/src/analysis/rules/{}.md", env!("CARGO_MANIFEST_DIR"), rule.name);
            std::fs::write(path, rule.page.replace(&format!("```text\n{shown}```"), &format!("```text\n{found}```"))).unwrap();
        } else if found.is_empty() || shown.trim_end() != found.trim_end() {
            wrong.push(format!("{}: the page shows\n{shown}and the plan gives\n{found}", rule.name));
        }
        if bad.findings.iter().any(|f| f.rule == rule.name && f.level != rule.level) {
            wrong.push(format!("{}: the table says {}", rule.name, rule.level.word()));
        }
        if found.is_empty() || good.findings.iter().any(|f| f.rule == rule.name || f.level == Level::Deny) {
            wrong.push(format!(
                "{}: found {} times in the first plan; in the second\n{}",
                rule.name,
                bad.findings.len(),
                human(&good.findings, &good.sources, Look::default())
            ));
        }
        if bad.findings.len() > 1 + usize::from(["objective-missed", "expired-allow"].contains(&rule.name)) {
            wrong.push(format!("{}: more than this is wrong:\n{}", rule.name, human(&bad.findings, &bad.sources, Look::default())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_table_is_in_order() {
    // And nothing stands in it twice.
    assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
    for rule in TABLE {
        assert!(rule.page.starts_with(&format!("# `{}`\n", rule.name)), "{}", rule.name);
    }
}
