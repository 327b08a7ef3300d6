//! A pipe carries what a socket would: requests one after the other on one connection, and the news of a reader who left.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use client::{Client, HttpError, Pipes};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

type Events = mpsc::Receiver<Result<Frame<Bytes>, Infallible>>;

fn ask() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_static(b"question")));
    *request.uri_mut() = "http://engine.invalid/ask".parse().expect("an address");
    request
}

async fn next_pipe(pipes: &mut Pipes) -> DuplexStream {
    pipes.recv().await.expect("the client is alive")
}

/// Answers each request with its own body, and counts the connections.
async fn echo(mut pipes: Pipes, connections: mpsc::UnboundedSender<()>) {
    while let Some(pipe) = pipes.recv().await {
        let _ = connections.send(());
        let service = service_fn(async |request: Request<Incoming>| {
            assert_eq!(request.uri(), "/ask");
            assert_eq!(request.headers()["host"], "engine.invalid");
            let body = request.into_body().collect().await.expect("whole").to_bytes();
            Ok::<_, Infallible>(Response::new(Full::new(body)))
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(pipe), service),
        );
    }
}

#[tokio::test]
async fn a_second_request_uses_the_first_ones_pipe() {
    let (client, pipes) = Client::piped();
    let (connections, mut seen) = mpsc::unbounded_channel();
    tokio::spawn(echo(pipes, connections));
    for _ in 0..3 {
        let answer = client.send(ask()).await.expect("answered").into_body();
        assert_eq!(answer.collect().await.expect("whole").to_bytes(), "question");
    }
    assert!(seen.recv().await.is_some() && seen.try_recv().is_err(), "one connection did for all");
}

#[tokio::test]
async fn whoever_drops_half_an_answer_is_gone_for_the_server() {
    let (client, mut pipes) = Client::piped();
    let (events, receiver) = mpsc::channel(1);
    let serving = tokio::spawn(async move {
        let pipe = next_pipe(&mut pipes).await;
        let receiver = std::sync::Mutex::new(Some(receiver));
        let service = service_fn(|_request: Request<Incoming>| {
            let receiver: Events = receiver.lock().expect("no panic").take().expect("asked once");
            let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
                receiver.recv().await.map(|event| (event, receiver))
            });
            async move { Ok::<_, Infallible>(Response::new(StreamBody::new(stream))) }
        });
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(pipe), service).await;
    });
    events.send(Ok(Frame::data(Bytes::from_static(b"half")))).await.expect("room");
    let mut answer = client.send(ask()).await.expect("answered").into_body();
    let first = answer.frame().await.expect("a frame").expect("sound").into_data().expect("data");
    assert_eq!(first, "half");
    drop(answer);
    events.closed().await; // the server let go of the body
    serving.await.expect("ended");
}

#[tokio::test]
async fn a_server_that_is_gone_is_no_connection() {
    let (client, pipes) = Client::piped();
    drop(pipes);
    let sent = tokio::time::timeout(Duration::from_secs(10), client.send(ask())).await;
    assert!(matches!(sent.expect("at once"), Err(HttpError::Connect(_))));
}
