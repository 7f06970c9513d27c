// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words of rules: the first line is read as each kind, the second is a path that a pattern is
//! held against. What is understood is written as a word that means the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use libsnet::policy::{Program, Unit};
use libsnet::types::{Operations, PortRange, Protocols};
use snet_tool::fuzzing as words;

fuzz_target!(|text: &str| {
    let (word, path) = text.split_once('\n').unwrap_or((text, text));
    again::<Operations>(word);
    again::<Protocols>(word);
    again::<PortRange>(word);
    match again::<Program>(word) {
        Some(Program::Pattern(pattern)) => {
            let _ = pattern.matches(Path::new(path));
        }
        Some(Program::Path(path)) => assert_eq!(path.to_str(), Some(word)),
        _ => {}
    }
    if let Some(unit) = again::<Unit>(word) {
        assert!(unit.holds(&unit.cgroup()));
        let _ = unit.holds(path);
    }
    typed(word);
});

fn typed(word: &str) {
    again::<libsnet::policy::HostPattern>(word);
    again::<libsnet::policy::Container>(word);
    again::<libsnet::policy::CommandPattern>(word);
    again::<libsnet::types::Sha256>(word);
    if let Ok(net) = words::network(word) {
        assert_eq!(net, net.trunc());
        assert_eq!(words::network(&net.to_string()), Ok(net));
    }
    if let Ok((address, port)) = words::endpoint(word) {
        let text = match port {
            Some(port) => std::net::SocketAddr::new(address, port).to_string(),
            None => address.to_string(),
        };
        assert_eq!(words::endpoint(&text), Ok((address, port)));
    }
    if let Ok(operations) = words::operations(word) {
        assert_eq!(words::operations(&operations.to_string()), Ok(operations));
    }
    if let Ok(operation) = words::operation(word) {
        assert_eq!(words::operations(word), Ok(operation.into()));
    }
    if let Ok((protocols, number)) = words::protocols(word) {
        let text = number.map_or_else(|| protocols.to_string(), |number| number.to_string());
        assert_eq!(words::protocols(&text), Ok((protocols, number)));
    }
    if let Ok((protocol, None)) = words::protocol(word) {
        assert_eq!(words::protocols(word), Ok((protocol.into(), None)));
    }
    if let Ok((end, with_snetd)) = words::lifetime(word) {
        assert!(end.is_none() || !with_snetd);
    }
}

fn again<T: FromStr<Err: Display> + Display + PartialEq + Debug>(word: &str) -> Option<T> {
    match word.parse::<T>() {
        Ok(value) => {
            let back = value.to_string().parse::<T>();
            assert!(back.is_ok_and(|back| back == value), "{value:?}");
            Some(value)
        }
        Err(error) => {
            let _ = error.to_string();
            None
        }
    }
}
