//! The readers of cloud-init itself, of both releases, on what metad answers: taken out of the guests' images and run in
//! a namespace that plays the guest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use metad_tests::frames::mac_text;
use metad_tests::image::{self, Cache, Debian, Reuse};
use metad_tests::lab::{Daemon, Guest, Lab, Plug, Settings};
use metad_tests::needs;
use metad_tests::progress::Progress;
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("readers/read.py");

/// A host, its guest, and where cloud-init's code lies.
struct Reading {
    guest: Guest,
    /// Plays the guest's second NIC, which nothing is asked through.
    second: Guest,
    _daemon: Daemon,
    directory: PathBuf,
    _lab: Lab,
}

impl Reading {
    fn of(dialect: &str) -> Result<Self> {
        let lab = Lab::new()?;
        lab.bridge("br0", &["10.77.0.1/24"])?;
        let guest = lab.guest("alice", Plug::Bridge("br0"), Some("10.77.0.5/24"))?;
        guest.ip("route add default via 10.77.0.1")?;
        let second = lab.guest("second", Plug::Bridge("br0"), None)?;
        lab.record("alice", &record(&guest, &second, dialect))?;
        let daemon = lab.serve(&Settings::default())?;
        daemon.seated(&["alice"])?;
        let directory = lab.directory().to_owned();
        fs::write(directory.join("read.py"), SCRIPT)?;
        Ok(Self {
            guest,
            second,
            _daemon: daemon,
            directory,
            _lab: lab,
        })
    }

    /// What a release's cloud-init makes of one layout.
    fn read(&self, debian: Debian, layout: &str) -> Result<Value> {
        let packages = packages(debian, &self.directory)?;
        let script = self.directory.join("read.py");
        let (first, second) = (self.mac(), self.second());
        // Without this machine's own packages: only Debian's of that release count.
        let line = format!(
            "/usr/bin/python3 -S -B {} {} {layout} {first}=eth0 {second}=eth1",
            script.display(),
            packages.display()
        );
        let said = self.guest.space().output(&line)?;
        serde_json::from_str(&said).with_context(|| format!("{layout}: {said}"))
    }

    fn mac(&self) -> String {
        mac_text(self.guest.mac())
    }

    fn second(&self) -> String {
        mac_text(self.second.mac())
    }
}

fn record(guest: &Guest, second: &Guest, dialect: &str) -> Value {
    json!({
        "instance-id": "i-0123456789abcdef0",
        "uuid": "4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
        "hostname": "alice",
        "instance-type": "c1.small",
        "placement": {"availability-zone": "rack-7", "region": "north"},
        "public-keys": {"admin": "ssh-ed25519 AAAA me@host"},
        "user-data": "#cloud-config\n{}\n",
        "vendor-data": "#cloud-config\nruncmd: []\n",
        "tags": {"role": "web"},
        "files": {"/etc/motd": "hello\n"},
        "options": {"dialects": [dialect]},
        "nics": [
            {
                "mac": mac_text(guest.mac()), "interface": guest.interface(),
                "addresses": ["10.77.0.5/24"], "mtu": 1450,
            },
            {
                "mac": mac_text(second.mac()), "interface": second.interface(), "dhcp": false,
                "addresses": ["10.0.0.5/24", "fd00::5/64"],
                "gateways": ["10.0.0.1", "fd00::1"], "nameservers": ["10.0.0.53"],
            },
        ],
    })
}

/// Takes the Python packages out of a release's image, once for each directory.
fn packages(debian: Debian, directory: &Path) -> Result<PathBuf> {
    let place = directory.join(debian.suite());
    let packages = place.join("dist-packages");
    if packages.exists() {
        return Ok(packages);
    }
    fs::create_dir_all(&place)?;
    let image = image::debian(&Cache::open()?, debian, Reuse::Yes, &Progress::new())?;
    let raw = place.join("disk.raw");
    let convert = ["convert".as_ref(), "-O".as_ref(), "raw".as_ref()];
    let disks = [image.disk.as_os_str(), raw.as_os_str()];
    image::run("qemu-img", convert.into_iter().chain(disks))?;
    let request = format!("rdump /usr/lib/python3/dist-packages {}", place.display());
    let words = ["-R".as_ref(), request.as_ref(), raw.as_os_str()];
    image::run("debugfs", words)?;
    fs::remove_file(&raw)?;
    ensure!(
        packages.join("cloudinit").is_dir(),
        "no cloud-init in {}",
        image.disk.display()
    );
    Ok(packages)
}

/// The parts of a network configuration that say how a NIC comes by its addresses.
fn nic<'a>(found: &'a Value, mac: &str) -> Result<&'a Value> {
    let mut all = found["network"]["config"]["config"]
        .as_array()
        .into_iter()
        .flatten();
    all.find(|nic| nic["mac_address"] == mac)
        .with_context(|| format!("no NIC {mac} in {found}"))
}

const BOTH: [Debian; 2] = [Debian::Bookworm, Debian::Trixie];

#[test]
fn openstack_is_read_whole_by_cloud_init() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let reading = Reading::of("openstack")?;
    for debian in BOTH {
        let found = reading.read(debian, "openstack")?;
        let case = debian.suite();
        assert_eq!(found["seed"], json!(512), "{case}");
        let data = &found["metadata"];
        for (key, expected) in [
            ("instance-id", json!("4dea22b3-1d52-d8f3-2516-782e98ab3fa0")),
            ("local-hostname", json!("alice")),
            ("availability_zone", json!("rack-7")),
            ("meta", json!({"role": "web"})),
            ("public_keys", json!({"admin": "ssh-ed25519 AAAA me@host"})),
        ] {
            assert_eq!(data[key], expected, "{case}: {key}");
        }
        assert_eq!(found["userdata"], json!("#cloud-config\n{}\n"), "{case}");
        let vendor = json!("#cloud-config\nruncmd: []\n");
        assert_eq!(found["vendordata"], vendor, "{case}");
        assert_eq!(found["vendordata2"], json!(null), "{case}");
        assert_eq!(found["files"], json!({"/etc/motd": "hello\n"}), "{case}");
        assert_eq!(
            found["ec2"],
            json!({}),
            "{case}: its search for EC2's ends at once"
        );
        let interfaces = &found["network"]["interfaces"];
        assert_eq!(*interfaces, json!(["eth0", "eth1"]), "{case}");
        let first = nic(&found, &reading.mac())?;
        assert_eq!(first["subnets"], json!([{"type": "dhcp4"}]), "{case}");
        assert_eq!(first["mtu"], json!(1450), "{case}");
        let second = &nic(&found, &reading.second())?["subnets"];
        for (number, key, expected) in [
            (0, "type", "static"),
            (0, "address", "10.0.0.5"),
            (0, "netmask", "255.255.255.0"),
            (1, "type", "static6"),
            (1, "address", "fd00::5"),
        ] {
            assert_eq!(
                second[number][key],
                json!(expected),
                "{case}: {number} {key}"
            );
        }
        assert_eq!(
            second[0]["routes"][0]["gateway"],
            json!("10.0.0.1"),
            "{case}"
        );
    }
    Ok(())
}

#[test]
fn other_layouts_are_read_by_cloud_init() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for layout in ["gce", "digitalocean", "hetzner", "vultr"] {
        let reading = Reading::of(layout)?;
        for debian in BOTH {
            let case = format!("{layout}, {}", debian.suite());
            let found = reading.read(debian, layout).context(case.clone())?;
            match layout {
                "gce" => gce(&found, &case),
                "digitalocean" => digitalocean(&reading, &found, &case)?,
                "hetzner" => hetzner(&reading, &found, &case)?,
                _ => vultr(&reading, &found, &case)?,
            }
        }
    }
    Ok(())
}

fn gce(found: &Value, case: &str) {
    for (key, expected) in [
        ("success", json!(true)),
        ("hostname", json!("alice")),
        ("zone", json!("rack-7")),
        ("keys", json!(["ssh-ed25519 AAAA me@host"])),
        ("userdata", json!("#cloud-config\n{}\n")),
    ] {
        assert_eq!(found[key], expected, "{case}: {key}");
    }
    let id = found["instance-id"].as_str().unwrap_or_default();
    assert!(id.parse::<u64>().is_ok(), "{case}: {id}");
}

fn digitalocean(reading: &Reading, found: &Value, case: &str) -> Result<()> {
    let data = &found["metadata"];
    assert!(data["droplet_id"].is_u64(), "{case}");
    for (key, expected) in [
        ("hostname", json!("alice")),
        ("region", json!("north")),
        ("public_keys", json!(["ssh-ed25519 AAAA me@host"])),
        ("user_data", json!("#cloud-config\n{}\n")),
        ("vendor_data", json!("#cloud-config\nruncmd: []\n")),
    ] {
        assert_eq!(data[key], expected, "{case}: {key}");
    }
    let first = &nic(found, &reading.mac())?["subnets"][0];
    assert_eq!(first["address"], json!("10.77.0.5"), "{case}");
    let second = &nic(found, &reading.second())?["subnets"];
    assert_eq!(second[1]["address"], json!("fd00::5/64"), "{case}");
    Ok(())
}

fn hetzner(reading: &Reading, found: &Value, case: &str) -> Result<()> {
    let data = &found["metadata"];
    for (key, expected) in [
        ("hostname", json!("alice")),
        ("instance-id", json!("i-0123456789abcdef0")),
        ("public-keys", json!(["ssh-ed25519 AAAA me@host"])),
        ("vendor_data", json!("#cloud-config\nruncmd: []\n")),
    ] {
        assert_eq!(data[key], expected, "{case}: {key}");
    }
    assert_eq!(found["userdata"], json!("#cloud-config\n{}\n"), "{case}");
    let first = &nic(found, &reading.mac())?["subnets"][0];
    assert_eq!(first["type"], json!("dhcp"), "{case}");
    let second = &nic(found, &reading.second())?["subnets"][0];
    assert_eq!(second["gateway"], json!("10.0.0.1"), "{case}");
    Ok(())
}

fn vultr(reading: &Reading, found: &Value, case: &str) -> Result<()> {
    let data = &found["metadata"];
    for (key, expected) in [
        ("hostname", json!("alice")),
        (
            "instance-v2-id",
            json!("4dea22b3-1d52-d8f3-2516-782e98ab3fa0"),
        ),
        ("public-keys", json!(["ssh-ed25519 AAAA me@host"])),
        ("user-data", json!("#cloud-config\n{}\n")),
        ("vendor-data", json!("#cloud-config\nruncmd: []\n")),
    ] {
        assert_eq!(data[key], expected, "{case}: {key}");
    }
    assert_eq!(found["region"], json!("north"), "{case}");
    let first = &nic(found, &reading.mac())?["subnets"][0];
    assert_eq!(first["type"], json!("dhcp"), "{case}");
    let second = &nic(found, &reading.second())?["subnets"][0];
    assert_eq!(second["address"], json!("10.0.0.5"), "{case}");
    Ok(())
}
