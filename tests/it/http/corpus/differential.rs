//! HTTP/1 as this proxy reads it, beside HTTP/1 as hyper reads it: what is taken here has the same meaning there.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use wayside::http1::{
    Bounds, Came, Connection, Received, begin_answer, begin_request, poll_answer, poll_request,
};

use super::{Case, cases};

const BOUNDS: Bounds = Bounds { bytes: 64 * 1024, fields: 100, strict: true };

/// A message as it was understood.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    first: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
}

fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// A connection whose other side says these bytes, hears whatever comes, and ends.
async fn told<R>(bytes: &[u8], hear: impl AsyncFnOnce(DuplexStream) -> R) -> R {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (mut from, mut to) = tokio::io::split(far);
    let saying = async {
        let _ = to.write_all(bytes).await;
        let _ = to.shutdown().await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    };
    tokio::pin!(saying);
    tokio::select! {
        biased;
        heard = hear(near) => heard,
        () = async { saying.as_mut().await; std::future::pending().await } => unreachable!("it pends"),
    }
}

/// The body and the trailers, if they came whole.
async fn whole(received: &mut Received) -> Option<(Vec<u8>, Vec<(String, Vec<u8>)>)> {
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    while let Some(frame) = poll_fn(|cx| received.poll_frame(cx)).await {
        match frame.ok().map(Frame::into_data)? {
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers = fields(&frame.into_trailers().unwrap()),
        }
    }
    Some((body, trailers))
}

/// The requests that are taken here, up to the first that leaves a doubt or does not come whole.
async fn ours(stream: DuplexStream) -> Vec<Meaning> {
    let connection = Rc::new(Connection::new(stream, ()));
    let mut taken = Vec::new();
    loop {
        let came = poll_fn(|cx| poll_request(&connection, cx, BOUNDS, taken.is_empty())).await;
        let Ok(Came::Request(mut head)) = came else { return taken };
        if head.seen.doubt.is_some() {
            return taken;
        }
        let Some((body, trailers)) = whole(&mut begin_request(&connection, &mut head)).await else {
            return taken;
        };
        let first = format!("{} {} {:?}", head.method, head.uri, head.version);
        taken.push(Meaning { first, fields: fields(&head.headers), body, trailers });
        if !head.keeps {
            return taken;
        }
    }
}

/// The requests that hyper takes.
async fn hypers(stream: DuplexStream) -> Vec<Meaning> {
    let taken = RefCell::new(Vec::new());
    let service = hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
        let (parts, body) = request.into_parts();
        if let Ok(collected) = body.collect().await {
            let first = format!("{} {} {:?}", parts.method, parts.uri, parts.version);
            let trailers = collected.trailers().map(fields).unwrap_or_default();
            let body = collected.to_bytes().to_vec();
            taken.borrow_mut().push(Meaning { first, fields: fields(&parts.headers), body, trailers });
        }
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let _ = builder.half_close(true).serve_connection(TokioIo::new(stream), service).await;
    taken.into_inner()
}

#[tokio::test]
async fn a_request_that_is_taken_means_the_same_to_hyper() {
    let mut compared = 0;
    for Case { name, bytes, .. } in cases(include_str!("requests.txt")) {
        let taken = told(&bytes, ours).await;
        let known = told(&bytes, hypers).await;
        assert!(known.len() >= taken.len(), "{name}: hyper takes {known:?} alone of {taken:?}");
        for (ours, hypers) in taken.iter().zip(&known) {
            assert_eq!(ours, hypers, "{name}");
            compared += 1;
        }
    }
    println!("{compared} requests that are taken mean the same to hyper");
    assert!(compared >= 150, "only {compared}");
}

/// The answer to a request by this method, if one is taken that came whole.
async fn our_answer(stream: DuplexStream, method: &Method) -> Option<Meaning> {
    let connection = Rc::new(Connection::new(stream, ()));
    let bounds = Bounds { strict: false, ..BOUNDS };
    let head = loop {
        let head = poll_fn(|cx| poll_answer(&connection, cx, bounds)).await.ok()?;
        if !head.status.is_informational() || head.status == 101 {
            break head;
        }
    };
    let (mut received, _) = begin_answer(&connection, &head, method == Method::HEAD).ok()?;
    let (body, trailers) = whole(&mut received).await?;
    let first = format!("{} {:?}", head.status, head.version);
    Some(Meaning { first, fields: fields(&head.headers), body, trailers })
}

/// The same, as hyper has it.
async fn hypers_answer(stream: DuplexStream, method: &Method) -> Option<Meaning> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let request =
        Request::builder().method(method).header("host", "svc").body(Empty::<Bytes>::new()).unwrap();
    let answered = async {
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let collected = body.collect().await.ok()?;
        let first = format!("{} {:?}", parts.status, parts.version);
        let trailers = collected.trailers().map(fields).unwrap_or_default();
        let body = collected.to_bytes().to_vec();
        Some(Meaning { first, fields: fields(&parts.headers), body, trailers })
    };
    tokio::select! {
        answered = answered => answered,
        () = async { let _ = connection.await; std::future::pending().await } => unreachable!("it pends"),
    }
}

#[tokio::test]
async fn an_answer_that_is_taken_means_the_same_to_hyper() {
    let mut compared = 0;
    for Case { name, bytes, verdict } in cases(include_str!("answers.txt")) {
        let method = if verdict.contains("/head") { Method::HEAD } else { Method::GET };
        let Some(ours) = told(&bytes, async |stream| our_answer(stream, &method).await).await else {
            continue;
        };
        // hyper sends first, and takes what comes before for nobody's.
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut from, mut to) = tokio::io::split(far);
        let saying = async {
            let mut asked = vec![0; 1];
            let _ = tokio::io::AsyncReadExt::read_exact(&mut from, &mut asked).await;
            let _ = to.write_all(&bytes).await;
            let _ = to.shutdown().await;
            let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
            std::future::pending().await
        };
        let hypers = tokio::select! {
            answer = hypers_answer(near, &method) => answer,
            () = saying => None,
        };
        assert_eq!(Some(ours), hypers, "{name}");
        compared += 1;
    }
    println!("{compared} answers that are taken mean the same to hyper");
    assert!(compared >= 80, "only {compared}");
}
