//! Applies and verifies splices again and again, and tells how long that takes.
//!
//! Standard input is a JSON array of cases: old, new, version, splices, repeat. The output is a JSON array of the shortest
//! times in ms, one for each case. The splices are parsed each time, as in the other languages.

use crate::items::{apply, version_of};
use serde_json::Value;
use std::time::Instant;

const MAX_BYTES: usize = 1 << 26;

/// Runs all cases. It panics at the first that fails.
pub fn run() {
    let cases: Vec<Value> = serde_json::from_reader(std::io::stdin()).expect("an array of cases");
    let times: Vec<f64> = cases.iter().map(time).collect();
    println!("{}", Value::from(times));
}

fn time(case: &Value) -> f64 {
    let text = |name: &str| case[name].as_str().unwrap_or_else(|| panic!("{name} is missing"));
    let splices = case["splices"].to_string();
    let mut shortest = f64::INFINITY;
    for _ in 0..case["repeat"].as_u64().expect("repeat") {
        let start = Instant::now();
        let elements: Value = serde_json::from_str(&splices).expect("JSON");
        let made = apply(text("old").as_bytes(), &elements, MAX_BYTES).expect("splices that fit");
        assert_eq!(version_of(&made), text("version"));
        shortest = shortest.min(start.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(made, text("new").as_bytes());
    }
    shortest
}
