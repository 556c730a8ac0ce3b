//! Plants one breach of every kind into a small house and sees that the checker finds it, at its line, and that the
//! same thing done rightly passes.

use super::laws::{BANS, LONG, ROOMS, broken};
use super::scan::File;

/// What is found in one file that stands at `path`, after a good `//!` line: so the planted text begins at line 2.
fn found(path: &str, text: &str) -> Vec<String> {
    broken(&[File::read(path, &format!("//! A planted file.\n{text}"))])
}

#[track_caller]
fn caught(path: &str, text: &str, words: &str) {
    let found = found(path, text);
    let here = format!("{path}:2: ");
    assert!(found.iter().any(|f| f.starts_with(&here) && f.contains(words)), "{text:?} in {path} should give {words:?}: {found:#?}");
}

#[track_caller]
fn passes(path: &str, text: &str) {
    let found = found(path, text);
    assert!(found.is_empty(), "{text:?} in {path} is right, but: {found:#?}");
}

const NO_GRAPH: &str = "`source` must not see `graph`";

#[test]
fn an_arrow_is_caught_wherever_it_stands() {
    for text in [
        "use crate::graph::Graph;",
        "use crate::graph;",
        "use crate::graph::*;",
        "use crate::{source::Span, graph::Graph};",
        "use {crate::{source::Span, graph::{Graph, Other}}};",
        "use crate::graph::Graph as Span;",
        "use ::drplan::graph::Graph;",
        "use drplan::graph::Graph;",
        "use super::graph::Graph;",
        "use super::{graph::Graph};",
        "fn f() { use crate::graph::Graph; }",
        "fn f() { crate::graph::build(); }",
        "fn f() { let x = &crate::graph::LIMIT; }",
        "fn f() { super::graph::build(); }",
        "fn f(g: &crate::graph::Graph) {}",
        "fn f() -> Vec<crate::graph::Graph> { Vec::new() }",
        "fn f() where crate::graph::Graph: Clone {}",
        "fn f() { <crate::graph::Graph as Clone>::clone }",
        "impl crate::graph::Visitor for X {}",
        "struct X { g: Option<Box<crate::graph::Graph>> }",
        "type X = crate::graph::Graph;",
        "fn f(x: X) { match x { crate::graph::Node::Step(_) => {} } }",
        "fn f() { println(vec![crate::graph::build()]) }",
        "fn f() { vec![1, { vec![super::graph::build()] }]; }",
        "fn f() { format!(\"{}\", crate::graph::LIMIT) }",
        "macro_rules! m { () => { $crate::graph::build() }; }",
        "macro_rules! m { () => { use $crate::graph::build; }; }",
        "pub use crate::graph::Graph;",
        "pub(crate) use crate::graph::Graph;",
        "pub(in crate::graph) fn f() {}",
        "#[serde(with = \"crate::graph::as_text\")] struct X;",
        "#[derive(crate::graph::Derive)] struct X;",
        "mod inner { use super::super::graph::Graph; }",
        "mod inner { mod deeper { fn f() { super::super::super::graph::build() } } }",
        "use crate as root; fn f() { root::graph::build() }",
        "use super as root; fn f() { root::graph::build() }",
    ] {
        caught("src/source/mod.rs", text, NO_GRAPH);
    }
    caught("src/source/deep.rs", "use super::super::graph::Graph;", NO_GRAPH);
    caught("src/source/deep.rs", "fn f() { super::super::graph::build() }", NO_GRAPH);
    caught("src/source/deep/deeper.rs", "use super::super::super::graph::Graph;", NO_GRAPH);
    caught("src/source.rs", "use super::graph::Graph;", NO_GRAPH);
}

#[test]
fn a_name_does_not_travel_unseen() {
    caught("src/source/mod.rs", "use crate::*;", "takes every room at once");
    caught("src/source/mod.rs", "use super::*;", "takes every room at once");
    caught("src/source/mod.rs", "use crate as root;", "takes every room at once");
    caught("src/source/mod.rs", "use crate::{self as root};", "takes every room at once");
    caught("src/source/mod.rs", "extern crate self as me;", "extern crate self as me");
    caught("src/source/mod.rs", "#[path = \"../graph/mod.rs\"] mod g;", "lets names travel unseen");
    caught("src/source/mod.rs", "#[cfg_attr(feature = \"aws\", path = \"../graph/mod.rs\")] mod g;", "lets names travel unseen");
    caught("src/source/mod.rs", "include!(\"../graph/mod.rs\");", "brings code from elsewhere");
    caught("src/graph/mod.rs", "#[macro_export] macro_rules! m { () => {} }", "lets names travel unseen");
    caught("src/source/mod.rs", "fn f() { crate::build() }", "is in no room");
    let lib = found("src/lib.rs", "pub mod graph;\npub use crate::graph::Graph;");
    assert!(lib.iter().any(|f| f.contains("hands nothing on")), "{lib:#?}");
}

#[test]
fn what_is_handed_on_is_an_arrow_to_where_it_comes_from() {
    // `execute` may see `analysis`, but not `source`, which `analysis` hands on here.
    let house = |hands: &str, takes: &str| {
        broken(&[
            File::read("src/analysis/mod.rs", &format!("//! One.\n{hands}")),
            File::read("src/execute/mod.rs", &format!("//! Two.\n{takes}")),
        ])
    };
    let words = "src/execute/mod.rs:2: `execute` must not see `source`, of which";
    for (hands, takes) in [
        ("pub use crate::source::Span;", "use crate::analysis::Span;"),
        ("pub use crate::source::Span as Place;", "use crate::analysis::Place;"),
        ("pub use crate::source::*;", "use crate::analysis::Span;"),
        ("pub use crate::{source::Span};", "fn f() -> crate::analysis::Span {}"),
        ("pub use crate::source::Span;", "use crate::analysis::*;"),
        ("pub use crate::source;", "fn f() { crate::analysis::source::line() }"),
    ] {
        let found = house(hands, takes);
        assert!(found.iter().any(|f| f.starts_with(words)), "{hands:?} then {takes:?}: {found:#?}");
    }
    assert_eq!(house("pub use crate::model::Plan;", "use crate::analysis::Plan;"), Vec::<String>::new());
    assert_eq!(house("use crate::source::Span;", "use crate::analysis::Checked;"), Vec::<String>::new());
}

#[test]
fn what_is_right_passes() {
    passes("src/graph/mod.rs", "use crate::model::{Compiled, Node};\nuse std::collections::BTreeMap;");
    passes("src/graph/deep.rs", "use super::Graph;\nfn f() { super::build(crate::graph::LIMIT) }");
    passes("src/graph/mod.rs", "mod inner { use super::Graph; use super::super::model::Plan; }");
    passes("src/graph/mod.rs", "pub(crate) fn f() -> impl Iterator + use<'static> { 0..model }");
    passes("src/graph/mod.rs", "/// Like [`crate::render::Graph`] and `println!`.\nfn f() {}");
    passes("src/bin/drplan/check.rs", "use drplan::render;\nuse crate::output;\nuse super::exit;\nfn f() { println!() }");
    passes("src/source/mod.rs", "#[cfg(test)]\nmod tests { use super::*; fn f() { Some(1).unwrap(); crate::compile::compile(); } }");
    passes("src/source/mod.rs", "fn f(env: X) { env.fs; self.unwrap_or(1); x.unwrap; }");
}

#[test]
fn tests_may_compile_a_plan_and_no_more() {
    caught("src/render/mod.rs", "#[cfg(test)] mod tests { use crate::execute::Driver; }", "`render` must not see `execute`");
    caught("src/source/mod.rs", "#[cfg(not(test))] mod m { use crate::compile::compile; }", "`source` must not see `compile`");
    caught("src/source/mod.rs", "#[cfg(test)] use a::b; use crate::compile::compile;", "`source` must not see `compile`");
    caught("src/source/mod.rs", "#[cfg(test)] fn a() {} fn b() { Some(1).unwrap() }", ".unwrap");
    caught("src/source/mod.rs", "#[cfg(feature = \"latest\")] fn b() { Some(1).unwrap() }", ".unwrap");
    let apart = [
        File::read("src/source/mod.rs", "//! One.\n#[cfg(test)]\nmod tests;"),
        File::read("src/source/tests.rs", "//! Two.\nfn f() { Some(1).unwrap(); crate::compile::compile(); }"),
    ];
    assert_eq!(broken(&apart), Vec::<String>::new());
    assert_eq!(broken(&apart[1..]).len(), 2, "without `#[cfg(test)] mod tests;` it is code like any other");
}

#[test]
fn every_ban_barks_where_it_holds_and_only_there() {
    for ban in BANS {
        let text = match ban.name {
            name if name.ends_with('!') => format!("fn f() {{ {}(1) }}", name),
            name if name.starts_with('.') => format!("fn f() {{ x{name}() }}"),
            name if name.starts_with(char::is_uppercase) => format!("fn f() {{ x.map({name}) }}"),
            name => format!("use {name};"),
        };
        // A room that no ban's list names.
        caught("src/source/planted.rs", &text, ban.why);
        caught("src/source/planted.rs", &format!("fn g() {{ vec![{{ {text} }}] }}"), ban.why);
        for place in ban.only {
            let path = format!("src/{}/planted.rs", place.replace("crate::", "").replace("bin", "bin/drplan").replace("::", "/"));
            passes(&path, &text);
        }
    }
}

#[test]
fn a_ban_sees_through_other_names() {
    for text in [
        "use std::{fmt, env};",
        "fn f() { std::env::var(\"HOME\") }",
        "fn f() { ::std::env::var(\"HOME\") }",
        "fn f() { format!(\"{:?}\", std::env::var(\"HOME\")) }",
        "use std as s; fn f() { s::env::var(\"HOME\") }",
        "use std::*;",
        "use std::env::var;",
    ] {
        caught("src/graph/mod.rs", text, "reads the environment");
    }
    caught("src/graph/mod.rs", "use std::time; fn f() { time::Instant::now() }", "reads a clock");
    caught("src/graph/mod.rs", "use std::time::*;", "reads a clock");
    caught("src/graph/mod.rs", "use jiff::Timestamp; fn f() { Timestamp::now() }", "reads a clock");
    caught("src/graph/mod.rs", "use jiff::Timestamp as T; fn f() { T::now() }", "reads a clock");
    caught("src/graph/mod.rs", "use jiff as j; use j::Timestamp as T; fn f() { T::now() }", "reads a clock");
    caught("src/graph/mod.rs", "fn f() { std::println!(\"x\") }", "prints");
    caught("src/world/mod.rs", "use reqwest::Client;", "only world::real may");
    caught("src/model/mod.rs", "#[cfg(test)] mod tests { use granit_parser::Parser; }", "only syntax may");
    passes("src/graph/mod.rs", "use std::time::Duration;\nuse jiff::Timestamp;");
}

#[test]
fn a_file_has_its_shape() {
    let bare = broken(&[File::read("src/graph/x.rs", "use std::fmt;\n")]);
    assert!(bare.iter().any(|f| f.contains("without a `//!` sentence")), "{bare:#?}");
    let long = found("src/graph/x.rs", &"fn f() {}\n".repeat(500));
    assert!(long.iter().any(|f| f.contains("more than 500 lines")), "{long:#?}");
    let named = found("src/graph/utils.rs", "");
    assert!(named.iter().any(|f| f.contains("says nothing")), "{named:#?}");
    if let Some((listed, _)) = LONG.first() {
        let stale = found(listed, "");
        assert!(stale.iter().any(|f| f.contains("not long any more")), "{stale:#?}");
    }
    assert!(ROOMS.len() > 10, "the table of rooms is the one thing that everything here stands on");
}
