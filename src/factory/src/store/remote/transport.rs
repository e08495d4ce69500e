//! What passes between the object-store library and the network.
//!
//! Flows in: signed requests. Flows out: answers, and failures that the library knows how to take. Invariants:
//!
//! - Whatever was lost on the way is sent again. The library repeats a put only where it knows that the server did not
//!   see it; all puts here are on the condition that the key is free, and who puts compares, so that a second one does
//!   no harm. Its own back-off, jitter and bounds apply.
//! - What a server says of a refusal is cut down to its code. Servers quote the request: the name of the key, what
//!   was signed, and so on.

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    ClientOptions, Result,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
};

/// Makes clients of this transport.
#[derive(Debug, Default)]
pub(super) struct Connector(ReqwestConnector);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(Transport(self.0.connect(options)?)))
    }
}

/// A client whose lost requests are sent again, and whose refusals are short.
#[derive(Debug)]
pub(super) struct Transport(pub(super) HttpClient);

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.execute(request).await.map_err(to_be_sent_again)?;
        if !(answer.status().is_client_error() || answer.status().is_server_error()) {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let body = body.bytes().await.map_err(to_be_sent_again)?;
        Ok(HttpResponse::from_parts(parts, Bytes::copy_from_slice(code_of(&body)).into()))
    }
}

/// A failure that the library repeats whatever the request is.
fn to_be_sent_again(error: HttpError) -> HttpError {
    match error.kind() {
        HttpErrorKind::Timeout | HttpErrorKind::Interrupted | HttpErrorKind::Unknown => {
            HttpError::new(HttpErrorKind::Request, error)
        }
        _ => error,
    }
}

/// The code in the XML of a refusal; nothing where there is none of the form that codes have.
fn code_of(body: &[u8]) -> &[u8] {
    let position = |text: &[u8], word: &[u8]| text.windows(word.len()).position(|found| found == word);
    let code = position(body, b"<Code>").and_then(|start| {
        let rest = &body[start + b"<Code>".len()..];
        position(rest, b"</Code>").map(|end| &rest[..end])
    });
    code.filter(|code| code.len() <= 64 && code.iter().all(u8::is_ascii_alphanumeric)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_only_the_code_is_told() {
        let xml = |code: &str| {
            format!("<?xml?><Error><Code>{code}</Code><AWSAccessKeyId>SECRET</AWSAccessKeyId></Error>")
        };
        assert_eq!(code_of(xml("InvalidAccessKeyId").as_bytes()), b"InvalidAccessKeyId");
        for odd in ["", "two words", "a&amp;b", &"x".repeat(65)] {
            assert_eq!(code_of(xml(odd).as_bytes()), b"", "{odd}");
        }
        for odd in ["", "SECRET", "<Code>SECRET", "</Code><Code>", "{\"Code\": \"SECRET\"}"] {
            assert_eq!(code_of(odd.as_bytes()), b"", "{odd}");
        }
    }

    #[test]
    fn what_may_be_lost_is_sent_again() {
        let kind = |kind| to_be_sent_again(HttpError::new(kind, std::io::Error::other("lost"))).kind();
        for lost in [HttpErrorKind::Timeout, HttpErrorKind::Interrupted, HttpErrorKind::Unknown] {
            assert_eq!(kind(lost), HttpErrorKind::Request);
        }
        for other in [HttpErrorKind::Connect, HttpErrorKind::Request, HttpErrorKind::Decode] {
            assert_eq!(kind(other), other);
        }
    }
}
