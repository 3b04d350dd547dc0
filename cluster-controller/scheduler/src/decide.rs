//! Choosing: one scan over the nodes, then a heap for batches, so that a thousand instances cost one scan.

use crate::{FILTERS, Filter, Node, Request, Resources, Score};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

/// Most rows one decision keeps; the rest are only counted.
pub const ROWS_MAX: usize = 64;
/// Of these, most rows about nodes that passed.
pub const PASSED_ROWS_MAX: usize = 8;
/// Most rows all decisions of one batch keep together (they travel in one message).
const BATCH_ROWS_MAX: usize = 4096;
/// Fewest rows a decision of a large batch keeps.
const ROWS_MIN: usize = 4;

/// What was found about one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It cannot take the instance.
    Refused {
        /// Which filter says so.
        filter: Filter,
        /// Why, with numbers.
        reason: String,
    },
    /// It can.
    Passed {
        /// Its score, printable.
        score: String,
    },
}

/// One node's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The node's place in the slice that was given.
    pub node: usize,
    /// What was found.
    pub verdict: Verdict,
}

/// Where one instance goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The chosen node's place in the slice that was given; `None`: no node passes.
    pub chosen: Option<usize>,
    /// Nodes that passed every filter.
    pub passed: u32,
    /// Nodes refused, by the filter's place in [`Filter::ALL`].
    pub refused: [u32; FILTERS],
    /// The best of the nodes that passed, the chosen one first.
    pub best: Vec<Row>,
    /// Some of the nodes that were refused; those refused only because another node was asked for come in no row.
    pub refused_rows: Arc<[Row]>,
}

impl Decision {
    /// Rows in all.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.best.iter().chain(self.refused_rows.iter())
    }

    /// Whether nodes of this filter were refused that have no row, and how many.
    #[must_use]
    pub fn omitted(&self, filter: Filter) -> u32 {
        let shown = self
            .refused_rows
            .iter()
            .filter(|row| matches!(row.verdict, Verdict::Refused { filter: f, .. } if f == filter));
        self.refused[filter.index()].saturating_sub(u32::try_from(shown.count()).unwrap_or(u32::MAX))
    }

    /// How many nodes passed that have no row.
    #[must_use]
    pub fn omitted_passed(&self) -> u32 {
        self.passed.saturating_sub(u32::try_from(self.best.len()).unwrap_or(u32::MAX))
    }
}

/// Chooses a node for one instance.
#[must_use]
pub fn decide(request: &Request, nodes: &[Node]) -> Decision {
    let mut batch = decide_many(request, nodes, 1);
    batch.pop().unwrap_or_else(|| Decision {
        chosen: None,
        passed: 0,
        refused: [0; FILTERS],
        best: Vec::new(),
        refused_rows: Arc::from([]),
    })
}

/// What earlier choices of the same batch took of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Planned {
    /// In sum.
    pub resources: Resources,
    /// How many they are.
    pub instances: u32,
}

type Candidate<'a> = (Score<'a>, usize);

/// Chooses nodes for up to `count` like instances, each choice counting those before it. The last decision has no
/// chosen node if fewer fit than were asked for; `count` of 0 gives none.
#[must_use]
pub fn decide_many(request: &Request, nodes: &[Node], count: usize) -> Vec<Decision> {
    if count == 0 {
        return Vec::new();
    }
    let rows_max = (BATCH_ROWS_MAX / count).clamp(ROWS_MIN, ROWS_MAX);
    let passed_rows_max = PASSED_ROWS_MAX.min(rows_max / 2);
    let mut scan = scan(request, nodes, &HashMap::new(), rows_max - passed_rows_max);
    if count == 1 {
        best_first(&mut scan.candidates, passed_rows_max);
        let chosen = scan.candidates.first().map(|(_, node)| *node);
        let best = scan.candidates.iter().take(passed_rows_max).map(passed_row).collect();
        return vec![scan.decision(chosen, best)];
    }
    let mut decisions = Vec::with_capacity(count);
    let mut planned: HashMap<usize, Planned> = HashMap::new();
    let mut heap: BinaryHeap<Reverse<Candidate<'_>>> =
        std::mem::take(&mut scan.candidates).into_iter().map(Reverse).collect();
    while decisions.len() < count {
        let Some(Reverse(winner)) = heap.pop() else {
            // Look once more at every node, now with what this batch took, to say why nothing more fits.
            let last = self::scan(request, nodes, &planned, ROWS_MAX);
            decisions.push(last.decision(None, Vec::new()));
            break;
        };
        let runner_up = heap.peek().map(|Reverse(next)| next);
        let best = std::iter::once(&winner).chain(runner_up).take(passed_rows_max).map(passed_row).collect();
        let index = winner.1;
        decisions.push(scan.decision(Some(index), best));
        let taken = planned.entry(index).or_default();
        taken.resources = taken.resources.plus(request.resources);
        taken.instances += 1;
        match nodes.get(index) {
            Some(node) => match Filter::first_refusing(request, node, *taken) {
                None => heap.push(Reverse((Score::of(request, node, taken.resources, taken.instances), index))),
                Some(filter) => {
                    scan.passed -= 1;
                    scan.refused[filter.index()] += 1;
                }
            },
            None => break,
        }
    }
    decisions
}

fn passed_row((score, node): &Candidate<'_>) -> Row {
    Row { node: *node, verdict: Verdict::Passed { score: score.to_string() } }
}

struct Scan<'a> {
    candidates: Vec<Candidate<'a>>,
    passed: u32,
    refused: [u32; FILTERS],
    rows: Arc<[Row]>,
}

impl Scan<'_> {
    fn decision(&self, chosen: Option<usize>, best: Vec<Row>) -> Decision {
        Decision { chosen, passed: self.passed, refused: self.refused, best, refused_rows: Arc::clone(&self.rows) }
    }
}

fn scan<'a>(request: &Request, nodes: &'a [Node], planned: &HashMap<usize, Planned>, rows_max: usize) -> Scan<'a> {
    let mut candidates = Vec::with_capacity(nodes.len());
    let (mut refused, mut rows) = ([0; FILTERS], Vec::new());
    for (index, node) in nodes.iter().enumerate() {
        let taken = planned.get(&index).copied().unwrap_or_default();
        match Filter::first_refusing(request, node, taken) {
            None => candidates.push((Score::of(request, node, taken.resources, taken.instances), index)),
            Some(filter) => {
                refused[filter.index()] += 1;
                if rows.len() < rows_max && filter != Filter::Node {
                    let reason = filter.reason(request, node, taken);
                    rows.push(Row { node: index, verdict: Verdict::Refused { filter, reason } });
                }
            }
        }
    }
    let passed = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
    Scan { candidates, passed, refused, rows: rows.into() }
}

/// Brings the `best` lowest scores to the front, in order, without sorting the rest.
fn best_first(candidates: &mut [Candidate<'_>], best: usize) {
    if candidates.len() > best && best > 0 {
        candidates.select_nth_unstable(best - 1);
    }
    let end = best.min(candidates.len());
    candidates[..end].sort_unstable();
}
