//! Every action's manual page says what its record says.

use drplan::actions::{self, Action, Field, Type};

fn kind(kind: &Type) -> String {
    match kind {
        Type::Text => "text".to_owned(),
        Type::Secret => "text that may hold a secret".to_owned(),
        Type::Int => "whole number".to_owned(),
        Type::Bool => "true or false".to_owned(),
        Type::Duration => "duration".to_owned(),
        Type::Size => "size".to_owned(),
        Type::Time => "time".to_owned(),
        Type::Moment => "time, or `latest`".to_owned(),
        Type::Url => "address".to_owned(),
        Type::Word(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
        Type::Matcher => "matcher".to_owned(),
        Type::Matchers => "dotted paths to matchers".to_owned(),
        Type::List(inner) => format!("list of {}", self::kind(inner)),
        Type::Map(inner) => format!("names to {}", self::kind(inner)),
        Type::Record(_) => "these fields:".to_owned(),
        Type::Call => "action: `{uses, with}`".to_owned(),
        Type::Any => "any value".to_owned(),
        Type::AnySecret => "any value that may hold a secret".to_owned(),
        Type::Id => "id".to_owned(),
        Type::Pattern => "regular expression".to_owned(),
        other => format!("{other:?}"),
    }
}

fn rows(prefix: &str, fields: &[Field], out: &mut String) {
    for field in fields {
        let default = match (field.required, field.default) {
            (true, _) => "required".to_owned(),
            (false, Some(value)) => format!("`{value}`"),
            (false, None) => "none".to_owned(),
        };
        out.push_str(&format!("| `{prefix}{}` | {} | {default} | {} |\n", field.name, kind(&field.kind), field.doc));
        match field.kind {
            Type::Record(inner) => rows(&format!("{prefix}{}.", field.name), inner, out),
            Type::Map(&Type::Record(inner)) => rows(&format!("{prefix}{}.NAME.", field.name), inner, out),
            _ => {}
        }
    }
}

fn fields(action: &Action) -> String {
    if action.fields.is_empty() {
        return "None.\n".to_owned();
    }
    let mut out = "| field | holds | default | meaning |\n|---|---|---|---|\n".to_owned();
    rows("", action.fields, &mut out);
    out
}

fn outputs(action: &Action) -> String {
    if action.outputs.is_empty() {
        return "None of its own.\n".to_owned();
    }
    let mut out = "| output | holds | meaning |\n|---|---|---|\n".to_owned();
    for output in action.outputs {
        out.push_str(&format!("| `{}` | {} | {} |\n", output.name, kind(&output.kind), output.doc));
    }
    out
}

/// What stands under a heading.
fn section<'p>(page: &'p str, heading: &str) -> Option<&'p str> {
    let start = page.find(&format!("\n## {heading}\n\n"))? + heading.len() + 6;
    let rest = &page[start..];
    Some(rest.find("\n## ").map_or(rest, |end| &rest[..end]))
}

#[test]
fn every_page_says_what_its_record_says() {
    let mut wrong = Vec::new();
    for action in actions::all() {
        if !action.page.starts_with(&format!("# `{}`\n\n", action.name)) {
            wrong.push(format!("{}: the page begins with another name", action.name));
        }
        for heading in ["Effect", "Undo", "By hand", "Example"] {
            if section(action.page, heading).is_none_or(|text| text.trim().is_empty()) {
                wrong.push(format!("{}: nothing stands under {heading}", action.name));
            }
        }
        for (heading, wanted) in [("Fields", fields(action)), ("Outputs", outputs(action))] {
            let found = section(action.page, heading).unwrap_or_default();
            if found != wanted {
                wrong.push(format!("{}: {heading} must be\n{wanted}", action.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_sorted_and_finds_each_action() {
    let names: Vec<&str> = actions::all().iter().map(|a| a.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    for name in names {
        assert_eq!(actions::find(name).map(|a| a.name), Some(name));
    }
    assert!(actions::find("postgres.promot").is_none());
}
