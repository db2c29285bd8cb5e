//! Octets that nobody may ever ask for, held small: packed until they are first read, and kept as they are from then on.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use once_cell::race::OnceBox;

/// Fewer octets than this are held as they are: the packing would be larger than what it spares.
const LEAST: usize = 256;
/// What packing must spare, as a part of the whole: one in so many. What is compressed already spares nothing.
const SPARED: usize = 8;

/// Octets as a configuration gives them and a guest gets them, to the last bit. Copies share them.
#[derive(Clone)]
pub struct Packed(Arc<Held>);

enum Held {
    Plain(Bytes),
    /// In raw DEFLATE (RFC 1951). No lock: two that open it at once both do, and one of the two is kept.
    Deflated {
        octets: Box<[u8]>,
        length: usize,
        opened: OnceBox<Bytes>,
    },
}

impl Packed {
    /// The octets themselves.
    pub fn bytes(&self) -> Bytes {
        match &*self.0 {
            Held::Plain(bytes) => bytes.clone(),
            Held::Deflated {
                octets,
                length,
                opened,
            } => {
                // What does not open to the same was not packed in the first place.
                let open = || Box::new(inflate(octets, *length).unwrap_or_default());
                opened.get_or_init(open).clone()
            }
        }
    }

    /// How many they are, without a look at them.
    pub fn len(&self) -> usize {
        match &*self.0 {
            Held::Plain(bytes) => bytes.len(),
            Held::Deflated { length, .. } => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Packed {
    fn from(bytes: Bytes) -> Self {
        let packed = pack(&bytes).map(|octets| Held::Deflated {
            octets,
            length: bytes.len(),
            opened: OnceBox::new(),
        });
        Self(Arc::new(packed.unwrap_or(Held::Plain(bytes))))
    }
}

impl From<Vec<u8>> for Packed {
    fn from(octets: Vec<u8>) -> Self {
        Bytes::from(octets).into()
    }
}

impl From<String> for Packed {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for Packed {
    fn from(octets: &'static [u8]) -> Self {
        Bytes::from(octets).into()
    }
}

impl From<&'static str> for Packed {
    fn from(text: &'static str) -> Self {
        Bytes::from(text).into()
    }
}

impl PartialEq for Packed {
    /// One compressor makes one thing of the same octets, so that nothing is opened for this.
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return true;
        }
        match (&*self.0, &*other.0) {
            (Held::Plain(one), Held::Plain(other)) => one == other,
            (Held::Deflated { octets: one, .. }, Held::Deflated { octets: other, .. }) => {
                one == other
            }
            (Held::Plain(_), Held::Deflated { .. }) | (Held::Deflated { .. }, Held::Plain(_)) => {
                false
            }
        }
    }
}

impl Eq for Packed {}

impl fmt::Debug for Packed {
    /// Says how long it is: what it holds may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({})", self.len())
    }
}

thread_local! {
    /// What takes some hundred thousand octets to begin with, and none to go on with.
    static PACKER: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), false));
}

/// The octets packed; `None` where that spares too little, or where they would not come out again as they went in.
fn pack(bytes: &[u8]) -> Option<Box<[u8]>> {
    if bytes.len() < LEAST {
        return None;
    }
    // What does not fit spares too little.
    let mut packed = Vec::with_capacity(bytes.len() - bytes.len() / SPARED);
    let status = PACKER.with_borrow_mut(|packer| {
        packer.reset();
        packer.compress_vec(bytes, &mut packed, FlushCompress::Finish)
    });
    let fits = status.is_ok_and(|status| status == Status::StreamEnd);
    (fits && inflate(&packed, bytes.len()).is_some_and(|opened| opened == bytes))
        .then(|| packed.into_boxed_slice())
}

/// Opens what was packed; `None` where that is not exactly so many octets.
fn inflate(packed: &[u8], length: usize) -> Option<Bytes> {
    // One more than there may be, so that more of them show.
    let mut octets = Vec::with_capacity(length.checked_add(1)?);
    let mut opener = Decompress::new(false);
    let status = opener.decompress_vec(packed, &mut octets, FlushDecompress::Finish);
    let ended = status.is_ok_and(|status| status == Status::StreamEnd);
    octets.shrink_to_fit();
    (ended && octets.len() == length).then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_packed(packed: &Packed) -> bool {
        matches!(&*packed.0, Held::Deflated { .. })
    }

    /// Octets that nothing can be spared of.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[3]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_comes_out_is_what_went_in_and_only_what_shrinks_is_packed() {
        let text = "- [ echo, hello ]\n".repeat(300).into_bytes();
        for (case, octets, packed) in [
            ("nothing", vec![], false),
            ("a line", b"#cloud-config\n".to_vec(), false),
            ("the most that is left", vec![b'#'; LEAST - 1], false),
            ("the least that is packed", vec![b'#'; LEAST], true),
            ("a configuration", text, true),
            ("noise", noise(4096), false),
            ("zeros", vec![0; 1024 * 1024], true),
            (
                "the largest noise",
                noise(crate::record::USER_DATA_MAX),
                false,
            ),
        ] {
            let held = Packed::from(octets.clone());
            assert_eq!(is_packed(&held), packed, "{case}");
            assert_eq!(held.len(), octets.len(), "{case}");
            assert_eq!(held.is_empty(), octets.is_empty(), "{case}");
            assert!(held.bytes() == octets, "{case}");
            assert!(held.clone().bytes() == octets, "{case}, again");
            assert!(held == Packed::from(octets), "{case}");
        }
    }

    #[test]
    fn copies_open_once_for_all_of_them() {
        let one = Packed::from(vec![b'x'; 4096]);
        let other = one.clone();
        assert_eq!(one.bytes().as_ptr(), other.bytes().as_ptr());
    }

    #[test]
    fn other_octets_are_not_the_same_packed_or_not() {
        let all = [vec![], vec![1], vec![b'x'; 4096], vec![b'y'; 4096], {
            noise(4096)
        }];
        for (place, one) in all.iter().enumerate() {
            for (at, other) in all.iter().enumerate() {
                let same = Packed::from(one.clone()) == Packed::from(other.clone());
                assert_eq!(same, place == at, "{place} {at}");
            }
        }
    }

    #[test]
    fn what_opens_to_another_length_does_not_open() {
        let packed = pack(&[b'x'; 4096]).unwrap();
        assert!(inflate(&packed, 4096).is_some());
        for length in [0, 4095, 4097] {
            assert_eq!(inflate(&packed, length), None, "{length}");
        }
        let bomb = pack(&vec![0; 16 * 1024 * 1024]).unwrap();
        assert_eq!(inflate(&bomb, 4096), None, "no further than that");
        assert_eq!(inflate(b"not deflated", 4096), None);
    }

    #[test]
    fn nothing_of_the_octets_is_printed() {
        let printed = format!("{:?}", Packed::from("secret"));
        assert_eq!(printed, "Packed(6)");
    }

    proptest! {
        #[test]
        fn any_octets_come_out_as_they_went_in(octets: Vec<u8>, times in 1..40_usize) {
            let octets = octets.repeat(times);
            prop_assert_eq!(Packed::from(octets.clone()).bytes(), octets);
        }
    }
}
