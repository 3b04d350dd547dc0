//! The credential report.

use crate::IdentityApi;
use crate::parts::time;
use mallee_app::OpContext;
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    GenerateCredentialReportRequest, GenerateCredentialReportResponse, GetCredentialReportRequest,
    GetCredentialReportResponse,
};

impl IdentityApi {
    pub(crate) async fn generate_credential_report(
        &self,
        cx: &OpContext,
        r: GenerateCredentialReportRequest,
    ) -> Result<GenerateCredentialReportResponse, ApiError> {
        let GenerateCredentialReportRequest {} = r;
        self.cloud.generate_credential_report(cx).await?;
        Ok(GenerateCredentialReportResponse { description: None, state: Some("COMPLETE".to_owned()) })
    }

    pub(crate) async fn get_credential_report(
        &self,
        cx: &OpContext,
        r: GetCredentialReportRequest,
    ) -> Result<GetCredentialReportResponse, ApiError> {
        let GetCredentialReportRequest {} = r;
        let report = self.cloud.credential_report(cx).await?;
        Ok(GetCredentialReportResponse {
            content: Some(report.content.into_bytes()),
            generated_time: time(report.created_ms),
            report_format: Some("text/csv".to_owned()),
        })
    }
}
