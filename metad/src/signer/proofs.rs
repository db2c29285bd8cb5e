//! What proves one NIC's document: made when it is first asked for, and then kept.
//!
//! No lock: whoever comes first signs, and two who come at once sign the same. A guest that asks for ever new
//! signatures, as it can by changing its address or by asking for tokens, is told to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{CannotSign, Signer, cms};
use crate::token::BootTime;

/// Signatures that may be asked for at once.
const BURST: u64 = 32;

/// Milliseconds after which there may be one more.
const EACH: u64 = 250;

/// Columns of base64, as everywhere in MIME: `openssl base64 -d` reads no longer lines.
const COLUMNS: usize = 76;

/// The way in which a document is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A signature on its own, in base64.
    Signature,
    /// CMS with document and signature inside, in base64.
    Rsa2048,
}

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the guest asks for too many signatures")]
    TooMany,
    #[error(transparent)]
    CannotSign(#[from] CannotSign),
}

/// The last proof that was made for one NIC, and how many more there may be.
#[derive(Debug, Default)]
pub struct Proofs {
    last: ArcSwapOption<Proof>,
    allowance: Allowance,
}

/// A document and both of its proofs.
#[derive(Debug)]
struct Proof {
    document: Bytes,
    signature: Bytes,
    rsa2048: Bytes,
}

impl Proof {
    fn text(&self, form: Form) -> Bytes {
        match form {
            Form::Signature => self.signature.clone(),
            Form::Rsa2048 => self.rsa2048.clone(),
        }
    }
}

/// Something that is only kept to save work makes no difference.
impl PartialEq for Proofs {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Proofs {
    /// Returns what proves `document`. `now`: when it is asked for by a guest, whose allowance is then counted.
    ///
    /// # Errors
    /// The guest has had too many, or the system has no random numbers to give.
    pub fn of(
        &self,
        document: &Bytes,
        form: Form,
        signer: &Signer,
        now: Option<BootTime>,
    ) -> Result<Bytes, Refused> {
        if let Some(last) = &*self.last.load()
            && last.document == document
        {
            return Ok(last.text(form));
        }
        self.spend(now)?;
        let signature = signer.sign(document)?;
        let text = columns(&STANDARD.encode(&signature)).into();
        let parsed = signer.certificate().parsed();
        let rsa2048 = cms::signed_data(parsed, document, signature);
        let proof = Proof {
            document: document.clone(),
            signature: text,
            // Every part of it has been encoded before.
            rsa2048: columns(&STANDARD.encode(rsa2048.map_err(|_length| CannotSign)?)).into(),
        };
        let found = proof.text(form);
        self.last.store(Some(Arc::new(proof)));
        Ok(found)
    }

    /// Counts a signature that is made outside.
    ///
    /// # Errors
    /// The guest has had too many.
    pub fn spend(&self, now: Option<BootTime>) -> Result<(), Refused> {
        match now {
            Some(now) if !self.allowance.take(now) => Err(Refused::TooMany),
            Some(_) | None => Ok(()),
        }
    }
}

/// A bucket of [`BURST`] that gets one more every [`EACH`] milliseconds, kept as the time at which it is full again.
#[derive(Debug, Default)]
struct Allowance(AtomicU64);

impl Allowance {
    fn take(&self, now: BootTime) -> bool {
        let now = u64::try_from(now.0.as_millis()).unwrap_or(u64::MAX);
        let limit = now.saturating_add(EACH * BURST);
        let order = Ordering::Relaxed;
        let taken = self.0.try_update(order, order, |full| {
            let full = full.max(now).saturating_add(EACH);
            (full <= limit).then_some(full)
        });
        taken.is_ok()
    }
}

/// Breaks base64 into lines, none of which is longer than [`COLUMNS`]; there is no end of line behind the last.
fn columns(base64: &str) -> String {
    let mut text = String::with_capacity(base64.len() + base64.len() / COLUMNS);
    for (place, char) in base64.chars().enumerate() {
        if place > 0 && place.is_multiple_of(COLUMNS) {
            text.push('\n');
        }
        text.push(char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::sample;
    use std::time::Duration;

    fn at(ms: u64) -> BootTime {
        BootTime(Duration::from_millis(ms))
    }

    #[test]
    fn base64_is_in_lines_of_seventy_six() {
        for (length, lines) in [
            (0, vec![]),
            (75, vec![75]),
            (76, vec![76]),
            (77, vec![76, 1]),
            (152, vec![76, 76]),
        ] {
            let text = columns(&"A".repeat(length));
            let found: Vec<usize> = text.lines().map(str::len).collect();
            assert_eq!(found, lines, "{length}");
            assert!(!text.ends_with('\n'), "{length}");
        }
    }

    #[test]
    fn allowance_is_a_burst_and_then_a_trickle() {
        let allowance = Allowance::default();
        for number in 0..BURST {
            assert!(allowance.take(at(1000)), "{number}");
        }
        for (case, ms, granted) in [
            ("the same moment", 1000, false),
            ("a bit later", 1249, false),
            ("one has come back", 1250, true),
            ("and only one", 1250, false),
            ("an earlier clock", 900, false),
            ("two have come back", 1750, true),
            ("the second", 1750, true),
            ("the third", 1750, false),
        ] {
            assert_eq!(allowance.take(at(ms)), granted, "{case}");
        }
        for number in 0..BURST {
            assert!(allowance.take(at(1_000_000)), "full again: {number}");
        }
        assert!(!allowance.take(at(1_000_000)), "and no fuller");
    }

    #[test]
    fn document_is_signed_once() {
        let (signer, proofs) = (sample::signer(), Proofs::default());
        let (one, other) = (Bytes::from_static(b"{1}"), Bytes::from_static(b"{2}"));
        let of = |document, form| proofs.of(document, form, &signer, Some(at(0)));
        let first = of(&one, Form::Signature).unwrap();
        for _ in 0..2 * BURST {
            assert_eq!(of(&one, Form::Signature).as_ref(), Ok(&first));
            of(&one, Form::Rsa2048).unwrap();
        }
        let mut signed = 1;
        while of(if signed % 2 == 0 { &one } else { &other }, Form::Signature).is_ok() {
            signed += 1;
        }
        assert_eq!(signed, BURST, "each change of the document is counted");
        let refused = of(if signed % 2 == 0 { &one } else { &other }, Form::Rsa2048);
        assert_eq!(refused, Err(Refused::TooMany));
        let later = proofs.of(&one, Form::Signature, &signer, Some(at(EACH)));
        assert_eq!(later, Ok(first), "the same octets have the same signature");
        assert!(
            proofs.of(&other, Form::Signature, &signer, None).is_ok(),
            "an administrator may"
        );
    }
}
