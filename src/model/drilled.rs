//! A plan as a drill sees it: the same tree with other connections. The drill's parameters are given to the compiler
//! like those of the command line.

use std::collections::BTreeMap;

use super::lower::Given;
use crate::syntax::{Arena, Entry, Node};

/// The tree with the connections that the drill replaces, and the parameters that it gives.
pub fn drilled<'a>(arena: &'a Arena<'a>, root: &Node<'a>, drill: &str) -> (Node<'a>, Given) {
    let Some(drill) = root.get("drills").and_then(|d| d.get(drill)) else { return (*root, Given::new()) };
    let with = drill.get("with").and_then(Node::map).unwrap_or(&[]);
    let given = with.iter().filter_map(|e| Some((e.key.to_owned(), (e.value.scalar()?.text.to_owned(), e.value.span)))).collect();
    let replaced: BTreeMap<&str, &Node<'a>> =
        drill.get("connect").and_then(Node::map).unwrap_or(&[]).iter().map(|e| (e.key, &e.value)).collect();
    if replaced.is_empty() {
        return (*root, given);
    }
    let made = changed(arena, root, |section| match section.key {
        "assets" => changed(arena, &section.value, |asset| match replaced.get(asset.key) {
            Some(sites) => at_sites(arena, &asset.value, sites),
            None => asset.value,
        }),
        _ => section.value,
    });
    (made, given)
}

/// A map with its values changed.
fn changed<'a>(arena: &'a Arena<'a>, node: &Node<'a>, change: impl Fn(&Entry<'a>) -> Node<'a>) -> Node<'a> {
    let Some(all) = node.map() else { return *node };
    let made: Vec<Entry<'a>> = all.iter().map(|e| Entry { value: change(e), ..*e }).collect();
    arena.map(node.span, made)
}

/// An asset reached in another way: its own `connect` where one of its sites is named, and that of each replica there. A
/// replica takes from the asset what it does not say itself, also in a drill.
fn at_sites<'a>(arena: &'a Arena<'a>, asset: &Node<'a>, sites: &Node<'a>) -> Node<'a> {
    let named = |node: Option<&Node<'a>>| -> Vec<&'a str> {
        let texts = |n: &Node<'a>| n.scalar().map(|s| s.text);
        node.map_or(Vec::new(), |n| n.list().map_or_else(|| texts(n).into_iter().collect(), |all| all.iter().filter_map(texts).collect()))
    };
    let own = named(asset.get("site"));
    // Without a `site` there is one, whatever its name: the one that is named and is no replica's.
    let replicas: Vec<&str> = asset.get("replicas").and_then(Node::list).unwrap_or(&[]).iter().flat_map(|r| named(r.get("site"))).collect();
    let all = sites.map().unwrap_or(&[]);
    let here = all.iter().find(|e| if own.is_empty() { !replicas.contains(&e.key) } else { own.contains(&e.key) });
    let mut made = changed(arena, asset, |entry| match entry.key {
        "replicas" => match entry.value.list() {
            Some(items) => {
                let items: Vec<Node<'a>> = items
                    .iter()
                    .map(|r| match all.iter().find(|e| named(r.get("site")).contains(&e.key)) {
                        Some(keys) => reached(arena, r, keys),
                        None => *r,
                    })
                    .collect();
                arena.list(entry.value.span, items)
            }
            None => entry.value,
        },
        _ => entry.value,
    });
    if let Some(keys) = here {
        made = reached(arena, &made, keys);
    }
    made
}

/// An asset or a replica with some keys of its `connect` replaced.
fn reached<'a>(arena: &'a Arena<'a>, node: &Node<'a>, keys: &Entry<'a>) -> Node<'a> {
    let own = node.entry("connect");
    let new = keys.value.map().unwrap_or(&[]);
    let kept = own.and_then(|e| e.value.map()).unwrap_or(&[]).iter().filter(|e| !new.iter().any(|n| n.key == e.key));
    let connect: Vec<Entry<'a>> = kept.chain(new).copied().collect();
    let connect = Entry { key: "connect", at: own.map_or(keys.at, |e| e.at), value: arena.map(keys.value.span, connect) };
    let rest = node.map().unwrap_or(&[]).iter().filter(|e| e.key != "connect").copied();
    let made: Vec<Entry<'a>> = rest.chain([connect]).collect();
    arena.map(node.span, made)
}
