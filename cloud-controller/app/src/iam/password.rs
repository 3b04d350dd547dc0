//! Passwords: their hashes and the rules an account sets for them.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use mallee_awswire::{ApiError, Code};
use mallee_runtime::Rng;
use mallee_store::PasswordRules;
use secrecy::{ExposeSecret as _, SecretString};

/// Longest password, in characters.
const CHARS_MAX: usize = 128;
/// What counts as a symbol (IAM User Guide).
const SYMBOLS: &str = "!@#$%^&*()_+-=[]{}|'";
/// Memory of one hash: 19 MiB, twice over it (the smallest setting that OWASP advises for Argon2id).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const SALT_BYTES: usize = 16;
/// Hashes computed at the same time, each with its memory.
const HASHES_MAX: usize = 2;

static ROOM: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(HASHES_MAX);

fn hasher() -> Result<Argon2<'static>, ApiError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(ApiError::internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Runs a hash where it holds nobody up.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, ApiError> + Send + 'static) -> Result<T, ApiError> {
    let _room = ROOM.acquire().await.map_err(ApiError::internal)?;
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}

/// The Argon2id hash of a password, as a PHC text.
///
/// # Errors
/// None in practice.
pub async fn hash(rng: &Rng, password: &SecretString) -> Result<String, ApiError> {
    let mut salt = [0; SALT_BYTES];
    rng.fill(&mut salt);
    let password = password.clone();
    apart(move || {
        let made = hasher()?.hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
        made.map(|hash| hash.to_string()).map_err(ApiError::internal)
    })
    .await
}

/// Whether a password is that of any of these hashes.
///
/// # Errors
/// For a hash that does not read.
pub async fn is_any(password: &SecretString, hashes: Vec<String>) -> Result<bool, ApiError> {
    let password = password.clone();
    apart(move || {
        let hasher = hasher()?;
        for text in &hashes {
            let hash = PasswordHash::new(text).map_err(ApiError::internal)?;
            if hasher.verify_password(password.expose_secret().as_bytes(), &hash).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}

/// Checks a new password against an account's rules.
///
/// # Errors
/// `PasswordPolicyViolation`, naming the first rule that is broken.
pub fn check(rules: &PasswordRules, password: &SecretString) -> Result<(), ApiError> {
    let text = password.expose_secret();
    let length = text.chars().count();
    let has = |what: fn(char) -> bool| text.chars().any(what);
    let broken = if length < rules.minimum_length as usize {
        format!("Password should have a minimum length of {}", rules.minimum_length)
    } else if length > CHARS_MAX {
        format!("Password should have a maximum length of {CHARS_MAX}")
    } else if rules.require_uppercase && !has(|c| c.is_ascii_uppercase()) {
        "Password should have at least one uppercase letter".to_owned()
    } else if rules.require_lowercase && !has(|c| c.is_ascii_lowercase()) {
        "Password should have at least one lowercase letter".to_owned()
    } else if rules.require_numbers && !has(|c| c.is_ascii_digit()) {
        "Password should have at least one number".to_owned()
    } else if rules.require_symbols && !has(|c| SYMBOLS.contains(c)) {
        format!("Password should have at least one of the following symbols: {SYMBOLS}")
    } else {
        return Ok(());
    };
    Err(Code::PasswordPolicyViolation.message(broken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_is_argon2id_and_salted() {
        let rng = Rng::seeded(1);
        let (good, bad) = (SecretString::from("correct horse"), SecretString::from("Correct horse"));
        let (one, two) = (hash(&rng, &good).await.unwrap(), hash(&rng, &good).await.unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != two);
        assert!(is_any(&good, vec![one.clone()]).await.unwrap());
        assert!(!is_any(&bad, vec![one, two]).await.unwrap());
        assert!(!is_any(&good, vec![]).await.unwrap());
    }

    #[test]
    fn each_rule_is_enforced() {
        let all = PasswordRules {
            minimum_length: 8,
            require_symbols: true,
            require_numbers: true,
            require_uppercase: true,
            require_lowercase: true,
            ..PasswordRules::default()
        };
        assert!(check(&all, &"Abcdef1!".into()).is_ok());
        for (password, rule) in [
            ("Abcde1!", "minimum length of 8"),
            ("abcdef1!", "uppercase"),
            ("ABCDEF1!", "lowercase"),
            ("Abcdefg!", "number"),
            ("Abcdefg1", "symbols"),
        ] {
            let error = check(&all, &password.into()).unwrap_err();
            assert!(error.message().contains(rule), "{password}: {error}");
        }
        assert!(check(&PasswordRules::default(), &"x".repeat(129).into()).is_err());
    }
}
