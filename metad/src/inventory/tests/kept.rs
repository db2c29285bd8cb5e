//! What was set lies over what sources say, and whoever waits hears of it, and of nothing else.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::instance::Dialect;
use crate::render::Version;
use crate::settings::{Kept, Secret, Shelf};

const WEB1: Uuid = Uuid::from_u128(0xec2a_1b2c_3d4e_5f60_7182_93a4_b5c6_d7e8);
const OTHER: Uuid = Uuid::from_u128(2);

fn machine(name: &str, uuid: Uuid, mac: u8) -> Subject {
    let mut nic = nic(Some("vnet0"));
    nic.mac = Mac([0x52, 0x54, 0, 0, 0, mac]);
    Subject {
        uuid: Some(uuid),
        nics: Some(vec![nic].into()),
        ..domain(name, 1)
    }
}

fn kept(settings: &Value) -> Kept {
    Kept {
        name: "web1".to_owned(),
        settings: settings.as_object().cloned().unwrap(),
        password: None,
    }
}

fn read(resolution: &Resolution, name: &str, version: &str, path: &str) -> Option<String> {
    let answers = &resolution.snapshot.instances[name].answers[0];
    let version = Version::named(version).unwrap();
    let caller = Some(std::net::Ipv4Addr::new(192, 0, 2, 7));
    let body = answers
        .get(Dialect::Ec2, version, path)?
        .body
        .bytes(caller)?;
    Some(String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn what_is_set_lies_over_everything_and_goes_again() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, machine("web1", WEB1, 1)));
    let set = json!({
        "instance-type": "set.large",
        "events": {"maintenance": {"scheduled": "[]"}},
        "tags": {"instance": {"role": "web", "count": 3}},
    });
    inventory.keep(WEB1, kept(&set));
    let with = resolve(&mut inventory);
    let old = "2020-10-27";
    for (version, path, expected) in [
        ("latest", "meta-data/instance-type", Some("set.large")),
        (
            "latest",
            "meta-data/events/maintenance/scheduled",
            Some("[]"),
        ),
        ("latest", "meta-data/tags/instance", Some("count\nrole")),
        ("latest", "meta-data/tags/instance/count", Some("3")),
        (old, "meta-data/tags/instance/count", None),
        (old, "meta-data/tags", None),
    ] {
        let found = read(&with, "web1", version, path);
        assert_eq!(found.as_deref(), expected, "{version} {path}");
    }
    let document = read(
        &with,
        "web1",
        "latest",
        "dynamic/instance-identity/document",
    );
    assert!(document.unwrap_or_default().contains("\"set.large\""));
    let tags = &with.snapshot.instances["web1"].instance.tags;
    assert_eq!(
        tags.get("role").map(String::as_str),
        Some("web"),
        "for every dialect"
    );

    inventory.keep(WEB1, Kept::default());
    let without = resolve(&mut inventory);
    let path = "meta-data/instance-type";
    let found = read(&without, "web1", "latest", path);
    assert_eq!(found.as_deref(), Some("kvm.guest"));
    assert!(inventory.kept().is_empty());
}

#[test]
fn what_was_kept_before_the_start_belongs_to_its_uuid_alone() {
    for (case, uuid, expected) in [
        ("its own", WEB1, "set.large"),
        ("another", OTHER, "kvm.guest"),
    ] {
        let shelf = Shelf::from([(WEB1, kept(&json!({"instance-type": "set.large"})))]);
        let unread = vec![("FILE".to_owned(), "it is torn".to_owned())];
        let secret = Secret::with_key([7; 32]);
        let mut inventory = inventory(Identity::Port).with_state(Some(secret), shelf, unread);
        inventory.apply(put(0, machine("web1", uuid, 1)));
        let resolution = resolve(&mut inventory);
        let found = read(&resolution, "web1", "latest", "meta-data/instance-type");
        assert_eq!(found.as_deref(), Some(expected), "{case}");
        let seed = resolution.snapshot.instances["web1"].instance.seed;
        let of_web1 =
            seed.is_some_and(|seed| seed.to_string() == "55af7ba385c782aa22c74daf66ebd208");
        assert_eq!(of_web1, uuid == WEB1, "{case}: {seed:?}");
        let problem = ("FILE".to_owned(), "it is torn".to_owned());
        assert!(resolution.snapshot.problems.contains(&problem), "{case}");
    }
}

#[test]
fn a_notice_rings_for_its_own_instance_and_outlives_its_answers() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, machine("web1", WEB1, 1)));
    inventory.apply(put(0, machine("db1", OTHER, 2)));
    let first = resolve(&mut inventory);
    let notice = |resolution: &Resolution, name: &str| {
        let seat = resolution.snapshot.instances[name].seats[0].clone();
        seat.map(|seat| Arc::clone(&seat.notice)).unwrap()
    };
    let (ours, other) = (notice(&first, "web1"), notice(&first, "db1"));
    let rings = |resolution: Resolution| {
        let rings = |notice: &Arc<Notice>| {
            let rung = resolution.notices.iter().any(|it| Arc::ptr_eq(it, notice));
            let waiting = notice.wait(16).unwrap();
            let mut listening = pin!(waiting.rung());
            listening.as_mut().enable();
            for notice in &resolution.notices {
                notice.ring();
            }
            let mut context = Context::from_waker(Waker::noop());
            let heard = listening.as_mut().poll(&mut context).is_ready();
            assert_eq!(rung, heard);
            heard
        };
        (rings(&ours), rings(&other))
    };
    assert_eq!(
        rings(resolve(&mut inventory)),
        (false, false),
        "nothing new"
    );
    inventory.keep(WEB1, kept(&json!({"a": "b"})));
    let changed = resolve(&mut inventory);
    assert!(
        Arc::ptr_eq(&ours, &notice(&changed, "web1")),
        "the same bell"
    );
    assert_eq!(rings(changed), (true, false), "set");
    inventory.apply(put(1, addition("web1")));
    assert_eq!(rings(resolve(&mut inventory)), (true, false), "a record");
    let reading = Subject {
        reading: Duration::from_secs(2),
        ..machine("web1", WEB1, 1)
    };
    inventory.apply(put(0, reading));
    assert_eq!(rings(resolve(&mut inventory)), (false, false), "read again");
    let unplugged = inventory.resolve(&Interfaces::default(), Duration::from_secs(2));
    assert_eq!(rings(unplugged), (true, true), "both taps went");
    let key = "key of web1".to_owned();
    let event = Event::Gone { key };
    inventory.apply(Change { source: 0, event });
    assert_eq!(rings(resolve(&mut inventory)), (true, false), "gone");
}
