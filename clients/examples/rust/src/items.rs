//! The documents of one connection of `livefeed.delta.v2`: each message is applied, and the result is verified. There is
//! no connection and no clock here. The protocol is in `docs/reference/protocol.md`.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The largest number in splices: 53 bits.
const MAX_NUMBER: i64 = (1 << 53) - 1;

/// A document or a part of one.
#[derive(Default)]
pub struct Item {
    /// The bytes that splices begin from.
    pub data: Option<Vec<u8>>,
    /// The state to show; `None` before the first message.
    pub state: Option<String>,
    /// Whether the data is to be shown.
    pub is_shown: bool,
    /// Whether the server has refused it, so that it is not on the connection.
    pub is_refused: bool,
}

fn hides(state: &str) -> bool {
    state == "expired" || state == "withdrawn"
}

impl Item {
    fn take_state(&mut self, state: &str) {
        self.state = Some(state.to_owned());
        if hides(state) {
            self.data = None;
            self.is_shown = false;
        }
    }
}

/// The items that one connection follows, by path.
pub struct Items {
    pub by_path: BTreeMap<String, Item>,
    pub max_bytes: usize,
}

/// Gives the version of a document: the first 32 hexadecimal digits of its SHA-256.
pub fn version_of(data: &[u8]) -> String {
    Sha256::digest(data)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Items {
    /// Applies a message. Gives the question to send if the message did not fit.
    pub fn receive(&mut self, message: &Value) -> Option<Value> {
        let member = |name: &str| message[name].as_str().unwrap_or("");
        let (kind, path, state) = (member("type"), member("path"), member("state"));
        if kind == "heartbeat" && path.matches('/').count() == 1 {
            // The state of the whole holds for its parts, except for those that are hidden. Of those that are refused it
            // may only hide the document.
            let prefix = format!("{path}/");
            for (name, item) in self.by_path.iter_mut() {
                if name.starts_with(&prefix) && item.is_shown && (!item.is_refused || hides(state)) {
                    item.take_state(state);
                }
            }
        }
        let max_bytes = self.max_bytes;
        let item = self.by_path.get_mut(path)?;
        match kind {
            "document" | "splices" => {
                let made = match kind {
                    "document" => message["text"].as_str().map(|text| text.as_bytes().to_vec()),
                    _ => spliced(item, message, max_bytes),
                };
                match made {
                    Some(data) if data.len() <= max_bytes && version_of(&data) == member("version") => {
                        *item = Item { data: Some(data), state: Some(state.to_owned()), is_shown: true, is_refused: false };
                    }
                    _ => return Some(serde_json::json!({"follow": path, "have": null})),
                }
            }
            "heartbeat" => {
                item.is_shown = item.data.is_some();
                item.is_refused = false;
                item.take_state(state);
            }
            "missing" => {
                // When the part is back, it comes as a document.
                *item = Item { state: Some(state.to_owned()), ..Item::default() };
            }
            "refused" => {
                item.is_refused = true;
                if message["status"] == 404 {
                    item.data = None;
                    item.is_shown = false;
                }
            }
            _ => {}
        }
        None
    }
}

fn spliced(item: &Item, message: &Value, max_bytes: usize) -> Option<Vec<u8>> {
    let old = item.data.as_ref()?;
    if message["from"].as_str() != Some(&version_of(old)) {
        return None;
    }
    apply(old, &message["splices"], max_bytes)
}

/// Gives the document that splices make of an earlier one; `None` if they break a rule. The caller compares the hash
/// with the version.
pub fn apply(old: &[u8], splices: &Value, max_bytes: usize) -> Option<Vec<u8>> {
    let mut made = Vec::new();
    let (mut at, mut is_length) = (0_i64, true);
    for element in splices.as_array()? {
        if let Some(text) = element.as_str() {
            made.extend_from_slice(text.as_bytes());
            at += text.len() as i64;
            is_length = true;
        } else {
            let number = element.as_i64().filter(|number| number.abs() <= MAX_NUMBER)?;
            if is_length {
                if number != 0 {
                    let start = usize::try_from(at).ok()?;
                    let end = start.checked_add(usize::try_from(number).ok()?)?;
                    made.extend_from_slice(old.get(start..end)?);
                }
            }
            at += number;
            is_length = !is_length;
        }
        if made.len() > max_bytes || at.abs() > MAX_NUMBER {
            return None;
        }
    }
    Some(made)
}

/// Gives the milliseconds after which a client comes back whose WebSocket was closed; `None` if it does not come back.
///
/// A server that closes thousands of clients gives each a time of its own.
pub fn delay_ms(code: u16, reason: &str) -> Option<u64> {
    match code {
        1002 | 1007 | 1008 | 1009 | 3500..=3999 => return None, // this client is broken
        _ => {}
    }
    if let Some((_, rest)) = reason.split_once("come back in ") {
        if let Some(ms) = rest.strip_suffix(" ms").and_then(|digits| digits.parse::<u32>().ok()) {
            // A wrong time keeps no client away for days.
            return Some(u64::from(ms).min(3_600_000));
        }
    }
    match code {
        3000..=3499 => Some(u64::from(code - 3000) * 20),
        _ => Some(6000),
    }
}
