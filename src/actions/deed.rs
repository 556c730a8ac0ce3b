//! What actions do to the copies of an asset. It knows neither copies nor assets.

/// What an action does to a copy of an asset, as far as a bad state could come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Nothing of these.
    Nothing,
    /// The copy takes no writes any more.
    StopsWrites,
    /// The copy takes writes.
    TakesWrites,
    /// Older data replace what the copy has.
    PutsData,
    /// It passes only if the copy has what is newest.
    IsNewest,
    /// Traffic goes to another copy.
    Points,
}
