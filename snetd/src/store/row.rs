// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the columns of a row that a person may have edited by hand: each error names the
//! column and what it holds.

use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A row that names its columns in errors.
pub(super) struct Columns<'a>(pub(super) &'a SqliteRow);

impl Columns<'_> {
    fn text(&self, column: &str) -> Result<Option<String>> {
        self.0.try_get(column).with_context(|| format!("column {column}"))
    }

    /// A text, not NULL.
    pub(super) fn string(&self, column: &str) -> Result<String> {
        self.text(column)?.ok_or_else(|| anyhow!("column {column}: it is NULL"))
    }

    /// A text that means something, or NULL.
    pub(super) fn parsed_or_null<T>(&self, column: &str) -> Result<Option<T>>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.text(column)? else {
            return Ok(None);
        };
        let value = text.parse().map_err(|error| anyhow!("column {column}: '{text}': {error}"))?;
        Ok(Some(value))
    }

    /// A text that means something.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T> {
        self.parsed_or_null(column)?.ok_or_else(|| anyhow!("column {column}: it is NULL"))
    }

    /// A word that serde knows as a variant of an enum, or NULL.
    pub(super) fn word_or_null<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        let Some(text) = self.text(column)? else {
            return Ok(None);
        };
        let word: StrDeserializer<'_, ValueError> = text.as_str().into_deserializer();
        T::deserialize(word).map(Some).map_err(|error| anyhow!("column {column}: {error}"))
    }

    /// A word that serde knows as a variant of an enum.
    pub(super) fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        self.word_or_null(column)?.ok_or_else(|| anyhow!("column {column}: it is NULL"))
    }

    /// A number, or NULL.
    pub(super) fn number_or_null<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>> {
        let number: Option<i64> =
            self.0.try_get(column).with_context(|| format!("column {column}"))?;
        let Some(number) = number else {
            return Ok(None);
        };
        match T::try_from(number) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(anyhow!("column {column}: {number} is out of range")),
        }
    }

    /// A number.
    pub(super) fn number<T: TryFrom<i64>>(&self, column: &str) -> Result<T> {
        self.number_or_null(column)?.ok_or_else(|| anyhow!("column {column}: it is NULL"))
    }
}
