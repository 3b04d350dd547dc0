//! Constraints of the model as checks in the decoder.

use super::model::{Kind, Member, Model, Protocol};
use super::names;

/// One statement that checks a decoded member, or nothing if the model says nothing that holds on the wire.
pub fn check(model: &Model, m: &Member, field: &str, wire: &str) -> Option<String> {
    let shape = model.shape(&m.shape);
    match (model.protocol, &shape.kind) {
        // EC2's model is loose about texts (its handlers know better), but page sizes and counts are right.
        (Protocol::Ec2, Kind::Integer) if shape.min.is_some() || shape.max.is_some() => {
            let (min, max) = (bound(shape.min), bound(shape.max));
            Some(format!("n.check_range({wire:?}, r.{field}, {min}, {max})?;"))
        }
        (Protocol::Query, Kind::Integer) if shape.min.is_some() || shape.max.is_some() => {
            let (min, max) = (bound(shape.min), bound(shape.max));
            Some(format!("n.check_number({wire:?}, r.{field}, {min}, {max})?;"))
        }
        (Protocol::Query, Kind::String { values }) if !values.is_empty() => {
            Some(format!("n.check_enum({wire:?}, r.{field}.as_deref(), enums::{})?;", names::constant(&m.shape)))
        }
        (Protocol::Query, Kind::String { .. }) => {
            let (min, max) = (bound(shape.min), bound(shape.max));
            let class = shape.pattern.as_deref().and_then(|p| class(p).map(|ranges| (p, ranges)));
            if min == "None" && max == "None" && class.is_none() {
                return None;
            }
            let text = if shape.sensitive {
                format!("r.{field}.as_ref().map(secrecy::ExposeSecret::expose_secret)")
            } else {
                format!("r.{field}.as_deref()")
            };
            let class = class.map_or_else(|| "None".to_owned(), |(p, ranges)| format!("Some((&{ranges:?}, {p:?}))"));
            Some(format!("n.check_text({wire:?}, {text}, {min}, {max}, {class}, {})?;", shape.sensitive))
        }
        (Protocol::Query, Kind::List { .. }) if shape.max.is_some() => {
            Some(format!("n.check_count({wire:?}, r.{field}.len(), {})?;", bound(shape.max)))
        }
        _ => None,
    }
}

fn bound(b: Option<f64>) -> String {
    b.map_or_else(|| "None".to_owned(), |b| format!("Some({b:.0})"))
}

/// The character ranges of a pattern that is one class with `+` or `*`; nothing for any other pattern.
fn class(pattern: &str) -> Option<Vec<(char, char)>> {
    let p = pattern.trim_start_matches('^').trim_end_matches('$');
    let inner = p.strip_suffix(['+', '*'])?.strip_prefix('[')?.strip_suffix(']')?;
    let mut chars = inner.chars().peekable();
    let mut ranges = Vec::new();
    while let Some(c) = chars.next() {
        let lo = match c {
            ']' | '[' => return None,
            '\\' => match chars.next()? {
                'w' => {
                    ranges.extend([('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')]);
                    continue;
                }
                'd' => {
                    ranges.push(('0', '9'));
                    continue;
                }
                'u' => unicode(&mut chars)?,
                'p' => return None,
                other => other,
            },
            c => c,
        };
        let hi = if chars.peek() == Some(&'-') && chars.clone().nth(1).is_some() {
            chars.next();
            match chars.next()? {
                '\\' => match chars.next()? {
                    'u' => unicode(&mut chars)?,
                    'w' | 'd' | 'p' => return None,
                    other => other,
                },
                c => c,
            }
        } else {
            lo
        };
        if lo > hi {
            return None;
        }
        ranges.push((lo, hi));
    }
    Some(ranges)
}

/// Four hex digits; five-digit escapes and surrogates do not parse, so their patterns are left to the handlers.
fn unicode(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    let hex: String = chars.by_ref().take(4).collect();
    if chars.peek().is_some_and(|c| *c != '-' && *c != '\\' && c.is_ascii_hexdigit()) {
        return None;
    }
    char::from_u32(u32::from_str_radix(&hex, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn classes() {
        assert_eq!(class("[\\w+=,.@-]+").map(|r| r.len()), Some(4 + 6), "word characters and six single ones");
        assert_eq!(class("[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+").and_then(|r| r.last().copied()), Some((' ', 'ÿ')));
        assert_eq!(class("[ -~]+"), Some(vec![(' ', '~')]));
        for other in ["((/[A-Za-z0-9]+)*)/", "\\d{12}", "[\\p{L}]+", "[\\u10000-\\u10FFFF]+"] {
            assert_eq!(class(other), None, "{other}");
        }
    }
}
