// SPDX-License-Identifier: MIT OR Apache-2.0
//! The attribute set `object`.

use std::net::{IpAddr, SocketAddr};

use super::attribute::{Key, Table, key};
use super::encode::AttributeList;
use super::{DecodeError, EncodeError};
use crate::types::{CallFlags, Object};

pub(super) fn decode(table: &Table<'_>) -> Result<Object, DecodeError> {
    Ok(Object {
        operation: table.required(key!(object::OPERATION))?,
        protocol: table.required(key!(object::PROTOCOL))?,
        family: table.required(key!(object::FAMILY))?,
        kind: table.required(key!(object::TYPE))?,
        number: table.required(key!(object::NUMBER))?,
        remote: decode_address(table, key!(object::REMOTE_ADDR), key!(object::REMOTE_PORT))?,
        local: decode_address(table, key!(object::LOCAL_ADDR), key!(object::LOCAL_PORT))?,
        flags: CallFlags(table.optional(key!(object::FLAGS))?.unwrap_or_default()),
    })
}

/// An address without its port, or a port without its address, would be decided as another
/// call than the one the kernel holds: both are errors. Port 0 alone says nothing.
fn decode_address(
    table: &Table<'_>,
    address: Key,
    port: Key,
) -> Result<Option<SocketAddr>, DecodeError> {
    let Some(ip) = table.optional::<IpAddr>(address)? else {
        return match table.optional::<u16>(port)? {
            None | Some(0) => Ok(None),
            Some(_) => Err(DecodeError::Missing(address.name)),
        };
    };
    Ok(Some(SocketAddr::new(ip, table.required(port)?)))
}

pub(super) fn encode(object: &Object) -> Result<AttributeList, EncodeError> {
    let mut list = AttributeList::default();
    list.put(key!(object::OPERATION), object.operation as u32)?;
    list.put(key!(object::PROTOCOL), object.protocol as u32)?;
    list.put(key!(object::FAMILY), object.family)?;
    list.put(key!(object::TYPE), object.kind)?;
    list.put(key!(object::NUMBER), object.number)?;
    if let Some(remote) = object.remote {
        list.put_address(key!(object::REMOTE_ADDR), remote.ip())?;
        list.put(key!(object::REMOTE_PORT), remote.port())?;
    }
    if let Some(local) = object.local {
        list.put_address(key!(object::LOCAL_ADDR), local.ip())?;
        list.put(key!(object::LOCAL_PORT), local.port())?;
    }
    list.put(key!(object::FLAGS), object.flags.0)?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::attribute::Attributes;
    use crate::wire::{AttributeName, Envelope, Messages, encode};

    /// Decodes what `fill` wrote besides the attributes that every object has.
    fn decoded(
        fill: impl FnOnce(&mut AttributeList) -> Result<(), EncodeError>,
    ) -> Result<Object, DecodeError> {
        let mut list = AttributeList::default();
        list.put(key!(object::OPERATION), crate::uapi::operation::CONNECT).unwrap();
        list.put(key!(object::PROTOCOL), crate::uapi::protocol::TCP).unwrap();
        for key in [key!(object::FAMILY), key!(object::TYPE), key!(object::NUMBER)] {
            list.put(key, 6u16).unwrap();
        }
        fill(&mut list).unwrap();
        let mut bytes = Vec::new();
        let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
        encode::message(envelope, (1, 1), list, &mut bytes).unwrap();
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        let attributes = message.genl().unwrap().attributes;
        assert!(Attributes::new(attributes).all(|attribute| attribute.is_ok()));
        decode(&Table::new(attributes).unwrap())
    }

    #[test]
    fn ports_are_host_order_and_addresses_network_order() {
        let object = decoded(|list| {
            list.put(key!(object::REMOTE_ADDR), [192u8, 0, 2, 1])?;
            list.put(key!(object::REMOTE_PORT), 443u16)
        });
        assert_eq!(object.unwrap().remote, Some("192.0.2.1:443".parse().unwrap()));
    }

    #[test]
    fn an_address_and_its_port_need_each_other() {
        let no_port = decoded(|list| list.put(key!(object::REMOTE_ADDR), [1u8; 4]));
        let missing = DecodeError::Missing(AttributeName::new("object.REMOTE_PORT"));
        assert_eq!(no_port, Err(missing));
        let no_address = decoded(|list| list.put(key!(object::LOCAL_PORT), 80u16));
        let missing = DecodeError::Missing(AttributeName::new("object.LOCAL_ADDR"));
        assert_eq!(no_address, Err(missing));
        assert_eq!(decoded(|list| list.put(key!(object::LOCAL_PORT), 0u16)).unwrap().local, None);
    }

    #[test]
    fn an_unknown_operation_is_named() {
        let error = decoded(|list| list.put(key!(object::OPERATION), 7u32)).unwrap_err();
        assert_eq!(error, key!(object::OPERATION).unknown(7u32));
    }
}
