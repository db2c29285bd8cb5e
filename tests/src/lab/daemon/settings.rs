//! The daemon's configuration in a test.

use std::path::Path;

/// What differs from one test to the next in the configuration.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    pub interfaces: &'a [&'a str],
    pub identity: &'a str,
    pub attach: &'a str,
    /// More lines at the top level of the file.
    pub more: &'a str,
    /// More lines of the section `datapath`.
    pub datapath: &'a str,
    /// What is logged: the word of `--log`.
    pub log: &'a str,
}

/// What is logged where nobody says otherwise.
pub(super) const LOGGED: &str = "info";

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            interfaces: &["br+"],
            identity: "port",
            attach: "auto",
            more: "",
            datapath: "",
            log: LOGGED,
        }
    }
}

/// The whole file.
pub(super) fn configuration_text(
    name: &str,
    state: &Path,
    records: &Path,
    settings: &Settings<'_>,
) -> String {
    let Settings {
        interfaces,
        identity,
        attach,
        more,
        datapath,
        log: _,
    } = settings;
    format!(
        "name = {name:?}\nstate-directory = {state:?}\n{more}\n[datapath]\ninterfaces = {interfaces:?}\nidentity = {identity:?}\nattach = {attach:?}\n{datapath}\n\
         [[source]]\nkind = \"directory\"\npath = {records:?}\n"
    )
}
