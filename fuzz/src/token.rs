//! Session tokens: what a guest sends as one, and tokens that were granted and then changed, moved or kept too long.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metad::instance::Instance;
use metad::token::{BootTime, Refused, TOKEN_CHARS, TTL_MAX, Tokens, Ttl};

use crate::world::{self, OTHER, OWN};

const KEY: [u8; 32] = [7; 32];
/// Grants nothing: a fuzzer sees the tokens that are compared here, and sends them back.
const NEVER_USED: [u8; 32] = [8; 32];

/// Checks the octets as a token's text, then as what somebody does to a token: its life, the time it is shown at, and
/// what is laid over its text, exclusive-or.
pub fn replay(octets: &[u8]) {
    let tokens = Tokens::with_key(&KEY);
    let [own, other, reborn] = instances();
    let now = BootTime(Duration::from_secs(1_000));
    for instance in [&own, &other, &reborn] {
        let found = Tokens::with_key(&NEVER_USED).check(instance, octets, now);
        assert!(found.is_err(), "a token out of nothing");
        if octets.len() != TOKEN_CHARS {
            assert_eq!(found, Err(Refused::Malformed));
        }
    }
    let Some(([t0, t1, a0, a1, a2], over)) = octets.split_first_chunk::<5>() else {
        return;
    };
    let seconds = u32::from(u16::from_be_bytes([*t0, *t1]));
    let Some(ttl) = Ttl::new(seconds) else {
        assert!(seconds == 0 || seconds > TTL_MAX, "{seconds} s are refused");
        return;
    };
    let asked = Duration::from_secs(u64::from(u32::from_be_bytes([0, *a0, *a1, *a2]) % 50_000));
    let granted = tokens.grant(&own, ttl, now).expect("random numbers");
    assert_eq!(granted.len(), TOKEN_CHARS);
    let mut shown = granted.clone().into_bytes();
    for (octet, over) in shown.iter_mut().zip(over) {
        *octet ^= over;
    }
    let then = BootTime(now.0 + asked);
    let found = tokens.check(&own, &shown, then);
    // Base64 has one spelling for whole groups of three octets, so another text is another token.
    if shown != granted.as_bytes() {
        assert!(found.is_err(), "changed, and accepted");
        let same = URL_SAFE_NO_PAD.decode(&shown).ok() == URL_SAFE_NO_PAD.decode(&granted).ok();
        assert!(!same, "two spellings of one token");
        return;
    }
    let left = u64::from(ttl.seconds()).checked_sub(asked.as_secs());
    match left {
        Some(left) => {
            assert_eq!(found.map(u64::from), Ok(left));
            assert!(left <= u64::from(TTL_MAX));
        }
        None => assert_eq!(found, Err(Refused::Expired)),
    }
    for stranger in [&other, &reborn] {
        assert_eq!(tokens.check(stranger, &shown, then), Err(Refused::Foreign));
    }
}

/// The one that asks, its neighbour, and itself in another life.
fn instances() -> [Arc<Instance>; 3] {
    thread_local! {
        static INSTANCES: [Arc<Instance>; 3] = {
            let resolution = world::resolved(world::OPEN);
            let of = |name: &str| {
                let hosted = &resolution.snapshot.instances[name];
                Arc::clone(&hosted.instance)
            };
            let own = of(OWN);
            let mut reborn = (*own).clone();
            reborn.epoch += 1;
            [own, of(OTHER), Arc::new(reborn)]
        };
    }
    INSTANCES.with(Clone::clone)
}
