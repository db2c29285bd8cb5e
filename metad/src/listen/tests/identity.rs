//! Who a connection belongs to, from `accept` to its last request.

use super::*;

const GET: &str = "GET /latest/meta-data/local-ipv4 HTTP/1.1\r\n\r\n";

#[tokio::test]
async fn guest_is_told_the_address_that_it_wrote() {
    let service = Service::start();
    assert_eq!(body(&service.exchange(GET).await), "192.0.2.7");
}

#[tokio::test]
async fn frames_from_another_nic_get_no_answer() {
    for (case, seen, expected) in [
        ("its own", Some(origin()), "200"),
        (
            "another MAC",
            Some(FlowOrigin {
                mac: Mac([2; 6]),
                ..origin()
            }),
            "503",
        ),
        (
            "another interface",
            Some(FlowOrigin {
                ifindex: 10,
                ..origin()
            }),
            "503",
        ),
    ] {
        let service = Service::start_with(|desk| desk.flows = Arc::new(Fixed(seen)));
        let reply = service.exchange(GET).await;
        assert_eq!(status(&reply), expected, "{case}: {reply}");
    }
}

#[tokio::test]
async fn forgotten_flow_costs_only_the_address() {
    let service = Service::start_with(|desk| desk.flows = Arc::new(Fixed(None)));
    assert_eq!(status(&service.exchange(GET).await), "503");
    let reply = service
        .exchange("GET /latest/meta-data/mac HTTP/1.1\r\n\r\n")
        .await;
    assert_eq!(body(&reply), "52:54:00:00:00:01");
}

#[tokio::test]
async fn connection_from_outside_the_slots_has_no_guest() {
    let service = Service::start_with(|desk| desk.slot_of = crate::identity::slot_of);
    let headers =
        "X-Forwarded-For: 100.64.0.5\r\nX-Instance-ID: web1\r\nForwarded: for=100.64.0.5\r\n";
    let reply = service
        .exchange(format!("GET / HTTP/1.1\r\n{headers}\r\n"))
        .await;
    assert_eq!(status(&reply), "503", "{reply}");
    assert!(head(&reply).contains("Retry-After: 1"), "{reply}");
}

#[tokio::test]
async fn request_waits_for_a_guest_that_is_about_to_be_known() {
    let service = Service::start_with(|desk| desk.snapshot = Arc::default());
    let (sent, arrived) = oneshot::channel();
    let address = service.address;
    let reply = spawn_blocking(move || {
        let mut client = connect(address);
        client.write_all(GET.as_bytes()).unwrap();
        sent.send(()).unwrap();
        read(&mut client)
    });
    arrived.await.unwrap();
    // A swap that says nothing of this guest ends no wait.
    service.swap(Snapshot::default());
    service.swap(seated(1));
    assert_eq!(body(&reply.await.unwrap()), "192.0.2.7");
}

#[tokio::test]
async fn request_of_a_guest_that_stays_unknown_is_put_off() {
    let service = Service::start_with(|desk| desk.snapshot = Arc::default());
    let began = std::time::Instant::now();
    let reply = service.exchange(GET).await;
    assert_eq!(status(&reply), "503", "{reply}");
    assert!(head(&reply).contains("Retry-After: 1"), "{reply}");
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn old_connection_does_not_speak_for_a_new_guest() {
    let service = Service::start_with(|desk| desk.keep_alive = true);
    let (mut client, first) = service
        .client(|mut client| {
            client.write_all(GET.as_bytes()).unwrap();
            let mut octets = [0; 4096];
            let length = client.read(&mut octets).unwrap();
            (
                client,
                String::from_utf8(octets[..length].to_vec()).unwrap(),
            )
        })
        .await;
    assert_eq!(status(&first), "200");
    service.swap(seated(2));
    let second = spawn_blocking(move || {
        let last = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        client.write_all(last.as_bytes()).unwrap();
        read(&mut client)
    });
    assert_eq!(status(&second.await.unwrap()), "503");
    assert_eq!(
        status(
            &service
                .exchange(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
                .await
        ),
        "200"
    );
}

#[tokio::test]
async fn edited_instance_is_read_at_the_next_request() {
    let service = Service::start();
    let mut snapshot = seated(1);
    let seat = &snapshot.seats[&SLOT];
    let mut instance = (*seat.instance).clone();
    instance.hostname = "renamed".into();
    let seat = Seat {
        answers: Arc::new(render::answers(&instance, 0)),
        instance: Arc::new(instance),
        interface: "vnet1".into(),
        notice: Arc::clone(&seat.notice),
        meter: Arc::clone(&seat.meter),
        ..*seat.as_ref()
    };
    snapshot.seats.insert(SLOT, Arc::new(seat));
    service.swap(snapshot);
    let reply = service
        .exchange("GET /latest/meta-data/hostname HTTP/1.1\r\n\r\n")
        .await;
    assert_eq!(body(&reply), "renamed");
}

#[tokio::test]
async fn hop_limit_is_on_the_socket_that_carries_the_token() {
    for (request, expected) in [
        (
            "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n",
            3,
        ),
        ("PUT /latest/api/token HTTP/1.1\r\n\r\n", 64),
        ("GET / HTTP/1.1\r\n\r\n", 64),
    ] {
        let service = Service::start();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let reply = spawn_blocking(move || {
            let mut client = connect(address);
            client.write_all(request.as_bytes()).unwrap();
            read(&mut client)
        });
        let (stream, remote) = listener.accept().await.unwrap();
        stream.set_ttl(64).unwrap();
        let stream = Arc::new(stream);
        let connection = connection::Connection {
            stream: Arc::clone(&stream),
            remote,
            local: address,
            slot: Some(SLOT),
            place: Crowd::new(room(&service.desk)).enter(Some(SLOT)).unwrap(),
        };
        let app = service.desk.app();
        let router = crate::http::router(app.clone(), service.stop.subscribe());
        let stop = service.stop.subscribe();
        let attended = tokio::spawn(connection::attend(
            connection,
            None,
            Arc::clone(&service.desk),
            app,
            router,
            stop,
        ));
        attended.await.unwrap();
        assert_eq!(stream.ttl().unwrap(), expected, "{request}");
        drop(stream);
        assert!(reply.await.unwrap().starts_with("HTTP/1.1 "), "{request}");
    }
}
