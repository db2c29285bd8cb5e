//! From a query to what the guest would be told. Pure: a snapshot in, a reply out.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Method, Query, QueryError, Reply};
use crate::http::answer_as;
use crate::instance::Mac;
use crate::inventory::{Hosted, Snapshot};
use crate::signer::Signer;

/// Answers as the instance would be answered with a valid token.
///
/// # Errors
/// The query is about nobody, or no request.
pub fn answer(snapshot: &Snapshot, signer: &Signer, query: &Query) -> Result<Reply, QueryError> {
    let hosted = snapshot
        .instances
        .get(query.instance.as_str())
        .ok_or_else(|| {
            let known = snapshot.instances.keys().map(|name| &**name);
            QueryError::unknown_instance(&query.instance, known)
        })?;
    let nic = nic(hosted, query)?;
    let no_nic = || QueryError::NoNic {
        instance: query.instance.clone(),
    };
    let answers = hosted.answers.get(nic).ok_or_else(no_nic)?;
    let method = match query.method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
    };
    let headers = headers(query)?;
    let address = None;
    let (status, headers, body) = answer_as(
        signer,
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
