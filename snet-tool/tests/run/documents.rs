// SPDX-License-Identifier: MIT OR Apache-2.0
//! Documents whose commands are run, and print what they say. Which these are stands in tests/book.

use std::path::Path;
use std::process::Command;

use crate::harness::Ran;

fn prints_what_it_says(document: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_snet-tool")).parent().unwrap();
    let ran: Ran = Command::new("/usr/bin/python3")
        .arg(root.join("tests/native/document.py"))
        .arg(root.join(document))
        .arg(programs)
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn the_tutorial_prints_what_it_says() {
    prints_what_it_says("docs/tutorial.md");
}

#[test]
fn the_page_on_rules_prints_what_it_says() {
    prints_what_it_says("docs/rules.md");
}

#[test]
fn the_page_on_asking_prints_what_it_says() {
    prints_what_it_says("docs/asking.md");
}

#[test]
fn the_page_on_servers_prints_what_it_says() {
    prints_what_it_says("docs/servers.md");
}

#[test]
fn the_page_on_containers_prints_what_it_says() {
    prints_what_it_says("docs/containers.md");
}

#[test]
fn the_page_on_troubleshooting_prints_what_it_says() {
    prints_what_it_says("docs/troubleshooting.md");
}

#[test]
fn the_page_on_the_protocols_prints_what_it_says() {
    prints_what_it_says("docs/protocol.md");
}

#[test]
fn the_page_on_operations_prints_what_it_says() {
    prints_what_it_says("docs/operations.md");
}
