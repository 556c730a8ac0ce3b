//! Text to plan and findings: every stage, in order, on one screen.
