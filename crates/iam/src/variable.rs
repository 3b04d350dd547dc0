//! Texts of policies with wildcards and variables, compiled: `${aws:username}`, `${key, 'default'}`, `${*}`.

use crate::context::{Context, plain_key};
use crate::policy::Version;
use std::borrow::Cow;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// Itself.
    Literal(Box<str>),
    /// `?`: any one character.
    One,
    /// `*`: any characters, also none.
    Many,
    /// The single value of a condition key.
    Variable(Variable),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The key, as it is compared.
    key: Box<str>,
    /// As written.
    written: Box<str>,
    default: Option<Box<str>>,
}

/// A compiled text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    tokens: Vec<Token>,
    has_variables: bool,
}

/// One special place of a text.
enum Special<'a> {
    Token(Token, &'a str),
    Literal(&'a str, &'a str),
}

/// What stands at the start of `text`, if it is special, and what follows.
fn special(text: &str, version: Version, wildcards: bool) -> Option<Special<'_>> {
    if wildcards && let Some(rest) = text.strip_prefix('*') {
        return Some(Special::Token(Token::Many, rest));
    }
    if wildcards && let Some(rest) = text.strip_prefix('?') {
        return Some(Special::Token(Token::One, rest));
    }
    let (inner, rest) = variable_at(text, version)?;
    if matches!(inner, "*" | "?" | "$") {
        return Some(Special::Literal(inner, rest));
    }
    Some(Special::Token(Token::Variable(Variable::new(inner)), rest))
}

/// The inside of the variable that starts `text`, and what follows it.
fn variable_at(text: &str, version: Version) -> Option<(&str, &str)> {
    if version == Version::V2008 {
        return None;
    }
    text.strip_prefix("${")?.split_once('}')
}

impl Variable {
    fn new(inner: &str) -> Self {
        let (key, default) = match inner.split_once(',') {
            Some((key, rest)) => {
                let quoted = rest.trim().strip_prefix('\'').and_then(|r| r.strip_suffix('\''));
                (key.trim(), quoted)
            }
            None => (inner.trim(), None),
        };
        Self { key: plain_key(key).into(), written: key.into(), default: default.map(Into::into) }
    }

    /// The text it stands for: the key's value if it has exactly one, else the default.
    fn value<'a>(&'a self, context: &'a Context) -> Option<&'a str> {
        match context.lookup(&self.key) {
            [value] => Some(value),
            _ => self.default.as_deref(),
        }
    }
}

impl Template {
    /// Compiles a text; without `wildcards`, `*` and `?` stand for themselves.
    pub(crate) fn new(text: &str, version: Version, wildcards: bool) -> Self {
        let mut tokens = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            match special(rest, version, wildcards) {
                Some(Special::Literal(text, after)) => {
                    literal.push_str(text);
                    rest = after;
                }
                Some(Special::Token(token, after)) => {
                    if !literal.is_empty() {
                        tokens.push(Token::Literal(std::mem::take(&mut literal).into()));
                    }
                    // `**` is `*`: one token less to try.
                    if token != Token::Many || tokens.last() != Some(&Token::Many) {
                        tokens.push(token);
                    }
                    rest = after;
                }
                None => {
                    literal.push(c);
                    rest = rest.get(c.len_utf8()..).unwrap_or_default();
                }
            }
        }
        if !literal.is_empty() {
            tokens.push(Token::Literal(literal.into()));
        }
        let has_variables = tokens.iter().any(|token| matches!(token, Token::Variable(_)));
        Self { tokens, has_variables }
    }

    /// Whether it holds a variable.
    pub(crate) const fn has_variables(&self) -> bool {
        self.has_variables
    }

    /// Whether it stands for itself alone: no wildcards, no variables.
    pub(crate) fn is_fixed(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Literal(_)))
    }

    /// Whether it is `*`.
    pub(crate) fn is_everything(&self) -> bool {
        self.tokens.as_slice() == [Token::Many]
    }

    /// The tokens with every variable replaced by its value, literally; `None` when one has none.
    fn resolve(&self, context: &Context) -> Option<Cow<'_, [Token]>> {
        if !self.has_variables {
            return Some(Cow::Borrowed(&self.tokens));
        }
        let resolved = self.tokens.iter().map(|token| match token {
            Token::Variable(variable) => variable.value(context).map(|text| Token::Literal(text.into())),
            other => Some(other.clone()),
        });
        resolved.collect::<Option<Vec<_>>>().map(Cow::Owned)
    }

    /// Whether it matches a text; `None` when a variable has no value.
    pub(crate) fn matches(&self, text: &str, context: &Context, ignore_case: bool) -> Option<bool> {
        self.resolve(context).map(|tokens| glob(&tokens, text, ignore_case))
    }

    /// The text it stands for, wildcards aside; `None` when a variable has no value.
    pub(crate) fn text(&self, context: &Context) -> Option<Cow<'_, str>> {
        if let [Token::Literal(text)] = self.tokens.as_slice() {
            return Some(Cow::Borrowed(text));
        }
        let tokens = self.resolve(context)?;
        Some(Cow::Owned(tokens.iter().map(|t| if let Token::Literal(text) = t { text } else { "" }).collect()))
    }

    /// Calls for the key of every variable, as written.
    pub(crate) fn each_key(&self, f: &mut dyn FnMut(&str)) {
        for token in &self.tokens {
            if let Token::Variable(variable) = token {
                f(&variable.written);
            }
        }
    }
}

/// Splits at the first `count - 1` colons that are not inside a variable.
pub(crate) fn split_fields(text: &str, count: usize, version: Version) -> Vec<&str> {
    let mut fields = Vec::with_capacity(count);
    let (mut start, mut at) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some((_, after)) = variable_at(rest, version) {
            at = text.len() - after.len();
        } else if rest.starts_with(':') && fields.len() + 1 < count {
            fields.extend(text.get(start..at));
            at += 1;
            start = at;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    fields.extend(text.get(start..));
    fields
}

/// Wildcard match. Goes back only to the last `*`, so it takes at most length × tokens steps.
pub(crate) fn glob(tokens: &[Token], text: &str, ignore_case: bool) -> bool {
    let mut rest = text;
    let mut tokens = tokens;
    // Behind the last `*`: the tokens after it, and the text it has not eaten yet.
    let mut retry: Option<(&[Token], &str)> = None;
    loop {
        let step = match tokens.split_first() {
            None if rest.is_empty() => return true,
            None => None,
            Some((Token::Many, [])) => return true,
            Some((Token::Many, after)) => {
                retry = Some((after, rest));
                Some((after, rest))
            }
            Some((Token::One, after)) => tail(rest).map(|rest| (after, rest)),
            Some((Token::Literal(literal), after)) => {
                strip_prefix(rest, literal, ignore_case).map(|rest| (after, rest))
            }
            Some((Token::Variable(_), _)) => None,
        };
        (tokens, rest) = match (step, retry) {
            (Some(next), _) => next,
            (None, None) => return false,
            (None, Some((after, eaten))) => {
                let Some(eaten) = tail(eaten) else { return false };
                retry = Some((after, eaten));
                (after, eaten)
            }
        };
    }
}

/// The text without its first character.
fn tail(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    chars.next().map(|_| chars.as_str())
}

fn strip_prefix<'a>(text: &'a str, prefix: &str, ignore_case: bool) -> Option<&'a str> {
    if !ignore_case {
        return text.strip_prefix(prefix);
    }
    let head = text.get(..prefix.len())?;
    if head.eq_ignore_ascii_case(prefix) { text.get(prefix.len()..) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> Option<bool> {
        let context = Context::new().with("aws:username", "al*ce").with("a:b", "x");
        Template::new(pattern, Version::V2012, true).matches(text, &context, false)
    }

    #[test]
    fn wildcards() {
        for (pattern, text) in [
            ("*", ""),
            ("**", "abc"),
            ("a*c", "ac"),
            ("a*c", "abcbc"),
            ("?", "é"),
            ("a?*", "ab"),
            ("*a*b*", "xxaxxbxx"),
            ("", ""),
            ("${*}", "*"),
            ("${?}x", "?x"),
            ("${$}{a}", "${a}"),
            ("*.*", "a.b.c"),
        ] {
            assert_eq!(matches(pattern, text), Some(true), "{pattern} {text}");
        }
        for (pattern, text) in
            [("?", ""), ("a*c", "abd"), ("", "a"), ("${*}", "a"), ("*a", "ab"), ("??", "é"), ("A*", "ab")]
        {
            assert_eq!(matches(pattern, text), Some(false), "{pattern} {text}");
        }
    }

    #[test]
    fn a_variable_is_a_literal() {
        assert_eq!(matches("/${aws:UserName}/*", "/al*ce/x"), Some(true));
        assert_eq!(matches("/${aws:username}/*", "/alice/x"), Some(false), "a star in a value is no wildcard");
        assert_eq!(matches("${no:such}", ""), None);
        assert_eq!(matches("${no:such, 'def, x'}", "def, x"), Some(true));
        assert_eq!(matches("${a:b, 'def'}", "x"), Some(true));
        assert_eq!(matches("${a:b", "${a:b"), Some(true), "an unclosed variable is text");
        let old = Template::new("${aws:username}", Version::V2008, true);
        assert_eq!(old.matches("${aws:username}", &Context::new(), false), Some(true));
    }

    #[test]
    fn fields_split_outside_variables() {
        let split = |text| split_fields(text, 6, Version::V2012).join("|");
        assert_eq!(split("arn:aws:s3:::b/${aws:username}:x:y"), "arn|aws|s3|||b/${aws:username}:x:y");
        assert_eq!(split("arn:aws:s3:${aws:a}:b"), "arn|aws|s3|${aws:a}|b");
        assert_eq!(split("é"), "é");
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "*a".repeat(200);
        assert_eq!(matches(&pattern, &"a".repeat(20_000)), Some(true));
        assert_eq!(matches(&format!("{pattern}b"), &"a".repeat(5_000)), Some(false));
    }
}
