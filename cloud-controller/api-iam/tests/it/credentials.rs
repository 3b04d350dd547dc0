//! Credentials beside access keys: passwords, devices, certificates, providers, the report.

use crate::fixture::{Fixture, texts};
use base64::Engine as _;
use mallee_app::iam::totp;

#[tokio::test(flavor = "multi_thread")]
async fn passwords_follow_the_accounts_rules() {
    let f = Fixture::new().await;
    let user = ("UserName", "u");
    f.ok("CreateUser", &[user]).await;
    assert_eq!(f.error("GetAccountPasswordPolicy", &[]).await.0, "NoSuchEntity");
    let rules = [("MinimumPasswordLength", "10"), ("RequireNumbers", "true"), ("PasswordReusePrevention", "2")];
    f.ok("UpdateAccountPasswordPolicy", &rules).await;
    assert_eq!(f.text("GetAccountPasswordPolicy", &[], "MinimumPasswordLength").await, "10");
    let (code, text) = f.error("CreateLoginProfile", &[user, ("Password", "short1")]).await;
    assert_eq!((code, text.as_str()), ("PasswordPolicyViolation", "Password should have a minimum length of 10"));
    f.ok("CreateLoginProfile", &[user, ("Password", "first-password-1"), ("PasswordResetRequired", "true")]).await;
    assert_eq!(f.error("CreateLoginProfile", &[user, ("Password", "first-password-1")]).await.0, "EntityAlreadyExists");
    assert_eq!(f.text("GetLoginProfile", &[user], "PasswordResetRequired").await, "true");
    f.ok("UpdateLoginProfile", &[user, ("Password", "second-password-2")]).await;
    let again = f.error("UpdateLoginProfile", &[user, ("Password", "first-password-1")]).await;
    assert_eq!(again.0, "PasswordPolicyViolation");
    assert_eq!(f.error("DeleteUser", &[user]).await.1, "Cannot delete entity, must delete login profile first.");
    // The caller's own.
    f.ok("CreateLoginProfile", &[("UserName", "admin"), ("Password", "admins-password-1")]).await;
    let wrong = [("OldPassword", "wrong"), ("NewPassword", "admins-password-2")];
    assert_eq!(f.error("ChangePassword", &wrong).await.0, "AccessDenied");
    f.ok("ChangePassword", &[("OldPassword", "admins-password-1"), ("NewPassword", "admins-password-2")]).await;
    f.ok("DeleteLoginProfile", &[user]).await;
    assert_eq!(f.error("GetLoginProfile", &[user]).await.1, "Login Profile for User u cannot be found.");
    f.ok("DeleteAccountPasswordPolicy", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_enabled_by_two_codes() {
    let f = Fixture::new().await;
    let user = ("UserName", "u");
    f.ok("CreateUser", &[user]).await;
    let made = f.call("CreateVirtualMFADevice", &[("VirtualMFADeviceName", "phone")]).await.unwrap();
    let serial = texts(&made, "SerialNumber").remove(0);
    assert_eq!(serial, f.arn("mfa/phone"));
    let decode = |name: &str| base64::engine::general_purpose::STANDARD.decode(&texts(&made, name)[0]).unwrap();
    assert!(decode("QRCodePNG").starts_with(b"\x89PNG"));
    let seed = String::from_utf8(decode("Base32StringSeed")).unwrap().into();
    let serial = ("SerialNumber", serial.as_str());
    let now = totp::step(f.cloud.clock().now_ms());
    let (first, second) = (totp::code(&seed, now - 1), totp::code(&seed, now));
    let codes = [("AuthenticationCode1", second.as_str()), ("AuthenticationCode2", first.as_str())];
    assert_eq!(f.error("EnableMFADevice", &[user, serial, codes[0], codes[1]]).await.0, "InvalidAuthenticationCode");
    let codes = [("AuthenticationCode1", first.as_str()), ("AuthenticationCode2", second.as_str())];
    f.ok("EnableMFADevice", &[user, serial, codes[0], codes[1]]).await;
    assert_eq!(f.text("ListMFADevices", &[user], "UserName").await, "u");
    assert_eq!(f.text("ListVirtualMFADevices", &[("AssignmentStatus", "Assigned")], "UserName").await, "u");
    assert_eq!(f.error("ResyncMFADevice", &[user, serial, codes[0], codes[1]]).await.0, "InvalidAuthenticationCode");
    let (code, text) = f.error("DeleteVirtualMFADevice", &[serial]).await;
    assert_eq!((code, text.as_str()), ("DeleteConflict", "MFA VirtualDevice in use. Must deactivate first."));
    f.ok("DeactivateMFADevice", &[user, serial]).await;
    f.ok("DeleteVirtualMFADevice", &[serial]).await;
    assert_eq!(f.error("DeleteVirtualMFADevice", &[serial]).await.0, "NoSuchEntity");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked() {
    let f = Fixture::new().await;
    let make = || rcgen::generate_simple_self_signed(vec!["example.org".to_owned()]).unwrap();
    let (one, two) = (make(), make());
    let (body, key, other) = (one.cert.pem(), one.signing_key.serialize_pem(), two.signing_key.serialize_pem());
    let name = ("ServerCertificateName", "web");
    let with = |key: &'static str, text: &str| (key, text.to_owned());
    let upload = [with("CertificateBody", &body), with("PrivateKey", &other)];
    let pairs: Vec<(&str, &str)> = upload.iter().map(|(k, v)| (*k, v.as_str())).chain([name]).collect();
    assert_eq!(f.error("UploadServerCertificate", &pairs).await.0, "KeyPairMismatch");
    let pairs = [name, ("CertificateBody", body.as_str()), ("PrivateKey", key.as_str())];
    f.ok("UploadServerCertificate", &pairs).await;
    assert_eq!(f.error("UploadServerCertificate", &pairs).await.0, "EntityAlreadyExists");
    assert_eq!(f.text("GetServerCertificate", &[name], "Arn").await, f.arn("server-certificate/web"));
    f.ok("UpdateServerCertificate", &[name, ("NewServerCertificateName", "site")]).await;
    f.ok("DeleteServerCertificate", &[("ServerCertificateName", "site")]).await;
    let cert = ("CertificateBody", body.as_str());
    let id = f.text("UploadSigningCertificate", &[cert], "CertificateId").await;
    assert_eq!(f.error("UploadSigningCertificate", &[cert]).await.0, "DuplicateCertificate");
    assert_eq!(f.error("UploadSigningCertificate", &[("CertificateBody", "x")]).await.0, "MalformedCertificate");
    f.ok("UpdateSigningCertificate", &[("CertificateId", &id), ("Status", "Inactive")]).await;
    assert_eq!(f.text("ListSigningCertificates", &[], "Status").await, "Inactive");
    f.ok("DeleteSigningCertificate", &[("CertificateId", &id)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_and_the_report() {
    let f = Fixture::new().await;
    let url = ("Url", "https://id.example.org/realm");
    let arn = f.text("CreateOpenIDConnectProvider", &[url], "OpenIDConnectProviderArn").await;
    assert_eq!(arn, f.arn("oidc-provider/id.example.org/realm"));
    assert_eq!(f.error("CreateOpenIDConnectProvider", &[url]).await.0, "EntityAlreadyExists");
    let provider = ("OpenIDConnectProviderArn", arn.as_str());
    f.ok("AddClientIDToOpenIDConnectProvider", &[provider, ("ClientID", "app")]).await;
    assert_eq!(f.text("GetOpenIDConnectProvider", &[provider], "Url").await, "id.example.org/realm");
    f.ok("RemoveClientIDFromOpenIDConnectProvider", &[provider, ("ClientID", "app")]).await;
    f.ok("DeleteOpenIDConnectProvider", &[provider]).await;
    assert_eq!(f.error("GetOpenIDConnectProvider", &[provider]).await.0, "NoSuchEntity");
    assert_eq!(f.error("GetCredentialReport", &[]).await.0, "ReportNotPresent");
    assert_eq!(f.text("GenerateCredentialReport", &[], "State").await, "COMPLETE");
    let content = f.text("GetCredentialReport", &[], "Content").await;
    let csv = base64::engine::general_purpose::STANDARD.decode(content).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert!(lines.iter().all(|line| line.len() == 22), "{csv}");
    assert_eq!((lines[1][0], lines[2][0], lines[2][8]), ("<root_account>", "admin", "true"));
}
