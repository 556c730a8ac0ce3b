//! Plans of several files in one text, as manual pages and the corpus of broken plans write them: a line `# parts/db.yaml`
//! begins the file of that name, and is its first line.

use std::collections::BTreeMap;

/// The files of a text, and which of them is the plan: the first; a text without such lines is one file.
pub fn files(text: &[u8], name: &str) -> (String, BTreeMap<String, Vec<u8>>) {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for line in text.split_inclusive(|b| *b == b'\n') {
        let named = std::str::from_utf8(line).ok().and_then(|l| l.strip_prefix("# ")).map(str::trim_end);
        let named = named.filter(|l| l.ends_with(".yaml") && !l.contains(' '));
        if let Some(named) = named {
            all.push((named.to_owned(), Vec::new()));
        } else if all.is_empty() {
            all.push((name.to_owned(), Vec::new()));
        }
        all.last_mut().unwrap().1.extend_from_slice(line);
    }
    let plan = all.first().map_or(name.to_owned(), |(name, _)| name.clone());
    if all.is_empty() {
        all.push((plan.clone(), Vec::new()));
    }
    (plan, all.into_iter().collect())
}
