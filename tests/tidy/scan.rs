//! Reads a source file as tokens and tells every name in it, whole: `crate::graph::Graph`, `std::env::var`,
//! `println!`, `.unwrap`. It does not know which of them are allowed. Tokens and not syntax trees, so that nothing
//! hides inside a macro call, an attribute or a nested function.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::UseTree;

/// One name as a file uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Line, from 1.
    pub line: usize,
    /// The segments. The library's own begin with `crate`, the program's own with `bin`; a macro ends with `!`; a
    /// method that is called is one segment that begins with a dot.
    pub path: Vec<String>,
    /// It stands in code that only tests compile.
    pub test: bool,
    /// A `use` takes all of it (`*`).
    pub glob: bool,
    /// The name under which a `pub use` hands it on; `*` for all of it.
    pub handed_on: Option<String>,
}

/// One source file, read.
#[derive(Debug, Clone)]
pub struct File {
    /// `src/graph/mod.rs`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its module: `["crate", "graph"]`, `["bin", "drplan"]`.
    pub module: Vec<String>,
    /// Every name in it.
    pub names: Vec<Name>,
    /// Lines of attributes and items by which names travel unseen, with what stands there.
    pub tricks: Vec<(usize, String)>,
    /// Modules that it declares for tests only.
    pub test_modules: Vec<Vec<String>>,
}

impl File {
    /// Reads a file. Panics if it is not Rust: then nothing else would say anything sensible either.
    pub fn read(path: &str, text: &str) -> File {
        let module = module_of(path);
        let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{path} is not Rust: {e}"));
        let mut aliases = BTreeMap::new();
        // Twice: the first pass learns the names that `use` gives, the second knows them.
        let mut scan =
            Scan { aliases: &BTreeMap::new(), learnt: Vec::new(), out: Vec::new(), tricks: Vec::new(), test_modules: Vec::new() };
        scan.block(tokens.clone(), &module, false);
        for (name, path) in scan.learnt {
            aliases.entry(name).or_insert_with(Vec::new).push(path);
        }
        let mut scan = Scan { aliases: &aliases, learnt: Vec::new(), out: Vec::new(), tricks: Vec::new(), test_modules: Vec::new() };
        scan.block(tokens, &module, false);
        File { path: path.to_owned(), text: text.to_owned(), module, names: scan.out, tricks: scan.tricks, test_modules: scan.test_modules }
    }

    /// The room that the file belongs to; `lib` for the table of contents.
    pub fn room(&self) -> &str {
        match self.module.as_slice() {
            [root, ..] if root == "bin" => "bin",
            [_, room, ..] => room,
            _ => "lib",
        }
    }
}

fn module_of(path: &str) -> Vec<String> {
    let inner = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if parts.first().is_some_and(|p| p == "bin") {
        // Every program is one room; its own `crate::` begins below `bin`.
        parts.drain(1..2.min(parts.len()));
    } else {
        parts.insert(0, "crate".to_owned());
    }
    if parts.last().is_some_and(|p| ["mod", "lib", "main"].contains(&p.as_str())) {
        parts.pop();
    }
    parts
}

struct Scan<'a> {
    aliases: &'a BTreeMap<String, Vec<Vec<String>>>,
    learnt: Vec<(String, Vec<String>)>,
    out: Vec<Name>,
    tricks: Vec<(usize, String)>,
    test_modules: Vec<Vec<String>>,
}

impl Scan<'_> {
    fn block(&mut self, tokens: TokenStream, module: &[String], test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        // Set by an attribute, it holds until the item that follows ends.
        let mut item_test = false;
        while at < tokens.len() {
            let here_test = test || item_test;
            match &tokens[at] {
                TokenTree::Punct(p) if p.as_char() == '#' => {
                    let group = tokens[at + 1..].iter().take(2).find_map(|t| match t {
                        TokenTree::Group(g) if g.delimiter() == Delimiter::Bracket => Some(g.clone()),
                        _ => None,
                    });
                    if let Some(group) = group {
                        item_test |= self.attribute(&group, module, here_test);
                        at += if matches!(tokens[at + 1], TokenTree::Punct(_)) { 2 } else { 1 };
                    }
                    at += 1;
                }
                TokenTree::Ident(i) if i == "use" && !next_is(&tokens, at, '<') => {
                    let end = position(&tokens, at, ';');
                    self.use_item(&tokens[at..end], module, here_test, is_public(&tokens[..at]));
                    item_test = false;
                    at = end + 1;
                }
                TokenTree::Ident(i) if i == "mod" && matches!(tokens.get(at + 1), Some(TokenTree::Ident(_))) => {
                    let inner = [module, &[tokens[at + 1].to_string()]].concat();
                    match tokens.get(at + 2) {
                        Some(TokenTree::Group(g)) => self.block(g.stream(), &inner, here_test),
                        _ if here_test => self.test_modules.push(inner),
                        _ => {}
                    }
                    item_test = false;
                    at += 3;
                }
                TokenTree::Ident(i) if i == "extern" && tokens.get(at + 1).is_some_and(|t| t.to_string() == "crate") => {
                    let end = position(&tokens, at, ';');
                    let text: Vec<String> = tokens[at..end].iter().map(TokenTree::to_string).collect();
                    self.tricks.push((i.span().start().line, text.join(" ")));
                    at = end + 1;
                }
                TokenTree::Ident(_) => at = self.path(&tokens, at, module, here_test),
                TokenTree::Group(g) => {
                    self.block(g.stream(), module, here_test);
                    item_test &= g.delimiter() != Delimiter::Brace;
                    at += 1;
                }
                TokenTree::Punct(p) => {
                    item_test &= ![';', ','].contains(&p.as_char());
                    at += 1;
                }
                TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// Reads an attribute; true if what follows is compiled for tests only.
    fn attribute(&mut self, group: &proc_macro2::Group, module: &[String], test: bool) -> bool {
        let line = group.span_open().start().line;
        let text: String = group.stream().to_string().split_whitespace().collect();
        match text.split(['(', '=', '[']).next().unwrap_or("") {
            "doc" => return false,
            "test" | "tokio::test" => return true,
            "cfg" if text == "cfg(test)" || text.starts_with("cfg(all(test,") => return true,
            "path" | "macro_use" | "macro_export" => self.tricks.push((line, format!("#[{text}]"))),
            "cfg_attr" if text.contains("path=") => self.tricks.push((line, format!("#[{text}]"))),
            _ => {}
        }
        self.strings(group.stream(), module, test);
        self.block(group.stream(), module, test);
        false
    }

    /// Paths that stand in an attribute's texts: `#[serde(with = "crate::graph::x")]`.
    fn strings(&mut self, tokens: TokenStream, module: &[String], test: bool) {
        for token in tokens {
            match token {
                TokenTree::Group(g) => self.strings(g.stream(), module, test),
                TokenTree::Literal(l) => {
                    let text = l.to_string();
                    if let Ok(path) = syn::parse_str::<syn::Path>(text.trim_matches('"')) {
                        let path: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
                        if path.len() > 1 {
                            self.name(l.span().start().line, &path, module, test, false, None);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn use_item(&mut self, tokens: &[TokenTree], module: &[String], test: bool, public: bool) {
        let stream: TokenStream = tokens.iter().cloned().chain([TokenTree::Punct(proc_macro2::Punct::new(';', Spacing::Alone))]).collect();
        // Inside a `macro_rules!` a `use` may hold `$crate`: then its paths are read like any others.
        match syn::parse2::<syn::ItemUse>(stream) {
            Ok(item) => {
                let mut leaves = Vec::new();
                leaves_of(&item.tree, &mut Vec::new(), &mut leaves);
                for leaf in leaves {
                    let handed_on = public.then(|| leaf.called.clone());
                    for whole in self.name(leaf.line, &leaf.path, module, test, leaf.called == "*", handed_on) {
                        self.learnt.push((leaf.called.clone(), whole));
                    }
                }
            }
            Err(_) => self.block(tokens[1..].iter().cloned().collect(), module, test),
        }
    }

    /// Reads `a::b::c`, `a::b!`, `.a(` from an identifier on; gives where to go on.
    fn path(&mut self, tokens: &[TokenTree], start: usize, module: &[String], test: bool) -> usize {
        let line = tokens[start].span().start().line;
        let mut path = vec![tokens[start].to_string()];
        let mut at = start + 1;
        if start > 0 && matches!(&tokens[start - 1], TokenTree::Punct(p) if p.as_char() == '.') {
            if matches!(tokens.get(at), Some(TokenTree::Group(_))) && !after_range(tokens, start) {
                self.out.push(Name { line, path: vec![format!(".{}", path[0])], test, glob: false, handed_on: None });
                return at;
            }
            if !after_range(tokens, start) {
                return at;
            }
        }
        while let (Some(TokenTree::Punct(a)), Some(TokenTree::Punct(b)), Some(TokenTree::Ident(i))) =
            (tokens.get(at), tokens.get(at + 1), tokens.get(at + 2))
        {
            if a.as_char() != ':' || a.spacing() != Spacing::Joint || b.as_char() != ':' {
                break;
            }
            path.push(i.to_string());
            at += 3;
        }
        if next_is(tokens, at - 1, '!') && matches!(tokens.get(at + 1), Some(TokenTree::Group(_) | TokenTree::Ident(_))) {
            let name = path.last().expect("a path has a segment").clone();
            self.out.push(Name { line, path: vec![format!("{name}!")], test, glob: false, handed_on: None });
        }
        if path.len() > 1 {
            self.name(line, &path, module, test, false, None);
        }
        at
    }

    /// Records a path under each of its whole names, and gives them.
    fn name(
        &mut self,
        line: usize,
        path: &[String],
        module: &[String],
        test: bool,
        glob: bool,
        handed_on: Option<String>,
    ) -> Vec<Vec<String>> {
        let whole = self.resolve(path, module, 4);
        for path in &whole {
            self.out.push(Name { line, path: path.clone(), test, glob, handed_on: handed_on.clone() });
        }
        whole
    }

    fn resolve(&self, path: &[String], module: &[String], depth: u32) -> Vec<Vec<String>> {
        let join = |base: &[String], rest: &[String]| [base, rest].concat();
        match path[0].as_str() {
            "crate" => vec![join(&module[..1], &path[1..])],
            "drplan" => vec![join(&["crate".to_owned()], &path[1..])],
            "self" => vec![join(module, &path[1..])],
            "super" => {
                let ups = path.iter().take_while(|p| *p == "super").count();
                let kept = module.len().saturating_sub(ups).max(1);
                vec![join(&module[..kept], &path[ups..])]
            }
            first => match self.aliases.get(first) {
                Some(targets) if depth > 0 && targets.iter().all(|t| t[0] != first) => targets
                    .iter()
                    .map(|target| join(target, &path[1..]))
                    // What a `use` learnt may itself begin with a name that another `use` gave.
                    .flat_map(|p| if ["crate", "bin"].contains(&p[0].as_str()) { vec![p] } else { self.resolve(&p, module, depth - 1) })
                    .collect(),
                _ => vec![path.to_vec()],
            },
        }
    }
}

/// One name that a `use` brings in.
struct Leaf {
    line: usize,
    path: Vec<String>,
    called: String,
}

fn leaves_of(tree: &UseTree, before: &mut Vec<String>, out: &mut Vec<Leaf>) {
    let mut leaf = |name: &syn::Ident, called: Option<&syn::Ident>| {
        // `{self as x}` is the path before it.
        let path = if name == "self" && !before.is_empty() { before.clone() } else { [before.as_slice(), &[name.to_string()]].concat() };
        let called = called.map_or_else(|| path.last().cloned().unwrap_or_default(), syn::Ident::to_string);
        out.push(Leaf { line: name.span().start().line, path, called });
    };
    match tree {
        UseTree::Name(n) => leaf(&n.ident, None),
        UseTree::Rename(r) => leaf(&r.ident, Some(&r.rename)),
        UseTree::Glob(g) => out.push(Leaf { line: g.star_token.span.start().line, path: before.clone(), called: "*".to_owned() }),
        UseTree::Group(g) => g.items.iter().for_each(|item| leaves_of(item, before, out)),
        UseTree::Path(p) => {
            before.push(p.ident.to_string());
            leaves_of(&p.tree, before, out);
            before.pop();
        }
    }
}

fn next_is(tokens: &[TokenTree], at: usize, c: char) -> bool {
    matches!(tokens.get(at + 1), Some(TokenTree::Punct(p)) if p.as_char() == c)
}

fn position(tokens: &[TokenTree], from: usize, c: char) -> usize {
    let found = tokens[from..].iter().position(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == c));
    found.map_or(tokens.len(), |i| from + i)
}

/// Whether the dot before an identifier is the second of `..`.
fn after_range(tokens: &[TokenTree], at: usize) -> bool {
    at > 1 && matches!(&tokens[at - 2], TokenTree::Punct(p) if p.as_char() == '.' && p.spacing() == Spacing::Joint)
}

/// Whether `pub`, with or without its reach, stands just before.
fn is_public(before: &[TokenTree]) -> bool {
    match before {
        [.., TokenTree::Ident(i)] => i == "pub",
        [.., TokenTree::Ident(i), TokenTree::Group(_)] => i == "pub",
        _ => false,
    }
}
