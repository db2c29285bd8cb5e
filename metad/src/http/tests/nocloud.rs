//! NoCloud and its secret prefix.

use super::*;
use crate::instance::{Dialect, Prefix, Seed};

const SEED: &str = "0123456789abcdef0123456789abcdef";
const OCTETS: [u8; 16] = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();

fn guest(prefix: Prefix, seed: Option<&str>) -> Guest {
    Guest::with(|instance| {
        instance.options.nocloud = prefix;
        instance.seed = seed.map(|_| Seed(OCTETS));
    })
}

#[test]
fn secret_prefix_opens_what_the_plain_one_may_not() {
    let other = SEED.replace('0', "1");
    let cut = &SEED[1..];
    let longer = format!("{SEED}0");
    for (case, prefix, seed, first, status) in [
        ("plain, open", Prefix::Open, Some(SEED), "", 200),
        ("plain, secret", Prefix::Secret, Some(SEED), "", 404),
        ("secret, open", Prefix::Open, Some(SEED), SEED, 200),
        ("secret, secret", Prefix::Secret, Some(SEED), SEED, 200),
        ("another's", Prefix::Secret, Some(SEED), &other, 404),
        ("another's, open", Prefix::Open, Some(SEED), &other, 404),
        ("cut", Prefix::Secret, Some(SEED), cut, 404),
        ("longer", Prefix::Secret, Some(SEED), &longer, 404),
        (
            "upper case",
            Prefix::Secret,
            Some(SEED),
            &SEED.to_uppercase(),
            404,
        ),
        ("no secret here, secret", Prefix::Secret, None, "", 404),
        ("no secret here, open", Prefix::Open, None, "", 200),
        ("no secret here, any", Prefix::Secret, None, SEED, 404),
    ] {
        let guest = guest(prefix, seed);
        for name in [
            "meta-data",
            "user-data",
            "vendor-data",
            "network-config",
            "",
        ] {
            let path = format!("/nocloud/{first}/{name}");
            assert_eq!(guest.get(&path).status, status, "{case}: {path}");
            let slashed = format!("//nocloud//{first}//{name}/");
            assert_eq!(guest.get(&slashed).status, status, "{case}: {slashed}");
        }
        let unknown = guest.get(&format!("/nocloud/{first}/other"));
        assert_eq!(unknown.status, 404, "{case}");
        let put = guest.ask("PUT", &format!("/nocloud/{first}/user-data"), &[]);
        assert_eq!(put.status, 405, "{case}");
    }
}

#[test]
fn wrong_secret_looks_like_any_unknown_path() {
    let guest = guest(Prefix::Secret, Some(SEED));
    let wrong = guest.get("/nocloud/guess/user-data");
    let unknown = guest.get(&format!("/nocloud/{SEED}/other"));
    assert_eq!(wrong.body, unknown.body);
    assert_eq!(wrong.headers, unknown.headers);
    assert_ne!(wrong.reason, unknown.reason, "but the log tells");
}

#[test]
fn secret_prefix_has_no_other_door() {
    let mut guest = guest(Prefix::Secret, Some(SEED));
    guest.instance.options.dialects = [Dialect::NoCloud].into_iter().collect();
    guest.answers = render::answers(&guest.instance, 0);
    assert_eq!(guest.get("/latest/user-data").status, 404);
    assert_eq!(guest.get(&format!("/nocloud/{SEED}/user-data")).status, 200);
}

#[test]
fn administrator_needs_no_secret() {
    let guest = guest(Prefix::Secret, Some(SEED));
    for path in ["/nocloud/", "/nocloud/user-data"] {
        let (status, ..) = answer_as(
            &guest.signer,
            &guest.instance,
            &guest.answers,
            None,
            &Method::GET,
            path,
            &HeaderMap::new(),
        );
        assert_eq!(status, 200, "{path}");
    }
}

#[test]
fn autoinstall_passes_through_untouched() {
    let autoinstall = "#cloud-config\nautoinstall:\n  version: 1\n  identity: {hostname: web1}\n";
    let guest = Guest::with(|instance| instance.user_data = Some(autoinstall.into()));
    assert_eq!(text(&guest.get("/nocloud/user-data")), autoinstall);
    assert_eq!(text(&guest.get("/nocloud/vendor-data")), "");
}
