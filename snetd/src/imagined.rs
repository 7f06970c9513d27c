// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that nobody made: what would the policy say of one, and why?

use std::path::PathBuf;

use anyhow::Result;
use libsnet::control::{ErrorReply, Reply, TestCall};
use libsnet::policy::{Cgroups, Policy, Program, Unit};
use libsnet::types::{Details, Exe, Parent, Subject};

use crate::answers::{Answer, Answers};
use crate::compiled::Inputs;
use crate::details::Sums;
use crate::policy_control::{blocking, failed};
use crate::{resolve, watched};

/// The only cgroup of an imagined machine.
const CGROUP: u64 = 1;

/// Why nothing can be said.
enum Unanswerable {
    Program(&'static str),
    Parent(&'static str),
}

impl Answers {
    /// Imagines the call and asks the policy in force.
    pub(crate) async fn test(&self, call: TestCall) -> Answer {
        let tried = format!("testing {} failed", call.program);
        let refuse = |error: &anyhow::Error| failed(error, &tried);
        let (inputs, sums) = (self.policy.current().await.inputs(), self.policy.sums.clone());
        let asked = call.clone();
        let imagined = blocking(move || subject(&asked, &inputs, &sums)).await;
        let mut subject = match imagined.map_err(|error| refuse(&error))? {
            Ok(subject) => subject,
            Err(Unanswerable::Program(why)) => {
                let reason = format!("{tried}: {} {why}", call.program);
                return Err(ErrorReply::Failed { reason });
            }
            Err(Unanswerable::Parent(why)) => {
                let parent = call.parent.map(|parent| parent.to_string()).unwrap_or_default();
                return Err(ErrorReply::InvalidParameter {
                    parameter: format!("parent: {parent} {why}"),
                });
            }
        };
        self.policy.look_at(&mut subject, &call.object).await.map_err(|error| refuse(&error))?;
        let current = self.policy.current().await;
        let policy = Policy::clone(&current.policy).with_cgroups(cgroups(&call).into());
        let explanation = policy.explain(&subject, &call.object);
        let watched = watched::is_watched(&current.inputs().watch, &call.object);
        Ok(Reply::Explained { explanation: Box::new(explanation), watched })
    }
}

/// The process that makes the call. Blocks.
fn subject(call: &TestCall, inputs: &Inputs, sums: &Sums) -> Result<Subject, Unanswerable> {
    let exe = match &call.program {
        Program::Any | Program::Pattern(_) | Program::Sha256(_) => {
            return Err(Unanswerable::Program("isn't one program that makes calls"));
        }
        // What is there isn't looked at.
        Program::Path(path) if call.container.is_some() => in_a_container(path.clone()),
        program => {
            let found = file(program, inputs).ok_or(Unanswerable::Program("isn't installed"))?;
            if call.container.is_some() { in_a_container(found.path) } else { found }
        }
    };
    let parent = match &call.parent {
        None => Parent::Elsewhere,
        Some(program) => {
            let found = file(program, inputs);
            Parent::Host(found.ok_or(Unanswerable::Parent("is no program that is installed"))?.path)
        }
    };
    let details = Details {
        command: Some(call.command.clone().unwrap_or_default()),
        parent: Some(parent),
        sha256: sums.of_path(&exe.path),
    };
    let cgroup_id = CGROUP;
    let user_ns = inputs.host.user_ns;
    Ok(Subject { user_ns, cgroup_id, details, ..Subject::imagined(Some(exe), call.uid) })
}

/// A container's file is none of the host's, whatever its path.
fn in_a_container(path: PathBuf) -> Exe {
    Exe { path, device: 0, inode: 0 }
}

fn file(program: &Program, inputs: &Inputs) -> Option<Exe> {
    let candidates = resolve::candidates(program, &inputs.search_path);
    let mut files = candidates.into_iter();
    files.find_map(|file| {
        let identity = file.identity?;
        Some(Exe { path: file.path, device: identity.device, inode: identity.inode })
    })
}

/// The cgroup that the call is said to be made in.
fn cgroups(call: &TestCall) -> Cgroups {
    let mut cgroups = Cgroups::default();
    let path = call.unit.as_ref().map_or_else(|| "/".to_owned(), Unit::cgroup);
    let container = call.container.iter().map(ToString::to_string).collect();
    cgroups.insert(CGROUP, &path, container);
    cgroups
}
