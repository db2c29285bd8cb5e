//! A role's credentials from a file and from a command, as they change.

use std::path::Path;

use super::*;
use crate::config::Origin;

const PATIENCE: Duration = Duration::from_secs(90);

fn leaf(key: &str, expiration: &str) -> String {
    format!(
        r#"{{"AccessKeyId": "{key}", "SecretAccessKey": "hush", "Token": "hush", "Expiration": "{expiration}"}}"#
    )
}

fn start(origin: Origin) -> (mpsc::Receiver<News>, JoinSet<()>) {
    let (tell, news) = mpsc::channel(8);
    let role = Role {
        name: "web".to_owned(),
        origin,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(Follower::new(role, tell, Duration::from_millis(5)).run());
    (news, tasks)
}

async fn next(news: &mut mpsc::Receiver<News>) -> News {
    let next = tokio::time::timeout(PATIENCE, news.recv());
    next.await.expect("no news").expect("no follower")
}

fn key(news: &News) -> Option<&str> {
    let credentials = news.credentials.as_ref()?;
    Some(credentials.access_key_id.as_str())
}

/// As everybody should: a file is whole from the moment that it is there.
fn put(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[tokio::test]
async fn file_counts_as_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.json");
    let (mut news, _tasks) = start(Origin::File(path.clone()));
    let missing = next(&mut news).await;
    assert_eq!(key(&missing), None);
    let problem = missing.problem.unwrap();
    assert!(problem.contains("web.json cannot be read: "), "{problem}");
    let far = "2999-01-01T00:00:00Z";
    put(&path, &leaf("ASIA1", far), 0o600);
    let first = next(&mut news).await;
    assert_eq!((key(&first), &first.problem), (Some("ASIA1"), &None));
    put(&path, &leaf("ASIA2", far), 0o644);
    let open = next(&mut news).await;
    assert_eq!(key(&open), Some("ASIA2"));
    let problem = open.problem.unwrap();
    assert!(problem.contains("web.json has the mode 644"), "{problem}");
    put(&path, "{", 0o600);
    let broken = next(&mut news).await;
    assert_eq!(key(&broken), Some("ASIA2"), "the last good ones stay");
    let problem = broken.problem.unwrap();
    assert!(
        problem.ends_with("web.json holds no JSON object"),
        "{problem}"
    );
    put(&path, &leaf("ASIA2", far), 0o600);
    let mended = next(&mut news).await;
    assert_eq!(mended.problem, None);
    assert_eq!(mended.credentials, broken.credentials, "and are the same");
}

#[tokio::test]
async fn credentials_end_when_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.json");
    // A machine under load may read them too late to see them good.
    for seconds in [2, 10, 60] {
        let soon = time::OffsetDateTime::now_utc() + Duration::from_secs(seconds);
        let soon = soon.replace_nanosecond(0).unwrap();
        let soon = soon
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap();
        put(&path, &leaf("ASIA1", &soon), 0o600);
        let (mut news, _tasks) = start(Origin::File(path.clone()));
        if key(&next(&mut news).await).is_none() {
            continue;
        }
        let ended = next(&mut news).await;
        assert_eq!(key(&ended), None);
        assert_eq!(
            ended.problem.unwrap(),
            format!("its credentials expired at {soon} and nothing has renewed them")
        );
        return;
    }
    panic!("credentials were never good");
}

#[tokio::test]
async fn command_is_run_and_its_failure_is_told_without_its_output() {
    let far = leaf("ASIA1", "2999-01-01T00:00:00Z");
    for (case, script, expected, problem) in [
        ("good", format!("echo '{far}'"), Some("ASIA1"), None),
        (
            "fails",
            format!("echo '{far}'; exit 1"),
            None,
            Some("/bin/sh ended with exit status: 1"),
        ),
        (
            "prints junk",
            "echo hush".to_owned(),
            None,
            Some("/bin/sh holds no JSON object"),
        ),
    ] {
        let words = ["/bin/sh", "-c", &script].map(str::to_owned);
        let (mut news, _tasks) = start(Origin::Command(words.to_vec()));
        let told = next(&mut news).await;
        assert_eq!(key(&told), expected, "{case}");
        assert_eq!(told.problem.as_deref(), problem, "{case}");
        assert!(!format!("{told:?}").contains("hush"), "{case}: {told:?}");
    }
}
