//! S3 served by Walrus in this process.

use crate::front::S3Service;
use axum::extract::Request;
use axum::response::Response;
use tower::ServiceExt as _;

/// Walrus's router as the front door's S3 service.
#[derive(Debug, Clone)]
pub struct LocalS3(axum::Router);

impl LocalS3 {
    /// Over this router.
    #[must_use]
    pub const fn new(router: axum::Router) -> Self {
        Self(router)
    }
}

#[async_trait::async_trait]
impl S3Service for LocalS3 {
    async fn call(&self, request: Request) -> Response {
        match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
