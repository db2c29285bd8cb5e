//! Guests to boot, made from nothing: Debian packages and our own text come in, kernels, initial RAM disks and qcow2
//! images go out into a cache. A file in the cache is whole or it is not there, and it never changes.

use std::path::PathBuf;

use anyhow::Result;

use crate::progress::Progress;

mod cache;
mod command;
mod cpio;
mod debian;
mod file;
mod host;
mod host_kernel;
pub mod ignition;
mod kernel;
mod rootfs;
mod small;
mod suite;

pub use cache::Cache;
pub use command::run;
pub use debian::Debian;
pub use file::copy_out;
pub use host_kernel::{HostKernel, KernelPackage};
pub use kernel::Kernel;
pub use rootfs::ext4;
pub use suite::{ROOT_TAG, Suite, SuiteKernel};

/// Whether what the cache holds may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    Yes,
    /// Build again and replace (`--rebuild`).
    No,
}

/// A Debian guest: everything that a domain needs to boot it.
#[derive(Debug, Clone)]
pub struct DebianImage {
    pub kernel: Kernel,
    /// The base of every guest's own overlay; never written to.
    pub disk: PathBuf,
}

/// The small guest: kernel and initial RAM disk, no disk.
#[derive(Debug, Clone)]
pub struct SmallImage {
    pub vmlinuz: PathBuf,
    pub initrd: PathBuf,
}

/// Returns a Debian guest, built if the cache does not hold it.
pub fn debian(
    cache: &Cache,
    debian: Debian,
    reuse: Reuse,
    progress: &Progress,
) -> Result<DebianImage> {
    Ok(DebianImage {
        kernel: kernel::ready(cache, reuse, progress)?,
        disk: debian::ready(cache, debian, reuse, progress)?,
    })
}

/// Returns the small guest, built if the cache does not hold it.
pub fn small(cache: &Cache, reuse: Reuse, progress: &Progress) -> Result<SmallImage> {
    let kernel = kernel::ready(cache, reuse, progress)?;
    small::ready(cache, &kernel, reuse, progress)
}

/// Returns the kernel that a release gives its hosts, fetched if the cache does not hold it. Needs root and the network
/// then; it is none of [`all`], since only the matrix of kernels boots it.
pub fn suite_kernel(
    cache: &Cache,
    suite: Suite,
    reuse: Reuse,
    progress: &Progress,
) -> Result<SuiteKernel> {
    suite::ready(cache, suite, reuse, progress)
}

/// A KVM host to boot: everything but metad.
#[derive(Debug, Clone)]
pub struct HostImage {
    pub kernel: HostKernel,
    /// The root; never written to.
    pub disk: PathBuf,
}

/// The host that the tests of the systemd unit boot.
pub const UNIT_HOST: (Debian, KernelPackage) = (Debian::Trixie, KernelPackage::TRIXIE);

/// Returns a KVM host of this release with this kernel, built if the cache does not hold it.
pub fn host(
    cache: &Cache,
    (debian, package): (Debian, KernelPackage),
    reuse: Reuse,
    progress: &Progress,
) -> Result<HostImage> {
    Ok(HostImage {
        kernel: host_kernel::ready(cache, package, reuse, progress)?,
        disk: host::ready(cache, debian, reuse, progress)?,
    })
}

/// Whether the cache holds every image already.
pub fn all_there(cache: &Cache) -> bool {
    let debians = [Debian::Bookworm, Debian::Trixie].map(debian::recipe);
    let (debian, package) = UNIT_HOST;
    let hosts = [host::recipe(debian), host_kernel::recipe(package)];
    [kernel::recipe(), small::recipe()]
        .iter()
        .chain(&debians)
        .chain(&hosts)
        .all(|recipe| cache.place(recipe).exists())
}

/// Builds every image that the cache does not hold. Needs root and the network; what runs in a sandbox has none.
pub fn all(cache: &Cache, reuse: Reuse, progress: &Progress) -> Result<()> {
    let kernel = kernel::ready(cache, reuse, progress)?;
    small::ready(cache, &kernel, reuse, progress)?;
    for release in [Debian::Bookworm, Debian::Trixie] {
        debian::ready(cache, release, reuse, progress)?;
    }
    host(cache, UNIT_HOST, reuse, progress)?;
    Ok(())
}
