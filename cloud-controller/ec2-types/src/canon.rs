//! Canonical JSON of leaves: API names as keys, absent and empty members left out, blobs base64, times ISO 8601.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A type with a canonical JSON form.
pub trait Canon: Sized {
    /// The canonical form.
    fn to_json(&self) -> Value;

    /// Reads the canonical form.
    ///
    /// # Errors
    /// A text that says what does not fit.
    fn from_json(v: &Value) -> Result<Self, String>;
}

/// A member: absent values and empty collections have no form.
pub trait CanonMember: Sized {
    /// The canonical form, if there is one.
    fn member(&self) -> Option<Value>;

    /// Reads a member that may be absent.
    ///
    /// # Errors
    /// A text that says what does not fit.
    fn read(v: Option<&Value>) -> Result<Self, String>;
}

/// Adds a member.
pub fn put<T: CanonMember>(map: &mut Map<String, Value>, name: &str, value: &T) {
    if let Some(v) = value.member() {
        map.insert(name.to_owned(), v);
    }
}

/// Reads a member.
///
/// # Errors
/// A text that names the member.
pub fn get<T: CanonMember>(v: &Value, name: &str) -> Result<T, String> {
    T::read(v.get(name)).map_err(|e| format!("{name}: {e}"))
}

impl<T: Canon> CanonMember for Option<T> {
    fn member(&self) -> Option<Value> {
        self.as_ref().map(Canon::to_json)
    }

    fn read(v: Option<&Value>) -> Result<Self, String> {
        v.map(T::from_json).transpose()
    }
}

impl<T: Canon> CanonMember for Vec<T> {
    fn member(&self) -> Option<Value> {
        (!self.is_empty()).then(|| self.iter().map(Canon::to_json).collect())
    }

    fn read(v: Option<&Value>) -> Result<Self, String> {
        match v {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(T::from_json).collect(),
            Some(other) => Err(format!("{other} is no list")),
        }
    }
}

impl<T: Canon> CanonMember for Vec<(String, T)> {
    fn member(&self) -> Option<Value> {
        (!self.is_empty()).then(|| Value::Object(self.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()))
    }

    fn read(v: Option<&Value>) -> Result<Self, String> {
        match v {
            None => Ok(Vec::new()),
            Some(Value::Object(m)) => m.iter().map(|(k, v)| Ok((k.clone(), T::from_json(v)?))).collect(),
            Some(other) => Err(format!("{other} is no map")),
        }
    }
}

/// Lists inside lists and maps.
impl<T: Canon> Canon for Vec<T> {
    fn to_json(&self) -> Value {
        self.iter().map(Canon::to_json).collect()
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        CanonMember::read(Some(v))
    }
}

impl Canon for String {
    fn to_json(&self) -> Value {
        Value::String(self.clone())
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        v.as_str().map(str::to_owned).ok_or_else(|| format!("{v} is no string"))
    }
}

impl Canon for SecretString {
    fn to_json(&self) -> Value {
        Value::String(self.expose_secret().to_owned())
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        String::from_json(v).map(SecretString::from)
    }
}

impl Canon for bool {
    fn to_json(&self) -> Value {
        Value::Bool(*self)
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        v.as_bool().ok_or_else(|| format!("{v} is no boolean"))
    }
}

impl Canon for i32 {
    fn to_json(&self) -> Value {
        (*self).into()
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        i64::from_json(v)?.try_into().map_err(|_| format!("{v} does not fit in 32 bits"))
    }
}

impl Canon for i64 {
    fn to_json(&self) -> Value {
        (*self).into()
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        v.as_i64().ok_or_else(|| format!("{v} is no integer"))
    }
}

impl Canon for f64 {
    fn to_json(&self) -> Value {
        (*self).into()
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        v.as_f64().ok_or_else(|| format!("{v} is no number"))
    }
}

impl Canon for f32 {
    fn to_json(&self) -> Value {
        // Through text: 0.1f32 must read 0.1, not 0.10000000149.
        self.to_string().parse::<f64>().map_or(Value::Null, Value::from)
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        f64::from_json(v)?.to_string().parse().map_err(|e| format!("{v}: {e}"))
    }
}

/// A blob, which as a list of bytes would be the wrong form.
#[derive(Debug, Clone, Copy)]
struct Blob;

impl Blob {
    fn text(bytes: &[u8]) -> Value {
        Value::String(STANDARD.encode(bytes))
    }

    fn bytes(v: &Value) -> Result<Vec<u8>, String> {
        STANDARD.decode(String::from_json(v)?).map_err(|e| format!("{v}: {e}"))
    }
}

impl CanonMember for Option<Vec<u8>> {
    fn member(&self) -> Option<Value> {
        self.as_deref().map(Blob::text)
    }

    fn read(v: Option<&Value>) -> Result<Self, String> {
        v.map(Blob::bytes).transpose()
    }
}

impl Canon for OffsetDateTime {
    fn to_json(&self) -> Value {
        Value::String(mallee_awswire::xml::timestamp(*self))
    }

    fn from_json(v: &Value) -> Result<Self, String> {
        Self::parse(&String::from_json(v)?, &Rfc3339).map_err(|e| format!("{v}: {e}"))
    }
}
