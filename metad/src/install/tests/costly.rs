//! A template that ends the process which renders it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const REASON: &str = "it took more time or memory than a template may; it is not tried again until a template or the \
                      instance changes";

/// Templates, and how many processes they took.
fn mortal(texts: &[(&str, &str)]) -> (Templates, &'static AtomicUsize) {
    let children: &'static AtomicUsize = Box::leak(Box::default());
    let texts = texts.iter();
    let files = Files {
        texts: texts
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        ..Files::default()
    };
    let engine = Engine::Mortal(children);
    let templates = Templates::compile_with(engine, &files, Install::default());
    (templates, children)
}

fn names(rendered: &Rendered) -> Vec<&str> {
    rendered.files.keys().map(String::as_str).collect()
}

#[test]
fn a_template_that_ends_the_process_costs_only_itself() {
    let (templates, children) = mortal(&[
        ("a", "good"),
        ("b", "{# BOMB #}"),
        ("c", "{# EARLY BOMB #}"),
        ("d", "{% if %}"),
        ("e", "{{ install.nothing }}"),
        ("f", "{% include 'a' %}"),
    ]);
    assert_eq!(children.swap(0, Ordering::Relaxed), 7, "all, then each");
    let problems = templates.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(problems[0], format!("the template c: {REASON}"));
    assert!(problems[1].starts_with("the template d, line 1: "));
    let rendered = templates.render(&sample::instance(), 0);
    assert_eq!(children.swap(0, Ordering::Relaxed), 5, "all, then each");
    assert_eq!(names(&rendered), ["a", "f"]);
    let failed: Vec<&str> = rendered.failed.iter().map(String::as_str).collect();
    assert_eq!(failed, ["b", "c", "d", "e"]);
    assert_eq!(rendered.files["f"], "good");
    assert_eq!(
        rendered.problems,
        [
            format!("the template b: {REASON}"),
            "the template e, line 1: nobody says this variable at `install.nothing`".to_owned(),
        ]
    );
}

#[test]
fn a_template_that_ended_its_process_is_not_tried_without_end() {
    let (templates, children) = mortal(&[("a", "good"), ("b", "{# BOMB #}")]);
    children.store(0, Ordering::Relaxed);
    let instance = |number: u32| with(&json!({"number": number}));
    for (case, instance, nic, expected) in [
        ("the first time: both, then each", instance(1), 0, 3),
        ("the same again", instance(1), 0, 1),
        ("the same, another NIC", instance(1), 1, 1),
        ("another: the suspect alone", instance(2), 0, 2),
        ("a third", instance(3), 0, 1),
    ] {
        let rendered = templates.render(&instance, nic);
        assert_eq!(names(&rendered), ["a"], "{case}");
        assert_eq!(
            rendered.problems,
            [format!("the template b: {REASON}")],
            "{case}"
        );
        assert_eq!(children.swap(0, Ordering::Relaxed), expected, "{case}");
    }
}

#[test]
fn templates_that_end_nothing_take_one_process() {
    let (templates, children) = mortal(&[("a", "good"), ("b", "good"), ("_c", "part")]);
    assert_eq!(children.swap(0, Ordering::Relaxed), 1, "compiled");
    assert_eq!(names(&templates.render(&sample::instance(), 0)), ["a", "b"]);
    assert_eq!(children.swap(0, Ordering::Relaxed), 1, "rendered");
    let (templates, children) = mortal(&[]);
    templates.render(&sample::instance(), 0);
    assert_eq!(children.load(Ordering::Relaxed), 0, "no template");
}
