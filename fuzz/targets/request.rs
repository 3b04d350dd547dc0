//! The head of an S3 request: it names an operation or is refused, and no header makes a reader stumble.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mallee_fuzz::request;
use mallee_s3::fuzz;

fuzz_target!(|data: &[u8]| {
    let Some((head, _)) = request(data) else { return };
    for domains in [vec![], vec!["s3.example.com".to_owned()]] {
        drop(fuzz::request(&head, &domains));
    }
    fuzz::headers(&head.headers);
});
