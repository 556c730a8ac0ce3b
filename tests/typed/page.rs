//! A rendered runbook as a person reads it who types it: blocks of commands, in order, each with its step. It knows
//! Markdown's fences and the marks of the page, not the plan.

/// What a block is for: the mark behind its fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Variables, at the top.
    Set,
    /// It only looks.
    Look,
    /// It changes something.
    Change,
}

/// A block of commands.
#[derive(Debug, Clone)]
pub struct Block {
    pub kind: Kind,
    pub script: String,
}

/// A step, as far as one who types needs it.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Empty for what stands above the first step.
    pub id: String,
    /// What is typed; the way back is not.
    pub blocks: Vec<Block>,
    /// The page says that it may need several tries.
    pub again: bool,
    /// The page lets people decide what follows if the target does not answer.
    pub may_be_silent: bool,
}

/// The steps of a page.
pub fn read(page: &str) -> Vec<Step> {
    let mut steps = vec![Step::default()];
    let mut open: Option<(usize, Option<Block>)> = None;
    for line in page.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        let step = steps.last_mut().expect("there is the one above the first");
        match &mut open {
            Some((fence, _)) if ticks >= *fence && ticks == line.len() => {
                step.blocks.extend(open.take().and_then(|(_, block)| block));
            }
            Some((_, Some(block))) => block.script.push_str(&format!("{line}\n")),
            Some((_, None)) => {}
            None if ticks >= 3 => open = Some((ticks, kind(&line[ticks..]).map(|kind| Block { kind, script: String::new() }))),
            None if line.starts_with("## ") => steps.push(Step::default()),
            None => {
                if let Some(rest) = line.strip_prefix("- [ ] `") {
                    step.id = rest.split('`').next().unwrap_or_default().to_owned();
                }
                step.again |= line.starts_with("If it does not work at once, try");
                step.may_be_silent |=
                    line.starts_with("If the target does not answer:") && (line.contains("decide") || line.contains("go on without it"));
            }
        }
    }
    assert!(open.is_none(), "a fence is left open");
    steps.retain(|s| !s.id.is_empty() || !s.blocks.is_empty());
    steps
}

/// What the words behind a fence mean; none for what is not typed.
fn kind(info: &str) -> Option<Kind> {
    match info {
        "sh" => Some(Kind::Change),
        "sh look" => Some(Kind::Look),
        "sh set" => Some(Kind::Set),
        "sh undo" | "mermaid" => None,
        other => panic!("a block with an unknown mark: {other:?}"),
    }
}
