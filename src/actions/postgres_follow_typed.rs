//! What `postgres.follow` does on the machine of the server that is to follow, as scripts: it is wound back, or copied
//! anew, and told whom to follow. A person types the same.

use serde_json::{Value, json};

use super::postgres::{psql, statements};
use super::postgres_cluster::{HALT, LAUNCH, between};
use super::{Call, Manual, given, shell, sqlite, template, words};

/// Winds `$DATA` back to where it left the history of the server that `PGHOST` names, or puts a new copy of that in its place
/// (`$KEPT` is then what stood there), and lets it follow by `$SLOT`. Goes on where it was cut off: what is done is
/// noted in `$ASIDE`, where the settings of the place are kept meanwhile. Neither is the server started that was wound
/// back and not told whom to follow, nor is one recovered that was half wound back: it would go on by itself.
pub const REWIND: &str = r#"
umask 077
control() { pg_controldata -D "$DATA" | sed -n "s/^$1: *//p"; }
if [ ! -e "$ASIDE" ]; then
  rm -rf -- "$ASIDE-part" && mkdir -- "$ASIDE-part"
  for file in "$DATA"/*.conf; do if [ -f "$file" ]; then cp -a -- "$file" "$ASIDE-part/"; fi; done
  if [ -d "$DATA" ]; then : >"$ASIDE-part/drplan_old"; fi
  mv -T -- "$ASIDE-part" "$ASIDE"
fi
wind() {
  if [ "$ANEW" = always ] || [ ! -e "$DATA/PG_VERSION" ]; then return 1; fi
  of "$DATA"
  if [ ! -e "$DATA/postgresql.conf" ]; then : >"$DATA/postgresql.conf"; fi
  state=$(control 'Database cluster state')
  if [ ! -e "$DATA/backup_label" ] && [ ! -e "$DATA/standby.signal" ]; then
    case $state in 'in production' | 'in crash recovery' | 'shutting down')
      postgres --single -F -D "$DATA" -c lc_messages=C template1 </dev/null >"$ASIDE/drplan_said" 2>&1 || return 1 ;;
    esac
  fi
  control 'Latest checkpoint location' >"$ASIDE/drplan_end"
  pg_rewind --no-ensure-shutdown -D "$DATA" --source-server=application_name=drplan >"$ASIDE/drplan_said" 2>&1 || return 1
  if grep -q 'no rewind required' "$ASIDE/drplan_said"; then echo false; else echo true; fi >"$ASIDE/drplan_rewound"
}
if [ ! -e "$ASIDE/drplan_rewound" ] && [ ! -e "$ASIDE/drplan_copied" ] && ! wind; then
  if [ "$ANEW" = never ]; then tail -n 3 "$ASIDE/drplan_said" >&2; exit 6; fi
  if [ -e "$DATA/PG_VERSION" ]; then of "$DATA"; fi
  rm -rf -- "$COPY"
  (
    export PGUSER="$LOGIN"
    if [ -n "${LOGIN_PASSWORD:-}" ]; then export PGPASSWORD="$LOGIN_PASSWORD"; else unset PGPASSWORD; fi
    pg_basebackup -w -D "$COPY" -X stream -c fast -S "$SLOT"
  )
  : >"$ASIDE/drplan_copied"
fi
if [ -e "$ASIDE/drplan_copied" ] && [ -e "$COPY" ]; then
  if [ -e "$DATA" ]; then mv -T -- "$DATA" "$KEPT"; fi
  mv -T -- "$COPY" "$DATA"
fi
# Its settings, and not those of the other server.
for file in "$ASIDE"/*.conf; do if [ -f "$file" ]; then cp -a -- "$file" "$DATA/"; fi; done
if [ -e "$ASIDE/drplan_old" ] && [ ! -e "$ASIDE/postgresql.conf" ]; then rm -f -- "$DATA/postgresql.conf"; fi
inner() { printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g"; }
conninfo="host='$(inner "$PGHOST")' port='$(inner "$PGPORT")' user='$(inner "$LOGIN")' application_name='$SLOT'"
for pair in sslmode="${PGSSLMODE:-}" sslrootcert="${PGSSLROOTCERT:-}"; do
  if [ -n "${pair#*=}" ]; then conninfo="$conninfo ${pair%%=*}='$(inner "${pair#*=}")'"; fi
done
rm -f -- "$DATA/drplan_passfile"
if [ -n "${LOGIN_PASSWORD:-}" ]; then
  part() { printf '%s' "$1" | sed 's/[:\\]/\\&/g'; }
  printf '%s:%s:*:%s:%s\n' "$(part "$PGHOST")" "$(part "$PGPORT")" "$(part "$LOGIN")" "$(part "$LOGIN_PASSWORD")" >"$DATA/drplan_passfile"
  conninfo="$conninfo passfile='$(inner "$DATA/drplan_passfile")'"
fi
auto=$DATA/postgresql.auto.conf
{
  if [ -e "$auto" ]; then grep -vE '^(primary_conninfo|primary_slot_name|recovery_target)' "$auto" || true; fi
  printf "primary_conninfo = '%s'\nprimary_slot_name = '%s'\n" "$(printf '%s' "$conninfo" | sed "s/\\\\/&&/g; s/'/''/g")" "$SLOT"
} >"$auto.drplan"
mv -f -- "$auto.drplan" "$auto"
rm -f -- "$DATA/recovery.signal" "$DATA/drplan_server.log"
: >"$DATA/standby.signal"
said() { cat "$ASIDE/drplan_$1" 2>/dev/null || printf '%s' "$2"; }
copied=false; if [ -e "$ASIDE/drplan_copied" ]; then copied=true; fi
printf '{"mark":"%s","rewound":%s,"copied":%s,"end":"%s","of":"%s"}\n' "$MARK" "$(said rewound false)" "$copied" "$(said end '')" "${OF:-}" >"$DATA/drplan_follows"
sync -f -- "$DATA"
rm -rf -- "$ASIDE"
"#;

const SLOT: &str = "\
CHECKPOINT;
SELECT pg_create_physical_replication_slot(:'slot', true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = :'slot');";

const STREAMS: &str = "\
SELECT r.application_name, r.state, r.sent_lsn, r.replay_lsn FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
WHERE s.slot_name = :'slot';";

/// The server that is to be followed, in the place of the step's own.
fn other(call: &Call<'_>) -> (serde_json::Map<String, Value>, Option<super::Target>) {
    let mut target = call.target.cloned();
    let of = given::record(call.with, "of").cloned().unwrap_or_default();
    if let Some(target) = &mut target {
        target.connect.insert("host".to_owned(), of.get("host").cloned().unwrap_or(json!("")));
        target.connect.insert("port".to_owned(), of.get("port").cloned().unwrap_or(json!(5432)));
    }
    (call.with.iter().filter(|(key, _)| *key != "of").map(|(k, v)| (k.clone(), v.clone())).collect(), target)
}

/// What a person types instead.
pub fn commands(call: &Call<'_>) -> Vec<Manual> {
    let (with, target) = other(call);
    let there = Call { step: call.step, with: &with, target: target.as_ref() };
    let slot = [("slot", call.shown("slot"))];
    let login = given::record(call.with, "login");
    let data = sqlite::file_word(&Value::String(template::plain(&call.shown("data")).trim_end_matches('/').to_owned()));
    let step = shell::literal(call.step);
    let mut values = vec![("DATA", data)];
    values.extend(
        ["copy", "kept", "aside"].iter().zip(["COPY", "KEPT", "ASIDE"]).map(|(end, name)| (name, format!("\"$DATA\".drplan-{step}-{end}"))),
    );
    values.extend([("MARK", step), ("SLOT", shell::word(&call.shown("slot")))]);
    values.push(("ANEW", shell::word(call.with.get("anew").unwrap_or(&json!("auto")))));
    let own = |key: &str| login.and_then(|l| l.get(key)).or_else(|| call.field(key)).map(shell::word);
    values.push(("LOGIN", own("user").unwrap_or_else(|| "postgres".to_owned())));
    values.extend(own("password").map(|word| ("LOGIN_PASSWORD", word)));
    // Each `NAME=value ` that `environment` gives, on a line of its own.
    let environment = super::postgres::environment(&there, "maintenance");
    let script = between(call, &values, HALT, REWIND, "", LAUNCH);
    vec![
        Manual {
            what: format!("Let {} write all down, and keep its log for the one that is to follow", words::value(&there.shown("host"))),
            script: statements(&psql(&there, "maintenance", ""), &slot, SLOT),
            changes: true,
            expect: "`CHECKPOINT`, and no error".to_owned(),
        },
        Manual {
            what: "Stop the old server, wind it back or copy it anew, tell it whom to follow, start it".to_owned(),
            script: format!("export {}\n{script}", environment.trim_end()),
            changes: true,
            expect: "no error".to_owned(),
        },
        Manual {
            what: "See that it streams".to_owned(),
            script: format!(
                "n=0; until {} | grep -q streaming; do n=$((n+1)); [ $n -lt 60 ] || break; sleep 1; done\n{}",
                inline(&there, &slot),
                statements(&psql(&there, "maintenance", ""), &slot, STREAMS)
            ),
            changes: false,
            expect: "one row; `state` is `streaming`".to_owned(),
        },
    ]
}

/// The look as one command, for a condition.
fn inline(there: &Call<'_>, slot: &[(&str, Value)]) -> String {
    let values: String = slot.iter().map(|(name, value)| format!(" -v {name}={}", shell::word(value))).collect();
    format!("printf '%s' {} | {}{values}", shell::literal(STREAMS), psql(there, "maintenance", " -qAt"))
}
