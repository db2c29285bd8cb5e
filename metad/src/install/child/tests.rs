use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn exchanged(input: &str) -> Result<Value, String> {
    let mut output = Vec::new();
    match exchange(&mut input.as_bytes(), &mut output) {
        Ok(()) => Ok(serde_json::from_slice(&output).unwrap()),
        Err(error) => Err(format!("{error:#}")),
    }
}

#[test]
fn a_job_comes_in_and_what_has_come_of_it_goes_out() {
    let texts = json!({"a": "{{ x }} ü", "b": "{% if %}", "_c": "{{ y | yaml }}", "d": "{% include '_c' %}"});
    for (case, job, expected) in [
        (
            "rendered",
            json!({"texts": texts, "names": ["a", "d"], "facts": {"x": 1.5, "y": [true, null]}}),
            json!({"files": {"a": "1.5 ü", "d": "[true,null]"}, "problems": {}}),
        ),
        (
            "compiled",
            json!({"texts": texts, "names": ["a", "b"], "facts": null}),
            json!({"files": {}, "problems": {
                "b": "the template b, line 1: unexpected end of block at `%}`",
            }}),
        ),
        (
            "nothing",
            json!({"texts": {}, "names": [], "facts": {}}),
            json!({"files": {}, "problems": {}}),
        ),
    ] {
        assert_eq!(exchanged(&job.to_string()), Ok(expected), "{case}");
    }
}

#[test]
fn a_daemon_says_the_job_as_a_child_reads_it() {
    let texts = BTreeMap::from([("a".to_owned(), "x".to_owned())]);
    let facts = json!({"z": 1, "b": 2});
    let job = Job {
        texts: Cow::Borrowed(&texts),
        names: vec!["a".to_owned()],
        facts: Some(Cow::Borrowed(&facts)),
    };
    assert_eq!(
        serde_json::to_string(&job).unwrap(),
        r#"{"texts":{"a":"x"},"names":["a"],"facts":{"z":1,"b":2}}"#
    );
}

#[test]
fn what_is_no_job_is_refused() {
    for input in ["", "{}", "[1]", "{\"texts\": {\"a\": 1}"] {
        let error = exchanged(input).unwrap_err();
        assert!(
            error.contains("help: `metad serve` starts"),
            "{input}: {error}"
        );
    }
}

/// The test runner, as a child, takes the word for a filter, and ends well without an answer.
#[test]
fn a_child_that_gives_no_answer_has_ended() {
    let job = Job {
        texts: Cow::Owned(BTreeMap::new()),
        names: Vec::new(),
        facts: None,
    };
    let ended = run_within(Duration::from_secs(60), "no-test-has-this-name", &job);
    assert!(matches!(ended, Err(Failure::Ended)), "{ended:?}");
}

fn shell(script: &str, time: Duration) -> Result<Vec<u8>, Failure> {
    let child = Command::new("/bin/sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // More than a pipe holds.
    answer(Guard(child), &vec![b' '; 1 << 20], time)
}

#[test]
fn an_answer_counts_that_is_whole_and_in_time() {
    let long = Duration::from_secs(60);
    for (case, script, time, expected) in [
        ("an answer", "cat >/dev/null; echo x", long, Some("x\n")),
        ("an answer to half a job", "echo x", long, Some("x\n")),
        ("failed", "echo x; exit 1", long, None),
        ("killed", "echo x; kill -XCPU $$", long, None),
        ("too long an answer", "exec cat /dev/zero", long, None),
        (
            "too slow",
            "exec sleep 1000",
            Duration::from_millis(50),
            None,
        ),
    ] {
        match (shell(script, time), expected) {
            (Ok(octets), Some(expected)) => assert_eq!(octets, expected.as_bytes(), "{case}"),
            (Err(Failure::Ended), None) => {}
            (answer, _) => panic!("{case}: {answer:?}"),
        }
    }
}
