//! What is read from a guest's console and screen, and the interrupt: GetConsoleOutput, GetPasswordData,
//! GetConsoleScreenshot, SendDiagnosticInterrupt, ReportInstanceStatus.

use crate::Ec2Api;
use crate::common::{dry_run, refuse, time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mallee_app::OpContext;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;

/// What ReportInstanceStatus takes as reasons (EC2's reference of it).
const REASONS: [&str; 9] = [
    "instance-stuck-in-state",
    "unresponsive",
    "not-accepting-credentials",
    "password-not-available",
    "performance-network",
    "performance-instance-store",
    "performance-ebs-volume",
    "performance-other",
    "other",
];

/// The newest encrypted password that a Windows guest's launch service printed: base64 between two marks.
fn password(console: &[u8]) -> String {
    let text = String::from_utf8_lossy(console);
    let newest = text.rsplit_once("<Password>").and_then(|(_, rest)| rest.split_once("</Password>"));
    let plain: String = newest.map(|(data, _)| data.split_whitespace().collect()).unwrap_or_default();
    if STANDARD.decode(&plain).is_ok() { plain } else { String::new() }
}

impl Ec2Api {
    pub(crate) async fn get_console_output(
        &self,
        cx: &OpContext,
        r: GetConsoleOutputRequest,
    ) -> Result<GetConsoleOutputResult, ApiError> {
        let GetConsoleOutputRequest { dry_run: dry, instance_id, latest: _always_the_latest } = r;
        let id = instance_id.unwrap_or_default();
        self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?;
        dry_run(dry)?;
        let (output, read_at_ms) = self.cloud.console_output(cx, &id).await?;
        Ok(GetConsoleOutputResult {
            instance_id: Some(id),
            output: Some(STANDARD.encode(output)),
            timestamp: time(read_at_ms),
        })
    }

    pub(crate) async fn get_password_data(
        &self,
        cx: &OpContext,
        r: GetPasswordDataRequest,
    ) -> Result<GetPasswordDataResult, ApiError> {
        let GetPasswordDataRequest { dry_run: dry, instance_id } = r;
        let id = instance_id.unwrap_or_default();
        self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?;
        dry_run(dry)?;
        let (output, read_at_ms) = self.cloud.console_output(cx, &id).await?;
        Ok(GetPasswordDataResult {
            instance_id: Some(id),
            // Encrypted by the guest with the launch's public key; empty where there is none, as on EC2.
            password_data: Some(password(&output).into()),
            timestamp: time(read_at_ms),
        })
    }

    pub(crate) async fn get_console_screenshot(
        &self,
        cx: &OpContext,
        r: GetConsoleScreenshotRequest,
    ) -> Result<GetConsoleScreenshotResult, ApiError> {
        let GetConsoleScreenshotRequest { dry_run: dry, instance_id, wake_up } = r;
        refuse("WakeUp", wake_up == Some(true))?;
        let id = instance_id.unwrap_or_default();
        let png = self.cloud.screenshot(cx, &id, dry == Some(true)).await?;
        Ok(GetConsoleScreenshotResult { image_data: Some(STANDARD.encode(png)), instance_id: Some(id) })
    }

    pub(crate) async fn send_diagnostic_interrupt(
        &self,
        cx: &OpContext,
        r: SendDiagnosticInterruptRequest,
    ) -> Result<(), ApiError> {
        let SendDiagnosticInterruptRequest { dry_run, instance_id } = r;
        self.cloud.interrupt(cx, &instance_id.unwrap_or_default(), dry_run == Some(true)).await
    }

    /// The cloud's operator reads it in the log: it changes nothing of the instance, as on EC2.
    pub(crate) async fn report_instance_status(
        &self,
        cx: &OpContext,
        r: ReportInstanceStatusRequest,
    ) -> Result<(), ApiError> {
        // What a user writes may be secret: it is not logged.
        let ReportInstanceStatusRequest {
            description: _for_people,
            dry_run: dry,
            end_time,
            instances,
            reason_codes,
            start_time,
            status,
        } = r;
        let status = status.ok_or_else(|| ApiError::missing_parameter("Status"))?;
        if status != "ok" && status != "impaired" {
            return Err(ApiError::invalid_value("Status", &status, "Valid values are ok and impaired."));
        }
        if reason_codes.is_empty() {
            return Err(ApiError::missing_parameter("ReasonCode"));
        }
        if let Some(other) = reason_codes.iter().find(|code| !REASONS.contains(&code.as_str())) {
            let why = format!("Valid values are: {}.", REASONS.join(", "));
            return Err(ApiError::invalid_value("ReasonCode", other, &why));
        }
        if start_time.zip(end_time).is_some_and(|(start, end)| end < start) {
            return Err(Code::InvalidParameterValue.message("EndTime must not be before StartTime"));
        }
        let rows = self.cloud.find_instances(cx, &instances).await?;
        dry_run(dry)?;
        for row in rows {
            let node = row.node_id.as_ref().map(AsRef::<str>::as_ref).unwrap_or_default();
            tracing::warn!(instance = %row.id, node, status, reasons = ?reason_codes, account = %cx.account(), "a user reports the status of an instance");
        }
        Ok(())
    }

    /// Guests boot by BIOS: there are no UEFI variables to give.
    pub(crate) async fn get_instance_uefi_data(
        &self,
        cx: &OpContext,
        r: GetInstanceUefiDataRequest,
    ) -> Result<GetInstanceUefiDataResult, ApiError> {
        let GetInstanceUefiDataRequest { dry_run: dry, instance_id } = r;
        let id = instance_id.unwrap_or_default();
        self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?;
        dry_run(dry)?;
        Err(Code::UnsupportedOperation
            .message(format!("The instance '{id}' boots in legacy-bios mode and has no UEFI variable store.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_password_is_taken_and_nothing_else() {
        assert_eq!(password(b"<Password>\r\nYWJj\r\n</Password> x <Password>\nZGVm\n</Password>\n"), "ZGVm");
        assert_eq!(password(b"login: "), "");
        assert_eq!(password(b"<Password>cut off"), "");
        assert_eq!(password(b"<Password>no base64!</Password>"), "");
    }
}
