//! How much a guest may send, how slowly, and on how many connections.

use super::*;
use std::time::Instant;

fn head_of(length: usize) -> String {
    let frame = "GET / HTTP/1.1\r\nX-Fill: \r\n\r\n".len();
    let fill = "a".repeat(length - frame);
    format!("GET / HTTP/1.1\r\nX-Fill: {fill}\r\n\r\n")
}

#[tokio::test]
async fn head_may_have_8_kib() {
    let service = Service::start();
    for (length, expected) in [
        (8192, "200"),
        (8193, "431"),
        (9000, "431"),
        (100_000, "431"),
    ] {
        let reply = service.exchange(head_of(length)).await;
        assert_eq!(status(&reply), expected, "{length}");
        assert!(head(&reply).contains("Content-Length"), "{length}: {reply}");
    }
    let lines = "X-A: b\r\n".repeat(200);
    let reply = service
        .exchange(format!("GET / HTTP/1.1\r\n{lines}\r\n"))
        .await;
    assert_eq!(status(&reply), "431", "too many lines");
}

#[tokio::test]
async fn body_may_have_4_kib_and_a_larger_one_still_reads_its_answer() {
    let service = Service::start();
    for (length, expected) in [
        (4096, "200"),
        (4097, "413"),
        (5 * 1024, "413"),
        (512 * 1024, "413"),
    ] {
        for chunked in [false, true] {
            let octets = "x".repeat(length);
            let request = if chunked {
                format!(
                    "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{octets}\r\n0\r\n\r\n"
                )
            } else {
                format!("GET / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{octets}")
            };
            let reply = service.exchange(request).await;
            assert_eq!(status(&reply), expected, "{length} {chunked}");
        }
    }
}

#[tokio::test]
async fn slow_and_silent_clients_have_five_seconds() {
    let service = Service::start();
    let slow = |octets: &'static [u8]| {
        service.client(move |mut client| {
            let began = Instant::now();
            client.write_all(octets).unwrap();
            (read(&mut client), began.elapsed())
        })
    };
    let (head, silent, body) = tokio::join!(
        slow(b"GET / HTTP/1.1\r\nX-Slow: "),
        slow(b""),
        slow(b"PUT /latest/api/token HTTP/1.1\r\nContent-Length: 9\r\n\r\nslow"),
    );
    for (case, (reply, took), expected) in [
        ("head", head, "no reply"),
        ("silent", silent, "no reply"),
        ("body", body, "408"),
    ] {
        assert_eq!(status(&reply), expected, "{case}");
        assert!(
            took >= Duration::from_secs(4) && took < DEADLINE,
            "{case}: {took:?}"
        );
    }
}

#[tokio::test]
async fn guest_with_too_many_connections_is_told_to_come_back() {
    let service = Service::start();
    let address = service.address;
    let reply = spawn_blocking(move || {
        let mut held: Vec<Client> = (0..crowd::SERVED_MAX).map(|_| connect(address)).collect();
        for client in &mut held {
            client.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").unwrap();
        }
        let mut late = connect(address);
        late.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let reply = read(&mut late);
        for mut client in held {
            client.write_all(b"x\r\n\r\n").unwrap();
            assert_eq!(status(&read(&mut client)), "200");
        }
        reply
    })
    .await
    .unwrap();
    assert_eq!(status(&reply), "503", "{reply}");
    assert!(head(&reply).contains("Retry-After: 1"), "{reply}");
}

#[tokio::test]
async fn connection_beyond_every_place_is_closed_at_once() {
    let service = Service::start();
    let address = service.address;
    spawn_blocking(move || {
        let held: Vec<Client> = (0..crowd::OPEN_MAX).map(|_| connect(address)).collect();
        let mut late = connect(address);
        let mut octets = Vec::new();
        let closed = match late.read_to_end(&mut octets) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        assert!(closed && octets.is_empty());
        drop(held);
    })
    .await
    .unwrap();
}
