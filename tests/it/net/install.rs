//! An installer on a guest fetches its answers, and those who read such answers for a living accept them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Guest, Lab, Settings};
use metad_tests::needs;
use serde_json::json;

use super::{guest, host_with_bridge, text};

const PRESEED: &str = "/install/preseed.cfg";

/// A key whose comment would end every kind of quotes.
const HOSTILE: &str = "ssh-ed25519 AAAA it's \"me\" $(reboot) `reboot` # %post \\";

/// The templates that come with metad.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/install")
}

fn settings(templates: &Path) -> String {
    format!(
        "[install]\ntemplates = {templates:?}\n[install.variables]\ntimezone = \"Europe/Berlin\"\n"
    )
}

/// A guest that is to be installed.
fn to_be_installed(lab: &Lab, name: &str, last_octet: u8) -> Result<Guest> {
    let guest = guest(lab, name, last_octet)?;
    let mut record = guest.record();
    record["options"] = json!({"dialects": ["ec2", "install"]});
    record["public-keys"] = json!({"hostile": HOSTILE, "usual": "ssh-rsa BBBB me@host"});
    record["install"] = json!({"disk": format!("/dev/{name}")});
    lab.record(name, &record)?;
    Ok(guest)
}

#[test]
fn an_installer_gets_the_answers_of_its_own_guest() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = to_be_installed(&lab, "alice", 5)?;
    let bob = to_be_installed(&lab, "bob", 6)?;
    let carol = guest(&lab, "carol", 7)?;
    let daemon = lab.serve(&Settings {
        more: &settings(&shipped()),
        ..Settings::default()
    })?;
    daemon.seated(&["alice", "bob", "carol"])?;
    for guest in [&alice, &bob] {
        let preseed = text(guest, PRESEED)?;
        for line in [
            format!("d-i netcfg/get_hostname string {}", guest.name()),
            format!("d-i partman-auto/disk string /dev/{}", guest.name()),
            "d-i time/zone string Europe/Berlin".to_owned(),
        ] {
            ensure!(preseed.lines().any(|it| it == line), "{line}\n{preseed}");
        }
        let keys = text(guest, "/install/authorized_keys")?;
        ensure!(
            keys == format!("{HOSTILE}\nssh-rsa BBBB me@host\n"),
            "{keys}"
        );
        // cloud-init puts a file's name behind the seed's address, which ends in a slash.
        for name in ["meta-data", "user-data", "vendor-data", "network-config"] {
            text(guest, &format!("/install/autoinstall/{name}"))?;
        }
        let asked = daemon.command(&["query", "--as", guest.name(), PRESEED])?;
        ensure!(String::from_utf8_lossy(&asked.stdout).trim_end() == preseed.trim_end());
    }
    let names = text(&alice, "/install/")?;
    ensure!(
        names == "authorized_keys\nautoinstall/\nkickstart.cfg\npreseed.cfg",
        "{names}"
    );
    for path in ["/install/nothing", "/install/../preseed.cfg"] {
        ensure!(alice.get(path)?.status == 404, "{path}");
    }
    ensure!(
        carol.get(PRESEED)?.status == 404,
        "who asks for no installation has no answers"
    );
    Ok(())
}

#[test]
fn an_edited_template_counts_and_a_broken_one_is_told() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = to_be_installed(&lab, "alice", 5)?;
    let templates = lab.directory().join("install.d");
    std::fs::create_dir(&templates)?;
    let write = |content: &str| std::fs::write(templates.join("preseed.cfg"), content);
    write("first {{ instance.name }}\n")?;
    let daemon = lab.serve(&Settings {
        more: &settings(&templates),
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    ensure!(text(&alice, PRESEED)? == "first alice\n");
    write("second {{ install.disk }}\n")?;
    metad_tests::lab::until("the edited template", super::SOON, || {
        (text(&alice, PRESEED).ok()? == "second /dev/alice\n").then_some(())
    })?;
    write("third\n{{ install.nothing }}\n")?;
    daemon.status_until("a problem with its place", |status| {
        let problems = status["problems"].as_array().map_or(&[][..], Vec::as_slice);
        let expected =
            "the template preseed.cfg, line 2: nobody says this variable at `install.nothing`";
        problems.iter().any(|it| it["problem"] == json!(expected))
    })?;
    ensure!(
        alice.get(PRESEED)?.status == 404,
        "an installer takes no stale answers"
    );
    Ok(())
}

/// Templates that would end the daemon or never end, each in its own way.
fn bombs() -> [(&'static str, String); 4] {
    let grow = |times: u32, step: &str, end: &str| {
        format!(
            "{{% set ns = namespace(x=[1]) %}}{{% for i in range({times}) %}}{{% set ns.x = {step} %}}{{% endfor %}}{end}"
        )
    };
    [
        (
            "bomb-deep",
            format!("{{{{ 1{} }}}}", " ~ 'a'".repeat(30_000)),
        ),
        (
            "bomb-endless",
            grow(40, "ns.x + ns.x", "{{ ns.x | length }}"),
        ),
        ("bomb-nested", grow(50_000, "[ns.x]", "")),
        ("bomb-yaml", grow(40, "[ns.x, ns.x]", "{{ ns.x | yaml }}")),
    ]
}

#[test]
fn a_template_that_never_ends_or_overflows_costs_only_itself() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = to_be_installed(&lab, "alice", 5)?;
    let bob = guest(&lab, "bob", 6)?;
    let templates = lab.directory().join("install.d");
    std::fs::create_dir(&templates)?;
    std::fs::copy(shipped().join("preseed.cfg"), templates.join("preseed.cfg"))?;
    for (name, text) in bombs() {
        std::fs::write(templates.join(name), text)?;
    }
    let mut daemon = lab.serve(&Settings {
        more: &settings(&templates),
        ..Settings::default()
    })?;
    daemon.seated(&["alice", "bob"])?;
    daemon.status_until("a problem for each bomb", |status| {
        let problems = status["problems"].as_array().map_or(&[][..], Vec::as_slice);
        bombs().iter().all(|(name, _)| {
            let expected = format!(
                "the template {name}: it took more time or memory than a template may; it is not tried again until a \
                 template or the instance changes"
            );
            problems.iter().any(|it| it["problem"] == json!(expected))
        })
    })?;
    let hostname = "d-i netcfg/get_hostname string alice";
    let preseed = text(&alice, PRESEED)?;
    ensure!(preseed.lines().any(|it| it == hostname), "{preseed}");
    for (name, _) in bombs() {
        ensure!(
            alice.get(&format!("/install/{name}"))?.status == 404,
            "{name}"
        );
    }
    // All is rendered anew, bombs too, and nobody else waits for it.
    std::fs::write(templates.join("preseed.cfg"), "edited\n")?;
    let mut slowest = Duration::ZERO;
    metad_tests::lab::until("the edited template", super::SOON, || {
        let asked = Instant::now();
        super::gets_its_own(&bob).ok()?;
        slowest = slowest.max(asked.elapsed());
        (text(&alice, PRESEED).ok()? == "edited\n").then_some(())
    })?;
    ensure!(slowest < Duration::from_secs(5), "bob waited {slowest:?}");
    let ended = daemon.stop()?;
    ensure!(ended.success(), "{ended}: {}", daemon.log());
    Ok(())
}

#[test]
fn validators_accept_the_shipped_answers() -> Result<()> {
    if !needs::sandbox() || !needs::program("debconf-set-selections") {
        return Ok(());
    }
    let Some(ksvalidator) = needs::python("ksvalidator") else {
        return Ok(());
    };
    let lab = host_with_bridge()?;
    let alice = to_be_installed(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings {
        more: &settings(&shipped()),
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    let preseed = text(&alice, PRESEED)?;
    let kickstart = text(&alice, "/install/kickstart.cfg")?;
    let file = lab.directory().join("answers");
    let checked = |program: &Path, words: &[&str], content: &str| -> Result<Output> {
        std::fs::write(&file, content)?;
        Command::new(program)
            .args(words)
            .arg(&file)
            .output()
            .with_context(|| format!("cannot start {}", program.display()))
    };
    let debconf = Path::new("debconf-set-selections");
    let fedora = ["--version", "F40"];
    let rhel = ["--version", "RHEL9"];
    let broken_preseed = format!("{preseed}d-i without-a-type\n");
    let broken_kickstart = kickstart.replace("rootpw --lock", "rootpw --lokc");
    for (case, program, words, content, accepted) in [
        ("preseed", debconf, &["--checkonly"][..], &preseed, true),
        (
            "a broken preseed",
            debconf,
            &["--checkonly"],
            &broken_preseed,
            false,
        ),
        (
            "Fedora's kickstart",
            &ksvalidator,
            &fedora,
            &kickstart,
            true,
        ),
        ("RHEL's kickstart", &ksvalidator, &rhel, &kickstart, true),
        (
            "a broken kickstart",
            &ksvalidator,
            &fedora,
            &broken_kickstart,
            false,
        ),
    ] {
        let output = checked(program, words, content)?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(output.status.success() == accepted, "{case}: {said}");
    }
    Ok(())
}
