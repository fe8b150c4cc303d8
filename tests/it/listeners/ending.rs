//! The end of a proxy with such listeners: what runs is finished, and nobody holds it up.

use std::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::tls::SOON;
use super::{connect_unix, section, shake};
use crate::support::certificates::{Authority, Files};
use crate::support::client::Raw;
use crate::support::patience::at_last;
use crate::support::program::Program;
use crate::support::provider::Script;

const ASK: &str = "GET / HTTP/1.1\r\nhost: svc\r\n\r\n";

#[tokio::test]
async fn what_runs_is_finished_on_all_of_them() {
    let (script, authority, files) = (Script::start().await, Authority::new("one"), Files::new());
    let socket = files.write("gone.sock", "");
    std::fs::remove_file(&socket).unwrap();
    let certificate = section(&files, &authority.issue("localhost"));
    let text = format!(
        "[registry]\nurl = \"fixed:svc={}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n{certificate}\
         [[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n[[listener]]\naddress = \"unix:{}\"\n",
        script.address(),
        socket.display()
    );
    let file = files.write("wayside.toml", &text);
    let mut program =
        Program::launch(&["run", "--config", file.to_str().unwrap(), "--admin", "127.0.0.1:0"], &[]);
    program.logs("operators are answered").await;
    let addresses = program.listeners();
    let stream = TcpStream::connect(addresses[0]).await.unwrap();
    let mut secure = Raw::over(shake(&authority.client(&["http/1.1"], None), stream).await.unwrap());
    let mut announced = Raw::connect(addresses[1]).await;
    announced.say("PROXY UNKNOWN\r\n").await;
    let mut local = Raw::over(connect_unix(&socket).await);
    secure.say(ASK).await;
    announced.say(ASK).await;
    local.say(ASK).await;
    let mut providers = Vec::new();
    for _ in 0..3 {
        let mut provider = Raw::from(script.accept().await);
        provider.hear_head().await;
        providers.push(provider);
    }
    // Those who never say what they have to are not waited for as long as they could take, nor is one that idles.
    let _silent = (Raw::connect(addresses[0]).await, Raw::connect(addresses[1]).await);
    let stream = TcpStream::connect(addresses[0]).await.unwrap();
    let _idle = shake(&authority.client(&["h2"], None), stream).await.unwrap();
    at_last("all are open", async || program.metric("wayside_connections_open", "").await == 6.0).await;
    program.signal("TERM");
    program.logs("stopping").await;
    for mut provider in providers {
        provider.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
    }
    for heard in [secure.hear_all().await, announced.hear_all().await, local.hear_all().await] {
        assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("late"), "{heard}");
    }
    let answered = Instant::now();
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    // A handshake has ten seconds otherwise.
    assert!(answered.elapsed() < SOON, "{:?}", answered.elapsed());
    assert!(!program.log().contains("were dropped"), "{}", program.log());
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_connection_along() {
    let front = super::Front::under_tls("", "").await;
    let mut stream = front.secure(&["http/1.1"]).await;
    stream.write_all(&ASK.as_bytes()[..20]).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(front.open(), 1);
    drop(stream);
    at_last("it is gone", async || front.open() == 0).await;
}
