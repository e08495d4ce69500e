//! How one artifact names another: by where it stands and what its bytes are.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Result, identity::digest::Digest, names::ObjectKey};

/// Names an artifact by where it stands and what its bytes are.
pub struct Reference<T> {
    /// Key in the store.
    pub uri: ObjectKey,
    /// Digest of the bytes.
    pub digest: Digest<T>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename = "Reference", deny_unknown_fields)]
struct ReferenceFields<K, T> {
    uri: K,
    #[serde(bound = "")]
    digest: Digest<T>,
}

impl<T> Clone for Reference<T> {
    fn clone(&self) -> Self {
        Self { uri: self.uri.clone(), digest: self.digest }
    }
}

impl<T> PartialEq for Reference<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uri == other.uri && self.digest == other.digest
    }
}

impl<T> Eq for Reference<T> {}

impl<T> fmt::Debug for Reference<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.uri, self.digest)
    }
}

impl<T> Serialize for Reference<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ReferenceFields { uri: &self.uri, digest: self.digest }.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Reference<T> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let ReferenceFields::<ObjectKey, T> { uri, digest } = ReferenceFields::deserialize(deserializer)?;
        Ok(Self { uri, digest })
    }
}

impl<T> JsonSchema for Reference<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": { "uri": ObjectKey::json_schema(generator), "digest": Digest::<T>::json_schema(generator) },
            "required": ["uri", "digest"],
            "additionalProperties": false
        })
    }
}
