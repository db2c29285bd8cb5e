//! haproxy in front of the service, as OpenStack's networks have it: on the metadata address itself, it tells who asked in
//! headers and passes the request on through a socket. What is behind is quicker than OpenStack's own.

use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Server;
use crate::lab::Namespace;

const MOMENT: Duration = Duration::from_secs(1);

/// Starts haproxy on the host in front of `behind`.
///
/// # Errors
/// There is no haproxy, or it does not start; its words are in the error.
pub fn haproxy(
    host: &Namespace,
    directory: &Path,
    at: SocketAddrV4,
    behind: &Path,
) -> Result<Server> {
    let configuration = directory.join("haproxy.cfg");
    fs::write(&configuration, whole(at, behind)).context("cannot write haproxy's configuration")?;
    let mut command = host.command("haproxy");
    command.arg("-db").arg("-f").arg(&configuration);
    Server::start("haproxy", command, directory, || {
        matches!(host.connect(*at.ip(), at.port(), MOMENT), Ok(Ok(_)))
    })
}

fn whole(at: SocketAddrV4, behind: &Path) -> String {
    let behind = behind.display();
    format!(
        "global
  maxconn 4096
defaults
  mode http
  option dontlognull
  option http-server-close
  option forwardfor
  retries 3
  timeout http-request 30s
  timeout connect 30s
  timeout client 32s
  timeout server 32s
  timeout http-keep-alive 30s
listen metadata
  bind {at}
  http-request del-header X-Neutron-Router-ID
  http-request set-header X-Neutron-Network-ID 6f2b1f9e-6c0c-4c5e-9a0f-1d7e3a5b9c11
  server service unix@{behind}
"
    )
}
