//! Asks as a program that uses the AWS SDK for Rust does: region, credentials, and a few paths. Prints one line each.

use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = ProviderConfig::without_region().with_http_client(http);
    let client = aws_config::imds::Client::builder().configure(&config).build();
    for name in ["instance-id", "placement/availability-zone", "public-keys/0/openssh-key"] {
        let value = client.get(format!("/latest/meta-data/{name}")).await?;
        println!("{name}\t{}", value.as_ref());
    }
    let region = ImdsRegionProvider::builder().configure(&config).build();
    let region = region.region().await;
    println!("region\t{}", region.as_ref().map_or("none", |it| it.as_ref()));
    let credentials = ImdsCredentialsProvider::builder().configure(&config).build();
    let credentials = credentials.provide_credentials().await?;
    println!("credentials\t{}", credentials.access_key_id());
    Ok(())
}
