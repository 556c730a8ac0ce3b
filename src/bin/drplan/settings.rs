//! What holds for every command: typed, or set as `DRPLAN_…`. It does not know any command.

use clap::{Args, ValueEnum};

/// Settings that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Print machine-readable JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,

    /// When to colour what is printed; `auto` means at a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, env = "DRPLAN_COLOR", value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// At a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
