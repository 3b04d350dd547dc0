//! Storage classes. Here they are labels: all bytes are kept alike, and none needs a restore before it can be read
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html>).

use mallee_awswire::{ApiError, Code};

/// The classes that an object can have.
pub const STORAGE_CLASSES: &[&str] =
    &["STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"];
/// AWS's others: what has one must be restored before it is read, or is kept elsewhere.
const REFUSED: &[&str] =
    &["GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP"];

/// Whether an object can have a class.
///
/// # Errors
/// `NotImplemented` for AWS's others, `InvalidStorageClass` for what is none.
pub fn check_storage_class(class: &str) -> Result<(), ApiError> {
    if STORAGE_CLASSES.contains(&class) {
        return Ok(());
    }
    if REFUSED.contains(&class) {
        let text = format!("The storage class {class} is not implemented by this object store.");
        return Err(Code::NotImplemented.message(text).field("StorageClass", class));
    }
    Err(Code::InvalidStorageClass
        .error()
        .field("StorageClassRequested", mallee_awswire::texts::clip(class).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert!(STORAGE_CLASSES.iter().all(|class| check_storage_class(class).is_ok()));
        assert_eq!(check_storage_class("DEEP_ARCHIVE").map_err(|e| e.status()), Err(501));
        for bad in ["", "standard", "NEW"] {
            assert_eq!(check_storage_class(bad).map_err(|e| e.code()), Err(Code::InvalidStorageClass), "{bad}");
        }
    }
}
