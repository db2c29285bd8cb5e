//! Finds out what a server has, before any rule is looked at. What cannot be found out is taken as absent.

use std::cell::OnceCell;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::row::Dialect;
use super::subject::{Ask, Facts, Pace, Subject, Tokens, lines};
use super::wire;

/// What a person said of the server.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) address: SocketAddr,
    pub(super) authority: String,
    pub(super) nocloud: String,
    pub(super) pace: Pace,
    /// `None`: find out.
    pub(super) tokens: Option<Tokens>,
    /// None at all: find out.
    pub(super) dialects: Vec<Dialect>,
}

/// Meets the server.
///
/// # Errors
/// Nobody listens there.
pub(super) fn discover(said: Said) -> Result<Subject> {
    wire::connect(said.address, said.pace.patience)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("cannot reach {}", said.address))?;
    let mut subject = Subject {
        address: said.address,
        authority: said.authority,
        nocloud: said.nocloud,
        pace: said.pace,
        facts: Facts {
            tokens: Tokens::Optional,
            token: None,
            dialects: vec![Dialect::Ec2],
            names: Vec::new(),
            user_data: None,
        },
        walked: OnceCell::new(),
    };
    subject.facts.token = token(&subject);
    subject.facts.tokens = said.tokens.unwrap_or_else(|| wanted(&subject));
    subject.facts.dialects = if said.dialects.is_empty() {
        dialects(&subject)
    } else {
        said.dialects
    };
    subject.facts.names = text(&subject, "/latest/meta-data/")
        .map(|text| lines(&text))
        .unwrap_or_default();
    subject.facts.user_data = user_data(&subject);
    Ok(subject)
}

fn token(subject: &Subject) -> Option<String> {
    let answer = subject.send(&Ask::token("21600")).ok()?;
    let token = answer.text().trim().to_owned();
    let good =
        answer.status == 200 && !token.is_empty() && token.bytes().all(|it| it.is_ascii_graphic());
    good.then_some(token)
}

fn wanted(subject: &Subject) -> Tokens {
    let asked = Ask::get("/latest/meta-data/").anonymous();
    match subject.send(&asked) {
        Ok(answer) if answer.status == 401 => Tokens::Required,
        Ok(_) | Err(_) => Tokens::Optional,
    }
}

/// EC2 is looked at always: a server without it fails, and says so.
fn dialects(subject: &Subject) -> Vec<Dialect> {
    let answers = |path: &str| text(subject, path).is_some();
    let mut found = vec![Dialect::Ec2];
    if answers(&format!("{}/meta-data", subject.nocloud)) {
        found.push(Dialect::NoCloud);
    }
    if answers("/openstack") {
        found.push(Dialect::OpenStack);
    }
    found
}

fn user_data(subject: &Subject) -> Option<Vec<u8>> {
    let paths = [
        "/latest/user-data".to_owned(),
        "/openstack/latest/user_data".to_owned(),
        format!("{}/user-data", subject.nocloud),
    ];
    for (path, dialect) in paths
        .iter()
        .zip([Dialect::Ec2, Dialect::OpenStack, Dialect::NoCloud])
    {
        if !subject.facts.dialects.contains(&dialect) {
            continue;
        }
        let answer = subject.get(path).ok()?;
        let none = dialect == Dialect::NoCloud && answer.body.is_empty();
        return (answer.status == 200 && !none).then_some(answer.body);
    }
    None
}

fn text(subject: &Subject, path: &str) -> Option<String> {
    let answer = subject.get(path).ok()?;
    (answer.status == 200).then(|| answer.text())
}
