//! Which words of a command a shell, an interpreter or a database reads as a program, so that a value put into one of them
//! would be obeyed. It knows how these programs take their arguments, and nothing of plans.

/// Who reads a text as a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// `sh -c`, and what hands its text on to one.
    Shell,
    /// The shell at the other end of `ssh`.
    Remote,
    /// `python -c`.
    Python,
    /// `perl -e`.
    Perl,
    /// `ruby -e`.
    Ruby,
    /// `node -e`, `mongosh --eval`.
    Node,
    /// `php -r`.
    Php,
    /// `lua -e`.
    Lua,
    /// `awk`, `sed`.
    Awk,
    /// `jq`.
    Jq,
    /// `psql -c`.
    Psql,
    /// `mysql -e`, `sqlite3`.
    Sql,
    /// `clickhouse-client --query`.
    Clickhouse,
}

/// What of a command is read as a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// By number of the argument: who reads it, and the number of that program's name.
    pub texts: Vec<(usize, Reader, usize)>,
    /// Who reads standard input as a program.
    pub stdin: Option<(Reader, usize)>,
}

/// Programs that start another one whose name is among their arguments.
const WRAPPERS: &[&str] = &[
    "sudo",
    "doas",
    "env",
    "timeout",
    "nice",
    "ionice",
    "nohup",
    "setsid",
    "stdbuf",
    "time",
    "xargs",
    "flock",
    "chroot",
    "nsenter",
    "unshare",
    "setpriv",
    "chpst",
    "runcon",
    "systemd-run",
    "docker",
    "podman",
    "nerdctl",
    "crictl",
    "kubectl",
    "oc",
    "lxc",
    "ip",
    "find",
    "busybox",
    "ssh",
    "script",
    "parallel",
    "strace",
    "watch",
    "setarch",
    "taskset",
    "numactl",
    "unbuffer",
    "faketime",
    "proot",
];
/// Options of `ssh` that take a word of their own.
const SSH_OPTIONS: &str = "BbcDEeFIiJLlmOopQRSWw";

/// What of a command is read as a program.
pub fn programs(argv: &[&str]) -> Programs {
    let mut found = Programs::default();
    let mut at = 0;
    let mut may_start = true;
    while at < argv.len() && may_start {
        let name = base(argv[at]);
        if let Some(end) = one(argv, at, name, &mut found) {
            at = end;
            continue;
        }
        may_start = at == 0 && WRAPPERS.contains(&name) || at > 0;
        at += 1;
    }
    found
}

/// The program at a number, if it reads texts: where to go on looking.
fn one(argv: &[&str], at: usize, name: &str, found: &mut Programs) -> Option<usize> {
    let end = argv.len();
    let mut text = |n: usize, reader| {
        if n < end {
            found.texts.push((n, reader, at));
        }
    };
    match name {
        "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "mksh" | "fish" => {
            match shell(argv, at) {
                Some(Ok(n)) => text(n, Reader::Shell),
                Some(Err(())) => found.stdin = Some((Reader::Shell, at)),
                None => {}
            }
            Some(end)
        }
        "su" | "runuser" | "script" => {
            let n = option(argv, at, &["-c", "--command"])?;
            text(n, Reader::Shell);
            Some(end)
        }
        "ssh" => {
            let host = operand(argv, at + 1, SSH_OPTIONS, &[])?;
            (host + 1..end).for_each(|n| text(n, Reader::Remote));
            Some(end)
        }
        "perl" => flagged(argv, at, &['e', 'E']).map(|n| text(n, Reader::Perl)).map(|()| end),
        "ruby" => flagged(argv, at, &['e']).map(|n| text(n, Reader::Ruby)).map(|()| end),
        "node" | "nodejs" | "bun" | "mongosh" | "mongo" => {
            option(argv, at, &["-e", "--eval", "-p", "--print"]).map(|n| text(n, Reader::Node)).map(|()| end)
        }
        "php" => option(argv, at, &["-r"]).map(|n| text(n, Reader::Php)).map(|()| end),
        "lua" | "luajit" => option(argv, at, &["-e"]).map(|n| text(n, Reader::Lua)).map(|()| end),
        "awk" | "gawk" | "mawk" | "nawk" | "sed" => {
            let given = argv[at + 1..].iter().any(|a| *a == "-f" || a.starts_with("--file"));
            let n = option(argv, at, &["-e", "--expression"]).or_else(|| operand(argv, at + 1, if name == "sed" { "" } else { "Fv" }, &[]));
            n.filter(|_| !given).map(|n| text(n, Reader::Awk)).map(|()| end)
        }
        "jq" | "yq" => {
            let given = argv[at + 1..].iter().any(|a| *a == "-f" || *a == "--from-file");
            let pairs = ["--arg", "--argjson", "--slurpfile", "--rawfile"];
            operand(argv, at + 1, "", &pairs).filter(|_| !given).map(|n| text(n, Reader::Jq)).map(|()| end)
        }
        "psql" => {
            match option(argv, at, &["-c", "--command"]) {
                Some(n) => text(n, Reader::Psql),
                None => found.stdin = Some((Reader::Psql, at)),
            }
            Some(end)
        }
        "mysql" | "mariadb" => {
            match option(argv, at, &["-e", "--execute"]) {
                Some(n) => text(n, Reader::Sql),
                None => found.stdin = Some((Reader::Sql, at)),
            }
            Some(end)
        }
        "sqlite3" => {
            let file = operand(argv, at + 1, "", &[])?;
            (file + 1..end).for_each(|n| text(n, Reader::Sql));
            Some(end)
        }
        "clickhouse-client" | "clickhouse" => option(argv, at, &["-q", "--query"]).map(|n| text(n, Reader::Clickhouse)).map(|()| end),
        _ if name.starts_with("python") || name.starts_with("pypy") => {
            option(argv, at, &["-c"]).map(|n| text(n, Reader::Python)).map(|()| end)
        }
        _ => None,
    }
}

/// The name of a program without its directory.
fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Where a shell's text stands; an error: it reads standard input; none: a file.
fn shell(argv: &[&str], at: usize) -> Option<Result<usize, ()>> {
    let (mut text, mut input) = (false, false);
    let mut n = at + 1;
    while let Some(word) = argv.get(n).filter(|w| w.starts_with(['-', '+']) && w.len() > 1) {
        let short = !word.starts_with("--");
        text |= short && word.contains('c');
        input |= short && word.contains('s');
        n += if short && word.ends_with(['o', 'O']) { 2 } else { 1 };
        if *word == "--" {
            break;
        }
    }
    match (text, input || n >= argv.len()) {
        (true, _) => Some(Ok(n)),
        (false, true) => Some(Err(())),
        _ => None,
    }
}

/// The word behind an option, or the option itself if its word is joined to it.
fn option(argv: &[&str], at: usize, names: &[&str]) -> Option<usize> {
    let joined = |word: &str, name: &str| match name.strip_prefix("--") {
        Some(_) => word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')),
        None => word.len() > 2 && word.starts_with(name) && !word.starts_with("--"),
    };
    (at + 1..argv.len()).find_map(|n| match argv[n] {
        word if names.contains(&word) => Some(n + 1),
        word if names.iter().any(|name| joined(word, name)) => Some(n),
        _ => None,
    })
}

/// The word behind a cluster of short options that ends with one of these.
fn flagged(argv: &[&str], at: usize, letters: &[char]) -> Option<usize> {
    (at + 1..argv.len()).find_map(|n| {
        let word = argv[n].strip_prefix('-').filter(|w| !w.starts_with('-') && w.chars().all(|c| c.is_ascii_alphanumeric()))?;
        word.ends_with(letters).then_some(n + 1)
    })
}

/// The first word that is neither an option nor belongs to one.
fn operand(argv: &[&str], from: usize, with_word: &str, pairs: &[&str]) -> Option<usize> {
    let mut n = from;
    while let Some(word) = argv.get(n) {
        n += match word {
            _ if pairs.contains(word) => 3,
            &"--" => return (n + 1 < argv.len()).then_some(n + 1),
            _ if !word.starts_with('-') || word.len() == 1 => return Some(n),
            _ if word.len() == 2 && word.ends_with(|c| with_word.contains(c)) => 2,
            _ => 1,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &[&str]) -> Vec<(usize, Reader)> {
        programs(line).texts.into_iter().map(|(n, reader, _)| (n, reader)).collect()
    }

    #[test]
    fn shells_behind_whatever_starts_them() {
        assert_eq!(texts(&["sh", "-c", "x"]), [(2, Reader::Shell)]);
        assert_eq!(texts(&["/bin/bash", "-euo", "pipefail", "-c", "x", "sh", "y"]), [(4, Reader::Shell)]);
        assert_eq!(texts(&["kubectl", "exec", "deploy/a", "--", "bash", "-ec", "x"]), [(6, Reader::Shell)]);
        assert_eq!(texts(&["sudo", "-u", "a", "env", "A=1", "timeout", "5", "dash", "-c", "x"]), [(9, Reader::Shell)]);
        assert_eq!(texts(&["su", "-", "deploy", "-c", "x"]), [(4, Reader::Shell)]);
        assert_eq!(texts(&["ssh", "-p", "22", "-oBatchMode=yes", "host", "a", "b"]), [(5, Reader::Remote), (6, Reader::Remote)]);
        assert_eq!(programs(&["sh", "-s"]).stdin, Some((Reader::Shell, 0)));
        assert_eq!(programs(&["sh", "file.sh", "-c", "x"]), Programs::default());
        assert_eq!(programs(&["apt-get", "install", "sh", "-c", "x"]), Programs::default());
    }

    #[test]
    fn interpreters_and_databases() {
        assert_eq!(texts(&["python3.11", "-u", "-c", "x"]), [(3, Reader::Python)]);
        assert_eq!(texts(&["perl", "-ne", "x", "file"]), [(2, Reader::Perl)]);
        assert_eq!(texts(&["awk", "-F", ";", "x", "file"]), [(3, Reader::Awk)]);
        assert_eq!(texts(&["awk", "-f", "x.awk", "file"]), []);
        assert_eq!(texts(&["jq", "-e", "--arg", "a", "b", "x", "file"]), [(5, Reader::Jq)]);
        assert_eq!(texts(&["psql", "-d", "a", "-c", "x"]), [(4, Reader::Psql)]);
        assert_eq!(texts(&["mysql", "--execute=x"]), [(1, Reader::Sql)]);
        assert_eq!(texts(&["sqlite3", "-batch", "a.db", "x"]), [(3, Reader::Sql)]);
        assert_eq!(texts(&["systemctl", "restart", "jq", "x"]), []);
        assert_eq!(texts(&["rsync", "-e", "ssh", "a", "b"]), []);
    }
}
