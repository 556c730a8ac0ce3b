//! A run, told while it happens and after. It reads events and nothing else; it does not judge, and does not print.

pub mod lines;
pub mod past;
pub mod story;
pub mod ticks;

pub use story::{Status, Story};
