//! Writes of a transaction whose outcome nobody waits for. They go to the database with the transaction's next query, or
//! at its commit: SQLite gets them as one text, hence in one hand-over to its thread, which costs more than most
//! statements do. What they say when they fail is said by that query or by the commit.

use crate::StoreError;
use crate::exec::{Exec, Text};
use crate::tx::Tx;
use crate::value::Arg;

/// Statements that wait at most; one more sends them off. SQLite keeps prepared what it gets as one text.
const STATEMENTS_MAX: usize = 12;

/// Statements that wait.
#[derive(Debug)]
pub(crate) struct Later(Vec<(Text, Vec<Arg>)>);

impl Later {
    /// None.
    pub(crate) const EMPTY: Self = Self(Vec::new());

    /// What waits and then this query, as one text. (SQLite's driver runs the statements of a text one after the other,
    /// with one list of arguments for all of them.)
    pub(crate) fn before(&mut self, text: Text, args: Vec<Arg>) -> (Text, Vec<Arg>) {
        if self.0.is_empty() {
            return (text, args);
        }
        let (mut texts, mut all) = (String::new(), Vec::new());
        for (text, args) in self.0.drain(..).chain([(text, args)]) {
            if !texts.is_empty() {
                texts.push_str("; ");
            }
            renumbered(text.as_str(), all.len(), &mut texts);
            all.extend(args);
        }
        (Text::Built(texts), all)
    }
}

/// Appends the text, whose parameters count on from `before`.
fn renumbered(text: &str, before: usize, out: &mut String) {
    if before == 0 {
        return out.push_str(text);
    }
    let mut pieces = text.split('$');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        // Texts of the store hold `$` before the number of a parameter only.
        let number: usize = piece[..digits].parse().unwrap_or_default();
        out.push_str(&format!("${}{}", before + number, &piece[digits..]));
    }
}

impl Tx {
    /// Runs a write before the next query or the commit of this transaction. For those that cannot fail in a way that
    /// the caller tells apart.
    ///
    /// # Errors
    /// What the database says of earlier ones, when too many wait.
    pub(crate) async fn later(&mut self, text: impl Into<Text>, args: Vec<Arg>) -> Result<(), StoreError> {
        if self.later.0.len() >= STATEMENTS_MAX {
            self.run_later().await?;
        }
        self.later.0.push((text.into(), args));
        Ok(())
    }

    /// Runs what waits.
    ///
    /// # Errors
    /// What the database says of it.
    pub async fn run_later(&mut self) -> Result<(), StoreError> {
        let mut waiting = std::mem::replace(&mut self.later, Later::EMPTY);
        if self.is_sqlite() {
            let Some((text, args)) = waiting.0.pop() else { return Ok(()) };
            let (text, args) = waiting.before(text, args);
            return Exec::Tx(self).run_now(text, args).await.map(drop);
        }
        for (text, args) in waiting.0 {
            Exec::Tx(self).run_now(text, args).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_counts_its_parameters_through() {
        let arg = |n| Arg::Int(Some(n));
        let mut later = Later(vec![
            (Text::Constant("INSERT INTO a (x, y) VALUES ($1, $2)"), vec![arg(1), arg(2)]),
            (Text::Constant("DELETE FROM b"), vec![]),
        ]);
        let (text, args) =
            later.before(Text::Constant("SELECT c FROM d WHERE e = $2 AND f > $1"), vec![arg(3), arg(4)]);
        assert_eq!(
            text.as_str(),
            "INSERT INTO a (x, y) VALUES ($1, $2); DELETE FROM b; SELECT c FROM d WHERE e = $4 AND f > $3"
        );
        assert_eq!(args.len(), 4);
        let (text, args) = later.before(Text::Constant("SELECT $1"), vec![arg(5)]);
        assert_eq!((text.as_str(), args.len()), ("SELECT $1", 1), "nothing waits any more");
    }
}
