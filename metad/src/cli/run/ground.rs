//! What a daemon stands on: its namespace, the veth into it, the programs and their maps. An earlier daemon's where
//! they are whole and of the same layout, so that no guest notices; new ones otherwise.

use anyhow::{Context, Result};

use super::{Made, clean};
use crate::conductor::LedgerFile;
use crate::config::Config;
use crate::datapath::{Datapath, Traces};
use crate::inventory::Ledger;
use crate::netns::{Namespace, veth};

/// Whether what is called by our name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// Nobody of our name was here: what has the name is somebody else's.
    None,
    /// An earlier daemon was killed, or has left what it stood on.
    Left,
}

/// What the daemon stands on.
pub(super) struct Ground {
    pub(super) namespace: Namespace,
    pub(super) datapath: Datapath,
    /// Who has which slot already. `None`: that is not known, so that connections from before belong to nobody.
    pub(super) ledger: Option<Ledger>,
}

/// Goes on with what was left or makes anew what is needed, and notes in `made` what it makes before it makes it: an
/// interface or a namespace of our name that was there before us is somebody else's, and must outlive a start that
/// failed on it.
pub(super) async fn lay(
    config: &Config,
    past: Past,
    ledger: &LedgerFile,
    made: &mut Made,
) -> Result<Ground> {
    let mut known = None;
    let mut namespace = None;
    if past == Past::Left {
        // Where nobody can tell whose it is, all stays as it was found.
        made.found = true;
        let left = Namespace::left(config.name.as_str())?;
        // What has the name is ours, and ours to remove.
        made.traces = Traces::ALL;
        let read = ledger.read();
        made.found = left.is_some();
        let why = match (left, read) {
            (None, _) => "its namespace is gone".to_owned(),
            (Some(left), Err(error)) if error.is_missing() && !Datapath::is_pinned(config) => {
                // What `metad up` makes, and no more: nothing that anybody could miss.
                namespace = Some(left);
                String::new()
            }
            (Some(left), Err(error)) => {
                namespace = Some(left);
                format!("{:#}", anyhow::Error::from(error))
            }
            (Some(left), Ok(ledger)) => match go_on(config, &left).await {
                Ok(datapath) => {
                    tracing::info!("going on with the programs and tables of an earlier daemon");
                    return Ok(Ground {
                        namespace: left,
                        datapath,
                        ledger: Some(ledger),
                    });
                }
                Err(why) => {
                    namespace = Some(left);
                    known = Some(ledger);
                    format!("{why:#}")
                }
            },
        };
        if !why.is_empty() {
            tracing::info!(why, "making programs and tables anew");
        }
        let broken = Traces {
            namespace: namespace.is_none(),
            datapath: true,
        };
        clean(config, broken, "an earlier daemon had left").await;
    }
    let namespace = match namespace {
        Some(namespace) => namespace,
        None => Namespace::create(config.name.as_str())?,
    };
    made.traces.namespace = true;
    let veth = veth::create(&config.veth_host(), &config.veth_inner(), &namespace).await?;
    made.traces.datapath = true;
    let datapath = Datapath::load(config, veth).context("cannot bring up the datapath")?;
    Ok(Ground {
        namespace,
        datapath,
        ledger: known,
    })
}

/// Stands where a running daemon stands.
///
/// # Errors
/// What it stands on is of another kind: it cannot be followed.
pub(super) async fn share(config: &Config) -> Result<(Namespace, Datapath)> {
    let namespace = Namespace::open(config.name.as_str())?;
    let datapath = go_on(config, &namespace).await.context(
        "cannot go on with what the running metad made\nhelp: stop it and start this one; guests are not answered in between",
    )?;
    Ok((namespace, datapath))
}

/// Takes what an earlier daemon has left in use.
async fn go_on(config: &Config, namespace: &Namespace) -> Result<Datapath> {
    if let Some(objection) = Datapath::objection(config)? {
        anyhow::bail!("what an earlier daemon had left is of another kind: {objection}");
    }
    let veth = veth::left(&config.veth_host(), &config.veth_inner(), namespace)
        .await?
        .context("the link into its namespace is gone")?;
    Ok(Datapath::load(config, veth)?)
}
