//! Files of the plan's directory that a step starts: named by a plain path, lying within it however links lead, and the
//! same at each attempt. It does not know what is in them.

use serde_json::{Value, json};

use super::{Before, Ctx, words};
use crate::world::{Answer, Fault};

/// So many links may lead to one file.
const LINKS: u32 = 40;

/// A path of a plan's file, relative to its directory and without `./`; an error says in words why it is none.
pub fn plain(path: &str) -> Result<&str, String> {
    let rest = path.strip_prefix("./").unwrap_or(path);
    let bad = |part: &str| matches!(part, "" | "." | "..");
    if path.starts_with('/') {
        return Err("it must lie within the plan's directory, and the path begins at the root".to_owned());
    }
    if rest.split('/').any(bad) || rest.contains('\0') {
        return Err("it must lie within the plan's directory, named without `..`".to_owned());
    }
    Ok(rest)
}

/// Where such a file is, every link followed; refused if it is not there, is no file, or lies outside.
pub async fn file(ctx: &Ctx<'_>, path: &str) -> Answer<String> {
    let shown = words::code(path);
    let refused = |why: &str| Fault::refused(format!("{shown} {why}"));
    let rest = plain(path).map_err(|why| Fault::refused(format!("{shown}: {why}")))?;
    let at = |parts: &[String]| match ctx.dir {
        "" => parts.join("/"),
        dir => format!("{}/{}", dir.trim_end_matches('/'), parts.join("/")),
    };
    let (mut done, mut links): (Vec<String>, u32) = (Vec::new(), 0);
    let mut open: Vec<String> = rest.rsplit('/').map(str::to_owned).collect();
    while let Some(part) = open.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                done.pop().ok_or_else(|| refused("is a link that leads out of the plan's directory"))?;
                continue;
            }
            _ => done.push(part),
        }
        let found = ctx.world.files.facts(&at(&done)).await?.ok_or_else(|| refused("is not in the plan's directory"))?;
        let Some(link) = found.link else {
            if found.directory == open.is_empty() {
                return Err(refused("is not a file"));
            }
            continue;
        };
        links += 1;
        if link.starts_with('/') || links > LINKS {
            return Err(refused("is a link that leads out of the plan's directory"));
        }
        done.pop();
        open.extend(link.rsplit('/').map(str::to_owned));
    }
    Ok(at(&done))
}

/// What is kept of a file before the first attempt.
pub async fn kept(ctx: &Ctx<'_>, path: &str) -> Answer<Before> {
    Ok(json!({ "file": path, "sha256": digest(ctx, path).await? }))
}

/// Its SHA-256.
pub async fn digest(ctx: &Ctx<'_>, path: &str) -> Answer<String> {
    let at = file(ctx, path).await?;
    ctx.world.files.sha256(&at).await?.ok_or_else(|| Fault::refused(format!("{} is not in the plan's directory", words::code(path))))
}

/// Where it is, if it is as it was before the first attempt.
pub async fn same(ctx: &Ctx<'_>, path: &str, before: &Before) -> Answer<String> {
    let at = file(ctx, path).await?;
    // What takes a step back is given the step's own state before, which is another file's.
    let own = before.get("file").and_then(Value::as_str) == Some(path);
    let Some(was) = before.get("sha256").and_then(Value::as_str).filter(|_| own) else { return Ok(at) };
    if digest(ctx, path).await? != was {
        return Err(Fault::refused(format!("{} is not as it was when the step began, so it was not started", words::code(path))));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_path_leads_out() {
        assert_eq!(plain("./tools/x.sh"), Ok("tools/x.sh"));
        assert_eq!(plain("x"), Ok("x"));
        for bad in ["/etc/passwd", "../x", "a/../../x", "./", "", "a//b", "a/./b", "a\0b"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
    }
}
