//! How much a guest may send, how slowly, and on how many connections.

use super::*;
use crate::config::Limits;
use crate::limits::{Bounds, Limit};
use std::time::Instant;

impl Service {
    /// How often its guest met a limit, and how often all together did.
    fn met(&self, limit: Limit) -> (u64, u64) {
        let seat = Arc::clone(&self.desk.snapshot.load().seats[&SLOT]);
        let meter = &seat.meter;
        (
            meter.counts().of(limit),
            self.desk.bounds.counts().of(limit),
        )
    }

    /// Waits until the guest has met the limit so often: what ended a connection is counted once it has.
    async fn until_met(&self, limit: Limit, times: u64) {
        let began = Instant::now();
        while self.met(limit) != (times, times) {
            assert!(
                began.elapsed() < DEADLINE,
                "{limit:?}: {:?}",
                self.met(limit)
            );
            tokio::task::yield_now().await;
        }
    }
}

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
    service.until_met(Limit::HeadSize, 4).await;
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
    service.until_met(Limit::BodySize, 6).await;
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
    service.until_met(Limit::HeadTime, 2).await;
    service.until_met(Limit::BodyTime, 1).await;
}

#[tokio::test]
async fn the_administrator_says_how_long_and_how_many() {
    let limits = Limits {
        open_connections: 3,
        served_connections: 2,
        head_time: Duration::from_secs(1),
        connection_time: Duration::from_secs(2),
        ..Limits::default()
    };
    let service = Service::start_with(|desk| {
        desk.keep_alive = true;
        desk.bounds = Arc::new(Bounds::new(limits));
    });
    let address = service.address;
    let held = spawn_blocking(move || {
        let mut held: Vec<Client> = (0..3).map(|_| connect(address)).collect();
        let mut octets = Vec::new();
        // Closed at once, though the others have not even asked.
        let late = connect(address).read_to_end(&mut octets);
        assert!(late.is_err() || octets.is_empty());
        held.iter_mut().map(read).collect::<Vec<_>>()
    });
    assert_eq!(held.await.unwrap()[0], "", "no head came within its second");
    service.until_met(Limit::OpenConnections, 1).await;
    let slow = service.client(|mut client| {
        let mut first = [0; 1];
        // Else the whole answer finds room between the two.
        socket2::SockRef::from(&client)
            .set_recv_buffer_size(2048)
            .unwrap();
        client
            .write_all(b"GET /latest/user-data HTTP/1.1\r\n\r\n")
            .unwrap();
        client.read_exact(&mut first).unwrap();
        // Reads no more than that, until the other side has given up.
        client
    });
    let client = slow.await;
    service.until_met(Limit::ConnectionTime, 1).await;
    drop(client);
}

#[tokio::test]
async fn guest_with_too_many_connections_is_told_to_come_back() {
    let service = Service::start();
    let (address, served) = (
        service.address,
        service.desk.bounds.limits.served_connections,
    );
    let reply = spawn_blocking(move || {
        let mut held: Vec<Client> = (0..served).map(|_| connect(address)).collect();
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
    service.until_met(Limit::ServedConnections, 1).await;
}

#[tokio::test]
async fn connection_beyond_every_place_is_closed_at_once() {
    let service = Service::start();
    let (address, open) = (service.address, service.desk.bounds.limits.open_connections);
    spawn_blocking(move || {
        let held: Vec<Client> = (0..open).map(|_| connect(address)).collect();
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
    service.until_met(Limit::OpenConnections, 1).await;
    assert_eq!(service.met(Limit::AllConnections), (0, 0));
}

#[tokio::test]
async fn connections_that_a_guest_has_hung_up_take_no_place_from_its_next_ones() {
    let service = Service::start_with(|desk| {
        desk.bounds = Arc::new(Bounds::new(Limits {
            enabled: false,
            open_connections: 2,
            ..Limits::default()
        }));
    });
    let address = service.address;
    // One after the other, so fast that nobody has looked yet whether those before are over.
    let asked = spawn_blocking(move || {
        for _ in 0..200 {
            let mut client = connect(address);
            client
                .write_all(
                    b"GET /latest/meta-data/instance-id HTTP/1.1\r\nConnection: close\r\n\r\n",
                )
                .unwrap();
            assert_eq!(status(&read(&mut client)), "200");
        }
    });
    asked.await.unwrap();
    assert_eq!(service.met(Limit::OpenConnections), (0, 0));
}

#[tokio::test]
async fn guest_with_more_than_its_share_waits_where_room_is_short() {
    let service = Service::start_with(|desk| desk.descriptors = 4 * 5);
    let address = service.address;
    spawn_blocking(move || {
        let held: Vec<Client> = (0..5).map(|_| connect(address)).collect();
        let mut octets = Vec::new();
        let late = connect(address).read_to_end(&mut octets);
        assert!(late.is_err() || octets.is_empty());
        drop(held);
    })
    .await
    .unwrap();
    service.until_met(Limit::AllConnections, 1).await;
    assert_eq!(service.met(Limit::OpenConnections), (0, 0));
}
