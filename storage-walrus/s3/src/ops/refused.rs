//! What AWS refuses too, or what this store has no use for: refused as AWS does, where it does, else by name.

use crate::call::Call;
use crate::error::not_implemented;
use crate::operation::Operation;
use mallee_awswire::{ApiError, Code};
use mallee_objects::Bucket;

/// The answer to an operation that is not offered.
pub(crate) async fn answer(call: &Call, bucket: &Bucket, operation: Operation) -> ApiError {
    match operation {
        // Nothing here is archived: no object needs to be restored, so that none can be.
        Operation::RestoreObject => match restore(call, bucket).await {
            Ok(class) => Code::InvalidObjectState
                .message("Restore is not allowed for the object's current storage class")
                .field("StorageClass", class),
            Err(error) => error,
        },
        // AWS has closed it to new customers.
        Operation::SelectObjectContent => {
            Code::MethodNotAllowed.error().field("Method", "POST").field("ResourceType", "OBJECT")
        }
        // As in regions that have no acceleration.
        Operation::PutBucketAccelerateConfiguration => {
            Code::MethodNotAllowed.error().field("Method", "PUT").field("ResourceType", "ACCELERATE")
        }
        _ => not_implemented(operation.name()),
    }
}

/// The storage class of what is to be restored.
async fn restore(call: &Call, bucket: &Bucket) -> Result<String, ApiError> {
    let version = call.version(bucket)?;
    Ok(call.object(bucket, &call.asked.key, version).await?.info.properties.class)
}
