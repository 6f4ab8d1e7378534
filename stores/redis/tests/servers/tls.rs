//! Connections by TLS, with an authority and certificates made for the test.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use sessile_redis::{RedisStore, RedisStoreBuilder};
use sessile_store::StoreError;
use tempfile::TempDir;

use crate::{
    contract::check,
    support::{server::Server, watch::Watch},
};

/// An authority, and what it signed.
struct Authority {
    folder: TempDir,
    ca: String,
    client: (String, String),
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let ca = issuer.pem();
        let sign = |name: &str, usage| {
            let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
            params.distinguished_name = named(name);
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().expect("a key");
            let signed = params.signed_by(&key, &issuer).expect("a certificate");
            (signed.pem(), key.serialize_pem())
        };
        let server = sign("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
        let client = sign("client", ExtendedKeyUsagePurpose::ClientAuth);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("the folder is ours");
        };
        write("ca.pem", &ca);
        write("cert.pem", &server.0);
        write("key.pem", &server.1);
        Self { folder, ca, client }
    }

    fn path(&self, name: &str) -> String {
        let path: &Path = &self.folder.path().join(name);
        path.display().to_string()
    }

    /// Starts a server that accepts only clients with a certificate.
    fn server(&self) -> Server {
        let files = ["ca.pem", "cert.pem", "key.pem"].map(|name| self.path(name));
        let [ca, cert, key] = files.each_ref().map(String::as_str);
        Server::start(
            "redis",
            &[
                "--tls-ca-cert-file",
                ca,
                "--tls-cert-file",
                cert,
                "--tls-key-file",
                key,
            ],
        )
    }

    fn store(&self, port: &str) -> RedisStoreBuilder {
        let url = format!("rediss://127.0.0.1:{port}");
        let (certificate, key) = self.client.clone();
        RedisStore::builder(&url)
            .ca_certificate(self.ca.clone())
            .client_certificate(certificate, key)
    }
}

/// A certificate whose name is its issuer's would count as signed by itself.
fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Opens a second port for TLS, as the first is for the commands of the test.
fn open_tls(server: &Server) -> String {
    let port = crate::support::server::free_port().to_string();
    server.command(&["CONFIG", "SET", "tls-port", &port]);
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_with_certificates_on_both_sides() {
    let authority = Authority::new();
    let server = authority.server();
    let port = open_tls(&server);
    let store = authority.store(&port).build().expect("valid settings");
    check(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_rejected() {
    let authority = Authority::new();
    let server = authority.server();
    let port = open_tls(&server);
    let other = Authority::new();
    let store = authority.store(&port).ca_certificate(other.ca);
    let store = store.build().expect("valid settings");
    let error = Watch::begin(&store).end().await;
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_is_rejected() {
    let authority = Authority::new();
    let server = authority.server();
    let port = open_tls(&server);
    let url = format!("rediss://127.0.0.1:{port}");
    let store = RedisStore::builder(&url).ca_certificate(authority.ca.clone());
    let store = store.build().expect("valid settings");
    let error = Watch::begin(&store).end().await;
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
}
