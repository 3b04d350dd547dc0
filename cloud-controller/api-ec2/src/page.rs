//! Pagination: `MaxResults` and opaque `NextToken`s that name the last item shown, so that a page boundary stays
//! where it is while items come and go.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mallee_awswire::{ApiError, Code};

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 1024;
/// Items on a page when the request does not say how many; the rest follows by token.
const UNSIZED_PAGE_ITEMS_MAX: usize = 10_000;

/// The page a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    after: Option<String>,
    limit: Option<usize>,
    operation: &'static str,
}

impl Page {
    /// Reads `MaxResults` and `NextToken`. `bounds` are AWS's for the operation. A token of another operation is
    /// no token.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a size out of bounds, `InvalidNextToken`-class errors for a foreign token.
    pub fn new(
        operation: &'static str,
        max_results: Option<i32>,
        next_token: Option<&str>,
        bounds: std::ops::RangeInclusive<i32>,
    ) -> Result<Self, ApiError> {
        let limit = match max_results {
            None => Some(UNSIZED_PAGE_ITEMS_MAX),
            // AWS reads 0 as "no limit given" on several calls; it is refused here as on most.
            Some(n) if bounds.contains(&n) => Some(usize::try_from(n).unwrap_or(usize::MAX)),
            Some(n) => {
                return Err(Code::InvalidParameterValue.message(format!(
                    "Value ( {n} ) for parameter maxResults is invalid. Expecting a value between {} and {}.",
                    bounds.start(),
                    bounds.end()
                )));
            }
        };
        let after = next_token.filter(|t| !t.is_empty()).map(|token| Self::read(operation, token)).transpose()?;
        Ok(Self { after, limit, operation })
    }

    /// Everything on one page.
    #[must_use]
    pub const fn all(operation: &'static str) -> Self {
        Self { after: None, limit: None, operation }
    }

    /// The key after which the page begins, as what it names; `None`: at the beginning.
    ///
    /// # Errors
    /// For a token that does not hold such a key.
    pub fn after<K: std::str::FromStr>(&self) -> Result<Option<K>, ApiError> {
        let bad = |_| ApiError::invalid_value("nextToken", "…", "The token is not one of this operation's.");
        self.after.as_deref().map(|key| key.parse().map_err(bad)).transpose()
    }

    /// Items that fill the page and tell whether another one follows.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.limit.map_or(usize::MAX, |limit| limit.saturating_add(1))
    }

    /// Whether so many items are enough to cut the page and to know that another one follows.
    #[must_use]
    pub fn is_full(&self, items: usize) -> bool {
        self.limit.is_some_and(|limit| items > limit)
    }

    fn read(operation: &str, token: &str) -> Result<String, ApiError> {
        let bad = || ApiError::invalid_value("nextToken", token, "The token is not one of this operation's.");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(bad());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
        let text = String::from_utf8(bytes).map_err(|_| bad())?;
        text.strip_prefix(operation).and_then(|rest| rest.strip_prefix('\n')).map(str::to_owned).ok_or_else(bad)
    }

    /// Cuts the page out of items in ascending order of `key`, and gives the token of the next page if there is one.
    pub fn cut<T>(&self, items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let mut page = Vec::new();
        for item in items {
            if self.after.as_ref().is_some_and(|after| key(&item) <= *after) {
                continue;
            }
            if self.limit.is_some_and(|limit| page.len() >= limit) {
                let token = page.last().map(|last| self.token(&key(last)));
                return (page, token);
            }
            page.push(item);
        }
        (page, None)
    }

    fn token(&self, last: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}\n{last}", self.operation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_everything_once_even_when_items_go() {
        let mut items: Vec<String> = (0..10).map(|i| format!("i-{i:03}")).collect();
        let mut token: Option<String> = None;
        let mut seen = Vec::new();
        loop {
            let page = Page::new("Describe", Some(3), token.as_deref(), 1..=1000).unwrap();
            let (cut, next) = page.cut(items.clone(), Clone::clone);
            seen.extend(cut);
            items.retain(|i| i != "i-002");
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        assert_eq!(seen.len(), 10);
        assert!(seen.is_sorted());
    }

    #[test]
    fn without_a_size_a_page_is_still_bounded() {
        let page = Page::new("Describe", None, None, 5..=1000).unwrap();
        let items: Vec<String> = (0..=UNSIZED_PAGE_ITEMS_MAX).map(|i| format!("{i:06}")).collect();
        assert!(page.is_full(items.len()) && !page.is_full(items.len() - 1));
        let (cut, next) = page.cut(items, Clone::clone);
        assert_eq!(cut.len(), UNSIZED_PAGE_ITEMS_MAX);
        let page = Page::new("Describe", None, next.as_deref(), 5..=1000).unwrap();
        assert_eq!(page.after::<u32>().unwrap(), Some(9_999));
    }

    #[test]
    fn foreign_tokens_and_sizes_are_refused() {
        let (_, token) = Page::new("A", Some(1), None, 1..=5).unwrap().cut(["x", "y"], |s| (*s).to_owned());
        assert!(Page::new("B", None, token.as_deref(), 1..=5).is_err());
        assert!(Page::new("A", None, Some("!!"), 1..=5).is_err());
        let error = Page::new("A", Some(0), None, 5..=1000).unwrap_err();
        assert_eq!(
            error.message(),
            "Value ( 0 ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."
        );
    }
}
