//! Problems and warnings of a configuration, collected so that they can be reported together.

use std::fmt;

/// One problem of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable at fault; `.env`, `duogate.toml`, `--config` or `--env-file` when the file itself is.
    pub variable: String,
    /// The problem, the expected form and, in brackets, the layer the value came from. Never contains a value.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.variable, self.message)
    }
}

/// All problems of a configuration; at least one. Displays one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Problems {
    /// The problems: files first, then variables in the order of the documentation.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// The warnings, which may explain a problem: a misspelled name, for example, leaves its variable unset.
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

/// Collects problems and warnings while the layers are read.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Report {
    /// Adds a problem; `source` is the layer the value came from, if any.
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

    /// Adds a warning, which does not prevent the start.
    pub(super) fn warning(&mut self, variable: &str, message: &str) {
        self.warnings.push(format!("{variable}: {message}"));
    }

    /// Whether there is no problem so far.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether one of these variables has a problem.
    pub(super) fn blames(&self, variables: &[&str]) -> bool {
        self.problems
            .iter()
            .any(|problem| variables.contains(&problem.variable.as_str()))
    }

    /// The problems of other variables; an error if one of these variables has a problem.
    pub(super) fn aside_from(self, variables: &[&str]) -> Result<Vec<Problem>, Problems> {
        let is_theirs = |problem: &Problem| variables.contains(&problem.variable.as_str());
        let (theirs, others): (Vec<_>, Vec<_>) = self.problems.into_iter().partition(is_theirs);
        if theirs.is_empty() {
            Ok(others)
        } else {
            Err(Problems {
                problems: theirs,
                warnings: self.warnings,
            })
        }
    }

    /// The warnings, if there is no problem.
    pub(super) fn finish(self) -> Result<Vec<String>, Problems> {
        if self.problems.is_empty() {
            Ok(self.warnings)
        } else {
            Err(Problems {
                problems: self.problems,
                warnings: self.warnings,
            })
        }
    }
}
