//! The section `secrets`: where each is found. It does not fetch one.

use super::{Lower, Named};
use crate::actions::template::marked;
use crate::diagnostic::{Diagnostic, Edit};
use crate::model::{Secret, SecretSource};
use crate::syntax::{Entry, Node};

impl<'t> Lower<'_, 't> {
    /// Reads where a secret is found.
    pub(super) fn secret(&mut self, entry: &Entry<'t>) -> Option<Secret> {
        let node = &entry.value;
        let site = self.name_in(node, "site", Named::Site);
        let sources: Vec<&str> = ["env", "file", "command"].into_iter().filter(|k| node.get(k).is_some()).collect();
        node.map()?;
        let [source] = sources.as_slice() else {
            let name = &entry.key;
            let found = Diagnostic::deny(
                "secret-source",
                format!("secret `{name}` needs exactly one source"),
                entry.at,
                format!("{} are given", sources.len()),
            );
            self.findings.push(found.help("give one of `env: NAME`, `file: PATH`, `command: [PROGRAM, …]`"));
            return None;
        };
        let source = match *source {
            "env" => {
                let name = self.text(node, "env")?;
                self.variable(node, &name);
                SecretSource::Env(name)
            }
            "file" => {
                let path = self.text(node, "file")?;
                self.beside_the_plan(node, &path);
                SecretSource::File(path)
            }
            _ => SecretSource::Command(node.get("command")?.list()?.iter().filter_map(|n| self.text_of(n)).collect()),
        };
        Some(Secret { source, site })
    }

    /// The name of an environment variable, and nothing more.
    fn variable(&mut self, node: &Node<'_>, name: &str) {
        let Some(at) = node.get("env").map(|n| n.span) else { return };
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.starts_with(|c: char| inside(c) && !c.is_ascii_digit()) && name.chars().all(inside) {
            return;
        }
        let found = Diagnostic::deny("bad-variable", format!("`{name}` is not the name of a variable"), at, "letters, digits and `_` only");
        let bare = name.trim_start_matches(['$', '{']).trim_end_matches('}');
        let better: String = bare.to_ascii_uppercase().chars().map(|c| if inside(c) { c } else { '_' }).collect();
        let what = format!("write `{}`", if bare.chars().all(inside) { bare } else { &better });
        self.findings.push(match bare.chars().all(inside) && bare.len() < name.len() && !bare.is_empty() {
            true => found.help(&what).fix(what, [Edit::new(at, bare)]),
            false => found.help(what),
        });
    }

    /// A secret in the plan's own directory is one that goes wherever the plan goes.
    fn beside_the_plan(&mut self, node: &Node<'_>, path: &str) {
        let Some(at) = node.get("file").map(|n| n.span) else { return };
        if path.is_empty() || path.starts_with(['/', '~']) || marked(path) {
            return;
        }
        let found = Diagnostic::warn(
            "secret-in-repository",
            format!("the secret `{path}` lies beside the plan"),
            at,
            "a relative path stands in the plan's directory",
        );
        let name = path.trim_start_matches("./").rsplit('/').next().unwrap_or(path);
        self.findings
            .push(found.help(format!("keep it elsewhere, like `file: /run/secrets/{name}`; a plan's directory is under version control")));
    }
}
