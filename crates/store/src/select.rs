//! Texts put together at run time: filters that may be absent, lists of values, inserts of many rows. Only constants
//! of this crate and parameter numbers go in; values are always bound. Lists are padded to powers of two, so that
//! there are few distinct texts and the databases keep their plans; to SQLite, which looks each parameter's name up by
//! going through all of them, a longer list goes as one JSON text.

use crate::StoreError;
use crate::exec::{Exec, Text};
use crate::tx::Tx;
use crate::value::{Arg, ToArg};

/// Longest list a caller may filter by (EC2's own lists are at most 1,000 long).
pub const FILTER_VALUES_MAX: usize = 1024;
/// Largest page.
pub const PAGE_ROWS_MAX: u32 = 10_000;
/// Longest list that SQLite gets as so many parameters.
const SQLITE_LIST_MAX: usize = 8;
/// Values bound by one insert of many rows (SQLite takes 32,766, PostgreSQL 65,535).
const INSERT_VALUES_MAX: usize = 1024;

/// A piece of a text.
#[derive(Debug)]
enum Part {
    Text(&'static str),
    /// The next parameter.
    Bind(Arg),
    /// `(…)`: a list, never empty.
    List(Vec<Arg>),
}

/// `SELECT … WHERE <fixed> AND <those filters that are given> ORDER BY … LIMIT …`.
#[derive(Debug)]
pub(crate) struct Select {
    base: &'static str,
    /// Of the base.
    args: Vec<Arg>,
    parts: Vec<Part>,
    nothing: bool,
}

impl Select {
    /// Starts from a text that ends in a `WHERE` condition using the arguments so far.
    pub(crate) const fn new(base: &'static str, args: Vec<Arg>) -> Self {
        Self { base, args, parts: Vec::new(), nothing: false }
    }

    /// `AND <condition> $n`, if there is a value. The condition ends in its operator.
    pub(crate) fn and(mut self, condition: &'static str, value: Option<impl ToArg>) -> Self {
        if let Some(value) = value {
            self.parts.extend([
                Part::Text(" AND "),
                Part::Text(condition),
                Part::Text(" "),
                Part::Bind(value.to_arg()),
            ]);
        }
        self
    }

    /// `AND <condition> ($n, $m)`: a row comparison.
    pub(crate) fn and_pair(mut self, condition: &'static str, first: Arg, second: Arg) -> Self {
        self.parts.extend([Part::Text(" AND "), Part::Text(condition), Part::Text(" ("), Part::Bind(first)]);
        self.parts.extend([Part::Text(", "), Part::Bind(second), Part::Text(")")]);
        self
    }

    /// `AND <condition> $n)`, if there is a value: the condition opens a sub-select and ends in its operator.
    pub(crate) fn and_below(self, condition: &'static str, value: Option<impl ToArg>) -> Self {
        let given = value.is_some();
        let mut select = self.and(condition, value);
        if given {
            select.parts.push(Part::Text(")"));
        }
        select
    }

    /// `AND <condition>`.
    pub(crate) fn and_text(mut self, condition: &'static str) -> Self {
        self.parts.extend([Part::Text(" AND "), Part::Text(condition)]);
        self
    }

    /// `AND <column> IN (…)`, if there is a list. An empty list matches nothing.
    pub(crate) fn and_in<T: ToArg>(mut self, column: &'static str, values: Option<&[T]>) -> Result<Self, StoreError> {
        let Some(values) = values else { return Ok(self) };
        if values.is_empty() {
            self.nothing = true;
            return Ok(self);
        }
        if values.len() > FILTER_VALUES_MAX {
            return Err(StoreError::Invalid(
                format!("a filter lists {} values; the limit is {FILTER_VALUES_MAX}", values.len()).into(),
            ));
        }
        let list = Part::List(values.iter().map(ToArg::to_arg).collect());
        self.parts.extend([Part::Text(" AND "), Part::Text(column), Part::Text(" IN "), list]);
        Ok(self)
    }

    /// The text for one of the databases, and its arguments.
    fn render(self, sqlite: bool) -> (String, Vec<Arg>) {
        let (mut text, mut args) = (self.base.to_owned(), self.args);
        for part in self.parts {
            match part {
                Part::Text(piece) => text.push_str(piece),
                Part::Bind(arg) => {
                    args.push(arg);
                    text.push_str(&format!("${}", args.len()));
                }
                Part::List(list) => match sqlite.then(|| json(&list)).flatten() {
                    Some(json) => {
                        args.push(json);
                        text.push_str(&format!("(SELECT value FROM json_each(${}))", args.len()));
                    }
                    None => render_list(&mut text, &mut args, list),
                },
            }
        }
        (text, args)
    }

    /// ` ORDER BY <order> LIMIT $n`, then runs it.
    pub(crate) async fn page<R: crate::value::Record>(
        mut self,
        exec: Exec<'_>,
        order: &'static str,
        limit: u32,
    ) -> Result<Vec<R>, StoreError> {
        if self.nothing {
            return Ok(Vec::new());
        }
        let limit = Arg::Int(Some(i64::from(limit.min(PAGE_ROWS_MAX))));
        self.parts.extend([Part::Text(" ORDER BY "), Part::Text(order), Part::Text(" LIMIT "), Part::Bind(limit)]);
        self.parts.push(Part::Text(crate::macros::LIMIT_TAIL));
        let (text, args) = self.render(exec.is_sqlite());
        exec.all(Text::Built(text), args).await
    }

    /// Runs it with a last clause; every row.
    pub(crate) async fn all<R: crate::value::Record>(
        mut self,
        exec: Exec<'_>,
        tail: &'static str,
    ) -> Result<Vec<R>, StoreError> {
        if self.nothing {
            return Ok(Vec::new());
        }
        self.parts.push(Part::Text(tail));
        let (text, args) = self.render(exec.is_sqlite());
        exec.all(Text::Built(text), args).await
    }

    /// ` LIMIT $n`, then runs it: some rows, in no order, so that none needs to be sorted.
    pub(crate) async fn first<R: crate::value::Record>(
        mut self,
        exec: Exec<'_>,
        limit: u32,
    ) -> Result<Vec<R>, StoreError> {
        if self.nothing {
            return Ok(Vec::new());
        }
        let limit = Arg::Int(Some(i64::from(limit.min(PAGE_ROWS_MAX))));
        self.parts.extend([Part::Text(" LIMIT "), Part::Bind(limit), Part::Text(crate::macros::LIMIT_TAIL)]);
        let (text, args) = self.render(exec.is_sqlite());
        exec.all(Text::Built(text), args).await
    }

    /// Runs it as a statement.
    pub(crate) async fn run(self, exec: Exec<'_>) -> Result<u64, StoreError> {
        if self.nothing {
            return Ok(0);
        }
        let (text, args) = self.render(exec.is_sqlite());
        exec.run(Text::Built(text), args).await
    }
}

/// `($n,$m,…)`, padded with the last value.
fn render_list(text: &mut String, args: &mut Vec<Arg>, list: Vec<Arg>) {
    let padding = list.len().next_power_of_two() - list.len();
    let last = list.last().cloned();
    for (nth, value) in list.into_iter().chain(std::iter::repeat_n(last, padding).flatten()).enumerate() {
        args.push(value);
        text.push_str(&format!("{}${}", if nth == 0 { "(" } else { "," }, args.len()));
    }
    text.push(')');
}

/// A longer list of texts as one JSON array.
fn json(list: &[Arg]) -> Option<Arg> {
    if list.len() <= SQLITE_LIST_MAX {
        return None;
    }
    let texts = list.iter().map(|arg| match arg {
        Arg::Text(Some(text)) => Some(text.as_str()),
        Arg::Text(None) | Arg::Int(_) | Arg::Bool(_) | Arg::Bytes(_) => None,
    });
    let texts: Vec<&str> = texts.collect::<Option<_>>()?;
    serde_json::to_string(&texts).ok().map(|json| Arg::Text(Some(json)))
}

/// `INSERT …` of many rows: `head` ends in `VALUES `, `tail` is for example an `ON CONFLICT` clause. Rows go in
/// chunks whose sizes are powers of two.
pub(crate) async fn insert_rows(
    mut exec: Exec<'_>,
    head: &'static str,
    tail: &'static str,
    rows: Vec<Vec<Arg>>,
) -> Result<u64, StoreError> {
    let mut written = 0;
    for (text, args) in inserts(head, tail, rows) {
        written += exec.again().run(text, args).await?;
    }
    Ok(written)
}

/// As [`insert_rows`], before the next query of the transaction ([`Tx::later`]).
pub(crate) async fn insert_rows_later(
    tx: &mut Tx,
    head: &'static str,
    tail: &'static str,
    rows: Vec<Vec<Arg>>,
) -> Result<(), StoreError> {
    for (text, args) in inserts(head, tail, rows) {
        tx.later(text, args).await?;
    }
    Ok(())
}

/// One insert a chunk.
fn inserts(head: &'static str, tail: &'static str, rows: Vec<Vec<Arg>>) -> impl Iterator<Item = (Text, Vec<Arg>)> {
    let width = rows.first().map_or(0, Vec::len);
    let chunk_max = prev_power_of_two(INSERT_VALUES_MAX / width.max(1));
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        if rows.len() == 0 || width == 0 {
            return None;
        }
        let chunk = chunk_max.min(prev_power_of_two(rows.len()));
        let mut text = head.to_owned();
        for row in 0..chunk {
            text.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..width {
                text.push_str(&format!("{}${}", if column == 0 { "" } else { "," }, row * width + column + 1));
            }
            text.push(')');
        }
        text.push_str(tail);
        Some((Text::Built(text), rows.by_ref().take(chunk).flatten().collect()))
    })
}

fn prev_power_of_two(n: usize) -> usize {
    if n <= 1 { 1 } else { n.next_power_of_two() >> usize::from(!n.is_power_of_two()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_and_absent_filters_leave_no_trace() {
        let ids = ["a", "b", "c"];
        let select = Select::new("SELECT 1 WHERE x = $1", vec![1i64.to_arg()])
            .and("zone =", None::<&str>)
            .and_in("id", Some(&ids))
            .and_then(|s| s.and_in("state", None::<&[&str]>));
        let (text, args) = select.unwrap().render(true);
        assert_eq!(text, "SELECT 1 WHERE x = $1 AND id IN ($2,$3,$4,$5)");
        assert_eq!(args.len(), 5);
        assert!(Select::new("", vec![]).and_in::<&str>("id", Some(&[])).unwrap().nothing);
        assert!(Select::new("", vec![]).and_in("id", Some(&vec!["x"; FILTER_VALUES_MAX + 1])).is_err());
    }

    #[test]
    fn a_long_list_is_one_parameter_of_sqlite_and_many_of_postgresql() {
        let names: Vec<String> = (0..9).map(|n| format!("\"{n}\\")).collect();
        let select =
            || Select::new("SELECT 1 WHERE 1 = 1", vec![]).and_in("id", Some(&names)).unwrap().and("x =", Some(1i64));
        let (text, args) = select().render(true);
        assert_eq!(text, "SELECT 1 WHERE 1 = 1 AND id IN (SELECT value FROM json_each($1)) AND x = $2");
        let Some(Arg::Text(Some(json))) = args.first() else { panic!("{args:?}") };
        assert_eq!(serde_json::from_str::<Vec<String>>(json).unwrap(), names);
        let (text, args) = select().render(false);
        assert!(text.ends_with("$15,$16) AND x = $17"), "{text}");
        assert_eq!(args.len(), 17);
        let numbers = Select::new("", vec![]).and_in("n", Some(&[7i64; 9])).unwrap();
        assert_eq!(numbers.render(true).1.len(), 16, "only texts go as JSON");
    }

    #[test]
    fn chunks_are_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 5, 100].map(prev_power_of_two), [1, 1, 2, 2, 4, 4, 64]);
    }
}
