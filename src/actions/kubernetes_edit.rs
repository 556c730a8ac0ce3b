//! A change of single fields of one object: what they were and what they are to be. It is sent as a JSON Patch that
//! tests first that they are still as they were, so that somebody's newer change makes it fail. It does not know why.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::kubernetes::{Attempt, TRIES, get, outrun, text};
use super::{Change, Ctx, Probe, words};
use crate::world::{Answer, Fault, Landed};

/// Fields that the cluster writes by itself, as it likes.
const OWN: &[&str] = &["resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "uid"];

/// Annotations of the same kind.
const OWN_NOTES: &[&str] = &["deployment.kubernetes.io/revision"];

/// One field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Leaf {
    /// JSON Pointer.
    pub path: String,
    /// As it was; none: it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// As it is to be; none: not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// All of them, of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Edit {
    /// `deployment/NAME`.
    pub object: String,
    /// Which one of this name: one that was made anew is another.
    pub uid: String,
    /// The fields; empty: it was so already.
    pub leaves: Vec<Leaf>,
}

/// How an object stands to an edit.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// As it was.
    Before,
    /// As the edit leaves it.
    After,
    /// Neither, in words.
    Foreign(String),
}

impl Edit {
    /// What turns one form of an object into the other, what the cluster writes itself left out.
    pub fn between(object: &str, old: &Value, new: &Value) -> Edit {
        let mut leaves = Vec::new();
        differ(&mut String::new(), &plain(old), &plain(new), &mut leaves);
        Edit { object: object.to_owned(), uid: text(old, "/metadata/uid").to_owned(), leaves }
    }

    /// The edit that a state before holds.
    pub fn of(before: &Value) -> Answer<Edit> {
        Edit::deserialize(before).map_err(|_| Fault::refused("the state before does not hold what was read"))
    }

    /// The way back.
    pub fn back(&self) -> Edit {
        let back = |leaf: &Leaf| Leaf { path: leaf.path.clone(), old: leaf.new.clone(), new: leaf.old.clone() };
        Edit { leaves: self.leaves.iter().map(back).collect(), ..self.clone() }
    }

    /// Where the object stands.
    pub fn state(&self, now: Option<&Value>) -> State {
        let name = words::code(&self.object);
        let Some(now) = now else { return State::Foreign(format!("{name} is not there any more")) };
        if text(now, "/metadata/uid") != self.uid {
            return State::Foreign(format!("{name} was removed and made anew by somebody"));
        }
        let all = |side: fn(&Leaf) -> Option<&Value>| self.leaves.iter().all(|leaf| now.pointer(&leaf.path) == side(leaf));
        if all(|leaf| leaf.new.as_ref()) {
            return State::After;
        }
        if all(|leaf| leaf.old.as_ref()) {
            return State::Before;
        }
        let foreign = |leaf: &&Leaf| now.pointer(&leaf.path) != leaf.new.as_ref();
        let found = self.leaves.iter().filter(foreign).take(3).map(|leaf| {
            let [now, old, new] = [now.pointer(&leaf.path), leaf.old.as_ref(), leaf.new.as_ref()].map(|v| words::code(&short(v)));
            format!("{} is {now}, which was {old} before this step and is {new} after it", words::code(&leaf.path))
        });
        State::Foreign(format!("of {name} {}", found.collect::<Vec<_>>().join("; ")))
    }

    /// The object as it is, and where it stands.
    pub async fn look(&self, ctx: &Ctx<'_>) -> Answer<(Option<Value>, State)> {
        let now = get(ctx, &self.object).await?;
        let state = self.state(now.as_ref());
        Ok((now, state))
    }

    /// What would change, for a person.
    pub fn changes(&self) -> Vec<Change> {
        let line = |leaf: &Leaf| Change {
            what: format!("{} {}", self.object, leaf.path),
            old: short(leaf.old.as_ref()),
            new: short(leaf.new.as_ref()),
        };
        self.leaves.iter().map(line).collect()
    }

    /// The patch, with its tests; `version` is tested too where a field must not be there.
    fn patch(&self, version: &str) -> Value {
        let mut ops = vec![json!({ "op": "test", "path": "/metadata/uid", "value": self.uid })];
        if self.leaves.iter().any(|leaf| leaf.old.is_none()) {
            ops.push(json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version }));
        }
        for Leaf { path, old, .. } in &self.leaves {
            ops.extend(old.as_ref().map(|old| json!({ "op": "test", "path": path, "value": old })));
        }
        ops.extend(self.leaves.iter().map(|Leaf { path, old, new }| match (old, new) {
            (_, None) => json!({ "op": "remove", "path": path }),
            (None, Some(new)) => json!({ "op": "add", "path": path, "value": new }),
            (Some(_), Some(new)) => json!({ "op": "replace", "path": path, "value": new }),
        }));
        Value::Array(ops)
    }

    /// Sends it, unless it is so already, and looks that it is so then. It is sent again only after a refusal, and if the
    /// fields are still as they were.
    pub async fn send(&self, attempt: &mut Attempt<'_>) -> Answer<()> {
        self.send_by(attempt, |version| {
            let patch = format!("--patch={}", self.patch(version));
            vec!["patch".to_owned(), self.object.clone(), "--type=json".to_owned(), patch]
        })
        .await
    }

    /// The same, by other words of `kubectl` than a patch; they may hold the version that was read.
    pub async fn send_by(&self, attempt: &mut Attempt<'_>, order: impl Fn(&str) -> Vec<String> + Send + Sync) -> Answer<()> {
        let mut tries = 0;
        loop {
            let (now, state) = self.look(attempt.ctx).await?;
            let version = match state {
                State::After => return Ok(()),
                State::Foreign(why) => return Err(Fault::refused(format!("somebody changed it meanwhile: {why}"))),
                State::Before => now.as_ref().map(|now| text(now, "/metadata/resourceVersion").to_owned()).unwrap_or_default(),
            };
            if tries == TRIES {
                return Err(Fault::lost(format!("{} took the change, and is still as it was", words::code(&self.object))));
            }
            tries += 1;
            let order = order(&version);
            let order: Vec<&str> = order.iter().map(String::as_str).collect();
            match attempt.change(&order, None).await {
                Ok(_) => {}
                Err(fault) if tries < TRIES && fault.landed == Landed::No && outrun(&fault) => {}
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Looks, and takes the edit back if what is there is what it left.
    pub async fn take_back(&self, attempt: &mut Attempt<'_>) -> Answer<Probe> {
        let back = self.back();
        match back.look(attempt.ctx).await?.1 {
            // An edit of nothing stands on both sides.
            State::After => Ok(Probe::NotThere),
            State::Foreign(why) => Ok(Probe::Other(why)),
            State::Before => back.send(attempt).await.map(|()| Probe::NotThere),
        }
    }
}

/// An object without what the cluster writes by itself.
pub(super) fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !OWN.contains(&key.as_str()));
        if let Some(notes) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            notes.retain(|key, _| !OWN_NOTES.contains(&key.as_str()));
        }
    }
    object
}

fn differ(path: &mut String, old: &Value, new: &Value, out: &mut Vec<Leaf>) {
    let mut inside = |key: &str, old: Option<&Value>, new: Option<&Value>| {
        let len = path.len();
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        match (old, new) {
            (Some(old), Some(new)) => differ(path, old, new, out),
            (old, new) => out.push(Leaf { path: path.clone(), old: old.cloned(), new: new.cloned() }),
        }
        path.truncate(len);
    };
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(a), Value::Object(b)) => {
            let more = |from: &Map<String, Value>| from.keys().cloned().collect::<std::collections::BTreeSet<_>>();
            for key in more(a).union(&more(b)) {
                if a.get(key) != b.get(key) {
                    inside(key, a.get(key), b.get(key));
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b) {
                inside(&i.to_string(), Some(a), Some(b));
            }
        }
        (old, new) => out.push(Leaf { path: path.clone(), old: Some(old.clone()), new: Some(new.clone()) }),
    }
}

fn short(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "absent".to_owned(), super::template::plain);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_the_fields_that_differ_and_its_way_back_undoes_it() {
        let old = json!({ "metadata": { "uid": "u", "resourceVersion": "1", "labels": { "a/b": "1" } }, "spec": { "n": 1, "l": [1, 2], "gone": true } });
        let new = json!({ "metadata": { "uid": "u", "resourceVersion": "9", "labels": { "a/b": "2" } }, "spec": { "n": 1, "l": [1, 3], "more": {} } });
        let edit = Edit::between("x/y", &old, &new);
        let paths: Vec<&str> = edit.leaves.iter().map(|l| l.path.as_str()).collect();
        assert_eq!(paths, ["/metadata/labels/a~1b", "/spec/gone", "/spec/l/1", "/spec/more"]);
        assert_eq!((edit.state(Some(&old)), edit.state(Some(&new))), (State::Before, State::After));
        assert_eq!((edit.back().state(Some(&new)), edit.back().back()), (State::Before, edit.clone()));
        let mut foreign = new.clone();
        foreign["spec"]["l"] = json!([1, 4]);
        assert!(matches!(edit.state(Some(&foreign)), State::Foreign(why) if why.contains("`/spec/l/1` is `4`")));
        foreign["metadata"]["uid"] = json!("v");
        assert!(matches!(edit.state(Some(&foreign)), State::Foreign(why) if why.contains("made anew")));
        assert_eq!(Edit::of(&serde_json::to_value(&edit).unwrap()).unwrap(), edit);
    }
}
