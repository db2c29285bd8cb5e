//! A network's XML in, the XML whose DHCP server tells guests the way to the metadata address out: option 121 with one
//! on-link route, where there is no default route to do the same.

use super::splice::{Splice, escape};
use super::{Prepared, Refusal};
use crate::libvirt::xml::{self, Element};

/// What a network needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Its guests have a default route, and that is all they need.
    Routed { why: String },
    /// It hands out the route already, or would after these changes.
    Prepared(Prepared),
}

const NAMESPACE: &str = "http://libvirt.org/schemas/network/dnsmasq/1.0";
/// On-link: metad answers ARP for the address wherever a guest asks.
const ROUTE: &str = "169.254.169.254/32,0.0.0.0";

/// Prepares a network's persistent XML.
pub fn network(document: &str) -> Result<Network, Refusal> {
    let Network::Prepared(prepared) = once(document)? else {
        return once(document);
    };
    match once(&prepared.text).map_err(|error| Refusal::Unclean(error.to_string()))? {
        Network::Prepared(again) if again.changes.is_empty() => Ok(Network::Prepared(prepared)),
        Network::Prepared(_) | Network::Routed { .. } => {
            Err(Refusal::Unclean("it would be changed again".to_owned()))
        }
    }
}

fn once(document: &str) -> Result<Network, Refusal> {
    let root = xml::parse(document)?;
    if root.name != "network" || !root.namespace.is_empty() {
        let help = "what `virsh net-dumpxml --inactive NET` prints is wanted here";
        return Err(Refusal::odd(document, &root, "is no <network>", help));
    }
    has_dhcp(&root)?;
    let options = Options::read(document, &root)?;
    if let Some(why) = options.default_route(forwards(&root)) {
        return Ok(Network::Routed { why });
    }
    let mut splice = Splice::new(document);
    let change = match options.routes {
        Some(Routes { reaches: true, .. }) => None,
        Some(Routes { element, .. }) => {
            let value = element.attribute("value").unwrap_or_default();
            let new = format!("{value},{ROUTE}");
            let name = splice.qualified(element);
            splice.replace(element, &format!("<{name} value='{}'/>", escape(&new)));
            Some(format!("the route {ROUTE} in the option 121 that is there"))
        }
        None => {
            let value = format!("dhcp-option=121,{ROUTE}");
            options.add(&mut splice, &root, &value);
            Some(format!("DHCP option 121 with the on-link route {ROUTE}"))
        }
    };
    Ok(Network::Prepared(Prepared {
        text: splice.finish().map_err(Refusal::Unclean)?,
        changes: change.into_iter().collect(),
        warnings: Vec::new(),
        new_uuid: None,
    }))
}

/// How the network is forwarded; `None` for an isolated one.
fn forwards(root: &Element) -> Option<&str> {
    let forward = root.child("forward")?;
    // Without a mode, it is NAT.
    Some(forward.attribute("mode").unwrap_or("nat"))
}

fn has_dhcp(root: &Element) -> Result<(), Refusal> {
    let image = "hand option 121 out from the DHCP server that its guests use, with the route 169.254.169.254/32 via 0.0.0.0; or put an on-link route into the image: `ip route add 169.254.169.254/32 dev eth0`; a guest with a default route needs neither";
    if let Some(mode) = forwards(root).filter(|mode| !matches!(*mode, "nat" | "route" | "open")) {
        let why =
            format!("its guests are on a network of somebody else's (`<forward mode='{mode}'/>`)");
        return Err(Refusal::NoDhcp { why, help: image });
    }
    let v4 = |ip: &&Element| !matches!(ip.attribute("family"), Some("ipv6"));
    let mut addresses = root.children_named("ip").filter(v4);
    let serves = |ip: &Element| {
        ip.child("dhcp")
            .is_some_and(|dhcp| dhcp.child("range").is_some() || dhcp.child("host").is_some())
    };
    if addresses.any(serves) {
        return Ok(());
    }
    let why = match root.children_named("ip").find(v4) {
        Some(_) => "its <ip> holds no <dhcp> with a <range> or a <host>",
        None => "it has no IPv4 address",
    };
    Err(Refusal::NoDhcp {
        why: why.to_owned(),
        help: "give it an <ip> with `<dhcp><range start='…' end='…'/></dhcp>` by `virsh net-edit`; or, with static addresses, put an on-link route into the image: `ip route add 169.254.169.254/32 dev eth0`",
    })
}

/// What `<dnsmasq:options>` says of routes.
#[derive(Default)]
struct Options<'a> {
    block: Option<&'a Element>,
    routes: Option<Routes<'a>>,
    /// Option 3; `false`: it is withheld.
    router: Option<bool>,
}

struct Routes<'a> {
    element: &'a Element,
    reaches: bool,
}

impl<'a> Options<'a> {
    fn read(document: &str, root: &'a Element) -> Result<Self, Refusal> {
        let of_dnsmasq = |name: &'static str| {
            move |child: &&Element| child.name == name && child.namespace == NAMESPACE
        };
        let mut options = Self {
            block: root.children.iter().find(of_dnsmasq("options")),
            ..Self::default()
        };
        let blocks = root.children.iter().filter(of_dnsmasq("options"));
        for element in blocks
            .flat_map(|block| &block.children)
            .filter(of_dnsmasq("option"))
        {
            let Some(option) = element.attribute("value").and_then(DhcpOption::read) else {
                continue;
            };
            match option.number {
                Number::Router if option.tagged => {}
                Number::Router => options.router = Some(!option.values.is_empty()),
                Number::Routes if option.tagged || options.routes.is_some() => {
                    let help = "add 169.254.169.254/32,0.0.0.0 to each option 121 by `virsh net-edit`: which guests get which of them is for you to say";
                    let predicate = if option.tagged {
                        "hands out option 121 to some guests alone"
                    } else {
                        "is the second one with option 121"
                    };
                    return Err(Refusal::odd(document, element, predicate, help));
                }
                Number::Routes => {
                    options.routes = Some(Routes {
                        element,
                        reaches: option.reaches(),
                    })
                }
            }
        }
        Ok(options)
    }

    /// Why a guest has a default route, where it has one.
    fn default_route(&self, forwards: Option<&str>) -> Option<String> {
        if self.routes.is_some() {
            // Whoever reads option 121 does not read option 3.
            return None;
        }
        match (self.router, forwards) {
            (Some(true), _) => Some("DHCP option 3 names them a router".to_owned()),
            (None, Some(mode)) => Some(format!(
                "libvirt is their router (`<forward mode='{mode}'/>`)"
            )),
            (Some(false), _) | (None, None) => None,
        }
    }

    fn add(&self, splice: &mut Splice<'_>, root: &Element, value: &str) {
        match self.block {
            Some(block) => {
                let name = splice.qualified(block);
                let prefix = name
                    .rsplit_once(':')
                    .map_or_else(String::new, |(prefix, _)| format!("{prefix}:"));
                splice.append(
                    block,
                    &vec![(0, format!("<{prefix}option value='{value}'/>"))],
                );
            }
            None => splice.append(
                root,
                &vec![
                    (0, format!("<dnsmasq:options xmlns:dnsmasq='{NAMESPACE}'>")),
                    (1, format!("<dnsmasq:option value='{value}'/>")),
                    (0, "</dnsmasq:options>".to_owned()),
                ],
            ),
        }
    }
}

enum Number {
    Router,
    Routes,
}

/// One line of dnsmasq's configuration, if it is a DHCP option that is about routes.
struct DhcpOption<'a> {
    number: Number,
    tagged: bool,
    values: Vec<&'a str>,
}

impl<'a> DhcpOption<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (key, rest) = line.split_once('=')?;
        if !matches!(key.trim(), "dhcp-option" | "dhcp-option-force") {
            return None;
        }
        let mut words = rest.split(',').map(str::trim).peekable();
        let mut tagged = false;
        while let Some(word) = words.peek() {
            if !["tag:", "net:", "set:", "encap:", "vendor:"]
                .iter()
                .any(|kind| word.starts_with(kind))
            {
                break;
            }
            tagged = true;
            words.next();
        }
        let number = match words.next()? {
            "3" | "option:router" => Number::Router,
            "121" | "option:classless-static-route" => Number::Routes,
            _ => return None,
        };
        let values = words.filter(|value| !value.is_empty()).collect();
        Some(Self {
            number,
            tagged,
            values,
        })
    }

    /// Whether one of its routes takes a guest to the metadata address.
    fn reaches(&self) -> bool {
        let destinations = self.values.iter().step_by(2);
        destinations.into_iter().any(|destination| {
            matches!(
                *destination,
                "169.254.169.254/32" | "169.254.169.254" | "169.254.0.0/16" | "0.0.0.0/0"
            )
        })
    }
}
