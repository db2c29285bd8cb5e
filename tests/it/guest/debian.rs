//! Unmodified cloud-init of two Debian releases, on a NAT network and on one without a way out.

use anyhow::{Context, Result, ensure};
use metad_tests::image::{self, Cache, Debian, Reuse};
use metad_tests::needs;
use metad_tests::progress::{Progress, Seconds};
use metad_tests::virt::{
    Asked, Description, Guest, Host, Identity, Key, Metadata, Network, Nic, System,
};

use super::{DEBIAN_BOOT, LOGIN, asked, host};

const NOCLOUD: &str = "http://169.254.169.254/nocloud/";

/// A Debian guest that is booting, and what its owner gave it.
pub(super) struct Booting {
    pub(super) guest: Guest,
    nic: Nic,
    key: Key,
}

pub(super) fn boot(
    host: &Host,
    name: &str,
    debian: Debian,
    identity: Identity,
    nic: Nic,
    tokens: Option<&str>,
) -> Result<Booting> {
    let image = image::debian(&Cache::open()?, debian, Reuse::Yes, &Progress::new())?;
    let directory = tempfile::tempdir()?.keep();
    let key = Key::make(&directory, name)?;
    let user_data = format!(
        "#cloud-config\nruncmd:\n  - [sh, -c, \"echo user-data of {name} > /run/proof\"]\n"
    );
    let guest = host.libvirt.boot(&Description {
        name: name.to_owned(),
        system: System::Debian(image),
        identity,
        nics: vec![nic],
        metadata: Some(Metadata {
            public_keys: vec![("owner".to_owned(), key.public.clone())],
            user_data: Some(user_data),
            vendor_data: Some(format!(
                "#cloud-config\nwrite_files:\n  - path: /run/vendor\n    content: vendor-data of {name}\n"
            )),
            http_tokens: tokens.map(str::to_owned),
            ..Metadata::default()
        }),
    })?;
    Ok(Booting { guest, nic, key })
}

impl Booting {
    /// Waits for the end of cloud-init; host name, key, user-data and, but on EC2, which has none, vendor-data must have
    /// been applied, which only a log-in tells.
    pub(super) fn configured(&self, source: &str) -> Result<()> {
        let name = self.guest.name();
        let end = self.guest.wait_cloud_init(DEBIAN_BOOT)?;
        needs::note(&format!(
            "{name}: cloud-init finished after {}",
            Seconds(self.guest.age())
        ));
        ensure!(end.contains(source), "{name}: {end}");
        let words =
            "hostname; cat /run/proof; if [ -e /run/vendor ]; then cat /run/vendor; echo; fi";
        let said = self
            .key
            .run_soon("debian", self.nic.address(), words, LOGIN)?;
        let mut expected = format!("{name}\nuser-data of {name}\n");
        if source != "DataSourceEc2" {
            expected.push_str(&format!("vendor-data of {name}\n"));
        }
        ensure!(
            said == expected,
            "{name} says {said:?}, and not {expected:?}"
        );
        Ok(())
    }

    /// Runs a command in it.
    pub(super) fn run(&self, command: &str) -> Result<String> {
        self.key.run("debian", self.nic.address(), command)
    }

    /// Everything it asked for, from its own NIC, answered 200.
    pub(super) fn asked_well(&self, host: &Host) -> Result<Vec<Asked>> {
        let name = self.guest.name();
        let tap = self.guest.tap(&host.libvirt, self.nic)?;
        let asked = asked(host, name);
        for asked in &asked {
            ensure!(
                asked.mac == self.nic.mac() && asked.interface == tap,
                "{name}: {asked:?}"
            );
            ensure!(asked.status == 200, "{name}: {asked:?}");
        }
        needs::note(&format!("{name}: {} requests", asked.len()));
        Ok(asked)
    }
}

pub(super) fn got(asked: &[Asked], method: &str, path: &str) -> bool {
    asked
        .iter()
        .any(|asked| asked.method == method && asked.path == path)
}

#[test]
fn debian_12_as_ec2_with_tokens_and_debian_13_as_nocloud_by_serial_configure_themselves()
-> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let serial = Identity::Serial(Debian::Trixie.nocloud_serial(NOCLOUD));
    let ec2_nic = Nic::new(Network::Default, 1);
    let nocloud_nic = Nic::new(Network::Default, 2);
    // Whoever asks without a token gets 401 here, so every 200 on the data proves one.
    let ec2 = boot(
        &host,
        "deb12",
        Debian::Bookworm,
        Identity::Ec2,
        ec2_nic,
        Some("required"),
    )?;
    let nocloud = boot(&host, "deb13", Debian::Trixie, serial, nocloud_nic, None)?;
    ec2.configured("DataSourceEc2")?;
    nocloud.configured("DataSourceNoCloudNet")?;

    let asked = ec2.asked_well(&host)?;
    let first = asked.first().context("deb12 asked for nothing")?;
    ensure!(
        first.method == "PUT" && first.path == "/latest/api/token",
        "{first:?}"
    );
    for path in ["/2021-03-23/meta-data/instance-id", "/2021-03-23/user-data"] {
        ensure!(
            got(&asked, "GET", path),
            "deb12 did not ask for {path}: {asked:?}"
        );
    }
    // A tree that cloud-init finds incomplete is crawled twice.
    let roots = asked
        .iter()
        .filter(|asked| asked.path == "/2021-03-23/meta-data/");
    ensure!(
        roots.count() == 1,
        "deb12 crawled more than once: {asked:?}"
    );

    let asked = nocloud.asked_well(&host)?;
    for name in ["meta-data", "user-data", "vendor-data", "network-config"] {
        let path = format!("/nocloud/{name}");
        ensure!(
            got(&asked, "GET", &path),
            "deb13 did not ask for {path}: {asked:?}"
        );
    }
    ec2.guest.remove(&host.libvirt)?;
    nocloud.guest.remove(&host.libvirt)
}

#[test]
fn on_an_isolated_network_option_121_is_all_the_way_they_need() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nics = [1, 2].map(|number| Nic::new(Network::Isolated, number));
    // The other way round than on the NAT network, so that both releases read both.
    let serial = Identity::Serial(Debian::Bookworm.nocloud_serial(NOCLOUD));
    let ec2 = boot(
        &host,
        "deb13-alone",
        Debian::Trixie,
        Identity::Ec2,
        nics[0],
        None,
    )?;
    let nocloud = boot(
        &host,
        "deb12-alone",
        Debian::Bookworm,
        serial,
        nics[1],
        None,
    )?;
    for (booting, source, method, path) in [
        (&ec2, "DataSourceEc2", "PUT", "/latest/api/token"),
        (
            &nocloud,
            "DataSourceNoCloudNet",
            "GET",
            "/nocloud/meta-data",
        ),
    ] {
        booting.configured(source)?;
        let asked = booting.asked_well(&host)?;
        ensure!(got(&asked, method, path), "{asked:?}");
        let routes = booting.run("ip route")?;
        ensure!(
            !routes.contains("default"),
            "the network has a way out: {routes}"
        );
        ensure!(
            routes.contains("169.254.169.254"),
            "no route by option 121: {routes}"
        );
    }
    ec2.guest.remove(&host.libvirt)?;
    nocloud.guest.remove(&host.libvirt)
}

#[test]
fn both_as_openstack_take_name_key_data_and_network_from_it() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let releases = [
        (Debian::Bookworm, "deb12-nova"),
        (Debian::Trixie, "deb13-nova"),
    ];
    let mut guests = Vec::new();
    for (number, (debian, name)) in (1..).zip(releases) {
        let nic = Nic::new(Network::Default, number);
        guests.push(boot(&host, name, debian, Identity::OpenStack, nic, None)?);
    }
    for booting in guests {
        booting.configured("DataSourceOpenStack")?;
        let name = booting.guest.name();
        let asked = booting.asked_well(&host)?;
        for file in [
            "meta_data.json",
            "user_data",
            "vendor_data.json",
            "vendor_data2.json",
            "network_data.json",
        ] {
            let path = format!("/openstack/2018-08-27/{file}");
            ensure!(
                got(&asked, "GET", &path),
                "{name} did not ask for {path}: {asked:?}"
            );
        }
        let words =
            "sudo grep -o 'network configuration from ds.*' /var/log/cloud-init.log | head -n 1";
        let said = booting.run(words)?;
        ensure!(
            said.contains("'dhcp4'") && said.contains(&booting.nic.mac()),
            "{name} has its network from elsewhere: {said}"
        );
        booting.guest.remove(&host.libvirt)?;
    }
    Ok(())
}
