//! Which releases of Linux can do what the datapath asks of them. Pure: what runs here is the caller's to say.

use crate::config::Attach;

/// Major and minor number of a release.
pub(crate) type Version = (u32, u32);

/// The oldest release with every helper of the programs: `bpf_redirect_peer` came with it (commit 9aa1206e8f48).
pub(crate) const OLDEST: Version = (5, 10);
/// Links to tc hooks came with it (commit e420bed02507).
pub(crate) const TCX: Version = (6, 6);

/// Why this kernel cannot do what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsupported {
    #[error("Linux {release} is too old\nhelp: boot Linux 5.10 or later")]
    TooOld { release: String },
    #[error(
        "`attach` is \"tcx\", which comes with Linux 6.6, and this is Linux {release}\nhelp: set `attach = \"auto\"` in [datapath]"
    )]
    NoTcx { release: String },
}

/// Whether a kernel of this release (`uname -r`) can do it. One whose version cannot be read is given the chance.
///
/// # Errors
/// It is too old, for the programs or for the way of attaching them that is configured.
pub(crate) fn demand(release: &str, attach: Attach) -> Result<(), Unsupported> {
    let Some(version) = version(release) else {
        return Ok(());
    };
    let release = release.to_owned();
    if version < OLDEST {
        return Err(Unsupported::TooOld { release });
    }
    if attach == Attach::Tcx && version < TCX {
        return Err(Unsupported::NoTcx { release });
    }
    Ok(())
}

/// Major and minor of `uname -r`.
pub(crate) fn version(release: &str) -> Option<Version> {
    let mut parts = release.split(|char: char| !char.is_ascii_digit());
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (release, expected) in [
            ("6.18.0", Some((6, 18))),
            ("5.15.0-91-generic", Some((5, 15))),
            ("6.1.0-37-cloud-amd64", Some((6, 1))),
            ("6.6-rc1", Some((6, 6))),
            ("6", None),
            ("", None),
            ("five", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }

    #[test]
    fn what_a_kernel_cannot_do_is_refused_by_name_and_with_advice() {
        for (release, attach, refused) in [
            ("5.9.16", Attach::Auto, Some("5.10 or later")),
            ("4.19.0-27-amd64", Attach::Clsact, Some("5.10 or later")),
            ("5.10.0-32-amd64", Attach::Auto, None),
            ("5.10.0-32-amd64", Attach::Clsact, None),
            ("6.1.0-50-amd64", Attach::Tcx, Some("`attach = \"auto\"`")),
            ("6.6.0", Attach::Tcx, None),
            ("custom", Attach::Tcx, None),
        ] {
            let told = demand(release, attach).map_err(|error| error.to_string());
            match (&told, refused) {
                (Ok(()), None) => {}
                (Err(text), Some(part)) => {
                    assert!(text.contains(part) && text.contains(release), "{text}");
                    assert!(text.contains("\nhelp: "), "{text}");
                }
                (Ok(()), Some(_)) | (Err(_), None) => panic!("{release}, {attach:?}: {told:?}"),
            }
        }
    }
}
