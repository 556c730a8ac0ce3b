//! What is wrong with a plan, as data. It does not know how a finding is drawn: that is `emit`.

pub mod emit;
pub mod repair;

use std::fmt;

use crate::source::Span;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The plan is refused.
    Deny,
    /// The plan is unwise.
    Warn,
    /// Known and allowed.
    Allow,
}

impl Level {
    /// The word that plans and outputs use.
    pub fn word(self) -> &'static str {
        match self {
            Level::Deny => "deny",
            Level::Warn => "warn",
            Level::Allow => "allow",
        }
    }
}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is wrong here, or what the other place has to do with it.
    pub text: String,
}

/// One edit of a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// What is taken out; nothing where its ends are the same.
    pub span: Span,
    /// What is put there.
    pub replacement: String,
}

impl Edit {
    /// Another text at a place.
    pub fn new(span: Span, replacement: impl Into<String>) -> Edit {
        Edit { span, replacement: replacement.into() }
    }

    /// Something before and something behind a place, which itself stays as it is.
    pub fn around(span: Span, before: &str, behind: &str) -> [Edit; 2] {
        [Edit::new(Span { end: span.start, ..span }, before), Edit::new(Span { start: span.end, ..span }, behind)]
    }
}

/// The one obvious repair of a finding: what a program may do without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What it does, as one imperative sentence without a full stop.
    pub what: String,
    /// The edits, which belong together.
    pub edits: Vec<Edit>,
}

/// One finding: a headline, what is wrong here, the other places, and what to type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule's name, as `policy` and `explain` take it.
    pub rule: &'static str,
    /// Its weight.
    pub level: Level,
    /// Lowercase, without a full stop, understandable alone.
    pub headline: String,
    /// The first is the finding's own place.
    pub labels: Vec<Label>,
    /// What to type instead.
    pub help: Option<String>,
    /// The repair that a program may make, where only one is meant.
    pub fix: Option<Fix>,
    /// Why the plan allows it, if it does.
    pub allowed: Option<String>,
}

impl Diagnostic {
    /// The one constructor: there is no finding without a place.
    pub fn new(rule: &'static str, level: Level, headline: impl Into<String>, span: Span, label: impl Into<String>) -> Self {
        let labels = vec![Label { span, text: label.into() }];
        Diagnostic { rule, level, headline: headline.into(), labels, help: None, fix: None, allowed: None }
    }

    /// A finding that refuses the plan.
    pub fn deny(rule: &'static str, headline: impl Into<String>, span: Span, label: impl Into<String>) -> Self {
        Self::new(rule, Level::Deny, headline, span, label)
    }

    /// A finding that leaves the plan usable.
    pub fn warn(rule: &'static str, headline: impl Into<String>, span: Span, label: impl Into<String>) -> Self {
        Self::new(rule, Level::Warn, headline, span, label)
    }

    /// Adds the other place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds other places, in their order.
    #[must_use]
    pub fn also_all(mut self, places: impl IntoIterator<Item = (Span, String)>) -> Self {
        self.labels.extend(places.into_iter().map(|(span, text)| Label { span, text }));
        self
    }

    /// Says what to type instead; the last call counts.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds the one obvious repair; the last call counts.
    #[must_use]
    pub fn fix(mut self, what: impl Into<String>, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.fix = Some(Fix { what: what.into(), edits: edits.into_iter().collect() });
        self
    }

    /// Says to write another word at the finding's own place; where nothing else can be meant, that is the repair.
    #[must_use]
    pub fn write(self, near: Near<'_>) -> Self {
        let (what, at) = (format!("write `{near}`"), self.span());
        let found = self.help(&what);
        if near.sure { found.fix(what, [Edit::new(at, near.word)]) } else { found }
    }

    /// The finding's own place.
    pub fn span(&self) -> Span {
        self.labels[0].span
    }
}

/// A name that a misspelt one may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near<'a> {
    /// The name.
    pub word: &'a str,
    /// Nothing else can be meant: a program may write it without asking.
    pub sure: bool,
}

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)
    }
}

/// Among more names than this only those are compared that begin alike.
const CROWD: usize = 250;
/// Longer texts are no names.
const LONGEST: usize = 200;

/// The name nearest to a misspelt one, if any is near enough to be meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<Near<'a>> {
    let near = |(d, k): &(usize, &str)| *d <= 1 + k.len().max(wrong.len()) / 4 || (wrong.len() > 2 && k.starts_with(wrong));
    // Words of very different lengths are never near, and are expensive to compare.
    let far = |k: &&str| k.len().abs_diff(wrong.len()) <= 1 + k.len().max(wrong.len()) / 4 || (wrong.len() > 2 && k.starts_with(wrong));
    let mut known: Vec<&str> = known.into_iter().filter(|k| wrong.len() < LONGEST && k.len() < LONGEST && far(k)).collect();
    if known.len() > CROWD {
        known.retain(|k| k.as_bytes().first() == wrong.as_bytes().first());
        known.truncate(CROWD * 4);
    }
    let mut all: Vec<(usize, &str)> = known.into_iter().map(|k| (strsim::damerau_levenshtein(wrong, k), k)).filter(near).collect();
    all.sort_unstable();
    all.dedup();
    let (distance, word) = *all.first()?;
    let alone = all.get(1).is_none_or(|next| next.0 > distance);
    Some(Near { word, sure: alone && slip(wrong, word, distance) })
}

/// Whether one word is the other with a slip of the finger. Another digit is another name.
fn slip(wrong: &str, word: &str, distance: usize) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let bare = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let long = wrong.chars().count().max(word.chars().count());
    let close = match distance {
        1 => long > 2 || letters(wrong) == letters(word),
        2 => long > 5,
        _ => false,
    };
    digits(wrong) == digits(word) && (close || bare(wrong) == bare(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_meant_alone_is_sure() {
        let of = |wrong, known: &[&'static str]| nearest(wrong, known.iter().copied()).map(|n| (n.word, n.sure));
        assert_eq!(of("phaze", &["phase", "from"]), Some(("phase", true)));
        assert_eq!(of("bd", &["db"]), Some(("db", true)));
        assert_eq!(of("dependsOn", &["depends_on"]), Some(("depends_on", true)));
        assert_eq!(of("postgresql", &["postgres"]), Some(("postgres", true)));
        assert_eq!(of("name", &["age"]), Some(("age", false)), "half of it is another word");
        assert_eq!(of("v2", &["v1"]), Some(("v1", false)));
        assert_eq!(of("east-3", &["east-1"]), Some(("east-1", false)), "another digit is another place");
        assert_eq!(of("wast", &["east", "west"]), Some(("east", false)), "either may be meant");
        assert_eq!(of("postgres.pro", &["postgres.promote"]), Some(("postgres.promote", false)));
        assert_eq!(of("oven", &["fridge"]), None);
    }
}
