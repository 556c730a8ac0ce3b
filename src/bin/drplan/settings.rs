//! What holds for every command: typed, or set as `DRPLAN_…`. It does not know any command.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// Settings that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Print machine-readable JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,

    /// Where runs are remembered: a file, or postgres://USER@HOST/DATABASE; else where the plan says, or
    /// `drplan/journal.db` in the state directory.
    #[arg(long, global = true, env = "DRPLAN_JOURNAL", value_name = "FILE|URL", hide_env_values = true)]
    pub journal: Option<OsString>,

    /// Who you are, for the record; else `user@host`.
    #[arg(long, global = true, env = "DRPLAN_OPERATOR", value_name = "NAME")]
    pub operator: Option<String>,

    /// Where AWS is, if not at AWS: for plans that name no endpoint.
    #[arg(long, global = true, env = "DRPLAN_AWS_ENDPOINT", value_name = "URL")]
    pub aws_endpoint: Option<String>,

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
