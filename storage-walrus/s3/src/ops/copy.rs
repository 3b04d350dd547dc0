//! CopyObject, and what UploadPartCopy shares with it.

use crate::PUT_BYTES_MAX;
use crate::asked::{Asked, COPY_SOURCE, Source};
use crate::call::{Call, shown_version, version_name};
use crate::checksum::{Algorithm, Hasher};
use crate::conditions;
use crate::error::{engine, invalid_argument};
use crate::headers::{self, WEBSITE_REDIRECT, text};
use crate::names::check_key;
use crate::operation::Operation;
use crate::ops::acl;
use crate::ops::get::READ_ATTEMPTS;
use crate::ops::lifecycle;
use crate::ops::put::conditional;
use crate::props::{Given, lock};
use crate::reply::{self, Reply, document};
use crate::sse::{self, Sealing, Side};
use http::HeaderMap;
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::crypt::{DataKey, Encryption};
use mallee_objects::{Attributes, Bucket, Checksums, Condition, Description, Error, Object, ObjectInfo, Properties};
use mallee_objects::{VersionId, VersionName, Versioning};
use mallee_runtime::clock::from_unix_ms;
use md5::{Digest as _, Md5};

/// Whose tags a copy has.
const TAGGING_DIRECTIVE: &str = "x-amz-tagging-directive";

/// Whether the request is a copy that has its source's tags.
pub(crate) fn keeps_tags(asked: &Asked, headers: &HeaderMap) -> bool {
    asked.operation() == Operation::CopyObject && text(headers, TAGGING_DIRECTIVE) != Some("REPLACE")
}

/// The version of the source that a copy names.
pub(crate) fn source_version(call: &Call, bucket: &Bucket) -> Result<Option<VersionName>, ApiError> {
    let version = call.source()?.version.as_deref();
    version.map(|id| version_name(bucket, id, COPY_SOURCE)).transpose()
}

/// Looks up the source and checks the conditions on it.
pub(crate) async fn source(
    call: &Call,
    bucket: &Bucket,
    key: &str,
    version: Option<VersionName>,
) -> Result<Object, ApiError> {
    let found = call.object(bucket, key, version).await;
    let object = found.map_err(|error| match (error.code(), version) {
        (Code::MethodNotAllowed, Some(_)) => Code::InvalidRequest
            .message("The source of a copy request may not specifically refer to a delete marker by version id."),
        // What it says of the marker is about the target of a request.
        (Code::NoSuchKey, None) => Code::NoSuchKey.error().field("Key", key),
        _ => error,
    })?;
    conditions::copy_source(&call.headers, &object.info)?;
    Ok(object)
}

/// Tells which version was copied.
pub(crate) fn set_source_version(response: &mut Reply, bucket: &Bucket, version: VersionId) {
    if let Some(id) = shown_version(bucket, version) {
        reply::set(response, HeaderName::from_static("x-amz-copy-source-version-id"), &id);
    }
}

/// PUT /bucket/key with `x-amz-copy-source`
pub(crate) async fn copy(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    check_key(&key)?;
    let Source { bucket: from_bucket, key: from_key, .. } = call.source()?;
    let replace = match text(&call.headers, "x-amz-metadata-directive") {
        None | Some("COPY") => false,
        Some("REPLACE") => true,
        Some(other) => return Err(invalid_argument("Unknown metadata directive.", "x-amz-metadata-directive", other)),
    };
    let algorithm = Algorithm::asked(&call.headers)?;
    let (asked, source_customer) = (call.encryption()?, call.customer(Side::CopySource)?);
    let condition = conditions::write(&call.headers)?;
    let (content_type, attributes) = headers::stored(&call.headers)?;
    let given = Given::read(&call.headers, call.s3.engine().clock().now_ms())?;
    let directive = text(&call.headers, TAGGING_DIRECTIVE).unwrap_or("COPY");
    if !matches!(directive, "COPY" | "REPLACE") {
        return Err(invalid_argument("Unknown tagging directive.", TAGGING_DIRECTIVE, directive));
    }
    let retag = !keeps_tags(&call.asked, &call.headers);
    let redirect = attributes.system.get(WEBSITE_REDIRECT);
    let changes =
        replace || retag || given.class.is_some() || given.lock.says() || redirect.is_some() || algorithm.is_some();
    let from = call.bucket(from_bucket).await?;
    let to = call.bucket(&bucket).await?;
    let properties = acl::of_new_object(&call, &to, given.properties(&to)?).await?;
    let version = source_version(&call, &from)?;
    // An older version may become the newest again.
    let older = version.is_some() && from.versioning != Versioning::Off;
    let sealing = sse::plan(&call, &to, &key, &asked).await?;
    let mut attempt = 1;
    let (info, copied) = loop {
        let object = source(&call, &from, from_key, version).await?;
        if object.info.size > PUT_BYTES_MAX {
            return Err(Code::InvalidRequest.message(format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {PUT_BYTES_MAX}"
            )));
        }
        if !changes && matches!(asked, sse::Asked::Default) && !older && *from_bucket == bucket && *from_key == key {
            return Err(Code::InvalidRequest.message(
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
                 metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        let what = Description {
            bucket: bucket.clone(),
            key: key.clone(),
            etag: object.info.etag.clone(),
            content_type: if replace { content_type.clone() } else { object.info.content_type.clone() },
            attributes: if replace { attributes.clone() } else { kept(&object, redirect) },
            checksums: Checksums::default(),
            properties: lock::by_default(&to, tagged(&properties, &object, retag), call.s3.engine().clock().now_ms())?,
        };
        let stored = encryption_of(&object)?;
        let data_key = sse::key_of(&call, stored.as_ref(), source_customer.as_ref()).await?;
        let readable = Readable { object: &object, key: data_key.as_ref(), encryption: stored.as_ref() };
        let result = match readable.checksums(&call, algorithm).await {
            Ok(checksums) => {
                readable.write(&call, Description { checksums, ..what }, sealing.as_ref(), &condition).await
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(info) => break (info, object.info.version),
            // The source was overwritten between look-up and commit: copy what is there now.
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                call.s3.engine().forget(&from.name, from_key);
                attempt += 1;
            }
            Err(error) => return Err(conditional(error, &condition, &key)),
        }
    };
    let mut w = document("CopyObjectResult");
    w.text("ETag", &reply::quoted(&info.etag));
    w.timestamp("LastModified", from_unix_ms(info.created_ms));
    if !info.checksums.values.is_empty() {
        w.text("ChecksumType", reply::checksum_type(&info.checksums));
    }
    reply::write_checksums(&mut w, &info.checksums);
    w.close("CopyObjectResult");
    let mut response = reply::xml(w);
    reply::set_version(&mut response, shown_version(&to, info.version));
    set_source_version(&mut response, &from, copied);
    let encryption = Encryption::from_text(info.properties.encryption.as_deref()).map_err(engine)?;
    sse::describe(&mut response, encryption.as_ref());
    if let sse::Asked::Customer(customer) = &asked {
        sse::describe_customer(&mut response, Some(customer));
    }
    lifecycle::set_expiration(&mut response, &call, &to, &info)?;
    Ok(response)
}

/// The headers of the source, but where a website would send its readers: that is told anew.
fn kept(source: &Object, redirect: Option<&String>) -> Attributes {
    let mut attributes = source.info.attributes.clone();
    attributes.system.remove(WEBSITE_REDIRECT);
    attributes.system.extend(redirect.map(|to| (WEBSITE_REDIRECT.to_owned(), to.clone())));
    attributes
}

/// The properties of the copy, with the source's tags unless others are to take their place.
fn tagged(properties: &Properties, source: &Object, retag: bool) -> Properties {
    let tags = if retag { &properties.tags } else { &source.info.properties.tags };
    Properties { tags: tags.clone(), ..properties.clone() }
}

/// How an object is encrypted.
pub(crate) fn encryption_of(object: &Object) -> Result<Option<Encryption>, ApiError> {
    Encryption::from_text(object.info.properties.encryption.as_deref()).map_err(engine)
}

/// An object that can be read.
struct Readable<'a> {
    object: &'a Object,
    key: Option<&'a DataKey>,
    encryption: Option<&'a Encryption>,
}

impl Readable<'_> {
    /// The checksums of the copy: the source's, unless another algorithm is asked for.
    async fn checksums(&self, call: &Call, algorithm: Option<Algorithm>) -> Result<Checksums, Error> {
        let had = &self.object.info.checksums;
        let Some(algorithm) = algorithm.filter(|a| had.composite || !had.values.contains_key(a.name())) else {
            return Ok(had.clone());
        };
        let mut hasher = Hasher::new(algorithm);
        let mut reader = call.s3.engine().read_with(self.object, self.key, 0, self.object.info.size).await?;
        while let Some(data) = reader.next().await {
            hasher.update(&data?);
        }
        let mut out = Checksums::default();
        out.values.insert(algorithm.name().to_owned(), hasher.finish());
        Ok(out)
    }

    /// Writes the copy. Its bytes are shared where source and copy are both not encrypted, or both protected by the
    /// store's key; else they are read and written anew.
    async fn write(
        &self,
        call: &Call,
        mut what: Description,
        sealing: Option<&Sealing>,
        condition: &Condition,
    ) -> Result<ObjectInfo, Error> {
        let store = call.s3.engine();
        let to = sealing.map(|sealing| &sealing.encryption);
        if matches!(
            (self.encryption, to),
            (None, None) | (Some(Encryption::Store { .. }), Some(Encryption::Store { .. }))
        ) {
            what.properties.encryption = self.encryption.map(Encryption::to_text).transpose()?;
            return store.copy_object(self.object, what, condition).await;
        }
        let mut reader = store.read_with(self.object, self.key, 0, self.object.info.size).await?;
        let mut sink = store.sink_with(sealing.map(|sealing| &sealing.key))?;
        let mut md5 = Md5::new();
        while let Some(data) = reader.next().await {
            let data = data?;
            md5.update(&data);
            sink.write(data).await?;
        }
        what.etag = sse::etag(to, &md5.finalize(), store.rng());
        what.properties.encryption = to.map(Encryption::to_text).transpose()?;
        store.put_object(what, sink.finish().await?, condition).await
    }
}
