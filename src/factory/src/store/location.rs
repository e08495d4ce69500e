//! Where objects stand: a folder, or a prefix in a bucket of an object store.
//!
//! Flows in: what a user wrote, a path or a URL. Flows out: a checked place. Invariant: a URL that is accepted names a
//! bucket and a prefix and nothing else. Credentials and endpoints come from the environment, so no text that people
//! copy, and no error, log or document that shows where a factory is, can hold a secret.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use contracts::{Code, Failure, Result, names::ObjectKey};
use url::Url;

/// Where objects stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of the local file system.
    Folder(PathBuf),
    /// A bucket of an object store.
    Bucket(Bucket),
}

/// A bucket, which Azure calls a container, and the prefix in it that holds the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Who keeps it.
    pub service: Service,
    /// Its name.
    pub name: String,
    /// The prefix of all keys; none where the objects stand at the top.
    pub prefix: Option<ObjectKey>,
}

/// The services that keep buckets, by the protocol that they speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3, and whoever speaks like it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    /// The scheme of its URLs.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

const FORMS: &str =
    "a folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder";

impl Location {
    /// The location that a path or URL names.
    ///
    /// Refuses with `PARAMETER_INVALID`, naming `root` and showing nothing of the text, a URL of another scheme or
    /// form, one with credentials, a query or a fragment, and one whose slashes a path library has folded.
    pub fn parse(root: &Path) -> Result<Self> {
        let is_scheme = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
        let parts = root.to_str().and_then(|text| text.split_once(":/"));
        let Some((scheme, rest)) = parts.filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok(Self::Folder(root.to_owned()));
        };
        let service = Service::ALL.into_iter().find(|service| service.scheme() == scheme);
        let Some(rest) = rest.strip_prefix('/') else {
            return if service.is_some() || scheme == "file" {
                Err(folded())
            } else {
                Ok(Self::Folder(root.to_owned()))
            };
        };
        require_nothing_else(rest)?;
        match service {
            Some(service) => Bucket::parse(service, rest).map(Self::Bucket),
            None if scheme == "file" => folder(rest),
            None => Err(refused(FORMS, "a URL of another scheme")),
        }
    }
}

impl Bucket {
    /// The bucket and prefix of a URL, given without its scheme.
    fn parse(service: Service, rest: &str) -> Result<Self> {
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !(3..=222).contains(&name.len()) || !name.bytes().all(plain) {
            let expected =
                "the name of a bucket after the scheme: 3 to 222 letters, digits and . _ - characters";
            return Err(refused(expected, "another text"));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let prefix = if prefix.is_empty() { None } else { Some(prefix_of(prefix)?) };
        Ok(Self { service, name: name.to_owned(), prefix })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service.scheme(), self.name)?;
        self.prefix.iter().try_for_each(|prefix| write!(f, "/{prefix}"))
    }
}

fn prefix_of(text: &str) -> Result<ObjectKey> {
    ObjectKey::new(text).map_err(|_| {
        let expected = "a prefix of segments of letters, digits and _ . : = - characters, joined by slashes";
        refused(expected, "another text")
    })
}

/// The folder of a `file` URL, given without its scheme.
fn folder(rest: &str) -> Result<Location> {
    Url::parse(&format!("file://{rest}"))
        .ok()
        .filter(|_| rest.starts_with('/'))
        .and_then(|url| url.to_file_path().ok())
        .map(Location::Folder)
        .ok_or_else(|| refused("file:/// and the absolute path of a folder", "another text"))
}

/// Refuses what stands in a URL beside bucket and prefix; it may be a secret.
fn require_nothing_else(rest: &str) -> Result<()> {
    // Wherever it stands: a secret may hold slashes. Only a folder's path may have the character itself.
    let found = if rest.contains('@') && !rest.starts_with('/') {
        "credentials"
    } else if rest.contains('?') {
        "a query"
    } else if rest.contains('#') {
        "a fragment"
    } else {
        return Ok(());
    };
    Err(refused("a URL of a bucket and a prefix alone", found).with_hint(
        "Credentials, endpoint and region are read from the environment, such as AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and AWS_REGION.",
    ))
}

fn folded() -> Failure {
    refused("a URL with two slashes after its scheme", "one")
        .with_hint("Give a URL as text: path libraries fold its slashes.")
}

fn refused(expected: &str, found: &str) -> Failure {
    Failure::at(Code::ParameterInvalid, "root", expected, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location> {
        Location::parse(Path::new(text))
    }

    #[test]
    fn a_url_names_a_bucket_and_a_prefix() {
        for (text, service, name, prefix) in [
            ("s3://bucket/some/prefix", Service::S3, "bucket", Some("some/prefix")),
            ("gs://bucket/prefix/", Service::Google, "bucket", Some("prefix")),
            ("az://my_container", Service::Azure, "my_container", None),
            ("s3://b.u-c_ket/", Service::S3, "b.u-c_ket", None),
        ] {
            let Location::Bucket(bucket) = parse(text).unwrap() else { panic!("{text} is a bucket") };
            assert_eq!((bucket.service, bucket.name.as_str()), (service, name), "{text}");
            assert_eq!(bucket.prefix.as_ref().map(ObjectKey::as_str), prefix, "{text}");
            assert_eq!(bucket.to_string(), text.strip_suffix('/').unwrap_or(text));
        }
    }

    #[test]
    fn paths_and_file_urls_are_folders() {
        for (text, folder) in [
            ("factory", "factory"),
            ("/a/b c", "/a/b c"),
            ("odd:name", "odd:name"),
            ("c:/odd", "c:/odd"),
            ("/a/s3://b", "/a/s3://b"),
            ("file:///a/b%20c", "/a/b c"),
            ("file:///a@b", "/a@b"),
        ] {
            assert_eq!(parse(text).unwrap(), Location::Folder(folder.into()), "{text}");
        }
    }

    #[test]
    fn any_other_form_is_refused_without_showing_it() {
        for text in [
            "s3://",
            "s3:///secret",
            "s3://ab/secret",
            "s3://buck%65t/secret",
            "s3://bucket:9000/secret",
            "s3://bucket//secret",
            "s3://bucket/../secret",
            "s3://bucket/.secret",
            "s3://bucket/a secret",
            "http://bucket/secret",
            "S3://bucket/secret",
            "memory://secret",
            "file://secret/folder",
            "file://",
            "s3:/bucket/secret",
            "file:/secret",
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.code, Code::ParameterInvalid, "{text}");
            assert!(
                failure.to_string().contains("root") && !failure.to_string().contains("secret"),
                "{failure}"
            );
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_by_name_and_not_shown() {
        for (text, found) in [
            ("s3://key:secret@bucket/prefix", "credentials"),
            ("s3://key:sec/ret+secret@bucket/prefix", "credentials"),
            ("az://secret@container", "credentials"),
            ("az://container/prefix?sig=secret", "a query"),
            ("gs://bucket/prefix#secret", "a fragment"),
            ("http://key:secret@host/bucket", "credentials"),
            ("file://key:secret@host/bucket", "credentials"),
        ] {
            let failure = parse(text).unwrap_err();
            assert!(failure.to_string().contains(found), "{failure}");
            assert!(failure.hint().contains("environment"), "{}", failure.hint());
            assert!(!format!("{failure:?} {failure}").contains("secret"), "{failure}");
        }
    }
}
