//! Where a NoCloud guest finds its files, and how its SMBIOS serial number says so.

use super::Refusal;

/// Where metad serves NoCloud to everybody. An instance whose files are below a secret has a longer one.
pub const SEED_URL: &str = crate::instance::NOCLOUD_URL;

/// The serial number that has cloud-init fetch its files from `url`.
///
/// Releases before 24.1 fetch over the network where the mode is `net`, which they otherwise take from the name
/// `nocloud-net`; later ones take it from the URL, and complain about that name. Saying it outright suits both.
pub(super) fn serial(url: &str) -> String {
    format!("ds=nocloud;dsmode=net;s={url}")
}

/// Whether a serial number names `url`, or another place of metad's, and nothing besides, in whatever spelling.
pub(super) fn names(serial: &str, url: &str) -> bool {
    let mut parts = serial.trim().split(';').filter(|part| !part.is_empty());
    let source = parts.next();
    let mut seed = None;
    for part in parts {
        match part.split_once('=') {
            Some(("s" | "seedfrom", value)) => seed = Some(value),
            Some(("dsmode", _)) => {}
            Some(_) | None => return false,
        }
    }
    let ours = |seed: &str| seed == url || seed.starts_with(SEED_URL);
    matches!(source, Some("ds=nocloud" | "ds=nocloud-net")) && seed.is_some_and(ours)
}

/// Takes a URL that cloud-init can read out of a serial number.
pub(super) fn check(url: &str) -> Result<(), Refusal> {
    let refuse = |why| {
        let url = url.to_owned();
        Err(Refusal::SeedUrl { url, why })
    };
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest else {
        return refuse("does not start with http:// or https://");
    };
    if url.contains(';') {
        return refuse("holds a `;`, at which cloud-init would cut it");
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("holds white space or other characters than ASCII's");
    }
    if rest.starts_with('/') || rest.is_empty() {
        return refuse("names no host");
    }
    if !url.ends_with('/') && !url.contains("%s") {
        return refuse(
            "does not end with `/`, and older releases would put `meta-data` right behind it",
        );
    }
    Ok(())
}
