//! A signature with the document inside, in CMS (RFC 5652), once called PKCS #7.
//!
//! As on EC2, the certificate is not inside: who checks has it from elsewhere, or checks nothing. There are no signed
//! attributes, so the signature is the detached one, and it is the same each time.

use cms::cert::IssuerAndSerialNumber;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{Any, ObjectIdentifier, OctetString, SetOfVec};
use der::{AnyRef, Encode, Tag};
use x509_cert::Certificate;
use x509_cert::spki::AlgorithmIdentifierOwned;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Wraps `document` and its `signature` by the key of `certificate`.
pub(super) fn signed_data(
    certificate: &Certificate,
    document: &[u8],
    signature: Vec<u8>,
) -> der::Result<Vec<u8>> {
    let sha256 = algorithm(SHA256);
    let certificate = certificate.tbs_certificate();
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: certificate.issuer().clone(),
            serial_number: certificate.serial_number().clone(),
        }),
        digest_alg: sha256.clone(),
        signed_attrs: None,
        signature_algorithm: algorithm(RSA),
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let signed = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![sha256])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: DATA,
            econtent: Some(Any::new(Tag::OctetString, document)?),
        },
        certificates: None,
        crls: None,
        signer_infos: vec![signer].try_into()?,
    };
    let content = Any::encode_from(&signed)?;
    ContentInfo {
        content_type: SIGNED_DATA,
        content,
    }
    .to_der()
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(AnyRef::NULL.into()),
    }
}
