// SPDX-License-Identifier: MIT OR Apache-2.0
//! The supervisor's own copies of what a call's arguments point at. Each is read once: what
//! another thread writes there afterwards changes nothing.

use crate::perform::fails;
use crate::sys::{self, End};

const FAULT: End = End::Fails(libc::EFAULT);
/// `struct sockaddr_storage`: the kernel takes no longer address.
const LONGEST_ADDRESS: usize = 128;

/// Exactly so many bytes.
pub(crate) fn read(tid: u32, address: u64, length: usize) -> Result<Vec<u8>, End> {
    let mut bytes = vec![0; length];
    match sys::read_memory(tid, address, &mut bytes) {
        Ok(count) if count == length => Ok(bytes),
        Ok(_) => Err(FAULT),
        Err(error) => Err(fails(&error)),
    }
}

/// As many of so many bytes as there are, at least one.
pub(crate) fn read_some(tid: u32, address: u64, length: usize) -> Result<Vec<u8>, End> {
    let mut bytes = vec![0; length];
    match sys::read_memory(tid, address, &mut bytes) {
        Ok(0) if length > 0 => Err(FAULT),
        Ok(count) => {
            bytes.truncate(count);
            Ok(bytes)
        }
        Err(error) => Err(fails(&error)),
    }
}

/// All of these bytes.
pub(crate) fn write(tid: u32, address: u64, bytes: &[u8]) -> Result<(), End> {
    match sys::write_memory(tid, address, bytes) {
        Ok(count) if count == bytes.len() => Ok(()),
        Ok(_) => Err(FAULT),
        Err(error) => Err(fails(&error)),
    }
}

/// The address of a socket call, whose length is an `int` in a register.
pub(crate) fn read_address(tid: u32, address: u64, length: u64) -> Result<Vec<u8>, End> {
    match usize::try_from(length as u32 as i32) {
        Ok(length) if length <= LONGEST_ADDRESS => read(tid, address, length),
        _ => Err(End::Fails(libc::EINVAL)),
    }
}

/// The number of eight, or four, bytes at a place in a copied structure.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let part = bytes.get(at..at + 8).and_then(|part| part.try_into().ok());
    u64::from_ne_bytes(part.unwrap_or_default())
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let part = bytes.get(at..at + 4).and_then(|part| part.try_into().ok());
    u32::from_ne_bytes(part.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_an_address_is_checked_as_the_kernel_does() {
        let own = [7u8; 200];
        let read = |length| read_address(sys::own_tid(), own.as_ptr() as u64, length);
        assert_eq!(read(16), Ok(vec![7; 16]));
        assert_eq!(read(0), Ok(vec![]));
        assert_eq!(read(0xdead_beef_0000_0010), Ok(vec![7; 16]), "the upper half is no part");
        assert_eq!(read(129), Err(End::Fails(libc::EINVAL)));
        assert_eq!(read(u64::MAX), Err(End::Fails(libc::EINVAL)));
        assert_eq!(read_address(sys::own_tid(), 8, 16), Err(FAULT));
    }

    #[test]
    fn what_is_not_there_is_a_fault() {
        assert_eq!(super::read(sys::own_tid(), 8, 1), Err(FAULT));
        assert_eq!(read_some(sys::own_tid(), 8, 1), Err(FAULT));
        assert_eq!(write(sys::own_tid(), 8, &[1]), Err(FAULT));
        let mut own = [0u8; 2];
        write(sys::own_tid(), own.as_mut_ptr() as u64, &[1, 2]).unwrap();
        assert_eq!(own, [1, 2]);
    }
}
