// SPDX-License-Identifier: MIT OR Apache-2.0
//! What snetd sends to snet-tool, read as the answer to each call. What is read is written as
//! the same answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use snet_tool::fuzzing::{answers, frames};

fuzz_target!(|came: &[u8]| {
    let Ok((messages, whole)) = frames(came) else {
        return;
    };
    let mut parts: Vec<&[u8]> = came.split(|byte| *byte == 0).collect();
    let rest = parts.pop().unwrap_or_default();
    assert_eq!(messages, parts);
    assert_eq!(whole, rest.is_empty());
    for message in messages {
        for (kind, answer) in answers(&message).into_iter().enumerate() {
            if let Ok(answer) = answer {
                let text = json!({ "parameters": answer }).to_string();
                let back = answers(text.as_bytes()).swap_remove(kind);
                assert_eq!(back, Ok(answer));
            }
        }
    }
});
