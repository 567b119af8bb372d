//! What is wrong with a configuration, collected so that all of it can be told at once.

use super::{Loaded, Settings};
use std::fmt;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name; `.env`, `duogate.toml`, `--config` or `--env-file` when a file itself is wrong.
    pub variable: String,
    /// What is wrong, what is expected and, in brackets, which layer it came from. Never holds a value.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.variable, self.message)
    }
}

/// Everything wrong with the configuration; at least one problem. Displays as one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    warnings: Vec<String>,
    lacks: bool,
}

impl Problems {
    /// The problems: files first, then variables in the order of the documentation.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// Whether the process lacked descriptors or memory to read a file: nothing may be wrong with the settings, and another
    /// try may show it.
    #[must_use]
    pub fn come_of_a_lack(&self) -> bool {
        self.lacks
    }

    /// What is odd beside them, as for settings that are right: a misspelled name may be why another one is missing.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where problems and warnings gather while the layers are read.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// A file could not be read for want of descriptors or memory.
    pub(super) lacks: bool,
    origins: Vec<(&'static str, String)>,
}

impl Report {
    /// Notes a problem; `source` is the layer it came from, where there is one.
    pub(super) fn problem(&mut self, variable: &str, message: String, source: Option<&str>) {
        let message = match source {
            Some(source) => format!("{message} (from {source})"),
            None => message,
        };
        self.problems.push(Problem {
            variable: variable.to_owned(),
            message,
        });
    }

    /// Notes something odd that does not stop the start.
    pub(super) fn warning(&mut self, variable: &str, message: &str) {
        self.warnings.push(format!("{variable}: {message}"));
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether one of these variables has a problem already.
    pub(super) fn blames(&self, variables: &[&str]) -> bool {
        self.problems
            .iter()
            .any(|problem| variables.contains(&problem.variable.as_str()))
    }

    /// What is wrong elsewhere, where nothing is wrong with these variables.
    pub(super) fn aside_from(self, variables: &[&str]) -> Result<Vec<Problem>, Problems> {
        let is_theirs = |problem: &Problem| variables.contains(&problem.variable.as_str());
        let (theirs, others): (Vec<_>, Vec<_>) = self.problems.into_iter().partition(is_theirs);
        if theirs.is_empty() {
            Ok(others)
        } else {
            Err(Problems {
                problems: theirs,
                warnings: self.warnings,
                lacks: self.lacks,
            })
        }
    }

    /// Notes the layer that a variable's value came from.
    pub(super) fn origin(&mut self, variable: &'static str, source: &str) {
        self.origins.push((variable, source.to_owned()));
    }

    /// These settings with their warnings, or all problems.
    pub(super) fn finish(self, settings: Settings) -> Result<Loaded, Problems> {
        if self.problems.is_empty() {
            Ok(Loaded {
                settings,
                warnings: self.warnings,
                origins: self.origins,
            })
        } else {
            Err(Problems {
                problems: self.problems,
                warnings: self.warnings,
                lacks: self.lacks,
            })
        }
    }
}
