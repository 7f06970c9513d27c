// SPDX-License-Identifier: MIT OR Apache-2.0
//! What /proc and the files say of a process that the kernel doesn't: command line, parent, and
//! the sum of its executable.
//!
//! The process is held meanwhile, and is the same before and after the look, or nothing is said.
//! Blocks: never called on the decision path.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use libsnet::policy::Wants;
use libsnet::types::{Details, Parent, Sha256, Subject};
use sha2::Digest;

use crate::processes;

/// Longest command line that is read, in bytes. One that is longer can't be told.
const COMMAND: u64 = 1 << 20;
/// Largest executable whose sum is made.
const EXECUTABLE: u64 = 4 << 30;
/// Sums that are remembered.
const SUMS: usize = 1024;
/// A file that changed this lately may change again without a trace in its times.
const SETTLED: Duration = Duration::from_secs(2);

/// Sums of files, by what changes with their content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums(Arc<Mutex<HashMap<State, Sha256>>>);

/// Device, inode, size, and the times of the last change of content and of anything.
type State = (u64, u64, u64, (i64, i64), (i64, i64));

/// What is wanted of the subject, as far as it can be told.
pub(crate) fn look(subject: &Subject, wants: Wants, sums: &Sums) -> Details {
    look_in(Path::new("/proc"), subject, wants, sums)
}

fn look_in(proc: &Path, subject: &Subject, wants: Wants, sums: &Sums) -> Details {
    let process = proc.join(subject.process.tgid.to_string());
    let is_same = || processes::is(&process, &subject.process);
    if !wants.details() || !is_same() {
        return Details::default();
    }
    let found = Details {
        command: wants.command.then(|| command(&process)).flatten(),
        parent: wants.parent.then(|| parent(proc, &process)).flatten(),
        sha256: wants.sha256.then(|| sums.of(&process.join("exe"), subject)).flatten(),
    };
    if is_same() { found } else { Details::default() }
}

/// The arguments with a space between each two. Bytes that aren't UTF-8 become U+FFFD.
fn command(process: &Path) -> Option<String> {
    let mut text = Vec::new();
    let file = File::open(process.join("cmdline")).ok()?;
    file.take(COMMAND + 1).read_to_end(&mut text).ok()?;
    if text.len() as u64 > COMMAND {
        return None;
    }
    let text = String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(&text)).into_owned();
    Some(text.replace('\0', " "))
}

/// The parent can't end and its number be given away while the process has it for its parent.
fn parent(proc: &Path, process: &Path) -> Option<Parent> {
    let number = processes::parent(process)?;
    let found = match number {
        0 => Parent::Elsewhere,
        _ => executable(&proc.join(number.to_string()).join("exe"))?,
    };
    (processes::parent(process)? == number).then_some(found)
}

/// The host's file at the path that the process tells, if that is the file that it runs.
fn executable(link: &Path) -> Option<Parent> {
    let path = match fs::read_link(link) {
        Ok(path) => path,
        // A thread of the kernel.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(Parent::Elsewhere),
        Err(_) => return None,
    };
    let runs = fs::metadata(link).ok()?;
    let is_there =
        fs::metadata(&path).is_ok_and(|host| host.dev() == runs.dev() && host.ino() == runs.ino());
    Some(if is_there { Parent::Host(path) } else { Parent::Elsewhere })
}

impl Sums {
    /// The sum of the executable behind this link, if it is the subject's.
    fn of(&self, link: &Path, subject: &Subject) -> Option<Sha256> {
        let mut file = File::open(link).ok()?;
        let status = file.metadata().ok()?;
        let exe = subject.exe.as_ref()?;
        (status.dev() == exe.device && status.ino() == exe.inode).then_some(())?;
        self.of_file(&mut file, &status)
    }

    /// The sum of a file. While it is executed nobody writes to it.
    pub(crate) fn of_path(&self, path: &Path) -> Option<Sha256> {
        let mut file = File::open(path).ok()?;
        let status = file.metadata().ok().filter(Metadata::is_file)?;
        self.of_file(&mut file, &status)
    }

    fn of_file(&self, file: &mut File, status: &Metadata) -> Option<Sha256> {
        let state = state(status);
        if let Some(known) = self.locked().get(&state) {
            return Some(*known);
        }
        if status.len() > EXECUTABLE {
            return None;
        }
        let mut hasher = sha2::Sha256::new();
        let mut block = vec![0; 1 << 16];
        loop {
            match file.read(&mut block).ok()? {
                0 => break,
                length => hasher.update(block.get(..length)?),
            }
        }
        let sum = Sha256(hasher.finalize().into());
        if self::state(&file.metadata().ok()?) != state {
            return None;
        }
        if is_settled(status) {
            let mut known = self.locked();
            if known.len() >= SUMS {
                known.clear();
            }
            known.insert(state, sum);
        }
        Some(sum)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<State, Sha256>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state(status: &Metadata) -> State {
    let changed = (status.ctime(), status.ctime_nsec());
    let written = (status.mtime(), status.mtime_nsec());
    (status.dev(), status.ino(), status.size(), written, changed)
}

fn is_settled(status: &Metadata) -> bool {
    let changed = u64::try_from(status.ctime()).map(Duration::from_secs).unwrap_or_default();
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + changed);
    age.is_ok_and(|age| age > SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsnet::types::{Exe, ProcessKey};
    use std::process::{Child, Command, Stdio};

    const ALL: Wants = Wants {
        command: true,
        parent: true,
        sha256: true,
        cgroups: false,
        hosts: false,
        paths: false,
    };

    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn run() -> (Running, Subject) {
        let child = Command::new("/bin/sleep").args(["60", "0"]).stdin(Stdio::null()).spawn();
        let child = Running(child.unwrap());
        let process = Path::new("/proc").join(child.0.id().to_string());
        // Not before it executes the program.
        let executes =
            || fs::read(process.join("cmdline")).is_ok_and(|line| line.starts_with(b"/"));
        for _ in 0..1000 {
            if executes() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(executes(), "it doesn't run");
        let ticks = processes::start_ticks(&process).unwrap();
        let file = fs::metadata(process.join("exe")).unwrap();
        let path = fs::read_link(process.join("exe")).unwrap();
        let exe = Exe { path, device: file.dev(), inode: file.ino() };
        let start_time = ticks * 10_000_000;
        let subject = Subject {
            process: ProcessKey { tgid: child.0.id(), start_time, exec_id: 1 },
            ..Subject::imagined(Some(exe), 0)
        };
        (child, subject)
    }

    #[test]
    fn a_process_is_told_by_its_command_its_parent_and_its_content() {
        let (_child, subject) = run();
        let details = look(&subject, ALL, &Sums::default());
        assert_eq!(details.command.as_deref(), Some("/bin/sleep 60 0"));
        let own = fs::read_link("/proc/self/exe").unwrap();
        assert_eq!(details.parent, Some(Parent::Host(own)));
        let printed = Command::new("sha256sum").arg("/bin/sleep").output().unwrap().stdout;
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(details.sha256.map(|sum| sum.to_string()).as_deref(), printed.get(..64));
        let none = Wants { cgroups: true, ..Wants::default() };
        assert_eq!(look(&subject, none, &Sums::default()), Details::default());
    }

    #[test]
    fn of_another_process_nothing_is_told() {
        let (child, subject) = run();
        let later =
            ProcessKey { start_time: subject.process.start_time + 20_000_000, ..subject.process };
        let other = Subject { process: later, ..subject.clone() };
        assert_eq!(look(&other, ALL, &Sums::default()), Details::default());
        let exe = subject.exe.clone().map(|exe| Exe { inode: exe.inode + 1, ..exe });
        let other = Subject { exe, ..subject.clone() };
        assert_eq!(look(&other, ALL, &Sums::default()).sha256, None);
        drop(child);
        assert_eq!(look(&subject, ALL, &Sums::default()), Details::default());
    }

    #[test]
    fn a_sum_is_remembered_until_the_file_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        let sums = Sums::default();
        fs::write(&path, "one").unwrap();
        let one = sums.of_path(&path).unwrap();
        fs::write(&path, "two").unwrap();
        let two = sums.of_path(&path).unwrap();
        assert_ne!(one, two);
        assert!(sums.locked().is_empty(), "it changed just now");
        let old = sums.of_path(Path::new("/bin/sleep")).unwrap();
        assert_eq!(sums.locked().values().collect::<Vec<_>>(), [&old]);
        assert_eq!(sums.of_path(Path::new("/bin")), None);
    }
}
