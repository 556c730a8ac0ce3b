//! Findings as workflow commands of GitHub Actions, which draws them beside the changed lines.

use super::excerpt::plain;
use super::{Judged, once, place, words};
use crate::diagnostic::Level;

/// One command a line: `::error file=…,line=…,endLine=…,col=…,title=…::…`.
pub fn github(all: &[Judged<'_>]) -> String {
    let mut out = String::new();
    for judged in all {
        if let Some(why) = judged.unread {
            out.push_str(&format!("::error file={}::{}\n", property(judged.plan), message(&format!("cannot read the plan: {why}"))));
        }
    }
    // What a plan allows is nobody's task.
    for (judged, found, _) in once(all).into_iter().filter(|(_, found, _)| found.level != Level::Allow) {
        let at = place(found.span(), judged.sources);
        let level = match found.level {
            Level::Deny => "error",
            Level::Warn | Level::Allow => "warning",
        };
        // Columns are taken only where both ends stand on one line.
        let columns = if at.start.0 == at.end.0 { format!(",col={},endColumn={}", at.start.1, at.end.1) } else { String::new() };
        out.push_str(&format!(
            "::{level} file={},line={},endLine={}{columns},title={}::{}\n",
            property(at.file),
            at.start.0,
            at.end.0,
            property(&format!("drplan: {}", found.rule)),
            message(&words(found, judged.sources)),
        ));
    }
    out
}

/// What stands behind the last `::`: a line break would end the command.
fn message(text: &str) -> String {
    let escaped = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    plain(&escaped)
}

/// What stands behind a `=`.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_a_command_or_begins_one() {
        assert_eq!(message("100 %\r\n::error::x\u{1b}[2J"), "100 %25%0D%0A::error::x\u{fffd}[2J");
        assert_eq!(property("a,b=c:d"), "a%2Cb=c%3Ad");
    }
}
