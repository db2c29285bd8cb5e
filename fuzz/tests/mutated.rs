//! Seeds with a few changes, drawn anew from the same numbers in each run: what a fuzzer does, without its eyes, so that
//! every build tries some. `METAD_FUZZ_SECONDS` has each target tried for so long.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use metad_fuzz::TARGETS;

/// Inputs of each target where no time is given.
const CASES: u32 = 300;
/// The largest input, in octets.
const LENGTH_MAX: usize = 12 * 1024;
/// What parsers stumble over.
const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b"%00",
    b"%2f",
    b"..",
    b"//",
    b"/",
    b": ",
    b"{}",
    b"[]",
    b"\"",
    b"<a>",
    b"<!--",
    b"]]>",
    b"&#0;",
    b"&amp;",
    b"- ",
    b"18446744073709551616",
    b"-1",
    b"1e999",
    b"\xf0\x9f\x98\x80",
    b"\xef\xbb\xbf",
];

#[test]
fn changed_seeds_hold() {
    let limit = std::env::var("METAD_FUZZ_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs);
    let only = std::env::var("METAD_FUZZ_TARGET").ok();
    for (name, replay) in TARGETS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let inputs = inputs(name);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let started = Instant::now();
        let mut cases = 0_u64;
        while limit.map_or(cases < u64::from(CASES), |limit| started.elapsed() < limit) {
            let octets = dice.changed(&inputs);
            let held = std::panic::catch_unwind(|| replay(&octets));
            assert!(
                held.is_ok(),
                "{name} does not hold for this, which fuzz/corpus/{name} may keep: {:?}",
                octets.escape_ascii().to_string()
            );
            cases += 1;
        }
        println!("{name}: {cases} inputs in {:?}", started.elapsed());
    }
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for kind in ["seeds", "corpus"] {
        let entries = fs::read_dir(root.join(kind).join(target));
        paths.extend(
            entries
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path()),
        );
    }
    paths.sort();
    paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect()
}

/// Numbers that look like chance (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % end.max(1)
    }

    fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }

    /// One of the inputs with one to eight changes.
    fn changed(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut octets = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut octets, inputs);
        }
        octets.truncate(LENGTH_MAX);
        octets
    }

    fn change(&mut self, octets: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(octets.len() + 1);
        let until = (at + self.below(40)).min(octets.len());
        match self.below(8) {
            0 => {
                if let Some(octet) = octets.get_mut(at) {
                    *octet ^= 1 << (self.0 & 7);
                }
            }
            1 => {
                let octet = self.octet();
                octets.insert(at, octet);
            }
            2 => drop(octets.drain(at..until)),
            3 => {
                let piece = PIECES[self.below(PIECES.len())];
                octets.splice(at..at, piece.iter().copied());
            }
            4 => {
                let piece = PIECES[self.below(PIECES.len())];
                octets.splice(at..until, piece.iter().copied());
            }
            5 => {
                let again = octets[at..until].to_vec();
                for _ in 0..=self.below(20) {
                    octets.splice(at..at, again.iter().copied());
                }
            }
            6 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                let to = (from + self.below(200)).min(other.len());
                octets.splice(at..until, other[from..to].iter().copied());
            }
            _ => {
                let octet = self.octet();
                if let Some(place) = octets.get_mut(at) {
                    *place = octet;
                }
            }
        }
    }
}
