//! Ids of what has none.

use std::collections::HashSet;

/// Gives an id (`STEM-NUMBER`) to each that has none: one that no other has.
pub(crate) fn fill<'i>(ids: impl Iterator<Item = &'i mut String>, stem: &str) {
    let ids: Vec<&mut String> = ids.collect();
    let mut taken: HashSet<String> = ids.iter().map(|id| id.to_string()).collect();
    for (at, id) in ids.into_iter().enumerate().filter(|(_, id)| id.is_empty()) {
        // Each that is passed over is somebody's: there are no more than ids.
        let made = (at + 1..).map(|number| format!("{stem}-{number}")).find(|made| !taken.contains(made));
        *id = made.unwrap_or_default();
        taken.insert(id.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_nobody_elses() {
        for (given, filled) in [
            (["", "", ""], ["r-1", "r-2", "r-3"]),
            (["", "r-1", "a"], ["r-2", "r-1", "a"]),
            (["r-2", "", "r-3"], ["r-2", "r-4", "r-3"]),
        ] {
            let mut ids = given.map(str::to_owned);
            fill(ids.iter_mut(), "r");
            assert_eq!(ids, filled);
        }
    }
}
