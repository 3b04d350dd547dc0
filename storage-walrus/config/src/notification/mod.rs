//! Who is told of what happens to objects
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html>).

mod arn;
mod check;
mod event;

pub use arn::{Service, TargetArn, is_name};
pub use event::EVENTS;

use crate::document::malformed;
use crate::{Document, ids};
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// Configurations of one bucket.
pub const CONFIGURATIONS_MAX: usize = 100;

/// Who is told, and of what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notification {
    /// In the order they were given.
    pub configurations: Vec<Configuration>,
}

/// One who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Unique within the bucket.
    pub id: String,
    /// Who.
    pub target: TargetArn,
    /// Of which events, as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What their keys begin with.
    pub prefix: Option<String>,
    /// What their keys end with.
    pub suffix: Option<String>,
}

impl Configuration {
    /// Whether an event (`ObjectCreated:Put`) of this key is for it.
    #[must_use]
    pub fn wants(&self, event: &str, key: &str) -> bool {
        self.events.iter().any(|pattern| event::covers(pattern, event))
            && self.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix))
            && self.suffix.as_deref().is_none_or(|suffix| key.ends_with(suffix))
    }
}

/// What AWS says of a target that it cannot reach, or may not.
#[must_use]
pub fn unknown_target(arn: &str) -> ApiError {
    Code::InvalidArgument
        .message("Unable to validate the following destination configurations")
        .field("ArgumentName", arn)
        .field("ArgumentValue", "The destination queue or topic does not exist")
}

impl Document for Notification {
    const KIND: &'static str = "notification";
    const ROOT: &'static str = "NotificationConfiguration";
    const BYTES_MAX: usize = 1 << 20;

    fn read(root: &Element) -> Result<Self, ApiError> {
        let mut configurations = Vec::new();
        for child in &root.children {
            match child.name.as_str() {
                "QueueConfiguration" => configurations.push(configuration(child, "Queue", Service::Sqs)?),
                "TopicConfiguration" => configurations.push(configuration(child, "Topic", Service::Sns)?),
                // There are no functions here that could be told.
                "CloudFunctionConfiguration" => {
                    let arn = child.child_text("CloudFunction").or_else(|| child.child_text("LambdaFunctionArn"));
                    return Err(unknown_target(arn.unwrap_or_default()));
                }
                "EventBridgeConfiguration" => {
                    let text = "Events to EventBridge are not implemented by this object store.";
                    return Err(Code::NotImplemented.message(text).field("Feature", "EventBridgeConfiguration"));
                }
                _ => return Err(malformed()),
            }
        }
        ids::fill(configurations.iter_mut().map(|configuration| &mut configuration.id), "configuration");
        let this = Self { configurations };
        check::check(&this)?;
        Ok(this)
    }

    fn write(&self, w: &mut XmlWriter) {
        for Configuration { id, target, events, prefix, suffix } in &self.configurations {
            let (element, name) = match target.service {
                Service::Sqs => ("QueueConfiguration", "Queue"),
                Service::Sns => ("TopicConfiguration", "Topic"),
            };
            w.open(element);
            w.text("Id", id);
            w.text(name, &target.to_string());
            for event in events {
                w.text("Event", event);
            }
            if prefix.is_some() || suffix.is_some() {
                w.open("Filter");
                w.open("S3Key");
                for (name, value) in [("Prefix", prefix), ("Suffix", suffix)] {
                    let Some(value) = value else { continue };
                    w.open("FilterRule");
                    w.text("Name", name);
                    w.text("Value", value);
                    w.close("FilterRule");
                }
                w.close("S3Key");
                w.close("Filter");
            }
            w.close(element);
        }
    }
}

fn configuration(element: &Element, name: &str, service: Service) -> Result<Configuration, ApiError> {
    let mut found = Configuration {
        id: String::new(),
        target: TargetArn::default(),
        events: Vec::new(),
        prefix: None,
        suffix: None,
    };
    let mut arn = None;
    for child in &element.children {
        match child.name.as_str() {
            "Id" => found.id.clone_from(&child.text),
            "Event" => {
                let event = child.text.trim();
                if !event::is_known(event) {
                    return Err(Code::InvalidArgument
                        .message("The event is not supported for notifications")
                        .field("ArgumentName", "Event")
                        .field("ArgumentValue", event));
                }
                if !found.events.iter().any(|known| known == event) {
                    found.events.push(event.to_owned());
                }
            }
            "Filter" => filter(child, &mut found)?,
            other if other == name && arn.is_none() => arn = Some(child.text.trim()),
            _ => return Err(malformed()),
        }
    }
    let arn = arn.ok_or_else(malformed)?;
    found.target = TargetArn::parse(arn).filter(|target| target.service == service).ok_or_else(|| {
        Code::InvalidArgument
            .message("The ARN is not well formed")
            .field("ArgumentName", name)
            .field("ArgumentValue", arn)
    })?;
    if found.events.is_empty() {
        return Err(malformed());
    }
    Ok(found)
}

fn filter(element: &Element, found: &mut Configuration) -> Result<(), ApiError> {
    let invalid = |text: &'static str| Err(Code::InvalidArgument.message(text));
    let rules = match element.children.as_slice() {
        [] => return Ok(()),
        [key] if key.name == "S3Key" => &key.children,
        _ => return Err(malformed()),
    };
    for rule in rules {
        let (Some(name), Some(value)) = (rule.child_text("Name"), rule.child_text("Value")) else {
            return Err(malformed());
        };
        if value.len() > check::FILTER_BYTES_MAX {
            return invalid("filter rule value cannot be longer than 1024 bytes");
        }
        let (slot, twice) = match name.trim().to_ascii_lowercase().as_str() {
            "prefix" => (&mut found.prefix, "Cannot specify more than one prefix rule in a filter."),
            "suffix" => (&mut found.suffix, "Cannot specify more than one suffix rule in a filter."),
            _ => return invalid("filter rule name must be either prefix or suffix"),
        };
        if slot.replace(value.to_owned()).is_some() {
            return invalid(twice);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
