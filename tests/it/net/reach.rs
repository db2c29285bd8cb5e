//! Nobody but guests reaches the listener, and nobody but root the admin socket: not a neighbour on the bridge, not a
//! process on the host, whatever socket options it may set.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{ACK, Ends, METADATA, RST, SYN, read_mac, syn, tcp};
use metad_tests::lab::{Lab, Namespace, Plug, Settings, Wire};
use metad_tests::needs;
use serde_json::{Value, json};

use super::{gets_its_own, guest, host_with_bridge};
use crate::attacks::Attack;

/// Somebody without any privilege.
const NOBODY: &str = "65534";

/// Tries to connect to everything that metad might be reached at, in every way that an unprivileged process can send:
/// DEVICES... Prints attempts, and what was connected to. All at once, then a few seconds of patience.
const PROBE: &str = r#"
import itertools, json, os, select, socket, sys, time
BINDTODEVICE, FREEBIND, UNICAST_IF, IPV6_FREEBIND, IPV6_UNICAST_IF = 25, 15, 50, 78, 76
TRANSPARENT, IPV6_TRANSPARENT = 19, 75
devices, kept, refused, open_to, tries = sys.argv[1:], [], 0, [], 0
V4 = ["169.254.169.254", "169.254.169.253", "100.64.0.0", "100.64.0.1", "100.64.0.2", "100.127.255.254"]
V6 = ["fd00:ec2::254", "fd6d:6574:6164::a9fe:a9fe", "fd6d:6574:6164:1::1", "fd6d:6574:6164:1::2",
      "fe80::a9fe:a9fe", "fe80::a9fe:a9fd"]
FROM = {socket.AF_INET: [None, "100.64.0.1", "169.254.169.253"], socket.AF_INET6: [None, "fd6d:6574:6164:1::1"]}
def options(family, device):
    ip = socket.IPPROTO_IP if family == socket.AF_INET else socket.IPPROTO_IPV6
    yield []
    if device:
        index = socket.if_nametoindex(device)
        unicast = UNICAST_IF if family == socket.AF_INET else IPV6_UNICAST_IF
        yield [(socket.SOL_SOCKET, BINDTODEVICE, device.encode() + b"\0")]
        yield [(ip, unicast, socket.htonl(index))]
for family, addresses in ((socket.AF_INET, V4), (socket.AF_INET6, V6)):
    ip = socket.IPPROTO_IP if family == socket.AF_INET else socket.IPPROTO_IPV6
    free = FREEBIND if family == socket.AF_INET else IPV6_FREEBIND
    transparent = TRANSPARENT if family == socket.AF_INET else IPV6_TRANSPARENT
    for address, device, source in itertools.product(addresses, [None] + devices, FROM[family]):
        for chosen in options(family, device):
            tries += 1
            s = socket.socket(family, socket.SOCK_STREAM)
            s.setblocking(False)
            try:
                for level, name, value in chosen:
                    s.setsockopt(level, name, value)
                if source:
                    s.setsockopt(ip, free, 1)
                    try: s.setsockopt(ip, transparent, 1)
                    except PermissionError: pass
                    s.bind((source, 0))
                scope = socket.if_nametoindex(device) if device and address.startswith("fe80") else 0
                to = (address, 80) if family == socket.AF_INET else (address, 80, 0, scope)
                s.connect(to)
            except BlockingIOError:
                kept.append((s, to, device, source))
            except OSError:
                refused += 1
end = time.monotonic() + 4
while kept and time.monotonic() < end:
    poll = select.poll()
    for s, *_ in kept: poll.register(s, select.POLLOUT)
    ready = {fd for fd, _ in poll.poll(200)}
    for entry in [entry for entry in kept if entry[0].fileno() in ready]:
        kept.remove(entry)
        if entry[0].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            open_to.append(str(entry[1:]))
        else: refused += 1
print(json.dumps({"tries": tries, "open": open_to, "uid": os.getuid(), "refused": refused}))
"#;

/// Runs the probe in a namespace, as root or as nobody.
fn probe(lab: &Lab, space: &Namespace, nobody: bool, devices: &[&str]) -> Result<(u64, usize)> {
    let script = lab.directory().join("probe.py");
    std::fs::write(&script, PROBE)?;
    open_up(lab.directory(), &script)?;
    let mut command = space.command(if nobody {
        "setpriv"
    } else {
        "/usr/bin/python3"
    });
    if nobody {
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command.args(["--no-new-privs", "/usr/bin/python3"]);
    }
    let output = command.arg(&script).args(devices).output()?;
    ensure!(output.status.success(), "the probe failed: {output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).context("the probe's words")?;
    assert_eq!(found["uid"] != json!(0), nobody, "{found}");
    let open = found["open"].as_array().map_or(0, Vec::len);
    if open > 0 {
        needs::note(&format!("open: {}", found["open"]));
    }
    Ok((found["tries"].as_u64().unwrap_or_default(), open))
}

/// Lets anybody read the script.
fn open_up(directory: &Path, script: &Path) -> Result<()> {
    std::fs::set_permissions(directory, Permissions::from_mode(0o711))?;
    Ok(std::fs::set_permissions(
        script,
        Permissions::from_mode(0o644),
    )?)
}

#[test]
fn no_process_on_the_host_reaches_the_listener() -> Result<()> {
    if !needs::sandbox() || !needs::program("python3") || !needs::program("setpriv") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let veth = format!("{}0", lab.name());
    let (_, reached) = probe(&lab, alice.space(), true, &["eth0"])?;
    ensure!(reached > 0, "the probe finds nothing even in a guest");
    let asked = daemon.requests().len();
    let devices = [veth.as_str(), "br0", "lo"];
    for (who, nobody) in [
        ("an unprivileged process on the host", true),
        ("root on the host", false),
    ] {
        let (tries, leaked) = probe(&lab, lab.host(), nobody, &devices)?;
        Attack {
            name: &format!("connections of {who} to every address of metad's, by every device"),
            tries,
            leaked: u64::try_from(leaked)?,
            stopped_by: "no address on the host; nothing but answers to guests leaves the namespace (`reply-not-tcp`)",
        }
        .report()?;
    }
    assert_eq!(daemon.requests().len(), asked, "metad saw a request");
    gets_its_own(&alice)
}

#[test]
fn root_that_builds_itself_a_way_gets_no_answer_either() -> Result<()> {
    if !needs::sandbox() || !needs::program("python3") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let veth = format!("{}0", lab.name());
    let inside = inner_mac(&lab)?;
    let host = lab.host();
    for line in [
        "address add 100.64.0.1/32 dev lo".to_owned(),
        format!("route add 169.254.169.254/32 dev {veth} src 100.64.0.1"),
        format!("neighbour add 169.254.169.254 lladdr {inside} dev {veth} nud permanent"),
        "address add fd6d:6574:6164:1::1/128 dev lo".to_owned(),
        format!("-6 route add fd00:ec2::254/128 dev {veth}"),
        format!("neighbour add fd00:ec2::254 lladdr {inside} dev {veth} nud permanent"),
    ] {
        host.ip(&line)?;
    }
    let before = daemon.counters()?.dropped("reply-unknown-flow");
    let (tries, leaked) = probe(&lab, host, false, &[veth.as_str()])?;
    let after = daemon.counters()?.dropped("reply-unknown-flow");
    ensure!(after > before, "no segment got into the namespace at all");
    Attack {
        name: "connections of the host's root with a route, a neighbour and a guest's slot address",
        tries,
        leaked: u64::try_from(leaked)?,
        stopped_by: "an answer to a connection that no guest opened is dropped (`reply-unknown-flow`)",
    }
    .report()?;
    assert_eq!(daemon.requests().len(), 0, "metad saw a request");
    gets_its_own(&alice)
}

/// The MAC address of the veth's end in metad's namespace.
fn inner_mac(lab: &Lab) -> Result<String> {
    let shown = lab.host().output(&format!(
        "ip -netns {} -oneline link show dev {}1",
        lab.name(),
        lab.name()
    ))?;
    let mut words = shown
        .split_whitespace()
        .skip_while(|word| *word != "link/ether");
    let mac = words.nth(1).context("no address")?;
    Ok(mac.to_owned())
}

#[test]
fn frames_put_onto_metads_own_link_change_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let wire = Wire::open(lab.host(), &format!("{}0", lab.name()))?;
    let to_mac = inner_mac(&lab)?;
    let to_mac = read_mac(&to_mac).context("no MAC address")?;
    let mut tries = 0;
    for round in 0..10 {
        // Alice has a connection open and asked half of her question.
        let mut stream = alice.connect(80)??;
        let port = stream.local_addr()?.port();
        stream.write_all(b"GET /latest/meta-data/hostname HTTP/1.1\r\n")?;
        for (from, from_port) in [
            (Ipv4Addr::new(100, 64, 0, 1), port),
            (Ipv4Addr::new(100, 64, 0, 1), 50_000 + round),
            (Ipv4Addr::new(100, 64, 0, 2), port),
            (Ipv4Addr::new(10, 77, 0, 5), port),
        ] {
            let ends = Ends {
                from_mac: [2; 6],
                to_mac,
                from,
                to: METADATA,
                from_port,
                to_port: 80,
            };
            wire.send(&syn(&ends))?;
            for (flags, payload) in [
                (SYN | ACK, &b""[..]),
                (RST, b""),
                (ACK, b"X: y\r\n\r\n"),
                (ACK, b"GET /latest/user-data HTTP/1.1\r\n\r\n"),
            ] {
                for sequence in [1, u32::from(round).wrapping_mul(0x1357_9bdf), u32::MAX] {
                    wire.send(&tcp(&ends, flags, sequence, 1, payload))?;
                    tries += 1;
                }
            }
            tries += 1;
        }
        stream.write_all(b"Connection: close\r\n\r\n")?;
        let mut told = String::new();
        stream.read_to_string(&mut told)?;
        ensure!(told.ends_with("alice"), "round {round}: {told}");
    }
    assert_eq!(daemon.requests().len(), 10, "more requests than alice's");
    Attack {
        name: "frames put onto the veth's end on the host, as a guest's slot, blind",
        tries,
        leaked: 0,
        stopped_by: "TCP's numbers; answers go to the guest whose connection it is, or nowhere",
    }
    .report()
}

#[test]
fn a_neighbour_on_the_bridge_reaches_nothing() -> Result<()> {
    if !needs::sandbox() || !needs::program("python3") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let neighbour = lab.guest("neighbour", Plug::Bridge("br0"), Some("10.77.0.9/24"))?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    // Everything is on its link, and so are the addresses inside metad's namespace.
    neighbour.ip("route add default dev eth0")?;
    neighbour.ip("address add fd77::9/64 nodad dev eth0")?;
    neighbour.ip("-6 route add default dev eth0")?;
    for address in [
        "100.64.0.1/32",
        "169.254.169.253/16",
        "fd6d:6574:6164:1::1/64 nodad",
    ] {
        neighbour.ip(&format!("address add {address} dev eth0"))?;
    }
    let (tries, leaked) = probe(&lab, neighbour.space(), false, &["eth0"])?;
    let unknown = daemon.counters()?.dropped("unknown-sender");
    ensure!(unknown > 0, "it was never refused");
    Attack {
        name: "connections of a neighbour on the bridge to every address of metad's",
        tries,
        leaked: u64::try_from(leaked)?,
        stopped_by: "who has no NIC in the inventory is dropped (`unknown-sender`); the other addresses exist in metad's namespace alone",
    }
    .report()?;
    assert_eq!(daemon.requests().len(), 0, "metad saw a request");
    gets_its_own(&alice)
}

#[test]
fn the_admin_socket_answers_root_alone() -> Result<()> {
    if !needs::sandbox() || !needs::program("curl") || !needs::program("setpriv") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let daemon = lab.serve(&Settings::default())?;
    let directory = PathBuf::from("/run").join(lab.name());
    let socket = directory.join("admin.sock");
    for (path, expected) in [(&directory, 0o700), (&socket, 0o600)] {
        let mode = std::fs::metadata(path)?.permissions().mode() & 0o7777;
        assert_eq!(mode, expected, "{}", path.display());
    }
    let ask = |nobody: bool, path: &str, post: bool| -> Result<Output> {
        let mut command = lab.host().command("setpriv");
        if nobody {
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        }
        command.args(["--no-new-privs", "curl", "--silent", "--unix-socket"]);
        command.arg(&socket);
        if post {
            command.args(["--request", "POST"]);
        }
        Ok(command.arg(format!("http://metad{path}")).output()?)
    };
    ensure!(
        ask(false, "/status", false)?.stdout.starts_with(b"{"),
        "root is refused"
    );
    let mut tries = 0;
    // As it is, and once somebody has opened it up.
    for (case, of_directory, of_socket) in [("as made", 0o700, 0o600), ("opened up", 0o755, 0o666)]
    {
        std::fs::set_permissions(&directory, Permissions::from_mode(of_directory))?;
        std::fs::set_permissions(&socket, Permissions::from_mode(of_socket))?;
        for (path, post) in [
            ("/status", false),
            ("/query", true),
            ("/settings", true),
            ("/identity/cert", false),
            ("/stop", true),
        ] {
            for _ in 0..5 {
                let output = ask(true, path, post)?;
                ensure!(
                    !output.status.success(),
                    "{case}: {path} was answered: {output:?}"
                );
                ensure!(output.stdout.is_empty(), "{case}: {path}: {output:?}");
                tries += 1;
            }
        }
    }
    ensure!(
        ask(false, "/status", false)?.stdout.starts_with(b"{"),
        "it has ended"
    );
    ensure!(daemon.log().contains("uid=65534"), "{}", daemon.log());
    Attack {
        name: "requests of an unprivileged process to the admin socket, closed and with its mode opened up",
        tries,
        leaked: 0,
        stopped_by: "mode 0600 in a directory of mode 0700, and SO_PEERCRED",
    }
    .report()
}
