//! Who an instance is, checked by those who know nothing of metad: OpenSSL, with the very commands that EC2's users
//! are told, and a JOSE library.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Daemon, Guest, Request, Settings};
use metad_tests::needs;
use serde_json::{Value, json};

use super::{guest, host_with_bridge, text, token};

const ISSUER: &str = "https://id.example.org/kvm";
const VAULT: &str = "https://vault.example.org";

const IDENTITY: &str = "/latest/dynamic/instance-identity";

/// What EC2's guide has its users type in the instance, for each of the proofs, and then anywhere.
const FETCH: &str = r#"
TOKEN=`curl -s -X PUT "http://169.254.169.254/latest/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 21600"`
URL=http://169.254.169.254/latest/dynamic/instance-identity
curl -s -H "X-aws-ec2-metadata-token: $TOKEN" $URL/signature | base64 -d >> signature
curl -s -H "X-aws-ec2-metadata-token: $TOKEN" $URL/signature > signature.base64
curl -s -H "X-aws-ec2-metadata-token: $TOKEN" $URL/document >> document
echo "-----BEGIN PKCS7-----" >> rsa2048 \
  && curl -s -H "X-aws-ec2-metadata-token: $TOKEN" $URL/rsa2048 >> rsa2048 \
  && echo "" >> rsa2048 \
  && echo "-----END PKCS7-----" >> rsa2048
"#;
const KEY: &str = "openssl x509 -pubkey -noout -in certificate > key";
const DGST: &str = "openssl dgst -sha256 -verify key -signature signature document";
const SMIME: &str = "openssl smime -verify -in rsa2048 -inform PEM -certfile certificate -noverify";

/// Checks a token with a key set, as a consumer would: KEYS TOKEN ISSUER AUDIENCE LATER. Prints the claims.
const CONSUMER: &str = r#"
import sys, time
from jwcrypto import jwk, jwt
keys, token, issuer, audience, later = sys.argv[1:]
real = time.time
time.time = lambda: real() + int(later)
keys = jwk.JWKSet.from_json(open(keys).read())
for key in keys["keys"]:
    assert key.thumbprint() == key.get("kid"), "the key is not named by its thumbprint"
want = {"iss": issuer, "aud": audience, "exp": None, "nbf": None, "iat": None, "jti": None}
checked = jwt.JWT(jwt=open(token).read(), key=keys, algs=["RS256"], check_claims=want)
print(checked.claims)
"#;

/// A shell's command line in `directory`, on this side.
fn shell(directory: &Path, line: &str) -> Result<Output> {
    let mut bash = std::process::Command::new("bash");
    let output = bash.args(["-c", line]).current_dir(directory).output();
    output.with_context(|| format!("cannot run {line}"))
}

/// Fetches document and proofs in the guest, into a directory of its own.
fn fetched(guest: &Guest, below: &Path, certificate: &[u8]) -> Result<std::path::PathBuf> {
    let directory = below.join(guest.name());
    fs::create_dir(&directory)?;
    let mut bash = guest.space().command("bash");
    let output = bash
        .args(["-c", FETCH])
        .current_dir(&directory)
        .output()
        .context("cannot start bash in the guest")?;
    ensure!(output.status.success(), "{output:?}");
    fs::write(directory.join("certificate"), certificate)?;
    ensure!(shell(&directory, KEY)?.status.success(), "no key");
    Ok(directory)
}

/// What `metad identity WORD` prints.
fn shown(daemon: &Daemon, word: &str) -> Result<Vec<u8>> {
    let output = daemon.command(&["identity", word])?;
    ensure!(output.status.success(), "identity {word}: {output:?}");
    Ok(output.stdout)
}

#[test]
fn documented_commands_verify_the_document() -> Result<()> {
    if !needs::sandbox() || !needs::program("openssl") || !needs::program("curl") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    let certificate = shown(&daemon, "cert")?;
    let at = lab.directory();
    let (mine, other) = (
        fetched(&alice, at, &certificate)?,
        fetched(&bob, at, &certificate)?,
    );
    for (directory, name) in [(&mine, "alice"), (&other, "bob")] {
        let dgst = shell(directory, DGST)?;
        assert_eq!(dgst.stdout, b"Verified OK\n", "{name}: {dgst:?}");
        let smime = shell(directory, SMIME)?;
        assert!(smime.status.success(), "{name}: {smime:?}");
        let document = fs::read(directory.join("document"))?;
        assert_eq!(smime.stdout, document, "{name}");
        let document: Value = serde_json::from_slice(&document)?;
        let record = if name == "alice" {
            alice.record()
        } else {
            bob.record()
        };
        assert_eq!(document["instanceId"], record["instance-id"], "{name}");
        let again = shell(
            directory,
            "openssl base64 -d -in signature.base64 | cmp - signature",
        )?;
        assert!(again.status.success(), "{name}: {again:?}");
    }

    nothing_else_verifies(at)?;

    let signature = text(&alice, &format!("{IDENTITY}/signature"))?;
    daemon.stop()?;
    assert_eq!(shown(&daemon, "cert")?, certificate, "without a daemon");
    daemon.start_again()?;
    daemon.seated(&["alice", "bob"])?;
    assert_eq!(shown(&daemon, "cert")?, certificate, "after a restart");
    let again = text(&alice, &format!("{IDENTITY}/signature"))?;
    assert_eq!(again, signature, "after a restart");
    Ok(())
}

/// Alters alice's files in every way, each time beginning with what verifies.
fn nothing_else_verifies(at: &Path) -> Result<()> {
    fs::create_dir(at.join("strange"))?;
    shell(
        &at.join("strange"),
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout own.key -subj /CN=metad -out certificate",
    )?;
    for (case, line, check) in [
        ("another instance's document", "cp ../bob/document .", DGST),
        (
            "another instance's signature",
            "cp ../bob/signature .",
            DGST,
        ),
        (
            "an altered document",
            "sed -i s/x86_64/x86_65/ document",
            DGST,
        ),
        (
            "an altered address",
            "sed -i s/10.77.0.5/10.77.0.6/ document",
            DGST,
        ),
        (
            "another certificate",
            "cp ../strange/certificate . && openssl x509 -pubkey -noout -in certificate > key",
            DGST,
        ),
        ("another certificate", "cp ../strange/certificate .", SMIME),
        (
            "an altered document inside",
            "grep -v -- ----- rsa2048 | base64 -d | sed s/x86_64/x86_65/ | openssl pkcs7 -inform DER -out rsa2048",
            SMIME,
        ),
    ] {
        shell(at, "rm -rf case && cp -r alice case")?;
        let case_at = at.join("case");
        assert!(shell(&case_at, check)?.status.success(), "{case}: before");
        let changed = shell(&case_at, line)?;
        assert!(changed.status.success(), "{case}: {changed:?}");
        let output = shell(&case_at, check)?;
        assert!(!output.status.success(), "{case}: {output:?}");
    }
    Ok(())
}

/// What the consumer says of a token.
fn consumed(at: &Path, keys: &str, token: &str, claims: [&str; 2], later: u32) -> Result<Output> {
    fs::write(at.join("token"), token)?;
    fs::write(at.join("consumer.py"), CONSUMER)?;
    let mut python = std::process::Command::new("/usr/bin/python3");
    python.args(["consumer.py", keys, "token"]).args(claims);
    let output = python.arg(later.to_string()).current_dir(at).output();
    output.context("cannot start Debian's Python")
}

#[test]
fn tokens_verify_through_the_key_set() -> Result<()> {
    if !needs::sandbox() || !needs::python_module("jwcrypto") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut record = alice.record();
    record["tags"] = json!({"role": "web"});
    lab.record("alice", &record)?;
    let more = format!("[identity]\nissuer = {ISSUER:?}\n");
    let daemon = lab.serve(&Settings {
        more: &more,
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    let at = lab.directory();
    fs::write(at.join("keys"), shown(&daemon, "jwks")?)?;
    let discovery: Value = serde_json::from_slice(&shown(&daemon, "openid-configuration")?)?;
    assert_eq!(discovery["issuer"], ISSUER);
    assert_eq!(
        discovery["jwks_uri"],
        format!("{ISSUER}/.well-known/jwks.json")
    );

    let path = format!("{IDENTITY}/jwt?audience=https%3A%2F%2Fvault.example.org");
    assert_eq!(
        alice.get(&path)?.status,
        401,
        "tokens are optional, but not here"
    );
    let session = token(&alice, "60")?;
    let asked = Request::get(&path).with("X-aws-ec2-metadata-token", &session);
    let reply = alice.ask(&asked)?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let token = reply.text();

    let output = consumed(at, "keys", &token, [ISSUER, VAULT], 0)?;
    ensure!(output.status.success(), "{output:?}");
    let claims: Value = serde_json::from_slice(&output.stdout)?;
    let id = record["instance-id"].as_str().unwrap_or_default();
    for (claim, expected) in [
        ("sub", json!(format!("instance:000000000000::{id}"))),
        ("instance_id", json!(id)),
        ("instance_name", json!("alice")),
        ("hostname", json!("alice")),
        ("tags", json!({"role": "web"})),
        ("private_ip", Value::Null),
    ] {
        assert_eq!(claims[claim], expected, "{claim}: {claims}");
    }

    no_other_token_is_taken(at, &token)
}

/// Alters the token and what is asked of it, each in every way.
fn no_other_token_is_taken(at: &Path, token: &str) -> Result<()> {
    // A key set with the key of somebody else.
    shell(at, "openssl genrsa -out strange.key 2048")?;
    let swapped = r#"
import json
from jwcrypto import jwk
key = jwk.JWK.from_pem(open("strange.key", "rb").read()).export_public(as_dict=True)
print(json.dumps({"keys": [key]}))
"#;
    let made = shell(
        at,
        &format!("/usr/bin/python3 - > strange <<'END'{swapped}END"),
    )?;
    ensure!(made.status.success(), "{made:?}");
    let mut parts: Vec<&str> = token.split('.').collect();
    let none = "eyJhbGciOiJub25lIn0";
    let (header, unsigned) = (parts[0], format!("{none}.{}.", parts[1]));
    let altered = token.replacen(&format!("{header}.eyJ"), &format!("{header}.eyK"), 1);
    parts[2] = "AAAA";
    let forged = parts.join(".");
    for (case, keys, token, claims, later, why) in [
        (
            "another audience",
            "keys",
            token,
            [ISSUER, "https://ci.example.org"],
            0,
            "JWTInvalidClaimValue",
        ),
        (
            "another issuer",
            "keys",
            token,
            ["https://id.example.com", VAULT],
            0,
            "JWTInvalidClaimValue",
        ),
        (
            "expired",
            "keys",
            token,
            [ISSUER, VAULT],
            300 + 61,
            "JWTExpired",
        ),
        (
            "another key",
            "strange",
            token,
            [ISSUER, VAULT],
            0,
            "JWTMissingKey",
        ),
        (
            "altered claims",
            "keys",
            &altered,
            [ISSUER, VAULT],
            0,
            "InvalidJWSSignature",
        ),
        (
            "another signature",
            "keys",
            &forged,
            [ISSUER, VAULT],
            0,
            "InvalidJWSSignature",
        ),
        (
            "no signature",
            "keys",
            &unsigned,
            [ISSUER, VAULT],
            0,
            "JWTMissingKey",
        ),
    ] {
        let output = consumed(at, keys, token, claims, later)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{case}");
        assert!(said.contains(why), "{case}: {said}");
    }
    Ok(())
}
