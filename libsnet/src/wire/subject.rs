// SPDX-License-Identifier: MIT OR Apache-2.0
//! The attribute set `subject`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::attribute::{Table, key, text};
use super::encode::AttributeList;
use super::{DecodeError, EncodeError};
use crate::types::{Details, Exe, ProcessKey, Subject};

/// Audit's "no login uid".
const UNSET: u32 = u32::MAX;

pub(super) fn decode(table: &Table<'_>) -> Result<Subject, DecodeError> {
    let login_uid = table.required(key!(subject::LOGIN_UID))?;
    Ok(Subject {
        process: ProcessKey {
            tgid: table.required(key!(subject::TGID))?,
            start_time: table.required(key!(subject::START_TIME))?,
            exec_id: table.required(key!(subject::EXEC_ID))?,
        },
        tid: table.required(key!(subject::TID))?,
        uid: table.required(key!(subject::UID))?,
        gid: table.required(key!(subject::GID))?,
        login_uid: (login_uid != UNSET).then_some(login_uid),
        comm: table.required(key!(subject::COMM))?,
        exe: decode_exe(table)?,
        parent_tgid: table.required(key!(subject::PARENT_TGID))?,
        cgroup_id: table.required(key!(subject::CGROUP_ID))?,
        net_ns: table.required(key!(subject::NET_NS))?,
        mnt_ns: table.required(key!(subject::MNT_NS))?,
        pid_ns: table.required(key!(subject::PID_NS))?,
        user_ns: table.required(key!(subject::USER_NS))?,
        details: Details::default(),
    })
}

/// A path is nothing to decide by without the identity of the file, so it needs both.
fn decode_exe(table: &Table<'_>) -> Result<Option<Exe>, DecodeError> {
    let Some(path) = table.optional::<&[u8]>(key!(subject::EXE))? else {
        return Ok(None);
    };
    Ok(Some(Exe {
        path: PathBuf::from(OsStr::from_bytes(text(path))),
        device: table.required(key!(subject::EXE_DEVICE))?,
        inode: table.required(key!(subject::EXE_INODE))?,
    }))
}

pub(super) fn encode(subject: &Subject) -> Result<AttributeList, EncodeError> {
    let mut list = AttributeList::default();
    list.put(key!(subject::TGID), subject.process.tgid)?;
    list.put(key!(subject::TID), subject.tid)?;
    list.put(key!(subject::START_TIME), subject.process.start_time)?;
    list.put(key!(subject::EXEC_ID), subject.process.exec_id)?;
    list.put(key!(subject::UID), subject.uid)?;
    list.put(key!(subject::GID), subject.gid)?;
    list.put(key!(subject::LOGIN_UID), subject.login_uid.unwrap_or(UNSET))?;
    list.put_text(key!(subject::COMM), subject.comm.as_bytes())?;
    if let Some(exe) = &subject.exe {
        list.put_text(key!(subject::EXE), exe.path.as_os_str().as_bytes())?;
        list.put(key!(subject::EXE_DEVICE), exe.device)?;
        list.put(key!(subject::EXE_INODE), exe.inode)?;
    }
    list.put(key!(subject::PARENT_TGID), subject.parent_tgid)?;
    list.put(key!(subject::CGROUP_ID), subject.cgroup_id)?;
    list.put(key!(subject::NET_NS), subject.net_ns)?;
    list.put(key!(subject::MNT_NS), subject.mnt_ns)?;
    list.put(key!(subject::PID_NS), subject.pid_ns)?;
    list.put(key!(subject::USER_NS), subject.user_ns)?;
    Ok(list)
}
