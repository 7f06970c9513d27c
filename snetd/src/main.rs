// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon's binary; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    snetd::main()
}
