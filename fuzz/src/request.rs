//! An S3 request: it names an operation or is refused, and no header makes a reader stumble. Its body is read as the
//! policy of a bucket.

use crate::lines::request;
use mallee_s3::fuzz;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((head, body)) = request(data) else { return };
    for domains in [vec![], vec!["s3.example.com".to_owned()]] {
        drop(fuzz::request(&head, &domains));
    }
    fuzz::headers(&head.headers);
    fuzz::bucket_policy(body);
}
