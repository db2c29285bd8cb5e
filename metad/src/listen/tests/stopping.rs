//! The end of the service: open requests are finished, idle connections are not waited for.

use super::*;
use std::time::Instant;

#[tokio::test]
async fn open_request_is_finished_and_no_new_one_taken() {
    let service = Service::start();
    let address = service.address;
    let (sent, arrived) = oneshot::channel();
    let (go, gone) = std::sync::mpsc::channel();
    let reply = spawn_blocking(move || {
        let mut client = connect(address);
        client
            .write_all(b"PUT /latest/api/token HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            .unwrap();
        let mut octets = [0; 25];
        // The service has read the head and waits for the body.
        client.read_exact(&mut octets).unwrap();
        sent.send(()).unwrap();
        gone.recv().unwrap();
        client.write_all(b"xx").unwrap();
        read(&mut client)
    });
    arrived.await.unwrap();
    service.stop.send(true).unwrap();
    go.send(()).unwrap();
    assert_eq!(
        status(&reply.await.unwrap()),
        "400",
        "no time to live was sent"
    );
    service.ended.await.unwrap().unwrap();
    let refused = spawn_blocking(move || Client::connect(address))
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn request_on_a_connection_that_was_taken_is_still_answered() {
    let service = Service::start();
    let address = service.address;
    // Another request's answer shows that this connection has been taken, on which something came first.
    let client = spawn_blocking(move || {
        let mut client = connect(address);
        client.write_all(b"GET / HT").unwrap();
        client
    });
    let mut client = client.await.unwrap();
    service.exchange("GET / HTTP/1.1\r\n\r\n").await;
    service.stop.send(true).unwrap();
    let reply = spawn_blocking(move || {
        client.write_all(b"TP/1.1\r\n\r\n").unwrap();
        read(&mut client)
    });
    assert_eq!(status(&reply.await.unwrap()), "200");
    service.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn idle_connections_do_not_hold_the_stop_up() {
    let service = Service::start();
    let address = service.address;
    let idle = spawn_blocking(move || (0..10).map(|_| connect(address)).collect::<Vec<_>>())
        .await
        .unwrap();
    let began = Instant::now();
    service.stop.send(true).unwrap();
    service.ended.await.unwrap().unwrap();
    assert!(
        // Far below what a connection may last.
        began.elapsed() < DEADLINE,
        "{:?}",
        began.elapsed()
    );
    drop(idle);
}

#[tokio::test]
async fn lost_sender_stops_the_service() {
    let service = Service::start();
    drop(service.stop);
    service.ended.await.unwrap().unwrap();
}
