//! The result of the run, and whether it is within the limits.

use std::{
    collections::BTreeMap,
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use duogate::engine::ConversationCounts;

use super::client::End;

/// Errors that are accurate for this upstream.
const TRUTHFUL: [&str; 5] = [
    "pool_exhausted",
    "credentials_rejected",
    "upstream_unavailable",
    "upstream_truncated",
    "deadline_exceeded",
];
/// Most complaints printed; the rest are counted.
const MOST_TOLD: usize = 20;

/// The limits of a successful run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The least share of complete answers among the chats whose client stayed.
    pub(crate) whole: f64,
    /// The largest share of them that may meet an exhausted pool.
    pub(crate) pool_exhausted: f64,
    /// The largest growth of memory from the second to the last quarter of the run, as a share.
    pub(crate) growth: f64,
}

/// The results of a run.
pub(crate) struct Report {
    limits: Limits,
    whole: usize,
    left: usize,
    met_empty_pool: usize,
    failures: BTreeMap<String, usize>,
    wrong: Vec<String>,
    pub(crate) memory: [u64; 4],
    pub(crate) conversations: ConversationCounts,
    pub(crate) upstream_calls: u64,
    pub(crate) left_behind: u64,
}

impl Report {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            whole: 0,
            left: 0,
            met_empty_pool: 0,
            failures: BTreeMap::new(),
            wrong: Vec::new(),
            memory: [0; 4],
            conversations: ConversationCounts::default(),
            upstream_calls: 0,
            left_behind: 0,
        }
    }

    /// Records a violation.
    pub(crate) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Records the end of a chat that should have been answered with `expected`.
    pub(crate) fn take(&mut self, number: usize, expected: &str, end: End) {
        match end {
            End::Whole { text, met_empty_pool } => {
                self.whole += 1;
                self.met_empty_pool += usize::from(met_empty_pool);
                if text != expected {
                    self.wrong(format!("chat {number} was told {text:?} and not {expected:?}"));
                }
            }
            End::Failed {
                kind,
                text,
                met_empty_pool,
                ..
            } => {
                self.met_empty_pool += usize::from(met_empty_pool);
                if !expected.starts_with(&text) {
                    self.wrong(format!(
                        "chat {number} was told {text:?} before it failed, of {expected:?}"
                    ));
                }
                if !TRUTHFUL.contains(&kind.as_str()) {
                    self.wrong(format!("chat {number} failed as {kind}"));
                }
                *self.failures.entry(kind).or_default() += 1;
            }
            End::Broken(how) => self.wrong(format!("chat {number}: {how}")),
            End::Left => self.left += 1,
        }
    }

    /// Prints everything, and returns whether it is within the limits.
    pub(crate) fn tell(mut self) -> ExitCode {
        let failed: usize = self.failures.values().sum();
        let stayed = self.whole + failed;
        let (whole, empty) = (share(self.whole, stayed), share(self.met_empty_pool, stayed));
        if whole < self.limits.whole {
            self.wrong(format!("only {:.2} % ended whole", whole * 100.0));
        }
        if empty > self.limits.pool_exhausted {
            self.wrong(format!("{:.2} % met an empty pool", empty * 100.0));
        }
        let [first, second, third, fourth] = self.memory;
        let growth = share_of(fourth, second) - 1.0;
        if second > 0 && growth > self.limits.growth {
            self.wrong(format!("memory grew by {:.1} %", growth * 100.0));
        }
        let mut lines = vec![
            format!("{stayed} stayed, {} left", self.left),
            format!("{} whole ({:.2} %), {failed} failed", self.whole, whole * 100.0),
        ];
        lines.extend(
            self.failures
                .iter()
                .map(|(kind, count)| format!("  {count} {kind}")),
        );
        lines.push(format!(
            "{} met an empty pool ({:.2} %)",
            self.met_empty_pool,
            empty * 100.0
        ));
        lines.push(format!("{} upstream calls", self.upstream_calls));
        lines.push(format!(
            "resident memory by quarter of the run: {} {} {} {} MB ({:+.1} % from the second to the last)",
            first >> 20,
            second >> 20,
            third >> 20,
            fourth >> 20,
            growth * 100.0
        ));
        lines.push(format!("conversations after it: {:?}", self.conversations));
        lines.push(format!("{} on the upstream after the end", self.left_behind));
        for line in lines {
            say(&line);
        }
        for what in self.wrong.iter().take(MOST_TOLD) {
            complain(what);
        }
        if self.wrong.is_empty() {
            say("all is well");
            return ExitCode::SUCCESS;
        }
        complain(&format!("{} things are wrong", self.wrong.len()));
        ExitCode::FAILURE
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn share_of(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

fn say(line: &str) {
    // A closed pipe is ignored: its reader wants no more.
    let _told = writeln!(stdout(), "{line}");
}

/// Prints a violation.
pub(crate) fn complain(line: &str) {
    let _told = writeln!(stderr(), "WRONG: {line}");
}
