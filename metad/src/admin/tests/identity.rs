use super::*;
use crate::signer::sample;

#[test]
fn certificate_comes_through_the_socket() {
    let certificate = with_daemon(async |_, client| client.certificate().await.unwrap());
    assert_eq!(&certificate, sample::signer().certificate());
}
