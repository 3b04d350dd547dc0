//! Encrypting and decrypting with keys.

use crate::ask::{Asker, Conditions, Found, Reach};
use crate::context::{self, Context};
use crate::envelope::{self, Envelope};
use crate::keys::{material_id, refuse_grants};
use crate::state::Needs;
use crate::{CIPHERTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX, RANDOM_BYTES_MAX, unsupported};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mallee_app::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_store::kms_key_fetch;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// The one algorithm.
const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Encrypt {
    key_id: String,
    plaintext: SecretString,
    #[serde(default)]
    encryption_context: Context,
    #[serde(default)]
    grant_tokens: Vec<String>,
    encryption_algorithm: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Decrypt {
    ciphertext_blob: String,
    #[serde(default)]
    encryption_context: Context,
    #[serde(default)]
    grant_tokens: Vec<String>,
    key_id: Option<String>,
    encryption_algorithm: Option<String>,
    recipient: Option<Value>,
    #[serde(default)]
    dry_run: bool,
    dry_run_modifiers: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ReEncrypt {
    ciphertext_blob: String,
    #[serde(default)]
    source_encryption_context: Context,
    source_key_id: Option<String>,
    destination_key_id: String,
    #[serde(default)]
    destination_encryption_context: Context,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    #[serde(default)]
    grant_tokens: Vec<String>,
    #[serde(default)]
    dry_run: bool,
    dry_run_modifiers: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct DataKey {
    key_id: String,
    #[serde(default)]
    encryption_context: Context,
    number_of_bytes: Option<i64>,
    key_spec: Option<String>,
    #[serde(default)]
    grant_tokens: Vec<String>,
    recipient: Option<Value>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Random {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    recipient: Option<Value>,
}

fn check_algorithm(given: Option<&str>) -> Result<(), ApiError> {
    match given {
        None | Some(ALGORITHM) => Ok(()),
        Some("RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256" | "SM2PKE") => {
            Err(Code::InvalidKeyUsageException.message("The key is symmetric: its algorithm is SYMMETRIC_DEFAULT."))
        }
        Some(other) => Err(crate::invalid(other, "encryptionAlgorithm", "satisfy enum value set: [SYMMETRIC_DEFAULT]")),
    }
}

fn blob(text: &str, name: &str, most: usize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let bytes = BASE64.decode(text).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| Code::SerializationException.message(format!("{name} is not base64.")))?;
    if bytes.is_empty() || bytes.len() > most {
        let at = if name == "Plaintext" { "plaintext" } else { "ciphertextBlob" };
        // The value may be a secret.
        return Err(crate::invalid("...", at, &format!("have length between 1 and {most}")));
    }
    Ok(bytes)
}

fn conditions(bound: &Context) -> Conditions {
    let mut keys = context::condition_keys(bound);
    keys.push(("kms:EncryptionAlgorithm".to_owned(), vec![ALGORITHM.to_owned()]));
    keys
}

/// All was in order, and that was the question.
fn dry(asked: bool) -> Result<(), ApiError> {
    if asked { Err(Code::DryRunOperationException.error()) } else { Ok(()) }
}

/// A key that the caller may encrypt with.
async fn usable(asker: &Asker<'_>, action: &str, given: &str, bound: &Context) -> Result<Found, ApiError> {
    context::check(bound)?;
    let found = asker.permitted(action, given, Reach::Anywhere, conditions(bound)).await?;
    found.check(Needs::Enabled)?;
    Ok(found)
}

async fn seal(asker: &Asker<'_>, key: &Found, bound: &Context, plain: &[u8]) -> Result<(Vec<u8>, u32), ApiError> {
    let (n, material) = asker.newest_material(key).await?;
    Ok((envelope::seal(asker.cloud.rng(), &key.row.id, n, &material, bound, plain)?, n))
}

/// The key of a ciphertext, for a caller who may decrypt with it. Nothing of the ciphertext is proved yet.
async fn opener(
    asker: &Asker<'_>,
    envelope: &Envelope<'_>,
    action: &str,
    given: Option<&str>,
    more: Conditions,
) -> Result<Found, ApiError> {
    let found = match given {
        Some(given) => {
            let found = asker.permitted(action, given, Reach::Anywhere, more).await?;
            if found.row.id != envelope.key_id {
                return Err(Code::IncorrectKeyException.error());
            }
            found
        }
        None => {
            // Whether there is such a key is not told to those who may not use it.
            let row = kms_key_fetch(asker.cloud.store(), &envelope.key_id).await.or_fail()?;
            let Some(row) = row else {
                return Err(Code::AccessDenied.message(
                    "The ciphertext refers to a customer master key that does not exist, does not exist in this \
                     region, or you are not allowed to access.",
                ));
            };
            asker.require(action, &row, None, more).await?;
            Found { arn: asker.arn(&row), row }
        }
    };
    found.check(Needs::Enabled)?;
    Ok(found)
}

async fn open(asker: &Asker<'_>, envelope: &Envelope<'_>, bound: &Context) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let material = asker.material(&envelope.key_id, envelope.material).await?;
    envelope.open(&material.ok_or_else(|| Code::InvalidCiphertextException.error())?, bound)
}

pub(crate) async fn encrypt(asker: &Asker<'_>, asked: Encrypt) -> Result<Value, ApiError> {
    check_algorithm(asked.encryption_algorithm.as_deref())?;
    refuse_grants(&asked.grant_tokens)?;
    let plain = blob(asked.plaintext.expose_secret(), "Plaintext", PLAINTEXT_BYTES_MAX)?;
    let key = usable(asker, "kms:Encrypt", &asked.key_id, &asked.encryption_context).await?;
    dry(asked.dry_run)?;
    let (sealed, _) = seal(asker, &key, &asked.encryption_context, &plain).await?;
    Ok(json!({ "CiphertextBlob": BASE64.encode(sealed), "KeyId": key.arn, "EncryptionAlgorithm": ALGORITHM }))
}

pub(crate) async fn decrypt(asker: &Asker<'_>, asked: Decrypt) -> Result<Value, ApiError> {
    check_algorithm(asked.encryption_algorithm.as_deref())?;
    refuse_grants(&asked.grant_tokens)?;
    if asked.recipient.is_some() {
        return Err(unsupported("Recipient"));
    }
    if asked.dry_run_modifiers.is_some() {
        return Err(unsupported("DryRunModifiers"));
    }
    let sealed = blob(&asked.ciphertext_blob, "CiphertextBlob", CIPHERTEXT_BYTES_MAX)?;
    let (key, n, plain) =
        opened(asker, &sealed, &asked.encryption_context, asked.key_id.as_deref(), asked.dry_run).await?;
    Ok(json!({
        "KeyId": key.arn,
        "Plaintext": BASE64.encode(plain.as_slice()),
        "EncryptionAlgorithm": ALGORITHM,
        "KeyMaterialId": material_id(&key.row.id, n),
    }))
}

/// What a ciphertext holds, for a caller who may decrypt it; with its key and the number of the material.
///
/// # Errors
/// KMS's.
pub(crate) async fn opened(
    asker: &Asker<'_>,
    sealed: &[u8],
    bound: &Context,
    given: Option<&str>,
    dry_run: bool,
) -> Result<(Found, u32, Zeroizing<Vec<u8>>), ApiError> {
    context::check(bound)?;
    let envelope = envelope::read(sealed)?;
    let key = opener(asker, &envelope, "kms:Decrypt", given, conditions(bound)).await?;
    dry(dry_run)?;
    let plain = open(asker, &envelope, bound).await?;
    Ok((key, envelope.material, plain))
}

pub(crate) async fn re_encrypt(asker: &Asker<'_>, asked: ReEncrypt) -> Result<Value, ApiError> {
    check_algorithm(asked.source_encryption_algorithm.as_deref())?;
    check_algorithm(asked.destination_encryption_algorithm.as_deref())?;
    refuse_grants(&asked.grant_tokens)?;
    if asked.dry_run_modifiers.is_some() {
        return Err(unsupported("DryRunModifiers"));
    }
    let sealed = blob(&asked.ciphertext_blob, "CiphertextBlob", CIPHERTEXT_BYTES_MAX)?;
    let (from_bound, to_bound) = (&asked.source_encryption_context, &asked.destination_encryption_context);
    context::check(from_bound)?;
    let envelope = envelope::read(&sealed)?;
    let from = opener(asker, &envelope, "kms:ReEncryptFrom", asked.source_key_id.as_deref(), conditions(from_bound));
    let from = from.await?;
    let to = usable(asker, "kms:ReEncryptTo", &asked.destination_key_id, to_bound).await?;
    dry(asked.dry_run)?;
    let plain = open(asker, &envelope, from_bound).await?;
    let (resealed, n) = seal(asker, &to, to_bound, &plain).await?;
    Ok(json!({
        "CiphertextBlob": BASE64.encode(resealed),
        "SourceKeyId": from.arn,
        "KeyId": to.arn,
        "SourceEncryptionAlgorithm": ALGORITHM,
        "DestinationEncryptionAlgorithm": ALGORITHM,
        "SourceKeyMaterialId": material_id(&from.row.id, envelope.material),
        "DestinationKeyMaterialId": material_id(&to.row.id, n),
    }))
}

fn length(given: i64) -> Result<usize, ApiError> {
    let fits = usize::try_from(given).ok().filter(|n| (1..=RANDOM_BYTES_MAX).contains(n));
    fits.ok_or_else(|| crate::invalid(&given.to_string(), "numberOfBytes", "have value between 1 and 1024"))
}

/// A fresh data key of so many bytes, plain and sealed under a key that the caller may use for it.
///
/// # Errors
/// KMS's.
pub(crate) async fn fresh(
    asker: &Asker<'_>,
    action: &str,
    given: &str,
    bound: &Context,
    bytes: usize,
    dry_run: bool,
) -> Result<(Found, u32, Zeroizing<Vec<u8>>, Vec<u8>), ApiError> {
    let key = usable(asker, action, given, bound).await?;
    dry(dry_run)?;
    let mut plain = Zeroizing::new(vec![0; bytes]);
    asker.cloud.rng().fill(&mut plain);
    let (sealed, n) = seal(asker, &key, bound, &plain).await?;
    Ok((key, n, plain, sealed))
}

pub(crate) async fn data_key(asker: &Asker<'_>, asked: DataKey, shown: bool) -> Result<Value, ApiError> {
    refuse_grants(&asked.grant_tokens)?;
    if asked.recipient.is_some() {
        return Err(unsupported("Recipient"));
    }
    let bytes = match (asked.key_spec.as_deref(), asked.number_of_bytes) {
        (Some("AES_256"), None) => 32,
        (Some("AES_128"), None) => 16,
        (None, Some(given)) => length(given)?,
        (Some(other), None) => {
            return Err(crate::invalid(other, "keySpec", "satisfy enum value set: [AES_256, AES_128]"));
        }
        _ => {
            return Err(Code::ValidationException.message("Please specify either number of bytes or key spec."));
        }
    };
    let action = if shown { "kms:GenerateDataKey" } else { "kms:GenerateDataKeyWithoutPlaintext" };
    let (key, n, plain, sealed) =
        fresh(asker, action, &asked.key_id, &asked.encryption_context, bytes, asked.dry_run).await?;
    let mut reply = json!({
        "CiphertextBlob": BASE64.encode(sealed),
        "KeyId": key.arn,
        "KeyMaterialId": material_id(&key.row.id, n),
    });
    if let (true, Some(members)) = (shown, reply.as_object_mut()) {
        members.insert("Plaintext".to_owned(), json!(BASE64.encode(plain.as_slice())));
    }
    Ok(reply)
}

pub(crate) async fn random(asker: &Asker<'_>, asked: Random) -> Result<Value, ApiError> {
    if asked.custom_key_store_id.is_some() {
        return Err(unsupported("CustomKeyStoreId"));
    }
    if asked.recipient.is_some() {
        return Err(unsupported("Recipient"));
    }
    let given = asked.number_of_bytes.ok_or_else(|| Code::ValidationException.message("NumberOfBytes is missing."))?;
    let bytes = length(given)?;
    asker.allowed("kms:GenerateRandom", "*", None, Conditions::new()).await?;
    let mut plain = Zeroizing::new(vec![0; bytes]);
    asker.cloud.rng().fill(&mut plain);
    Ok(json!({ "Plaintext": BASE64.encode(plain.as_slice()) }))
}
