// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tool writes about itself: help, completions, man pages.

use std::fs;
use std::process::Command;

use crate::fake::{Ran, tool};

fn run(arguments: &[&str]) -> Ran {
    tool(arguments).output().unwrap().into()
}

#[test]
fn the_help_of_each_command_has_an_example() {
    let commands = [
        "allow",
        "deny",
        "rules",
        "test",
        "tickets",
        "log",
        "watch",
        "run",
        "status",
        "completions",
        "man",
    ];
    for command in commands {
        let ran = run(&[command, "--help"]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("Example") && ran.out.contains("--json"), "{command}");
        assert_eq!(run(&["help", command]).out, ran.out);
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    assert!(run(&["--help"]).out.contains("4  snetd isn't reachable"));
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("snet-tool") && ran.out.contains("tickets"), "{shell}");
    }
    assert_eq!(run(&["completions", "cmd"]).code, 2);
}

#[test]
fn bash_completes_every_word_of_a_line() {
    let script = run(&["completions", "bash"]).out;
    for (line, wanted) in [
        ("snet-tool ru", "rules"),
        ("snet-tool rules exp", "export"),
        ("snet-tool restore --us", "--user"),
    ] {
        let asked = format!(
            "{script}\nCOMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _snet__tool snet-tool \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let bash = Command::new("bash").args(["-c", &asked]).output().unwrap();
        let said = String::from_utf8_lossy(&bash.stdout);
        assert!(said.lines().any(|word| word == wanted), "{line}: {bash:?}");
    }
}

#[test]
fn the_main_page_goes_to_stdout_and_all_pages_to_a_directory() {
    let ran = run(&["man"]);
    assert!(ran.out.contains(".TH snet-tool 1") && ran.out.contains("Exit codes"), "{}", ran.out);
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    assert_eq!(run(&["man", pages.to_str().unwrap()]).code, 0);
    let mut names: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for page in
        ["snet-tool.1", "snet-tool-allow.1", "snet-tool-rules-show.1", "snet-tool-tickets-revoke.1"]
    {
        assert!(names.iter().any(|name| name == page), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let ran = run(&["man", "/proc/nowhere"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("/proc/nowhere"), "{}", ran.err);
}

#[test]
fn the_version_is_told() {
    assert_eq!(run(&["--version"]).out, format!("snet-tool {}\n", env!("CARGO_PKG_VERSION")));
}
