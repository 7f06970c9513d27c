// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file of rules. What is read is written as the same rules; an error has its place in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snet_tool::fuzzing::{read_rules, tell_rules, write_rules};

fuzz_target!(|text: &str| {
    match read_rules(text) {
        Ok(rules) => {
            let file = write_rules(&rules).expect("a file");
            assert_eq!(read_rules(&file), Ok(rules), "{file}");
            for told in tell_rules(text).expect("rules") {
                assert!(!told.is_empty());
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| snet_fuzz::assert_place(error, text));
        }
    }
});
