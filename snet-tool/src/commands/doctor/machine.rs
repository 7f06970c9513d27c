// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machine's own files say: its kernel, the module, what is locked.

use std::fs;
use std::path::PathBuf;

use libsnet::client::{disabled_by_command_line, disabled_by_modprobe};

use super::Finding;

/// The file system of the machine that is looked at.
pub(super) struct Machine {
    pub(super) root: PathBuf,
}

impl Machine {
    fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}

/// Options without which the module can't attach.
const OPTIONS: [&str; 4] = [
    "CONFIG_MODULES",
    "CONFIG_SECURITY_NETWORK",
    "CONFIG_KPROBES",
    "CONFIG_DYNAMIC_FTRACE_WITH_ARGS",
];

pub(super) fn kernel(machine: &Machine) -> Vec<Finding> {
    let release = machine.read("proc/sys/kernel/osrelease").unwrap_or_default();
    let mut findings = Vec::new();
    match machine.read(&format!("boot/config-{release}")) {
        Some(config) => {
            let missing: Vec<&str> = OPTIONS
                .into_iter()
                .filter(|option| !config.lines().any(|line| line == format!("{option}=y")))
                .collect();
            findings.push(match missing.as_slice() {
                [] => Finding::ok("kernel", format!("{release}, with what the module needs")),
                missing => Finding::bad(
                    "kernel",
                    format!("{release} lacks {}", missing.join(", ")),
                    "the module can't work with it; `snet-tool run` can",
                ),
            });
        }
        None if !machine.exists("proc/modules") => findings.push(Finding::bad(
            "kernel",
            format!("{release} loads no modules"),
            "`snet-tool run -- PROGRAM` needs none",
        )),
        None => findings.push(Finding::warning(
            "kernel",
            format!("{release}; there is no /boot/config-{release} to look at"),
            "modprobe snet tells what is missing",
        )),
    }
    if machine.read("proc/sys/kernel/ftrace_enabled").as_deref() == Some("0") {
        findings.push(Finding::bad(
            "ftrace",
            "kernel.ftrace_enabled is 0, so that nothing can be attached",
            "sysctl kernel.ftrace_enabled=1",
        ));
    }
    if let Some(active) = machine.read("sys/kernel/security/lsm")
        && !active.split(',').any(|name| name == "bpf")
    {
        findings.push(Finding::warning(
            "security",
            format!("bpf isn't among the active security modules ({active})"),
            "the module attaches elsewhere then; add bpf to lsm= on the kernel's command line",
        ));
    }
    let patches = fs::read_dir(machine.root.join("sys/kernel/livepatch"));
    if patches.is_ok_and(|mut patches| patches.next().is_some()) {
        findings.push(Finding::warning(
            "livepatch",
            "a live patch is in force, and may have one of the functions that snet needs",
            "modprobe snet tells, if so",
        ));
    }
    findings
}

pub(super) fn module(machine: &Machine) -> Finding {
    if let Some(version) = machine.read("sys/module/snet/version") {
        return Finding::ok("module", format!("snet {version} is loaded"));
    }
    if machine.exists("sys/module/snet") {
        return Finding::ok("module", "snet is loaded");
    }
    if disabled_by_command_line(&machine.read("proc/cmdline").unwrap_or_default()) {
        let what = "snet.disable=1 on the kernel's command line keeps it from being loaded";
        return Finding::bad("module", what, "boot without it");
    }
    if let Some((file, _)) = modprobe_files(machine).find(|(_, text)| disabled_by_modprobe(text)) {
        let what = format!("its parameter `disable`, set in {file}, keeps it from being loaded");
        return Finding::bad("module", what, "delete that line, then modprobe snet");
    }
    if !machine.exists("proc/modules") {
        return Finding::bad("module", "this kernel loads none", "use `snet-tool run`");
    }
    let advice = "as root: modprobe snet; dkms status tells whether it was built for this kernel";
    Finding::bad("module", "not loaded", advice)
}

/// Names and texts of what modprobe reads.
fn modprobe_files(machine: &Machine) -> impl Iterator<Item = (String, String)> {
    let places = ["etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d"];
    places.into_iter().flat_map(|place| {
        let entries = fs::read_dir(machine.root.join(place)).into_iter().flatten().flatten();
        entries.filter_map(move |entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            Some((format!("/{place}/{}", entry.file_name().display()), text))
        })
    })
}

/// Secure Boot, and what it locks down.
pub(super) fn locks(machine: &Machine) -> Option<Finding> {
    let lockdown = machine.read("sys/kernel/security/lockdown")?;
    let active = lockdown.split('[').nth(1)?.split(']').next()?.to_owned();
    if active == "none" {
        return None;
    }
    Some(Finding::warning(
        "lockdown",
        format!("the kernel is locked down ({active}): it takes signed modules only"),
        "enrol the key that DKMS signs with: mokutil --import /var/lib/dkms/mok.pub, then reboot",
    ))
}

pub(super) fn supervision(machine: &Machine) -> Finding {
    match machine.read("proc/sys/kernel/yama/ptrace_scope").as_deref() {
        Some("2" | "3") => Finding::warning(
            "run",
            "kernel.yama.ptrace_scope keeps `snet-tool run` from looking at its programs",
            "sysctl kernel.yama.ptrace_scope=1, unless it is to stay so",
        ),
        _ if !machine.exists("proc/sys/kernel/seccomp") => Finding::warning(
            "run",
            "the kernel has no seccomp: `snet-tool run` can't work",
            "use the module",
        ),
        _ => Finding::ok("run", "`snet-tool run` can hold a program without the module"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    struct Fake {
        dir: tempfile::TempDir,
    }

    impl Fake {
        fn new(files: &[(&str, &str)]) -> Self {
            let fake = Self { dir: tempfile::tempdir().unwrap() };
            for (path, text) in files {
                let path = fake.dir.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            fake
        }

        fn machine(&self) -> Machine {
            Machine { root: self.dir.path().to_owned() }
        }
    }

    const RELEASE: (&str, &str) = ("proc/sys/kernel/osrelease", "6.1.0\n");

    fn states(findings: &[Finding]) -> Vec<(&str, State)> {
        findings.iter().map(|finding| (finding.about, finding.state)).collect()
    }

    #[test]
    fn a_stock_kernel_is_fine() {
        let config: String = OPTIONS.iter().map(|option| format!("{option}=y\n")).collect();
        let fake = Fake::new(&[
            RELEASE,
            ("boot/config-6.1.0", &config),
            ("proc/sys/kernel/ftrace_enabled", "1\n"),
            ("sys/kernel/security/lsm", "lockdown,capability,landlock,yama,apparmor,bpf"),
        ]);
        assert_eq!(states(&kernel(&fake.machine())), [("kernel", State::Ok)]);
    }

    #[test]
    fn each_thing_that_is_missing_is_told() {
        let fake = Fake::new(&[
            RELEASE,
            ("boot/config-6.1.0", "CONFIG_MODULES=y\nCONFIG_KPROBES=m\n"),
            ("proc/sys/kernel/ftrace_enabled", "0\n"),
            ("sys/kernel/security/lsm", "lockdown,capability"),
            ("sys/kernel/livepatch/fix/enabled", "1"),
        ]);
        let findings = kernel(&fake.machine());
        assert!(findings[0].what.contains("lacks CONFIG_SECURITY_NETWORK, CONFIG_KPROBES"));
        assert_eq!(
            states(&findings)[1..],
            [("ftrace", State::Bad), ("security", State::Warning), ("livepatch", State::Warning),]
        );
        let without = Fake::new(&[RELEASE]);
        assert!(kernel(&without.machine())[0].what.contains("loads no modules"));
    }

    #[test]
    fn why_the_module_is_not_loaded_is_told() {
        let disabled = Fake::new(&[("proc/cmdline", "quiet snet.disable=1")]);
        assert!(module(&disabled.machine()).what.contains("snet.disable=1"));
        let file = ("etc/modprobe.d/away.conf", "options snet disable=1\n");
        assert!(module(&Fake::new(&[file]).machine()).what.contains("/etc/modprobe.d/away.conf"));
        let without = Fake::new(&[("proc/modules", "")]);
        assert!(module(&without.machine()).advice.contains("modprobe snet"));
        assert!(!module(&Fake::new(&[]).machine()).advice.contains("modprobe snet"));
        let loaded = Fake::new(&[("sys/module/snet/version", "0.1.0\n")]);
        assert_eq!(module(&loaded.machine()), Finding::ok("module", "snet 0.1.0 is loaded"));
    }

    #[test]
    fn lockdown_and_yama_are_told_where_they_matter() {
        let locked = Fake::new(&[
            ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
            ("proc/sys/kernel/yama/ptrace_scope", "3\n"),
        ]);
        assert!(locks(&locked.machine()).unwrap().what.contains("(integrity)"));
        assert_eq!(supervision(&locked.machine()).state, State::Warning);
        let open = Fake::new(&[
            ("sys/kernel/security/lockdown", "[none] integrity confidentiality\n"),
            ("proc/sys/kernel/seccomp/actions_avail", "user_notif"),
        ]);
        assert_eq!(locks(&open.machine()), None);
        assert_eq!(supervision(&open.machine()).state, State::Ok);
    }
}
