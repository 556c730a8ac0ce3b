//! What is wrong with a plan, as data. It does not know how a finding is drawn: that is `emit`.

pub mod emit;

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
}

impl Diagnostic {
    /// The one constructor: there is no finding without a place.
    pub fn new(rule: &'static str, level: Level, headline: impl Into<String>, span: Span, label: impl Into<String>) -> Self {
        Diagnostic { rule, level, headline: headline.into(), labels: vec![Label { span, text: label.into() }], help: None }
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

    /// Says what to type instead; the last call counts.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// The finding's own place.
    pub fn span(&self) -> Span {
        self.labels[0].span
    }
}

/// The name nearest to a misspelt one, if any is near enough to be meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(wrong, k), k))
        .filter(|(d, k)| *d <= 1 + k.len().max(wrong.len()) / 4 || (wrong.len() > 2 && k.starts_with(wrong)))
        .min()
        .map(|(_, k)| k)
}
