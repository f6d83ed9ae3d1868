//! Places in a configuration file: reading a value there, and saying what is wrong with it.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::json::Json;

/// What is wrong with a file, and what to do: one line, in the order file, place, finding, remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    file: PathBuf,
    place: String,
    found: String,
    remedy: String,
}

impl Error {
    /// `place` may be empty: then it is about the file as a whole.
    pub(super) fn new(file: &Path, place: &str, found: impl Display, remedy: &str) -> Error {
        let (file, place) = (file.to_owned(), place.to_owned());
        Error { file, place, found: found.to_string(), remedy: remedy.to_owned() }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}; {}", self.found, self.remedy)
    }
}

impl std::error::Error for Error {}

/// A value and where it stands, as in `nodes[2].address`.
#[derive(Clone)]
pub(super) struct Place<'a> {
    file: &'a Path,
    path: String,
    value: &'a Json,
}

impl<'a> Place<'a> {
    pub fn root(file: &'a Path, value: &'a Json) -> Place<'a> {
        Place { file, path: String::new(), value }
    }

    /// The whole path, empty for the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn error(&self, found: impl Display, remedy: &str) -> Error {
        Error::new(self.file, &self.path, found, remedy)
    }

    /// An error that begins with the value found here.
    pub fn refuse(&self, why: impl Display, remedy: &str) -> Error {
        self.error(format!("{} {why}", self.value), remedy)
    }

    /// The object here; all its fields are `known`. `remedy` is said of anything else.
    pub fn object(self, known: &[&str], remedy: &str) -> Result<Object<'a>, Error> {
        let Json::Object(fields) = self.value else {
            return Err(self.refuse("is no object", remedy));
        };
        match fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, value)) => {
                let at = Place { path: self.path_of(name), value, ..self };
                Err(at.error("is no field here", &suggestion(name, known)))
            }
            None => Ok(Object { place: self, fields }),
        }
    }

    pub fn list(&self, remedy: &str) -> Result<Vec<Place<'a>>, Error> {
        let Json::List(items) = self.value else {
            return Err(self.refuse("is no list", remedy));
        };
        let at = |(position, value)| Place {
            path: format!("{}[{position}]", self.path),
            value,
            file: self.file,
        };
        Ok(items.iter().enumerate().map(at).collect())
    }

    pub fn text(&self, remedy: &str) -> Result<&'a str, Error> {
        match self.value {
            Json::Text(text) => Ok(text),
            _ => Err(self.refuse("is no text", remedy)),
        }
    }

    pub fn whole(&self, range: RangeInclusive<u64>) -> Result<u64, Error> {
        let remedy = format!("write a whole number from {} to {}", range.start(), range.end());
        match *self.value {
            Json::Whole(number) if range.contains(&number) => Ok(number),
            Json::Whole(number) if number < *range.start() => {
                Err(self.refuse("is too small", &remedy))
            }
            Json::Whole(_) => Err(self.refuse("is too large", &remedy)),
            _ => Err(self.refuse("is no whole number", &remedy)),
        }
    }

    fn path_of(&self, field: &str) -> String {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        match (self.path.as_str(), !field.is_empty() && field.chars().all(plain)) {
            (path, false) => format!("{path}[{field:?}]"),
            ("", true) => field.to_owned(),
            (path, true) => format!("{path}.{field}"),
        }
    }
}

/// An object whose fields all have names that mean something.
pub(super) struct Object<'a> {
    place: Place<'a>,
    fields: &'a [(String, Json)],
}

impl<'a> Object<'a> {
    /// The value of a field, if it is there.
    pub fn get(&self, field: &str) -> Option<Place<'a>> {
        let (_, value) = self.fields.iter().find(|(name, _)| name == field)?;
        Some(Place { path: self.place.path_of(field), value, file: self.place.file })
    }

    /// The value of a field that must be there; `remedy` says how to write it.
    pub fn need(&self, field: &str, remedy: &str) -> Result<Place<'a>, Error> {
        self.get(field).ok_or_else(|| self.error(field, "is missing", remedy))
    }

    /// A whole number, or `default` where the field is missing.
    pub fn whole(
        &self,
        field: &str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        self.get(field).map_or(Ok(default), |place| place.whole(range))
    }

    /// An error about a field, whether or not it is there.
    pub fn error(&self, field: &str, found: impl Display, remedy: &str) -> Error {
        Error::new(self.place.file, &self.place.path_of(field), found, remedy)
    }
}

/// The known name that was probably meant, else all of them.
fn suggestion(name: &str, known: &[&str]) -> String {
    const EDITS_MAX: usize = 3;
    let nearest = known.iter().map(|known| (edits(name, known), known)).min();
    match nearest {
        Some((edits, nearest)) if edits <= EDITS_MAX && 2 * edits <= nearest.len() => {
            format!("did you mean {nearest}?")
        }
        _ => format!("the fields here are {}", known.join(", ")),
    }
}

/// Levenshtein's distance: how many letters to add, drop or replace.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    // A name longer than any known one by this much is near none of them; its cost stays bounded.
    for (above, letter) in from.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (position, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[position + 1];
            row[position + 1] = replaced.min(diagonal + 1).min(row[position] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in [("", "abc", 3), ("abc", "abc", 0), ("hearbeat", "heartbeat", 1)] {
            assert_eq!((edits(from, to), edits(to, from)), (count, count), "{from} {to}");
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(suggestion("node", &["id", "nodes"]), "did you mean nodes?");
        assert_eq!(suggestion("xx", &["id", "nodes"]), "the fields here are id, nodes");
    }
}
