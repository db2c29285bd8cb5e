//! A domain's or a network's XML, whatever somebody wrote into it: read, rendered, prepared.

use metad::libvirt::{domain_xml, network_xml};
use metad::prepare::{self, Datasource, Network, Wish};
use metad::source::Subject;

use crate::records;

/// Reads the octets as every reader of libvirt's XML would.
pub fn replay(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(domain) = domain_xml::parse(text) {
        let record = domain.metadata.clone().unwrap_or_default();
        records::answers_what_it_lists(Subject {
            key: domain.uuid.to_string(),
            name: domain.name,
            uuid: Some(domain.uuid),
            epoch: domain.id.unwrap_or(0),
            running: domain.id.is_some(),
            nics: Some(domain.nics.into()),
            disks: domain.disks,
            record,
            reading: std::time::Duration::from_secs(1),
            problem: None,
        });
    }
    if let Ok(network) = network_xml::parse(text) {
        for mac in [[0x52, 0x54, 0, 0, 0, 1], [0; 6]] {
            let mut subject = crate::world::subject(crate::world::OWN, crate::world::STRICT);
            for nic in subject.nics.iter_mut().flat_map(|nics| nics.iter_mut()) {
                nic.mac = metad::instance::Mac(mac);
                network.complete(nic);
            }
            records::answers_what_it_lists(subject);
        }
    }
    prepare(text);
}

/// What is prepared can be read, is the same machine, and is left alone when it is prepared again.
fn prepare(text: &str) {
    for datasource in Datasource::ALL {
        let wish = Wish {
            datasource,
            seed_url: None,
            new_uuid: false,
            replace: true,
        };
        let Ok(prepared) = prepare::domain(text, &wish) else {
            continue;
        };
        let again = prepare::domain(&prepared.text, &wish).expect("what was prepared is refused");
        assert_eq!(again.text, prepared.text, "{datasource:?}");
        if let Ok(before) = domain_xml::parse(text) {
            let after = domain_xml::parse(&prepared.text).expect("what was prepared is unreadable");
            assert_eq!(after.nics, before.nics);
        }
    }
    if let Ok(Network::Prepared(prepared)) = prepare::network(text) {
        let again = prepare::network(&prepared.text).expect("what was prepared is refused");
        let Network::Prepared(again) = again else {
            panic!("what was prepared needs nothing");
        };
        assert_eq!(again.text, prepared.text);
    }
}
