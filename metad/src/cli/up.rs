//! `metad up`: makes metad's namespace, for a daemon that is confined and whose own mounts nobody else would see.

use std::io::Write;

use super::report::Unwritten;
use crate::admin::{Claim, Error};
use crate::config::Config;
use crate::datapath::Datapath;
use crate::exit;
use crate::netns::{self, Namespace};

/// Makes the namespace where it is not there, and says so.
///
/// The lock that stays in the run directory says that what has the name is ours; `serve` and `down` go by it.
pub(super) fn run(config: &Config, out: &mut dyn Write) -> anyhow::Result<u8> {
    let name = config.name.as_str();
    let ours = Claim::was_taken(&config.run_dir()) || Datapath::is_pinned(config);
    let path = netns::path(name);
    let claim = match Claim::take(&config.run_dir()) {
        // A daemon that runs has made it.
        Err(Error::Taken { .. }) if Namespace::left(name)?.is_some() => None,
        taken => Some(taken?),
    };
    if ours && Namespace::left(name)?.is_some() {
        writeln!(out, "the network namespace {} is there", path.display()).map_err(Unwritten)?;
        return Ok(exit::SUCCESS);
    }
    if ours {
        // A file that nothing is mounted on is what an interrupted start leaves.
        netns::remove(name)?;
    }
    if let Err(error) = Namespace::create(name) {
        if let (false, Some(claim)) = (ours, claim) {
            // What was there before us must not seem to be ours. The first error is the one to report.
            let _ = claim.remove();
        }
        return Err(error.into());
    }
    writeln!(out, "made the network namespace {}", path.display()).map_err(Unwritten)?;
    Ok(exit::SUCCESS)
}
