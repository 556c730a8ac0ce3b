//! What an action may be given and what it finds out: names, types, meanings. It knows no action.

/// What a field of `with`, a key of `connect`, or any other key of a plan may hold: the one vocabulary of shapes, for
/// the validator, the JSON Schema and the manual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// A text; may hold `${…}`.
    Text,
    /// A text in which a `${secrets.…}` may stand.
    Secret,
    /// A whole number.
    Int,
    /// A truth value.
    Bool,
    /// `30s`.
    Duration,
    /// `10GiB`.
    Size,
    /// RFC 3339, or a `${…}`.
    Time,
    /// As `Time`, or `latest`.
    Moment,
    /// A day: `2027-03-01`.
    Day,
    /// A text with a scheme; may hold `${…}`.
    Url,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A matcher, see [`super::matcher`].
    Matcher,
    /// Dotted paths to matchers.
    Matchers,
    /// Values of this type.
    List(&'static Type),
    /// Names to values of this type.
    Map(&'static Type),
    /// Exactly these fields.
    Record(&'static [Field]),
    /// A reading action: `{uses, with}`.
    Call,
    /// Any value.
    Any,
    /// Any value in whose texts a `${secrets.…}` may stand.
    AnySecret,
    /// Any single value: a text, a number, a truth value.
    One,
    /// The name of an asset, site, step, …: `[a-z][a-z0-9-]*`.
    Id,
    /// An id that may also hold `_`: of a parameter, a secret, an output.
    Name,
    /// A number with or without a fraction.
    Number,
    /// For how long something is kept: a duration with `mo` and `y` too, or `{last: 7}`, `{daily: 30d, weekly: 12w}`.
    Keep,
    /// One part of such a rule: a duration with `mo` and `y` too.
    Kept,
    /// A regular expression.
    Pattern,
    /// Ids to values of this type.
    ById(&'static Type),
    /// Names to values of this type.
    ByName(&'static Type),
    /// The first of these that goes with a scalar, a list or a map, whichever stands there.
    Either(&'static [Type]),
    /// The fields of the action that `uses` beside it names.
    With,
    /// The keys by which an asset of its kind is reached.
    Connect,
}

/// One field of an action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Type,
    /// It must be given.
    pub required: bool,
    /// The default as it would be typed, if there is one.
    pub default: Option<&'static str>,
    /// Meaning and unit, one sentence.
    pub doc: &'static str,
}

impl Field {
    /// A field that must be given.
    pub const fn required(name: &'static str, kind: Type, doc: &'static str) -> Field {
        Field { name, kind, required: true, default: None, doc }
    }

    /// A field that may be left out.
    pub const fn optional(name: &'static str, kind: Type, doc: &'static str) -> Field {
        Field { name, kind, required: false, default: None, doc }
    }

    /// A field with a value of its own, as it would be typed.
    pub const fn default(name: &'static str, kind: Type, default: &'static str, doc: &'static str) -> Field {
        Field { name, kind, required: false, default: Some(default), doc }
    }
}

impl Output {
    /// An output.
    pub const fn new(name: &'static str, kind: Type, doc: &'static str) -> Output {
        Output { name, kind, doc }
    }
}

/// One output of an action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// `Text`, `Int`, `Bool`, `Time`, `Duration` or `Any`.
    pub kind: Type,
    /// Meaning and unit, one sentence.
    pub doc: &'static str,
}
