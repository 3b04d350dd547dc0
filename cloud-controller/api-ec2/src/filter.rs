//! EC2 filters: values of one filter are alternatives, filters must all hold, `*` and `?` are wildcards, a
//! backslash takes the next character as it is (EC2 user guide, "List and filter your resources").

use mallee_awswire::{ApiError, Code};

/// Filters in one call (AWS: 50 filters… 200 values in all).
const FILTERS_MAX: usize = 50;
/// Values over all filters of one call.
const VALUES_MAX: usize = 200;

/// As a known name: `tag:KEY` is a filter (where `tag-key` is one, it always is).
pub const TAG_PREFIX: &str = "tag:";

/// One filter of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    name: String,
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    One(char),
    AnyOne,
    AnyMany,
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let mut pieces = Vec::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '*' => Piece::AnyMany,
                '?' => Piece::AnyOne,
                '\\' => Piece::One(chars.next().unwrap_or('\\')),
                other => Piece::One(other),
            });
        }
        Self(pieces)
    }

    /// Linear in text × pattern at worst, without recursion: a tenant chooses both.
    fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut t, mut p) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            match self.0.get(p) {
                Some(Piece::AnyMany) => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(Piece::AnyOne) => {
                    t += 1;
                    p += 1;
                }
                Some(Piece::One(c)) if *c == text[t] => {
                    t += 1;
                    p += 1;
                }
                Some(Piece::One(_)) | None => match star {
                    Some((star_p, star_t)) => {
                        p = star_p + 1;
                        t = star_t + 1;
                        star = Some((star_p, t));
                    }
                    None => return false,
                },
            }
        }
        self.0[p..].iter().all(|piece| *piece == Piece::AnyMany)
    }

    fn literal(&self) -> Option<String> {
        self.0.iter().map(|piece| if let Piece::One(c) = piece { Some(*c) } else { None }).collect()
    }
}

/// The filters of one request, checked against the names the operation knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(Vec<Filter>);

/// What a resource says to a filter name: its values (none = the resource lacks it, so the filter does not hold).
pub trait Filterable {
    /// The values of the property that `name` names.
    fn values(&self, name: &str) -> Vec<String>;
}

impl Filters {
    /// Reads the filters of a request; `known` lists the operation's names (`tag:` is always known where `tag-key` is).
    ///
    /// # Errors
    /// `InvalidParameterValue` for an unknown name, an empty value list, or too many.
    pub fn new<'a>(
        filters: impl IntoIterator<Item = (Option<&'a str>, &'a [String])>,
        known: &[&str],
    ) -> Result<Self, ApiError> {
        let mut out = Vec::new();
        let mut values_seen = 0;
        for (name, values) in filters {
            let name = name.ok_or_else(|| ApiError::missing_parameter("Filter.Name"))?;
            let is_tag = name.strip_prefix(TAG_PREFIX).is_some_and(|key| !key.is_empty())
                && (known.contains(&"tag-key") || known.contains(&TAG_PREFIX));
            if !known.contains(&name) && !is_tag {
                return Err(ApiError::invalid_filter(name));
            }
            if values.is_empty() {
                return Err(Code::InvalidParameterValue.message(format!("The filter '{name}' has no values")));
            }
            values_seen += values.len();
            if values_seen > VALUES_MAX || out.len() >= FILTERS_MAX {
                return Err(Code::FilterLimitExceeded.with(&[&VALUES_MAX.to_string()]));
            }
            let patterns = values.iter().map(|value| Pattern::parse(value)).collect();
            out.push(Filter { name: name.to_owned(), patterns });
        }
        Ok(Self(out))
    }

    /// Whether every filter holds of the resource.
    #[must_use]
    pub fn accept(&self, resource: &impl Filterable) -> bool {
        self.0.iter().all(|filter| {
            let values = resource.values(&filter.name);
            values.iter().any(|value| filter.patterns.iter().any(|pattern| pattern.matches(value)))
        })
    }

    /// The values of the named filter if every one is literal: what the store can look up instead of scanning.
    #[must_use]
    pub fn literals(&self, name: &str) -> Option<Vec<String>> {
        let filter = self.0.iter().find(|filter| filter.name == name)?;
        filter.patterns.iter().map(Pattern::literal).collect()
    }

    /// Names and values of all filters whose values are all literal.
    pub fn all_literals(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        let literals = |filter: &Filter| filter.patterns.iter().map(Pattern::literal).collect::<Option<Vec<_>>>();
        self.0.iter().filter_map(move |filter| Some((filter.name.as_str(), literals(filter)?)))
    }

    /// Whether there is no filter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Values of the tag filters `tag:KEY` and `tag-key` (and `tag-value`) for a resource with these tags.
#[must_use]
pub fn tag_values<'a>(name: &str, tags: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    match name {
        "tag-key" => tags.map(|(key, _)| key.to_owned()).collect(),
        "tag-value" => tags.map(|(_, value)| value.to_owned()).collect(),
        _ => match name.strip_prefix("tag:") {
            Some(wanted) => tags.filter(|(key, _)| *key == wanted).map(|(_, value)| value.to_owned()).collect(),
            None => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing;
    impl Filterable for Thing {
        fn values(&self, name: &str) -> Vec<String> {
            match name {
                "name" => vec!["web-1".into(), "alias*".into()],
                _ => tag_values(name, [("Env", "prod"), ("Empty", "")].into_iter()),
            }
        }
    }

    fn accepts(name: &str, values: &[&str]) -> bool {
        let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        Filters::new([(Some(name), values.as_slice())], &["name", "tag-key", "missing"]).unwrap().accept(&Thing)
    }

    #[test]
    fn wildcards_alternatives_and_escapes() {
        assert!(accepts("name", &["web-?"]));
        assert!(accepts("name", &["no", "web*"]));
        assert!(accepts("name", &["*"]));
        assert!(accepts("name", &["alias\\*"]));
        assert!(!accepts("name", &["alia\\*"]));
        assert!(!accepts("name", &["web"]));
        assert!(!accepts("name", &["WEB-1"]), "values are case-sensitive");
        assert!(!accepts("missing", &["*"]), "a property the resource lacks matches nothing");
        assert!(accepts("tag:Env", &["prod"]));
        assert!(accepts("tag:Empty", &[""]));
        assert!(!accepts("tag:env", &["prod"]));
        assert!(accepts("tag-key", &["En?"]));
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        let pattern = Pattern::parse(&"*a".repeat(100));
        assert!(!pattern.matches(&"a".repeat(99)));
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let values = vec!["x".to_owned()];
        let error = Filters::new([(Some("colour"), values.as_slice())], &["name"]).unwrap_err();
        assert_eq!(error.message(), "The filter 'colour' is invalid");
        assert!(Filters::new([(Some("tag:x"), values.as_slice())], &["name"]).is_err(), "no tags on this resource");
        assert!(Filters::new([(Some("name"), [].as_slice())], &["name"]).is_err());
    }
}
