// SPDX-License-Identifier: MIT OR Apache-2.0
//! Unix sockets by path, for a caller whose working directory and root are its own.
//!
//! Only for callers that may change what their descriptors mean while the call is looked at;
//! all others make such calls themselves.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::object::family_of;
use crate::sys::End;

/// Where the path begins, behind the family.
const PATH: usize = 2;
/// Longest address.
const LONGEST: usize = 110;

/// An address that means to the supervisor what the caller's means to the caller, and what has
/// to stay open meanwhile.
pub(crate) type Translated = (Vec<u8>, Option<OwnedFd>);

/// The path of an address, unless it is abstract or none.
fn path_of(address: &[u8]) -> Option<&Path> {
    let rest = address.get(PATH..).filter(|_| family_of(address) == Some(libc::AF_UNIX))?;
    let path = rest.split(|byte| *byte == 0).next().filter(|path| !path.is_empty())?;
    Some(Path::new(OsStr::from_bytes(path)))
}

/// The same place, seen from the caller's root or working directory.
fn seen_by(tid: u32, path: &Path) -> PathBuf {
    let from = if path.is_absolute() { "root" } else { "cwd" };
    let mut place = PathBuf::from(format!("/proc/{tid}/{from}"));
    place.extend(path.components().filter(|part| *part != Component::RootDir));
    place
}

fn opened(place: &Path) -> Result<OwnedFd, End> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    open(place, flags, Mode::empty()).map_err(|errno| End::Fails(errno as i32))
}

fn address(path: &Path) -> Result<Vec<u8>, End> {
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend_from_slice(path.as_os_str().as_bytes());
    address.push(0);
    if address.len() > LONGEST { Err(End::Fails(libc::ENAMETOOLONG)) } else { Ok(address) }
}

/// Of an address to be reached: one that is there.
pub(crate) fn to_reach(tid: u32, theirs: &[u8]) -> Result<Translated, End> {
    let Some(path) = path_of(theirs) else {
        return Ok((theirs.to_vec(), None));
    };
    let socket = opened(&seen_by(tid, path))?;
    let place = format!("/proc/self/fd/{}", socket.as_raw_fd());
    Ok((address(Path::new(&place))?, Some(socket)))
}

/// Of an address to be made: its directory is there.
pub(crate) fn to_make(tid: u32, theirs: &[u8]) -> Result<Translated, End> {
    let Some(path) = path_of(theirs) else {
        return Ok((theirs.to_vec(), None));
    };
    let place = seen_by(tid, path);
    let (Some(directory), Some(name)) = (place.parent(), place.file_name()) else {
        return Err(End::Fails(libc::EINVAL));
    };
    let directory = opened(directory)?;
    let place = Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((address(&place)?, Some(directory)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    fn unix(path: &[u8]) -> Vec<u8> {
        [&(libc::AF_UNIX as u16).to_ne_bytes(), path].concat()
    }

    #[test]
    fn what_is_no_path_stays_as_it_is() {
        for theirs in [unix(b"\0abstract"), unix(b""), vec![2, 0, 1], vec![]] {
            let (own, open) = to_reach(sys::own_tid(), &theirs).unwrap();
            assert_eq!((own, open.is_none()), (theirs, true));
        }
    }

    #[test]
    fn a_path_is_found_from_the_callers_directory() {
        let (own, open) = to_reach(sys::own_tid(), &unix(b"Cargo.toml\0rest")).unwrap();
        let open = open.unwrap();
        let place = format!("/proc/self/fd/{}\0", open.as_raw_fd());
        assert_eq!(own, unix(place.as_bytes()));
        let found = std::fs::read_link(place.trim_end_matches('\0')).unwrap();
        assert_eq!(found, std::env::current_dir().unwrap().join("Cargo.toml"));
        let gone = to_reach(sys::own_tid(), &unix(b"/nowhere/s"));
        assert_eq!(gone.unwrap_err(), End::Fails(libc::ENOENT));
    }

    #[test]
    fn what_is_to_be_made_needs_its_directory() {
        let (own, open) = to_make(sys::own_tid(), &unix(b"src/new-socket")).unwrap();
        let place = format!("/proc/self/fd/{}/new-socket\0", open.unwrap().as_raw_fd());
        assert_eq!(own, unix(place.as_bytes()));
        let long = [b"src/".as_slice(), &[b'x'; 100]].concat();
        let error = to_make(sys::own_tid(), &unix(&long)).unwrap_err();
        assert_eq!(error, End::Fails(libc::ENAMETOOLONG));
    }
}
