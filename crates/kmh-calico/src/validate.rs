//! Walks resources along the table of fields, then asks the rules.

use std::fmt;

use serde_json::{Map, Value};

use crate::fields::{self, Exactly, Field, Shape};
use crate::formats::plain;
use crate::release::Release;
use crate::rules;

/// Something that Calico would refuse, drop, or misunderstand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// Kind and name: `BGPPeer fw-attic.v4`.
    pub subject: String,
    /// The field: `spec.filters[0]`; empty for the whole.
    pub place: String,
    /// What is wrong: lower case, no final stop, names in backticks.
    pub message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            write!(f, "{}: {}", self.subject, self.message)
        } else {
            write!(f, "{}: `{}`: {}", self.subject, self.place, self.message)
        }
    }
}

/// Kind and name of a resource.
pub(crate) fn subject(resource: &Value) -> String {
    let kind = resource["kind"].as_str().unwrap_or("(no kind)");
    let name = resource["metadata"]["name"].as_str().unwrap_or("(nameless)");
    format!("{} {}", plain(kind), plain(name))
}

/// All complaints about resources that are to be applied together, sorted. Without a release, fields of any release
/// that the tables speak of are taken for good. Kinds that the tables do not speak of are left alone.
pub fn validate(resources: &[Value], release: Option<Release>) -> Vec<Complaint> {
    let mut found = Vec::new();
    for resource in resources {
        let subject = subject(resource);
        let mut tell = |place: &str, message: String| {
            found.push(Complaint { subject: subject.clone(), place: place.to_owned(), message });
        };
        rules::head(resource, &mut tell);
        let Some(kind) = resource["kind"].as_str().and_then(fields::kind) else { continue };
        let Some(spec) = resource["spec"].as_object() else {
            tell("spec", "it is missing, or no object".to_owned());
            continue;
        };
        object("spec", kind.spec, spec, release, &mut tell);
        rules::of_kind(kind.name, resource, &mut tell);
    }
    rules::across(resources, &mut found);
    found.sort();
    found.dedup();
    found
}

/// Where complaints go: place and message.
pub(crate) type Tell<'t> = dyn FnMut(&str, String) + 't;

fn object(
    place: &str,
    known: &[Field],
    is: &Map<String, Value>,
    release: Option<Release>,
    tell: &mut Tell<'_>,
) {
    for (name, value) in is {
        let place = format!("{place}.{}", plain(name));
        match (known.iter().find(|field| field.name == name), release) {
            (None, _) => {
                let like = known.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                let like = like.map(|field| format!(": it is called `{}`", field.name)).unwrap_or_default();
                tell(&place, format!("there is no such field{like}"));
            }
            (Some(field), Some(release)) if field.since > release => {
                tell(
                    &place,
                    format!("the field is there from Calico {} on, and this is {release}", field.since),
                );
            }
            (Some(field), _) => shape(&place, &field.shape, value, release, tell),
        }
    }
    for field in known.iter().filter(|field| field.required && !is.contains_key(field.name)) {
        tell(&format!("{place}.{}", field.name), "the field is missing".to_owned());
    }
}

fn shape(place: &str, shape: &Shape, value: &Value, release: Option<Release>, tell: &mut Tell<'_>) {
    match (shape, value) {
        (Shape::Bool, Value::Bool(_)) => {}
        (Shape::Bool, _) => tell(place, "it is neither true nor false".to_owned()),
        (Shape::Number(from, to), _) => match value.as_i64() {
            Some(number) if (*from..=*to).contains(&number) => {}
            Some(number) => tell(place, format!("{number} is not from {from} to {to}")),
            None => tell(place, format!("it is no whole number from {from} to {to}")),
        },
        (Shape::Text(format), Value::String(text)) => {
            if let Err(why) = format.check(text) {
                tell(place, why);
            }
        }
        (Shape::OneOf(words), Value::String(text)) => match words.iter().find(|(word, _)| word == text) {
            None => {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                tell(place, format!("`{}` is none of {}", plain(text), words.join(", ")));
            }
            Some((word, since)) => {
                if let Some(release) = release.filter(|release| since > release) {
                    tell(place, format!("`{word}` is there from Calico {since} on, and this is {release}"));
                }
            }
        },
        (Shape::Text(_) | Shape::OneOf(_), _) => tell(place, "it is no text".to_owned()),
        (Shape::List(most, inner), Value::Array(items)) => {
            if items.len() > *most {
                tell(place, format!("it has {} entries, more than {most}", items.len()));
            }
            for (n, item) in items.iter().enumerate() {
                self::shape(&format!("{place}[{n}]"), inner, item, release, tell);
            }
        }
        (Shape::List(..), _) => tell(place, "it is no list".to_owned()),
        (Shape::Object(known, exactly), Value::Object(is)) => {
            if *exactly == Exactly::One && is.len() != 1 {
                tell(place, format!("it has {} fields instead of one", is.len()));
            }
            object(place, known, is, release, tell);
        }
        (Shape::Object(..), _) => tell(place, "it is no object".to_owned()),
    }
}
