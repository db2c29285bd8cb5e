//! The daemon as the administrator sees it.

use std::sync::{Arc, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::sync::watch;

use crate::admin::{self, Host, Query, QueryError, Reply, Status};
use crate::conductor::Outputs;
use crate::config::Config;
use crate::http::answer_as;
use crate::instance::Mac;
use crate::inventory::Hosted;
use crate::limits::Bounds;
use crate::settings::StateDesk;
use crate::signer::{Certificate, Signer};

/// Answers the admin socket.
pub(super) struct Daemon {
    name: String,
    outputs: Outputs,
    bounds: Arc<Bounds>,
    signer: Signer,
    state: StateDesk,
    stop: watch::Sender<bool>,
}

impl Daemon {
    pub(super) fn new(
        config: &Config,
        outputs: &Outputs,
        bounds: Arc<Bounds>,
        signer: Signer,
        state: StateDesk,
        stop: watch::Sender<bool>,
    ) -> Self {
        Self {
            name: config.name.to_string(),
            outputs: outputs.clone(),
            bounds,
            signer,
            state,
            stop,
        }
    }
}

impl Host for Daemon {
    fn status(&self) -> Status {
        let (interfaces, counters) = {
            let datapath = self
                .outputs
                .datapath
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (datapath.interfaces(), datapath.counters())
        };
        Status::new(
            &self.name,
            &self.outputs.snapshot.load(),
            interfaces,
            counters,
            self.bounds.counts(),
        )
    }

    fn query(&self, query: &Query) -> Result<Reply, QueryError> {
        let snapshot = self.outputs.snapshot.load();
        let hosted = snapshot.instances.get(&query.instance).ok_or_else(|| {
            let known = snapshot.instances.keys().map(String::as_str);
            QueryError::unknown_instance(&query.instance, known)
        })?;
        let nic = nic(hosted, query)?;
        let no_nic = || QueryError::NoNic {
            instance: query.instance.clone(),
        };
        let answers = hosted.answers.get(nic).ok_or_else(no_nic)?;
        let method = match query.method {
            admin::Method::Get => Method::GET,
            admin::Method::Head => Method::HEAD,
        };
        let headers = headers(query)?;
        let address = None;
        let (status, headers, body) = answer_as(
            &self.signer,
            &hosted.instance,
            answers,
            address,
            &method,
            &query.path,
            &headers,
        );
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)));
        Ok(Reply {
            status: status.as_u16(),
            headers: headers.collect(),
            body,
        })
    }

    fn certificate(&self) -> Certificate {
        self.signer.certificate().clone()
    }

    fn state(&self) -> &StateDesk {
        &self.state
    }

    fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// The NIC that the query names, or the first that is seated, or the first.
fn nic(hosted: &Hosted, query: &Query) -> Result<usize, QueryError> {
    let nics = &hosted.instance.nics;
    let Some(text) = &query.nic else {
        return Ok(hosted.seats.iter().position(Option::is_some).unwrap_or(0));
    };
    let mac = text.parse::<Mac>().map_err(|error| QueryError::Malformed {
        what: error.to_string(),
    })?;
    nics.iter()
        .position(|nic| nic.mac == mac)
        .ok_or_else(|| QueryError::UnknownNic {
            instance: query.instance.clone(),
            mac: mac.to_string(),
            nics: nics.iter().map(|nic| nic.mac.to_string()).collect(),
        })
}

fn headers(query: &Query) -> Result<HeaderMap, QueryError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &query.headers {
        let malformed = || QueryError::Malformed {
            what: format!("`{name}: {value}` is no header"),
        };
        let key = name.parse::<HeaderName>().ok().ok_or_else(malformed)?;
        let value = value.parse::<HeaderValue>().ok().ok_or_else(malformed)?;
        headers.append(key, value);
    }
    Ok(headers)
}
