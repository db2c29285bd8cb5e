//! Debian's Ignition, told that it is on EC2: no token may be missing, and its configuration is the instance's user-data.

use anyhow::{Result, ensure};
use metad_tests::image::{self, Cache, Debian, Reuse, ignition};
use metad_tests::needs;
use metad_tests::progress::{Progress, Seconds};
use metad_tests::virt::{Description, Identity, Key, Metadata, Network, Nic, System};
use serde_json::json;

use super::{DEBIAN_BOOT, LOGIN, asked, host};

#[test]
fn ignition_makes_users_and_files_of_its_user_data() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let name = "ignited";
    let image = image::debian(
        &Cache::open()?,
        Debian::Bookworm,
        Reuse::Yes,
        &Progress::new(),
    )?;
    let key = Key::make(&tempfile::tempdir()?.keep(), name)?;
    let nic = Nic::new(Network::Default, 9);
    let file = |path: &str, text: &str| {
        let source = format!("data:,{text}%0A");
        json!({"path": path, "overwrite": true, "mode": 0o644, "contents": {"source": source}})
    };
    let config = json!({
        "ignition": {"version": "3.3.0"},
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [key.public]}]},
        "storage": {"files": [file("/etc/hostname", name), file("/etc/proof", "user-data")]},
    });
    let guest = host.libvirt.boot(&Description {
        name: name.to_owned(),
        system: System::Ignition(image, "aws"),
        identity: Identity::Ec2,
        nics: vec![nic],
        metadata: Some(Metadata {
            user_data: Some(config.to_string()),
            http_tokens: Some("required".to_owned()),
            ..Metadata::default()
        }),
    })?;
    let end = guest.wait_for(ignition::END, DEBIAN_BOOT)?;
    ensure!(
        end.ends_with(ignition::APPLIED),
        "{end}:\n{}",
        guest.last_words()
    );
    needs::note(&format!("{name}: done after {}", Seconds(guest.age())));
    let words = "hostname && cat /etc/proof";
    let said = key.run_soon("core", nic.address(), words, LOGIN)?;
    ensure!(said == "ignited\nuser-data\n", "{name} says {said:?}");
    let asked = asked(&host, name);
    let user_data = asked
        .iter()
        .filter(|asked| asked.path == "/2019-10-01/user-data");
    let statuses: Vec<u16> = user_data.map(|asked| asked.status).collect();
    ensure!(statuses.last() == Some(&200), "{name} asked {asked:?}");
    guest.remove(&host.libvirt)
}
