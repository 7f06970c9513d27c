// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program that makes socket calls by the other ABIs of x86-64, and prints what they return.

use std::arch::asm;

/// `socketcall(SYS_SOCKET)` by `int 0x80`.
fn i386(number: i64) -> i64 {
    let result: i64;
    // SAFETY: whatever the call makes of these numbers, it touches no memory of this program;
    // i386 calls clobber r8 to r11.
    unsafe {
        asm!("xchg rbx, {first}", "int 0x80", "xchg rbx, {first}",
             first = inout(reg) 1i64 => _, inlateout("rax") number => result, in("rcx") 0,
             in("rdx") 0, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    i64::from(result as i32)
}

/// A call of x32.
fn x32(number: i64) -> i64 {
    // SAFETY: as above.
    let result = unsafe { libc::syscall(number | 0x4000_0000, 0, 0, 0) };
    if result < 0 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        result
    }
}

/// `io_uring_setup()`.
fn ring() -> i64 {
    // SAFETY: a NULL pointer is refused.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) };
    if result < 0 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        result
    }
}

fn main() {
    println!("socketcall {} connect32 {} getpid32 {}", i386(102), i386(362), i386(20) > 0);
    println!("x32 {} io_uring {}", x32(libc::SYS_connect), ring());
}
