// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether an administrator keeps the module from being loaded, by its parameter `disable`.

/// Whether a kernel's command line, the text of `/proc/cmdline`, says so: then modprobe can't load
/// the module until the next boot.
pub fn disabled_by_command_line(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.any(|word| word.strip_prefix("snet.").is_some_and(disables))
}

/// Whether a file of modprobe's says so, such as one in `/etc/modprobe.d`. See modprobe.d(5).
pub fn disabled_by_modprobe(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        (words.next(), words.next()) == (Some("options"), Some("snet")) && words.any(disables)
    })
}

/// As the kernel reads a parameter that is true or false: kstrtobool() in its lib/kstrtox.c.
fn disables(parameter: &str) -> bool {
    match parameter.split_once('=') {
        None => parameter == "disable",
        Some((name, value)) => {
            let value = value.trim_matches('"').to_ascii_lowercase();
            name == "disable" && (value.starts_with(['y', 't', '1']) || value.starts_with("on"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_read_as_the_kernel_reads_it() {
        for line in
            ["quiet snet.disable=1", "snet.disable", "snet.disable=Y ro", "snet.disable=\"on\"\n"]
        {
            assert!(disabled_by_command_line(line), "{line}");
        }
        for line in [
            "",
            "quiet",
            "snet.disable=0",
            "snet.disable=off",
            "xsnet.disable=1",
            "snet.disabled=1",
        ] {
            assert!(!disabled_by_command_line(line), "{line}");
        }
        for text in ["options snet disable=1\n", "# way out\n  options  snet  other=2 disable"] {
            assert!(disabled_by_modprobe(text), "{text}");
        }
        for text in [
            "",
            "options snet disable=0",
            "options snets disable=1",
            "# options snet disable=1",
            "blacklist snet",
        ] {
            assert!(!disabled_by_modprobe(text), "{text}");
        }
    }
}
