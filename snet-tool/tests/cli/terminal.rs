// SPDX-License-Identifier: MIT OR Apache-2.0
//! What differs on a terminal: colours, and tables that fit.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use libsnet::control::Reply;
use libsnet::types::Verdict;
use nix::pty::{Winsize, openpty};

use crate::fake::{Fake, reply, rule};

/// Everything the tool shows on a terminal of this width.
fn shown(fake: &Fake, arguments: &[&str], columns: u16, environment: &[(&str, &str)]) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("snet-tool"));
    command
        .args(arguments)
        .env_clear()
        .env("SNET_SOCKET", fake.socket())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::from(pty.slave))
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // The slave must be open in the tool only, so that its end ends the reading.
    drop(command);
    let mut text = Vec::new();
    // A pty ends in EIO.
    let _ = File::from(pty.master).read_to_end(&mut text);
    assert!(child.wait().unwrap().success());
    String::from_utf8(text).unwrap()
}

fn listing() -> Fake {
    Fake::new(|_, _| {
        let mut noted = rule(3, Verdict::Deny, "curl");
        noted.spec.note = format!("{}\x1b]0;title\x07", "a long note ".repeat(10));
        reply(Reply::Rules { rules: vec![noted] })
    })
}

#[test]
fn a_table_has_colours_and_fits_the_terminal() {
    let text = shown(&listing(), &["rules"], 100, &[("TERM", "xterm")]);
    assert!(text.contains("\x1b[") && text.contains('─'), "{text:?}");
    for line in text.replace("\r\n", "\n").lines() {
        let mut width = 0;
        let mut rest = line.chars();
        while let Some(character) = rest.next() {
            match character {
                '\x1b' => drop(rest.by_ref().find(|end| *end == 'm')),
                _ => width += 1,
            }
        }
        assert!(width <= 100, "{width}: {line:?}");
    }
}

#[test]
fn nothing_untrusted_reaches_the_terminal() {
    for arguments in [&["rules"][..], &["rules", "--json"]] {
        let text = shown(&listing(), arguments, 400, &[]);
        assert!(!text.contains("\x1b]") && !text.contains('\x07'), "{text:?}");
        assert!(text.contains("title"), "{text:?}");
    }
}

#[test]
fn colours_can_be_refused() {
    for (arguments, environment) in [
        (&["rules"][..], ("NO_COLOR", "1")),
        (&["rules"], ("TERM", "dumb")),
        (&["rules", "--color", "never"], ("TERM", "xterm")),
        (&["rules", "--json"], ("TERM", "xterm")),
    ] {
        let text = shown(&listing(), arguments, 100, &[environment]);
        assert!(!text.contains('\x1b'), "{arguments:?} {environment:?} {text:?}");
    }
}
