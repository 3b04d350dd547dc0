//! What a launch template says, kept as the parameters it was given as. So nothing that EC2 knows is lost, and a
//! launch from a template is read by the same code as a launch without one: what cannot be honoured is refused by name.

use mallee_awswire::FromQuery as _;
use mallee_awswire::{ApiError, Params};
use mallee_ec2_types::ec2::RequestLaunchTemplateData;
use std::collections::BTreeSet;

/// Where the requests carry it.
const PREFIX: &str = "LaunchTemplateData.";
/// The parameter of a launch that names the template.
const TEMPLATE: &str = "LaunchTemplate.";
/// The list that is merged instead of replaced.
const TAGS: &str = "TagSpecification";

/// Names and values, without the prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Data(Vec<(String, String)>);

impl Data {
    /// What a request says under `LaunchTemplateData`.
    pub(crate) fn of(params: &Params) -> Self {
        let own = params.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value)));
        Self(own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// What a launch says itself, without the template it names.
    fn of_launch(params: &Params) -> Self {
        let own = params.iter().filter(|(name, _)| !name.starts_with(TEMPLATE));
        Self(own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Adds a parameter.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value));
    }

    /// Whether something is said about this parameter.
    pub(crate) fn says(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| slot(other) == slot(name))
    }

    /// Whether it names the attributes of a type instead of a type.
    pub(crate) fn says_requirements(&self) -> bool {
        self.0.iter().any(|(name, _)| head(name) == "InstanceRequirements")
    }

    /// Puts its first network interface into this subnet; false if it has none.
    pub(crate) fn place_interface(&mut self, subnet: &str) -> bool {
        let index = |name: &str| Some(name.strip_prefix("NetworkInterface.")?.split('.').next()?.to_owned());
        let mut indices: Vec<String> = self.0.iter().filter_map(|(name, _)| index(name)).collect();
        indices.sort_by_key(|index| index.parse::<u32>().unwrap_or(u32::MAX));
        let Some(first) = indices.first() else { return false };
        self.set(format!("NetworkInterface.{first}.SubnetId"), subnet);
        true
    }

    /// As it is stored.
    pub(crate) fn to_text(&self) -> String {
        // Pairs of texts always serialise.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// As it was stored.
    ///
    /// # Errors
    /// When the text is none of ours.
    pub(crate) fn from_text(text: &str) -> Result<Self, ApiError> {
        serde_json::from_str(text).map(Self).map_err(ApiError::internal)
    }

    /// As EC2's own structure.
    ///
    /// # Errors
    /// For a parameter that it does not have.
    pub(crate) fn read(&self) -> Result<RequestLaunchTemplateData, ApiError> {
        RequestLaunchTemplateData::from_query(self.params()?.root())
    }

    fn params(&self) -> Result<Params, ApiError> {
        Params::from_pairs(self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// What `over` says, and the rest as here: a list is replaced whole, of a structure each member by itself.
    pub(crate) fn overlaid(mut self, over: Self) -> Self {
        let said: BTreeSet<String> = over.0.iter().map(|(name, _)| slot(name).to_owned()).collect();
        self.0.retain(|(name, _)| !said.contains(slot(name)));
        self.0.extend(over.0);
        self
    }

    /// The parameters of a launch from this template: its own go before, tags are added to its own.
    ///
    /// # Errors
    /// When there are more than one request may have.
    pub(crate) fn launch(self, params: &Params) -> Result<Params, ApiError> {
        let own = Self::of_launch(params);
        let tags = merged_tags(&self.0, &own.0);
        let mut all = self.overlaid(own);
        all.0.retain(|(name, _)| head(name) != TAGS);
        all.0.extend(tags);
        for (name, _) in &mut all.0 {
            if name == "RamDiskId" {
                // The one parameter that has another name at a launch.
                "RamdiskId".clone_into(name);
            }
        }
        all.params()
    }
}

fn head(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// What replaces what: a member of a structure by its path, a list as a whole, and things that exclude each other as
/// one.
fn slot(name: &str) -> &str {
    match head(name) {
        "SecurityGroup" | "SecurityGroupId" => "SecurityGroupId",
        "InstanceType" | "InstanceRequirements" => "InstanceType",
        one @ ("IamInstanceProfile" | "InstanceMarketOptions" | "CapacityReservationSpecification") => one,
        "Placement" if name.starts_with("Placement.AvailabilityZone") => "Placement.AvailabilityZone",
        "Placement" if name.starts_with("Placement.Group") => "Placement.Group",
        "Placement" if name.starts_with("Placement.Host") => "Placement.Host",
        _ => {
            let mut end = 0;
            for part in name.split('.') {
                if part.starts_with(|c: char| c.is_ascii_digit()) {
                    return &name[..end - 1];
                }
                end += part.len() + 1;
            }
            name
        }
    }
}

/// One entry of the list of tags: its index and what is said of it.
type Entry<'a> = (&'a str, Vec<(&'a str, &'a str)>);

/// The entries of a list, in the order of their indices.
fn entries<'a>(pairs: &'a [(String, String)], list: &str) -> Vec<Entry<'a>> {
    let mut out: Vec<Entry<'a>> = Vec::new();
    for (name, value) in pairs {
        let Some(rest) = name.strip_prefix(list).and_then(|rest| rest.strip_prefix('.')) else { continue };
        let (index, member) = rest.split_once('.').unwrap_or((rest, ""));
        match out.iter_mut().find(|(known, _)| *known == index) {
            Some((_, members)) => members.push((member, value)),
            None => out.push((index, vec![(member, value)])),
        }
    }
    out.sort_by_key(|(index, _)| index.parse::<u32>().unwrap_or(u32::MAX));
    out
}

fn member<'a>(members: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    members.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// A launch's tags and those of its template; of one key of one kind of resource the launch's own.
fn merged_tags(template: &[(String, String)], own: &[(String, String)]) -> Vec<(String, String)> {
    let own_tags: Vec<(String, String)> = own.iter().filter(|(name, _)| head(name) == TAGS).cloned().collect();
    let own_entries = entries(&own_tags, TAGS);
    let next = own_entries.iter().filter_map(|(index, _)| index.parse::<u32>().ok()).max().unwrap_or(0) + 1;
    let mut out = own_tags.clone();
    for (offset, (_, said)) in (0u32..).zip(entries(template, TAGS)) {
        let kind = member(&said, "ResourceType").unwrap_or_default();
        let mine = own_entries.iter().find(|(_, own)| member(own, "ResourceType") == Some(kind));
        let pairs: Vec<(String, String)> = said.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let Some((index, mine)) = mine else {
            out.extend(pairs.into_iter().map(|(name, value)| (format!("{TAGS}.{}.{name}", next + offset), value)));
            continue;
        };
        let mine: Vec<(String, String)> = mine.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let own_list = entries(&mine, "Tag");
        let keys: Vec<&str> = own_list.iter().filter_map(|(_, tag)| member(tag, "Key")).collect();
        let mut at = own_list.iter().filter_map(|(index, _)| index.parse::<u32>().ok()).max().unwrap_or(0);
        for (_, tag) in entries(&pairs, "Tag") {
            if member(&tag, "Key").is_some_and(|key| keys.contains(&key)) {
                continue;
            }
            at += 1;
            out.extend(
                tag.iter().map(|(name, value)| (format!("{TAGS}.{index}.Tag.{at}.{name}"), (*value).to_owned())),
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> Data {
        Data(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn launch(template: &[(&str, &str)], own: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = Params::from_pairs(own.iter().copied()).unwrap();
        let merged = data(template).launch(&own).unwrap();
        merged.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_is_said_at_the_launch_goes_before() {
        let template = [
            ("ImageId", "ami-1"),
            ("InstanceType", "t3.nano"),
            ("MetadataOptions.HttpTokens", "required"),
            ("MetadataOptions.HttpPutResponseHopLimit", "3"),
            ("Placement.GroupName", "pack"),
            ("SecurityGroup.1", "web"),
            ("SecurityGroup.2", "db"),
        ];
        let own = [
            ("InstanceType", "t3.micro"),
            ("LaunchTemplate.LaunchTemplateName", "web"),
            ("LaunchTemplate.Version", "$Latest"),
            ("MetadataOptions.HttpTokens", "optional"),
            ("Placement.AvailabilityZone", "zone-b"),
            ("SecurityGroupId.1", "sg-1"),
        ];
        let merged = launch(&template, &own);
        let want = [
            ("ImageId", "ami-1"),
            ("InstanceType", "t3.micro"),
            ("MetadataOptions.HttpPutResponseHopLimit", "3"),
            ("MetadataOptions.HttpTokens", "optional"),
            ("Placement.AvailabilityZone", "zone-b"),
            ("Placement.GroupName", "pack"),
            ("SecurityGroupId.1", "sg-1"),
        ];
        let want: Vec<(String, String)> = want.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(merged, want);
    }

    #[test]
    fn tags_of_both_are_set_and_the_launchs_own_win() {
        let template = [
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.1.Value", "template"),
            ("TagSpecification.1.Tag.2.Key", "Team"),
            ("TagSpecification.1.Tag.2.Value", "a"),
            ("TagSpecification.2.ResourceType", "volume"),
            ("TagSpecification.2.Tag.1.Key", "V"),
        ];
        let own = [
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.1.Value", "launch"),
        ];
        let merged = launch(&template, &own);
        let get = |name: &str| merged.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(get("TagSpecification.1.Tag.1.Value"), Some("launch"));
        assert_eq!(get("TagSpecification.1.Tag.2.Key"), Some("Team"));
        assert_eq!(get("TagSpecification.3.ResourceType"), Some("volume"));
        assert_eq!(merged.iter().filter(|(name, _)| name.ends_with(".Key")).count(), 3);
    }

    #[test]
    fn a_version_keeps_what_its_successor_does_not_say() {
        let old =
            data(&[("NetworkInterface.1.DeviceIndex", "0"), ("NetworkInterface.2.DeviceIndex", "1"), ("KeyName", "k")]);
        let new = old.overlaid(data(&[("NetworkInterface.1.DeviceIndex", "0")]));
        assert_eq!(new, data(&[("KeyName", "k"), ("NetworkInterface.1.DeviceIndex", "0")]));
        assert_eq!(Data::from_text(&new.to_text()).unwrap(), new);
        assert!(new.says("KeyName") && !new.says("ImageId"));
    }

    #[test]
    fn one_name_differs_at_a_launch() {
        assert_eq!(launch(&[("RamDiskId", "ari-1")], &[]), [("RamdiskId".to_owned(), "ari-1".to_owned())]);
    }
}
