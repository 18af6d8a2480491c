//! Serves one document on one thread, as a Rust programmer would write it in an afternoon: polls with a tag, 304 and gzip
//! made once, long polls (`Prefer: wait=N`), WebSockets and event streams. `POST /publish` on the plain port replaces it.
//!
//! `axum-peer TLS_ADDRESS PLAIN_ADDRESS CERT KEY DOCUMENT`

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::crypto::aws_lc_rs::{Ticketer, cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const MAX_DOCUMENT_BYTES: usize = 16 << 20;
const MAX_WAIT: Duration = Duration::from_secs(60);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// By default it has 128 KiB, which a subscriber who says nothing does not need.
const READ_BUFFER_BYTES: usize = 4096;

/// One version, in all forms in which it is sent.
struct Snapshot {
    etag: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
    text: Utf8Bytes,
    event: Bytes,
}

impl Snapshot {
    fn new(plain: Bytes) -> Option<Arc<Self>> {
        let text = Utf8Bytes::try_from(plain.clone()).ok()?;
        let mut coder = GzEncoder::new(Vec::new(), Compression::best());
        coder.write_all(&plain).ok()?;
        let gzip = Bytes::from(coder.finish().ok()?);
        let lines: Vec<String> = text.split('\n').map(|line| format!("data: {line}\n")).collect();
        let event = Bytes::from(lines.concat() + "\n");
        let sum: String = Sha256::digest(&plain).iter().map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::try_from(format!("\"{sum}\"")).ok()?;
        Some(Arc::new(Self { etag, plain, gzip, text, event }))
    }
}

type Feed = watch::Receiver<Arc<Snapshot>>;
type Publisher = Arc<watch::Sender<Arc<Snapshot>>>;

fn says(fields: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    fields.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(word))
}

async fn poll(State(mut feed): State<Feed>, fields: HeaderMap) -> Response {
    let mut now = feed.borrow_and_update().clone();
    let knows = |now: &Snapshot| fields.get(header::IF_NONE_MATCH) == Some(&now.etag);
    if knows(&now) && fields.get("prefer").is_some_and(|value| value.as_bytes().starts_with(b"wait=")) {
        let _ = tokio::time::timeout(MAX_WAIT, feed.changed()).await;
        now = feed.borrow().clone();
    }
    let head = [
        (header::ETAG, now.etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::VARY, HeaderValue::from_static("Accept-Encoding")),
    ];
    if knows(&now) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if says(&fields, header::ACCEPT_ENCODING, "gzip") {
        let coding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return (head, json, coding, now.gzip.clone()).into_response();
    }
    (head, json, now.plain.clone()).into_response()
}

async fn events(State(feed): State<Feed>) -> Response {
    let changes = stream::unfold((feed, true), |(mut feed, is_first)| async move {
        if !is_first {
            feed.changed().await.ok()?;
        }
        let event = feed.borrow_and_update().event.clone();
        Some((Ok::<_, Infallible>(event), (feed, false)))
    });
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (head, Body::from_stream(changes)).into_response()
}

async fn subscribe(State(feed): State<Feed>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(READ_BUFFER_BYTES).on_upgrade(|socket| push(socket, feed))
}

async fn push(mut socket: WebSocket, mut feed: Feed) {
    feed.mark_changed();
    loop {
        tokio::select! {
            changed = feed.changed() => {
                let text = feed.borrow_and_update().text.clone();
                if changed.is_err() || socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            // It answers pings by itself.
            received = socket.recv() => if !matches!(received, Some(Ok(_))) {
                return;
            }
        }
    }
}

async fn publish(State(publisher): State<Publisher>, document: Bytes) -> StatusCode {
    let Some(snapshot) = Snapshot::new(document) else { return StatusCode::BAD_REQUEST };
    publisher.send_replace(snapshot);
    StatusCode::NO_CONTENT
}

fn listen(address: &str) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("SO_REUSEADDR");
    socket.bind(address.parse().expect("an address and a port")).expect("a free port");
    socket.listen(4096).expect("a listening socket")
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, app: Router) {
    let service = TowerToHyperService::new(app);
    let mut server = http1::Builder::new();
    let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, app: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await; // too many open files
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (tls, app) = (tls.clone(), app.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, app).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        serve(stream, app).await;
                    }
                }
            }
        });
    }
}

fn tls(cert: &str, key: &str) -> TlsAcceptor {
    let certificates = CertificateDer::pem_file_iter(cert).expect("a certificate").flatten().collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let mut provider = default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("the key of the certificate");
    config.ticketer = Ticketer::new().expect("a key of tickets");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tls_address, plain_address, cert, key, path] = &arguments[..] else {
        panic!("usage: axum-peer TLS_ADDRESS PLAIN_ADDRESS CERT KEY DOCUMENT");
    };
    let document = Bytes::from(std::fs::read(path).expect("a document"));
    let (publisher, feed) = watch::channel(Snapshot::new(document).expect("UTF-8"));
    let app = Router::new()
        .route("/feed", get(poll))
        .route("/feed.sse", get(events))
        .route("/feed.ws", get(subscribe))
        .with_state(feed);
    let publishing = Router::new()
        .route("/publish", post(publish))
        .layer(DefaultBodyLimit::max(MAX_DOCUMENT_BYTES))
        .with_state(Arc::new(publisher));
    let plain = accept(listen(plain_address), None, app.clone().merge(publishing));
    tokio::join!(accept(listen(tls_address), Some(tls(cert, key)), app), plain);
}
