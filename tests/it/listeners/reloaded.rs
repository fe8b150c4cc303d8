//! What is read again of a listener while it runs: all but where it is, for the connections to come.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use http::{Request, Response};
use http_body_util::Full;

use super::{ask, section, shake};
use crate::support::certificates::{Authority, Files};
use crate::support::client::Client;
use crate::support::patience::at_last;
use crate::support::program::Program;
use crate::support::provider::{Echo, told, told_header};

/// A program with one listener, on a port that stays.
struct Reloaded {
    program: Program,
    text: String,
    files: Files,
}

impl Reloaded {
    async fn start(echo: &Echo) -> Self {
        let files = Files::new();
        let url = format!("fixed:svc={};other={}", echo.address(), echo.address());
        let text = format!("[registry]\nurl = {url:?}\n[[listener]]\naddress = \"127.0.0.1:0\"\n");
        let file = files.write("wayside.toml", &text);
        let program =
            Program::launch(&["run", "--config", file.to_str().unwrap(), "--admin", "127.0.0.1:0"], &[]);
        program.logs("operators are answered").await;
        Self { program, text, files }
    }

    /// Has the listener with these keys, once that was read.
    async fn become_with(&self, keys: &str) {
        let before = self.program.logged("the configuration changed").len();
        self.files.write("wayside.toml", &format!("{}{keys}", self.text));
        self.program.signal("HUP");
        let read = async || self.program.logged("the configuration changed").len() > before;
        at_last("it is read again", read).await;
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.program.listeners()[0]).await.unwrap()
    }
}

async fn claiming(client: &mut Client) -> Response<bytes::Bytes> {
    let request = Request::get("/").header("host", "svc").header("x-forwarded-for", "192.0.2.9");
    client.send(request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn all_but_its_address_is_read_again_for_new_connections() {
    let (echo, authority) = (Echo::start().await, Authority::new("one"));
    let it = Reloaded::start(&echo).await;
    let forwarded = |response: &Response<bytes::Bytes>| told_header(&told(response), "x-forwarded-for");
    let mut old = Client::over(it.connect().await).await;
    let claimed = ["192.0.2.9", "127.0.0.1"].join(", ");
    assert_eq!(forwarded(&claiming(&mut old).await).join(", "), claimed);
    it.become_with("trusted = false\n").await;
    let mut new = Client::over(it.connect().await).await;
    assert_eq!(forwarded(&claiming(&mut new).await), ["127.0.0.1"], "nobody is believed any more");
    assert_eq!(forwarded(&claiming(&mut old).await).join(", "), claimed, "what is there goes on as it was");
    it.become_with("proxy_protocol = true\n").await;
    let mut announced = it.connect().await;
    announced.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n").await.unwrap();
    assert_eq!(forwarded(&ask(announced).await), ["192.0.2.7"]);
    // TLS where there was none, and none where there was some.
    it.become_with(&section(&it.files, &authority.issue("localhost"))).await;
    let connector = authority.client(&["http/1.1"], None);
    let secure = shake(&connector, it.connect().await).await.unwrap();
    assert_eq!(told_header(&told(&ask(secure).await), "x-forwarded-proto"), ["https"]);
    it.become_with("refuse_cross_site = true\n").await;
    let mut clear = Client::over(it.connect().await).await;
    let request = Request::get("/").header("host", "svc").header("sec-fetch-site", "cross-site");
    assert_eq!(clear.send(request.body(Full::default()).unwrap()).await.status(), 403);
    it.become_with("service = \"other\"\n").await;
    let answer = Client::over(it.connect().await).await.get("nobody", "/").await;
    assert_eq!(answer.status(), 200, "whatever is named");
    assert!(it.program.logged("take effect at the next start").is_empty(), "{}", it.program.log());
    // Another address is another matter.
    let text = it.text.replace("127.0.0.1:0", "127.0.0.2:0");
    it.files.write("wayside.toml", &text);
    let line = it.program.logs("these changes take effect at the next start").await;
    assert!(line.contains("keys=\"listener.address\"") || line.contains("keys=listener.address"), "{line}");
}
