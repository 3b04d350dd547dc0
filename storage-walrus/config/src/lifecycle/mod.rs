//! What becomes of objects with time
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html>).

mod check;
mod day;
mod filter;
mod plan;
mod read;

pub use day::{Day, REAL_DAY_MS};
pub use filter::Filter;
pub use plan::{Action, Due, Planner, Version, abort_due, class_may_become, expiration_of};

use crate::{Document, ids};
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter, xml};
use time::OffsetDateTime;

/// Rules of one bucket.
pub const RULES_MAX: usize = 1000;
/// The element, beside the rules, of the minimum that is kept with them.
const MINIMUM: &str = "TransitionDefaultMinimumObjectSize";
/// Characters of a rule's id.
pub const RULE_ID_CHARS_MAX: usize = 255;

/// The rules of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// In the order they were given.
    pub rules: Vec<Rule>,
    /// Below which size objects keep their class: told in a header, and kept with the rules.
    pub minimum: Minimum,
}

/// Below which size objects keep their class, where a rule names no size. Both mean the same of the classes that there
/// are here: they differ where objects are archived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Minimum {
    /// 128 KiB, for all classes.
    #[default]
    All,
    /// It varies with the class.
    Varies,
}

impl Minimum {
    /// As AWS names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all_storage_classes_128K",
            Self::Varies => "varies_by_storage_class",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::All, Self::Varies].into_iter().find(|minimum| minimum.name() == name)
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique within the bucket.
    pub id: String,
    /// Disabled rules are kept, and do nothing.
    pub enabled: bool,
    /// What it is about.
    pub filter: Filter,
    /// When current versions expire.
    pub expiration: Option<Expiration>,
    /// When older versions go.
    pub noncurrent: Option<Noncurrent>,
    /// After how many days an upload that is not complete goes.
    pub abort_days: Option<u32>,
    /// When current versions change their class.
    pub transitions: Vec<Transition>,
    /// When older versions do.
    pub noncurrent_transitions: Vec<NoncurrentTransition>,
}

/// When something happens to a current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many days after it was written.
    Days(u32),
    /// From this midnight on, in milliseconds since 1970.
    Date(i64),
}

/// What expires of a key's newest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiration {
    /// The object.
    Object(When),
    /// A delete marker with no version behind it; `false` says nothing.
    Marker(bool),
}

/// When older versions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noncurrent {
    /// So many days after a newer one came.
    pub days: u32,
    /// But not the newest of them.
    pub keep: Option<u32>,
}

/// A change of class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub when: When,
    /// To which class.
    pub class: String,
}

/// A change of class of older versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoncurrentTransition {
    /// When they change, and which do not.
    pub after: Noncurrent,
    /// To which class.
    pub class: String,
}

impl Document for Lifecycle {
    const KIND: &'static str = "lifecycle";
    const ROOT: &'static str = "LifecycleConfiguration";
    const BYTES_MAX: usize = 2 << 20;
    const ELEMENTS_MAX: usize = 100_000;
    const MUST_HASH: bool = true;

    fn read(root: &Element) -> Result<Self, ApiError> {
        if root.children.is_empty() || root.children.len() > RULES_MAX || root.children.iter().any(|c| c.name != "Rule")
        {
            return Err(Code::MalformedXml.error());
        }
        let mut rules = root.children.iter().map(read::rule).collect::<Result<Vec<_>, _>>()?;
        ids::fill(rules.iter_mut().map(|rule| &mut rule.id), "rule");
        let this = Self { rules, minimum: Minimum::default() };
        check::check(&this)?;
        Ok(this)
    }

    fn read_kept(root: &Element) -> Result<Self, ApiError> {
        let (minimum, rules): (Vec<_>, Vec<_>) = root.children.iter().cloned().partition(|c| c.name == MINIMUM);
        let this = Self::read(&Element { children: rules, ..root.clone() })?;
        let minimum = minimum.first().map_or(Some(Minimum::default()), |element| Minimum::parse(&element.text));
        Ok(Self { minimum: minimum.ok_or_else(|| Code::MalformedXml.error())?, ..this })
    }

    fn write_kept(&self, w: &mut XmlWriter) {
        w.text(MINIMUM, self.minimum.name());
    }

    fn write(&self, w: &mut XmlWriter) {
        for rule in &self.rules {
            w.open("Rule");
            w.text("ID", &rule.id);
            rule.filter.write(w);
            w.text("Status", if rule.enabled { "Enabled" } else { "Disabled" });
            for transition in &rule.transitions {
                w.open("Transition");
                write_when(w, transition.when);
                w.text("StorageClass", &transition.class);
                w.close("Transition");
            }
            if let Some(expiration) = &rule.expiration {
                w.open("Expiration");
                match *expiration {
                    Expiration::Object(when) => write_when(w, when),
                    Expiration::Marker(is) => w.display("ExpiredObjectDeleteMarker", is),
                }
                w.close("Expiration");
            }
            for transition in &rule.noncurrent_transitions {
                w.open("NoncurrentVersionTransition");
                write_noncurrent(w, transition.after);
                w.text("StorageClass", &transition.class);
                w.close("NoncurrentVersionTransition");
            }
            if let Some(noncurrent) = rule.noncurrent {
                w.open("NoncurrentVersionExpiration");
                write_noncurrent(w, noncurrent);
                w.close("NoncurrentVersionExpiration");
            }
            if let Some(days) = rule.abort_days {
                w.open("AbortIncompleteMultipartUpload");
                w.display("DaysAfterInitiation", days);
                w.close("AbortIncompleteMultipartUpload");
            }
            w.close("Rule");
        }
    }
}

fn write_when(w: &mut XmlWriter, when: When) {
    match when {
        When::Days(days) => w.display("Days", days),
        When::Date(ms) => {
            let at = OffsetDateTime::from_unix_timestamp(ms / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            w.text("Date", &xml::timestamp(at));
        }
    }
}

fn write_noncurrent(w: &mut XmlWriter, noncurrent: Noncurrent) {
    if let Some(keep) = noncurrent.keep {
        w.display("NewerNoncurrentVersions", keep);
    }
    w.display("NoncurrentDays", noncurrent.days);
}
