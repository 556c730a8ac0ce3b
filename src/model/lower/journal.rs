//! The journal that a plan names. It does not open it, and does not know which servers are built in.

use super::{Lower, Named};
use crate::diagnostic::Diagnostic;
use crate::model::JournalRef;
use crate::syntax::Node;

impl<'t> Lower<'_, 't> {
    /// The section `journal`, if there is one.
    pub(super) fn journal(&mut self, node: &Node<'_>) -> Option<JournalRef> {
        node.map()?;
        let url = node.get("url").and_then(|at| Some((at, self.typed(at)?.into_owned())));
        let site = self.name_in(node, "site", Named::Site);
        if let Some((at, url)) = &url {
            let wrong = if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
                let found = Diagnostic::deny("bad-value", "`url` is no address of a shared journal", at.span, "only PostgreSQL keeps one");
                Some(found.help("write it like `postgres://drplan@journal.example.com:5432/drplan`"))
            } else if holds_password(url) && !self.findings.iter().any(|f| at.span.start <= f.span().start && f.span().end <= at.span.end) {
                let found =
                    Diagnostic::deny("password-in-url", "the address of the journal holds a password", at.span, "everybody reads a plan");
                Some(found.help("leave it out here; give it where the plan is run, as PGPASSWORD or in ~/.pgpass"))
            } else {
                None
            };
            self.findings.extend(wrong);
        }
        let required = node.get("required").and_then(|at| self.typed(at)).is_some_and(|word| word == "true");
        Some(JournalRef { url: url.map(|(_, url)| url), site, required })
    }
}

/// `USER:PASSWORD@`, or `?password=`.
fn holds_password(url: &str) -> bool {
    let rest = url.split_once("//").map_or("", |(_, rest)| rest);
    let named = rest.split(['?', '&']).skip(1).any(|word| word.starts_with("password="));
    named || rest.rsplit_once('@').is_some_and(|(who, _)| who.contains(':'))
}
