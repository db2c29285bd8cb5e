//! A daemon's double behind a real socket, asked by the real client.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metad_common::reason::Reason;
use tokio::sync::watch;

use super::*;

mod claims;
mod identity;

/// Knows `web1` and one path.
struct Double {
    state: StateDesk,
    stop: watch::Sender<bool>,
}

impl Host for Double {
    fn status(&self) -> Status {
        example()
    }

    fn query(&self, query: &Query) -> Result<Reply, QueryError> {
        match query.instance.as_str() {
            "web1" if query.nic.is_some() => Err(QueryError::UnknownNic {
                instance: "web1".to_owned(),
                mac: query.nic.clone().unwrap_or_default(),
                nics: vec!["52:54:00:00:00:01".to_owned()],
            }),
            "web1" if query.path == "/latest/user-data" => Ok(Reply {
                status: 200,
                headers: query.headers.clone(),
                body: Bytes::from_static(b"\x1f\x8b\x00not text"),
            }),
            "web1" => Ok(Reply {
                status: 404,
                headers: Vec::new(),
                body: Bytes::new(),
            }),
            "bare" => Err(QueryError::NoNic {
                instance: "bare".to_owned(),
            }),
            other => Err(QueryError::unknown_instance(other, ["web1", "db1"])),
        }
    }

    fn certificate(&self) -> Certificate {
        crate::signer::sample::signer().certificate().clone()
    }

    fn state(&self) -> &StateDesk {
        &self.state
    }

    fn stop(&self) {
        self.stop.send_replace(true);
    }
}

pub(crate) fn example() -> Status {
    Status {
        name: "metad".to_owned(),
        interfaces: vec![InterfaceStatus {
            name: "virbr0".to_owned(),
            ifindex: 4,
            role: Role::Bridge,
            attached: Some(AttachedBy::Tcx),
            guarded: true,
            problem: None,
        }],
        instances: vec![InstanceStatus {
            name: "web1".to_owned(),
            instance_id: "i-0123456789abcdef0".to_owned(),
            uuid: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            running: true,
            nics: vec![NicStatus {
                mac: "52:54:00:00:00:01".to_owned(),
                interface: Some("vnet0".to_owned()),
                ifindex: Some(5),
                slot: Some(1),
            }],
            nocloud_url: Some("http://169.254.169.254/nocloud/".to_owned()),
            limits: BTreeMap::from([("requests".to_owned(), 7)]),
        }],
        sources: vec![SourceStatus {
            name: "libvirt qemu:///system".to_owned(),
            away: None,
            subjects: 1,
        }],
        problems: Vec::new(),
        counters: Counters {
            arp_answered: 2,
            neighbour_answered: 1,
            delivered: 31,
            returned: 29,
            recalled: 1,
            dropped: BTreeMap::from([("unknown-sender".to_owned(), 3)]),
        },
        limits: BTreeMap::from([("requests".to_owned(), 7)]),
    }
}

/// Runs `asks` against a double that listens in a directory of its own.
fn with_daemon<T>(asks: impl AsyncFnOnce(&Path, Client) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let claim = Claim::take(&run_dir).unwrap();
        let listener = claim.listen().unwrap();
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(serve(
            listener,
            Arc::new(Double {
                state: StateDesk::default(),
                stop: stop.clone(),
            }),
            stopped,
        ));
        let client = Client::new(&run_dir.join("admin.sock"));
        let result = asks(&run_dir, client).await;
        stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(30), server)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        result
    })
}

fn query(instance: &str, path: &str) -> Query {
    Query {
        instance: instance.to_owned(),
        path: path.to_owned(),
        method: Method::Get,
        headers: Vec::new(),
        nic: None,
    }
}

#[test]
fn status_arrives_as_it_was() {
    assert_eq!(
        with_daemon(async |_, client| client.status().await.unwrap()),
        example()
    );
}

#[test]
fn status_is_written_as_documented() {
    let expected = serde_json::json!({
        "name": "metad",
        "interfaces": [{"name": "virbr0", "ifindex": 4, "role": "bridge", "attached": "tcx", "guarded": true, "problem": null}],
        "instances": [{
            "name": "web1", "instance-id": "i-0123456789abcdef0", "uuid": "01234567-89ab-cdef-0123-456789abcdef",
            "running": true,
            "nics": [{"mac": "52:54:00:00:00:01", "interface": "vnet0", "ifindex": 5, "slot": 1}],
            "nocloud-url": "http://169.254.169.254/nocloud/",
            "limits": {"requests": 7}
        }],
        "sources": [{"name": "libvirt qemu:///system", "away": null, "subjects": 1}],
        "problems": [],
        "counters": {"arp-answered": 2, "neighbour-answered": 1, "delivered": 31, "returned": 29, "recalled": 1, "dropped": {"unknown-sender": 3}},
        "limits": {"requests": 7}
    });
    assert_eq!(serde_json::to_value(example()).unwrap(), expected);
}

#[test]
fn a_limit_of_the_kernels_is_laid_to_the_instances_of_its_slots() {
    let reason = Reason::ConnectionLimit;
    for (case, dropped, refused, all, of_web1) in [
        ("nobody met it", None, vec![], None, None),
        ("one did", Some(9), vec![(1, 9)], Some(9), Some(9)),
        ("whose slot is gone", Some(9), vec![(2, 9)], Some(9), None),
        ("counted as none", Some(0), vec![(1, 9)], None, None),
    ] {
        let mut status = example();
        let dropped = dropped.map(|count| (reason.name().to_owned(), count));
        status.counters.dropped.extend(dropped);
        let refused = refused.into_iter().collect();
        status.met_by_slot("connections", reason, &refused);
        assert_eq!(status.limits.get("connections").copied(), all, "{case}");
        let web1 = &status.instances[0].limits;
        assert_eq!(web1.get("connections").copied(), of_web1, "{case}");
        assert_eq!(web1.get("requests"), Some(&7), "{case}: the others stay");
    }
}

#[test]
fn bodies_arrive_octet_for_octet() {
    let asked = Query {
        headers: vec![
            ("X-A".to_owned(), "1".to_owned()),
            ("X-A".to_owned(), "2".to_owned()),
        ],
        ..query("web1", "/latest/user-data")
    };
    let reply = with_daemon(async |_, client| client.query(&asked).await.unwrap());
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers, asked.headers);
    assert_eq!(reply.body.as_ref(), b"\x1f\x8b\x00not text");
}

#[test]
fn a_refusal_for_the_guest_is_an_answer() {
    let reply =
        with_daemon(async |_, client| client.query(&query("web1", "/nothing")).await.unwrap());
    assert_eq!((reply.status, reply.body.len()), (404, 0));
}

#[test]
fn queries_about_nobody_say_who_there_is() {
    for (case, asked, expected) in [
        (
            "near miss",
            query("wbe1", "/"),
            "no instance is called `wbe1`\nhelp: did you mean `web1`?",
        ),
        (
            "far off",
            query("zzz", "/"),
            "no instance is called `zzz`\nhelp: `metad status` lists the instances",
        ),
        (
            "no NIC",
            query("bare", "/"),
            "instance `bare` has no NIC, so nothing is ever told to it",
        ),
        (
            "foreign NIC",
            Query {
                nic: Some("52:54:00:00:00:09".to_owned()),
                ..query("web1", "/")
            },
            "instance `web1` has no NIC with the MAC 52:54:00:00:00:09\nhelp: its NICs are 52:54:00:00:00:01",
        ),
    ] {
        let error = with_daemon(async |_, client| client.query(&asked).await.unwrap_err());
        assert!(matches!(error, ClientError::Query(_)), "{case}: {error:?}");
        assert_eq!(error.to_string(), expected, "{case}");
    }
}

#[test]
fn stop_ends_the_daemon() {
    with_daemon(async |run_dir, client| {
        client.stop().await.unwrap();
        let gone = async {
            while run_dir.join("admin.sock").exists()
                && tokio::net::UnixStream::connect(run_dir.join("admin.sock"))
                    .await
                    .is_ok()
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone)
            .await
            .unwrap();
        assert!(matches!(
            client.status().await,
            Err(ClientError::NotRunning { .. })
        ));
    });
}

#[test]
fn root_alone_can_connect() {
    with_daemon(async |run_dir, _| {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(run_dir), 0o700);
        assert_eq!(mode(&run_dir.join("admin.sock")), 0o600);
        assert_eq!(mode(&run_dir.join("lock")), 0o600);
    });
}

#[test]
fn silence_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = Client::new(&socket).patient_for(Duration::from_millis(50));
    let error = runtime.block_on(client.status()).unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
}

#[test]
fn a_missing_daemon_is_told_from_a_broken_one() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(Client::new(&socket).status()).unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");

    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let error = runtime.block_on(Client::new(&socket).status()).unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
}

#[test]
fn malformed_queries_are_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    with_daemon(async |run_dir, _| {
        for (case, body) in [
            ("no JSON", "hello"),
            (
                "unknown key",
                r#"{"instance": "web1", "path": "/", "user": "root"}"#,
            ),
            ("no path", r#"{"instance": "web1"}"#),
            (
                "a method that writes",
                r#"{"instance": "web1", "path": "/", "method": "PUT"}"#,
            ),
        ] {
            let mut stream = tokio::net::UnixStream::connect(run_dir.join("admin.sock"))
                .await
                .unwrap();
            let request = format!(
                "POST /query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{case}: {answer}");
            assert!(answer.contains(r#""kind":"malformed""#), "{case}: {answer}");
        }
    });
}
