//! Texts of a plan, made harmless for the document that they stand in: what a person wrote is shown, never obeyed.
//! It does not know what the texts mean.

use crate::source::{harmless, obeyed};

/// A text for people as Markdown on one line. Words between backticks become code; everything else is literal.
pub fn prose(text: &str) -> String {
    spans(text, false)
}

/// [`prose`] for a cell of a table, where a bar ends the cell even inside code.
pub fn cell(text: &str) -> String {
    spans(text, true)
}

/// A text as code inside [`prose`], whatever it holds.
pub fn code(text: &str) -> String {
    let text = line(text);
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.is_empty() || text.contains('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A fence that the content cannot close.
pub fn fence(content: &str) -> String {
    "`".repeat(longest_run(content).max(2) + 1)
}

/// A text on one line, without characters that a terminal or a browser would obey.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            c if obeyed(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

/// A block of commands, as it stands but for characters that a terminal would obey.
pub fn block(text: &str) -> String {
    harmless(text.trim_end())
}

/// A text as the inside of a Mermaid string: all but plain characters as their number, cut to a readable length.
pub fn mermaid(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " .,:/-_+=()".contains(c);
    let mut out = String::new();
    for c in short(&line(text), 60).chars() {
        if plain(c) { out.push(c) } else { out.push_str(&format!("#{};", c as u32)) }
    }
    out
}

/// A text as the inside of an HTML or SVG element or attribute.
pub fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in line(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A text as the inside of a DOT string.
pub fn dot(text: &str) -> String {
    line(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// At most `max` characters, the last an ellipsis if some are missing.
pub fn short(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max - 1).collect();
    cut.truncate(cut.trim_end().len());
    cut + "…"
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// As CommonMark reads code: a run of backticks is closed by the next run of the same length, or it is no code.
fn spans(text: &str, in_table: bool) -> String {
    let text = line(text);
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find('`') {
        literal(&rest[..start], &mut out);
        let run = ticks(&rest[start..]);
        let inside = &rest[start + run..];
        match closing(inside, run).map(|end| (end, shortest(&inside[..end]))) {
            // A line that begins with three of them would begin a block for many a reader.
            Some((end, ticks)) if ticks < 3 || !out.is_empty() => {
                let (code, ticks) = (&inside[..end], "`".repeat(ticks));
                let code = if in_table { code.replace('|', "\\|") } else { code.to_owned() };
                out.push_str(&format!("{ticks}{code}{ticks}"));
                rest = &inside[end + run..];
            }
            _ => {
                out.push_str(&"\\`".repeat(run));
                rest = inside;
            }
        }
    }
    literal(rest, &mut out);
    out
}

/// Where the next run of exactly `run` backticks begins.
fn closing(text: &str, run: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`').map(|i| i + at) {
        let len = ticks(&text[found..]);
        if len == run {
            return Some(found);
        }
        at = found + len;
    }
    None
}

/// The fewest backticks that no run inside of a code is as long as.
fn shortest(code: &str) -> usize {
    let runs: Vec<usize> = code.split(|c| c != '`').map(str::len).collect();
    (1..).find(|n| !runs.contains(n)).unwrap_or(1)
}

fn ticks(text: &str) -> usize {
    text.len() - text.trim_start_matches('`').len()
}

fn literal(text: &str, out: &mut String) {
    let start = out.is_empty();
    if start && begins_a_block(text) {
        let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        out.push_str(&text[..at]);
        out.push('\\');
        return inline(&text[at..], out);
    }
    inline(text, out);
}

/// Whether Markdown would read the start of a line as a list, a rule or an underline: `- x`, `1. x`, `---`, `==`.
fn begins_a_block(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let mark = if rest.len() < text.len() { rest.strip_prefix(['.', ')']) } else { text.strip_prefix(['-', '+', '=']) };
    mark.is_some_and(|after| after.is_empty() || after.starts_with([' ', '-', '=']))
}

fn inline(text: &str, out: &mut String) {
    let chars: Vec<char> = text.chars().collect();
    for (i, &c) in chars.iter().enumerate() {
        let word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Inside a word an underscore is only an underscore.
            '_' if word(i.checked_sub(1).and_then(|i| chars.get(i))) && word(chars.get(i + 1)) => out.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_keeps_code_and_defuses_the_rest() {
        assert_eq!(prose("Promote `db` at `us-west-2`"), "Promote `db` at `us-west-2`");
        assert_eq!(prose("a <b>x</b> & [y](z) *w* {{q}}"), "a &lt;b&gt;x&lt;/b&gt; &amp; \\[y\\](z) \\*w\\* \\{\\{q\\}\\}");
        assert_eq!(prose("max_lag _x_"), "max_lag \\_x\\_");
        assert_eq!(prose("- one\n- two"), "\\- one - two");
        assert_eq!(prose("1. one"), "1\\. one");
        assert_eq!(prose("+44 20 1"), "+44 20 1");
        assert_eq!(prose("1.5 times"), "1.5 times");
        assert_eq!(prose("--- x"), "\\--- x");
        assert_eq!(prose("# no heading"), "\\# no heading");
    }

    #[test]
    fn code_is_read_as_commonmark_reads_it() {
        assert_eq!(prose("a ` b"), "a \\` b");
        assert_eq!(prose("```\nrm -rf /\n```"), "` rm -rf / `");
        assert_eq!(prose("see ```` a```b ```` <i>"), "see ` a```b ` &lt;i&gt;");
        assert_eq!(prose("see ```` a`b``c ````"), "see ``` a`b``c ```");
        assert!(!prose("```` a`b``c ````").starts_with('`'));
        assert_eq!(prose("``` <i>"), "\\`\\`\\` &lt;i&gt;");
        assert_eq!(prose("`a`` <i>"), "\\`a\\`\\` &lt;i&gt;");
    }

    #[test]
    fn cells_survive_bars() {
        assert_eq!(cell("a|b `c|d`"), "a\\|b `c\\|d`");
        assert_eq!(prose("`c|d`"), "`c|d`");
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(line("a\u{1b}[31mred\u{202e}\r\nb"), "a\u{fffd}[31mred\u{fffd} b");
        assert_eq!(block("echo \u{1b}[2J\n\tx\n"), "echo \u{fffd}[2J\n\tx");
    }

    #[test]
    fn a_fence_is_longer_than_any_run_inside() {
        assert_eq!(fence("plain"), "```");
        assert_eq!(fence("a\n`````\nb"), "``````");
    }

    #[test]
    fn mermaid_and_dot_strings_cannot_be_left() {
        assert_eq!(mermaid("a\"]; click x `%%{init}%%`"), "a#34;#93;#59; click x #96;#37;#37;#123;init#125;#37;#37;#96;");
        assert_eq!(dot("a\"\\\nb"), "a\\\"\\\\ b");
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(xml("<a b=\"c\" d='e'>&\u{1b}"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;\u{fffd}");
    }
}
