//! Networks of many shapes, and the same with the route.

use crate::prepare::{Network, network};

const DHCP: &str = "  <ip address='10.9.0.1' netmask='255.255.255.0'>\n    <dhcp>\n      <range start='10.9.0.2' end='10.9.0.9'/>\n    </dhcp>\n  </ip>\n";
const ROUTE: &str = "dhcp-option=121,169.254.169.254/32,0.0.0.0";

fn plain(middle: &str) -> String {
    format!("<network>\n  <name>isolated</name>\n  <bridge name='virbr1'/>\n{middle}</network>\n")
}

fn bound(middle: &str) -> String {
    plain(middle).replacen(
        "<network>",
        "<network xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'>",
        1,
    )
}

fn options(values: &[&str]) -> String {
    let values: String = values
        .iter()
        .map(|value| format!("    <d:option value='{value}'/>\n"))
        .collect();
    format!("  <d:options>\n{values}  </d:options>\n")
}

fn prepared(case: &str, before: &str) -> String {
    match network(before) {
        Ok(Network::Prepared(prepared)) => prepared.text,
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn an_isolated_network_hands_out_the_route() {
    let new = format!(
        "  <dnsmasq:options xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>\n    <dnsmasq:option value='{ROUTE}'/>\n  </dnsmasq:options>\n"
    );
    let one = |value: &str| bound(&format!("{DHCP}{}", options(&[value])));
    for (case, before, after) in [
        ("without options", plain(DHCP), plain(&format!("{DHCP}{new}"))),
        ("one line", "<network><name>n</name><ip address='10.9.0.1'><dhcp><host mac='52:54:00:00:00:01' ip='10.9.0.3'/></dhcp></ip></network>".to_owned(),
            format!("<network><name>n</name><ip address='10.9.0.1'><dhcp><host mac='52:54:00:00:00:01' ip='10.9.0.3'/></dhcp></ip><dnsmasq:options xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><dnsmasq:option value='{ROUTE}'/></dnsmasq:options></network>")),
        ("with options, under another prefix", one("no-ping"), bound(&format!("{DHCP}{}", options(&["no-ping", ROUTE])))),
        ("with empty options", bound(&format!("{DHCP}  <d:options/>\n")), bound(&format!("{DHCP}{}", options(&[ROUTE])))),
        ("with a route elsewhere", one("dhcp-option=121,10.0.0.0/8,10.9.0.5"), one("dhcp-option=121,10.0.0.0/8,10.9.0.5,169.254.169.254/32,0.0.0.0")),
        ("with a route elsewhere, by name", one("dhcp-option=option:classless-static-route,10.0.0.0/8,10.9.0.5"), one("dhcp-option=option:classless-static-route,10.0.0.0/8,10.9.0.5,169.254.169.254/32,0.0.0.0")),
        ("with another option 121 of a comment", one("no-ping").replace("<d:option ", "<!-- <d:option value='dhcp-option=121,0.0.0.0/0,1.1.1.1'/> --><d:option "), bound(&format!("{DHCP}{}", options(&["no-ping", ROUTE]))).replacen("<d:option ", "<!-- <d:option value='dhcp-option=121,0.0.0.0/0,1.1.1.1'/> --><d:option ", 1)),
        ("NAT whose router is withheld", bound(&format!("  <forward mode='nat'/>\n{DHCP}{}", options(&["dhcp-option=3"]))), bound(&format!("  <forward mode='nat'/>\n{DHCP}{}", options(&["dhcp-option=3", ROUTE])))),
        ("NAT with option 121, which hides the default route", bound(&format!("  <forward mode='nat'/>\n{DHCP}{}", options(&["dhcp-option=121,10.0.0.0/8,10.9.0.5"]))), bound(&format!("  <forward mode='nat'/>\n{DHCP}{}", options(&["dhcp-option=121,10.0.0.0/8,10.9.0.5,169.254.169.254/32,0.0.0.0"])))),
    ] {
        let text = prepared(case, &before);
        assert_eq!(text, after, "{case}");
        assert_eq!(prepared(case, &text), text, "{case}, once more");
    }
}

#[test]
fn a_network_with_a_way_there_is_left_alone() {
    for value in [
        ROUTE,
        "dhcp-option-force=option:classless-static-route, 169.254.0.0/16, 0.0.0.0",
        "dhcp-option=121,0.0.0.0/0,10.9.0.1",
    ] {
        let before = bound(&format!("{DHCP}{}", options(&[value])));
        assert_eq!(prepared(value, &before), before, "{value}");
    }
    for (case, text) in [
        ("NAT", plain(&format!("  <forward mode='nat'/>\n{DHCP}"))),
        ("NAT by default", plain(&format!("  <forward/>\n{DHCP}"))),
        (
            "routed",
            plain(&format!("  <forward mode='route'/>\n{DHCP}")),
        ),
        ("open", plain(&format!("  <forward mode='open'/>\n{DHCP}"))),
        (
            "isolated, with a router of its own",
            bound(&format!(
                "{DHCP}{}",
                options(&["dhcp-option=option:router,10.9.0.5"])
            )),
        ),
    ] {
        let found = network(&text);
        assert!(
            matches!(found, Ok(Network::Routed { .. })),
            "{case}: {found:?}"
        );
    }
}

#[test]
fn a_network_that_cannot_hand_it_out_says_why() {
    for (case, text, wanted) in [
        (
            "bridged",
            plain("  <forward mode='bridge'/>\n"),
            "mode='bridge'",
        ),
        ("no address", plain(""), "no IPv4 address"),
        (
            "IPv6 alone",
            plain(
                "  <ip family='ipv6' address='fd00::1' prefix='64'><dhcp><range start='fd00::2' end='fd00::9'/></dhcp></ip>\n",
            ),
            "no IPv4 address",
        ),
        (
            "no DHCP",
            plain("  <ip address='10.9.0.1'/>\n"),
            "holds no <dhcp>",
        ),
        (
            "DHCP for start-up files alone",
            plain("  <ip address='10.9.0.1'><dhcp><bootp file='x'/></dhcp></ip>\n"),
            "holds no <dhcp>",
        ),
        (
            "some guests' routes",
            bound(&format!(
                "{DHCP}{}",
                options(&["dhcp-option=tag:a,121,10.0.0.0/8,10.9.0.5"])
            )),
            "to some guests alone",
        ),
        (
            "two options 121",
            bound(&format!(
                "{DHCP}{}",
                options(&[
                    "dhcp-option=121,10.0.0.0/8,10.9.0.5",
                    "dhcp-option=121,11.0.0.0/8,10.9.0.5"
                ])
            )),
            "the second one",
        ),
        ("no network", "<domain/>".to_owned(), "is no <network>"),
    ] {
        let error = network(&text).expect_err(case).to_string();
        assert!(error.contains(wanted), "{case}: {error}");
        assert!(
            error.contains("\nhelp: "),
            "{case} does not say what now: {error}"
        );
    }
}
