//! A domain's XML and a wish in, the XML with SMBIOS tables that cloud-init looks for out.

use uuid::Uuid;

use super::seed;
use super::smbios::{self, Machine};
use super::splice::{Lines, Splice, escape};
use super::{Datasource, Prepared, Refusal, SEED_URL, Wish};
use crate::libvirt::xml::{self, Element};

/// Prepares a domain's persistent XML.
pub fn domain(document: &str, wish: &Wish) -> Result<Prepared, Refusal> {
    let prepared = once(document, wish)?;
    // Whatever the text looked like: the result must be what was wished for, and stay it.
    let again = once(&prepared.text, wish).map_err(|error| Refusal::Unclean(error.to_string()))?;
    if again.changes.is_empty() {
        Ok(prepared)
    } else {
        Err(Refusal::Unclean(format!(
            "it would be changed again: {}",
            again.changes.join("; ")
        )))
    }
}

fn once(document: &str, wish: &Wish) -> Result<Prepared, Refusal> {
    let root = xml::parse(document)?;
    let machine = Machine::read(document, &root, wish.datasource)?;
    let mut work = Work {
        splice: Splice::new(document),
        machine: &machine,
        wish,
        changes: Vec::new(),
        missing: Vec::new(),
    };
    let uuid = work.uuid(document, &root)?;
    let wanted = wanted(wish, uuid)?;
    work.remove_others(wanted.name)?;
    work.entry(&wanted)?;
    work.add_missing();
    work.mode()?;
    Ok(Prepared {
        text: work.splice.finish().map_err(Refusal::Unclean)?,
        changes: work.changes,
        warnings: warnings(&machine),
        new_uuid: (uuid != machine.uuid).then_some(uuid),
    })
}

/// The one entry of the `system` block by which cloud-init chooses.
struct Wanted {
    name: &'static str,
    what: &'static str,
    value: String,
}

fn wanted(wish: &Wish, uuid: Uuid) -> Result<Wanted, Refusal> {
    if wish.seed_url.is_some() && wish.datasource != Datasource::Nocloud {
        return Err(Refusal::NoSeed);
    }
    Ok(match wish.datasource {
        Datasource::Ec2 => Wanted {
            name: "serial",
            what: "serial number",
            value: uuid.to_string(),
        },
        Datasource::Nocloud => {
            let url = wish.seed_url.as_deref().unwrap_or(SEED_URL);
            seed::check(url)?;
            Wanted {
                name: "serial",
                what: "serial number",
                value: seed::serial(url),
            }
        }
        Datasource::Openstack => Wanted {
            name: "product",
            what: "product name",
            value: "OpenStack Nova".to_owned(),
        },
    })
}

struct Work<'a> {
    splice: Splice<'a>,
    machine: &'a Machine<'a>,
    wish: &'a Wish,
    changes: Vec<String>,
    /// Entries of the `system` block that have to be made.
    missing: Vec<(&'static str, String)>,
}

impl Work<'_> {
    /// The UUID that the domain has in the end.
    fn uuid(&mut self, document: &str, root: &Element) -> Result<Uuid, Refusal> {
        let machine = self.machine;
        let uuid = machine.uuid;
        let suits = match self.wish.datasource {
            Datasource::Ec2 => smbios::is_ec2(uuid),
            Datasource::Nocloud | Datasource::Openstack => !smbios::looks_like_ec2(uuid),
        };
        let suited = smbios::suited(uuid, self.wish.datasource);
        let own = machine.value("system", "uuid");
        if let Some((entry, value)) = own
            && Uuid::parse_str(value) != Ok(uuid)
        {
            let predicate = format!("for the UUID is not the domain's, {uuid}");
            let help = "libvirt takes no such domain: make the two the same, or leave this one out";
            return Err(Refusal::odd(document, entry, &predicate, help));
        }
        if suits {
            return Ok(uuid);
        }
        if !self.wish.new_uuid {
            return Err(match self.wish.datasource {
                Datasource::Ec2 => Refusal::NotEc2 {
                    uuid,
                    suggested: suited,
                },
                Datasource::Nocloud | Datasource::Openstack => Refusal::LooksLikeEc2 {
                    uuid,
                    suggested: suited,
                },
            });
        }
        smbios::refuse_tpm(document, root)?;
        self.splice
            .set_text(machine.uuid_element, &suited.to_string());
        self.changes
            .push(format!("UUID {suited} instead of {uuid}"));
        if let Some((entry, _)) = own {
            self.splice.set_text(entry, &suited.to_string());
            self.changes.push("the same UUID in SMBIOS".to_owned());
        }
        Ok(suited)
    }

    /// Takes out by what cloud-init would take the machine for something else.
    fn remove_others(&mut self, wanted: &str) -> Result<(), Refusal> {
        for (entry, what, found, taken_for) in
            smbios::other_clouds(self.machine, self.wish.datasource)
        {
            if entry.attribute("name") == Some(wanted) {
                // Its value is replaced, which is refused elsewhere.
                continue;
            }
            if !self.wish.replace {
                let found = found.to_owned();
                return Err(Refusal::OtherCloud {
                    what,
                    found,
                    taken_for,
                });
            }
            self.splice.remove(entry);
            self.changes.push(format!("no SMBIOS {what} `{found}`"));
        }
        Ok(())
    }

    fn entry(&mut self, wanted: &Wanted) -> Result<(), Refusal> {
        let Wanted { name, what, value } = wanted;
        if let Some((entry, found)) = self.machine.value("system", name) {
            let same = match self.wish.datasource {
                Datasource::Ec2 => found.eq_ignore_ascii_case(value),
                Datasource::Nocloud | Datasource::Openstack => found == value,
            };
            if same {
                return Ok(());
            }
            if !self.wish.replace && !self.is_ours(found) {
                return Err(Refusal::Taken {
                    what,
                    found: found.to_owned(),
                    wanted: value.clone(),
                });
            }
            self.splice.set_text(entry, value);
            self.changes
                .push(format!("SMBIOS {what} `{value}` instead of `{found}`"));
            return Ok(());
        }
        match self.machine.entry("system", name) {
            Some(empty) => self.splice.set_text(empty, value),
            None => self.missing.push((name, value.clone())),
        }
        self.changes.push(format!("SMBIOS {what} `{value}`"));
        Ok(())
    }

    /// Whether an entry may be replaced without being asked: it says the same, or repeats the UUID that goes.
    fn is_ours(&self, found: &str) -> bool {
        match self.wish.datasource {
            Datasource::Ec2 => Uuid::parse_str(found) == Ok(self.machine.uuid),
            Datasource::Nocloud => {
                let url = self.wish.seed_url.as_deref().unwrap_or(SEED_URL);
                seed::names(found, url)
            }
            Datasource::Openstack => found == "OpenStack Compute",
        }
    }

    fn add_missing(&mut self) {
        let entries: Vec<String> = std::mem::take(&mut self.missing)
            .into_iter()
            .map(|(name, value)| format!("<entry name='{name}'>{}</entry>", escape(&value)))
            .collect();
        if entries.is_empty() {
            return;
        }
        let at = |depth: usize| entries.iter().map(move |entry| (depth, entry.clone()));
        let around = |tag: &str, depth: usize, inner: Lines| {
            let name = tag.split(' ').next().unwrap_or(tag);
            let mut lines = vec![(depth, format!("<{tag}>"))];
            lines.extend(inner);
            lines.push((depth, format!("</{name}>")));
            lines
        };
        match (self.machine.sysinfo, self.machine.block("system")) {
            (_, Some(system)) => self.splice.append(system, &at(0).collect()),
            (Some(sysinfo), None) => {
                let lines = around("system", 0, at(1).collect());
                self.splice.append(sysinfo, &lines);
            }
            (None, None) => {
                let system = around("system", 1, at(2).collect());
                let lines = around("sysinfo type='smbios'", 0, system);
                self.splice.before(self.machine.os, &lines);
            }
        }
    }

    /// Has libvirt show the guest what `<sysinfo>` says.
    fn mode(&mut self) -> Result<(), Refusal> {
        const MARKUP: &str = "<smbios mode='sysinfo'/>";
        let Some(element) = self.machine.mode else {
            self.splice
                .append(self.machine.os, &vec![(0, MARKUP.to_owned())]);
            self.changes
                .push(format!("`{MARKUP}`, so that the guest sees it"));
            return Ok(());
        };
        match element.attribute("mode") {
            Some("sysinfo") => return Ok(()),
            Some("host") if !self.wish.replace => return Err(Refusal::HostSmbios),
            Some(_) | None => {}
        }
        self.splice.replace(element, MARKUP);
        self.changes
            .push(format!("`{MARKUP}`, so that the guest sees it"));
        Ok(())
    }
}

fn warnings(machine: &Machine<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let shown = machine.mode.and_then(|mode| mode.attribute("mode")) == Some("sysinfo");
    let entries = machine.sysinfo.map_or(0, |sysinfo| {
        sysinfo
            .children
            .iter()
            .map(|block| block.children.len())
            .sum()
    });
    if !shown && entries > 0 {
        warnings.push(
            "what else stands in <sysinfo> was not shown to the guest so far, and now is"
                .to_owned(),
        );
    }
    let line = machine.os.child("cmdline").map_or("", Element::text);
    let names_source = |word: &&str| {
        ["ds=", "ci.ds=", "ci.datasource="]
            .iter()
            .any(|key| word.starts_with(key))
    };
    if let Some(word) = line.split_whitespace().find(names_source) {
        warnings.push(format!(
            "the kernel command line in <os> says `{word}`, which counts more than SMBIOS"
        ));
    }
    let arch = machine
        .os
        .child("type")
        .and_then(|kind| kind.attribute("arch"));
    if arch.is_some_and(|arch| arch.starts_with("aarch64") || arch.starts_with("arm")) {
        warnings.push("on Arm, a guest sees SMBIOS tables where it boots by UEFI".to_owned());
    }
    warnings
}
