//! The demo in seconds: guests are namespaces with one NIC each on a bridge that has no address; what they are to be
//! told stands in record files.

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Guest, Lab, Plug, Request, Settings, binary};
use metad_tests::progress::Progress;
use serde_json::json;

use super::show;

/// In the form of a public key; nobody has the other half.
const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Shows it; with `keep` it returns only when something fails.
pub(super) fn show(progress: &Progress, keep: bool) -> Result<()> {
    let lab = Lab::new()?;
    lab.bridge("br0", &[])?;
    let daemon = progress.step(
        "starting metad on a host with the bridge br0, which has no address",
        || lab.serve(&Settings::default()),
    )?;
    let mut guests = Vec::new();
    for name in ["web1", "db1"] {
        // Both have the same address: what a guest writes into its packets does not matter.
        let guest = lab.guest(name, Plug::Bridge("br0"), Some("10.0.0.5/32"))?;
        guest.ip("route add 169.254.169.254/32 dev eth0")?;
        let mut record = guest.record();
        record["hostname"] = json!(format!("{name}.example.org"));
        record["public-keys"] = json!({ "admin": format!("ssh-ed25519 {KEY} admin@{name}") });
        record["user-data"] = json!(format!("#cloud-config\nruncmd: [echo {name}]\n"));
        lab.record(name, &record)?;
        progress.say(format_args!(
            "{name}: a namespace behind {}, address 10.0.0.5, and a record file",
            guest.interface()
        ));
        guests.push(guest);
    }
    daemon.seated(&["web1", "db1"])?;
    progress.say("requests below are metad's log: instance, MAC, tap, method, path → status, time");
    let rows = show::following(daemon.log_file().to_owned(), progress, || {
        let heading = [
            "guest",
            "hostname",
            "SSH key",
            "user-data",
            "instance-id by NoCloud",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for guest in &guests {
            rows.push(told(guest)?);
        }
        Ok(rows)
    })?;
    progress.print("\nWhat each guest was told:\n");
    progress.print(&show::table(&rows));
    progress.print("");
    if keep {
        let configuration = daemon.configuration().display();
        let host = format!("ip netns exec {}", lab.host().name());
        let mut more = vec![(
            "metad's view",
            format!("{} status --config {configuration}", binary()?.display()),
        )];
        for guest in &guests {
            let curl = "curl -s http://169.254.169.254/latest/meta-data/hostname";
            more.push((
                "as a guest",
                format!("ip netns exec {} {curl}", guest.space().name()),
            ));
        }
        more.push(("the host's links", format!("{host} ip link")));
        show::stay(progress, &more)?;
    }
    Ok(())
}

/// Asks as cloud-init would, and fails if the answers are not the guest's own.
fn told(guest: &Guest) -> Result<Vec<String>> {
    let token = guest.ask(&Request::token("60"))?;
    ensure!(
        token.status == 200,
        "{} got no token: {}",
        guest.name(),
        token.status
    );
    let secret = token.text();
    let get = |path: &str| -> Result<String> {
        let request = Request::get(path).with("X-aws-ec2-metadata-token", &secret);
        let reply = guest
            .ask(&request)
            .with_context(|| format!("{} asked for {path}", guest.name()))?;
        ensure!(
            reply.status == 200,
            "{} asked for {path} and got {}",
            guest.name(),
            reply.status
        );
        Ok(reply.text())
    };
    let row = vec![
        guest.name().to_owned(),
        get("/latest/meta-data/hostname")?,
        get("/latest/meta-data/public-keys/0/openssh-key")?,
        get("/latest/user-data")?
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned(),
        instance_id(&get("/nocloud/meta-data")?)?,
    ];
    ensure!(
        row.iter().take(4).all(|cell| cell.contains(guest.name())),
        "{} was told something that is not its own: {row:?}",
        guest.name()
    );
    Ok(row)
}

/// NoCloud's meta-data is YAML, and metad writes the part of it that is JSON.
fn instance_id(meta_data: &str) -> Result<String> {
    let tree: serde_json::Value =
        serde_json::from_str(meta_data).context("NoCloud's meta-data cannot be read")?;
    let id = tree["instance-id"]
        .as_str()
        .context("NoCloud's meta-data has no instance-id")?;
    Ok(id.to_owned())
}
