// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table `[watch]`: an error in it points at the operation's own value.

use std::collections::BTreeMap;
use std::fmt;

use libsnet::types::{Operation, Protocols};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads which calls are mediated. `any` is what the kernel sees of the operation.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Operation, Protocols>, D::Error> {
    deserializer.deserialize_map(Table)
}

struct Table;

impl<'de> Visitor<'de> for Table {
    type Value = BTreeMap<Operation, Protocols>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of operations with their protocols")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Self::Value, A::Error> {
        let mut watch = BTreeMap::new();
        while let Some(operation) = table.next_key()? {
            watch.insert(operation, table.next_value_seed(Watched(operation))?);
        }
        Ok(watch)
    }
}

/// What is watched of an operation.
struct Watched(Operation);

impl<'de> DeserializeSeed<'de> for Watched {
    type Value = Protocols;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Protocols, D::Error> {
        let Self(operation) = self;
        let protocols = Protocols::deserialize(deserializer)?;
        let unseen = protocols.without(operation.mediated());
        if protocols == Protocols::ANY {
            Ok(operation.mediated())
        } else if unseen.is_empty() {
            Ok(protocols)
        } else {
            Err(D::Error::custom(format!(
                "{operation}: not for {unseen}, where it is decided with the connection; remove \
                 {unseen}"
            )))
        }
    }
}
