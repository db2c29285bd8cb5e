//! The demo with real guests: libvirtd, its `default` NAT network, metad, and two Debians with their own cloud-init.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use metad_tests::image::{self, Cache, Debian, Reuse};
use metad_tests::lab;
use metad_tests::progress::{Progress, Seconds};
use metad_tests::virt::{
    Asked, Description, Guest, Host, Identity, Key, Metadata, Network, Nic, System,
};

use super::show;

/// Everything that belongs to the host; in the sandbox's own memory.
const DIRECTORY: &str = "/run/demo";
/// Two at once take 90 s on two idle cores; a busy machine takes several times that.
const BOOT: Duration = Duration::from_secs(600);
/// The user that Debian's cloud-init makes.
const USER: &str = "debian";
/// What the user-data leaves behind in the guest.
const MARK: &str = "/run/user-data-ran";

/// A guest, what it was given, and what has been seen of it.
struct Shown {
    plan: Plan,
    key: Key,
    guest: Guest,
    /// How many of its console's milestones have been told.
    told: usize,
    finished: Option<(Duration, String)>,
}

/// What a guest is to become.
struct Plan {
    name: &'static str,
    debian: Debian,
    identity: Identity,
    nic: Nic,
    about: &'static str,
}

/// What a guest says of itself, asked over SSH.
struct Became {
    hostname: String,
    source: String,
    keys: String,
    user_data: String,
}

/// Shows it; with `keep` it returns only when something fails.
pub(super) fn show(progress: &Progress, keep: bool) -> Result<()> {
    let directory = Path::new(DIRECTORY);
    let host = progress.step(
        "starting libvirtd with its `default` NAT network on virbr0, and metad beside it, in namespaces of their own",
        || Host::start(directory),
    )?;
    let plans = plans();
    for plan in &plans {
        progress.say(format_args!("{}: {}", plan.name, plan.about));
    }
    progress.say("requests below are metad's log: domain, MAC, tap, method, path → status, time");
    let (shown, became) = show::following(host.metad.log_file().to_owned(), progress, || {
        let mut shown = Vec::new();
        for plan in plans {
            shown.push(boot(&host, directory, plan, progress)?);
        }
        wait(&mut shown, progress)?;
        let mut became = Vec::new();
        for one in &shown {
            progress.say(format_args!(
                "{}: asking it over SSH, with the key that it got from metad",
                one.plan.name
            ));
            became.push(ask(one)?);
        }
        Ok((shown, became))
    })?;
    sum_up(&host, &shown, &became, progress)?;
    if keep {
        let configuration = host.metad.configuration().display().to_string();
        let metad = lab::binary()?.display().to_string();
        let ssh = shown.iter().map(|one| {
            format!(
                "ssh -i {} {USER}@{}",
                one.key.file().display(),
                one.plan.nic.address()
            )
        });
        let mut more = vec![
            ("the domains", "virsh list".to_owned()),
            (
                "metad's view",
                format!("{metad} status --config {configuration}"),
            ),
            (
                "its log",
                format!("tail -f {}", host.metad.log_file().display()),
            ),
        ];
        more.extend(ssh.map(|line| ("into a guest", line)));
        show::stay(progress, &more)?;
    }
    progress.step("stopping metad, libvirtd and the guests", || {
        drop(host);
        Ok(())
    })
}

fn plans() -> Vec<Plan> {
    let url = "http://169.254.169.254/nocloud/";
    vec![
        Plan {
            name: "web1",
            debian: Debian::Bookworm,
            identity: Identity::Ec2,
            nic: Nic::new(Network::Default, 1),
            about: "Debian 12, cloud-init 22.4.2; a UUID that starts with ec2 makes it an EC2 guest, which uses tokens",
        },
        Plan {
            name: "db1",
            debian: Debian::Trixie,
            identity: Identity::Serial(Debian::Trixie.nocloud_serial(url)),
            nic: Nic::new(Network::Default, 2),
            about: "Debian 13, cloud-init 25.1.4; its SMBIOS serial number names metad's NoCloud tree",
        },
    ]
}

fn boot(host: &Host, directory: &Path, plan: Plan, progress: &Progress) -> Result<Shown> {
    let name = plan.name;
    let key = Key::make(directory, &format!("{name}-admin"))?;
    let image = image::debian(&Cache::open()?, plan.debian, Reuse::Yes, progress)?;
    let metadata = Metadata {
        hostname: Some(format!("{name}.example.org")),
        instance_type: Some("demo.small".to_owned()),
        public_keys: vec![("admin".to_owned(), key.public.clone())],
        user_data: Some(format!(
            "#cloud-config\nruncmd:\n  - echo 'user-data of {name} ran' > {MARK}\n"
        )),
        http_tokens: (plan.identity == Identity::Ec2).then(|| "required".to_owned()),
        ..Metadata::default()
    };
    let guest = progress.step(&format!("{name}: virsh define, virsh start"), || {
        host.libvirt.boot(&Description {
            name: name.to_owned(),
            system: System::Debian(image),
            identity: plan.identity.clone(),
            nics: vec![plan.nic],
            metadata: Some(metadata),
        })
    })?;
    Ok(Shown {
        plan,
        key,
        guest,
        told: 0,
        finished: None,
    })
}

/// Waits for the end of every guest's cloud-init, and tells what its console says on the way.
fn wait(shown: &mut [Shown], progress: &Progress) -> Result<()> {
    let mut heard = Instant::now();
    while shown.iter().any(|one| one.finished.is_none()) {
        for one in shown.iter_mut().filter(|one| one.finished.is_none()) {
            let milestones = milestones(&one.guest.console());
            let age = one.guest.age();
            for milestone in milestones.iter().skip(one.told) {
                heard = Instant::now();
                progress.say(format_args!(
                    "{}: {milestone}, {} after its start",
                    one.plan.name,
                    Seconds(age)
                ));
                if milestone.contains(FINISHED) {
                    one.finished = Some((age, milestone.clone()));
                }
            }
            one.told = one.told.max(milestones.len());
            if age > BOOT {
                bail!(
                    "{} did not finish within {}; its console ends with:\n{}",
                    one.plan.name,
                    Seconds(BOOT),
                    one.guest.last_words()
                );
            }
        }
        if heard.elapsed() > Duration::from_secs(20) {
            heard = Instant::now();
            let waiting = shown.iter().filter(|one| one.finished.is_none());
            let names: Vec<&str> = waiting.map(|one| one.plan.name).collect();
            progress.say(format_args!("still booting: {}", names.join(", ")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

const FINISHED: &str = "cloud-init finished";

/// What cloud-init says of its stages on a console, in our words.
fn milestones(console: &str) -> Vec<String> {
    let whole = console
        .rfind('\n')
        .and_then(|end| console.get(..end))
        .unwrap_or_default();
    whole.lines().filter_map(milestone).collect()
}

fn milestone(line: &str) -> Option<String> {
    let (_, said) = line.split_once("Cloud-init v. ")?;
    if let Some((_, stage)) = said.split_once(" running '") {
        return Some(format!("cloud-init runs `{}`", stage.split('\'').next()?));
    }
    let source = said
        .split_once("Datasource ")?
        .1
        .split_whitespace()
        .next()?;
    Some(format!(
        "{FINISHED}, data source {}",
        source.trim_end_matches('.')
    ))
}

fn ask(shown: &Shown) -> Result<Became> {
    let command = format!(
        "hostname; cat /run/cloud-init/cloud-id; cut -d' ' -f3 ~/.ssh/authorized_keys | tr '\\n' ' '; echo; cat {MARK}"
    );
    let answer = shown.key.run_soon(
        USER,
        shown.plan.nic.address(),
        &command,
        Duration::from_secs(180),
    )?;
    let mut lines = answer.lines().map(|line| line.trim().to_owned());
    let mut next = || {
        lines
            .next()
            .with_context(|| format!("{} said only: {answer}", shown.plan.name))
    };
    Ok(Became {
        hostname: next()?,
        source: next()?,
        keys: next()?,
        user_data: next()?,
    })
}

/// Prints what each guest became, and fails if that is not what it was to become.
fn sum_up(host: &Host, shown: &[Shown], became: &[Became], progress: &Progress) -> Result<()> {
    let asked = Asked::all(&host.metad.log());
    let heading = [
        "guest",
        "data source",
        "hostname",
        "SSH key let in",
        "user-data",
        "requests",
        "boot to cloud-init's end",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (one, it) in shown.iter().zip(became) {
        let name = one.plan.name;
        let own: Vec<&Asked> = asked
            .iter()
            .filter(|request| request.guest == name)
            .collect();
        let tokens = own.iter().filter(|request| request.method == "PUT").count();
        let refused = own.iter().filter(|request| request.status >= 400).count();
        rows.push(vec![
            name.to_owned(),
            it.source.clone(),
            it.hostname.clone(),
            it.keys.clone(),
            it.user_data.clone(),
            format!("{}, {tokens} for a token, {refused} refused", own.len()),
            one.finished
                .as_ref()
                .map(|(age, _)| Seconds(*age).to_string())
                .unwrap_or_default(),
        ]);
        ensure!(
            it.hostname.starts_with(name) && it.keys.contains(name) && it.user_data.contains(name),
            "{name} did not become what its metadata says:\n{}",
            show::table(&rows)
        );
    }
    progress.print("\nWhat each guest became, read inside it:\n");
    progress.print(&show::table(&rows));
    progress.print("");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milestones_are_told_apart_from_the_rest_of_a_console() {
        let console = "[    0.1] Linux\n\
            [   14.2] cloud-init[150]: Cloud-init v. 22.4.2 running 'init-local' at Sat, 21 Nov 2026. Up 14.01 seconds.\n\
            [   33.8] cloud-init[207]: Cloud-init v. 25.1.4 finished at Sat. Datasource DataSourceNoCloudNet [seed=dmi].  Up 33 s\n\
            [   34.0] cloud-init[207]: Cloud-init v. 25.1.4 running 'mod";
        assert_eq!(
            milestones(console),
            [
                "cloud-init runs `init-local`",
                "cloud-init finished, data source DataSourceNoCloudNet"
            ]
        );
    }
}
