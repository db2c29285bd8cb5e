//! What is said of a daemon that is there, is not, or may not be asked.

use std::time::Duration;

use super::*;
use crate::admin::{ClientError, Holder, State};

#[test]
fn a_socket_that_may_not_be_asked_is_not_an_absent_daemon() {
    let why = || "cannot ask the daemon at /run/metad/admin.sock: why".to_owned();
    let denied = || DaemonFacts::Denied { why: why() };
    let mute = || DaemonFacts::Mute {
        why: why(),
        remedy: None,
    };
    for (case, daemon, taken, expected, remedy) in [
        (
            "denied",
            denied(),
            true,
            Verdict::Warning,
            Some("with sudo"),
        ),
        ("mute", mute(), true, Verdict::Warning, Some("log")),
        (
            "mute, elsewhere",
            mute(),
            false,
            Verdict::Warning,
            Some("log"),
        ),
        ("denied, nothing there", denied(), false, Verdict::Ok, None),
        (
            "absent",
            DaemonFacts::Absent,
            true,
            Verdict::Warning,
            Some("`metad down`"),
        ),
        ("serving", DaemonFacts::Serving, true, Verdict::Ok, None),
    ] {
        let facts = with(|f| {
            f.daemon = daemon.clone();
            f.namespace = taken;
            if taken {
                f.interfaces.push(interface(3, "metad"));
            }
        });
        let findings = judge(&Config::default(), &facts);
        let names = findings
            .iter()
            .find(|finding| finding.what == "names")
            .unwrap();
        assert_eq!(names.verdict, expected, "{case}");
        let found = names.remedy.as_deref();
        assert_eq!(found.is_some(), remedy.is_some(), "{case}: {found:?}");
        let (found, remedy) = (found.unwrap_or_default(), remedy.unwrap_or_default());
        assert!(found.contains(remedy), "{case}: {found}");
        if daemon != DaemonFacts::Absent {
            assert!(!found.contains("metad down"), "{case}: {found}");
            assert!(
                !names.detail.contains("no daemon serves"),
                "{case}: {}",
                names.detail
            );
        }
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_told_with_its_process_and_what_to_do() {
    let silent = |holder| ClientError::Silent {
        socket: "/run/metad/admin.sock".into(),
        after: Duration::from_secs(10),
        holder,
    };
    let stopped = Holder {
        pid: 7,
        state: State::Stopped,
    };
    let said = "the daemon at /run/metad/admin.sock did not answer within 10 s";
    for (case, error, detail, remedy) in [
        (
            "stopped",
            silent(Some(stopped)),
            format!("{said}; its process, 7, is stopped (SIGSTOP, or Ctrl-Z in its terminal)"),
            "`kill -CONT 7` has it go on; `metad down` ends it",
        ),
        (
            "not to be found",
            silent(None),
            said.to_owned(),
            "its log says what it is doing",
        ),
        (
            "of another version",
            ClientError::Strange {
                socket: "/run/metad/admin.sock".into(),
                status: http::StatusCode::NOT_FOUND,
            },
            "the daemon at /run/metad/admin.sock answered 404 Not Found, which this command does not understand".to_owned(),
            "the daemon may be of another version; restart it",
        ),
    ] {
        let facts = with(|f| f.daemon = DaemonFacts::of(error));
        let findings = judge(&Config::default(), &facts);
        let mut names = findings.iter().filter(|finding| finding.what == "names");
        let names = names.next().unwrap();
        assert_eq!(names.verdict, Verdict::Warning, "{case}");
        assert_eq!(names.detail, detail, "{case}");
        assert_eq!(names.remedy.as_deref(), Some(remedy), "{case}");
    }
}
