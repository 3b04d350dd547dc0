//! XML from strangers. What a document of a bucket was understood as reads back as the same.

use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_s3_config::inventory::Inventory;
use mallee_s3_config::lifecycle::Lifecycle;
use mallee_s3_config::notification::Notification;
use mallee_s3_config::{
    BucketEncryption, Cors, Document, Durability, Logging, ObjectLock, OwnershipControls, PublicAccessBlock,
    Replication, RequestPayment, Tagging, Website, kept, parse, text,
};
use std::fmt::Debug;

/// Bounds that the reader is held to.
const LIMITS: XmlLimits = XmlLimits { bytes: 64 * 1024, depth: 16, elements: 1000 };

fn depth(element: &Element) -> usize {
    1 + element.children.iter().map(depth).max().unwrap_or_default()
}

fn count(element: &Element) -> usize {
    1 + element.attributes.len() + element.children.iter().map(count).sum::<usize>()
}

fn document<D: Document + PartialEq + Debug>(xml: &[u8]) {
    let Ok(document) = parse::<D>(xml) else { return };
    let written = text(&document);
    let again: D = kept(&written).unwrap_or_else(|error| panic!("{error:?} for {written}"));
    assert_eq!(document, again, "{written}");
    assert_eq!(text(&again), written);
}

/// Runs one input.
pub fn run(data: &[u8]) {
    if let Ok(root) = Element::parse(data, LIMITS) {
        assert!(depth(&root) <= LIMITS.depth && count(&root) <= LIMITS.elements);
    }
    document::<BucketEncryption>(data);
    document::<Cors>(data);
    document::<Durability>(data);
    document::<Inventory>(data);
    document::<Lifecycle>(data);
    document::<Logging>(data);
    document::<Notification>(data);
    document::<ObjectLock>(data);
    document::<OwnershipControls>(data);
    document::<PublicAccessBlock>(data);
    document::<Replication>(data);
    document::<RequestPayment>(data);
    document::<Tagging>(data);
    document::<Website>(data);
    mallee_s3::fuzz::bodies(data);
}
