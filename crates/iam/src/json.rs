//! A strict JSON reader that keeps positions: duplicate keys are refused, and every object knows where it stands in the
//! text (SimulatePrincipalPolicy answers the place of each statement that decided).

use crate::error::{JsonError, JsonErrorKind as Kind};

/// A policy nests six levels; this leaves room and keeps the recursion shallow.
pub(crate) const MAX_DEPTH: usize = 16;

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// From the first character to just behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Where the first character stands.
    pub start: Position,
    /// Where the character after the last would stand.
    pub end: Position,
}

/// A JSON value with where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// A JSON value; numbers stay as they were written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Reads one document.
pub(crate) fn parse(text: &str) -> Result<Node, JsonError> {
    let mut reader = Reader { rest: text.chars(), at: Position { line: 1, column: 1 } };
    let node = reader.value(0)?;
    reader.blank();
    if reader.peek().is_some() {
        return Err(reader.error(Kind::Trailing));
    }
    Ok(node)
}

struct Reader<'a> {
    rest: std::str::Chars<'a>,
    at: Position,
}

impl Reader<'_> {
    fn error(&self, kind: Kind) -> JsonError {
        JsonError { kind, line: self.at.line, column: self.at.column }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.at = Position { line: self.at.line.saturating_add(1), column: 1 };
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(c)
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn expect(&mut self, c: char) -> Result<(), JsonError> {
        if self.peek() == Some(c) {
            self.next();
            Ok(())
        } else {
            Err(self.error(Kind::Unexpected))
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        word.chars().try_for_each(|c| self.expect(c)).map(|()| value)
    }

    fn value(&mut self, depth: usize) -> Result<Node, JsonError> {
        self.blank();
        let start = self.at;
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Value::Text(self.text()?),
            Some('t') => self.word("true", Value::Bool(true))?,
            Some('f') => self.word("false", Value::Bool(false))?,
            Some('n') => self.word("null", Value::Null)?,
            Some('-' | '0'..='9') => self.number()?,
            _ => return Err(self.error(Kind::Unexpected)),
        };
        Ok(Node { value, span: Span { start, end: self.at } })
    }

    fn deeper(&self, depth: usize) -> Result<usize, JsonError> {
        if depth >= MAX_DEPTH { Err(self.error(Kind::TooDeep)) } else { Ok(depth + 1) }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        let depth = self.deeper(depth)?;
        self.expect('{')?;
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.blank();
        if self.peek() == Some('}') {
            self.next();
            return Ok(Value::Object(members));
        }
        loop {
            self.blank();
            let key = self.text()?;
            if !seen.insert(key.clone()) {
                return Err(self.error(Kind::DuplicateKey(key)));
            }
            self.blank();
            self.expect(':')?;
            members.push((key, self.value(depth)?));
            self.blank();
            match self.next() {
                Some(',') => {}
                Some('}') => return Ok(Value::Object(members)),
                _ => return Err(self.error(Kind::Unexpected)),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        let depth = self.deeper(depth)?;
        self.expect('[')?;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(']') {
            self.next();
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.blank();
            match self.next() {
                Some(',') => {}
                Some(']') => return Ok(Value::List(items)),
                _ => return Err(self.error(Kind::Unexpected)),
            }
        }
    }

    fn text(&mut self) -> Result<String, JsonError> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) if c >= ' ' => text.push(c),
                _ => return Err(self.error(Kind::BadString)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        Ok(match self.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let first = self.unit()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    if self.next() != Some('\\') || self.next() != Some('u') {
                        return Err(self.error(Kind::BadString));
                    }
                    let second = self.unit()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(self.error(Kind::BadString));
                    }
                    0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                char::from_u32(code).ok_or_else(|| self.error(Kind::BadString))?
            }
            _ => return Err(self.error(Kind::BadString)),
        })
    }

    fn unit(&mut self) -> Result<u32, JsonError> {
        (0..4).try_fold(0, |code, _| {
            let digit = self.next().and_then(|c| c.to_digit(16));
            digit.map(|d| code * 16 + d).ok_or_else(|| self.error(Kind::BadString))
        })
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let mut text = String::new();
        if self.peek() == Some('-') {
            text.extend(self.next());
        }
        if self.peek() == Some('0') {
            text.extend(self.next());
        } else {
            self.digits(&mut text)?;
        }
        if self.peek() == Some('.') {
            text.extend(self.next());
            self.digits(&mut text)?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            text.extend(self.next());
            if matches!(self.peek(), Some('+' | '-')) {
                text.extend(self.next());
            }
            self.digits(&mut text)?;
        }
        Ok(Value::Number(text))
    }

    fn digits(&mut self, text: &mut String) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Err(self.error(Kind::BadNumber));
        }
        while let Some(c) = self.peek().filter(char::is_ascii_digit) {
            text.push(c);
            self.next();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        parse(text).expect_err(text).kind
    }

    #[test]
    fn reads_what_json_has() {
        let node = parse(" {\"a\":[1,-2.5e+3,true,false,null,\"\\u00e9\\ud83d\\ude00\\n\"]} ").unwrap();
        let Value::Object(members) = node.value else { panic!("an object") };
        let Value::List(items) = &members[0].1.value else { panic!("a list") };
        assert_eq!(items[1].value, Value::Number("-2.5e+3".into()));
        assert_eq!(items[5].value, Value::Text("é😀\n".into()));
    }

    #[test]
    fn refuses_what_json_has_not() {
        for bad in ["", "{", "{]", "[1,]", "{\"a\":1,}", "{a:1}", "'a'", "nul", "+1", "//", "\u{feff}{}"] {
            assert_eq!(kind(bad), Kind::Unexpected, "{bad}");
        }
        for bad in ["\"\n\"", "\"\\x\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\u12\"", "\"\\udc00\"", "\"a"] {
            assert_eq!(kind(bad), Kind::BadString, "{bad}");
        }
        assert_eq!(kind("01"), Kind::Trailing);
        for bad in ["-", "1.", "1e", "-a"] {
            assert_eq!(kind(bad), Kind::BadNumber, "{bad}");
        }
        assert_eq!(kind("{} {}"), Kind::Trailing);
        assert_eq!(kind("{\"a\":1,\"\\u0061\":2}"), Kind::DuplicateKey("a".into()));
        assert_eq!(kind(&"[".repeat(17)), Kind::TooDeep);
        assert_eq!(kind(&"[".repeat(1_000_000)), Kind::TooDeep);
    }

    #[test]
    fn knows_where_things_stand() {
        let node = parse("{\n  \"é\": {}\n}").unwrap();
        let Value::Object(members) = node.value else { panic!("an object") };
        assert_eq!(members[0].1.span.start, Position { line: 2, column: 8 });
        assert_eq!(members[0].1.span.end, Position { line: 2, column: 10 });
        assert_eq!(node.span.end, Position { line: 3, column: 2 });
    }
}
