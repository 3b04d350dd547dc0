//! S3 served by Walrus in this process.

use crate::front::S3Service;
use axum::extract::Request;
use axum::response::Response;
use tower::ServiceExt as _;

/// Walrus's router as the front door's S3 service.
#[derive(Debug, Clone)]
pub struct LocalS3 {
    router: axum::Router,
    domains: Vec<String>,
}

impl LocalS3 {
    /// Over this router, which knows these domains of virtual hosts.
    #[must_use]
    pub const fn new(router: axum::Router, domains: Vec<String>) -> Self {
        Self { router, domains }
    }
}

#[async_trait::async_trait]
impl S3Service for LocalS3 {
    fn domains(&self) -> &[String] {
        &self.domains
    }

    async fn call(&self, request: Request) -> Response {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
