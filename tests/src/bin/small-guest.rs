//! The program inside the small guest: runs the host's commands, and asks the metadata service.
//!
//! `small-guest serve` reads lines `ID COMMAND` from standard input, runs each with the shell, and answers with one
//! line `ID STATUS OUTPUT`, escaped. `small-guest ask METHOD PATH [NAME:VALUE…]` makes one request and prints the
//! status and the body. The image's builder compiles this file alone, so it uses the standard library only.

use std::fmt::Write as _;
use std::io::{BufRead, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode};
use std::time::Duration;

const SERVICE: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)),
    80,
);
/// What cloud SDKs wait for a connection; and long enough for an emulated processor under load.
const PATIENCE: Duration = Duration::from_secs(5);
const SECRET: &str = "x-aws-ec2-metadata-token";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve"] => serve(),
        ["ask", method, path, headers @ ..] => {
            ask(method, path, headers).and_then(|reply| print(&reply))
        }
        ["session", path] => session(path).and_then(|reply| print(&reply)),
        _ => Err(Error::other(
            "usage: small-guest serve | ask METHOD PATH [NAME:VALUE…] | session PATH",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when even this cannot be written.
            let _ = writeln!(std::io::stdout(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<()> {
    let input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    for line in input.lines() {
        let line = line?;
        let Some((id, command)) = line.split_once(' ') else {
            continue;
        };
        let done = Command::new("/bin/busybox")
            .args(["sh", "-c", command])
            .output()?;
        let code = done.status.code().unwrap_or(-1);
        writeln!(output, "{id} {code} {}", escape(&done.stdout))?;
        output.flush()?;
    }
    Ok(())
}

/// Octets as one line: everything but printable ASCII becomes `%XX`.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' || byte == b' ' {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

struct Reply {
    status: String,
    body: Vec<u8>,
}

/// One request on a connection of its own, read to the end as the simplest clients do.
fn ask(method: &str, path: &str, headers: &[&str]) -> Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&SERVICE, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or_else(|| Error::other("an answer without an end of its head"))?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head
        .split(' ')
        .nth(1)
        .ok_or_else(|| Error::other("an answer without a status"))?;
    Ok(Reply {
        status: status.to_owned(),
        body,
    })
}

/// A session as version 2 of the EC2 service wants it: a token, then the request with it.
fn session(path: &str) -> Result<Reply> {
    let token = ask(
        "PUT",
        "/latest/api/token",
        &["X-aws-ec2-metadata-token-ttl-seconds: 60"],
    )?;
    if token.status != "200" {
        return Ok(token);
    }
    let secret = String::from_utf8_lossy(&token.body);
    ask("GET", path, &[&format!("{SECRET}: {secret}")])
}

fn print(reply: &Reply) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", reply.status)?;
    output.write_all(&reply.body)?;
    output.flush()
}
