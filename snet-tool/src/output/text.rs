// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes text from elsewhere safe to print: process names, paths and notes are chosen by the
//! programs and people that the tool reports on.

use std::borrow::Cow;

/// The text with everything that a terminal might obey, or that hides or reorders what is
/// shown, written as an escape: `\n`, `\u{1b}`, `\u{202e}`.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hazardous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_hazardous(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// The same for JSON, in its own escapes, so that it still says the same. Such characters
/// stand only within strings there.
pub(super) fn plain_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hazardous) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        if is_hazardous(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// Control characters (C0, DEL, C1), invisible and bidirectional formatting, line and
/// paragraph separators, tags.
fn is_hazardous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\x1b]0;title\x07b"), "a\\u{1b}]0;title\\u{7}b");
        assert_eq!(printable("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(printable("\u{9b}2J"), "\\u{9b}2J");
    }

    #[test]
    fn text_that_reads_backwards_is_shown_as_it_is_stored() {
        assert_eq!(printable("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["/usr/bin/curl", "Überwachung", "日本語", "a\\b \"c\""] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    proptest! {
        #[test]
        fn json_says_the_same_and_has_no_hazard(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let safe = plain_json(&json);
            prop_assert!(!safe.chars().any(is_hazardous));
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }

        #[test]
        fn nothing_hazardous_is_printed(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(is_hazardous));
        }
    }
}
