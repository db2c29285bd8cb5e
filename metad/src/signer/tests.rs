use std::fs;
use std::os::unix::fs::PermissionsExt;

use der::Decode;
use rsa::PublicKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::DecodePublicKey;
use rsa::signature::Verifier;
use serde_json::json;

use super::*;

fn verifies(certificate: &Certificate, octets: &[u8], signature: &[u8]) -> bool {
    use der::Encode;
    let parsed = x509_cert::Certificate::from_der(certificate.der()).unwrap();
    let spki = parsed.tbs_certificate().subject_public_key_info().to_der();
    let key = PublicKey::from_public_key_der(&spki.unwrap()).unwrap();
    let key = VerifyingKey::<Sha256>::new(key);
    Signature::try_from(signature).is_ok_and(|signature| key.verify(octets, &signature).is_ok())
}

#[test]
fn key_and_certificate_are_made_once() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state");
    let name = "metad lab on kvm-1.example.org";
    let first = Signer::open(&directory, name, "urn:metad:lab").unwrap();
    let again = Signer::open(&directory, "another name", "urn:metad:lab").unwrap();
    assert_eq!(first.certificate(), again.certificate());
    assert_eq!(first.sign(b"{").unwrap(), again.sign(b"{").unwrap());
    for file in [KEY, CERTIFICATE] {
        let mode = fs::metadata(directory.join(file)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o7777, 0o600, "{file}");
    }
    let offline = Certificate::read(&directory).unwrap().unwrap();
    assert_eq!(
        &offline,
        first.certificate(),
        "the public half needs no key"
    );

    let parsed = x509_cert::Certificate::from_der(first.certificate().der()).unwrap();
    let tbs = parsed.tbs_certificate();
    assert_eq!(tbs.subject().to_string(), format!("CN={name}"));
    assert_eq!(tbs.issuer(), tbs.subject());
    let validity = tbs.validity();
    let (begin, end) = (
        validity.not_before.to_unix_duration(),
        validity.not_after.to_unix_duration(),
    );
    assert!((end - begin).as_secs() > 10 * 365 * 24 * 3600);
    assert_eq!(tbs.serial_number().as_bytes().len(), 16);

    let other = parent.path().join("other");
    let other = Signer::open(&other, name, "urn:metad:lab").unwrap();
    assert_ne!(other.certificate().kid(), first.certificate().kid());
    let signature = first.sign(b"{1}").unwrap();
    for (case, certificate, octets, good) in [
        ("its own", first.certificate(), "{1}", true),
        ("other octets", first.certificate(), "{2}", false),
        ("another's key", other.certificate(), "{1}", false),
    ] {
        let found = verifies(certificate, octets.as_bytes(), &signature);
        assert_eq!(found, good, "{case}");
    }
}

#[test]
fn a_missing_certificate_is_made_for_the_key() {
    let directory = tempfile::tempdir().unwrap();
    sample::put(directory.path());
    fs::remove_file(directory.path().join(CERTIFICATE)).unwrap();
    assert_eq!(Certificate::read(directory.path()).unwrap(), None);
    let signer = Signer::open(directory.path(), "metad", "urn:metad:lab").unwrap();
    assert_eq!(signer.certificate().kid(), sample::KID);
}

#[test]
fn what_others_may_have_touched_is_refused() {
    let other = sample::signer();
    type Change = fn(&Path);
    let cases: [(&str, Change, &str); 6] = [
        (
            "a key that others read",
            |path| {
                let mode = fs::Permissions::from_mode(0o640);
                fs::set_permissions(path.join(KEY), mode).unwrap();
            },
            "refusing the identity key DIR/identity.key: its mode is 640, not 600",
        ),
        (
            "no key at all",
            |path| fs::write(path.join(KEY), "secret").unwrap(),
            "cannot use the identity key DIR/identity.key: it is no RSA key in PKCS #8",
        ),
        (
            "an empty key",
            |path| fs::write(path.join(KEY), "").unwrap(),
            "refusing the identity key DIR/identity.key: it has 0 octets, not 1 to 16384",
        ),
        (
            "no certificate",
            |path| fs::write(path.join(CERTIFICATE), "-----").unwrap(),
            "cannot use the certificate DIR/identity.crt: ",
        ),
        (
            "the certificate of another key",
            |path| {
                fs::remove_file(path.join(KEY)).unwrap();
            },
            "cannot use the certificate DIR/identity.crt: it is of another key",
        ),
        (
            "a directory that all may write",
            |path| {
                let mode = fs::Permissions::from_mode(0o777);
                fs::set_permissions(path, mode).unwrap();
            },
            "cannot use the state directory DIR",
        ),
    ];
    for (case, change, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        sample::put(directory.path());
        change(directory.path());
        let error = Signer::open(directory.path(), "metad", "urn:metad:lab").unwrap_err();
        let error = error.to_string();
        let place = directory.path().display().to_string();
        assert!(
            error.starts_with(&expected.replace("DIR", &place)),
            "{case}: {error}"
        );
        assert!(error.contains("\n  help: "), "{case}: {error}");
        assert!(!error.contains("secret"), "{case}: {error}");
    }
    drop(other);
}

#[test]
fn key_set_names_the_key_by_its_thumbprint() {
    let signer = sample::signer();
    let set = signer.certificate().jwks();
    let key = &set["keys"][0];
    assert_eq!(signer.certificate().kid(), sample::KID);
    for (member, expected) in [
        ("kty", json!("RSA")),
        ("use", json!("sig")),
        ("alg", json!("RS256")),
        ("kid", json!(sample::KID)),
        ("e", json!("AQAB")),
    ] {
        assert_eq!(key[member], expected, "{member}");
    }
    assert_eq!(key["n"].as_str().map(str::len), Some(342));
    assert_eq!(set["keys"].as_array().map(Vec::len), Some(1));
    let shown = format!("{signer:?}");
    assert!(!shown.contains("PRIVATE") && shown.len() < 200, "{shown}");
}
