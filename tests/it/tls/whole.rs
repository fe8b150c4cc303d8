//! The whole program with certificates in files: checked, believed, read again.

use std::fs;
use std::path::Path;

use http::StatusCode;

use crate::support::certificates::{Authority, Files};
use crate::support::patience::at_last;
use crate::support::program::{Program, get, text, whole};
use crate::support::provider::Echo;

fn configuration(echo: &Echo, lines: &str) -> String {
    format!(
        "[registry.services]\nsvc = [{{ address = \"{}\", tls = true }}]\n[timeouts]\nconnect = \"5s\"\n[upstream.tls]\n{lines}\n",
        echo.address()
    )
}

async fn secure_echo(authority: &Authority) -> Echo {
    Echo::secure(authority.issue("127.0.0.1").server(&["http/1.1"])).await
}

async fn status(program: &Program) -> StatusCode {
    get(program.listeners()[0], "/svc/").await.status()
}

#[tokio::test]
async fn the_authorities_of_the_system_are_believed_where_none_are_given() {
    let authority = Authority::new("one");
    let echo = secure_echo(&authority).await;
    let files = Files::new();
    let file = files.write("wayside.toml", &configuration(&echo, ""));
    let roots = files.write("roots.pem", &authority.pem);
    let arguments =
        ["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", file.to_str().unwrap()];
    let program = Program::launch(&arguments, &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
    program.logs("operators are answered").await;
    assert_eq!(status(&program).await, 200);
    assert!(program.logged("NOT VERIFIED").is_empty());
    let told = program.ask_json("/services/svc").await;
    assert_eq!(told["endpoints"][0]["tls"], true);
}

#[tokio::test]
async fn certificates_are_read_again_with_the_configuration() {
    let (old, new) = (Authority::new("one"), Authority::new("other"));
    let echo = secure_echo(&new).await;
    let files = Files::new();
    let ca = files.write("ca.pem", &old.pem);
    let file = files.write("wayside.toml", &configuration(&echo, &format!("ca = {ca:?}")));
    let program = Program::run(&["--config", file.to_str().unwrap()]).await;
    let answer = get(program.listeners()[0], "/svc/").await;
    assert!(text(&answer).contains("no authority that is trusted"), "{answer:?}");
    let line = program.logs("an endpoint cannot be reached").await;
    assert!(
        line.contains(&echo.address().to_string()) && line.contains("no authority that is trusted"),
        "{line}"
    );
    // Broken ones change nothing.
    fs::write(&ca, "").unwrap();
    program.signal("HUP");
    program.logs("the configuration is wrong; the one in force stays").await;
    program.logs("upstream.tls.ca").await;
    // The same name, another content.
    fs::write(&ca, &new.pem).unwrap();
    program.logs("new connections use the certificates that were read now").await;
    at_last("the provider is believed", async || status(&program).await == 200).await;
    assert!(program.logged("take effect at the next start").is_empty());
}

#[tokio::test]
async fn believing_anybody_is_said_aloud() {
    let echo = secure_echo(&Authority::new("one")).await;
    let files = Files::new();
    let file = files.write("wayside.toml", &configuration(&echo, "verify = false"));
    let program = Program::run(&["--config", file.to_str().unwrap()]).await;
    let line = program.logs("CERTIFICATES ARE NOT VERIFIED").await;
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(status(&program).await, 200);
}

#[tokio::test]
async fn that_our_certificate_ends_soon_is_said_aloud() {
    let authority = Authority::new("one");
    let echo = secure_echo(&authority).await;
    let files = Files::new();
    for (year, said) in [(2001, Some("has expired, at 2001-12-31T00:00:00Z")), (2096, None)] {
        let us = authority.issue_until("wayside", year);
        let both = files.write("us.pem", &format!("{}{}", us.certificate, us.key));
        let file = files.write("wayside.toml", &configuration(&echo, &format!("client_cert = {both:?}")));
        let program = Program::run(&["--config", file.to_str().unwrap()]).await;
        let told = program.logged("the client certificate that is shown to providers");
        match said {
            Some(said) => {
                assert!(told.len() == 1 && told[0].contains(said) && told[0].contains("WARN"), "{told:?}")
            }
            None => assert_eq!(told, [""; 0]),
        }
    }
}

#[tokio::test]
async fn mistakes_in_files_of_certificates_are_found_by_check() {
    let authority = Authority::new("one");
    let echo = secure_echo(&authority).await;
    let (one, other) = (authority.issue("a"), authority.issue("b"));
    let files = Files::new();
    let certificate = files.write("one.pem", &one.certificate);
    let key = files.write("other.key", &other.key);
    let empty = files.write("empty.pem", "nothing\n");
    let torn = files.write("torn.pem", &one.certificate[..200]);
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let junk = files.write("junk.pem", &format!("{}{junk}", authority.pem));
    let bad_list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let bad_list = files.write("bad.crl", bad_list);
    let missing = Path::new("no-such-folder/ca.pem");
    for (lines, parts) in [
        (format!("ca = {missing:?}"), &["upstream.tls.ca: \"no-such-folder/ca.pem\"", "No such file"][..]),
        (format!("ca = {empty:?}"), &["there is no certificate in it", "BEGIN CERTIFICATE"]),
        (format!("ca = {torn:?}"), &["it is no PEM"]),
        (format!("ca = {junk:?}"), &["its certificate number 2 cannot be used"]),
        (
            format!("crl = {empty:?}"),
            &["upstream.tls.crl", "no list of revoked certificates", "BEGIN X509 CRL"],
        ),
        (format!("crl = {bad_list:?}"), &["upstream.tls.crl", "its list number 1 cannot be used"]),
        (
            "spiffe_id = \"example.org/a\"".to_owned(),
            &["upstream.tls.spiffe_id", "does not begin with spiffe://"],
        ),
        (
            "verify = false\nspiffe_id = \"spiffe://example.org/a\"".to_owned(),
            &["upstream.tls.spiffe_id", "it is of no use"],
        ),
        (
            format!("[[service]]\nname = \"svc\"\n[service.tls]\nclient_key = {key:?}"),
            &["service.tls.client_key", "write client_cert as well"],
        ),
        (format!("client_key = {key:?}"), &["upstream.tls.client_key", "write client_cert as well"]),
        (format!("client_cert = {certificate:?}"), &["upstream.tls.client_cert", "no private key in it"]),
        (
            format!("client_cert = {certificate:?}\nclient_key = {key:?}"),
            &["upstream.tls.client_key", "it does not fit the certificate"],
        ),
        (
            "server_name = \"a b\"".to_owned(),
            &["upstream.tls.server_name", "is not a host name or IP address"],
        ),
    ] {
        let file = files.write("wayside.toml", &configuration(&echo, &lines));
        let (code, _, complaint) = whole(&["check", file.to_str().unwrap()], &[]);
        assert_eq!(code, 1, "{lines}: {complaint}");
        for part in parts {
            assert!(complaint.contains(part), "{part:?} in:\n{complaint}");
        }
        assert!(complaint.ends_with("\n1 mistake\n"), "{complaint}");
    }
    let ca = files.write("ca.pem", &authority.pem);
    let good = format!(
        "ca = {ca:?}\nclient_cert = {certificate:?}\nclient_key = {:?}",
        files.write("one.key", &one.key)
    );
    let file = files.write("wayside.toml", &configuration(&echo, &good));
    let (code, said, complaint) = whole(&["check", "--show", file.to_str().unwrap()], &[]);
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(said.contains(&format!("ca = {ca:?}")) && said.contains("tls = true"), "{said}");
    assert!(!said.contains("PRIVATE"), "{said}");
}
