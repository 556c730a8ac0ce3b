//! The texts of PostgreSQL's types, as JSON. Pure; it does not know where they come from.
//!
//! Truth values, whole numbers and floats become such; `numeric` becomes a number where a double holds it exactly, else
//! its text; `timestamptz` is RFC 3339 in UTC; an interval without months is seconds; JSON and arrays are themselves;
//! bytes are in hexadecimal. Everything else, `pg_lsn` too, is the server's text.

use serde_json::{Number, Value};

/// The value of a text of a type, by the driver's name for the type.
pub(super) fn value(kind: &str, text: &str) -> Value {
    if let Some(of) = kind.strip_suffix("[]") {
        return array(of, text).unwrap_or_else(|| Value::from(text));
    }
    let parsed = match kind {
        "BOOL" => Some(Value::from(text == "t")),
        "INT2" | "INT4" | "INT8" | "OID" => text.parse::<i64>().ok().map(Value::from),
        "FLOAT4" | "FLOAT8" => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
        "NUMERIC" => numeric(text),
        "JSON" | "JSONB" => serde_json::from_str(text).ok(),
        "TIMESTAMPTZ" => timestamptz(text),
        "INTERVAL" => seconds(text),
        "BYTEA" => text.strip_prefix("\\x").map(Value::from),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::from(text))
}

fn numeric(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::from(whole));
    }
    let number: f64 = text.parse().ok()?;
    let shortest = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    (number.is_finite() && number.to_string() == shortest).then(|| Number::from_f64(number).map(Value::Number)).flatten()
}

/// `2026-11-21 02:45:00.5+00`; a time before our era or at infinity stays a text.
fn timestamptz(text: &str) -> Option<Value> {
    let (day, time) = text.split_once(' ')?;
    let time = time.strip_suffix("+00")?;
    Some(Value::from(format!("{day}T{time}Z")))
}

/// `1 day 02:00:00.5`, with signs; none if it holds months, whose length nobody knows.
fn seconds(text: &str) -> Option<Value> {
    let mut total = 0.0;
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            let sign = if word.starts_with('-') { -1.0 } else { 1.0 };
            let mut time = 0.0;
            for part in word.trim_start_matches(['-', '+']).split(':') {
                time = time * 60.0 + part.parse::<f64>().ok()?;
            }
            total += sign * time;
        } else {
            let days: f64 = word.parse().ok()?;
            if !words.next()?.starts_with("day") {
                return None;
            }
            total += days * 86_400.0;
        }
    }
    Number::from_f64(total).map(Value::Number)
}

/// `{1,2,NULL,"a \"b\""}`, and arrays in arrays; none if it is anything else (bounds of its own in front).
fn array(of: &str, text: &str) -> Option<Value> {
    let mut rest = text;
    let found = items(of, &mut rest)?;
    rest.is_empty().then_some(found)
}

fn items(of: &str, rest: &mut &str) -> Option<Value> {
    *rest = rest.strip_prefix('{')?;
    let mut found = Vec::new();
    if let Some(after) = rest.strip_prefix('}') {
        *rest = after;
        return Some(Value::Array(found));
    }
    loop {
        found.push(match rest.chars().next()? {
            '{' => items(of, rest)?,
            '"' => value(of, &quoted(rest)?),
            _ => {
                let (word, after) = rest.split_at(rest.find([',', '}'])?);
                *rest = after;
                if word == "NULL" { Value::Null } else { value(of, word) }
            }
        });
        let (end, after) = rest.split_at_checked(1)?;
        *rest = after;
        match end {
            "," => {}
            "}" => return Some(Value::Array(found)),
            _ => return None,
        }
    }
}

fn quoted(rest: &mut &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = rest.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => text.push(chars.next()?),
            c => text.push(c),
        }
    }
    *rest = chars.as_str();
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_that_a_matcher_can_use_becomes_one() {
        for (kind, text, wanted) in [
            ("BOOL", "t", json!(true)),
            ("BOOL", "f", json!(false)),
            ("INT8", "-9007199254740993", json!(-9_007_199_254_740_993_i64)),
            ("OID", "4294967295", json!(4_294_967_295_u32)),
            ("FLOAT8", "0.1", json!(0.1)),
            ("FLOAT8", "NaN", json!("NaN")),
            ("NUMERIC", "12.50", json!(12.5)),
            ("NUMERIC", "100", json!(100)),
            ("NUMERIC", "0.12345678901234567890", json!("0.12345678901234567890")),
            ("NUMERIC", "Infinity", json!("Infinity")),
            ("TIMESTAMPTZ", "2026-11-21 02:45:00.5+00", json!("2026-11-21T02:45:00.5Z")),
            ("TIMESTAMPTZ", "infinity", json!("infinity")),
            ("INTERVAL", "00:00:00.09", json!(0.09)),
            ("INTERVAL", "1 day -02:00:00.5", json!(79_199.5)),
            ("INTERVAL", "-2 days", json!(-172_800.0)),
            ("INTERVAL", "1 mon 2 days", json!("1 mon 2 days")),
            ("JSONB", "{\"a\": [1]}", json!({"a": [1]})),
            ("BYTEA", "\\x00ff", json!("00ff")),
            ("?", "0/3000148", json!("0/3000148")),
            ("INT4[]", "{1,NULL,3}", json!([1, null, 3])),
            ("INT4[]", "{}", json!([])),
            ("INT4[]", "{{1},{2}}", json!([[1], [2]])),
            ("INT4[]", "[0:1]={1,2}", json!("[0:1]={1,2}")),
            ("TEXT[]", "{a,\"b, \\\"c\\\"\",\"NULL\",NULL}", json!(["a", "b, \"c\"", "NULL", null])),
        ] {
            assert_eq!(value(kind, text), wanted, "{kind} {text}");
        }
    }
}
