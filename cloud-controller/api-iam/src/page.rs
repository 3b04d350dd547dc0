//! Pagination of IAM: `MaxItems` and opaque `Marker`s that name the last item shown, so that a page boundary stays where
//! it is while items come and go.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mallee_awswire::{ApiError, Code};

/// Items on a page when the request does not say how many (IAM: 100).
const ITEMS_DEFAULT: usize = 100;
/// Longest marker that is looked at, in bytes.
const MARKER_BYTES_MAX: usize = 4_096;

/// The page a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    after: Option<String>,
    limit: usize,
    operation: &'static str,
}

impl Page {
    /// Reads `MaxItems` (whose bounds the decoder has checked) and `Marker`.
    ///
    /// # Errors
    /// `ValidationError` for a marker that is not one of this operation's.
    pub(crate) fn new(
        operation: &'static str,
        max_items: Option<i32>,
        marker: Option<&str>,
    ) -> Result<Self, ApiError> {
        let bad = || Code::ValidationError.message("Invalid Marker");
        let read = |marker: &str| {
            if marker.len() > MARKER_BYTES_MAX {
                return Err(bad());
            }
            let bytes = URL_SAFE_NO_PAD.decode(marker).map_err(|_| bad())?;
            let text = String::from_utf8(bytes).map_err(|_| bad())?;
            text.strip_prefix(operation).and_then(|rest| rest.strip_prefix('\n')).map(str::to_owned).ok_or_else(bad)
        };
        let after = marker.map(read).transpose()?;
        let limit = max_items.and_then(|n| usize::try_from(n).ok()).unwrap_or(ITEMS_DEFAULT);
        Ok(Self { after, limit, operation })
    }

    /// The key after which the page begins; `None`: at the beginning.
    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Rows to read: one more than the page holds, to know whether another follows.
    pub(crate) fn rows(&self) -> u32 {
        u32::try_from(self.limit).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Cuts the page out of items that were read from [`Self::after`] on.
    pub(crate) fn take<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Cut<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let marker = items.last().filter(|_| more).map(|last| self.marker(&key(last)));
        Cut { items, marker, truncated: Some(more) }
    }

    /// Cuts the page out of all items; their order may be any that does not change.
    pub(crate) fn cut<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Cut<T> {
        if let Some(after) = self.after() {
            // What the marker names may be gone: then the page begins with what is greater.
            let start = match items.iter().position(|item| key(item) == after) {
                Some(at) => at + 1,
                None => items.iter().position(|item| key(item).as_str() > after).unwrap_or(items.len()),
            };
            items.drain(..start);
        }
        self.take(items, key)
    }

    fn marker(&self, last: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}\n{last}", self.operation))
    }
}

/// A page.
#[derive(Debug)]
pub(crate) struct Cut<T> {
    pub(crate) items: Vec<T>,
    pub(crate) marker: Option<String>,
    pub(crate) truncated: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_everything_once_even_when_items_go() {
        let mut items: Vec<String> = (0..10).map(|n| format!("u{n}")).collect();
        let (mut marker, mut seen) = (None, Vec::new());
        loop {
            let page = Page::new("ListX", Some(3), marker.as_deref()).unwrap();
            let cut = page.cut(items.clone(), Clone::clone);
            assert_eq!(cut.truncated, Some(cut.marker.is_some()));
            seen.extend(cut.items);
            items.retain(|item| item != "u2");
            match cut.marker {
                Some(next) => marker = Some(next),
                None => break,
            }
        }
        assert_eq!(seen.len(), 10);
    }

    #[test]
    fn foreign_markers_are_refused() {
        let marker = Page::new("A", Some(1), None).unwrap().cut(vec!["x", "y"], |s| (*s).to_owned()).marker;
        assert!(Page::new("A", None, marker.as_deref()).is_ok());
        for bad in [marker.as_deref().unwrap(), "!!", ""] {
            assert_eq!(Page::new("B", None, Some(bad)).unwrap_err().message(), "Invalid Marker");
        }
    }
}
