//! Floor 4: real guests under libvirt, with their own kernel, network stack and cloud-init.
//!
//! One host serves all of these tests, and they run one after the other: an emulated guest takes most of a core.

mod away;
mod clock;
mod debian;
mod domains;
mod identify;
mod ignition;
mod moved;
mod networks;
mod nics;
mod prepare;
mod readers;
mod six;
mod trust;
mod unit;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::image::{self, Cache, Reuse, SmallImage};
use metad_tests::progress::Progress;
use metad_tests::smallguest::SmallGuest;
use metad_tests::virt::{Asked, Description, Guest, Host, Identity, Metadata, Nic, System, until};

/// A small guest boots in seconds; a busy machine takes its time.
const SMALL_BOOT: Duration = Duration::from_secs(180);
/// cloud-init without KVM takes a minute; a busy machine takes its time.
const DEBIAN_BOOT: Duration = Duration::from_secs(400);
/// A log-in takes two seconds without KVM; on a busy machine the first attempts run into their own limits.
const LOGIN: Duration = Duration::from_secs(180);
/// What libvirt tells at once, with the patience that a busy machine needs.
const SOON: Duration = Duration::from_secs(30);

/// The one host. It ends with the sandbox.
fn host() -> Result<MutexGuard<'static, Host>> {
    static HOST: OnceLock<Result<Mutex<Host>, String>> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        let started = tempfile::tempdir()
            .context("cannot make a directory")
            // The sandbox has the last word over it, so nobody else may remove it before.
            .and_then(|directory| Host::start(&directory.keep()));
        started
            .map(Mutex::new)
            .map_err(|error| format!("{error:#}"))
    });
    match host {
        // A test that failed has left the host as it was: each uses guests of its own.
        Ok(host) => {
            let mut host = host.lock().unwrap_or_else(PoisonError::into_inner);
            host.mend()?;
            Ok(host)
        }
        Err(error) => anyhow::bail!("there is no host: {error}"),
    }
}

/// Boots a small guest and speaks to it.
fn small(host: &Host, name: &str, nics: &[Nic], metadata: Metadata) -> Result<(Guest, SmallGuest)> {
    let guest = boot(host, name, nics, metadata)?;
    let met = met(&guest)?;
    Ok((guest, met))
}

/// Boots a small guest.
fn boot(host: &Host, name: &str, nics: &[Nic], metadata: Metadata) -> Result<Guest> {
    host.libvirt.boot(&Description {
        name: name.to_owned(),
        system: System::Small(small_image()?),
        identity: Identity::Plain,
        nics: nics.to_vec(),
        metadata: Some(metadata),
    })
}

/// What every small guest boots.
fn small_image() -> Result<SmallImage> {
    image::small(&Cache::open()?, Reuse::Yes, &Progress::new())
}

/// Waits until a small guest is up and has an address.
fn met(guest: &Guest) -> Result<SmallGuest> {
    let mut met = SmallGuest::meet(guest, SMALL_BOOT)?;
    met.lease("eth0")?;
    Ok(met)
}

/// What this guest has asked for, as metad logged it.
fn asked(host: &Host, guest: &str) -> Vec<Asked> {
    let mut asked = Asked::all(&host.metad.log());
    asked.retain(|asked| asked.guest == guest);
    asked
}

/// The body of an answer that must be 200.
fn told(guest: &mut SmallGuest, path: &str) -> Result<String> {
    let reply = guest.get(path)?;
    ensure!(
        reply.status == 200,
        "{path}: {} {}",
        reply.status,
        reply.text()
    );
    Ok(reply.text())
}

/// Waits until a path answers this text.
fn told_soon(guest: &mut SmallGuest, path: &str, expected: &str) -> Result<()> {
    let mut last = String::new();
    let what = format!("{path} to answer `{expected}`");
    until(SOON, &what, || {
        last = told(guest, path)?;
        Ok((last == expected).then_some(()))
    })
    .with_context(|| format!("the last answer was `{last}`"))
}
