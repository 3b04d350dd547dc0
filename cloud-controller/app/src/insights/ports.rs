//! Sets of ports.

/// A set of ports as ranges, both ends included: in order, apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Every port.
    #[must_use]
    pub fn all() -> Self {
        Self::range(0, u16::MAX)
    }

    /// From one port to another; none where the first is above the last.
    #[must_use]
    pub fn range(first: u16, last: u16) -> Self {
        Self(if first <= last { vec![(first, last)] } else { Vec::new() })
    }

    /// As a rule has them: below 0 at either end is every port.
    #[must_use]
    pub fn of_rule(first: i32, last: i32) -> Self {
        if first < 0 || last < 0 {
            return Self::all();
        }
        match (u16::try_from(first), u16::try_from(last)) {
            (Ok(first), Ok(last)) => Self::range(first, last),
            (Ok(first), Err(_)) => Self::range(first, u16::MAX),
            (Err(_), _) => Self::default(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest.
    #[must_use]
    pub fn first(&self) -> Option<u16> {
        self.0.first().map(|(first, _)| *first)
    }

    /// Whether the port is among them.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// The ranges, in order.
    #[must_use]
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Those in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut out = Vec::new();
        for (first, last) in &self.0 {
            for (from, to) in &other.0 {
                let (low, high) = (*first.max(from), *last.min(to));
                if low <= high {
                    out.push((low, high));
                }
            }
        }
        out.sort_unstable();
        Self(out)
    }

    /// Those in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut all: Vec<(u16, u16)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut out: Vec<(u16, u16)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match out.last_mut() {
                Some(held) if u32::from(first) <= u32::from(held.1) + 1 => held.1 = held.1.max(last),
                _ => out.push((first, last)),
            }
        }
        Self(out)
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut out = Vec::new();
        for (first, last) in &self.0 {
            let mut from = u32::from(*first);
            for (low, high) in other.0.iter().filter(|(low, high)| low <= last && high >= first) {
                if from < u32::from(*low) {
                    out.push((from, u32::from(*low) - 1));
                }
                from = from.max(u32::from(*high) + 1);
            }
            if from <= u32::from(*last) {
                out.push((from, u32::from(*last)));
            }
        }
        let port = |port: u32| u16::try_from(port).unwrap_or(u16::MAX);
        Self(out.into_iter().map(|(from, to)| (port(from), port(to))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some() -> impl Strategy<Value = Ports> {
        let range = (0u16..40, 0u16..8).prop_map(|(first, more)| Ports::range(first, first + more));
        let edge = Just(Ports::range(65_530, u16::MAX));
        prop::collection::vec(prop_oneof![8 => range, 1 => edge], 0..5)
            .prop_map(|ranges| ranges.iter().fold(Ports::default(), |all, some| all.or(some)))
    }

    proptest! {
        #[test]
        fn each_port_is_where_it_belongs(a in some(), b in some()) {
            let (and, or, without) = (a.and(&b), a.or(&b), a.without(&b));
            for port in (0..60).chain(65_520..=u16::MAX) {
                prop_assert_eq!(and.has(port), a.has(port) && b.has(port));
                prop_assert_eq!(or.has(port), a.has(port) || b.has(port));
                prop_assert_eq!(without.has(port), a.has(port) && !b.has(port));
            }
            prop_assert_eq!(and.or(&without), a);
        }
    }
}
