//! Limits on what a model may make of its features, which are named by column.
//!
//! The names of the fields that hold them, and their meaning, are those of scikit-learn.

use std::{borrow::Cow, collections::BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::names::ColumnName;

/// Which way a score may go as one feature grows and the others stay: 1, -1 and 0 in documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub enum Direction {
    /// Either.
    #[default]
    Any,
    /// Never down.
    Rising,
    /// Never up.
    Falling,
}

impl From<Direction> for i8 {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Any => 0,
            Direction::Rising => 1,
            Direction::Falling => -1,
        }
    }
}

impl TryFrom<i8> for Direction {
    type Error = &'static str;

    fn try_from(number: i8) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::Any),
            1 => Ok(Self::Rising),
            -1 => Ok(Self::Falling),
            _ => Err("a direction is 1, -1 or 0"),
        }
    }
}

impl JsonSchema for Direction {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Direction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": [-1, 0, 1] })
    }
}

/// Which features may be looked at together on one path from the root of a tree to a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Interactions {
    /// Those of one group. Groups may overlap; features that are in none form one group more.
    Groups(#[schemars(length(min = 1, max = 4096), inner(length(min = 1)))] BTreeSet<BTreeSet<ColumnName>>),
    /// So many.
    Number(InteractionNumber),
}

/// How many features may be looked at together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InteractionNumber {
    /// One.
    NoInteractions,
    /// Two.
    Pairwise,
}
