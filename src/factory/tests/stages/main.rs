//! The line stage by stage: every refusal with its code and its place, and nothing half done behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test says what it expects, and damages files behind the store"
)]

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod bundle;
mod categories;
mod clutter;
mod determinism;
mod evidence;
mod fsck;
mod gate;
mod guard;
mod inbox;
mod lost;
mod opening;
mod publish;
mod registry;
mod resolve;
mod resume;
mod serving;
mod working;
