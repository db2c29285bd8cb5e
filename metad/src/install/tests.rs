use serde_json::json;

use super::*;
use crate::instance::PublicKey;
use crate::render::sample;

mod costly;
mod directory;
mod hostile;
mod shipped;

/// What is rendered of one template.
fn render(text: &str, instance: &Instance) -> Result<String, String> {
    let files = Files {
        texts: [("a".to_owned(), text.to_owned())].into(),
        ..Files::default()
    };
    let templates = Templates::compile(&files, Install::default());
    if let Some(problem) = templates.problems().first() {
        return Err(problem.clone());
    }
    let mut rendered = templates.render(instance, 0);
    match rendered.files.remove("a") {
        Some(octets) => Ok(String::from_utf8(octets.to_vec()).unwrap()),
        None => Err(rendered.problems.remove(0)),
    }
}

fn key(text: &str) -> PublicKey {
    PublicKey {
        name: "a".to_owned(),
        formats: [("openssh-key".to_owned(), text.to_owned())].into(),
    }
}

fn with(install: &Value) -> Instance {
    let mut instance = sample::instance();
    instance.install = install.as_object().cloned().unwrap_or_default();
    instance
}

#[test]
fn templates_know_the_instance() {
    let instance = with(&json!({"disk": "/dev/sda"}));
    for (template, expected) in [
        ("{{ instance.name }}", "web1"),
        ("{{ instance.id }}", "i-0123456789abcdef0"),
        (
            "{{ instance.uuid }}",
            "ec2f2f1c-0000-4000-8000-000000000001",
        ),
        (
            "{{ instance.hostname }} {{ instance.host }} {{ instance.domain }}",
            "web1.internal web1 internal",
        ),
        (
            "{{ instance.keys | join('|') }}",
            "ssh-ed25519 AAAA me@host|ssh-rsa B",
        ),
        ("{{ instance.tags.role }}", "web"),
        ("{{ instance.region }}", "north"),
        ("{{ nics | length }}", "2"),
        ("{{ nics[1].addresses[0] }}", "10.0.0.5/24"),
        ("{{ install.disk }}", "/dev/sda"),
        ("{{ install.nothing | default('x') }}", "x"),
        ("{{ url }}", "http://169.254.169.254"),
    ] {
        assert_eq!(
            render(template, &instance).as_deref(),
            Ok(expected),
            "{template}"
        );
    }
}

#[test]
fn an_instance_says_more_than_the_site() {
    let files = Files {
        texts: [(
            "a".to_owned(),
            "{{ install.disk }} {{ install.user }}".to_owned(),
        )]
        .into(),
        ..Files::default()
    };
    let variables = json!({"disk": "/dev/vda", "user": "site"});
    let config = Install {
        variables: variables.as_object().cloned().unwrap_or_default(),
        ..Install::default()
    };
    let templates = Templates::compile(&files, config);
    let rendered = templates.render(&with(&json!({"disk": "/dev/sda"})), 0);
    assert_eq!(rendered.files["a"], "/dev/sda site");
}

#[test]
fn every_template_that_gives_no_file_is_known_by_its_name() {
    let texts = [
        ("fine", "a"),
        ("syntax", "{% if %}"),
        ("refused", "{{ refuse('no keys') }}"),
        ("_shared", "{% if %}"),
    ];
    let files = Files {
        texts: texts
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        ..Files::default()
    };
    let templates = Templates::compile(&files, Install::default());
    let rendered = templates.render(&sample::instance(), 0);
    let failed: Vec<&str> = rendered.failed.iter().map(String::as_str).collect();
    assert_eq!(failed, ["refused", "syntax"]);
    assert_eq!(rendered.files.len(), 1);
}

#[test]
fn a_problem_says_which_template_where_and_why() {
    let instance = with(&json!({"list": [1], "line": "a\nb"}));
    for (case, template, expected) in [
        (
            "a variable that nobody says",
            "\n{{ install.disk }}",
            "the template a, line 2: nobody says this variable at `install.disk`",
        ),
        (
            "a filter of one",
            "{{ install.disk | word }}",
            "the template a, line 1: nobody says this variable",
        ),
        (
            "syntax",
            "{{ install.disk",
            "the template a, line 1: unexpected end of input, expected end of variable block",
        ),
        (
            "two lines for one",
            "{{ install.line | line }}",
            "the template a, line 1: a value holds '\\n', which no line may",
        ),
        (
            "a list for a text",
            "{{ install.list | shellquote }}",
            "the template a, line 1: a text belongs here, not a sequence",
        ),
        (
            "refused",
            "{{ refuse('no keys') }}",
            "the template a, line 1: no keys",
        ),
        (
            "no end",
            "{% for a in range(1000) %}{% for b in range(1000) %}{{ a }}{% endfor %}{% endfor %}",
            "the template a, line 1: it takes too many steps",
        ),
        (
            "too large",
            "{% for a in range(20000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
            "the template a: it is larger than 1048576 octets",
        ),
        (
            "another file",
            "{% include '/etc/passwd' %}",
            "the template a, line 1: ",
        ),
        ("up", "{% include '../a' %}", "the template a, line 1: "),
    ] {
        let problem = render(template, &instance).unwrap_err();
        assert!(problem.starts_with(expected), "{case}: {problem}");
    }
}

#[test]
fn one_bad_template_leaves_the_others() {
    let files = Files {
        texts: [
            ("bad", "{{ install.nothing }}"),
            ("broken", "{% if %}"),
            ("good", "{% include '_part' %}"),
            ("_part", "part"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into(),
        ..Files::default()
    };
    let templates = Templates::compile(&files, Install::default());
    assert_eq!(templates.problems().len(), 1, "{:?}", templates.problems());
    let rendered = templates.render(&sample::instance(), 0);
    let names: Vec<&str> = rendered.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["good"]);
    assert_eq!(rendered.files["good"], "part");
    assert_eq!(rendered.problems.len(), 1, "{:?}", rendered.problems);
}

#[test]
fn no_template_at_all_is_a_problem_of_who_is_to_be_installed() {
    let rendered = Templates::default().render(&sample::instance(), 0);
    let expected = "it is to be installed, and /etc/metad/install.d holds no template";
    assert_eq!(rendered.problems, [expected]);
}
