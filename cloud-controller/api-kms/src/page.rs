//! Pages of lists: `Limit`, `Marker`, `Truncated`, `NextMarker`. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mallee_awswire::{ApiError, Code};
use serde_json::{Value, json};

/// Items on a page at most (AWS: 1,000, of some lists fewer).
const LIMIT_MAX: i64 = 1000;

/// How many, and after which item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    limit: usize,
    /// Where the page begins; empty: at the first.
    pub(crate) after: String,
}

impl Page {
    /// # Errors
    /// `ValidationException`, `InvalidMarkerException`.
    pub(crate) fn read(limit: Option<i64>, marker: Option<&str>, usual: usize) -> Result<Self, ApiError> {
        let limit = match limit {
            None => usual,
            Some(n) => usize::try_from(n)
                .ok()
                .filter(|_| (1..=LIMIT_MAX).contains(&n))
                .ok_or_else(|| crate::invalid(&n.to_string(), "limit", "have value between 1 and 1000"))?,
        };
        let open = |text: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let after = match marker {
            None => String::new(),
            Some(text) => open(text).ok_or_else(|| Code::InvalidMarkerException.error())?,
        };
        Ok(Self { limit, after })
    }

    /// How many rows tell whether there are more than this page.
    pub(crate) fn rows(&self) -> u32 {
        u32::try_from(self.limit + 1).unwrap_or(u32::MAX)
    }

    /// The reply with up to [`Page::rows`] items in this member; `place` names one's place.
    pub(crate) fn shown<T>(
        &self,
        member: &str,
        mut items: Vec<T>,
        place: impl Fn(&T) -> String,
        show: impl Fn(&T) -> Value,
    ) -> Value {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let list: Vec<Value> = items.iter().map(show).collect();
        match items.last().filter(|_| more) {
            Some(last) => {
                json!({ (member): list, "Truncated": true, "NextMarker": URL_SAFE_NO_PAD.encode(place(last)) })
            }
            None => json!({ (member): list, "Truncated": false }),
        }
    }

    /// As [`Page::shown`], of a whole list in the order of places.
    pub(crate) fn of<T>(
        &self,
        member: &str,
        all: Vec<T>,
        place: impl Fn(&T) -> String,
        show: impl Fn(&T) -> Value,
    ) -> Value {
        let rest = all.into_iter().filter(|item| place(item) > self.after).take(self.limit + 1).collect();
        self.shown(member, rest, place, show)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_page_by_page() {
        let all = || vec!["a", "b", "c"];
        let show = |text: &&str| json!(text);
        let mut seen = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let page = Page::read(Some(2), marker.as_deref(), 50).unwrap();
            let reply = page.of("Items", all(), |text| (*text).to_owned(), show);
            seen.extend(reply["Items"].as_array().unwrap().clone());
            marker = reply["NextMarker"].as_str().map(str::to_owned);
            assert_eq!(reply["Truncated"].as_bool().unwrap(), marker.is_some());
            if marker.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c"]);
        let code = |limit, marker| Page::read(limit, marker, 50).unwrap_err().code();
        assert_eq!(code(Some(0), None), Code::ValidationException);
        assert_eq!(code(Some(1001), None), Code::ValidationException);
        assert_eq!(code(None, Some("!")), Code::InvalidMarkerException);
    }
}
