//! Follows items of livefeed on one WebSocket, and prints each change. Each document is verified, and the program comes
//! back when the server says so. Try
//!
//! ```text
//! cargo run -- wss://feeds.example/feed.ws /feed/totals
//! ```
//!
//! The first item is that of the URL; further ones are named by their paths. `--vectors FILE` runs `vectors.json`,
//! and `--timing` measures.

mod items;
mod timing;
mod vectors;

use items::{delay_ms, version_of, Item, Items};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{connect, Error, Message};

const SUBPROTOCOL: &str = "livefeed.delta.v2";
const MAX_BYTES: usize = 32 << 20;

/// The end of a connection.
enum End {
    /// The server said when to come back, in milliseconds.
    After(u64),
    /// A line broke, or a proxy answered.
    Broken,
    /// The client does not come back.
    Final,
}

struct Follower {
    url: String,
    first: String,
    items: Items,
    shown: BTreeMap<String, String>,
    left: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, file] if flag == "--vectors" => vectors::run(file),
        [flag] if flag == "--timing" => timing::run(),
        [flag, count, url, paths @ ..] if flag == "--changes" => follow(url, paths, count.parse().expect("a number")),
        [url, paths @ ..] => follow(url, paths, usize::MAX),
        [] => panic!("name a URL such as wss://feeds.example/feed.ws, and further items such as /feed/totals"),
    }
}

/// Follows until there were so many changes.
fn follow(url: &str, paths: &[String], changes: usize) {
    // The path of an item is /NAME and a JSON Pointer, as the messages have it.
    let path = url.split('?').next().and_then(|url| url.splitn(4, '/').nth(3)).expect("a URL with a path");
    let (name, pointer) = path.split_once('/').map_or((path, ""), |(name, pointer)| (name, pointer));
    let separator = if pointer.is_empty() { "" } else { "/" };
    let first = format!("/{}{separator}{pointer}", name.trim_end_matches(".ws"));
    let by_path = paths.iter().chain([&first]).map(|path| (path.clone(), Item::default())).collect();
    let items = Items { by_path, max_bytes: MAX_BYTES };
    let mut follower = Follower { url: url.to_owned(), first, items, shown: BTreeMap::new(), left: changes };
    let mut failures = 0;
    while follower.left > 0 {
        let wait_ms = match follower.once() {
            End::Final => break,
            End::After(ms) => ms,
            // Longer each time, and each client at another time.
            End::Broken => 500 * (failures + 1).min(20) + random_ms(1000 * (failures + 1).min(20)),
        };
        failures = if follower.shown.is_empty() { failures + 1 } else { 0 };
        if follower.left > 0 {
            std::thread::sleep(Duration::from_millis(wait_ms));
        }
    }
}

/// Gives a time that differs between clients: this program needs no better chance.
fn random_ms(limit: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    u64::from(now / 1000 + std::process::id()) % limit.max(1)
}

impl Follower {
    /// Gives the URL with the versions that the client has, so that the server sends only what has changed.
    fn request(&self) -> String {
        let mut url = self.url.clone();
        for (path, item) in &self.items.by_path {
            let version = item.data.as_deref().map(version_of).unwrap_or_default();
            let separator = if url.contains('?') { '&' } else { '?' };
            if path == &self.first {
                if !version.is_empty() {
                    url += &format!("{separator}have={version}");
                }
            } else {
                let escaped: String = path.bytes().map(|byte| format!("%{byte:02X}")).collect();
                url += &format!("{separator}follow={version}{escaped}");
            }
        }
        url
    }

    /// Follows on one connection.
    fn once(&mut self) -> End {
        let mut request = self.request().into_client_request().expect("a URL");
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let mut socket = match connect(request) {
            Ok((socket, _)) => socket,
            Err(Error::Http(answer)) => {
                eprintln!("refused with {}", answer.status());
                let seconds = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
                return match (seconds, answer.status().as_u16()) {
                    (Some(seconds), _) => End::After(1000 * u64::from(seconds) + random_ms(1000)),
                    (None, 410) => End::After(30_000 + random_ms(30_000)),
                    (None, 429 | 500..=599) => End::Broken,
                    _ => End::Final,
                };
            }
            Err(error) => {
                eprintln!("{error}");
                return End::Broken;
            }
        };
        // A message with the whole document is somewhat longer than the document: each line feed is an escape.
        socket.set_config(|config: &mut WebSocketConfig| config.max_message_size = Some(4 * MAX_BYTES));
        // When to ask again for items that were refused.
        let mut due: BTreeMap<String, Instant> = BTreeMap::new();
        while self.left > 0 {
            match socket.read() {
                Ok(Message::Text(text)) => {
                    let Ok(message) = serde_json::from_str::<Value>(&text) else { return End::Broken };
                    if let Some(question) = self.items.receive(&message) {
                        eprintln!("a message did not fit, and the document is asked for: {question}");
                        if socket.send(Message::Text(question.to_string())).is_err() {
                            return End::Broken;
                        }
                    }
                    if message["type"] == "refused" {
                        let path = message["path"].as_str().unwrap_or("");
                        eprintln!("{path}: refused with {}: {}", message["status"], message["detail"]);
                        if let (Some(path), Some(ms)) = (message["path"].as_str(), message["retry"].as_u64()) {
                            due.insert(path.to_owned(), Instant::now() + Duration::from_millis(ms));
                        }
                    }
                    // Messages come at each tick, so a timer is not needed.
                    let now = Instant::now();
                    let again: Vec<String> = due.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
                    for path in again {
                        due.remove(&path);
                        let question = serde_json::json!({"follow": path, "have": null});
                        if socket.send(Message::Text(question.to_string())).is_err() {
                            return End::Broken;
                        }
                    }
                    self.show();
                }
                Ok(Message::Close(Some(frame))) => {
                    eprintln!("closed with {}: {}", frame.code, frame.reason);
                    return delay_ms(frame.code.into(), &frame.reason).map_or(End::Final, End::After);
                }
                Ok(_) => {}
                Err(error) => {
                    eprintln!("{error}");
                    return End::Broken;
                }
            }
        }
        End::Final
    }

    /// Prints the items that have changed since the last call.
    fn show(&mut self) {
        for (path, item) in &self.items.by_path {
            let Some(state) = &item.state else { continue };
            let line = match item.data.as_deref().filter(|_| item.is_shown) {
                Some(data) => format!("{state} {} {} bytes", version_of(data), data.len()),
                None => format!("{state} nothing to show"),
            };
            if self.shown.get(path) != Some(&line) {
                println!("{path} {line}");
                self.shown.insert(path.clone(), line);
                self.left = self.left.saturating_sub(1);
            }
        }
    }
}
