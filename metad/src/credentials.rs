//! The credentials of the site's IAM roles, as they come and expire.
//!
//! In: where each role's come from, a file or a command. Out: news for the inventory, whenever a role has other
//! credentials than before or something else is wrong. What is secret never shows in an error or in the log, and nothing
//! here is ever waited for by a request.

mod command;
mod file;
mod parse;
mod plan;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::file::Mark;
use self::parse::Fetched;
use self::plan::{Now, Plan, Step};
use crate::config::{Origin, Role};
use crate::instance::Credentials;

/// How often a file is looked at for a change.
const LOOK: Duration = Duration::from_secs(5);
/// The longest sleep: the clock may be set, and a host may have been suspended.
const NAP: Duration = Duration::from_secs(30);

/// What is new of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub role: String,
    /// `None`: there are no valid ones.
    pub credentials: Option<Arc<Credentials>>,
    pub problem: Option<String>,
}

/// Why there are no new credentials, as the end of a sentence that names where they come from.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    File(#[from] file::Failure),
    #[error(transparent)]
    Command(#[from] command::Failure),
    #[error("{origin} {why}")]
    Unusable {
        origin: String,
        why: parse::Unusable,
    },
}

/// Follows every role until the returned tasks are dropped; must be called within a runtime.
pub fn follow(roles: &[Role]) -> (mpsc::Receiver<News>, JoinSet<()>) {
    let (tell, news) = mpsc::channel(roles.len().max(1));
    let mut tasks = JoinSet::new();
    for role in roles {
        let follower = Follower::new(role.clone(), tell.clone(), LOOK);
        tasks.spawn(follower.run());
    }
    (news, tasks)
}

/// What is wrong with a role's file now, for who looks before metad serves. `None`: nothing, or a command would have to
/// be run to know.
pub async fn problem(role: &Role) -> Option<String> {
    let Origin::File(_) = role.origin else {
        return None;
    };
    let (tell, _news) = mpsc::channel(1);
    let mut follower = Follower::new(role.clone(), tell, LOOK);
    match follower.read().await {
        Ok(fetched) => fetched.warning,
        Err(failure) => Some(failure.to_string()),
    }
}

/// One role's task.
struct Follower {
    role: Role,
    tell: mpsc::Sender<News>,
    look: Duration,
    started: Instant,
    plan: Plan,
    /// Which file `news` came from.
    mark: Option<Mark>,
    news: News,
}

impl Follower {
    fn new(role: Role, tell: mpsc::Sender<News>, look: Duration) -> Self {
        let news = News {
            role: role.name.clone(),
            credentials: None,
            problem: None,
        };
        let plan = match role.origin {
            Origin::File(_) => Plan::for_file(),
            Origin::Command(_) => Plan::for_command(),
        };
        Self {
            role,
            tell,
            look,
            started: Instant::now(),
            plan,
            mark: None,
            news,
        }
    }

    async fn run(mut self) {
        loop {
            let before = self.news.clone();
            if let Origin::File(path) = &self.role.origin
                && self.mark != file::mark(path.clone()).await
            {
                self.plan.changed();
            }
            match self.plan.step(self.now()) {
                Step::Fetch => self.fetch().await,
                Step::Lapse => self.lapse(),
                Step::Wait(time) => {
                    let look = match self.role.origin {
                        Origin::File(_) => self.look,
                        Origin::Command(_) => NAP,
                    };
                    tokio::time::sleep(time.min(look)).await;
                }
            }
            if self.news != before && self.tell.send(self.news.clone()).await.is_err() {
                return;
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            wall: SystemTime::now(),
            running: self.started.elapsed(),
        }
    }

    async fn fetch(&mut self) {
        match self.read().await {
            Ok(fetched) => {
                self.plan.succeeded(fetched.expires, self.now());
                self.news.problem = fetched.warning;
                let held = self.news.credentials.as_deref();
                if !held.is_some_and(|held| is_same(held, &fetched.credentials)) {
                    tracing::info!(
                        role = self.role.name,
                        expiration = fetched.credentials.expiration,
                        "new credentials for an IAM role"
                    );
                    self.news.credentials = Some(Arc::new(fetched.credentials));
                }
            }
            Err(failure) => {
                self.plan.failed(self.now());
                self.news.problem = Some(failure.to_string());
            }
        }
    }

    async fn read(&mut self) -> Result<Fetched, Failure> {
        let (octets, warning, origin) = match &self.role.origin {
            Origin::File(path) => {
                // Also where it cannot be read: it is looked at again when it has changed.
                self.mark = file::mark(path.clone()).await;
                let read = file::read(path.clone()).await?;
                (read.octets, read.warning, path.display().to_string())
            }
            Origin::Command(words) => {
                let octets = command::run(&self.role.name, words).await?;
                let program = words.first().cloned().unwrap_or_default();
                (octets, None, program)
            }
        };
        let fetched = parse::parse(&octets, SystemTime::now());
        let fetched = fetched.map_err(|why| Failure::Unusable { origin, why })?;
        Ok(Fetched { warning, ..fetched })
    }

    fn lapse(&mut self) {
        self.plan.lapsed();
        if let Some(gone) = self.news.credentials.take() {
            let why = "and nothing has renewed them";
            let problem = format!("its credentials expired at {} {why}", gone.expiration);
            self.news.problem.get_or_insert(problem);
        }
    }
}

/// Whether two are the same but for the moment at which metad got them.
fn is_same(held: &Credentials, new: &Credentials) -> bool {
    let new = Credentials {
        updated: held.updated.clone(),
        ..new.clone()
    };
    *held == new
}

#[cfg(test)]
mod tests;
