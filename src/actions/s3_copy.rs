//! `s3.copy`: copies objects within a store, and reads each copy back. It overwrites nothing that differs unless the plan says
//! so, and does not know what the objects hold.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::s3::{self, Place};
use super::{
    Action, Before, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Target, Type, UndoKind, aws, given, keep, shell,
    template, words,
};
use crate::world::{Answer, Fault, Landed, ObjectCopy, ObjectFacts, ObjectRef};

/// A store copies no more than this in one call.
const PART_BYTES: u64 = 5 << 30;

pub(super) static ACTION: Action = Action {
    name: "s3.copy",
    page: include_str!("s3_copy.md"),
    fields: &[
        Field::optional(
            "from",
            Type::Url,
            "what is copied, as `s3://BUCKET/PREFIX`; else the place in S3 of the backup that the step's `from` names",
        ),
        Field::optional("to", Type::Url, "where to, as `s3://BUCKET/PREFIX`; else bucket and prefix of the asset's `connect`"),
        Field::default("objects", Type::Word(&["all", "newest"]), "all", "whether all objects under the prefix are copied or the newest"),
        Field::optional("matches", Type::Pattern, "only keys that match it"),
        Field::optional("before", Type::Time, "only objects that were written not later than this time"),
        Field::default("overwrite", Type::Bool, "false", "whether a copy may take the place of an object that is another one"),
        Field::optional("region", Type::Text, "AWS region; else of the asset's `connect`, else from the usual chain"),
        Field::optional("profile", Type::Text, "AWS profile; else of the asset's `connect`, else from the usual chain"),
        Field::optional("endpoint", Type::Url, "another address than AWS's own; else of the asset's `connect`"),
    ],
    outputs: &[
        Output::new("copied", Type::Int, "how many objects this step copied; the others were there already"),
        Output::new("objects", Type::Int, "how many there are"),
        Output::new("size", Type::Int, "bytes of all of them"),
        Output::new("key", Type::Text, "key of the newest one's copy"),
    ],
    effect: Effect::Verifiable,
    undo: UndoKind::Auto,
    settles_ms: 600_000,
    feature: Some("aws"),
    sentence: |call| format!("Copy {} to {}, and read back what was copied", what(call), words::code(&to_shown(call))),
    seen: |call| format!("under {} lie the same bytes", words::code(&to_shown(call))),
    commands,
    undo_commands,
    check,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

/// One object that is to be copied, and what was in its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    key: String,
    etag: String,
    size: u64,
    to: String,
    /// ETag and version of what was there.
    was: Option<(String, Option<String>)>,
    /// What was there is the same bytes: nothing is done.
    same: bool,
}

/// What a step copies, as it was read before its first attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {
    from: String,
    to: String,
    /// The newest one's copy.
    newest: String,
    items: Vec<Item>,
}

/// Where one of them stands.
enum State {
    Before,
    /// It was there already.
    Same,
    /// The step's own copy.
    Ours(ObjectFacts),
    Foreign(String),
}

fn place_of_source(target: Option<&Target>) -> Option<String> {
    target?.source.as_ref()?.places.iter().find(|place| place.starts_with("s3://")).cloned()
}

fn from_shown(call: &Call<'_>) -> String {
    let given = call.with.get("from").map(template::plain);
    given.or_else(|| place_of_source(call.target)).unwrap_or_else(|| "(from is not given)".to_owned())
}

fn to_shown(call: &Call<'_>) -> String {
    call.with.get("to").map_or_else(|| s3::shown(call), template::plain)
}

fn newest_only(call: &Call<'_>) -> bool {
    given::text(call.with, "objects").as_deref() == Some("newest")
}

fn what(call: &Call<'_>) -> String {
    let which = if newest_only(call) { "the newest object" } else { "every object" };
    let more = |name: &str, word: &str| call.with.get(name).map(|v| format!(" {word} {}", words::value(v))).unwrap_or_default();
    let filters = more("matches", "whose key matches") + &more("before", "written not later than");
    format!("{which} under {}{filters}", words::code(&from_shown(call)))
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    let plain = |name: &str| call.with.get(name).map(template::plain).filter(|t| !template::marked(t));
    for name in ["from", "to"] {
        if let Some(Err(fault)) = plain(name).map(|url| Place::of(&url)) {
            out.push((name, fault.cause, format!("{name}: s3://my-backups/orders/")));
        }
    }
    if !call.with.contains_key("from") && place_of_source(call.target).is_none() {
        out.push(("from", "nothing says what is copied".to_owned(), "from: s3://my-backups/orders/".to_owned()));
    }
    if !call.with.contains_key("to") && call.field("bucket").is_none() {
        out.push(("to", "nothing says where to".to_owned(), "to: s3://my-vault/orders/".to_owned()));
    }
    out
}

fn kept(call: &Call<'_>) -> String {
    shell::literal(&format!("{}.copied", call.step))
}

/// Defines what both ways need, and splits both places into buckets and prefixes.
fn functions(call: &Call<'_>) -> String {
    let word = |text: String| shell::word(&Value::String(text));
    format!(
        "split() {{ REST=${{1#s3://}}; BUCKET=${{REST%%/*}}; PREFIX=${{REST#\"$BUCKET\"}}; PREFIX=${{PREFIX#/}}; }}\n\
         split {}; FROM_BUCKET=$BUCKET FROM_PREFIX=$PREFIX\n\
         split {}\n\
         sum() {{ {} \"s3://$1\" - | sha256sum; }}\n\
         mark() {{ {} --bucket \"$BUCKET\" --key=\"$1\" --query '[ETag,VersionId]' --output text; }}",
        word(from_shown(call)),
        word(to_shown(call)),
        aws::command(call, "s3 cp"),
        aws::command(call, "s3api head-object"),
    )
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let filter = call.with.get("before").map(|t| format!("[?LastModified<='{}']", template::plain(t))).unwrap_or_default();
    let pick = match newest_only(call) {
        true => format!("sort_by(Contents{filter} || `[]`, &LastModified)[-1].[Key]"),
        false => format!("(Contents{filter} || `[]`)[].[Key]"),
    };
    let matches = call.with.get("matches").map(|re| format!(" | grep -P -e {}", shell::word(re))).unwrap_or_default();
    let kept = kept(call);
    let clash = match given::bool(call.with, "overwrite", false) {
        true => "copy",
        false => "{ echo \"$NEW is there, and is another object\" >&2; exit 1; }",
    };
    let script = format!(
        "{}\n\
         list() {{ {} --bucket \"$1\" --prefix=\"$2\" --query \"$3\" --output text; }}\n\
         copy() {{\n  {} \"s3://$FROM_BUCKET/$KEY\" \"s3://$BUCKET/$NEW\" &&\n  \
         [ \"$(sum \"$FROM_BUCKET/$KEY\")\" = \"$(sum \"$BUCKET/$NEW\")\" ] && printf '%s\\t%s\\n' \"$(mark \"$NEW\")\" \"$NEW\" >>{kept}; }}\n\
         KEYS=$(list \"$FROM_BUCKET\" \"$FROM_PREFIX\" {}{matches}) && [ \"$KEYS\" != None ] && [ -n \"$KEYS\" ] &&\n\
         printf '%s\\n' \"$KEYS\" | while IFS= read -r KEY; do\n  \
         NEW=$PREFIX${{KEY#\"$FROM_PREFIX\"}}\n  \
         THERE=$(list \"$BUCKET\" \"$NEW\" 'Contents[0].Key') || exit 1\n  \
         if [ \"$THERE\" != \"$NEW\" ]; then copy || exit 1\n  \
         elif [ \"$(sum \"$FROM_BUCKET/$KEY\")\" = \"$(sum \"$BUCKET/$NEW\")\" ]; then echo \"$NEW is there already\"\n  \
         else {clash} || exit 1; fi\ndone",
        functions(call),
        aws::command(call, "s3api list-objects-v2"),
        aws::command(call, "s3 cp"),
        shell::word(&Value::String(pick)),
    );
    vec![Manual {
        what: format!("Copy {}, and compare the bytes", what(call)),
        script,
        changes: true,
        expect: format!("a line for each object; {} says for the way back what was copied", words::code(&kept)),
    }]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    vec![Manual {
        what: "Remove what was copied".to_owned(),
        script: format!(
            "{}\nTAB=$(printf '\\t')\nwhile IFS=\"$TAB\" read -r ETAG VERSION NEW; do\n  \
             [ \"$(mark \"$NEW\")\" = \"$ETAG$TAB$VERSION\" ] || {{ echo \"$NEW was changed by somebody: leave it\" >&2; exit 1; }}\n  \
             if [ \"$VERSION\" = None ]; then set --; else set -- \"--version-id=$VERSION\"; fi\n  \
             {} --bucket \"$BUCKET\" --key=\"$NEW\" \"$@\" || exit 1\ndone <{}",
            functions(call),
            aws::command(call, "s3api delete-object"),
            kept(call)
        ),
        changes: true,
        expect: "no error; what somebody changed since is left alone".to_owned(),
    }]
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let from = given::text(ctx.with, "from").or_else(|| place_of_source(ctx.target));
    let from = Place::of(&from.ok_or_else(|| Fault::refused("`from` is not given"))?)?;
    let to = given::text(ctx.with, "to").map_or_else(|| s3::place(ctx), |url| Place::of(&url))?;
    if from == to {
        return Err(Fault::refused(format!("{} would be copied onto itself", words::code(&from.url()))));
    }
    let listed = s3::few(s3::listed(ctx, &from).await?, &from)?;
    let newest = listed.last().map(|o| o.key.clone()).unwrap_or_default();
    let only = given::text(ctx.with, "objects").as_deref() == Some("newest");
    let copy = |key: &str| format!("{}{}", to.prefix, key.strip_prefix(&from.prefix).unwrap_or(key));
    let mut items = Vec::new();
    for object in listed.into_iter().filter(|o| !only || o.key == newest) {
        let mut item = Item { to: copy(&object.key), key: object.key, etag: object.etag, size: object.size, was: None, same: false };
        if let Some(there) = facts(ctx, &to, &item).await? {
            item.same = there.size == item.size && same(ctx, &from, &to, &item, &there).await?;
            item.was = Some((there.etag, there.version));
        }
        if item.was.is_some() && !item.same && !given::bool(ctx.with, "overwrite", false) {
            return Err(Fault::refused(format!("{} is there, and is another object than {}", url(&to, &item.to), url(&from, &item.key))));
        }
        items.push(item);
    }
    let work = Work { newest: copy(&newest), from: from.url(), to: to.url(), items };
    keep::state(&work)
}

fn url(place: &Place, key: &str) -> String {
    words::code(&format!("s3://{}/{key}", place.bucket))
}

fn work(before: &Before) -> Answer<(Work, Place, Place)> {
    let work = Work::deserialize(before).map_err(|_| Fault::refused("the state before does not hold what was read"))?;
    let (from, to) = (Place::of(&work.from)?, Place::of(&work.to)?);
    Ok((work, from, to))
}

async fn facts(ctx: &Ctx<'_>, to: &Place, item: &Item) -> Answer<Option<ObjectFacts>> {
    ctx.world.objects.facts(&aws::settings(ctx), &to.bucket, &item.to).await
}

/// Whether both hold the same bytes, each read to its end.
async fn same(ctx: &Ctx<'_>, from: &Place, to: &Place, item: &Item, there: &ObjectFacts) -> Answer<bool> {
    let (settings, objects) = (aws::settings(ctx), &ctx.world.objects);
    let copy = reference(to, item, there);
    Ok(objects.sha256(&settings, &copy).await? == objects.sha256(&settings, &original(from, item)).await?)
}

fn original(from: &Place, item: &Item) -> ObjectRef {
    ObjectRef { bucket: from.bucket.clone(), key: item.key.clone(), etag: item.etag.clone(), version: None }
}

fn reference(to: &Place, item: &Item, there: &ObjectFacts) -> ObjectRef {
    ObjectRef { bucket: to.bucket.clone(), key: item.to.clone(), etag: there.etag.clone(), version: there.version.clone() }
}

async fn look(ctx: &Ctx<'_>, to: &Place, item: &Item) -> Answer<State> {
    let now = facts(ctx, to, item).await?;
    let key = url(to, &item.to);
    Ok(match (now, &item.was) {
        (None, None) => State::Before,
        (Some(now), Some((etag, version))) if now.etag == *etag && now.version == *version && now.mark.as_deref() != Some(ctx.key) => {
            if item.same {
                State::Same
            } else {
                State::Before
            }
        }
        (Some(now), _) if now.mark.as_deref() == Some(ctx.key) && now.size == item.size => State::Ours(now),
        (Some(_), _) => State::Foreign(format!("{key} is neither what was there before nor the copy of this step")),
        (None, Some(_)) => State::Foreign(format!("{key} was there before, and is not there any more")),
    })
}

fn outputs(work: &Work) -> Outputs {
    let copied = work.items.iter().filter(|item| !item.same).count();
    let size: u64 = work.items.iter().map(|item| item.size).sum();
    let named = [("copied", json!(copied)), ("objects", json!(work.items.len())), ("size", json!(size)), ("key", json!(work.newest))];
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A copy counts only when it was read back.
async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (work, from, to) = work(before)?;
    let (mut ours, mut open) = (0, 0);
    for item in &work.items {
        match look(ctx, &to, item).await? {
            State::Same => {}
            State::Before => open += 1,
            State::Ours(there) if same(ctx, &from, &to, item, &there).await? => ours += 1,
            State::Ours(_) => return Ok(Probe::CannotTell(format!("{} was copied, and holds other bytes", url(&to, &item.to)))),
            State::Foreign(why) => return Ok(Probe::Other(why)),
        }
    }
    Ok(match (ours, open) {
        (_, 0) => Probe::There(outputs(&work)),
        (0, _) => Probe::NotThere,
        (ours, open) => Probe::CannotTell(format!("{ours} objects are copied, {open} are not yet")),
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let (work, from, to) = work(before)?;
    let mut out = Vec::new();
    for item in work.items.iter().filter(|item| !item.same) {
        if let State::Before = look(ctx, &to, item).await? {
            let old = if item.was.is_some() { "another object" } else { "not there" }.to_owned();
            out.push(Change { what: url(&to, &item.to), old, new: format!("{}, {} bytes", url(&from, &item.key), item.size) });
        }
    }
    Ok(out)
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let (work, from, to) = work(before)?;
    let mut taken = false;
    for item in &work.items {
        let done = one(ctx, &from, &to, item, &mut taken).await;
        // Once one was copied, nothing that fails later says that nothing happened.
        done.map_err(|fault| if taken { Fault::lost(fault.cause) } else { fault })?;
    }
    Ok(outputs(&work))
}

async fn one(ctx: &Ctx<'_>, from: &Place, to: &Place, item: &Item, taken: &mut bool) -> Answer<()> {
    let there = match look(ctx, to, item).await? {
        State::Same => return Ok(()),
        State::Foreign(why) => return Err(Fault::refused(why)),
        State::Ours(there) => there,
        State::Before => {
            let copy = ObjectCopy {
                from: original(from, item),
                size: item.size,
                bucket: to.bucket.clone(),
                key: item.to.clone(),
                replaces: item.was.as_ref().map(|(etag, _)| etag.clone()),
                mark: ctx.key.to_owned(),
                part_bytes: PART_BYTES,
            };
            let sent = ctx.world.objects.copy(&aws::settings(ctx), &copy).await;
            *taken |= sent.as_ref().map_or_else(|fault| fault.landed == Landed::Maybe, |()| true);
            sent?;
            match look(ctx, to, item).await? {
                State::Ours(there) => there,
                _ => return Err(Fault::lost(format!("{} was copied, and is not what is there now", url(to, &item.to)))),
            }
        }
    };
    match same(ctx, from, to, item, &there).await? {
        true => Ok(()),
        false => Err(Fault::lost(format!("{} was copied, and holds other bytes than {}", url(to, &item.to), url(from, &item.key)))),
    }
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (work, _, to) = work(before)?;
    let mut ours = Vec::new();
    // Nothing is removed where one of them is somebody's.
    for item in &work.items {
        match look(ctx, &to, item).await? {
            State::Before | State::Same => {}
            State::Foreign(why) => return Ok(Probe::Other(why)),
            State::Ours(there) if item.was.is_some() && there.version.is_none() => {
                let key = url(&to, &item.to);
                return Ok(Probe::CannotTell(format!("what {key} was before is gone: the bucket keeps no versions")));
            }
            State::Ours(there) => ours.push(reference(&to, item, &there)),
        }
    }
    for object in ours.iter().rev() {
        ctx.world.objects.remove(&aws::settings(ctx), object).await?;
    }
    for item in &work.items {
        if let State::Ours(_) | State::Foreign(_) = look(ctx, &to, item).await? {
            return Ok(Probe::CannotTell(format!("{} was removed, and is still there", url(&to, &item.to))));
        }
    }
    Ok(Probe::NotThere)
}
