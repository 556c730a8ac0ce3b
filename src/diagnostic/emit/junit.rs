//! Findings as JUnit XML, which every CI server shows: a plan is a suite, a rule that found something in it is a case, and a
//! plan in which nothing was found has one case that passed.

use std::collections::BTreeMap;

use super::excerpt::plain;
use super::{Judged, place, words};
use crate::diagnostic::Diagnostic;

/// One document.
pub fn junit(all: &[Judged<'_>]) -> String {
    let suites: Vec<Suite> = all.iter().map(suite).collect();
    let sum = |of: fn(&Suite) -> usize| suites.iter().map(of).sum::<usize>();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (tests, failures, errors) = (sum(|s| s.tests), sum(|s| s.failures), sum(|s| s.errors));
    out.push_str(&format!("<testsuites name=\"drplan check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n"));
    suites.iter().for_each(|suite| out.push_str(&suite.text));
    out.push_str("</testsuites>\n");
    out
}

struct Suite {
    text: String,
    tests: usize,
    failures: usize,
    errors: usize,
}

fn suite(judged: &Judged<'_>) -> Suite {
    let mut rules: BTreeMap<&str, Vec<&Diagnostic>> = BTreeMap::new();
    judged.findings.iter().for_each(|f| rules.entry(f.rule).or_default().push(f));
    let (mut cases, mut failures) = (String::new(), 0);
    for (rule, found) in &rules {
        let refusing = found.iter().filter(|f| judged.refuses(f)).count();
        failures += usize::from(refusing > 0);
        let said: Vec<String> = found.iter().map(|f| said(f, judged)).collect();
        let inner = match found.iter().find(|f| judged.refuses(f)) {
            Some(first) => {
                let more = if refusing > 1 { format!(" (and {} more)", refusing - 1) } else { String::new() };
                let message = attribute(&format!("{}{more}", first.headline));
                format!("<failure type=\"{}\" message=\"{message}\">{}</failure>", first.level.word(), content(&said.join("\n\n")))
            }
            // A warning is no failure; it is there to be read.
            None => format!("<system-out>{}</system-out>", content(&said.join("\n\n"))),
        };
        cases.push_str(&case(rule, judged.plan, &inner));
    }
    if let Some(why) = judged.unread {
        cases.push_str(&case("read", judged.plan, &format!("<error type=\"unread\" message=\"{}\"/>", attribute(why))));
    } else if rules.is_empty() {
        cases.push_str(&case("no findings", judged.plan, ""));
    }
    let errors = usize::from(judged.unread.is_some());
    let tests = (rules.len() + errors).max(1);
    let head = format!("name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"", attribute(judged.plan));
    Suite { text: format!("  <testsuite {head}>\n{cases}  </testsuite>\n"), tests, failures, errors }
}

fn case(name: &str, plan: &str, inner: &str) -> String {
    format!("    <testcase name=\"{}\" classname=\"{}\">{inner}</testcase>\n", attribute(name), attribute(plan))
}

fn said(found: &Diagnostic, judged: &Judged<'_>) -> String {
    let at = place(found.span(), judged.sources);
    format!("{}:{}:{}: {}", at.file, at.start.0, at.start.1, words(found, judged.sources))
}

/// Text between two tags. What XML cannot hold was made harmless.
fn content(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn attribute(text: &str) -> String {
    content(text).replace('"', "&quot;").replace('\n', " ")
}
