//! The commands that a screen offers, and one of them with its placeholders filled. It runs nothing.

/// Every command on a screen: one that has a line of its own, one in backticks, or one at the end of a sentence.
pub fn of(screen: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in screen.lines().map(str::trim) {
        let own = line.strip_prefix("help: ").unwrap_or(line);
        if own.starts_with("drplan ") {
            out.push(own.to_owned());
        } else if let Some((_, command)) = line.split_once(": drplan ").or_else(|| line.split_once("then drplan ")) {
            out.push(format!("drplan {command}"));
        }
    }
    // A sentence is broken at the screen's edge, also within backticks.
    let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted = flat.split('`').filter(|part| part.starts_with("drplan "));
    out.extend(quoted.map(str::to_owned));
    out
}

/// The newest offer that is what is wanted, with what the text names as its placeholders filled.
pub fn filled(wanted: &str, offered: &[String]) -> Option<String> {
    let wanted = words(wanted);
    offered.iter().rev().find_map(|offer| fill(&wanted, &words(offer)))
}

fn fill(wanted: &[String], offer: &[String]) -> Option<String> {
    if wanted.len() != offer.len() {
        return None;
    }
    let mut out = Vec::new();
    for (n, (mine, theirs)) in wanted.iter().zip(offer).enumerate() {
        let reason = n > 0 && offer[n - 1] == "--reason";
        let same_name = || mine.split_once('=').map(|(name, _)| name) == theirs.split_once('=').map(|(name, _)| name);
        let word = match mine.as_str() {
            "*" if theirs.starts_with("scene-") => theirs,
            mine if mine == theirs => theirs,
            // Only what stands for something is filled in: a reason, a value, one of several words.
            _ if reason && (theirs == "…" || theirs.contains(' ')) => mine,
            _ if theirs.contains('=') && same_name() => mine,
            mine_ if theirs.split('|').any(|one| one == mine_) => mine,
            _ => return None,
        };
        out.push(if word.contains([' ', '\'']) { format!("\"{word}\"") } else { word.clone() });
    }
    Some(out.join(" "))
}

/// Words as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let (mut out, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) = (Vec::new(), None, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => out.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}
