//! Which kernels, and which tests on each.

use anyhow::{Result, ensure};
use metad_tests::image::Suite;

use super::super::floor::Floor;

/// Of the other floors: loading, what each kind of frame comes to, and whom a guest can pass for.
const BORROWED: [&str; 4] = [
    "kernel::requests::request_of_a_known_nic_is_rewritten_and_remembered",
    "kernel::requests::every_refusal_is_dropped_unchanged_and_counted_under_its_reason",
    "kernel::replies::answer_returns_from_the_neighbour_that_was_asked",
    "net::spoof::spoofed_mac_gets_no_answer",
];

/// The kernels, and the tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    pub(super) suites: Vec<Suite>,
    pub(super) tests: Vec<&'a str>,
    /// The tests are the usual ones, all of them.
    pub(super) usual: bool,
}

impl<'a> Choice<'a> {
    /// Reads a filter: `bookworm` (the usual tests on one kernel), `vlan` (on all kernels every test of this floor and of
    /// those below whose name contains it), or `bookworm::vlan`. Without one: the usual tests on all.
    ///
    /// # Errors
    /// No test is left, or a test that is borrowed has another name now.
    pub(super) fn read(filter: Option<&str>, names: &'a [String]) -> Result<Self> {
        for borrowed in BORROWED {
            ensure!(
                names.iter().any(|name| name == borrowed),
                "there is no test {borrowed} any more: choose others in matrix/choice.rs"
            );
        }
        let filter = filter.unwrap_or_default();
        let (first, rest) = filter.split_once("::").unwrap_or((filter, ""));
        let suite = Suite::ALL.into_iter().find(|suite| suite.name() == first);
        let wanted = if suite.is_some() { rest } else { filter };
        let usual = |name: &str| Floor::Kernels.holds(name) || BORROWED.contains(&name);
        let possible = |name: &str| {
            let floors = [Floor::Kernels, Floor::Kernel, Floor::Net];
            floors.iter().any(|floor| floor.holds(name)) && name.contains(wanted)
        };
        let tests: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| {
                if wanted.is_empty() {
                    usual(name)
                } else {
                    possible(name)
                }
            })
            .collect();
        ensure!(
            !tests.is_empty(),
            "no test's name contains `{wanted}`; the kernels are {}",
            Suite::ALL.map(Suite::name).join(", ")
        );
        Ok(Self {
            suites: suite.map_or_else(|| Suite::ALL.to_vec(), |suite| vec![suite]),
            tests,
            usual: wanted.is_empty(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_a_kernel_or_tests_or_both() {
        let more = ["kernels::vlan::a", "kernels::b", "net::path::c", "guest::d"];
        let names: Vec<String> = BORROWED
            .into_iter()
            .chain(more)
            .map(str::to_owned)
            .collect();
        let usual = BORROWED.len() + 2;
        for (filter, suites, tests) in [
            (None, 4, usual),
            (Some("bookworm"), 1, usual),
            (Some("vlan"), 4, 1),
            (Some("sid::vlan"), 1, 1),
            (Some("sid::net::path"), 1, 1),
            (Some("net::path"), 4, 1),
        ] {
            let choice = Choice::read(filter, &names).unwrap();
            assert_eq!(
                (choice.suites.len(), choice.tests.len()),
                (suites, tests),
                "{filter:?}"
            );
        }
        for filter in ["guest::d", "buster", "bookworm::nothing"] {
            let refused = Choice::read(Some(filter), &names).unwrap_err();
            assert!(
                refused.to_string().contains("bookworm"),
                "{filter}: {refused}"
            );
        }
        let renamed = Choice::read(None, &names[1..]).unwrap_err();
        assert!(renamed.to_string().contains(BORROWED[0]), "{renamed}");
    }
}
