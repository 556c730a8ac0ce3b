//! Values of a plan that would be obeyed as text: as a program, as SQL, as an option, as another path. It looks at the
//! fields of one action as they are written, since a value that is filled in is no longer seen.

use super::places::references as places_of;
use super::program::{Reader, programs};
use super::scope::{Meaning, Scope, Spot};
use super::shapes::Shapes;
use crate::actions::template::{Part, marked, parts};
use crate::actions::{Action, Type};
use crate::diagnostic::Diagnostic;
use crate::model::ParamKind;
use crate::source::Span;
use crate::syntax::Node;

/// Fields of actions that are paths.
const PATHS: [(&str, &str); 5] =
    [("sqlite.backup", "to"), ("sqlite.restore", "backup"), ("postgres.dump", "to"), ("postgres.restore", "backup"), ("command", "cwd")];

/// Looks at the fields of an action.
pub fn look(shapes: &mut Shapes<'_, '_>, action: &Action, with: &Node<'_>) {
    if action.name == "command" {
        command(shapes, with);
    }
    if let Some(query) = with.get("query") {
        sql_field(shapes, action, with, query);
    }
    for (_, key) in PATHS.iter().filter(|(name, _)| *name == action.name) {
        if let Some(node) = with.get(key) {
            path(shapes, node, false);
        }
    }
}

/// One `${…}` of a text.
struct Value<'a> {
    /// What stands between its braces.
    path: &'a str,
    /// Where it stands.
    at: Span,
    /// What stands before it in the text.
    before: String,
}

/// The values in a text that mean something, in order.
fn values<'n>(shapes: &Shapes<'_, '_>, node: &'n Node<'_>) -> Vec<Value<'n>> {
    let Some(scalar) = node.scalar().filter(|s| marked(s.text)) else { return Vec::new() };
    let pieces = parts(scalar.text);
    let places = places_of(shapes.scope.sources, node.span, scalar.text);
    let (mut out, mut before, mut n) = (Vec::new(), String::new(), 0);
    for (_, piece) in &pieces {
        match piece {
            Part::Text(text) => before.push_str(text),
            Part::Unclosed(_) => {}
            Part::Ref(path) => {
                let at = places.as_ref().and_then(|all| all.get(n).copied()).unwrap_or(node.span);
                n += 1;
                if shapes.scope.meaning(path, shapes.spot).is_ok() {
                    out.push(Value { path, at, before: before.clone() });
                }
                before.push('…');
            }
        }
    }
    out
}

fn command(shapes: &mut Shapes<'_, '_>, with: &Node<'_>) {
    let items = with.get("argv").and_then(Node::list).unwrap_or(&[]);
    let stdin = with.get("stdin").filter(|n| n.scalar().is_some_and(|s| marked(s.text)));
    let holds = |n: &Node<'_>| n.scalar().is_some_and(|s| marked(s.text));
    if stdin.is_none() && !items.iter().any(holds) {
        return;
    }
    let argv: Vec<&str> = items.iter().map(|n| n.scalar().map_or("", |s| s.text)).collect();
    let found = programs(&argv);
    for &(n, reader, name) in &found.texts {
        program(shapes, &items[n], reader, &items[name], Some(items.len() - n - 1));
    }
    if let (Some((reader, name)), Some(stdin)) = (found.stdin, stdin) {
        program(shapes, stdin, reader, &items[name], None);
    }
    // What stands behind a program's text is handed to it as it is.
    let last_text = found.texts.iter().map(|(n, ..)| *n).max();
    // Programs that do nothing but print what they are given.
    let mut ended = matches!(argv.first(), Some(&"echo" | &"printf"));
    for (n, item) in items.iter().enumerate() {
        let of_program = last_text.is_some_and(|last| n >= last);
        if holds(item) && !of_program {
            word(shapes, n, item, ended || n > 0 && argv[n - 1].starts_with('-'));
            path(shapes, item, true);
        }
        ended |= argv[n] == "--";
    }
}

/// A text that is read as a program; `behind`: how many arguments stand behind it, none on standard input.
fn program(shapes: &mut Shapes<'_, '_>, text: &Node<'_>, reader: Reader, name: &Node<'_>, behind: Option<usize>) {
    let all = values(shapes, text);
    let command = name.scalar().map_or("", |s| s.text);
    for (n, value) in all.iter().enumerate() {
        let sql = matches!(reader, Reader::Psql | Reader::Sql | Reader::Clickhouse);
        let (rule, what) = match reader {
            Reader::Shell | Reader::Remote => ("shell-injection", "a shell would read the value of"),
            _ if sql => ("sql-injection", "the database would read the value of"),
            _ => ("code-injection", "an interpreter would read the value of"),
        };
        let headline = format!("{what} `{}` as a part of its program", value.path);
        let label = "a quote or a `;` in it is obeyed";
        let label = if sql { "a quote in it begins another statement" } else { label };
        let found = Diagnostic::deny(rule, headline, value.at, label);
        let who = match reader {
            _ if behind.is_none() => format!("`{command}` reads its standard input as a program"),
            Reader::Remote => format!("`{command}` hands the rest to a shell at the other end"),
            _ => format!("`{command}` reads that text as a program"),
        };
        shapes.findings.push(found.also(name.span, who).help(instead(reader, n, value.path, &all, behind)));
    }
}

/// What to type, so that the value stays a value.
fn instead(reader: Reader, n: usize, path: &str, all: &[Value<'_>], behind: Option<usize>) -> String {
    let name: String = path.rsplit('.').next().unwrap_or("value").chars().map(|c| if c == '-' { '_' } else { c }).collect();
    let values: Vec<String> = all.iter().map(|v| format!("\"${{{}}}\"", v.path)).collect();
    let values = values.join(", ");
    let Some(behind) = behind else {
        return match reader {
            Reader::Psql => format!("write `:'{name}'` in its place, and add to `argv`: `-v, \"{name}=${{{path}}}\"`"),
            Reader::Shell => format!("write `\"${}\"` in its place, and end `argv` with `-s, --, {values}`", n + 1),
            _ => "put the text into a file of its own, which takes the value as an argument".to_owned(),
        };
    };
    let number = n + behind + 1;
    match reader {
        Reader::Shell if behind == 0 => format!("write `\"${}\"` in its place, and add to `argv` behind the text: `sh, {values}`", n + 1),
        Reader::Shell => format!("write `\"${}\"` in its place, and add it at the end of `argv`: `\"${{{path}}}\"`", n + behind),
        Reader::Remote => format!("write `stdin: \"${{{path}}}\"`, and read it there: `'read -r {name}; … \"${name}\"'`"),
        Reader::Python => format!("write `sys.argv[{number}]` in its place (`import sys`), and add to `argv`: `\"${{{path}}}\"`"),
        Reader::Perl => format!("write `$ARGV[{}]` in its place, and add to `argv`: `\"${{{path}}}\"`", number - 1),
        Reader::Ruby => format!("write `ARGV[{}]` in its place, and add to `argv`: `\"${{{path}}}\"`", number - 1),
        Reader::Node => format!("write `process.env.{name}` in its place, and `env: {{ {name}: \"${{{path}}}\" }}` beside `argv`"),
        Reader::Php => format!("write `getenv('{name}')` in its place, and `env: {{ {name}: \"${{{path}}}\" }}` beside `argv`"),
        Reader::Lua => format!("write `os.getenv('{name}')` in its place, and `env: {{ {name}: \"${{{path}}}\" }}` beside `argv`"),
        Reader::Awk => {
            format!("write `ENVIRON[\"{name}\"]` in its place (in `awk`), and `env: {{ {name}: \"${{{path}}}\" }}` beside `argv`")
        }
        Reader::Jq => format!("write `${name}` in its place, and add to `argv` before the text: `--arg, {name}, \"${{{path}}}\"`"),
        Reader::Psql => format!(
            "use `postgres.query` with `params: [\"${{{path}}}\"]`, and `$1` in the query; or give `psql` the text on `stdin` with `:'{name}'` in it, and in `argv`: `-v, \"{name}=${{{path}}}\"`"
        ),
        Reader::Sql => format!(
            "put the statement into a program of its own, which binds it, and give that the value: `argv: [./statement, \"${{{path}}}\"]`"
        ),
        Reader::Clickhouse => format!("write `{{{name}:String}}` in its place, and add to `argv`: `\"--param_{name}=${{{path}}}\"`"),
    }
}

/// A query of an action.
fn sql_field(shapes: &mut Shapes<'_, '_>, action: &Action, with: &Node<'_>, query: &Node<'_>) {
    let all = values(shapes, query);
    let bound = action.fields.iter().any(|f| f.name == "params" && matches!(f.kind, Type::List(_)));
    let given = with.get("params").and_then(Node::list).map_or(0, <[Node<'_>]>::len);
    for (n, value) in all.iter().enumerate() {
        let path = value.path;
        let headline = format!("the database would read the value of `{path}` as a part of the query");
        let found = Diagnostic::deny("sql-injection", headline, value.at, "a quote in it begins another statement");
        shapes.findings.push(match bound {
            true => {
                let quotes = if value.before.ends_with('\'') { ", without quotes" } else { "" };
                found.help(format!("write `${}` in its place{quotes}, and `params: [\"${{{path}}}\"]` beside `query`", given + n + 1))
            }
            false => found.help(format!("let the query find the value, and compare it here: `expect: {{ at_least: \"${{{path}}}\" }}`")),
        });
    }
}

/// A word of a command that begins with a value: an option if it begins with `-`, another program if it is the first.
fn word(shapes: &mut Shapes<'_, '_>, n: usize, item: &Node<'_>, guarded: bool) {
    let all = values(shapes, item);
    let Some(value) = all.first().filter(|v| v.before.is_empty() && free(shapes, v.path, Begins::Dash)) else { return };
    let path = value.path;
    if n == 0 {
        let headline = format!("the value of `{path}` decides which program is started");
        let label = "whoever gives it can start any program";
        let found = Diagnostic::warn("program-from-value", headline, value.at, label);
        return shapes.findings.push(found.help(match path.strip_prefix("params.") {
            Some(name) => format!("write the program itself; or say which may be meant: `enum: [ … ]` at parameter `{name}`"),
            None => "write the program itself, and give it the value as an argument".to_owned(),
        }));
    }
    if guarded {
        return;
    }
    let headline = format!("the value of `{path}` may be read as an option");
    let found = Diagnostic::warn("option-injection", headline, value.at, "with a `-` at its beginning it is one");
    shapes.findings.push(found.help(match path.strip_prefix("params.") {
        Some(name) => format!("write `--` before it, if the program knows that; or `pattern: \"^[A-Za-z0-9]\"` at parameter `{name}`"),
        None => "write `--` before it, if the program knows that; or give it behind its own option: `--name`".to_owned(),
    }));
}

/// A path with a value in it, which may lead elsewhere.
fn path(shapes: &mut Shapes<'_, '_>, node: &Node<'_>, of_command: bool) {
    for value in values(shapes, node) {
        let begins = !of_command || value.before.starts_with('/') || value.before.starts_with("./");
        if !begins || !value.before.ends_with('/') || value.before.contains("://") || !free(shapes, value.path, Begins::Any) {
            continue;
        }
        let headline = format!("the value of `{}` may lead out of `{}`", value.path, value.before);
        let label = "`..` in it leads elsewhere; empty, it is the directory";
        let found = Diagnostic::warn("path-from-value", headline, value.at, label);
        shapes.findings.push(found.help(match value.path.strip_prefix("params.") {
            Some(name) => format!("say what it may be: `pattern: \"^[A-Za-z0-9_-]+$\"` or `enum: [ … ]` at parameter `{name}`"),
            None => "let the step before give the whole path, or use a parameter with a `pattern`".to_owned(),
        }));
    }
}

/// What a value may begin with, to be dangerous.
#[derive(Clone, Copy, PartialEq)]
enum Begins {
    /// `-`.
    Dash,
    /// Anything: nothing but a pattern or a list bounds it.
    Any,
}

/// Whether nothing that is declared bounds a value.
fn free(shapes: &Shapes<'_, '_>, path: &str, begins: Begins) -> bool {
    let scope: &Scope<'_> = shapes.scope;
    if let Some(name) = path.strip_prefix("params.") {
        let texts = scope.params.get(name).is_some_and(|p| p.kind == ParamKind::String);
        let node = scope.declared.and_then(|d| d.get(name));
        let pattern = node.and_then(|n| n.get("pattern")).and_then(Node::scalar).map(|s| s.text);
        let listed = node.and_then(|n| n.get("enum")).and_then(Node::list);
        let listed = listed.is_some_and(|all| !all.iter().any(|v| v.scalar().is_some_and(|s| s.text.starts_with('-'))));
        let bounded = pattern.is_some_and(|p| begins == Begins::Any || !may_begin_with_dash(p));
        return texts && !listed && !bounded;
    }
    match (scope.meaning(path, shapes.spot), shapes.spot) {
        (Ok(Meaning::Output(step, output)), Spot::Step { steps, .. }) => {
            let Some(head) = steps.get(step.as_str()) else { return false };
            let known = head.action.and_then(|a| a.outputs.iter().find(|o| o.name == output));
            let said = ["outputs", "with"].iter().find_map(|key| {
                let all = head.node.get(key)?;
                let all = if *key == "with" { all.get("record")? } else { all };
                all.get(&output)
            });
            let word = said.and_then(|n| n.get("type")).and_then(Node::scalar).map_or("string", |s| s.text);
            match known {
                Some(output) => matches!(output.kind, Type::Text | Type::Any),
                None => word == "string" && said.is_none_or(|n| n.get("enum").is_none()),
            }
        }
        _ => false,
    }
}

/// Whether a text that matches may begin with `-`: only what is surely otherwise says no.
fn may_begin_with_dash(pattern: &str) -> bool {
    let Some(rest) = pattern.strip_prefix('^').filter(|_| !pattern.contains("|-")) else { return true };
    let rest = rest.trim_start_matches(['(', '?', ':']);
    match rest.strip_prefix('[') {
        Some(class) => {
            let class = class.split(']').next().unwrap_or("");
            class.starts_with(['^', '-']) || class.ends_with('-') || class.contains("\\-")
        }
        None => rest.starts_with(['-', '.', '$']) || rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::may_begin_with_dash;

    #[test]
    fn patterns_that_shut_a_dash_out() {
        for pattern in ["^Z[A-Z0-9]+$", "^[a-z][a-z0-9-]*$", "^(a|b)$", "^(?:x)"] {
            assert!(!may_begin_with_dash(pattern), "{pattern}");
        }
        for pattern in ["[a-z]+", "^[a-z-]+$", "^[^a]", "^.*$", "^-", "^"] {
            assert!(may_begin_with_dash(pattern), "{pattern}");
        }
    }
}
