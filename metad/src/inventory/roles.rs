//! The site's IAM roles and the credentials that each has now.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::credentials::News;
use crate::instance::{Credentials, Instance};

/// Every configured role.
#[derive(Debug, Default)]
pub(super) struct Roles {
    roles: BTreeMap<String, State>,
}

#[derive(Debug, Default)]
struct State {
    credentials: Option<Arc<Credentials>>,
    problem: Option<String>,
}

impl FromIterator<String> for Roles {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let state = |name| (name, State::default());
        Self {
            roles: names.into_iter().map(state).collect(),
        }
    }
}

impl Roles {
    /// Takes in news; `true` where the role has other credentials than before.
    pub(super) fn hear(&mut self, news: News) -> bool {
        let Some(state) = self.roles.get_mut(&news.role) else {
            return false;
        };
        state.problem = news.problem;
        let changed = state.credentials != news.credentials;
        state.credentials = news.credentials;
        changed
    }

    /// The credentials of an instance that has this role.
    pub(super) fn credentials(&self, role: Option<&str>) -> Option<Arc<Credentials>> {
        self.roles.get(role?)?.credentials.clone()
    }

    /// What is wrong with the roles, and with what instances say of theirs.
    pub(super) fn problems<'a>(
        &'a self,
        instances: impl Iterator<Item = (&'a str, &'a Instance)>,
    ) -> Vec<(String, String)> {
        let states = self.roles.iter().filter_map(|(name, state)| {
            let problem = state.problem.clone()?;
            Some((format!("iam role {name}"), problem))
        });
        let unknown = instances.filter_map(|(name, instance)| {
            let role = instance.role.as_ref()?;
            let known = self.roles.contains_key(role);
            let problem = || {
                format!(
                    "no credentials for the IAM role {role}: the configuration has no [iam.{role}]"
                )
            };
            (!known).then(|| (name.to_owned(), problem()))
        });
        states.chain(unknown).collect()
    }
}
