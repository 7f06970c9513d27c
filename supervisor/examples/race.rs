// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program that tries to get past its supervisor: `race ALLOWED DENIED ATTEMPTS`.
//!
//! One thread connects to the first port of 127.0.0.1 again and again, while another one keeps
//! writing the second port into the same address. Prints how often the denied port was reached.

use std::io;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

/// `struct sockaddr_in`, whose port two threads write.
#[repr(C)]
struct Address {
    family: u16,
    port: AtomicU16,
    ip: [u8; 4],
    zero: [u8; 8],
}

static ADDRESS: Address = Address {
    family: libc::AF_INET as u16,
    port: AtomicU16::new(0),
    ip: Ipv4Addr::LOCALHOST.octets(),
    zero: [0; 8],
};
static OVER: AtomicBool = AtomicBool::new(false);

/// Connects to wherever the address leads by then; gives the peer's port.
fn attempt() -> Option<u16> {
    const SIZE: u32 = size_of::<Address>() as u32;
    // SAFETY: plain socket calls; the address lives for ever, and the kernel writes no more of
    // `peer` than `length` says.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        // Closed with a reset, so that thousands of connections leave no trace.
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let size = size_of::<libc::linger>() as u32;
        let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
        libc::setsockopt(socket, level, name, (&raw const linger).cast(), size);
        let connected = libc::connect(socket, (&raw const ADDRESS).cast(), SIZE) == 0;
        let mut peer: libc::sockaddr_in = std::mem::zeroed();
        let mut length = size_of::<libc::sockaddr_in>() as u32;
        let named = libc::getpeername(socket, ptr::from_mut(&mut peer).cast(), &raw mut length);
        libc::close(socket);
        (connected && named == 0).then(|| u16::from_be(peer.sin_port))
    }
}

fn main() -> io::Result<()> {
    let numbers: Vec<u32> =
        std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [allowed, denied, attempts] = numbers[..] else {
        return Err(io::Error::other("usage: race ALLOWED DENIED ATTEMPTS"));
    };
    let ports = [allowed, denied].map(|port| (port as u16).to_be());
    let swapping = std::thread::spawn(move || {
        while !OVER.load(Ordering::Relaxed) {
            for port in ports {
                ADDRESS.port.store(port, Ordering::Relaxed);
                std::hint::spin_loop();
            }
        }
    });
    let (mut reached, mut passed) = (0, 0);
    for _ in 0..attempts {
        match attempt() {
            Some(port) if u32::from(port) == denied => reached += 1,
            Some(_) => passed += 1,
            None => {}
        }
    }
    OVER.store(true, Ordering::Relaxed);
    swapping.join().map_err(|_| io::Error::other("a thread failed"))?;
    println!("{reached} of {attempts} reached the denied port, {passed} the allowed one");
    Ok(())
}
