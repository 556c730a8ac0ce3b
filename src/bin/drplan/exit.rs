//! How the program ends: exit codes as the manual promises them, and the message that goes with a bad one.

use std::fmt;

/// Exit codes. Where several hold, [`Exit::worst`] says which one is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Good; warnings too.
    Good = 0,
    /// Findings of level `deny`, or a dry run that did not pass; nothing was changed.
    Findings = 1,
    /// Called wrongly.
    Usage = 2,
    /// No such input.
    NoInput = 3,
    /// The run ended with a failed, continued or untested step.
    Flawed = 4,
    /// Rolled back.
    RolledBack = 10,
    /// Waiting for a person.
    Waiting = 11,
    /// Unknown or stuck.
    Unknown = 12,
    /// The plan changed since it was compiled or approved.
    Changed = 13,
    /// Another holds the lease or an asset.
    Held = 14,
    /// Aborted.
    Aborted = 15,
    /// The journal failed.
    JournalFailed = 16,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// What the process returns.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The one that is given if several hold.
    pub fn worst(all: impl IntoIterator<Item = Exit>) -> Exit {
        const ORDER: [Exit; 13] = [
            Exit::Usage,
            Exit::NoInput,
            Exit::JournalFailed,
            Exit::Held,
            Exit::Changed,
            Exit::Unknown,
            Exit::Interrupted,
            Exit::Waiting,
            Exit::Aborted,
            Exit::RolledBack,
            Exit::Flawed,
            Exit::Findings,
            Exit::Good,
        ];
        let rank = |exit: Exit| ORDER.iter().position(|o| *o == exit).unwrap_or(ORDER.len());
        all.into_iter().min_by_key(|e| rank(*e)).unwrap_or(Exit::Good)
    }
}

/// Why a command stops early: what is said, what to type next, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// One sentence without a full stop; may be empty if all has been said already.
    pub message: String,
    /// What to type next.
    pub help: Option<String>,
}

impl Stop {
    /// Stops with a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Stop { exit, message: message.into(), help: None }
    }

    /// Called wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Stop::new(Exit::Usage, message)
    }

    /// No such input.
    pub fn no_input(message: impl Into<String>) -> Self {
        Stop::new(Exit::NoInput, message)
    }

    /// Stops without a further word: it has been said.
    pub fn said(exit: Exit) -> Self {
        Stop::new(exit, "")
    }

    /// Says what to type next.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

/// What every command gives.
pub type Ended = Result<Exit, Stop>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_is_the_manual_s_order() {
        assert_eq!(Exit::worst([Exit::Flawed, Exit::Waiting, Exit::Aborted]), Exit::Waiting);
        assert_eq!(Exit::worst([Exit::JournalFailed, Exit::Held]), Exit::JournalFailed);
        assert_eq!(Exit::worst([Exit::Interrupted, Exit::Unknown]), Exit::Unknown);
        assert_eq!(Exit::worst([Exit::Good, Exit::Findings]), Exit::Findings);
        assert_eq!(Exit::worst([]), Exit::Good);
    }
}
