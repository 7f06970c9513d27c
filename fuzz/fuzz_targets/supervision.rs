// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a supervisor and snetd tell each other: what is read is written as the same.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use libsnet::control::{Said, Told};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|message: &[u8]| {
    again::<Told>(message);
    again::<Said>(message);
});

fn again<T: Serialize + DeserializeOwned + PartialEq + Debug>(message: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(message) {
        let text = serde_json::to_vec(&read).expect("JSON");
        assert_eq!(serde_json::from_slice::<T>(&text).expect("what was written"), read);
    }
}
