//! Builds the guests' images: outside any sandbox, since Debian's packages come over the network, and as root.

use anyhow::Result;
use metad_tests::image::{self, Cache, Reuse};
use metad_tests::progress::Progress;

use crate::setup::{self, Purpose};
use crate::shell;

/// Builds what is not there, or everything.
pub(crate) fn run(rebuild: bool) -> Result<()> {
    setup::ensure(Purpose::Demo)?;
    let reuse = if rebuild { Reuse::No } else { Reuse::Yes };
    build(reuse, &Progress::new())
}

/// Builds what is not there, silently if that is nothing.
pub(crate) fn ensure() -> Result<()> {
    build(Reuse::Yes, &Progress::new())
}

/// Builds as root: in this process, or in one that sudo starts.
pub(crate) fn build(reuse: Reuse, progress: &Progress) -> Result<()> {
    let cache = Cache::open()?;
    if image::all_there(&cache) && reuse == Reuse::Yes {
        return Ok(());
    }
    if shell::is_root() {
        return image::all(&cache, reuse, progress);
    }
    let own = std::env::current_exe()?;
    let mut words = vec!["--preserve-env=PATH,METAD_LAB_CACHE,RUSTC".to_owned()];
    words.extend([own.to_string_lossy().into_owned(), "images".to_owned()]);
    if reuse == Reuse::No {
        words.push("--rebuild".to_owned());
    }
    let mut sudo = std::process::Command::new("sudo");
    shell::run(sudo.args(words))
}
