//! Counts tests from what libtest prints.

use std::fmt;

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl Tally {
    /// Reads a line; only libtest's summary of a binary counts.
    pub(super) fn read(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.trim().split_once(' ') else {
                continue;
            };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Takes back tests that libtest believes passed, since they only said why they could not run.
    pub(super) fn leave_out(&mut self, skipped: usize) {
        let skipped = skipped.min(self.passed);
        self.passed -= skipped;
        self.skipped += skipped;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_summary_of_a_binary_counts() {
        for (case, line, expected) in [
            (
                "good",
                "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 7 filtered out; finished in 0.1s",
                "12 passed, 0 failed, 3 skipped",
            ),
            (
                "bad",
                "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
                "1 passed, 2 failed",
            ),
            ("one test", "test net::path::x ... ok", "0 passed, 0 failed"),
            ("nothing", "", "0 passed, 0 failed"),
        ] {
            let mut tally = Tally::default();
            tally.read(line);
            assert_eq!(tally.to_string(), expected, "{case}");
        }
    }

    #[test]
    fn a_test_that_could_not_run_has_not_passed() {
        let mut tally = Tally {
            passed: 3,
            failed: 1,
            skipped: 0,
        };
        tally.leave_out(2);
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 2 skipped");
    }
}
