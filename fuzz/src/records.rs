//! Record files, YAML and JSON, metad's own and those of older tools: read, laid under an inventory, rendered, and
//! every listed name answers.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use metad::directory::origin::{self, Named};
use metad::directory::record_file::Format;
use metad::http::answer_as;
use metad::instance::Instance;
use metad::render::Answers;
use metad::source::Subject;

use crate::world;

/// Requests that one instance is asked; more than a listing of a proper record needs.
const REQUESTS_MAX: usize = 400;

/// Where the guest's requests come from.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);

/// Reads the octets as a file of each kind.
pub fn replay(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    for (stem, format, beside_data) in [
        ("web1", Format::Yaml, false),
        ("web1", Format::Json, false),
        ("web1.internal", Format::Json, true),
    ] {
        let named = Named {
            stem,
            format,
            beside_data,
        };
        match origin::read(text, named) {
            Ok(reading) => answers_what_it_lists(Subject {
                key: stem.to_owned(),
                name: reading.machine,
                uuid: reading.file.uuid,
                epoch: 0,
                running: true,
                nics: Some(reading.file.nics.unwrap_or_default().into()),
                disks: Vec::new(),
                record: reading.file.record,
                reading: Duration::from_secs(1),
                problem: None,
            }),
            Err(error) => {
                let told = error.to_string();
                assert!(told.len() < 2_000, "a refusal of {} octets", told.len());
            }
        }
    }
}

/// Takes a machine in and asks for everything that its guest is told there is.
pub(crate) fn answers_what_it_lists(subject: Subject) {
    let mut inventory = world::inventory([subject]);
    let resolution = inventory.resolve(&world::interfaces(), Duration::ZERO);
    for hosted in resolution.snapshot.instances.values() {
        for answers in &hosted.answers {
            let mut guest = Guest {
                instance: &hosted.instance,
                answers,
                left: REQUESTS_MAX,
            };
            guest.crawl("/latest/");
            guest.looks_around();
        }
    }
}

/// Somebody who asks as a guest with a token would.
struct Guest<'a> {
    instance: &'a Arc<Instance>,
    answers: &'a Arc<Answers>,
    left: usize,
}

impl Guest<'_> {
    fn get(&self, path: &str) -> (StatusCode, String) {
        let mut headers = HeaderMap::new();
        let flavour = HeaderName::from_static("metadata-flavor");
        headers.insert(flavour, HeaderValue::from_static("Google"));
        let (status, headers, body) = answer_as(
            &world::signer(),
            self.instance,
            self.answers,
            Some(ADDRESS),
            &Method::GET,
            path,
            &headers,
        );
        let length = headers.get("content-length");
        let length = length.and_then(|length| length.to_str().ok());
        assert_eq!(length, Some(body.len().to_string().as_str()), "{path}");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// A listed name answers 200, whatever the record says.
    fn crawl(&mut self, path: &str) {
        let (status, listing) = self.get(path);
        if path == "/latest/" && status == StatusCode::FORBIDDEN {
            return; // EC2's layout is off.
        }
        assert_eq!(status, StatusCode::OK, "{path}");
        for name in listing.split('\n').filter(|name| !name.is_empty()) {
            let Some(left) = self.left.checked_sub(1) else {
                return;
            };
            self.left = left;
            // Signing takes longer than everything else together, and the same octets are signed each time.
            if matches!(name, "signature" | "rsa2048") {
                continue;
            }
            let key = name.split_once('=');
            if let Some((index, _)) = key.filter(|_| path.ends_with("public-keys/")) {
                self.crawl(&format!("{path}{index}/"));
            } else if name.ends_with('/') {
                self.crawl(&format!("{path}{name}"));
            } else if path == "/latest/" && matches!(name, "meta-data" | "dynamic") {
                self.crawl(&format!("{path}{name}/"));
            } else {
                let leaf = format!("{path}{name}");
                assert_eq!(self.get(&leaf).0, StatusCode::OK, "{leaf:?}");
            }
        }
    }

    /// Whole documents are there or not, and never an error.
    fn looks_around(&self) {
        for path in [
            "/",
            "/openstack",
            "/openstack/latest/meta_data.json",
            "/openstack/latest/network_data.json",
            "/openstack/latest/vendor_data2.json",
            "/nocloud/meta-data",
            "/nocloud/user-data",
            "/nocloud/network-config",
            "/computeMetadata/v1/?recursive=true",
            "/metadata/v1.json",
            "/hetzner/v1/metadata",
            "/v1.json",
        ] {
            let (status, body) = self.get(path);
            let json = path.ends_with(".json") && status == StatusCode::OK;
            assert!(!status.is_server_error(), "{path}: {status}");
            assert!(!status.is_redirection(), "{path}: {status}");
            if json {
                let read: Result<serde_json::Value, _> = serde_json::from_str(&body);
                assert!(read.is_ok(), "{path}: {body}");
            }
        }
    }
}
