// SPDX-License-Identifier: MIT OR Apache-2.0
//! `org.varlink.service`: what Varlink asks of every service, so that any client can find
//! out what this one offers.

use libsnet::control::{DESCRIPTION, ErrorReply, INTERFACE};
use serde::{Deserialize, Serialize};

use super::varlink::{Request, read_parameters};

/// Name of the interface.
pub(super) const SERVICE: &str = "org.varlink.service";

/// As the Varlink specification gives it.
const SERVICE_DESCRIPTION: &str = include_str!("org.varlink.service.varlink");

#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum ServiceReply {
    Info {
        vendor: &'static str,
        product: &'static str,
        version: &'static str,
        url: &'static str,
        interfaces: [&'static str; 2],
    },
    Description {
        description: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    interface: String,
}

/// Answers a call of `org.varlink.service`.
pub(super) fn answer(mut request: Request) -> Result<ServiceReply, ErrorReply> {
    let parameters = request.take_parameters();
    match request.method.as_str() {
        "org.varlink.service.GetInfo" => {
            let NoParameters {} = read_parameters(parameters)?;
            Ok(ServiceReply::Info {
                vendor: "snet",
                product: "snetd",
                version: env!("CARGO_PKG_VERSION"),
                url: env!("CARGO_PKG_REPOSITORY"),
                interfaces: [SERVICE, INTERFACE],
            })
        }
        "org.varlink.service.GetInterfaceDescription" => {
            let Interface { interface } = read_parameters(parameters)?;
            match interface.as_str() {
                SERVICE => Ok(ServiceReply::Description { description: SERVICE_DESCRIPTION }),
                INTERFACE => Ok(ServiceReply::Description { description: DESCRIPTION }),
                _ => Err(ErrorReply::InterfaceNotFound { interface }),
            }
        }
        _ => Err(ErrorReply::MethodNotFound { method: request.method }),
    }
}
