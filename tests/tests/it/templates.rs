//! Launch templates over HTTP: what is launched from them.

use mallee_tests::TestCloud;
use mallee_types::InstanceState;

async fn refused(cloud: &mut TestCloud, action: &str, params: &[(&str, &str)]) -> String {
    cloud.call(action, params).await.expect_err("it is to be refused").to_string()
}

#[tokio::test]
async fn a_launch_takes_from_its_template_what_it_does_not_say() {
    let mut cloud = TestCloud::start().await;
    let image = cloud.image().await;
    let create = [
        ("LaunchTemplateName", "web"),
        ("LaunchTemplateData.ImageId", image.as_str()),
        ("LaunchTemplateData.InstanceType", "t3.micro"),
        ("LaunchTemplateData.UserData", "IyEvYmluL3NoCg=="),
        ("LaunchTemplateData.MetadataOptions.HttpTokens", "optional"),
        ("LaunchTemplateData.TagSpecification.1.ResourceType", "instance"),
        ("LaunchTemplateData.TagSpecification.1.Tag.1.Key", "Name"),
        ("LaunchTemplateData.TagSpecification.1.Tag.1.Value", "from-template"),
    ];
    let reply = cloud.insist("CreateLaunchTemplate", &create).await;
    let template = reply.first("launchTemplateId").expect("an id").to_owned();
    assert_eq!(reply.first("code"), None, "nothing to warn of: {}", reply.0);
    let error = refused(&mut cloud, "CreateLaunchTemplate", &create).await;
    assert!(error.contains("InvalidLaunchTemplateName.AlreadyExistsException"), "{error}");

    let version = [
        ("LaunchTemplateId", template.as_str()),
        ("SourceVersion", "1"),
        ("LaunchTemplateData.InstanceType", "t3.small"),
        ("LaunchTemplateData.KernelId", "aki-1"),
    ];
    let reply = cloud.insist("CreateLaunchTemplateVersion", &version).await;
    assert_eq!(reply.first("versionNumber"), Some("2"));
    assert_eq!(reply.first("imageId"), Some(image.as_str()), "what version 1 said: {}", reply.0);
    assert!(reply.all("message").iter().any(|text| text.contains("KernelId")), "a warning names it: {}", reply.0);

    let launch = [("LaunchTemplate.LaunchTemplateName", "web"), ("MinCount", "1"), ("MaxCount", "1")];
    let reply = cloud.insist("RunInstances", &launch).await;
    assert_eq!(reply.first("instanceType"), Some("t3.micro"), "the default version is 1");
    assert_eq!(reply.first("httpTokens"), Some("optional"));
    let id = reply.first("instanceId").expect("an id").to_owned();
    for value in ["from-template", template.as_str(), "aws:ec2launchtemplate:version"] {
        assert!(reply.0.contains(value), "{value}: {}", reply.0);
    }
    cloud.until_state(&id.parse().unwrap(), InstanceState::Running).await;
    let data = cloud.insist("GetLaunchTemplateData", &[("InstanceId", &id)]).await;
    assert_eq!(data.first("userData"), Some("IyEvYmluL3NoCg=="));
    assert_eq!(data.first("instanceType"), Some("t3.micro"));

    // What an instance cannot have is refused by name when one is launched, not when the template is made.
    let latest = [launch[0], launch[1], launch[2], ("LaunchTemplate.Version", "$Latest")];
    let error = refused(&mut cloud, "RunInstances", &latest).await;
    assert!(error.contains("KernelId"), "{error}");
    let own = [
        launch[0],
        launch[1],
        launch[2],
        ("InstanceType", "t3.nano"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "own"),
    ];
    let reply = cloud.insist("RunInstances", &own).await;
    assert_eq!(reply.first("instanceType"), Some("t3.nano"));
    assert!(reply.0.contains("<value>own</value>") && !reply.0.contains("from-template"), "{}", reply.0);
    let error =
        refused(&mut cloud, "DeleteTags", &[("ResourceId.1", &id), ("Tag.1.Key", "aws:ec2launchtemplate:id")]).await;
    assert!(error.contains("aws:"), "{error}");
    cloud.clear().await;
}

#[tokio::test]
async fn versions_come_and_go() {
    let mut cloud = TestCloud::start().await;
    let create = [
        ("LaunchTemplateName", "web"),
        ("LaunchTemplateData.InstanceType", "t3.nano"),
        ("ClientToken", "once"),
        ("TagSpecification.1.ResourceType", "launch-template"),
        ("TagSpecification.1.Tag.1.Key", "Team"),
        ("TagSpecification.1.Tag.1.Value", "a"),
    ];
    let first = cloud.insist("CreateLaunchTemplate", &create).await;
    let again = cloud.insist("CreateLaunchTemplate", &create).await;
    let id = first.first("launchTemplateId").expect("an id").to_owned();
    assert_eq!(again.first("launchTemplateId"), Some(id.as_str()), "one token, one template");
    for size in ["t3.micro", "t3.small", "t3.medium"] {
        let version = [("LaunchTemplateName", "web"), ("LaunchTemplateData.InstanceType", size)];
        cloud.insist("CreateLaunchTemplateVersion", &version).await;
    }
    let one = ("LaunchTemplateId", id.as_str());
    let page = cloud.insist("DescribeLaunchTemplateVersions", &[one, ("MaxResults", "3")]).await;
    assert_eq!(page.all("versionNumber"), ["4", "3", "2"]);
    let token = page.first("nextToken").expect("one is left").to_owned();
    let page = cloud.insist("DescribeLaunchTemplateVersions", &[one, ("NextToken", &token)]).await;
    assert_eq!((page.all("versionNumber"), page.first("nextToken")), (vec!["1"], None));
    let range = [one, ("MinVersion", "2"), ("MaxVersion", "3")];
    assert_eq!(cloud.insist("DescribeLaunchTemplateVersions", &range).await.all("versionNumber"), ["3", "2"]);
    let filter = [one, ("Filter.1.Name", "instance-type"), ("Filter.1.Value.1", "t3.s*")];
    assert_eq!(cloud.insist("DescribeLaunchTemplateVersions", &filter).await.all("versionNumber"), ["3"]);
    let everywhere = [("LaunchTemplateVersion.1", "$Latest"), ("LaunchTemplateVersion.2", "$Default")];
    assert_eq!(cloud.insist("DescribeLaunchTemplateVersions", &everywhere).await.all("versionNumber"), ["4", "1"]);
    let error = refused(&mut cloud, "DescribeLaunchTemplateVersions", &[one, ("LaunchTemplateVersion.1", "9")]).await;
    assert!(error.contains("InvalidLaunchTemplateId.VersionNotFound"), "{error}");

    let modified = cloud.insist("ModifyLaunchTemplate", &[one, ("SetDefaultVersion", "2")]).await;
    assert_eq!((modified.first("defaultVersionNumber"), modified.first("latestVersionNumber")), (Some("2"), Some("4")));
    let versions = [
        one,
        ("LaunchTemplateVersion.1", "1"),
        ("LaunchTemplateVersion.2", "2"),
        ("LaunchTemplateVersion.3", "4"),
        ("LaunchTemplateVersion.4", "9"),
    ];
    let gone = cloud.insist("DeleteLaunchTemplateVersions", &versions).await;
    assert_eq!(gone.all("versionNumber"), ["1", "4", "2", "9"], "{}", gone.0);
    assert_eq!(gone.all("code"), ["unexpectedError", "launchTemplateVersionDoesNotExist"]);
    let by_tag = [("Filter.1.Name", "tag:Team"), ("Filter.1.Value.1", "a")];
    let shown = cloud.insist("DescribeLaunchTemplates", &by_tag).await;
    assert_eq!((shown.first("launchTemplateName"), shown.first("latestVersionNumber")), (Some("web"), Some("3")));
    cloud.insist("DeleteLaunchTemplate", &[one]).await;
    let error = refused(&mut cloud, "DescribeLaunchTemplates", &[("LaunchTemplateId.1", &id)]).await;
    assert!(error.contains("InvalidLaunchTemplateId.NotFound"), "{error}");
    assert!(cloud.insist("DescribeTags", &[]).await.first("key").is_none(), "its tags went with it");
}
