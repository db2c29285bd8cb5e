//! What a record file cannot make the daemon do.

use proptest::prelude::*;

use super::*;

#[test]
fn no_refusal_carries_what_may_be_user_data() {
    for (case, text, format) in [
        (
            "text for a mapping",
            "placement: |\n  s3cret \"quoted\n  more\n",
            Format::Yaml,
        ),
        ("text for a list", "nics: s3cret\n", Format::Yaml),
        ("text for a number", "nics: [{mtu: s3cret}]\n", Format::Yaml),
        (
            "text for a mapping in JSON",
            "{\"placement\": \"s3cret \\\", expected a\"}",
            Format::Json,
        ),
        (
            "text for a number in JSON",
            "{\"nics\": [{\"mtu\": \"s3cret\"}]}",
            Format::Json,
        ),
        ("bad base64", "user-data-base64: 's3cret%'\n", Format::Yaml),
        (
            "bad syntax behind it",
            "user-data: s3cret\nhostname: [",
            Format::Yaml,
        ),
        (
            "too large",
            &format!(
                "user-data: s3cret{}\n",
                "x".repeat(crate::record::USER_DATA_MAX)
            ),
            Format::Yaml,
        ),
    ] {
        let error = parse(text, format).map(|_| ()).unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{case}: {error}");
    }
}

#[test]
fn a_small_file_cannot_cost_much() {
    let mut laughs = "meta-data:\n  a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"]
        .iter()
        .zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        laughs += &format!(
            "  {name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n"
        );
    }
    let deep = format!(
        "meta-data: {{a: {}1{}}}\n",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let deep_json = format!(
        "{{\"meta-data\": {{\"a\": {}1{}}}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for (case, text, format) in [
        ("aliases of aliases", &laughs, Format::Yaml),
        ("deep YAML", &deep, Format::Yaml),
        ("deep JSON", &deep_json, Format::Json),
    ] {
        assert!(parse(text, format).is_err(), "{case}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        for format in [Format::Yaml, Format::Json] {
            let _ = parse(&text, format);
        }
    }

    #[test]
    fn text_like_a_record_is_read_or_refused(text in "(hostname|tags|nics|meta-data|mac|:|: |- |\\{|\\}|\\[|\\]|,|\"|'|&a |\\*a|<<|!|#|\\||>|\n|  |\t|1|é|~|---|%){0,30}") {
        for format in [Format::Yaml, Format::Json] {
            let _ = parse(&text, format);
        }
    }

    #[test]
    fn a_mutated_record_is_read_or_refused(from in 0..900_usize, length in 0..20_usize, put in "[{}:,&*a-z\"' \n\\-\\[]{0,6}") {
        for (whole, format) in [(FULL, Format::Yaml), (FULL_JSON, Format::Json)] {
            let before: String = whole.chars().take(from).collect();
            let after: String = whole.chars().skip(from + length).collect();
            let _ = parse(&(before + &put + &after), format);
        }
    }
}
