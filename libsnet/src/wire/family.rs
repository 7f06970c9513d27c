// SPDX-License-Identifier: MIT OR Apache-2.0
//! The controller of generic netlink, which knows the number of each family.

use neli::consts::genl::CtrlCmd;

use super::attribute::{Attributes, Key, Table};
use super::encode::{self, AttributeList};
use super::{DecodeError, EncodeError, Envelope, Genl};

/// The controller's own number.
pub const CONTROLLER: u16 = libc::GENL_ID_CTRL as u16;
/// The controller's name.
pub const CONTROLLER_NAME: &str = "nlctrl";
/// The controller's multicast group that tells of families which come and go.
pub const NOTIFY_GROUP: &str = "notify";

const VERSION: u8 = 2;
const FAMILY_ID: Key = Key::new(libc::CTRL_ATTR_FAMILY_ID as u16, "control.FAMILY_ID");
const FAMILY_NAME: Key = Key::new(libc::CTRL_ATTR_FAMILY_NAME as u16, "control.FAMILY_NAME");
const FAMILY_VERSION: Key = Key::new(libc::CTRL_ATTR_VERSION as u16, "control.VERSION");
const GROUPS: Key = Key::new(libc::CTRL_ATTR_MCAST_GROUPS as u16, "control.MCAST_GROUPS");
const GROUP_NAME: Key = Key::new(libc::CTRL_ATTR_MCAST_GRP_NAME as u16, "control.MCAST_GRP_NAME");
const GROUP_ID: Key = Key::new(libc::CTRL_ATTR_MCAST_GRP_ID as u16, "control.MCAST_GRP_ID");

/// A generic netlink family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// Its number, another one each time the module is loaded.
    pub id: u16,
    /// Its version.
    pub version: u32,
    /// Its multicast groups, with the numbers to join them by.
    pub groups: Vec<(String, u32)>,
}

/// Encodes the question for the family with this name. The answer is one message, or ENOENT.
///
/// # Errors
/// [`EncodeError::TooLong`] for a name that no attribute can hold.
pub fn encode_get(name: &str, sequence: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut list = AttributeList::default();
    list.put_text(FAMILY_NAME, name.as_bytes())?;
    send(flags, sequence, list, out)
}

/// Encodes the question for all families; answered by a dump.
///
/// # Errors
/// [`EncodeError::Encoder`], which is not known to happen.
pub fn encode_list(sequence: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    send(flags, sequence, AttributeList::default(), out)
}

fn send(
    flags: u16,
    sequence: u32,
    list: AttributeList,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let envelope = Envelope { family: CONTROLLER, flags, sequence };
    encode::message(envelope, (CtrlCmd::Getfamily.into(), VERSION), list, out)
}

/// Decodes the attributes of an answer, or of a notice.
///
/// # Errors
/// A [`DecodeError`] that names the attribute.
pub fn decode(attributes: &[u8]) -> Result<Family, DecodeError> {
    let table = Table::new(attributes)?;
    let mut groups = Vec::new();
    // A list in the kernel's old form: the attributes' numbers only count.
    for nest in Attributes::new(table.optional(GROUPS)?.unwrap_or_default()) {
        let group = Table::new(nest?.payload)?;
        groups.push((group.required(GROUP_NAME)?, group.required(GROUP_ID)?));
    }
    Ok(Family {
        name: table.required(FAMILY_NAME)?,
        id: table.required(FAMILY_ID)?,
        version: table.required(FAMILY_VERSION)?,
        groups,
    })
}

/// Does this message of the controller say that the family with this number is gone?
pub fn says_gone(genl: Genl<'_>, id: u16) -> bool {
    genl.command == u8::from(CtrlCmd::Delfamily)
        && decode(genl.attributes).is_ok_and(|family| family.id == id)
}

#[cfg(test)]
mod tests {
    use neli::consts::genl::{CtrlAttr, CtrlAttrMcastGrp};

    use super::*;
    use crate::wire::Messages;

    /// What the controller says of a family, with one group.
    fn about(command: CtrlCmd, id: u16) -> Vec<u8> {
        let mut group = AttributeList::default();
        group.put_text(GROUP_NAME, b"notify").unwrap();
        group.put(GROUP_ID, 16u32).unwrap();
        let mut groups = AttributeList::default();
        groups.nest(Key::new(1, "first"), group).unwrap();
        let mut list = AttributeList::default();
        list.put_text(FAMILY_NAME, b"snet").unwrap();
        list.put(FAMILY_ID, id).unwrap();
        list.put(FAMILY_VERSION, 1u32).unwrap();
        list.nest(GROUPS, groups).unwrap();
        let envelope = Envelope { family: CONTROLLER, flags: 0, sequence: 0 };
        let mut bytes = Vec::new();
        encode::message(envelope, (command.into(), VERSION), list, &mut bytes).unwrap();
        bytes
    }

    fn genl(bytes: &[u8]) -> Genl<'_> {
        Messages::new(bytes).next().unwrap().unwrap().genl().unwrap()
    }

    #[test]
    fn the_constants_are_those_of_neli() {
        assert_eq!(FAMILY_ID.number, u16::from(CtrlAttr::FamilyId));
        assert_eq!(GROUPS.number, u16::from(CtrlAttr::McastGroups));
        assert_eq!(GROUP_ID.number, u16::from(CtrlAttrMcastGrp::Id));
    }

    #[test]
    fn reads_the_number_and_the_groups() {
        let bytes = about(CtrlCmd::Newfamily, 33);
        let family = decode(genl(&bytes).attributes).unwrap();
        let groups = vec![("notify".to_owned(), 16)];
        assert_eq!(family, Family { name: "snet".to_owned(), id: 33, version: 1, groups });
    }

    #[test]
    fn only_the_end_of_this_family_says_that_it_is_gone() {
        assert!(says_gone(genl(&about(CtrlCmd::Delfamily, 33)), 33));
        assert!(!says_gone(genl(&about(CtrlCmd::Delfamily, 34)), 33));
        assert!(!says_gone(genl(&about(CtrlCmd::Newfamily, 33)), 33));
    }
}
