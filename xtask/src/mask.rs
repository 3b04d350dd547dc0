//! Tells Rust code from comments and literals, so that rules on words look where they mean to.

/// A source of which only one kind of text is left; all else is blanks. Lines stay where they are.
#[derive(Debug)]
pub struct Masked {
    /// The code, without the insides of string and character literals.
    pub code: String,
    /// The comments, with their marks.
    pub comments: String,
}

/// Splits a source. Understands nested block comments, raw strings and lifetimes; needs no valid program.
pub fn mask(source: &str) -> Masked {
    let chars: Vec<char> = source.chars().collect();
    let mut out = Masked { code: String::with_capacity(source.len()), comments: String::new() };
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (length, comment) = match rest {
            ['/', '/', ..] => (rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()), true),
            ['/', '*', ..] => (block_comment(rest), true),
            ['"', ..] => (string(rest), false),
            ['r', ..] if !continues_word(&chars, at) && raw_hashes(rest).is_some() => (raw_string(rest), false),
            ['b' | 'c', 'r', ..] if !continues_word(&chars, at) && raw_hashes(&rest[1..]).is_some() => {
                (1 + raw_string(&rest[1..]), false)
            }
            ['\'', ..] => match character(rest) {
                Some(length) => (length, false),
                None => (0, false),
            },
            _ => (0, false),
        };
        if length == 0 {
            push(&mut out, chars[at], true, false);
            at += 1;
        }
        for c in &rest[..length] {
            push(&mut out, *c, false, comment);
        }
        at += length;
    }
    out
}

fn push(out: &mut Masked, c: char, code: bool, comment: bool) {
    let blank = if c == '\n' { '\n' } else { ' ' };
    out.code.push(if code { c } else { blank });
    out.comments.push(if comment { c } else { blank });
}

fn continues_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The number of `#` of a raw string that opens here with its `r`.
fn raw_hashes(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_string(rest: &[char]) -> usize {
    let hashes = raw_hashes(rest).unwrap_or_default();
    let body = hashes + 2;
    (body..rest.len())
        .find(|at| rest[*at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes)
        .map_or(rest.len(), |at| at + 1 + hashes)
}

/// The length of a character literal, or nothing where the mark opens a lifetime.
fn character(rest: &[char]) -> Option<usize> {
    match rest {
        // The escaped character may itself be the mark.
        ['\'', '\\', _, tail @ ..] => tail.iter().take(10).position(|c| *c == '\'').map(|end| end + 4),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// Whether `word` stands in `text` with no letter, digit or `_` on either side; the byte where it does.
pub fn find_word(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .find(|(at, _)| {
            !text[..*at].chars().next_back().is_some_and(part)
                && !text[at + word.len()..].chars().next().is_some_and(part)
        })
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_comments_and_literals_are_told_apart() {
        let source =
            "let a = \"x // \\\" y\"; // c1 \"\nlet b = 'x'; /* c2 /* in */\n still */ f::<'a>('\\'', b'\\\\');";
        let masked = mask(source);
        assert_eq!(masked.code.lines().count(), source.lines().count());
        assert!(!masked.code.contains('x') && !masked.code.contains('y') && !masked.code.contains("still"));
        assert!(masked.code.contains("f::<'a>("), "{}", masked.code);
        assert!(masked.comments.contains("// c1 \"") && masked.comments.contains("still */"));
        assert!(!masked.comments.contains("let"));
    }

    #[test]
    fn raw_strings_and_unicode() {
        let masked = mask("let r = r#\"unsafe \" here\"#; let b = br\"unsafe\"; let é = 'é'; for_r(\"q\") // ü");
        assert!(!masked.code.contains("unsafe") && !masked.code.contains("here"));
        assert!(masked.code.contains("let é =") && masked.code.contains("for_r(") && masked.comments.contains("// ü"));
        let open = mask("let s = \"never closed");
        assert_eq!(open.code.trim_end(), "let s =");
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(find_word("unsafe_code", "unsafe"), None);
        assert_eq!(find_word("an_unsafe unsafe {", "unsafe"), Some(10));
        assert_eq!(find_word("todo!()", "todo!"), Some(0));
    }
}
