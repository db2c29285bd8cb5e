//! Messages with descriptors on a unix socket: one line of JSON each, its descriptors with its first octet.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Lease;

/// The longest message; octets.
const MESSAGE_MAX: usize = 4096;
/// Descriptors that one message may bring.
const DESCRIPTORS_MAX: usize = 64;

/// One end of the conversation.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    /// What has come in and was not read as a message yet.
    octets: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            octets: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// Whether who is at the other end is root, or who we are; as the kernel wrote it down when the connection was made
    /// (`SO_PEERCRED`, unix(7)).
    pub(super) fn is_ours(&self) -> bool {
        let us = rustix::process::geteuid();
        let peer = self.stream.peer_cred();
        peer.is_ok_and(|peer| may(peer.uid(), us.as_raw()))
    }

    /// Another hold on this end, to see whether the other one has spoken since.
    ///
    /// # Errors
    /// The system is out of descriptors.
    pub(super) fn lease(&self) -> io::Result<Lease> {
        let socket = self.stream.as_fd().try_clone_to_owned()?;
        // What came in one piece with the last message is no longer in the socket.
        Ok(Lease::new(socket, !self.octets.is_empty()))
    }

    /// Says something, and hands over descriptors with it.
    ///
    /// # Errors
    /// The other end is gone, or reads nothing.
    pub(super) async fn say(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut text = serde_json::to_vec(message)?;
        text.push(b'\n');
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                if !descriptors.is_empty()
                    && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
                {
                    return Err(io::Error::other("too many descriptors for one message"));
                }
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                Ok(sendmsg(
                    &self.stream,
                    &[IoSlice::new(&text)],
                    &mut ancillary,
                    flags,
                )?)
            })
            .await?;
        // A message is far smaller than a socket's buffer, and is the only one in it.
        if sent == text.len() {
            Ok(())
        } else {
            Err(io::Error::other("a message was cut"))
        }
    }

    /// Waits for the next message and what came with it.
    ///
    /// # Errors
    /// `UnexpectedEof` where the other end is gone, `TimedOut` after `limit`, and `InvalidData` for what is no message.
    pub(super) async fn hear<T: DeserializeOwned>(
        &mut self,
        limit: Duration,
    ) -> io::Result<(T, Vec<OwnedFd>)> {
        let line = timeout(limit, self.line())
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        let message = serde_json::from_slice(&line).map_err(io::Error::from)?;
        Ok((message, std::mem::take(&mut self.descriptors)))
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.octets.iter().position(|octet| *octet == b'\n') {
                let rest = self.octets.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.octets, rest));
            }
            if self.octets.len() >= MESSAGE_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let (octets, descriptors) = self.some().await?;
            if octets.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.octets.extend(octets);
            self.descriptors.extend(descriptors);
            if self.descriptors.len() > DESCRIPTORS_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    async fn some(&self) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let stream = &self.stream;
        stream
            .async_io(Interest::READABLE, || {
                let mut chunk = [0; MESSAGE_MAX];
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
                let read = recvmsg(
                    stream.as_fd(),
                    &mut [IoSliceMut::new(&mut chunk)],
                    &mut ancillary,
                    flags,
                )?;
                let mut descriptors = Vec::new();
                for message in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        descriptors.extend(rights);
                    }
                }
                Ok((
                    chunk.get(..read.bytes).unwrap_or_default().to_vec(),
                    descriptors,
                ))
            })
            .await
    }
}

/// Whether a process of the user `peer` may give to one of the user `us`, or take from it.
fn may(peer: u32, us: u32) -> bool {
    peer == 0 || peer == us
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn pair() -> (Wire, Wire) {
        let (a, b) = UnixStream::pair().unwrap();
        (Wire::new(a), Wire::new(b))
    }

    #[test]
    fn root_and_the_same_user_are_ours_and_nobody_else() {
        for (peer, us, expected) in [
            (0, 0, true),
            (0, 1000, true),
            (1000, 1000, true),
            (1000, 0, false),
            (1001, 1000, false),
            (u32::MAX, 0, false),
        ] {
            assert_eq!(may(peer, us), expected, "{peer} to {us}");
        }
    }

    #[tokio::test]
    async fn messages_arrive_in_order_with_their_descriptors() {
        let (a, mut b) = pair();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "inside").unwrap();
        let file = File::open(&path).unwrap();
        a.say(&"first", &[file.as_fd()]).await.unwrap();
        a.say(&"second", &[]).await.unwrap();
        let (text, descriptors): (String, _) = b.hear(LONG).await.unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("first", 1));
        let mut content = String::new();
        let mut received = File::from(descriptors.into_iter().next().unwrap());
        received.read_to_string(&mut content).unwrap();
        assert_eq!(content, "inside");
        let (text, descriptors): (String, _) = b.hear(LONG).await.unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("second", 0));
        drop(a);
        let ended = b.hear::<String>(LONG).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        use tokio::io::AsyncWriteExt;
        for (case, octets, expected) in [
            ("no JSON", b"hello\n".to_vec(), io::ErrorKind::InvalidData),
            (
                "no end",
                vec![b'x'; 3 * MESSAGE_MAX],
                io::ErrorKind::InvalidData,
            ),
            ("cut off", b"\"hel".to_vec(), io::ErrorKind::UnexpectedEof),
        ] {
            let (mut a, b) = UnixStream::pair().unwrap();
            let mut b = Wire::new(b);
            a.write_all(&octets).await.unwrap();
            drop(a);
            let error = b.hear::<String>(LONG).await.unwrap_err();
            assert_eq!(error.kind(), expected, "{case}: {error}");
        }
    }

    #[tokio::test]
    async fn silence_has_a_limit() {
        let (_a, mut b) = pair();
        let error = b
            .hear::<String>(Duration::from_millis(10))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
