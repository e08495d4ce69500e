//! Clients of the services, made of what the environment says.
//!
//! Flows in: a bucket. Flows out: a client of it. Invariant: credentials, region and endpoint are read here, from the
//! environment, and go into the client alone: a refusal names the variables and shows none of them.

use std::{sync::Arc, time::Duration};

use contracts::{Code, Failure, Result};
use object_store::{
    BackoffConfig, ObjectStore, RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder,
};

use super::{
    super::{Bucket, Service},
    transport::Connector,
};
use crate::tls;

/// A client of the bucket.
pub(super) fn connect(bucket: &Bucket) -> Result<Arc<dyn ObjectStore>> {
    tls::provide();
    let (name, connector) = (bucket.name.as_str(), Connector::default());
    let client: object_store::Result<Arc<dyn ObjectStore>> = match bucket.service {
        Service::S3 => AmazonS3Builder::from_env()
            .with_bucket_name(name)
            .with_retry(retries())
            .with_http_connector(connector)
            .build()
            .map(|client| Arc::new(client) as _),
        Service::Google => GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(name)
            .with_retry(retries())
            .with_http_connector(connector)
            .build()
            .map(|client| Arc::new(client) as _),
        Service::Azure => MicrosoftAzureBuilder::from_env()
            .with_container_name(name)
            .with_retry(retries())
            .with_http_connector(connector)
            .build()
            .map(|client| Arc::new(client) as _),
    };
    // What the library says of it may quote a variable.
    client.map_err(|_| {
        let expected = format!("the settings of a store at {}://", bucket.service.scheme());
        Failure::at(Code::ParameterInvalid, "environment", expected, "too few, or ones that cannot be used")
            .with_hint(hint(bucket.service))
    })
}

/// How often and how long a request is sent again: well within the time that a worker holds its run.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(45),
    }
}

const fn hint(service: Service) -> &'static str {
    match service {
        Service::S3 => {
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together, AWS_REGION, AWS_ENDPOINT_URL for a server of your own, and AWS_ALLOW_HTTP=true where that speaks plain HTTP; the system needs its CA certificates."
        }
        Service::Google => {
            "Set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT to the path of a file of credentials; the system needs its CA certificates."
        }
        Service::Azure => {
            "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or another way to be known to it; the system needs its CA certificates."
        }
    }
}
