//! The copies of one asset as far as a bad state could come of them, and what steps do to them. It knows neither plans nor
//! orders.

use super::Kind;
use crate::model::Id;

/// Copies of an asset that fit into a [`State`].
pub const COPIES: usize = 8;

/// What does not change: the copies, by their place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copies {
    /// The asset.
    pub name: String,
    /// The site of each; none: the asset has several, or none.
    pub sites: Vec<Option<Id>>,
    /// Where each stands, in words.
    pub places: Vec<String>,
    /// Bits: its site is lost. Whether it is dead nobody knows until somebody says so.
    pub lost: u8,
    /// The asset itself is gone, its site is not: it may still take writes, but nothing newer is left where it stood.
    pub gone: bool,
    /// Bits: takes writes beside others, as it is meant to.
    pub active: u8,
    /// What a copy has is damaged, and may be overwritten.
    pub damaged: bool,
    /// Something shows whether the asset is well.
    pub shown: bool,
}

/// One asset at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct State {
    /// Bits: takes writes, or may.
    pub writes: u8,
    /// How new the data of each copy are; more is newer, 0 is none.
    pub age: [u8; COPIES],
    /// It was shown to be well since it was changed last.
    pub well: bool,
    /// Traffic was sent to it.
    pub reached: bool,
}

/// What is bad about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What it is.
    pub kind: Kind,
    /// In words.
    pub what: String,
    /// The other copy that it is about.
    pub other: Option<usize>,
}

/// What a step does to an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// The copy takes no writes any more.
    Stop(usize),
    /// The copy takes writes; somebody has said before that what was lost is dead, or nobody has.
    Take(usize, bool),
    /// A backup comes in the place of what the copy has.
    Put(usize),
    /// It is seen to have what is newest.
    Newest(usize),
    /// Something brings the copy up, nobody knows how: at its end its data are taken for the newest.
    Bring(Option<usize>),
    /// It is shown to be well.
    Show,
    /// Traffic goes to it.
    Point,
}

impl Copies {
    /// What a step makes of a state, and what is bad about that.
    pub fn after(&self, now: State, step: Move) -> (State, Option<Wrong>) {
        let mut then = now;
        let mut bad = None;
        match step {
            Move::Stop(p) => then.writes &= !(1 << p),
            Move::Take(p, said) => {
                self.hear(&mut then, said);
                bad = self.second(&then, p).or_else(|| self.behind(&then, p));
                then.writes |= 1 << p;
                then.age[p] = newest(&then).saturating_add(1);
                then.well = false;
            }
            Move::Put(p) => {
                bad = self.overwritten(&then, p);
                then.age[p] = 1;
                then.well = false;
            }
            Move::Newest(p) => then.age[p] = newest(&then),
            Move::Bring(p) => {
                if let Some(p) = p {
                    then.age[p] = newest(&then);
                }
                then.well = false;
            }
            Move::Show => then.well = true,
            Move::Point => {
                if self.shown && !now.well {
                    let what = format!("traffic goes to `{}`, and nothing shows that it is well", self.name);
                    bad = Some(Wrong { kind: Kind::Unverified, what, other: None });
                }
                then.reached = true;
            }
        }
        (then, bad)
    }

    /// Somebody said that what was lost is dead.
    fn hear(&self, state: &mut State, said: bool) {
        if said {
            state.writes &= !self.lost;
        }
    }

    fn second(&self, state: &State, p: usize) -> Option<Wrong> {
        let others = state.writes & !(1 << p) & !self.active;
        if others == 0 || self.active & (1 << p) != 0 {
            return None;
        }
        let other = others.trailing_zeros() as usize;
        let may = if self.lost & (1 << other) != 0 { "may still take writes: it is lost, not dead" } else { "still takes writes" };
        let what = format!("{} takes writes, and {} {may}", self.places[p], self.places[other]);
        Some(Wrong { kind: Kind::TwoWriters, what, other: Some(other) })
    }

    /// What another copy has that still stands is newer.
    fn behind(&self, state: &State, p: usize) -> Option<Wrong> {
        let newer = (0..self.places.len()).find(|&q| q != p && self.lost & (1 << q) == 0 && state.age[q] > state.age[p]);
        let q = newer.filter(|_| !self.damaged)?;
        let what = format!("{} takes writes without what {} has that is newer", self.places[p], self.places[q]);
        Some(Wrong { kind: Kind::NewerLost, what, other: Some(q) })
    }

    fn overwritten(&self, state: &State, p: usize) -> Option<Wrong> {
        let stands = self.lost & (1 << p) == 0 && !(self.gone && p == 0);
        let written = state.age[p] > INCIDENT || state.age[p] == INCIDENT && state.writes & (1 << p) != 0;
        let what = || format!("a backup comes in the place of newer data: {}", self.places[p]);
        (stands && written).then(|| Wrong { kind: Kind::NewerLost, what: what(), other: None })
    }
}

/// The age of what a copy had when the scenario began.
pub const INCIDENT: u8 = 2;

fn newest(state: &State) -> u8 {
    state.age.iter().copied().max().unwrap_or(0)
}
