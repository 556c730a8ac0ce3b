//! The obvious repairs of findings, made in the texts that they are about: everything else in them stays as it is, byte
//! for byte. It does not know how a plan is checked, nor where its texts are kept.

use std::collections::{BTreeMap, BTreeSet};

use super::{Diagnostic, Edit, Level};
use crate::source::{SourceId, Sources};

/// How often the texts are checked again: a repair may bring the next one to light.
const ROUNDS: usize = 16;

/// Texts by the names of their sources.
pub type Texts = BTreeMap<String, String>;

/// What was made of the texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Every text that is another one now.
    pub texts: Texts,
    /// The same texts as they were.
    pub before: Texts,
    /// What was done, in the order in which it was.
    pub made: Vec<Repair>,
}

/// One repair that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, as the text was just before.
    pub column: usize,
    /// The rule whose finding it was.
    pub rule: &'static str,
    /// What was done, as an imperative sentence.
    pub what: String,
}

/// Makes every repair that findings carry, and checks again until there is none left. Of two that touch the same place the
/// first is made; the other gets its turn in the next round. One after which its finding is still there is not made.
///
/// `check` gives the texts and what is wrong with them, with the given ones instead of those that it would read.
pub fn repair<E>(mut check: impl FnMut(&Texts) -> Result<(Sources, Vec<Diagnostic>), E>) -> Result<Repaired, E> {
    let mut done = Repaired::default();
    let mut vain = BTreeSet::new();
    let (mut sources, mut findings) = check(&done.texts)?;
    for _ in 0..ROUNDS {
        let round = Round::of(&sources, &findings, &vain);
        if round.chosen.is_empty() {
            break;
        }
        let mut texts = done.texts.clone();
        texts.extend(round.texts());
        let (after, left) = check(&texts)?;
        let failed = round.failed(&after, &left);
        if failed.is_empty() {
            for source in round.edits.keys().map(|id| sources.get(*id)) {
                done.before.entry(source.name.clone()).or_insert_with(|| source.text.clone());
            }
            done.texts = texts;
            done.made.extend(round.chosen.iter().flat_map(|found| round.said(found)));
            (sources, findings) = (after, left);
        } else {
            vain.extend(failed);
        }
    }
    Ok(done)
}

/// Which finding, beyond one state of the texts: file, rule, headline, first byte.
type Name = (String, &'static str, String, u32);

/// Repairs that do not touch each other.
struct Round<'a> {
    sources: &'a Sources,
    chosen: Vec<&'a Diagnostic>,
    /// Their edits, by place.
    edits: BTreeMap<SourceId, Vec<&'a Edit>>,
}

impl<'a> Round<'a> {
    fn of(sources: &'a Sources, findings: &'a [Diagnostic], vain: &BTreeSet<Name>) -> Round<'a> {
        let mut round = Round { sources, chosen: Vec::new(), edits: BTreeMap::new() };
        for found in findings.iter().filter(|f| f.level != Level::Allow) {
            let Some(fix) = &found.fix else { continue };
            if !fix.edits.is_empty() && fix.edits.iter().all(|e| round.free(e)) && !vain.contains(&round.name(found)) {
                fix.edits.iter().for_each(|edit| round.take(edit));
                round.chosen.push(found);
            }
        }
        round
    }

    /// Whether an edit fits its text and touches no other one.
    fn free(&self, edit: &Edit) -> bool {
        let (start, end) = (edit.span.start, edit.span.end);
        let fits = self.sources.get(edit.span.source).text.get(start as usize..end as usize).is_some();
        let others = self.edits.get(&edit.span.source).map_or(&[][..], Vec::as_slice);
        // They are in order: only the neighbours can touch it.
        let at = others.partition_point(|o| o.span.start < start);
        let apart = |o: &&Edit| o.span.end < start || end < o.span.start;
        fits && others[at.saturating_sub(1)..].iter().take(2).all(apart)
    }

    fn take(&mut self, edit: &'a Edit) {
        let edits = self.edits.entry(edit.span.source).or_default();
        edits.insert(edits.partition_point(|o| o.span.start <= edit.span.start), edit);
    }

    fn texts(&self) -> impl Iterator<Item = (String, String)> {
        self.edits.iter().map(|(id, edits)| {
            let source = self.sources.get(*id);
            let mut text = String::with_capacity(source.text.len() + 64);
            let mut from = 0;
            for edit in edits {
                text.push_str(&source.text[from..edit.span.start as usize]);
                text.push_str(&edit.replacement);
                from = edit.span.end as usize;
            }
            text.push_str(&source.text[from..]);
            (source.name.clone(), text)
        })
    }

    /// Repairs whose findings are still there.
    fn failed(&self, after: &Sources, left: &[Diagnostic]) -> Vec<Name> {
        let still = |found: &Diagnostic| {
            let (from, to) = (self.now(found.span().source, found.span().start), self.now(found.span().source, found.span().end));
            let file = &self.sources.get(found.span().source).name;
            left.iter().any(|f| {
                let near = i64::from(f.span().start) >= from - 1 && i64::from(f.span().start) <= to + 1;
                near && f.rule == found.rule && f.headline == found.headline && after.get(f.span().source).name == *file
            })
        };
        self.chosen.iter().filter(|found| still(found)).map(|found| self.name(found)).collect()
    }

    /// Where a byte stands after the edits.
    fn now(&self, source: SourceId, offset: u32) -> i64 {
        let before = self.edits.get(&source).map_or(&[][..], Vec::as_slice).iter().take_while(|e| e.span.end <= offset);
        let moved: i64 = before.map(|e| e.replacement.len() as i64 - i64::from(e.span.end - e.span.start)).sum();
        i64::from(offset) + moved
    }

    fn name(&self, found: &Diagnostic) -> Name {
        (self.sources.get(found.span().source).name.clone(), found.rule, found.headline.clone(), found.span().start)
    }

    fn said(&self, found: &Diagnostic) -> Option<Repair> {
        let fix = found.fix.as_ref()?;
        let source = self.sources.get(found.span().source);
        let (line, column) = source.line_col(found.span().start);
        Some(Repair { file: source.name.clone(), line, column, rule: found.rule, what: fix.what.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Near;
    use crate::source::Span;

    fn sure(word: &str) -> Near<'_> {
        Near { word, sure: true }
    }

    /// Every `a` is wrong and becomes `bb`; every `c` is wrong and becomes `c`, which helps nobody.
    fn check(texts: &Texts) -> Result<(Sources, Vec<Diagnostic>), ()> {
        let mut sources = Sources::default();
        let text = texts.get("t").map_or("x a=a\r\n# c é a\r\n", String::as_str);
        let source = sources.add("t", text);
        let finding = |(i, letter): (usize, &str)| {
            let span = Span { source, start: i as u32, end: i as u32 + 1 };
            Diagnostic::deny("yaml", format!("`{letter}` is wrong"), span, "here").write(sure(if letter == "a" { "bb" } else { letter }))
        };
        let found = text.match_indices(['a', 'c']).map(finding).collect();
        Ok((sources, found))
    }

    #[test]
    fn what_helps_is_made_and_the_rest_stays() {
        let done = repair(check).unwrap();
        assert_eq!(done.texts["t"], "x bb=bb\r\n# c é bb\r\n");
        let places: Vec<_> = done.made.iter().map(|m| (m.line, m.column, m.what.as_str())).collect();
        assert_eq!(places, [(1, 3, "write `bb`"), (1, 5, "write `bb`"), (2, 7, "write `bb`")]);
    }

    #[test]
    fn of_two_at_one_place_the_first_is_made() {
        let mut sources = Sources::default();
        let source = sources.add("t", "abcdef");
        let at = |start, end| Span { source, start, end };
        let found = |span, word: &str| Diagnostic::deny("yaml", "wrong", span, "").write(sure(word));
        let all = [found(at(2, 4), "X"), found(at(1, 3), "Y"), found(at(4, 5), "Z"), found(at(9, 12), "?"), found(at(5, 6), "W")];
        let round = Round::of(&sources, &all, &BTreeSet::new());
        assert_eq!(round.texts().next().unwrap().1, "abXeW");
    }
}
