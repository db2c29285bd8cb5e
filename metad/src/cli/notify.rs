//! Tells systemd how the daemon is (sd_notify(3)). Does nothing where systemd did not start it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The daemon answers guests.
pub const READY: &str = "READY=1";
/// The daemon is ending.
pub const STOPPING: &str = "STOPPING=1";

/// Sends one state to the socket that systemd named in the environment. `false`: it named none.
pub fn tell(state: &str) -> io::Result<bool> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(name) if !name.is_empty() => send(state, name.as_bytes()).map(|()| true),
        Some(_) | None => Ok(false),
    }
}

/// A name that starts with `@` stands for an abstract socket.
fn send(state: &str, name: &[u8]) -> io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned()
    }

    #[test]
    fn both_kinds_of_socket_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(READY, path.as_os_str().as_bytes()).unwrap();
        assert_eq!(received(&socket), "READY=1");

        let name = format!("metad-test-{}", std::process::id());
        let socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(STOPPING, format!("@{name}").as_bytes()).unwrap();
        assert_eq!(received(&socket), "STOPPING=1");

        assert!(send(READY, b"/nonexistent/notify").is_err());
    }
}
