//! What a guest is to be, and the domain XML for it.

use std::fmt::Write as _;
use std::path::Path;

use super::metadata::Metadata;
use super::network::Nic;
use super::xml::escape;
use crate::image::ignition::FIRST_BOOT;
use crate::image::{DebianImage, SmallImage};

/// What runs in a guest.
#[derive(Debug, Clone)]
pub enum System {
    Debian(DebianImage),
    /// Debian without its cloud-init, configured by Ignition for the cloud of this name.
    Ignition(DebianImage, &'static str),
    Small(SmallImage),
}

/// What a guest's SMBIOS tables say, by which cloud-init chooses its data source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A machine like any other.
    Plain,
    /// UUID and serial number are one and the same and start with `ec2`: cloud-init takes it for EC2, with tokens.
    Ec2,
    /// The serial number is this text, such as `ds=nocloud;s=http://…`.
    Serial(String),
    /// The product is Nova's: cloud-init takes it for OpenStack.
    OpenStack,
}

/// A guest that does not exist yet.
#[derive(Debug, Clone)]
pub struct Description {
    pub name: String,
    pub system: System,
    pub identity: Identity,
    pub nics: Vec<Nic>,
    pub metadata: Option<Metadata>,
}

/// Kernel arguments that save seconds without KVM and change nothing a guest could notice.
const QUICK_BOOT: &str = "mitigations=off cryptomgr.notests random.trust_cpu=on";

impl Description {
    /// The domain's UUID, derived from its name: a re-created guest is the same machine.
    pub fn uuid(&self) -> String {
        let (high, low) = (fingerprint(&self.name, 1), fingerprint(&self.name, 2));
        let hex = format!("{high:016x}{low:016x}");
        let start = match self.identity {
            Identity::Ec2 => "ec2",
            Identity::Plain | Identity::Serial(_) | Identity::OpenStack => "0de",
        };
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
        format!(
            "{start}{}-{}-4{}-8{}-{}",
            part(0, 5),
            part(5, 9),
            part(9, 12),
            part(12, 15),
            part(15, 27)
        )
    }

    fn arguments(&self) -> String {
        let console = "quiet console=ttyS0";
        match &self.system {
            System::Debian(_) => console.to_owned(),
            System::Ignition(_, cloud) => {
                format!("{console} cloud-init=disabled {FIRST_BOOT}{cloud}")
            }
            System::Small(_) => format!("{console} panic=1"),
        }
    }

    /// The domain XML; `directory` holds the guest's disk overlay, its console log and its control socket.
    pub(super) fn xml(&self, directory: &Path) -> String {
        let uuid = self.uuid();
        let file = |name: &str| escape(&directory.join(name).to_string_lossy());
        let smbios = match &self.identity {
            Identity::Plain => "",
            Identity::Ec2 | Identity::Serial(_) | Identity::OpenStack => "<smbios mode='sysinfo'/>",
        };
        let (memory, processors, boot, disk) = match &self.system {
            System::Debian(image) | System::Ignition(image, _) => (
                512,
                2,
                boot_xml(
                    &image.kernel.vmlinuz,
                    &image.kernel.initrd,
                    &self.arguments(),
                    smbios,
                ),
                format!(
                    "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe'/>\
                     <source file='{}'/><target dev='vda' bus='virtio'/></disk>",
                    file(DISK)
                ),
            ),
            System::Small(image) => (
                128,
                1,
                boot_xml(&image.vmlinuz, &image.initrd, &self.arguments(), smbios),
                String::new(),
            ),
        };
        let entry = match &self.identity {
            Identity::Plain => None,
            Identity::Ec2 => Some(("serial", uuid.clone())),
            Identity::Serial(text) => Some(("serial", escape(text))),
            Identity::OpenStack => Some(("product", "OpenStack Nova".to_owned())),
        };
        let sysinfo = entry.map_or_else(String::new, |(name, value)| {
            format!(
                "<sysinfo type='smbios'><system><entry name='{name}'>{value}</entry>\
                 <entry name='uuid'>{uuid}</entry></system></sysinfo>"
            )
        });
        let mut nics = String::new();
        for nic in &self.nics {
            let _ = write!(nics, "{}", nic.xml());
        }
        let metadata = self
            .metadata
            .as_ref()
            .map(Metadata::element)
            .unwrap_or_default();
        format!(
            "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><metadata>{metadata}</metadata>\
             <memory unit='MiB'>{memory}</memory><vcpu>{processors}</vcpu>{boot}{sysinfo}\
             <features><acpi/><tcg><tb-cache unit='MiB'>128</tb-cache></tcg></features><clock offset='utc'/>\
             <devices>{disk}{nics}\
             <serial type='file'><source path='{console}'/><target port='0'/></serial>\
             <serial type='unix'><source mode='bind' path='{control}'/><target port='1'/></serial>\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            name = escape(&self.name),
            console = file(CONSOLE),
            control = file(CONTROL),
        )
    }
}

/// File names inside a guest's directory.
pub(super) const DISK: &str = "disk.qcow2";
pub(super) const CONSOLE: &str = "console.log";
pub(super) const CONTROL: &str = "control.sock";

fn boot_xml(kernel: &Path, initrd: &Path, arguments: &str, smbios: &str) -> String {
    format!(
        "<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{}</kernel><initrd>{}</initrd>\
         <cmdline>{arguments} {QUICK_BOOT}</cmdline>{smbios}</os>",
        escape(&kernel.to_string_lossy()),
        escape(&initrd.to_string_lossy())
    )
}

/// FNV-1a over a salt and a text: names need no more to be told apart.
fn fingerprint(text: &str, salt: u8) -> u64 {
    std::iter::once(salt)
        .chain(text.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::network::Network;
    use super::*;

    fn small(name: &str, identity: Identity) -> Description {
        Description {
            name: name.to_owned(),
            system: System::Small(SmallImage {
                vmlinuz: PathBuf::from("/k"),
                initrd: PathBuf::from("/i"),
            }),
            identity,
            nics: vec![
                Nic::new(Network::Default, 1),
                Nic::new(Network::Isolated, 2),
            ],
            metadata: None,
        }
    }

    #[test]
    fn only_an_ec2_guest_looks_like_one() {
        for (identity, ec2, serial) in [
            (Identity::Plain, false, None),
            (Identity::Ec2, true, Some("ec2")),
            (
                Identity::Serial("ds=nocloud;s=http://h/".to_owned()),
                false,
                Some("ds=nocloud;s=http://h/"),
            ),
        ] {
            let description = small("web1", identity);
            let xml = description.xml(Path::new("/run/x"));
            assert_eq!(
                description.uuid().starts_with("ec2"),
                ec2,
                "{:?}",
                description.identity
            );
            match serial {
                Some(serial) => assert!(
                    xml.contains(&format!("<entry name='serial'>{serial}")),
                    "{xml}"
                ),
                None => assert!(!xml.contains("serial'>"), "{xml}"),
            }
        }
    }

    #[test]
    fn a_name_gives_one_uuid_and_another_name_another() {
        let uuid = small("web1", Identity::Ec2).uuid();
        assert_eq!(uuid, small("web1", Identity::Ec2).uuid());
        assert_ne!(uuid, small("web2", Identity::Ec2).uuid());
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
    }

    #[test]
    fn every_nic_is_there_in_order() {
        let xml = small("web1", Identity::Plain).xml(Path::new("/run/x"));
        let first = xml.find("52:54:00:6d:7a:01").unwrap();
        let second = xml.find("52:54:00:6d:7b:02").unwrap();
        assert!(first < second);
    }
}
