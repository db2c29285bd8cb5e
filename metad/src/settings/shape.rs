//! What the values of EC2's well-known living paths look like. Clients parse them, and some give up on what they cannot.

use serde_json::Value;

use super::Refusal;

/// How a well-known path's value must look.
#[derive(Debug, Clone, Copy)]
struct Shape {
    path: &'static str,
    fits: fn(&str) -> bool,
    /// Completes "the value is not …".
    wanted: &'static str,
    example: &'static str,
}

const SHAPES: [Shape; 6] = [
    Shape {
        path: "spot/termination-time",
        fits: is_time,
        wanted: "a time in UTC",
        example: "2026-01-31T12:00:00Z",
    },
    Shape {
        path: "spot/instance-action",
        fits: is_instance_action,
        wanted: "a JSON object with an `action` (hibernate, stop, terminate) and a `time` in UTC",
        example: r#"{"action": "terminate", "time": "2026-01-31T12:00:00Z"}"#,
    },
    Shape {
        path: "events/maintenance/scheduled",
        fits: is_list_of_events,
        wanted: "a JSON array of objects",
        example: r#"[{"Code": "system-reboot", "EventId": "instance-event-1", "State": "active", "NotBefore": "31 Jan 2026 12:00:00 GMT"}]"#,
    },
    Shape {
        path: "events/maintenance/history",
        fits: is_list_of_events,
        wanted: "a JSON array of objects",
        example: "[]",
    },
    Shape {
        path: "events/recommendations/rebalance",
        fits: is_notice,
        wanted: "a JSON object with a `noticeTime` in UTC",
        example: r#"{"noticeTime": "2026-01-31T12:00:00Z"}"#,
    },
    Shape {
        path: "autoscaling/target-lifecycle-state",
        fits: |text| LIFECYCLE.contains(&text),
        wanted: "one of InService, Standby, Detached, Terminated, Warmed:Running, Warmed:Stopped, Warmed:Hibernated and Warmed:Terminated",
        example: "InService",
    },
];

const LIFECYCLE: [&str; 8] = [
    "Detached",
    "InService",
    "Standby",
    "Terminated",
    "Warmed:Hibernated",
    "Warmed:Running",
    "Warmed:Stopped",
    "Warmed:Terminated",
];

/// Makes every well-known value in `value`, which is to stand at `path`, the text that clients read, and refuses what
/// does not look as they expect it, unless it is forced.
pub(super) fn fit(
    path: &str,
    segments: &[&str],
    value: &mut Value,
    force: bool,
) -> Result<(), Refusal> {
    for shape in &SHAPES {
        let mut known = shape.path.split('/');
        let mut asked = segments.iter();
        let meets = asked.by_ref().zip(known.by_ref()).all(|(a, k)| *a == k);
        if !meets {
            continue;
        }
        if segments.len() > shape.path.split('/').count() {
            return Err(Refusal::BadPath {
                path: path.to_owned(),
                problem: format!("`{}` is one text, and nothing is below it", shape.path),
                help: None,
            });
        }
        let rest: Vec<&str> = shape.path.split('/').skip(segments.len()).collect();
        if let Some(found) = find(value, &rest) {
            shape.settle(path, found, force)?;
        }
    }
    Ok(())
}

fn find<'a>(value: &'a mut Value, rest: &[&str]) -> Option<&'a mut Value> {
    rest.iter()
        .try_fold(value, |value, name| value.get_mut(*name))
}

impl Shape {
    fn settle(&self, path: &str, value: &mut Value, force: bool) -> Result<(), Refusal> {
        let text = match &*value {
            // It hides what is there.
            Value::Null => return Ok(()),
            Value::String(text) => text.clone(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                other.to_string()
            }
        };
        if !force && !(self.fits)(&text) {
            let whose = match self.path == path {
                true => String::new(),
                false => format!("of `{}` ", self.path),
            };
            return Err(Refusal::BadValue {
                path: path.to_owned(),
                problem: format!("{whose}is not {}, as its clients expect it", self.wanted),
                help: Some(format!(
                    "such as '{}'; with --force it is kept as it is",
                    self.example
                )),
            });
        }
        *value = text.into();
        Ok(())
    }
}

/// `2026-01-31T12:00:00Z`.
fn is_time(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:ddZ";
    text.len() == form.len()
        && text
            .bytes()
            .zip(form.bytes())
            .all(|(octet, wanted)| match wanted {
                b'd' => octet.is_ascii_digit(),
                wanted => octet == wanted,
            })
        && in_range(text, 5, 1, 12)
        && in_range(text, 8, 1, 31)
        && in_range(text, 11, 0, 23)
        && in_range(text, 14, 0, 59)
        && in_range(text, 17, 0, 60)
}

fn in_range(text: &str, at: usize, least: u8, most: u8) -> bool {
    let number = text.get(at..at + 2).and_then(|digits| digits.parse().ok());
    number.is_some_and(|number: u8| (least..=most).contains(&number))
}

fn is_instance_action(text: &str) -> bool {
    let action = text_of(text, "action");
    let known = ["hibernate", "stop", "terminate"];
    action.is_some_and(|action| known.contains(&action.as_str()))
        && text_of(text, "time").is_some_and(|time| is_time(&time))
}

fn is_notice(text: &str) -> bool {
    text_of(text, "noticeTime").is_some_and(|time| is_time(&time))
}

fn is_list_of_events(text: &str) -> bool {
    match serde_json::from_str(text) {
        Ok(Value::Array(events)) => events.iter().all(Value::is_object),
        Ok(_) | Err(_) => false,
    }
}

fn text_of(text: &str, name: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    Some(value.get(name)?.as_str()?.to_owned())
}
