//! Plans as they lie on the disk.

use std::path::{Path, PathBuf};

use drplan::compile::Loader;

/// Files by their path.
#[derive(Default)]
pub struct Folder {
    /// What is read in the place of one of them.
    pub instead: Option<(PathBuf, String)>,
}

impl Loader for Folder {
    fn plan(&self, path: &str) -> Result<Vec<u8>, String> {
        match &self.instead {
            Some((other, text)) if Path::new(path) == other => Ok(text.clone().into_bytes()),
            _ => std::fs::read(path).map_err(|e| e.to_string()),
        }
    }

    fn file(&self, plan: &str, relative: &str) -> Option<Vec<u8>> {
        std::fs::read(Path::new(plan).parent()?.join(relative)).ok()
    }

    fn inside(&self, _plan: &str, _path: &str) -> bool {
        true
    }
}
