//! Users, roles, tokens that end, and TLS.

use std::fs;
use std::path::Path;

use etcd_client::{Certificate, ConnectOptions, Permission, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;

/// Users `root` and `scott`, who may read `open` and nothing else.
pub(super) async fn with_users(etcd: &Etcd) -> Writer {
    let mut writer = etcd.writer().await;
    let client = &mut writer.client;
    client.role_add("reader").await.unwrap();
    client.user_add("root", "secret", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.user_add("scott", "tiger", None).await.unwrap();
    client.user_grant_role("scott", "reader").await.unwrap();
    may_read(&mut writer, "open").await;
    writer.client.auth_enable().await.unwrap();
    let root = ConnectOptions::new().with_user("root", "secret").with_auto_token_refresh(true);
    etcd.writer_as(Some(root)).await
}

async fn may_read(writer: &mut Writer, service: &str) {
    let permission = Permission::read(format!("/micro/registry/{service}/")).with_prefix();
    writer.client.role_grant_permission("reader", permission).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_credentials_is_read_with_them_and_what_may_not_be_read_holds_up_nothing() {
    let etcd = Etcd::start_with(&["--bcrypt-cost", "4"]).await;
    let mut writer = with_users(&etcd).await;
    announce(&mut writer, "open", "o", "10.0.0.1:80").await;
    announce(&mut writer, "private", "p", "10.0.0.2:80").await;
    let with = |credentials: &str| {
        let settings: etcd::Settings = format!("//{}", etcd.address()).parse().unwrap();
        let registry = etcd::open(settings.with_auth(credentials.parse().unwrap()));
        assert!(!format!("{registry:?} {}", registry.location()).contains("tiger"));
        Watching::start(Arc::new(registry), &["open", "private"])
    };
    let right = with("scott:tiger");
    eventually(SOON, "what may be read is", || right.has("open", &["o"])).await;
    announce(&mut writer, "open", "q", "10.0.0.3:80").await;
    eventually(SOON, "and followed", || right.has("open", &["o", "q"])).await;
    assert!(right.listing("private").is_none(), "what cannot be read is neither empty nor absent");
    assert_eq!(right.failures(), [""; 0]);
    for (watching, cure) in [(with("scott:lion"), "correct auth"), (watch(&etcd, "", &["open"]), "give auth")]
    {
        let failure = eventually(SOON, cure, || watching.failures().pop()).await;
        assert!(failure.contains(cure), "{failure}");
        assert_eq!(watching.count(), 0);
    }
    assert!(!format!("{:?}", right.failures()).contains("tiger"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_wanted_when_the_token_of_the_stream_has_ended_is_followed() {
    let etcd = Etcd::start_with(&["--bcrypt-cost", "4", "--auth-token-ttl", "1"]).await;
    let mut writer = with_users(&etcd).await;
    announce(&mut writer, "open", "a", "10.0.0.1:80").await;
    let settings: etcd::Settings = format!("//{}", etcd.address()).parse().unwrap();
    let settings = settings.with_auth("root:secret".parse().unwrap());
    let watching = Watching::start(Arc::new(etcd::open(settings)), &["open"]);
    eventually(SOON, "it is listed", || watching.has("open", &["a"])).await;
    eventually(SOON, "the token ends", || (watching.quiet() >= Duration::from_secs(4)).then_some(())).await;
    announce(&mut writer, "open", "b", "10.0.0.2:80").await;
    eventually(SOON, "the watch goes on", || watching.has("open", &["a", "b"])).await;
    watching.want(&["open", "later"]);
    eventually(SOON, "no such service", || watching.is_absent("later")).await;
    announce(&mut writer, "later", "c", "10.0.0.3:80").await;
    eventually(SOON, "it is watched", || watching.has("later", &["c"])).await;
    announce(&mut writer, "open", "d", "10.0.0.4:80").await;
    eventually(SOON, "and so is the other", || watching.has("open", &["a", "b", "d"])).await;
    assert_eq!(watching.failures(), [""; 0]);
}

/// An authority, and a certificate of it for this machine; their files in a folder.
fn certify(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let own_key = KeyPair::generate().unwrap();
    let own =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&own_key, &issuer).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("cert.pem"), own.pem()).unwrap();
    fs::write(folder.join("key.pem"), own_key.serialize_pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_an_authority_and_a_certificate_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let files = ["--cert-file", &cert, "--key-file", &key, "--trusted-ca-file", &ca, "--client-cert-auth"];
    let etcd = Etcd::start_with(&files).await;
    let pem = |path: &str| fs::read(path).unwrap();
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(pem(&ca)))
        .identity(etcd_client::Identity::from_pem(pem(&cert), pem(&key)));
    let mut writer = etcd.writer_as(Some(ConnectOptions::new().with_tls(tls))).await;
    announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    let watching = watch(&etcd, &format!("ca={ca}&cert={cert}&key={key}"), &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    announce(&mut writer, "greeter", "b", "10.0.0.2:80").await;
    eventually(SOON, "and followed", || watching.has("greeter", &["a", "b"])).await;
    for options in ["tls=true".to_owned(), format!("ca={ca}"), "ca=/nowhere/ca.pem".to_owned(), String::new()]
    {
        let wrong = watch(&etcd, &options, &["greeter"]);
        let failure = eventually(SOON, &options, || wrong.failures().pop()).await;
        assert!(failure.contains(&etcd.address()), "{failure}");
        assert_eq!(wrong.count(), 0, "{options}");
    }
}
