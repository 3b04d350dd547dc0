//! The credential report: what credentials an account's users have, as CSV.

use super::logins::{DAY_MS, usual_rules};
use super::users;
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_runtime::clock::from_unix_ms;
use mallee_store::{
    AccessKeyRow, AccessKeyUseRow, CredentialReportRow, LoginProfileRow, PasswordRules, SigningCertificateRow, UserRow,
    access_key_list_account, access_key_use_list, account_fetch, credential_report_fetch, credential_report_put,
    login_profile_list, mfa_device_list, password_rules_fetch, signing_certificate_list_account, user_list,
};
use std::collections::{BTreeMap, BTreeSet};

/// The report's first line (IAM User Guide, "Getting credential reports").
const HEAD: &str = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,\
password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,\
access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,\
cert_1_last_rotated,cert_2_active,cert_2_last_rotated";
/// A report younger than this is given out again (AWS: four hours).
const FRESH_MS: i64 = 4 * 60 * 60 * 1000;
/// Devices of an account that are read: 8 of each of 5000 users do not occur.
const DEVICES_MAX: u32 = 10_000;
const NONE: &str = "N/A";

/// What a report is made of.
struct Books {
    rules: PasswordRules,
    logins: BTreeMap<String, LoginProfileRow>,
    keys: BTreeMap<String, Vec<AccessKeyRow>>,
    uses: BTreeMap<String, AccessKeyUseRow>,
    certificates: BTreeMap<String, Vec<SigningCertificateRow>>,
    with_mfa: BTreeSet<String>,
}

fn time(ms: i64) -> String {
    let t = from_unix_ms(ms);
    let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}+00:00", t.hour(), t.minute(), t.second())
}

impl Books {
    fn line(&self, user: &UserRow) -> String {
        let mut cells = vec![user.name.clone(), users::arn(user), time(user.created_ms)];
        match self.logins.get(&user.id) {
            None => cells.extend(["false", NONE, NONE, NONE].map(str::to_owned)),
            Some(login) => {
                let next = self.rules.max_age_days.map(|days| time(login.changed_ms + i64::from(days) * DAY_MS));
                cells.push("true".to_owned());
                cells.push(login.last_used_ms.map_or_else(|| "no_information".to_owned(), time));
                cells.push(time(login.changed_ms));
                cells.push(next.unwrap_or_else(|| NONE.to_owned()));
            }
        }
        cells.push(self.with_mfa.contains(&user.id).to_string());
        let mut keys = self.keys.get(&user.id).into_iter().flatten();
        for _ in 0..2 {
            match keys.next() {
                None => cells.extend(["false", NONE, NONE, NONE, NONE].map(str::to_owned)),
                Some(key) => {
                    cells.extend([key.active.to_string(), time(key.created_ms)]);
                    match self.uses.get(&key.id) {
                        None => cells.extend([NONE, NONE, NONE].map(str::to_owned)),
                        Some(used) => cells.extend([time(used.used_ms), used.region.clone(), used.service.clone()]),
                    }
                }
            }
        }
        let mut certificates = self.certificates.get(&user.id).into_iter().flatten();
        for _ in 0..2 {
            match certificates.next() {
                None => cells.extend(["false", NONE].map(str::to_owned)),
                Some(certificate) => cells.extend([certificate.active.to_string(), time(certificate.created_ms)]),
            }
        }
        cells.join(",")
    }
}

fn by_user<T>(rows: Vec<T>, user: impl Fn(&T) -> String) -> BTreeMap<String, Vec<T>> {
    let mut out: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for row in rows {
        out.entry(user(&row)).or_default().push(row);
    }
    out
}

impl Cloud {
    async fn credential_csv(&self, cx: &OpContext) -> Result<String, ApiError> {
        let (store, account) = (self.store(), cx.account());
        let mut keys = by_user(access_key_list_account(store, account).await.or_fail()?, |key| key.user_id.clone());
        for keys in keys.values_mut() {
            keys.sort_by_key(|key| key.created_ms);
        }
        let logins = login_profile_list(store, account).await.or_fail()?;
        let uses = access_key_use_list(store, account).await.or_fail()?;
        let devices = mfa_device_list(store, account, None, Some(true), None, DEVICES_MAX).await.or_fail()?;
        let certificates = signing_certificate_list_account(store, account).await.or_fail()?;
        let books = Books {
            rules: password_rules_fetch(store, account).await.or_fail()?.unwrap_or_else(usual_rules),
            logins: logins.into_iter().map(|login| (login.user_id.clone(), login)).collect(),
            keys,
            uses: uses.into_iter().map(|used| (used.key_id.clone(), used)).collect(),
            certificates: by_user(certificates, |row| row.user_id.clone()),
            with_mfa: devices.into_iter().filter_map(|device| device.user_id).collect(),
        };
        let root = account_fetch(store, account).await.or_fail()?;
        let root_cells = [
            "<root_account>".to_owned(),
            format!("arn:aws:iam::{account}:root"),
            time(root.created_ms),
            // The root of an account of this cloud has no credentials of its own.
            format!("not_supported,{NONE},not_supported,not_supported,false"),
            [format!("false,{NONE},{NONE},{NONE},{NONE}"), format!("false,{NONE},{NONE},{NONE},{NONE}")].join(","),
            format!("false,{NONE},false,{NONE}"),
        ];
        let mut lines = vec![HEAD.to_owned(), root_cells.join(",")];
        lines.extend(user_list(store, account).await.or_fail()?.iter().map(|user| books.line(user)));
        Ok(lines.join("\n"))
    }

    /// `GenerateCredentialReport`: makes one if the last is older than four hours. It is complete when this answers.
    ///
    /// # Errors
    /// `AccessDenied`; what the database says.
    pub async fn generate_credential_report(&self, cx: &OpContext) -> Result<(), ApiError> {
        let now_ms = self.clock().now_ms();
        let last = credential_report_fetch(self.store(), cx.account()).await.or_fail()?;
        if last.is_some_and(|report| now_ms - report.created_ms < FRESH_MS) {
            return Ok(());
        }
        let content = self.credential_csv(cx).await?;
        let row = CredentialReportRow { account_id: cx.account().clone(), content, created_ms: now_ms };
        let mut tx = self.store().write().await.or_fail()?;
        credential_report_put(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `GetCredentialReport`.
    ///
    /// # Errors
    /// `ReportNotPresent`, `ReportExpired`, `AccessDenied`.
    pub async fn credential_report(&self, cx: &OpContext) -> Result<CredentialReportRow, ApiError> {
        let found = credential_report_fetch(self.store(), cx.account()).await.or_fail()?;
        let found = found.ok_or_else(|| Code::ReportNotPresent.error())?;
        if self.clock().now_ms() - found.created_ms >= FRESH_MS {
            return Err(Code::ReportExpired.error());
        }
        Ok(found)
    }
}
