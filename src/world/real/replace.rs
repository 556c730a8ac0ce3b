//! A file's text replaced in one step, if it is still the one that somebody looked at. It does not know what it says.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Gid, Uid};

use super::{parent, sync_dir, temporary_beside};

/// Puts a text where another one stands, whole or not at all, with the same owner and permissions; through a link it goes
/// to the file itself. The error says in words why nothing was changed.
pub fn replace(path: &Path, before: &str, after: &str) -> Result<(), String> {
    let words = |e: io::Error| e.to_string();
    let path = path.canonicalize().map_err(words)?;
    let facts = fs::metadata(&path).map_err(words)?;
    if !facts.is_file() {
        return Err("it is no plain file".to_owned());
    }
    if facts.permissions().readonly() {
        return Err("it is read-only".to_owned());
    }
    let temporary = temporary_beside(&path);
    let put = || -> Result<(), String> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(words)?;
        let made = file.metadata().map_err(words)?;
        if (made.uid(), made.gid()) != (facts.uid(), facts.gid()) {
            rustix::fs::fchown(&file, Some(Uid::from_raw(facts.uid())), Some(Gid::from_raw(facts.gid())))
                .map_err(|_| "its owner could not be kept".to_owned())?;
        }
        file.set_permissions(facts.permissions()).map_err(words)?;
        file.write_all(after.as_bytes()).and_then(|()| file.sync_all()).map_err(words)?;
        // As late as possible: an editor may have it open.
        if fs::read(&path).map_err(words)? != before.as_bytes() {
            return Err("it has changed meanwhile".to_owned());
        }
        fs::rename(&temporary, &path).map_err(words)
    };
    let done = put();
    if done.is_err() {
        // What is left of it is of no use to anyone; why it failed is what is told.
        let _ = fs::remove_file(&temporary);
    }
    done.and_then(|()| sync_dir(parent(&path)).map_err(words))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_stays_the_same_file_to_everybody_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("plan.yaml"), dir.path().join("link.yaml"));
        fs::write(&path, "a").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("plan.yaml", &link).unwrap();
        replace(&link, "a", "b").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn what_is_not_as_it_was_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.yaml");
        fs::write(&path, "newer").unwrap();
        assert_eq!(replace(&path, "a", "b").unwrap_err(), "it has changed meanwhile");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert_eq!(replace(&path, "newer", "b").unwrap_err(), "it is read-only");
        assert!(replace(dir.path(), "", "b").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
