//! Runs `vectors.json`, the contract for clients in other languages.

use crate::items::{apply, delay_ms, version_of, Item, Items};
use serde_json::Value;
use std::collections::BTreeMap;

const MAX_BYTES: usize = 1 << 20;

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {case}"))
}

fn begin(case: &Value, documents: &BTreeMap<String, String>) -> Items {
    let have = case["have"].as_object().expect("have");
    let by_path = have.iter().map(|(path, version)| {
        let item = version.as_str().map_or_else(Item::default, |version| Item {
            data: Some(documents[version].clone().into_bytes()),
            state: Some("live".to_owned()),
            is_shown: true,
            is_refused: false,
        });
        (path.clone(), item)
    });
    Items { by_path: by_path.collect(), max_bytes: MAX_BYTES }
}

fn step(items: &mut Items, case: &Value, name: &str) {
    let sent: Vec<Value> = items.receive(&case["message"]).into_iter().collect();
    assert_eq!(Value::Array(sent), case["sends"], "{name}");
    for shown in case["shown"].as_array().expect("shown") {
        let item = &items.by_path[text(shown, "path")];
        let data = item.data.as_ref().filter(|_| item.is_shown);
        assert_eq!(data.map(|data| data.as_slice()), shown["text"].as_str().map(str::as_bytes), "{name}");
        assert_eq!(data.map(|data| version_of(data)).as_deref(), shown["version"].as_str(), "{name}");
        assert_eq!(item.state.as_deref(), shown["state"].as_str(), "{name}");
    }
}

/// Runs all cases. It panics at the first that fails.
pub fn run(file: &str) {
    let read = std::fs::read_to_string(file).expect("the file can be read");
    let vectors: Value = serde_json::from_str(&read).expect("the file is JSON");
    let section = |name: &str| vectors[name].as_array().expect("a section").iter();
    let mut documents = BTreeMap::new();
    for case in section("documents") {
        assert_eq!(version_of(text(case, "text").as_bytes()), text(case, "version"), "{case}");
        documents.insert(text(case, "version").to_owned(), text(case, "text").to_owned());
    }
    for case in section("splices") {
        let made = apply(text(case, "old").as_bytes(), &case["splices"], MAX_BYTES).expect("splices that fit");
        assert_eq!((made.as_slice(), version_of(&made).as_str()), (text(case, "new").as_bytes(), text(case, "version")));
    }
    for case in section("bad_splices") {
        let max_bytes = case["max_bytes"].as_u64().expect("max_bytes") as usize;
        let made = serde_json::from_str(text(case, "splices"))
            .ok()
            .and_then(|splices| apply(text(case, "old").as_bytes(), &splices, max_bytes));
        assert!(made.map_or(true, |made| version_of(&made) != text(case, "version")), "{case}");
    }
    for case in section("messages") {
        step(&mut begin(case, &documents), case, text(case, "name"));
    }
    for case in section("sequences") {
        let mut items = begin(case, &documents);
        for one in case["steps"].as_array().expect("steps") {
            step(&mut items, one, text(case, "name"));
        }
    }
    // The slots of polling and events are for other clients.
    for case in section("slots").filter(|case| case.get("code").is_some()) {
        let delay = delay_ms(case["code"].as_u64().expect("a code") as u16, text(case, "reason"));
        let bounds = case["delay_ms"].as_array();
        assert_eq!(delay.is_some(), bounds.is_some(), "{case}");
        if let (Some(delay), Some(bounds)) = (delay, bounds) {
            let within = bounds[0].as_u64() <= Some(delay) && Some(delay) <= bounds[1].as_u64();
            assert!(within, "{case}");
        }
    }
    println!("OK");
}
