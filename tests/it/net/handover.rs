//! No request is lost while one daemon follows another.

mod away;
mod ending;
pub(super) mod load;
mod strangers;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Daemon, Lab, Request, Settings, Snapshot, until};
use metad_tests::needs;

use self::load::{Again, TIMES, under_load, unlimited};
use super::{SOON, gets_its_own, guest, host_with_bridge, text, token};

/// A guest that has connected may take a busy machine's time to ask.
fn patient() -> Settings<'static> {
    Settings {
        more: "[limits]\nhead-seconds = 60\n",
        ..Settings::default()
    }
}

/// Waits until nothing on the host has the daemon's name that had not before.
fn nothing_is_left(lab: &Lab, before: &Snapshot) -> Result<()> {
    until("the host as it was", SOON, || {
        let now = Snapshot::take(lab).ok()?;
        before
            .differences(&now)
            .iter()
            .all(|it| !it.contains(lab.name()))
            .then_some(())
    })
}

#[test]
fn no_request_is_lost_while_a_daemon_is_taken_over_again_and_again() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = lab.serve(&unlimited())?;
    let mut pids = vec![daemon.pid()];
    let seen = under_load(&lab, &mut daemon, Again::Never, |daemon, _| {
        let status = daemon.take_over()?;
        ensure!(status.success(), "the elder ended with {status}");
        pids.push(daemon.pid());
        Ok(())
    })?;
    pids.dedup();
    assert_eq!(pids.len(), TIMES + 1);
    let counters = daemon.counters()?;
    let answered = seen.answered.load(Ordering::Relaxed);
    // A connection takes several packets in either direction, and the kernel counts on over every take-over.
    ensure!(
        counters.delivered > u64::try_from(2 * answered)?,
        "{counters:?}, {answered} answered"
    );
    needs::note(&format!(
        "{TIMES} take-overs, {answered} requests answered, 0 lost"
    ));
    let status = daemon.stop()?;
    ensure!(status.success(), "the last one ended with {status}");
    nothing_is_left(&lab, &before)
}

#[test]
fn no_request_is_lost_while_a_daemon_is_killed_again_and_again() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let mut daemon = lab.serve(&unlimited())?;
    daemon.stop()?;
    daemon.supervise(lab.directory())?;
    daemon.start_again()?;
    assert_eq!(daemon.supervisor()?.names(), ["metad-ipv4", "metad-ipv6"]);
    let seen = under_load(&lab, &mut daemon, Again::Counted, |daemon, _| {
        daemon.kill()?;
        daemon.supervisor()?;
        daemon.start_again()
    })?;
    let repeated = seen.repeated.load(Ordering::Relaxed);
    let answered = seen.answered.load(Ordering::Relaxed);
    needs::note(&format!(
        "{TIMES} kills, {answered} requests answered, {repeated} had to be repeated"
    ));
    // Each of the four guests has one request under way.
    ensure!(repeated <= 4 * TIMES, "{repeated} requests repeated");
    // Connections that wait with the supervisor are all that is left of it.
    daemon.stop()?;
    assert_eq!(
        daemon.supervisor()?.names(),
        Vec::<&str>::new(),
        "a clean stop keeps nothing"
    );
    Ok(())
}

#[test]
fn no_request_is_lost_while_a_service_manager_restarts_a_daemon() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = lab.serve(&unlimited())?;
    daemon.stop()?;
    daemon.supervise(lab.directory())?;
    daemon.with_words(&["--leave"]);
    daemon.start_again()?;
    let seen = under_load(&lab, &mut daemon, Again::Never, |daemon, _| {
        let status = daemon.stop()?;
        ensure!(status.success(), "it ended with {status}");
        daemon.supervisor()?;
        daemon.start_again()
    })?;
    needs::note(&format!(
        "{TIMES} restarts, {} requests answered, 0 lost",
        seen.answered.load(Ordering::Relaxed)
    ));
    daemon.stop()?;
    let run_dir = Path::new("/run").join(lab.name());
    ensure!(
        run_dir.join("lock").exists(),
        "it left nothing for the next one"
    );
    daemon.supervisor()?.forget();
    let down = daemon.command(&["down"])?;
    ensure!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
    nothing_is_left(&lab, &before)
}

#[test]
fn a_take_over_that_fails_at_any_moment_leaves_the_running_daemon_serving() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    let pid = daemon.pid();
    // An heir that is killed ever later in its life, until one is quick enough to take over.
    let mut killed = 0;
    let mut lives = Duration::from_millis(10);
    loop {
        let mut heir = daemon.heir()?;
        // No condition: the moment is to be any.
        thread::sleep(lives);
        heir.kill()?;
        heir.wait()?;
        if daemon.has_ended()? {
            break;
        }
        killed += 1;
        gets_its_own(&alice).with_context(|| format!("after {lives:?}"))?;
        gets_its_own(&bob).with_context(|| format!("after {lives:?}"))?;
        daemon.seated(&["alice", "bob"])?;
        assert_eq!(daemon.pid(), pid);
        lives = lives * 5 / 4;
    }
    ensure!(killed > 0, "no heir was killed in time");
    needs::note(&format!("{killed} heirs killed before one had taken over"));
    daemon.ends()?;
    // Nothing of all that is in the way of the next.
    daemon.start_again()?;
    daemon.seated(&["alice", "bob"])?;
    gets_its_own(&alice)
}

#[test]
fn what_cannot_be_taken_over_is_refused_and_serves_on() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let refused = |daemon: &Daemon, why: &str| -> Result<()> {
        let output = daemon.command(&["serve", "--take-over"])?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && told.contains(why),
            "{why}: {told}"
        );
        daemon.seated(&["alice"])?;
        gets_its_own(&alice)
    };
    let configuration = std::fs::read_to_string(daemon.configuration())?;
    let other = configuration.replace("attach = \"auto\"", "attach = \"clsact\"");
    std::fs::write(daemon.configuration(), other)?;
    refused(
        &daemon,
        "it has `attached by tcx` where this metad has `attached by clsact`",
    )?;
    std::fs::write(daemon.configuration(), &configuration)?;
    let stamp = Path::new("/run").join(lab.name()).join("layout");
    let text = std::fs::read_to_string(&stamp)?;
    std::fs::write(&stamp, text.replacen("layout 1", "layout 0", 1))?;
    refused(&daemon, "it has `layout 0` where this metad has `layout 1`")?;
    std::fs::write(&stamp, text)?;
    // What can be followed is: another interface.
    lab.bridge("br1", &[])?;
    let wider = configuration.replace("br+", "b+");
    std::fs::write(daemon.configuration(), wider)?;
    daemon.take_over()?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    daemon.stop()?;
    let output = daemon.command(&["serve", "--take-over"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        told.contains("there is no running metad to take over"),
        "{told}"
    );
    Ok(())
}

#[test]
fn what_was_promised_to_a_guest_outlives_a_take_over() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&patient())?;
    daemon.seated(&["alice"])?;
    let sealed = token(&alice, "600")?;
    let set = daemon.command(&["set", "alice", "tags/instance/role", "web"])?;
    ensure!(
        set.status.success(),
        "{}",
        String::from_utf8_lossy(&set.stderr)
    );
    // One waits for a change; another has connected and asks later.
    let waits = alice.connect(80)??;
    let late = alice.connect(80)??;
    let waiting = thread::spawn(move || {
        let path = "/latest/meta-data/hostname?wait_for_change=true&timeout_sec=300";
        Request::get(path).send(waits)
    });
    text(&alice, "/latest/meta-data/hostname")?;
    daemon.take_over_with(|_| {
        let told = Request::get("/latest/meta-data/hostname").send(late)?;
        ensure!(
            told.text() == "alice",
            "the late one was told {}",
            told.text()
        );
        let waited = waiting.join().ok().context("the one that waits failed")??;
        ensure!(
            waited.status == 200 && waited.text() == "alice",
            "{waited:?}"
        );
        Ok(())
    })?;
    daemon.seated(&["alice"])?;
    assert_eq!(text(&alice, "/latest/meta-data/tags/instance/role")?, "web");
    let asked =
        Request::get("/latest/meta-data/hostname").with("X-aws-ec2-metadata-token", &sealed);
    assert_eq!(alice.ask(&asked)?.text(), "alice");
    Ok(())
}

#[test]
fn a_daemon_that_answers_its_last_guests_is_in_nobodys_way() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&patient())?;
    daemon.seated(&["alice"])?;
    // It is accepted, and asks only once the second successor serves.
    let late = alice.connect(80)??;
    text(&alice, "/latest/meta-data/hostname")?;
    let mut second = None;
    daemon.take_over_with(|daemon| {
        let serving = || {
            daemon
                .log()
                .matches("the other metad has handed over")
                .count()
        };
        let mut heir = daemon.heir()?;
        let followed = until("a second successor", SOON, || {
            (serving() == 2 || matches!(heir.try_wait(), Ok(Some(_)))).then_some(())
        });
        second = Some(heir);
        followed?;
        ensure!(serving() == 2, "the log:\n{}", daemon.log());
        gets_its_own(&alice)?;
        let told = Request::get("/latest/meta-data/hostname").send(late)?;
        ensure!(
            told.text() == "alice",
            "the late one was told {}",
            told.text()
        );
        Ok(())
    })?;
    daemon.ends()?;
    gets_its_own(&alice)?;
    let down = daemon.command(&["down"])?;
    ensure!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
    let ended = second.context("a second successor")?.wait()?;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}
