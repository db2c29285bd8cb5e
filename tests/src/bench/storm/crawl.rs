//! What a guest asks for while it boots, and what each guest must be told.
//!
//! Two guests crawl the tree first. What differs between them by nothing but their names is foretold for all others;
//! what is made up from an identity is only asked for.

use anyhow::{Context, Result, ensure};

use super::{Known, hostname, instance_id};
use crate::lab::Guest;
use crate::load::{Expected, Manner, Step};
use crate::peers::Page;

/// Where the crawl begins; a listing's names follow.
const ROOT: &str = "/latest/meta-data/";
const OTHERS: [&str; 2] = [
    "/latest/user-data",
    "/latest/dynamic/instance-identity/document",
];
/// More than any instance has.
const MOST: usize = 400;

/// The crawl of the first guest.
pub(super) struct Crawl {
    pub(super) pages: Vec<Page>,
    /// Whether the page of the same place is foretold.
    foretold: Vec<bool>,
    first: Known,
    /// How many pages are different for each guest, and foretold.
    pub(super) own: usize,
}

impl Crawl {
    pub(super) fn new(guests: &[(Guest, Known)]) -> Result<Self> {
        let [(first, one), (second, two), ..] = guests else {
            anyhow::bail!("a storm takes two guests at least");
        };
        let pages = crawl(first)?;
        let mut foretold = Vec::new();
        let mut own = 0;
        for page in &pages {
            let reply = second.get(&translate(&page.path, one, two))?;
            ensure!(reply.status == 200, "{}: {}", page.path, reply.status);
            let text = String::from_utf8(page.body.clone()).context("a page is no text")?;
            let is_foretold = translate(&text, one, two).into_bytes() == reply.body;
            // What cannot be foretold is compared with nothing, so it must be a small part.
            ensure!(
                is_foretold || !text.contains('\n'),
                "{} cannot be foretold: {text}",
                page.path
            );
            own += usize::from(is_foretold && reply.body != page.body);
            foretold.push(is_foretold);
        }
        ensure!(own >= 4, "only {own} pages tell guests apart");
        Ok(Self {
            pages,
            foretold,
            first: one.clone(),
            own,
        })
    }

    /// What a guest asks, and what it must be told.
    pub(super) fn script(&self, guest: &Known) -> Vec<Step> {
        let steps = self.pages.iter().zip(&self.foretold);
        let steps = steps.map(|(page, foretold)| {
            let path = translate(&page.path, &self.first, guest);
            let text = String::from_utf8_lossy(&page.body);
            let body = translate(&text, &self.first, guest);
            let step = Step::get(&path, Manner::Closing, body.as_bytes());
            match foretold {
                true => step,
                false => Step {
                    expected: Expected::Token,
                    ..step
                },
            }
        });
        steps.collect()
    }
}

/// The same of another guest.
fn translate(text: &str, from: &Known, to: &Known) -> String {
    let address = |known: &Known| {
        let (bridge, port) = (known.guest / super::PORTS, known.guest % super::PORTS);
        format!("10.77.{bridge}.{}", port + 5)
    };
    text.replace(&instance_id(from.guest), &instance_id(to.guest))
        .replace(&hostname(from.guest), &hostname(to.guest))
        .replace(&from.mac, &to.mac)
        .replace(&address(from), &address(to))
}

/// Follows every listing.
fn crawl(guest: &Guest) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut open: Vec<String> = OTHERS.iter().rev().map(|path| (*path).to_owned()).collect();
    open.push(ROOT.to_owned());
    while let Some(path) = open.pop() {
        ensure!(pages.len() < MOST, "the tree has no end");
        let reply = guest.get(&path)?;
        ensure!(reply.status == 200, "{path}: {}", reply.status);
        if path.ends_with('/') {
            let names = reply.text();
            let names: Vec<&str> = names.lines().collect();
            open.extend(names.iter().rev().map(|name| format!("{path}{name}")));
        }
        pages.push(Page::of(&path, &reply));
    }
    Ok(pages)
}
