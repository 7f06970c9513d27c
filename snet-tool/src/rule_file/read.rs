// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a file of rules. Each error says line and column.

use jiff::Timestamp;
use libsnet::policy::{ParseProgramError, RuleSpec};
use libsnet::types::Scope;
use serde::Deserialize;
use toml::Spanned;

use super::{VERSION, Written};
use crate::output::printable;
use crate::words::{self, Peer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<u32>,
    #[serde(default)]
    rule: Vec<Spanned<Written>>,
}

/// A rule and where it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) spec: RuleSpec,
}

/// The rules of a file. Every error that can be found in it, each as `line:column: what`.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>, Vec<String>> {
    let lines = Lines::of(text);
    let file: File = toml::from_str(text).map_err(|error| {
        let (line, column) = error.span().map_or((1, 1), |span| lines.position(span.start));
        vec![format!("{line}:{column}: {}", error.message().replace('\n', "; "))]
    })?;
    let at = |start: usize| {
        let (line, column) = lines.position(start);
        format!("{line}:{column}")
    };
    if *file.version.get_ref() != VERSION {
        let place = at(file.version.span().start);
        let found = file.version.get_ref();
        return Err(vec![format!(
            "{place}: version {found}: this snet-tool knows version {VERSION}"
        )]);
    }
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    for rule in file.rule {
        let start = rule.span().start;
        match spec(rule.into_inner()) {
            Ok(spec) => entries.push(Entry { line: lines.position(start).0, spec }),
            Err(what) => errors.push(format!("{}: {}", at(start), printable(&what))),
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(errors) }
}

fn spec(written: Written) -> Result<RuleSpec, String> {
    let named = |field: &'static str| move |error: String| format!("{field}: {error}");
    let program = written.program.parse().map_err(|error: ParseProgramError| error.to_string());
    let program = program.map_err(named("program"))?;
    let protocol = written.protocol.as_deref().unwrap_or("any");
    let protocol = words::protocols(protocol).map_err(named("protocol"))?;
    let peer = written.to.as_deref().map(words::peer).transpose().map_err(named("to"))?;
    let (remote, host) = Peer::parts(peer);
    let uid = written.user.as_deref().map(words::user).transpose().map_err(named("user"))?;
    let expires_at = written.until.as_deref().map(moment).transpose().map_err(named("until"))?;
    let scope = Scope {
        operations: written.operations,
        protocols: protocol.protocols,
        number: written.number.or(protocol.number),
        remote,
        remote_ports: written.port,
        local_ports: written.local_port,
    };
    let spec = RuleSpec {
        uid,
        unit: written.unit,
        container: written.container,
        command: written.command,
        parent: written.parent,
        host,
        priority: written.priority,
        enabled: written.enabled,
        expires_at,
        until_restart: written.until_restart,
        note: written.note,
        ..RuleSpec::new(written.action, program, scope)
    };
    spec.check().map_err(|error| error.to_string())?;
    Ok(spec)
}

/// Milliseconds since 1970.
fn moment(text: &str) -> Result<i64, String> {
    let parsed = text.parse::<Timestamp>();
    let parsed = parsed.map_err(|_| format!("'{text}' is no time like 2026-12-31T23:59:59Z"))?;
    Ok(parsed.as_millisecond())
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Line and column, counted from 1, of a byte in the text.
    fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|at| self.starts.get(at)).copied().unwrap_or(0);
        let before = self.text.get(start..byte).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        parse(text).unwrap_err()
    }

    #[test]
    fn a_rule_is_written_with_the_words_of_the_command_line() {
        let text = "version = 1\n\n[[rule]]\naction = \"allow\"\nprogram = \"curl\"\n\
                    protocol = \"tcp,udp\"\noperations = \"connect\"\nto = \"192.0.2.0/24\"\n\
                    port = \"80-443\"\nuser = \"root\"\nuntil = \"2100-01-01T00:00:00Z\"\n";
        let [entry] = parse(text).unwrap().try_into().unwrap();
        assert_eq!(entry.line, 3);
        assert_eq!(
            crate::rule_file::line(&entry.spec),
            "allow curl tcp,udp connect to 192.0.2.0/24 port 80-443 for uid 0"
        );
        assert_eq!(entry.spec.expires_at, Some(4_102_444_800_000));
    }

    #[test]
    fn an_error_is_one_line() {
        let text = "version = 1\n[[rule]]\naction = \"deny\"\nprogram = \"a\\n/b\"\n";
        let [error] = errors(text).try_into().unwrap();
        assert!(error.starts_with("2:1: program: 'a\\n/b'"), "{error}");
    }

    proptest::proptest! {
        /// Whatever is in a file: rules or errors with their places.
        #[test]
        fn any_text_is_read_or_refused(
            text in "[ -~\n]{0,200}",
            rule in "(action|program|to|port|user|until|note|number) = (\"[a-z0-9:./-]{0,20}\"|[0-9-]{1,12})",
        ) {
            for text in [text.clone(), format!("version = 1\n[[rule]]\n{rule}\n{text}"), format!("version = 1\n[[rule]]\naction = \"deny\"\nprogram = \"x\"\n{rule}\n")] {
                if let Err(errors) = parse(&text) {
                    proptest::prop_assert!(!errors.is_empty());
                    for error in errors {
                        let place = error.split(':').next().unwrap().parse::<usize>();
                        proptest::prop_assert!(place.is_ok(), "{}", error);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_left_out_means_any() {
        let [entry] = parse("version = 1\n[[rule]]\naction = \"deny\"\nprogram = \"any\"\n")
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(entry.spec.scope, Scope::ANY);
        assert!(entry.spec.enabled);
        assert_eq!(parse("version = 1\n"), Ok(vec![]));
    }

    #[test]
    fn errors_say_where_they_are() {
        assert_eq!(errors("version = 2\n"), ["1:11: version 2: this snet-tool knows version 1"]);
        assert!(errors("[[rule]]\n")[0].contains("missing field"), "{:?}", errors("[[rule]]\n"));
        let unknown = errors("version = 1\n[[rule]]\naction = \"deny\"\n  programm = \"x\"\n");
        assert!(unknown[0].starts_with("4:3: unknown field `programm`"), "{unknown:?}");
        let action = errors("version = 1\n[[rule]]\naction = \"permit\"\nprogram = \"x\"\n");
        assert!(action[0].starts_with("3:10: ") && action[0].contains("permit"), "{action:?}");
    }

    #[test]
    fn every_rule_that_means_nothing_is_told() {
        let text = "version = 1\n[[rule]]\naction = \"deny\"\nprogram = \"a/b\"\n\n[[rule]]\n\
                    action = \"deny\"\nprogram = \"x\"\noperations = \"bind\"\nto = \"10.0.0.1\"\n\
                    [[rule]]\naction = \"deny\"\nprogram = \"x\"\nuser = \"nobody-here\"\n";
        let told = errors(text);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("2:1: program: ") && told[0].contains("a/b"), "{told:?}");
        assert!(told[1].starts_with("6:1: remote: "), "{told:?}");
        assert!(told[2].starts_with("11:1: user: "), "{told:?}");
    }
}
