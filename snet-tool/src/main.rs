// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line's binary; see the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    snet_tool::main()
}
