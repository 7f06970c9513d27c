// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why calls with addresses are made here and not left to their callers: a supervisor that looks
//! at the address and lets the call continue is shown to be got past.
//!
//! A thread of the test puts itself under the filter and is supervised by another one of the same
//! process. The same attempts under `snet-tool run` are in `snet-tool/tests/run/sound.rs`.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, mpsc};

use libsnet::types::Operation;

use crate::sys::{self, End};
use crate::{filter, memory};

/// `struct sockaddr_in` of 127.0.0.1, whose port two threads write.
#[repr(C)]
struct Address {
    family: u16,
    port: AtomicU16,
    rest: [u8; 12],
}

const ATTEMPTS: usize = 20_000;

/// Lets calls to the allowed port continue, and refuses all others.
fn supervise(listener: &impl AsFd, allowed: u16) {
    while let Ok(held) = sys::receive(listener.as_fd()) {
        let port = memory::read_address(held.pid, held.data.args[1], held.data.args[2])
            .map(|address| u16::from_be_bytes([address[2], address[3]]));
        let end = if port == Ok(allowed) { End::Continues } else { End::Fails(libc::EACCES) };
        sys::end(listener.as_fd(), held.id, end);
    }
}

#[test]
fn a_call_that_is_merely_continued_goes_where_it_was_not_allowed_to() {
    let listeners = [0, 0].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [allowed, denied] = listeners.each_ref().map(|one| one.local_addr().unwrap().port());
    for listener in listeners {
        std::thread::spawn(move || while listener.accept().is_ok() {});
    }
    let (family, rest) = (libc::AF_INET as u16, [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let address = Arc::new(Address { family, port: AtomicU16::new(0), rest });
    let over = Arc::new(AtomicBool::new(false));
    let (swapped, until) = (Arc::clone(&address), Arc::clone(&over));
    std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            for port in [allowed, denied] {
                swapped.port.store(port.to_be(), Ordering::Relaxed);
            }
        }
    });
    let (give, take) = mpsc::channel();
    let racing = std::thread::spawn(move || {
        let watch = [(Operation::Connect, "tcp".parse().unwrap())].into();
        give.send(sys::install_filter(&mut filter::program(&watch)).unwrap()).unwrap();
        let mut reached = 0;
        for _ in 0..ATTEMPTS {
            let socket = sys::stream_socket().unwrap();
            sys::reset_on_close(socket.as_fd());
            let place = std::ptr::from_ref::<Address>(&address);
            if sys::connect_at(socket.as_fd(), place.cast(), 16).is_ok()
                && TcpStream::from(socket).peer_addr().is_ok_and(|peer| peer.port() == denied)
            {
                reached += 1;
                if reached == 3 {
                    break;
                }
            }
        }
        reached
    });
    let listener = take.recv().unwrap();
    std::thread::spawn(move || supervise(&listener, allowed));
    let reached = racing.join().unwrap();
    over.store(true, Ordering::Relaxed);
    assert!(reached > 0, "none of {ATTEMPTS} attempts got past a supervisor that can be got past");
}
