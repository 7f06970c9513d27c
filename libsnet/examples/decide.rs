// SPDX-License-Identifier: MIT OR Apache-2.0
//! A decider of its own, whose loop is ten lines: allows every TCP connection but those to port 25, and prints each.
//!
//! Needs the kernel module, and root in the initial namespaces; snetd must not be running,
//! since there is one decider at a time.
//!
//! ```text
//! # cargo run -p libsnet --example decide
//! 4242 curl tcp connect 192.0.2.1:443: allow (Taken)
//! ```
//!
//! Every call that is watched waits for this program. If it ends, calls get the fallback that
//! is set in the kernel; if it is too slow, too. It never waits for a network or for another
//! process while a call is held, and neither should yours.

use libsnet::client::{Client, Decider, Error};
use libsnet::types::{Event, Operation, Protocol, Verdict};

/// The policy: pure, so that it can be tested.
fn decide(event: &Event) -> Verdict {
    let mail = event.object.remote.is_some_and(|peer| peer.port() == 25);
    if mail { Verdict::Deny } else { Verdict::Allow }
}

async fn decide_all(client: &Client, decider: &mut Decider) -> Result<(), Error> {
    client.set_watch(&[(Operation::Connect, Protocol::Tcp.into())].into()).await?;
    let mut waiting = Vec::new();
    loop {
        for event in waiting.drain(..) {
            let verdict = decide(&event);
            let delivery = client.verdict(event.request, verdict, &[]).await?;
            println!("{}: {verdict} ({delivery:?})", describe(&event));
        }
        match decider.next_event().await {
            Ok(event) => waiting.push(event),
            Err(Error::Overrun) => waiting = client.requests().await?,
            Err(error) => return Err(error),
        }
    }
}

fn describe(event: &Event) -> String {
    let (process, comm) = (event.subject.process.tgid, &event.subject.comm);
    let (operation, protocol) = (event.object.operation, event.object.protocol);
    let peer = event.object.remote.map_or("nobody".to_owned(), |peer| peer.to_string());
    format!("{process} {comm} {protocol} {operation} {peer}")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::connect().await?;
    let (mut decider, _settings) = Decider::register().await?;
    let ended = tokio::select! {
        ended = decide_all(&client, &mut decider) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    // The watch set outlives the decider, and the fallback would go on deciding.
    ended.and(client.clear_watch().await)
}
