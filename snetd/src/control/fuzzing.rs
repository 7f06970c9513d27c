// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `fuzz/` reaches of the control socket: framing, and what a message means.

use std::io;
use std::sync::LazyLock;

use libsnet::control::{Call, ErrorReply, MAX_MESSAGE};
use tokio::runtime::{Builder, Runtime};

use super::service;
use super::varlink::{Request, read_message};

static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build());

/// What a session makes of a message.
#[derive(Debug, PartialEq)]
pub enum Meant {
    /// No Varlink: the connection is closed.
    Nothing,
    /// What Varlink asks of every service.
    Service,
    /// A call of `io.snet.Control`.
    Call(Box<Call>),
    /// A call that is answered with an error.
    Wrong(ErrorReply),
}

/// What a session makes of this message.
pub fn call(message: &[u8]) -> Meant {
    let Some(request) = Request::parse(message) else {
        return Meant::Nothing;
    };
    let meant = if request.interface() == service::SERVICE {
        service::answer(request).map(|_| Meant::Service)
    } else {
        request.into_call().map(Box::new).map(Meant::Call)
    };
    meant.unwrap_or_else(Meant::Wrong)
}

/// The messages of a connection on which this was sent, and whether it ended behind one.
///
/// # Errors
/// Where there is no event loop.
pub fn messages(mut sent: &[u8]) -> Result<(Vec<Vec<u8>>, bool), &'static io::Error> {
    let runtime = RUNTIME.as_ref()?;
    Ok(runtime.block_on(async {
        let mut messages = Vec::new();
        loop {
            match read_message(&mut sent, MAX_MESSAGE).await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, true),
                Err(_) => return (messages, false),
            }
        }
    }))
}
