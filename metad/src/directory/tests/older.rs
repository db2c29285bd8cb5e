//! Files of older tools in a watched directory, as their administrators left them there.

use super::*;

const KEYS: &str = r#"{"public-keys": [{"openssh-key": "ssh-rsa AAAA me@host"}]}"#;

#[tokio::test]
async fn c2_20_c2_22_a_change_of_either_file_counts() {
    let mut watched = follow_records(|records| {
        make(records);
        fs::write(records.join("foo.internal.json"), KEYS).unwrap();
    })
    .await;
    let subject = watched.subject("foo.internal").await;
    assert_eq!((subject.name.as_str(), subject.nics), ("foo", None));
    assert_eq!(subject.record.user_data, None);
    watched.connected().await;
    for content in [&b"#!/bin/sh\xff\n"[..], b"", b"#!/bin/true\n"] {
        watched.write("foo.internal.data", content);
        let subject = watched.subject("foo.internal").await;
        assert_eq!(
            subject
                .record
                .user_data
                .as_ref()
                .map(Packed::bytes)
                .as_deref(),
            Some(content),
            "octet for octet"
        );
        assert_eq!(subject.record.public_keys.as_ref().map(Vec::len), Some(1));
    }
    watched.write("foo.internal.json", r#"{"local-hostname": "b"}"#);
    let subject = watched.subject("foo.internal").await;
    assert_eq!(subject.record.hostname.as_deref(), Some("b"));
    assert_eq!(
        subject
            .record
            .user_data
            .as_ref()
            .map(Packed::bytes)
            .as_deref(),
        Some(&b"#!/bin/true\n"[..])
    );
    fs::remove_file(watched.path("foo.internal.json")).unwrap();
    let subject = watched.subject("foo.internal").await;
    assert_eq!(subject.record.hostname.as_deref(), Some("foo.internal"));
    assert_eq!(
        subject
            .record
            .user_data
            .as_ref()
            .map(Packed::bytes)
            .as_deref(),
        Some(&b"#!/bin/true\n"[..]),
        "user-data alone is enough"
    );
    fs::remove_file(watched.path("foo.internal.data")).unwrap();
    watched.gone("foo.internal").await;
}

#[tokio::test]
async fn c2_20_user_data_is_bounded_and_stays_as_it_was() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    watched.write(
        "foo.internal.data",
        vec![0; crate::record::USER_DATA_MAX + 1],
    );
    let problem = watched.failure("foo.internal").await;
    assert!(
        problem.ends_with("foo.internal.data: it is larger than 1048576 octets"),
        "{problem}"
    );
}

#[tokio::test]
async fn files_of_other_names_are_nobodys_user_data() {
    let mut watched = follow_records(|records| {
        make(records);
        for name in ["web.data", ".internal.data", ".foo.internal.data"] {
            fs::write(records.join(name), "wrong").unwrap();
        }
        fs::write(records.join("web.yaml"), "user-data-file: web.data\n").unwrap();
    })
    .await;
    let web = watched.subject("web").await;
    assert_eq!(
        web.record.user_data.as_ref().map(Packed::bytes).as_deref(),
        Some(&b"wrong"[..])
    );
    assert_eq!(watched.synced().await, ["web"]);
}

#[tokio::test]
async fn a_record_and_an_older_file_of_one_machine_are_refused() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    watched.write("foo.internal.json", KEYS);
    watched.subject("foo.internal").await;
    watched.write("foo.yaml", "hostname: a\n");
    let problem = watched.failure("foo.internal").await;
    let expected = format!(
        "{} and {} say the same name twice; keep one",
        watched.path("foo.internal.json").display(),
        watched.path("foo.yaml").display()
    );
    assert_eq!(problem, expected);
    fs::remove_file(watched.path("foo.yaml")).unwrap();
    assert_eq!(watched.subject("foo.internal").await.name, "foo");
}

#[tokio::test]
async fn what_is_left_out_of_an_older_file_is_a_problem_of_its_machine() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    watched.write(
        "foo.internal.json",
        r#"{"public-keys": [{}, "ssh-rsa AAAA"]}"#,
    );
    let subject = watched.subject("foo.internal").await;
    assert_eq!(subject.record.public_keys.as_ref().map(Vec::len), Some(1));
    let expected = format!(
        "{}: key 0 of `public-keys` is left out: it has no `openssh-key`",
        watched.path("foo.internal.json").display()
    );
    assert_eq!(subject.problem, Some(expected));
}

#[tokio::test]
async fn vs_08_an_edited_file_of_the_driver_counts() {
    let text = |hostname: &str| {
        format!(
            "metadata: {{ami_id: a, instance_id: i, region: r, availability_zone: z, hostname: {hostname}}}\n\
             network: {{address: 10.0.0.5, netmask: 255.255.255.0, gateway: 10.0.0.1, nameservers: [10.0.0.1]}}\n"
        )
    };
    let mut watched = follow_records(make).await;
    watched.connected().await;
    for hostname in ["first", "second"] {
        watched.write("my-vm.yaml", text(hostname));
        let subject = watched.subject("my-vm").await;
        assert_eq!(subject.name, "my-vm");
        assert_eq!(subject.record.hostname.as_deref(), Some(hostname));
    }
    watched.write("my-vm.yaml", text("third").replace("region", "regoin"));
    let problem = watched.failure("my-vm").await;
    assert!(problem.contains("did you mean `region`?"), "{problem}");
}
