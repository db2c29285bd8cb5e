//! Whose a run directory is.

use super::*;

#[test]
fn what_is_roots_is_to_be_had_with_sudo() {
    let path = Path::new("/run/metad");
    for (case, owner, us, expected) in [
        ("ours", 1000, 1000, None),
        ("root's own", 0, 0, None),
        (
            "root's",
            0,
            1000,
            Some("cannot use /run/metad\nhelp: try again as root, with sudo"),
        ),
        (
            "a third's",
            1001,
            1000,
            Some(
                "cannot use /run/metad: it belongs to another user\nhelp: choose another name for this metad",
            ),
        ),
        (
            "somebody's, to root",
            1000,
            0,
            Some(
                "cannot use /run/metad: it belongs to another user\nhelp: choose another name for this metad",
            ),
        ),
    ] {
        let error = not_ours(path, owner, Uid::from_raw(us));
        let told = error.map(|error| error.to_string());
        assert_eq!(told.as_deref(), expected, "{case}");
    }
}
