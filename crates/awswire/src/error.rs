//! API errors and their bodies on the wire: EC2, query (IAM, STS) and S3 flavours.

use std::borrow::Cow;
use std::fmt;

use crate::codes::Code;
use crate::xml::XmlWriter;

/// Which error body, codes and texts a service uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// EC2: `<Response><Errors><Error>`, codes such as `AuthFailure`.
    Ec2,
    /// AWS query protocol (IAM, STS and Mallee's own service): `<ErrorResponse>`.
    Query,
    /// S3: `<Error>` with the resource and extra fields.
    S3,
}

/// One error as an API answers it: a code from the table, a message for the caller, and for S3 extra fields.
///
/// Cheap to pass by value: the rarely used part is boxed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiError {
    code: Code,
    message: Cow<'static, str>,
    extra: Option<Box<Extra>>,
}

#[derive(Clone, PartialEq, Eq, Default)]
struct Extra {
    fields: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    internal: Option<String>,
}

impl ApiError {
    /// An error with its own message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), extra: None }
    }

    /// Adds an element to an S3 error body (`Key`, `BucketName`, `ServerTime`, …); other flavours drop it.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.get_or_insert_default().fields.push((name, value.into()));
        self
    }

    /// Adds a header to the reply, its name in lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.get_or_insert_default().headers.push((name, value.into()));
        self
    }

    /// Attaches what really happened, for the log and never for the caller.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.extra.get_or_insert_default().internal = Some(cause.to_string());
        self
    }

    /// `InternalError` whose cause goes to the log and not to the caller.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        Code::InternalError.error().because(cause)
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The headers that its reply has besides.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, String)] {
        self.extra.as_ref().map_or(&[], |extra| &extra.headers)
    }

    /// HTTP status, from the table.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The text the caller sees.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The cause given to [`ApiError::because`], for logs.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.extra.as_ref().and_then(|e| e.internal.as_deref())
    }

    /// Extra S3 fields, in the order they were added.
    #[must_use]
    pub fn fields(&self) -> &[(&'static str, String)] {
        self.extra.as_ref().map_or(&[], |e| &e.fields)
    }

    /// The whole body, XML declaration included. `resource` is the path, for S3 only.
    #[must_use]
    pub fn body(&self, flavour: Flavour, request_id: &str, resource: &str) -> String {
        let mut w = XmlWriter::document();
        match flavour {
            Flavour::Ec2 => {
                w.open("Response");
                w.open("Errors");
                w.open("Error");
                w.text("Code", self.code.as_str());
                w.text("Message", &self.message);
                w.close("Error");
                w.close("Errors");
                w.text("RequestID", request_id);
                w.close("Response");
            }
            Flavour::Query => {
                w.open("ErrorResponse");
                w.open("Error");
                w.text("Type", if self.status() < 500 { "Sender" } else { "Receiver" });
                w.text("Code", self.code.as_str());
                w.text("Message", &self.message);
                w.close("Error");
                w.text("RequestId", request_id);
                w.close("ErrorResponse");
            }
            Flavour::S3 => {
                w.open("Error");
                w.text("Code", self.code.as_str());
                w.text("Message", &self.message);
                for (name, value) in self.fields() {
                    w.text(name, value);
                }
                w.text("Resource", resource);
                w.text("RequestId", request_id);
                w.text("HostId", request_id);
                w.close("Error");
            }
        }
        w.finish()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self.cause() {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

impl Code {
    /// This code with its template as the message; for templates without arguments.
    #[must_use]
    pub fn error(self) -> ApiError {
        ApiError::new(self, self.row().template)
    }

    /// This code with its template filled in: `Code::InvalidVpcIdNotFound.with(&["vpc-1"])`.
    #[must_use]
    pub fn with(self, args: &[&str]) -> ApiError {
        ApiError::new(self, self.text(args))
    }

    /// This code with an own message.
    #[must_use]
    pub fn message(self, message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(self, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_shape_of_each_flavour() {
        let e = Code::InvalidInstanceIdNotFound.with(&["i-<1>"]);
        assert_eq!(
            e.body(Flavour::Ec2, "r-1", ""),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code>\
             <Message>The instance ID 'i-&lt;1&gt;' does not exist</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
        );
        let e = Code::NoSuchEntity.message("The user with name bob cannot be found.");
        assert_eq!(e.status(), 404);
        assert!(
            e.body(Flavour::Query, "r", "")
                .contains("<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code>")
        );
        let e = Code::NoSuchKey.error().field("Key", "a&b");
        assert!(e.body(Flavour::S3, "r", "/b/a&b").contains("<Key>a&amp;b</Key><Resource>/b/a&amp;b</Resource>"));
    }

    #[test]
    fn causes_stay_out_of_bodies() {
        let e = ApiError::internal("disk /secret is full");
        assert!(!e.body(Flavour::Ec2, "r", "").contains("secret"));
        assert_eq!(e.cause(), Some("disk /secret is full"));
        assert_eq!(e.status(), 500);
    }
}
