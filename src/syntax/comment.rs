//! Comments that speak to this program; all others are for people, and are not kept.

use granit_parser::{Event, Options, Parser};

use crate::source::{SourceId, Span};

/// A comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comment<'a> {
    /// Where it stands, its `#` included.
    pub span: Span,
    /// What stands behind the `#`.
    pub text: &'a str,
    /// It has its line for itself.
    pub alone: bool,
}

/// The comments of a text that begin with a word, in order. A text in which the word stands behind no `#` is not read for it.
pub fn comments<'a>(source: SourceId, text: &'a str, word: &str) -> Vec<Comment<'a>> {
    if !text.match_indices(word).any(|(i, _)| text[..i].trim_end_matches([' ', '\t']).ends_with('#')) {
        return Vec::new();
    }
    let mut options = Options::default();
    options.set_emit_comments(true);
    options.emit_unresolved_aliases = true;
    let mut found = Vec::new();
    for event in Parser::new_from_str_with_options(text, options) {
        let Ok((event, span)) = event else { break };
        let (Event::Comment(..), Some(range)) = (event, span.byte_range()) else { continue };
        let Some(whole) = text.get(range.clone()) else { continue };
        let words = whole.trim_start_matches('#');
        if !words.trim_start().starts_with(word) {
            continue;
        }
        let line = text[..range.start].rfind('\n').map_or(0, |i| i + 1);
        let alone = text[line..range.start].trim().is_empty();
        let span = Span { source, start: range.start as u32, end: range.end as u32 };
        found.push(Comment { span, text: words.trim_end(), alone });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_are_comments() {
        let text = "# say: a\na: \"# say: b\" # say: c\nb: |\n  # say: d\n#say: e\nc: x#say: f # other\n";
        let found = comments(SourceId(0), text, "say:");
        let seen: Vec<(&str, bool)> = found.iter().map(|c| (c.text.trim(), c.alone)).collect();
        assert_eq!(seen, [("say: a", true), ("say: c", false), ("say: e", true)]);
        assert_eq!(&text[found[1].span.start as usize..found[1].span.end as usize], "# say: c");
    }
}
