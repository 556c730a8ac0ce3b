//! Small file systems of their own for a test: one that fills up, one that the kernel makes read-only. They are unmounted
//! with the value. Mounting needs root, as CI has it; where it cannot be had the test fails and says so.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system, mounted.
pub struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// In memory, of this size: `1m`.
    pub fn memory(size: &str) -> Mount {
        Mount::of(&["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
    }

    /// ext4 in a file, which turns read-only at its first error, as it does where a disk breaks.
    pub fn ext4(image: &Path) -> Mount {
        let file = std::fs::File::create(image).expect("the image can be made");
        file.set_len(16 << 20).expect("it can be that long");
        root("mkfs.ext4", &["-q", "-F", text(image)]);
        Mount::of(&["-o", "loop,errors=remount-ro", text(image)])
    }

    fn of(what: &[&str]) -> Mount {
        let mount = Mount { dir: tempfile::tempdir().expect("a temporary directory") };
        let all: Vec<&str> = what.iter().copied().chain([text(mount.dir.path())]).collect();
        root("mount", &all);
        mount
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes until nothing more fits.
    pub fn fill(&self) {
        let full = std::fs::write(self.path("filler"), vec![0; 64 << 20]).expect_err("it is small");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    /// There is room again.
    pub fn free(&self) {
        std::fs::remove_file(self.path("filler")).expect("it was filled");
    }

    /// The kernel meets an error, and lets nobody write any more.
    pub fn breaks(&self) {
        let device = String::from_utf8(root("findmnt", &["-no", "SOURCE", text(self.dir.path())])).expect("a device has a name");
        let name = device.trim().trim_start_matches("/dev/");
        std::fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1").expect("ext4 can be told to fail");
    }

    /// Checked and mounted anew.
    pub fn mend(&self, image: &Path) {
        root("umount", &["-l", text(self.dir.path())]);
        root("mount", &["-o", "loop", text(image), text(self.dir.path())]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        root("umount", &["-l", text(self.dir.path())]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

fn root(program: &str, words: &[&str]) -> Vec<u8> {
    let mut command = Command::new(if rustix::process::geteuid().is_root() { program } else { "sudo" });
    if !rustix::process::geteuid().is_root() {
        command.args(["-n", program]);
    }
    let done = command.args(words).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(done.status.success(), "{program} {words:?} needs root (or sudo without a password): {done:?}");
    done.stdout
}
