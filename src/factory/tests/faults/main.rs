//! Faults by the hundred: races, flipped bits and clocks that jump. `make faults` runs all of them.
//!
//! Each part ends with a line `faults NAME: N tried, N lost`: what is lost fails the test too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test says what it expects, and damages files behind the store"
)]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod flips;
mod race;

/// Says how many faults were tried, and fails where one was not borne.
fn close(name: &str, tried: usize, lost: &[String]) {
    println!("\nfaults {name}: {tried} tried, {} lost", lost.len());
    assert!(lost.is_empty(), "{name}: {}", lost.join("\n"));
}

/// How many rounds: all of them for `make faults`, and a hundredth, so that no part rots, in an ordinary test run.
fn rounds(all: usize) -> usize {
    if std::env::var_os("MODEL_FACTORY_FAULTS").is_some() { all } else { all.div_ceil(100) }
}
