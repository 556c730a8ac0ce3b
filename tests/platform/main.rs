//! The whole program against real servers: a region is lost, a plan brings the platform up in the other one, and
//! `drplan` itself dies, asks, and takes back on the way. The judge is the log of the lab's writer, not the program.
//! `cargo test --test platform -- --nocapture` prints what a person would have seen and typed.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "../support/lab.rs"]
#[cfg(all(feature = "aws", feature = "postgres"))]
mod lab;

#[cfg(all(feature = "aws", feature = "postgres"))]
mod failover;
mod features;
mod once;
mod program;
#[cfg(all(feature = "aws", feature = "postgres"))]
mod proxy;
#[cfg(all(feature = "aws", feature = "postgres"))]
mod rollback;
#[cfg(all(feature = "aws", feature = "postgres"))]
mod scene;
