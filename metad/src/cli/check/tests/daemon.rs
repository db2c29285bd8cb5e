//! What is said of a daemon that is there, is not, or may not be asked.

use super::*;

#[test]
fn a_socket_that_may_not_be_asked_is_not_an_absent_daemon() {
    let unknown = |denied| {
        let why = "cannot ask the daemon at /run/metad/admin.sock: why".to_owned();
        DaemonFacts::Unknown { denied, why }
    };
    for (case, daemon, taken, expected, remedy) in [
        (
            "denied",
            unknown(true),
            true,
            Verdict::Warning,
            Some("with sudo"),
        ),
        ("mute", unknown(false), true, Verdict::Warning, Some("log")),
        (
            "denied, nothing there",
            unknown(true),
            false,
            Verdict::Ok,
            None,
        ),
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
