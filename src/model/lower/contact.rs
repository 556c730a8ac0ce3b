//! People and channels: where the program tells them that a run waits, and who is told next. It tells nobody.

use super::{Lower, Named};
use crate::actions::template::marked;
use crate::diagnostic::Diagnostic;
use crate::model::scope::Spot;
use crate::model::{Contact, Escalate};
use crate::syntax::{Entry, Node};

impl<'t> Lower<'_, 't> {
    pub(super) fn contact(&mut self, entry: &Entry<'t>) -> Contact {
        let node = &entry.value;
        let (webhook, email) = (self.channel(node, "webhook"), self.channel(node, "email"));
        let site = self.name_in(node, "site", Named::Site);
        let escalate = node.get("escalate").and_then(|next| {
            let to = self.name_in(next, "to", Named::Contact)?;
            Some(Escalate { to, after_ms: self.duration(next, "after")? })
        });
        let field = |key| self.text(node, key);
        Contact { title: field("title"), reach: field("reach"), phone: field("phone"), webhook, email, site, escalate }
    }

    /// An address, with what only a run knows still in it.
    fn channel(&mut self, node: &Node<'_>, key: &str) -> Option<String> {
        let typed = node.get(key)?;
        let address = self.scope.fill(typed.scalar()?.text, Spot::Plan).as_str()?.to_owned();
        let (good, help) = match key {
            "webhook" => (["http://", "https://", "${"].iter().any(|start| address.starts_with(start)), "write `https://HOST/PATH`"),
            _ => (marked(&address) || mail_address(&address), "write `NAME@HOST`"),
        };
        if !good {
            let found = Diagnostic::deny("bad-value", format!("this is no address for `{key}`"), typed.span, "nobody is told there");
            self.findings.push(found.help(help));
        }
        good.then_some(address)
    }

    /// Nobody is told in a circle, and who is told next can be told.
    pub(super) fn escalations(&mut self) {
        for (id, contact) in &self.plan.contacts {
            let Some(escalate) = &contact.escalate else { continue };
            let at = self.places.escalations[id].value("to");
            let next = &self.plan.contacts.get(&escalate.to);
            if next.is_some_and(|next| next.webhook.is_none() && next.email.is_none()) {
                let headline = format!("`{}` cannot be told by the program", escalate.to);
                let found = Diagnostic::deny("escalate-nowhere", headline, at, "nobody would hear of it");
                self.findings.push(found.help(format!("give `{}` a `webhook` or an `email`", escalate.to)));
            }
            let mut seen = vec![id];
            let mut last = Some(escalate);
            while let Some(step) = last {
                if step.to == *id {
                    let headline = format!("`{id}` is told because nobody answers `{id}`");
                    let found = Diagnostic::deny("cycle", headline, at, "this leads back to it");
                    self.findings.push(found.help("leave one `escalate` out"));
                    return;
                }
                if seen.contains(&&step.to) {
                    break;
                }
                seen.push(&step.to);
                last = self.plan.contacts.get(&step.to).and_then(|c| c.escalate.as_ref());
            }
        }
    }
}

/// One name at one host, and nothing that a mail's head would read as more.
fn mail_address(text: &str) -> bool {
    let sane = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;@".contains(c));
    text.split_once('@').is_some_and(|(name, host)| sane(name) && sane(host))
}
