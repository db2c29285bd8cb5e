//! The clock inside a guest: `guest-clock PAIRS PATH ADDRESS:PORT ADDRESS:PORT` asks both for a path, in turns, and prints
//! the microseconds that each pair of answers took, from the connection to its end.
//!
//! It is compiled alone and sent into the guest, so it uses the standard library only.

use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// An emulated processor under load takes its time.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [pairs, path, first, second] => measure(pairs, path, [first, second]),
        _ => Err(Error::other(
            "usage: guest-clock PAIRS PATH ADDRESS:PORT ADDRESS:PORT",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when even this cannot be written.
            let _ = writeln!(std::io::stdout(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(pairs: &str, path: &str, servers: [&str; 2]) -> Result<()> {
    let pairs: u32 = pairs.parse().map_err(Error::other)?;
    let address = |text: &str| text.parse::<SocketAddr>().map_err(Error::other);
    let [first, second] = servers;
    let (first, second) = (address(first)?, address(second)?);
    let mut output = std::io::stdout().lock();
    for pair in 0..pairs {
        // Who comes second finds warm caches.
        let (one, two) = match pair % 2 {
            0 => {
                let one = ask(first, path)?;
                (one, ask(second, path)?)
            }
            _ => {
                let two = ask(second, path)?;
                (ask(first, path)?, two)
            }
        };
        writeln!(output, "{} {}", one.as_micros(), two.as_micros())?;
    }
    output.flush()
}

fn ask(server: SocketAddr, path: &str) -> Result<Duration> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n");
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::with_capacity(1024);
    stream.read_to_end(&mut answer)?;
    let took = began.elapsed();
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(took)
    } else {
        Err(Error::other(format!("{server} does not answer with 200")))
    }
}
