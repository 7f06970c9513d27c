// SPDX-License-Identifier: MIT OR Apache-2.0
//! Against the kernel that runs the test, which has generic netlink and maybe not snet.

use libsnet::client::{Client, Error, resolve};
use libsnet::uapi::FAMILY_NAME;
use libsnet::wire::family::{CONTROLLER, CONTROLLER_NAME, NOTIFY_GROUP};

#[tokio::test]
async fn the_controller_is_found_with_its_groups() {
    let family = resolve(CONTROLLER_NAME).await.unwrap();
    assert_eq!((family.name.as_str(), family.id), (CONTROLLER_NAME, CONTROLLER));
    assert!(family.groups.iter().any(|(name, _)| name == NOTIFY_GROUP), "{family:?}");
}

#[tokio::test]
async fn a_family_that_is_not_there_is_not_loaded() {
    let error = resolve("snet-absent").await.unwrap_err();
    assert!(error.to_string().contains("isn't loaded"), "{error}");
    assert!(matches!(error, Error::NotLoaded { family } if family == "snet-absent"));
}

#[tokio::test]
async fn without_the_module_nobody_connects() {
    match Client::connect().await {
        Err(Error::NotLoaded { family }) => assert_eq!(family, FAMILY_NAME),
        Err(error) => panic!("{error}"),
        Ok(client) => {
            eprintln!("the module is loaded here: asking it");
            match client.stats().await {
                Ok(_) | Err(Error::NotPermitted(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_no_attribute_can_hold_is_refused_here() {
    let error = resolve(&"a".repeat(70_000)).await.unwrap_err();
    assert!(matches!(error, Error::Encode(_)), "{error}");
    assert!(error.to_string().contains("control.family-name"), "{error}");
}
