//! Installers' answers follow the instance and the templates, for those that ask for them.

use super::*;
use crate::install::{Files, Install};
use crate::instance::{Dialects, Given};
use crate::render::Version;

fn templates(text: &str) -> Arc<Templates> {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("a"), text).unwrap();
    std::fs::write(place.path().join("broken"), "{% if %}").unwrap();
    let files = Files::read(place.path());
    Arc::new(Templates::compile(&files, Install::default()))
}

fn told(resolution: &Resolution, name: &str) -> Option<String> {
    let answers = resolution.snapshot.instances[name].answers.first()?;
    let answer = answers.get(Dialect::Install, Version::LATEST, "a")?;
    let octets = answer.body.bytes(None)?;
    Some(String::from_utf8(octets.to_vec()).unwrap())
}

fn problems_of(resolution: &Resolution, name: &str) -> Vec<String> {
    let problems = resolution.snapshot.problems.iter();
    let problems = problems.filter(|(subject, _)| subject == name);
    problems.map(|(_, problem)| problem.clone()).collect()
}

#[test]
fn answers_are_rendered_anew_when_instance_or_template_changes() {
    let mut inventory = inventory(Identity::Port);
    let asking = |hostname: &str| {
        let mut domain = domain("web1", 1);
        domain.record.hostname = Some(hostname.to_owned());
        domain.record.options = Given {
            dialects: Some(Dialects::from_iter([Dialect::Ec2, Dialect::Install])),
            ..Given::default()
        };
        domain
    };
    inventory.apply(put(0, asking("first")));
    assert_eq!(told(&resolve(&mut inventory), "web1"), None);
    assert_eq!(
        problems_of(&resolve(&mut inventory), "web1"),
        ["it is to be installed, and /etc/metad/install.d holds no template"]
    );
    inventory.use_templates(templates("{{ instance.host }}"));
    let resolution = resolve(&mut inventory);
    assert_eq!(told(&resolution, "web1").as_deref(), Some("first"));
    assert_eq!(problems_of(&resolution, "web1"), Vec::<String>::new());
    let broken = problems_of(&resolution, "installers' answers");
    assert!(
        broken
            .iter()
            .all(|problem| problem.starts_with("the template broken, line 1: "))
    );
    assert_eq!(broken.len(), 1, "{broken:?}");
    inventory.apply(put(0, asking("second")));
    assert_eq!(
        told(&resolve(&mut inventory), "web1").as_deref(),
        Some("second")
    );
    inventory.use_templates(templates("{{ install.nothing }}"));
    let resolution = resolve(&mut inventory);
    assert_eq!(told(&resolution, "web1"), None, "no stale answers");
    assert_eq!(
        problems_of(&resolution, "web1"),
        ["the template a, line 1: nobody says this variable at `install.nothing`"]
    );
}

#[test]
fn who_does_not_ask_is_neither_answered_nor_complained_of() {
    let mut inventory = inventory(Identity::Port);
    inventory.use_templates(templates("{{ install.nothing }}"));
    inventory.apply(put(0, domain("web1", 1)));
    let resolution = resolve(&mut inventory);
    assert_eq!(told(&resolution, "web1"), None);
    assert_eq!(problems_of(&resolution, "web1"), Vec::<String>::new());
}
