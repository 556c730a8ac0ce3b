//! What the actions on S3 share: where the objects lie that a step means, and which of them. It does not know what is done with
//! them.

use jiff::Timestamp;

use super::{Call, Ctx, given, template, units, words};
use crate::world::{Answer, Fault, Object};

/// So many objects are acted on at most: each is named in the journal.
pub const OBJECTS_MAX: usize = 10_000;

/// A bucket, and how its keys begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: String,
    /// How the keys begin; may be empty.
    pub prefix: String,
}

impl Place {
    /// Of `s3://BUCKET/PREFIX`.
    pub fn of(url: &str) -> Answer<Place> {
        let (bucket, prefix) = url.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))).unwrap_or_default();
        match bucket.is_empty() {
            true => Err(Fault::refused(format!("{} is no place of the form `s3://BUCKET/PREFIX`", words::code(url)))),
            false => Ok(Place { bucket: bucket.to_owned(), prefix: prefix.to_owned() }),
        }
    }

    /// As `s3://BUCKET/PREFIX`.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Bucket and prefix of a step: its fields, else those of its asset.
pub fn place(ctx: &Ctx<'_>) -> Answer<Place> {
    let of = |name: &str| given::text(ctx.with, name).or_else(|| ctx.target.and_then(|t| given::text(&t.connect, name)));
    let bucket = of("bucket").filter(|b| !b.is_empty()).ok_or_else(|| Fault::refused("`bucket` is not given"))?;
    Ok(Place { bucket, prefix: of("prefix").unwrap_or_default() })
}

/// The same for documents, `${…}` still in it.
pub fn shown(call: &Call<'_>) -> String {
    let prefix = call.field("prefix").map(template::plain).unwrap_or_default();
    format!("s3://{}/{prefix}", template::plain(&call.shown("bucket")))
}

/// The objects at a place that `before` and `matches` of the step let through, the newest last; of two of the same moment the
/// one with the greater key, since names that hold a time grow.
pub async fn listed(ctx: &Ctx<'_>, place: &Place) -> Answer<Vec<Object>> {
    let before = given::text(ctx.with, "before").map(|t| units::time(&t)).transpose();
    let before = before.map_err(|p| Fault::refused(format!("`before`: {}", p.what)))?;
    let matches = given::text(ctx.with, "matches").map(|re| regex::Regex::new(&re)).transpose();
    let matches = matches.map_err(|_| Fault::refused("`matches` is not a regular expression"))?;
    let mut objects = ctx.world.objects.list(&super::aws::settings(ctx), &place.bucket, &place.prefix).await?;
    let fits = |key: &str, at: Timestamp| before.is_none_or(|t| at <= t) && matches.as_ref().is_none_or(|re| re.is_match(key));
    objects.retain(|o| fits(&o.key, o.modified));
    objects.sort_by(|a, b| (a.modified, &a.key).cmp(&(b.modified, &b.key)));
    Ok(objects)
}

/// All of them, if there are not too many to be named one by one.
pub fn few(objects: Vec<Object>, place: &Place) -> Answer<Vec<Object>> {
    let url = words::code(&place.url());
    match objects.len() {
        0 => Err(Fault::refused(format!("there is no object under {url}"))),
        n if n > OBJECTS_MAX => Err(Fault::refused(format!("{n} objects under {url} are too many for one step: give longer prefixes"))),
        _ => Ok(objects),
    }
}
