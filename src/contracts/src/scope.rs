//! Where a bundle serves.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Result, names::Name};

/// `environment/mode/bundle_slot`, for one tenant or for all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetScope {
    /// Such as `prod`.
    pub environment: Name,
    /// Such as `card`.
    pub mode: Name,
    /// Such as `primary`.
    pub bundle_slot: Name,
    /// The tenant served; null serves all.
    #[serde(default)]
    pub tenant_id: Option<Name>,
}

impl TargetScope {
    /// The same scope for all tenants.
    #[must_use]
    pub fn global(&self) -> Self {
        Self { tenant_id: None, ..self.clone() }
    }
}

impl fmt::Display for TargetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.environment, self.mode, self.bundle_slot)?;
        self.tenant_id.iter().try_for_each(|tenant| write!(f, "/{tenant}"))
    }
}

impl FromStr for TargetScope {
    type Err = Failure;

    /// Reads `environment/mode/bundle_slot` or `environment/mode/bundle_slot/tenant`.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |found: String| {
            Failure::at(
                Code::TargetScopeInvalid,
                "scope",
                "environment/mode/bundle_slot, optionally /tenant",
                found,
            )
        };
        let names = text
            .split('/')
            .map(Name::new)
            .collect::<Result<Vec<_>>>()
            .map_err(|_| refuse("a segment with other characters".to_owned()))?;
        match <[Name; 3]>::try_from(names.clone()) {
            Ok([environment, mode, bundle_slot]) => {
                Ok(Self { environment, mode, bundle_slot, tenant_id: None })
            }
            Err(names) => match <[Name; 4]>::try_from(names) {
                Ok([environment, mode, bundle_slot, tenant]) => {
                    Ok(Self { environment, mode, bundle_slot, tenant_id: Some(tenant) })
                }
                Err(names) => Err(refuse(format!("{} segments", names.len()))),
            },
        }
    }
}
