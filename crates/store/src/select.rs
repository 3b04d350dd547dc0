//! Texts put together at run time: filters that may be absent, lists of values, inserts of many rows. Only constants
//! of this crate and parameter numbers go in; values are always bound. Lists are padded to powers of two, so that
//! there are few distinct texts and the databases keep their plans.

use crate::StoreError;
use crate::exec::{Exec, Text};
use crate::value::{Arg, ToArg};

/// Longest list a caller may filter by (EC2's own lists are at most 1,000 long).
pub const FILTER_VALUES_MAX: usize = 1024;
/// Largest page.
pub const PAGE_ROWS_MAX: u32 = 10_000;
/// Values bound by one insert of many rows (SQLite takes 32,766, PostgreSQL 65,535).
const INSERT_VALUES_MAX: usize = 1024;

/// `SELECT … WHERE <fixed> AND <those filters that are given> ORDER BY … LIMIT …`.
#[derive(Debug)]
pub(crate) struct Select {
    text: String,
    args: Vec<Arg>,
    nothing: bool,
}

impl Select {
    /// Starts from a text that ends in a `WHERE` condition using the arguments so far.
    pub(crate) fn new(base: &'static str, args: Vec<Arg>) -> Self {
        Self { text: base.to_owned(), args, nothing: false }
    }

    fn bind(&mut self, arg: Arg) -> usize {
        self.args.push(arg);
        self.args.len()
    }

    /// `AND <condition> $n`, if there is a value. The condition ends in its operator.
    pub(crate) fn and(mut self, condition: &'static str, value: Option<impl ToArg>) -> Self {
        if let Some(value) = value {
            let n = self.bind(value.to_arg());
            self.text.push_str(&format!(" AND {condition} ${n}"));
        }
        self
    }

    /// `AND <condition> ($n, $m)`: a row comparison.
    pub(crate) fn and_pair(mut self, condition: &'static str, first: Arg, second: Arg) -> Self {
        let (n, m) = (self.bind(first), self.bind(second));
        self.text.push_str(&format!(" AND {condition} (${n}, ${m})"));
        self
    }

    /// `AND <condition>`.
    pub(crate) fn and_text(mut self, condition: &'static str) -> Self {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self
    }

    /// `AND <column> IN (…)`, if there is a list. An empty list matches nothing.
    pub(crate) fn and_in<T: ToArg>(mut self, column: &'static str, values: Option<&[T]>) -> Result<Self, StoreError> {
        let Some(values) = values else { return Ok(self) };
        let Some(last) = values.last() else {
            self.nothing = true;
            return Ok(self);
        };
        if values.len() > FILTER_VALUES_MAX {
            return Err(StoreError::Invalid(
                format!("a filter lists {} values; the limit is {FILTER_VALUES_MAX}", values.len()).into(),
            ));
        }
        self.text.push_str(&format!(" AND {column} IN ("));
        let padding = values.len().next_power_of_two() - values.len();
        for (nth, value) in values.iter().chain(std::iter::repeat_n(last, padding)).enumerate() {
            let n = self.bind(value.to_arg());
            self.text.push_str(&format!("{}${n}", if nth == 0 { "" } else { "," }));
        }
        self.text.push(')');
        Ok(self)
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
        let n = self.bind(Arg::Int(Some(i64::from(limit.min(PAGE_ROWS_MAX)))));
        self.text.push_str(&format!(" ORDER BY {order} LIMIT ${n}"));
        exec.all(Text::Built(self.text), self.args).await
    }

    /// Runs it as a statement.
    pub(crate) async fn run(self, exec: Exec<'_>) -> Result<u64, StoreError> {
        if self.nothing {
            return Ok(0);
        }
        exec.run(Text::Built(self.text), self.args).await
    }
}

/// `INSERT …` of many rows: `head` ends in `VALUES `, `tail` is for example an `ON CONFLICT` clause. Rows go in
/// chunks whose sizes are powers of two.
pub(crate) async fn insert_rows(
    mut exec: Exec<'_>,
    head: &'static str,
    tail: &'static str,
    rows: Vec<Vec<Arg>>,
) -> Result<u64, StoreError> {
    let width = rows.first().map_or(0, Vec::len);
    if width == 0 {
        return Ok(0);
    }
    let chunk_max = prev_power_of_two(INSERT_VALUES_MAX / width);
    let mut rows = rows.into_iter();
    let mut written = 0;
    while rows.len() > 0 {
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
        let args = rows.by_ref().take(chunk).flatten().collect();
        written += exec.again().run(Text::Built(text), args).await?;
    }
    Ok(written)
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
        let select = select.unwrap();
        assert_eq!(select.text, "SELECT 1 WHERE x = $1 AND id IN ($2,$3,$4,$5)");
        assert_eq!(select.args.len(), 5);
        assert!(Select::new("", vec![]).and_in::<&str>("id", Some(&[])).unwrap().nothing);
        assert!(Select::new("", vec![]).and_in("id", Some(&vec!["x"; FILTER_VALUES_MAX + 1])).is_err());
    }

    #[test]
    fn chunks_are_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 5, 100].map(prev_power_of_two), [1, 1, 2, 2, 4, 4, 64]);
    }
}
