//! Faults by the hundred: races, flipped bits and clocks that jump. `make faults` runs them.
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

/// How many rounds, `default` of them unless the environment says another number.
fn rounds(default: usize) -> usize {
    std::env::var("MODEL_FACTORY_FAULT_ROUNDS").map_or(default, |text| text.parse().unwrap())
}
