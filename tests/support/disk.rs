//! What a disk holds when the power goes: files and names rebuilt from the system calls that were seen. Only what was
//! synced is sure: bytes by a sync of their file, names by a sync of their directory. Of the rest any part may be there,
//! torn anywhere between two sectors. It does not know what the files are for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::strace::Call;

/// The calls that it must see.
pub const CALLS: &str = "open,openat,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,truncate,link,linkat,rename,renameat,\
    renameat2,unlink,unlinkat,mkdir,mkdirat,fallocate,sync_file_range,sync,syncfs";

/// The least that a disk writes whole.
const SECTOR: usize = 512;

/// A disk.
#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    /// As every process sees them.
    names: BTreeMap<PathBuf, usize>,
    /// As they are sure to be.
    safe_names: BTreeMap<PathBuf, usize>,
    /// In their order: what a name became, and when.
    renamed: Vec<(usize, PathBuf, Option<usize>)>,
}

#[derive(Default)]
struct File {
    directory: bool,
    now: Vec<u8>,
    safe: Vec<u8>,
    /// What is not synced, in its order: when it ended, and what it did.
    unsynced: Vec<(usize, Change)>,
}

enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

/// Numbers that are the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    /// One of so many.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

impl Change {
    fn on(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Cut(len) => bytes.resize(*len, 0),
            Change::Write(at, data) => put(bytes, *at, data),
        }
    }

    /// As much of it as chance has it.
    fn torn(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        match self {
            Change::Cut(_) if dice.coin() => self.on(bytes),
            Change::Cut(_) => {}
            Change::Write(at, data) => {
                let (mut from, all) = (0, dice.below(3));
                while from < data.len() {
                    let to = ((at + from) / SECTOR * SECTOR + SECTOR - at).min(data.len());
                    // All of it, nothing of it, or each sector by itself.
                    if all == 0 || all == 2 && dice.coin() {
                        put(bytes, at + from, &data[from..to]);
                    }
                    from = to;
                }
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl Disk {
    /// A directory that is surely there.
    pub fn with(&mut self, directory: &Path) {
        self.files.push(File { directory: true, ..File::default() });
        self.names.insert(directory.to_owned(), self.files.len() - 1);
        self.safe_names.insert(directory.to_owned(), self.files.len() - 1);
    }

    /// Goes through calls as they ended. Before each sync of something known is done, whoever wants to look may: what is
    /// safe then was all that was since the sync before.
    pub fn play(&mut self, calls: &[Call], mut look: impl FnMut(&Disk, &Call)) {
        let mut calls: Vec<&Call> = calls.iter().filter(|c| c.result.is_some()).collect();
        calls.sort_by_key(|c| c.end);
        for call in calls {
            if ["fsync", "fdatasync"].contains(&call.name.as_str()) {
                let Some(&i) = call.file().and_then(|path| self.names.get(&path)) else { continue };
                look(self, call);
                self.sync(i, call);
            } else if call.result.is_some_and(|r| r >= 0) {
                self.change(call);
            }
        }
    }

    fn change(&mut self, call: &Call) {
        // Bytes that are written are no paths.
        let paths = if call.name.contains("write") { Vec::new() } else { call.paths() };
        match call.name.as_str() {
            "open" | "openat" | "creat" => {
                let Some(path) = paths.first() else { return };
                if call.args.contains("O_CREAT") && !self.names.contains_key(path) {
                    self.make(call.end, path, false);
                } else if let Some(&i) = self.names.get(path).filter(|_| call.args.contains("O_TRUNC")) {
                    self.write(i, call.end, Change::Cut(0));
                }
            }
            "mkdir" | "mkdirat" => self.make(call.end, &paths[0], true),
            "unlink" | "unlinkat" => self.name(call.end, &paths[0], None),
            "link" | "linkat" | "rename" | "renameat" | "renameat2" => {
                let Some(&i) = self.names.get(&paths[0]) else { return };
                self.name(call.end, &paths[1], Some(i));
                if call.name.starts_with("rename") {
                    self.name(call.end, &paths[0], None);
                }
            }
            "write" | "pwrite64" | "ftruncate" => {
                let Some(&i) = call.file().and_then(|path| self.names.get(&path)) else { return };
                let last = || call.args.rsplit_once(", ").and_then(|(_, n)| n.trim().parse().ok()).expect("a number stands last");
                let change = match call.name.as_str() {
                    "ftruncate" => Change::Cut(last()),
                    "pwrite64" => Change::Write(last(), call.data()),
                    _ => Change::Write(self.files[i].now.len(), call.data()),
                };
                self.write(i, call.end, change);
            }
            "execve" => {}
            other => assert!(call.file().is_none_or(|path| !self.names.contains_key(&path)), "this disk knows no {other}"),
        }
    }

    fn make(&mut self, when: usize, path: &Path, directory: bool) {
        if path.parent().is_some_and(|dir| self.names.contains_key(dir)) {
            self.files.push(File { directory, ..File::default() });
            self.name(when, path, Some(self.files.len() - 1));
        }
    }

    fn name(&mut self, when: usize, path: &Path, what: Option<usize>) {
        match what {
            Some(i) => self.names.insert(path.to_owned(), i),
            None => self.names.remove(path),
        };
        self.renamed.push((when, path.to_owned(), what));
    }

    fn write(&mut self, i: usize, when: usize, change: Change) {
        change.on(&mut self.files[i].now);
        self.files[i].unsynced.push((when, change));
    }

    /// What had ended before it began is safe now. If it failed, the kernel forgets that it was ever unsafe.
    fn sync(&mut self, i: usize, call: &Call) {
        let well = call.result == Some(0);
        let file = &mut self.files[i];
        let mut rest = Vec::new();
        for (when, change) in file.unsynced.drain(..) {
            match when < call.begin {
                true if well => change.on(&mut file.safe),
                true => {}
                false => rest.push((when, change)),
            }
        }
        file.unsynced = rest;
        if file.directory && well {
            let dir = call.file().expect("it was found by it");
            let safe = &mut self.safe_names;
            self.renamed.retain(|(when, path, what)| {
                let synced = *when < call.begin && path.parent() == Some(&dir);
                if synced {
                    match what {
                        Some(i) => safe.insert(path.clone(), *i),
                        None => safe.remove(path),
                    };
                }
                !synced
            });
        }
    }

    /// Every file under `from` as every process sees it.
    pub fn seen(&self, from: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        self.files(from, &self.names).map(|(path, file)| (path.clone(), file.now.clone())).collect()
    }

    /// Every file under `from` as the power leaves it: only what is safe, or with what chance adds.
    pub fn left(&self, from: &Path, chance: Option<&mut Dice>) -> BTreeMap<PathBuf, Vec<u8>> {
        let Some(dice) = chance else {
            return self.files(from, &self.safe_names).map(|(path, file)| (path.clone(), file.safe.clone())).collect();
        };
        let mut names = self.safe_names.clone();
        for (_, path, what) in &self.renamed {
            match what {
                _ if dice.coin() => {}
                Some(i) => drop(names.insert(path.clone(), *i)),
                None => drop(names.remove(path)),
            }
        }
        let torn = |(path, file): (&PathBuf, &File)| {
            let mut bytes = file.safe.clone();
            file.unsynced.iter().for_each(|(_, change)| change.torn(&mut bytes, dice));
            (path.clone(), bytes)
        };
        self.files(from, &names).map(torn).collect()
    }

    /// Files whose directories are all there.
    fn files<'a>(&'a self, from: &'a Path, names: &'a BTreeMap<PathBuf, usize>) -> impl Iterator<Item = (&'a PathBuf, &'a File)> {
        let there = move |path: &Path| path.ancestors().skip(1).take_while(|dir| dir.starts_with(from)).all(|dir| names.contains_key(dir));
        let files = names.iter().map(|(path, i)| (path, &self.files[*i]));
        files.filter(move |(path, file)| path.starts_with(from) && !file.directory && there(path))
    }
}
