//! drplan: a declarative disaster-recovery plan compiler and executor.
//!
//! A plan is parsed, lowered, ordered and checked; what is left is a `Checked` plan, which can only be rendered or
//! executed; execution decides purely, drives asynchronously, touches the outside through one door, and remembers
//! through one log.

pub mod compile;

pub mod source;
pub mod diagnostic;
pub mod syntax;
pub mod world;
pub mod actions;
pub mod model;
pub mod graph;
pub mod analysis;
pub mod render;

pub mod journal;
pub mod execute;
pub mod report;
