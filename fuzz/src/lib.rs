// SPDX-License-Identifier: MIT OR Apache-2.0
//! What several targets assert.

/// An error begins with `line:column: ` within the text, is one line, and says something.
pub fn assert_place(error: &str, text: &str) {
    let mut parts = error.splitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
    let (Some(line), Some(column)) = (number(), number()) else {
        panic!("no place: {error}");
    };
    let what = parts.next().and_then(|what| what.strip_prefix(' ')).unwrap_or_default();
    assert!(!what.is_empty() && !error.contains('\n'), "{error:?}");
    let meant = text.split('\n').nth(line.checked_sub(1).expect("lines begin with 1"));
    let length = meant.unwrap_or_else(|| panic!("no line {line}: {error}")).chars().count();
    assert!((1..=length + 1).contains(&column), "column {column} of {length}: {error}");
}
