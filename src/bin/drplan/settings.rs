//! What holds for every command: typed, or set as `DRPLAN_…`. It does not know any command.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use drplan::world::real::Smtp;

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

    /// The mail server for contacts of a plan: `smtp://HOST:25`, `smtp://USER@HOST:587?tls=required`, `smtps://USER@HOST`;
    /// the password of USER stands in DRPLAN_SMTP_PASSWORD.
    #[arg(long, global = true, env = "DRPLAN_SMTP", value_name = "URL", hide_env_values = true)]
    pub smtp: Option<String>,

    /// Whom that mail is from; `drplan@` this machine unless given.
    #[arg(long, global = true, env = "DRPLAN_SMTP_FROM", value_name = "ADDRESS")]
    pub smtp_from: Option<String>,

    /// When to colour what is printed; `auto` means at a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, env = "DRPLAN_COLOR", value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

impl Settings {
    /// The mail server, if one is set. Its password is taken from the environment alone: arguments are seen by all.
    pub fn smtp(&self) -> Option<Smtp> {
        let password = std::env::var("DRPLAN_SMTP_PASSWORD").ok();
        self.smtp.clone().map(|url| Smtp { url, password, from: self.smtp_from.clone() })
    }
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
