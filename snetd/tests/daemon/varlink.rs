// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the test with an independent Varlink client.

use std::io::Write;
use std::process::Command;

#[test]
fn an_independent_client_introspects_and_calls() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/varlink_client.py");
    // For a client that isn't installed system-wide.
    let python = std::env::var("SNET_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    match Command::new(&python).arg(script).arg(env!("CARGO_BIN_EXE_snetd")).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            // Not captured by the test harness, so that a skip is seen.
            let _ = write!(std::io::stderr(), "{said}");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(std::env::var_os("CI").is_none() || !said.contains("skipped"), "{said}");
        }
        Err(error) => eprintln!("skipped: can't run {python}: {error}"),
    }
}
