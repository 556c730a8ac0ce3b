//! The plans of the repository.

use std::path::{Path, PathBuf};

/// Every plan under some folders of the repository: what has a `name`, and no parts of one.
pub fn plans(folders: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> = folders.iter().map(|dir| root.join(dir)).collect();
    let mut found = Vec::new();
    while let Some(at) = open.pop() {
        if at.is_dir() {
            open.extend(std::fs::read_dir(&at).unwrap().map(|e| e.unwrap().path()));
        } else if at.extension().is_some_and(|e| e == "yaml")
            && ["drplan:", "name:"].iter().all(|key| std::fs::read_to_string(&at).unwrap().lines().any(|line| line.starts_with(key)))
        {
            found.push(at);
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no plan in {folders:?}");
    found
}
