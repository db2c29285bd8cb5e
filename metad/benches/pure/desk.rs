//! One guest's connection and who answers on it, without a socket between them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use metad::http::{App, Line};
use metad::identity::Peer;
use metad::settings::StateDesk;
use metad::signer::Signer;
use metad::token::Tokens;

use crate::world;

/// A connection that goes nowhere.
pub(crate) struct Nowhere;

impl Line for Nowhere {
    fn set_hop_limit(&self, _hops: u8) -> io::Result<()> {
        Ok(())
    }
}

/// Who answers, and who asks. `directory` is to be kept for as long.
pub(crate) fn desk(directory: &Path) -> (App, Peer) {
    let snapshot = world::snapshot();
    let peer = Peer::seated(&world::seat_in(&snapshot), None);
    let app = App {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        tokens: Tokens::with_key(&[7; 32]),
        state: StateDesk::default(),
        signer: Signer::open(directory, "bench", "urn:metad:bench").expect("a signer"),
        keep_alive: true,
        bounds: Arc::default(),
    };
    (app, peer)
}

/// As cloud-init asks.
pub(crate) fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nUser-Agent: Cloud-Init/25.1.4\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
    )
}
