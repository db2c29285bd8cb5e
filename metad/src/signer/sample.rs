//! A signer for tests, with a key that everybody knows.

use std::sync::OnceLock;

use super::*;

/// The thumbprint of the key, as another program computed it.
pub(crate) const KID: &str = "mIgiZLqqupuEyyMXm3wpu_xjsNhzwxDHcFWw7yaXGIo";

const KEY_PEM: &str = include_str!("sample/identity.key");
const CERTIFICATE_PEM: &str = include_str!("sample/identity.crt");

/// Signs as `urn:metad:sample`.
pub(crate) fn signer() -> Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    let make = || {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path());
        Signer::open(directory.path(), "unused", "urn:metad:sample").unwrap()
    };
    SIGNER.get_or_init(make).clone()
}

/// Puts key and certificate into a state directory.
pub(crate) fn put(directory: &Path) {
    keyfile::create(&directory.join(KEY), KEY_PEM.as_bytes()).unwrap();
    keyfile::create(&directory.join(CERTIFICATE), CERTIFICATE_PEM.as_bytes()).unwrap();
}
