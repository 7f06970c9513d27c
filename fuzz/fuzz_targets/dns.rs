// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers of name servers, and the packets that carry them. Names come out as they can be
//! compared, and no more answers are believed than packets asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use libsnet::policy::HostPattern;

fuzz_target!(|bytes: &[u8]| {
    if let Some((names, addresses)) = snetd::fuzzing::dns(bytes) {
        assert!(!names.is_empty() && !addresses.is_empty());
        for name in names {
            assert!(!name.is_empty() && !name.contains('*') && !name.starts_with('.'), "{name:?}");
            assert_eq!(name, name.to_ascii_lowercase());
            if let Ok(pattern) = name.parse::<HostPattern>() {
                assert!(pattern.matches(name.strip_suffix('.').unwrap_or(&name)), "{name:?}");
            }
        }
        for address in addresses {
            assert_eq!(address, address.to_canonical());
        }
    }
    let packets: Vec<&[u8]> = bytes.split(|byte| *byte == 0xfe).collect();
    let server = [10, 0, 0, 1].into();
    assert!(snetd::fuzzing::packets(&packets, server) <= packets.len() / 2);
});
