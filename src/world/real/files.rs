//! Files and links. What it says is done outlasts a power cut. It does not know what the files are for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{blocking, hex, parent, sync_dir, temporary_beside};
use crate::world::{Answer, Fault, FileFacts, Files};

/// The longest text that is read.
const TEXT_MAX: u64 = 1 << 20;

/// The file system.
pub(super) struct Real;

#[async_trait]
impl Files for Real {
    async fn list(&self, dir: &str) -> Answer<Vec<String>> {
        let dir = PathBuf::from(dir);
        blocking(move || {
            let mut names = Vec::new();
            for entry in fs::read_dir(&dir).map_err(|e| refused("list", &dir, &e))? {
                let entry = entry.map_err(|e| refused("list", &dir, &e))?;
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(names)
        })
        .await
    }

    async fn facts(&self, path: &str) -> Answer<Option<FileFacts>> {
        let path = PathBuf::from(path);
        blocking(move || facts(&path).map_err(|e| refused("look at", &path, &e))).await
    }

    async fn sha256(&self, path: &str) -> Answer<Option<String>> {
        let path = PathBuf::from(path);
        blocking(move || match File::open(&path).and_then(|file| digest(&file)) {
            Ok(digest) => Ok(Some(digest)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(refused("read", &path, &e)),
        })
        .await
    }

    async fn copy(&self, from: &str, to: &str) -> Answer<()> {
        let (from, to) = (PathBuf::from(from), PathBuf::from(to));
        blocking(move || copy(&from, &to)).await
    }

    async fn rename(&self, from: &str, to: &str) -> Answer<()> {
        let (from, to) = (PathBuf::from(from), PathBuf::from(to));
        blocking(move || {
            fs::rename(&from, &to).map_err(|e| Fault::refused(format!("cannot rename {} to {}: {e}", from.display(), to.display())))?;
            synced(parent(&to))?;
            if parent(&from) == parent(&to) { Ok(()) } else { synced(parent(&from)) }
        })
        .await
    }

    async fn remove(&self, path: &str) -> Answer<()> {
        let path = PathBuf::from(path);
        blocking(move || match fs::remove_file(&path) {
            Ok(()) => synced(parent(&path)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(refused("remove", &path, &e)),
        })
        .await
    }

    async fn read(&self, path: &str) -> Answer<String> {
        let path = PathBuf::from(path);
        blocking(move || {
            let mut text = Vec::new();
            File::open(&path).and_then(|file| file.take(TEXT_MAX + 1).read_to_end(&mut text)).map_err(|e| refused("read", &path, &e))?;
            if text.len() as u64 > TEXT_MAX {
                return Err(Fault::refused(format!("{} is longer than 1 MiB", path.display())));
            }
            String::from_utf8(text).map_err(|_| Fault::refused(format!("{} is not a text in UTF-8", path.display())))
        })
        .await
    }
}

fn facts(path: &Path) -> io::Result<Option<FileFacts>> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let link = match meta.is_symlink() {
        true => Some(fs::read_link(path)?.to_string_lossy().into_owned()),
        false => None,
    };
    Ok(Some(FileFacts { modified: timestamp(meta.modified()?)?, size: meta.len(), link, directory: meta.is_dir() }))
}

fn timestamp(time: SystemTime) -> io::Result<Timestamp> {
    Timestamp::try_from(time).map_err(io::Error::other)
}

fn digest(mut file: &File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Whole or not at all: what stands at `to` is replaced only by a copy that is complete and synced.
fn copy(from: &Path, to: &Path) -> Answer<()> {
    let failed = |e: io::Error| Fault::refused(format!("cannot copy {} to {}: {e}", from.display(), to.display()));
    let temporary = temporary_beside(to);
    let made = fs::copy(from, &temporary)
        .and_then(|_| keep_owner(from, to, &temporary))
        .and_then(|()| File::open(&temporary)?.sync_all())
        .and_then(|()| fs::rename(&temporary, to));
    if let Err(e) = made {
        // What is left of a copy that failed is of no use to anyone; the failure itself is what is told.
        let _ = fs::remove_file(&temporary);
        return Err(failed(e));
    }
    synced(parent(to))
}

/// Mode and owner of the file that is replaced, else of the one that is copied: a service that reads its own file
/// still can when an administrator copied it. Only the superuser may give files away; for others the copy is theirs.
fn keep_owner(from: &Path, to: &Path, copy: &Path) -> io::Result<()> {
    let like = fs::metadata(to).or_else(|_| fs::metadata(from))?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(copy, Some(like.uid()), Some(like.gid()))?;
    }
    fs::set_permissions(copy, like.permissions())
}

fn synced(dir: &Path) -> Answer<()> {
    sync_dir(dir).map_err(|e| Fault::lost(format!("done, but {} could not be synced to the disk: {e}", dir.display())))
}

fn refused(what: &str, path: &Path, e: &io::Error) -> Fault {
    Fault::refused(format!("cannot {what} {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(dir: &tempfile::TempDir, name: &str) -> String {
        dir.path().join(name).to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_copy_is_whole_and_keeps_the_mode_of_what_it_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (at(&dir, "from"), at(&dir, "to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old and longer").unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o640)).unwrap();
        Real.copy(&from, &to).await.unwrap();
        assert_eq!(Real.read(&to).await.unwrap(), "new");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(Real.sha256(&to).await.unwrap(), Real.sha256(&from).await.unwrap());
        assert_eq!(Real.list(dir.path().to_str().unwrap()).await.unwrap(), ["from", "to"]);
    }

    #[tokio::test]
    async fn a_copy_that_fails_leaves_nothing_and_had_no_effect() {
        let dir = tempfile::tempdir().unwrap();
        let to = at(&dir, "to");
        fs::write(&to, "old").unwrap();
        let fault = Real.copy(&at(&dir, "none"), &to).await.unwrap_err();
        assert_eq!(fault.landed, crate::world::Landed::No);
        assert_eq!(Real.read(&to).await.unwrap(), "old");
        assert_eq!(Real.list(dir.path().to_str().unwrap()).await.unwrap(), ["to"]);
    }

    #[tokio::test]
    async fn links_are_seen_as_links_and_nothing_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (link, none) = (at(&dir, "link"), at(&dir, "none"));
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(Real.facts(&link).await.unwrap().unwrap().link.as_deref(), Some("nowhere"));
        assert_eq!(Real.facts(&none).await.unwrap(), None);
        assert_eq!(Real.sha256(&none).await.unwrap(), None);
        Real.remove(&none).await.unwrap();
        Real.rename(&link, &at(&dir, "other")).await.unwrap();
        assert_eq!(Real.list(dir.path().to_str().unwrap()).await.unwrap(), ["other"]);
        Real.remove(&at(&dir, "other")).await.unwrap();
        assert!(Real.list(dir.path().to_str().unwrap()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_text_above_one_mebibyte_or_not_utf8_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = at(&dir, "big");
        fs::write(&path, vec![b'x'; (TEXT_MAX + 1) as usize]).unwrap();
        assert!(Real.read(&path).await.unwrap_err().cause.ends_with("is longer than 1 MiB"));
        fs::write(&path, [0xff]).unwrap();
        assert!(Real.read(&path).await.unwrap_err().cause.ends_with("is not a text in UTF-8"));
    }
}
