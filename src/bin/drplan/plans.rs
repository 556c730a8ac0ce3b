//! Which plans are meant: those named, else those under the current directory. It looks at the first words of a file,
//! it does not read plans.

use std::path::{Path, PathBuf};

use crate::exit::Stop;

/// Deeper than this no plan is looked for.
const DEEPEST: usize = 16;

/// The plans of these paths: a file is taken as it is, a directory is searched; without paths the current directory is.
pub fn of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Stop> {
    let here = [PathBuf::from(".")];
    let mut out = Vec::new();
    for path in if paths.is_empty() { &here[..] } else { paths } {
        let facts = std::fs::metadata(path).map_err(|e| Stop::no_input(format!("cannot read {}: {e}", path.display())))?;
        if facts.is_dir() {
            let before = out.len();
            search(path, 0, &mut out);
            if out.len() == before {
                return Err(Stop::no_input(format!("there is no plan under {}", shown(path)))
                    .help("a plan is a .yaml file that begins with `drplan: v1` and has a `name`"));
            }
        } else {
            out.push(path.clone());
        }
    }
    Ok(out)
}

/// The one plan that is meant, if only one can be.
pub fn one(path: Option<&Path>) -> Result<PathBuf, Stop> {
    if let Some(path) = path.filter(|p| !p.is_dir()) {
        return Ok(path.to_owned());
    }
    let found = of(&path.map(Path::to_owned).into_iter().collect::<Vec<_>>())?;
    match found.as_slice() {
        [one] => Ok(one.clone()),
        many => {
            let names: Vec<String> = many.iter().map(|p| p.display().to_string()).collect();
            Err(Stop::usage(format!("there are {} plans here: {}", many.len(), names.join(", "))).help("name the one that you mean"))
        }
    }
}

fn shown(path: &Path) -> String {
    if path == Path::new(".") { "this directory".to_owned() } else { path.display().to_string() }
}

fn search(dir: &Path, depth: usize, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = if dir == Path::new(".") { PathBuf::from(&*name) } else { entry.path() };
        // Links are not followed: a plan is found once, and a circle is none.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < DEEPEST && !name.starts_with('.') && name != "target" && name != "node_modules" {
            search(&path, depth + 1, out);
        } else if kind.is_file() && (name.ends_with(".yaml") || name.ends_with(".yml")) && is_root(&path) {
            out.push(path);
        }
    }
}

/// Whether a file is a plan by itself: it has `drplan` and `name` at its top. What a plan includes has no name.
fn is_root(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    ["drplan", "name"].iter().all(|key| text.lines().any(|line| opens(line, key)))
}

/// Whether a line is that of a key at the top of a file.
fn opens(line: &str, key: &str) -> bool {
    line.split_once(':').is_some_and(|(before, _)| before.trim_matches(['\u{feff}', '"', '\'', ' ']) == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_found_and_their_parts_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("b/target")).unwrap();
        std::fs::create_dir_all(at(".git")).unwrap();
        for (name, text) in [
            ("plan.yaml", "# a comment\ndrplan: v1\nname: a\n"),
            ("part.yaml", "drplan: v1\nassets: {}\n"),
            ("other.yaml", "name: x\n"),
            ("b/plan.yml", "\"drplan\": v1\n'name': b\n"),
            ("b/target/plan.yaml", "drplan: v1\nname: c\n"),
            (".git/plan.yaml", "drplan: v1\nname: d\n"),
            ("note.txt", "drplan: v1\nname: e\n"),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        assert_eq!(of(&[dir.path().to_owned()]).unwrap(), [at("b/plan.yml"), at("plan.yaml")]);
        assert_eq!(one(Some(dir.path())).unwrap_err().exit, crate::exit::Exit::Usage);
        assert_eq!(of(&[at("none.yaml")]).unwrap_err().exit, crate::exit::Exit::NoInput);
        assert_eq!(of(&[at(".git")]).unwrap(), [at(".git/plan.yaml")]);
    }
}
