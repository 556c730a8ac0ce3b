//! Audit, signals and their stream.

use super::{Story, hold};

const PEOPLE: &[&str] = &["signals-oncall", "head-of-trading"];

#[test]
fn signals() {
    let story =
        |scenario, lose, dies_in, passed_over| Story { plan: "signals", scenario, people: PEOPLE, dies_in, back: None, lose, passed_over };
    hold(&[
        story("audit-loss", "audit-loss", "restore", &[]),
        story("signals-loss", "signals-loss", "restore", &["replay"]),
        story("signals-loss", "signals-and-backup", "replay", &["restore"]),
        story("checkpoints-lost", "checkpoints-lost", "start-stream", &[]),
        story("upgrade", "upgrade", "release", &[]),
    ]);
}
