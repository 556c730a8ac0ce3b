//! A run's first event: what it is bound to, for ever.

use jiff::Timestamp;

use crate::analysis::Checked;
use crate::journal::Event;

/// What a run is begun with, besides its plan. What nobody knows stays empty.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The plan's directory, absolute.
    pub dir: String,
    /// Who begins it.
    pub operator: String,
    /// On which machine.
    pub host: String,
    /// The plan's commit, if it lies in a repository.
    pub commit: Option<String>,
    /// When the incident began.
    pub incident_start: Timestamp,
    /// Nobody said so: computed from `detect` and `decide`.
    pub incident_assumed: bool,
    /// Of the program.
    pub version: String,
}

impl Start {
    /// The event that binds a run to a plan.
    pub fn of(self, checked: &Checked) -> Event {
        let plan = checked.compiled();
        Event::RunStarted {
            plan: plan.plan.name.clone(),
            scenario: plan.scenario.id.clone(),
            mode: plan.mode.to_string(),
            digest: checked.digest().to_owned(),
            compiled: checked.to_json(),
            dir: self.dir,
            operator: self.operator,
            host: self.host,
            commit: self.commit,
            incident_start: self.incident_start,
            incident_assumed: self.incident_assumed,
            version: self.version,
        }
    }
}
