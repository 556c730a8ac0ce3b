//! What `postgres.restore` with `until` does on its machine, as scripts: a base backup is recovered beside the data
//! directory by a server that nobody else can reach, and the two swap their places. A person types the same.

use serde_json::Value;

use super::postgres::{psql, statements};
use super::postgres_cluster::{HALT, LAUNCH, between, typed};
use super::postgres_pitr_base as base;
use super::{Call, Manual, backups, given, shell, sqlite, template};

/// Free room beside the data directory, and what the backup takes, in KiB.
pub const ROOM: &str = r#"room() {
  need=$(du -sk -- "$BASE" | cut -f 1)
  free=$(df -Pk -- "$(dirname -- "$DATA")" | awk 'NR == 2 { print $4 }')
}
room
"#;

/// Recovers `$BASE` in `$COPY` until `$UNTIL` or, if that is `latest`, to the end of the log; by the log in `$LOG` and, where its
/// end is not there yet, in the data directory itself. Stops it cleanly and notes what it is. Where that fails nothing is
/// left. Files in `$LOG` beyond the end stand behind a gap.
///
/// The server's `restore_command` goes through a shell: links stand for the directories, so that it holds no path.
/// A server of version 13 or newer ends fatally where the log ends before the time.
pub const RECOVER: &str = r#"
if [ "$UNTIL" = latest ]; then
  if runs "$DATA"; then echo "the server of $DATA runs, and what it commits from now on would be lost: stop it first" >&2; exit 4; fi
  set --
else
  set -- -c recovery_target_time="$(date -u -d "$UNTIL" '+%F %T.%6N+00')"
fi
[ "$free" -gt "$((need + need / 20 + 65536))" ] || { echo "the backup takes $need KiB, and beside $DATA only $free KiB are free" >&2; exit 5; }
umask 077
of "$BASE"
halt() { pg_ctl stop -s -D "$COPY" -m immediate >/dev/null 2>&1 || true; }
if [ -e "$COPY" ]; then halt; rm -rf -- "$COPY"; fi
sockets=$(mktemp -d)
trap 'code=$?; if [ "$code" != 0 ]; then halt; rm -rf -- "$COPY"; fi; rm -rf -- "$sockets"' EXIT
trap 'exit 143' HUP INT TERM
cp -a -- "$BASE" "$COPY"
chmod 700 -- "$COPY"
rm -f -- "$COPY/standby.signal" "$COPY/drplan_restored" "$COPY/postmaster.pid"
if [ -d "$DATA" ]; then
  for file in "$DATA"/*.conf; do if [ -f "$file" ]; then cp -a -- "$file" "$COPY/"; fi; done
  ln -s -- "$DATA/pg_wal" "$COPY/drplan_wal"
fi
ln -s -- "$LOG" "$COPY/drplan_log"
if [ -e "$COPY/postgresql.auto.conf" ]; then mv -- "$COPY/postgresql.auto.conf" "$COPY/drplan_auto"; fi
: >"$COPY/recovery.signal"
: >"$COPY/drplan_conf"
echo 'local all all trust' >"$COPY/drplan_hba"
control() { pg_controldata -D "$1" | sed -n "s/^$2: *//p"; }
if [ -z "$TIMELINE" ] && [ -d "$DATA" ]; then TIMELINE=$(control "$DATA" "Latest checkpoint's TimeLineID"); fi
postgres -D "$COPY" -c config_file="$COPY/drplan_conf" -c hba_file="$COPY/drplan_hba" \
  -c listen_addresses= -c port=5432 -c unix_socket_directories="$sockets" \
  -c hot_standby=off -c archive_mode=off -c autovacuum=off -c lc_messages=C \
  -c max_prepared_transactions="$(control "$COPY" 'max_prepared_xacts setting')" \
  -c wal_level="$(control "$COPY" 'wal_level setting')" \
  -c track_commit_timestamp="$(control "$COPY" 'track_commit_timestamp setting')" \
  -c restore_command='cp drplan_log/%f %p 2>/dev/null || cp drplan_wal/%f %p 2>/dev/null' \
  -c recovery_target_timeline="${TIMELINE:-latest}" -c recovery_target_action=promote "$@" >"$COPY/drplan_said" 2>&1 </dev/null &
server=$!
until pg_isready -q -h "$sockets" -p 5432; do
  kill -0 "$server" 2>/dev/null || { grep -E 'FATAL|PANIC|ERROR|last completed transaction' "$COPY/drplan_said" | tail -n 5 >&2; exit 3; }
  sleep 0.1
done
psql -XqAtw -v ON_ERROR_STOP=1 -h "$sockets" -p 5432 -v mark="$MARK" -v base="$BASE" -v until="$UNTIL" >"$COPY/drplan_part" <<'SQL'
select json_build_object('mark', :'mark', 'base', :'base', 'until', :'until', 'recovering', pg_is_in_recovery(),
  'last', to_char(pg_last_xact_replay_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  'timeline', ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint,
  'system', (select system_identifier::text from pg_control_system()),
  'next', pg_snapshot_xmax(pg_current_snapshot())::text);
SQL
pg_ctl stop -s -w -t 3600 -D "$COPY" -m fast
wait "$server"
# It made its history where nothing is archived: without it a later recovery would not find the new timeline.
history=$(printf '%08X.history' "$(control "$COPY" "Latest checkpoint's TimeLineID")")
if [ "$UNTIL" = latest ]; then
  set -- $(tail -n 1 "$COPY/pg_wal/$history")
  timeline=$(printf %08X "$1")
  end=$(printf '%s%08X%08X' "$timeline" "0x${2%/*}" "$((0x${2#*/} / $(control "$COPY" 'Bytes per WAL segment')))")
  beyond=$(ls -- "$LOG" | grep -E "^$timeline[0-9A-F]{16}$" | LC_ALL=C awk -v end="$end" '$0 "" > end "" { print; exit }')
  if [ -n "$beyond" ]; then echo "the log ends in $end, and $LOG holds $beyond: what stands between is missing or broken" >&2; exit 3; fi
fi
: >"$COPY/pg_wal/archive_status/$history.ready"
rm -f -- "$COPY/drplan_conf" "$COPY/drplan_hba" "$COPY/drplan_log" "$COPY/drplan_wal" "$COPY/drplan_said"
if [ -e "$COPY/drplan_auto" ]; then mv -- "$COPY/drplan_auto" "$COPY/postgresql.auto.conf"; fi
mv -- "$COPY/drplan_part" "$COPY/drplan_restored"
sync -f -- "$COPY"
cat -- "$COPY/drplan_restored"
"#;

/// Puts `$COPY` in the place of `$DATA`, which is kept as `$KEPT`; goes on where it was cut off.
pub const SWAP: &str = r#"
mine() { grep -q "\"mark\" : \"$MARK\"" "$1/drplan_restored" 2>/dev/null; }
mine "$COPY" || { echo "$COPY is not what was recovered" >&2; exit 4; }
if [ -e "$DATA" ]; then
  if runs "$DATA"; then echo "the server of $DATA runs again" >&2; exit 4; fi
  if [ -e "$KEPT" ]; then echo "$KEPT is there already" >&2; exit 4; fi
  mv -T -- "$DATA" "$KEPT"
fi
mv -T -- "$COPY" "$DATA"
sync -- "$(dirname -- "$DATA")"
"#;

/// Puts `$KEPT` back to `$DATA`, and removes what was restored, if that is it and no transaction has written to it; goes on
/// where it was cut off.
pub const BACK: &str = r#"
mine() { grep -q "\"mark\" : \"$MARK\"" "$1/drplan_restored" 2>/dev/null; }
if [ -e "$DATA" ] && [ ! -e "$COPY" ]; then
  mine "$DATA" || { echo "$DATA is not what was restored" >&2; exit 4; }
  if runs "$DATA"; then echo "the server of $DATA runs again" >&2; exit 4; fi
  of "$DATA"
  left=$(sed -n 's/.*"next" : "\([0-9]*\)".*/\1/p' "$DATA/drplan_restored")
  now=$(pg_controldata -D "$DATA" | sed -n "s/^Latest checkpoint's NextXID: *//p")
  if [ "$((${now%:*} * 4294967296 + ${now#*:}))" != "$left" ]; then echo "$DATA was written to since it was restored" >&2; exit 4; fi
  mv -T -- "$DATA" "$COPY"
fi
if [ -e "$KEPT" ]; then mv -T -- "$KEPT" "$DATA"; fi
sync -- "$(dirname -- "$DATA")"
if mine "$COPY"; then rm -rf -- "$COPY"; fi
"#;

/// Removes what stands beside, and whoever runs it.
pub const DROP: &str = r#"
if [ -e "$COPY" ]; then
  of "$COPY"
  pg_ctl stop -s -D "$COPY" -m immediate >/dev/null 2>&1 || true
  rm -rf -- "$COPY"
fi
"#;

/// The newest base backup in directories that ended before `$UNTIL` and is whole, as `$BASE`.
const CHOOSE: &str = r#"if [ "$UNTIL" = latest ]; then by=now; else by=$UNTIL; fi
BASE=$(find "$@" -maxdepth 2 -name backup_manifest ! -newermt "$by" -printf '%T@ %h\n' | sort -rn | cut -d ' ' -f 2- |
while IFS= read -r backup; do
  of "$backup"
  if pg_verifybackup -n -q -- "$backup" >&2; then printf '%s\n' "$backup"; break; fi
done)
[ -n "$BASE" ] || { echo "no whole base backup ended before $by" >&2; exit 3; }
"#;

const LOOK: &str = "\
SELECT pg_is_in_recovery() AS in_recovery, (SELECT count(*) FROM pg_database) AS databases,\n  \
('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint AS timeline;";

/// The names of the step's directories as words of sh.
fn names(call: &Call<'_>) -> Vec<(&'static str, String)> {
    let data = sqlite::file_word(&Value::String(template::plain(&call.shown("data")).trim_end_matches('/').to_owned()));
    let step = shell::literal(call.step);
    let mut out = vec![("COPY", format!("\"$DATA\".drplan-{step}")), ("KEPT", format!("\"$DATA\".drplan-{step}-kept"))];
    out.insert(0, ("DATA", data));
    out.push(("MARK", step));
    out
}

/// What a person types instead.
pub fn commands(call: &Call<'_>) -> Vec<Manual> {
    let wanted = given::text(call.with, "backup").unwrap_or_default();
    let latest = wanted.is_empty() || wanted == "latest";
    let dirs = backups::directories_of(call.target.and_then(|t| t.source.as_ref()).map(base::base_of));
    let dir = |path: &str| sqlite::file_word(&Value::String(path.trim_end_matches('/').to_owned()));
    let mut values = names(call);
    let log = base::log_dir(call.with, call.target).unwrap_or_else(|| "(log is not given)".to_owned());
    values.extend([("LOG", format!("$(realpath -m -- {})", dir(&log))), ("UNTIL", shell::word(&call.shown("until")))]);
    values.extend([("TIMELINE", "''".to_owned()), ("PGDATABASE", shell::word(&call.shown("database")))]);
    values.extend(call.field("user").map(|user| ("PGUSER", shell::word(user))));
    let args = match latest {
        true => format!(" -s -- {}", dirs.iter().map(|d| dir(d)).collect::<Vec<_>>().join(" ")),
        false => {
            let bare = !wanted.contains('/') && !template::marked(&wanted);
            let path = dirs.first().filter(|_| bare).map_or(wanted.clone(), |d| format!("{}/{wanted}", d.trim_end_matches('/')));
            values.push(("BASE", format!("$(realpath -m -- {})", dir(&path))));
            String::new()
        }
    };
    let choose = if latest { CHOOSE } else { "of \"$BASE\"\npg_verifybackup -n -q -- \"$BASE\"\n" };
    let recover = typed(call, &values, &args, "", &format!("{choose}{ROOM}{RECOVER}"));
    vec![
        Manual {
            what: "Recover the newest whole base backup beside the data directory".to_owned(),
            script: recover,
            changes: true,
            expect: "one line: `last` is the last commit that is in it, not later than the time, if one is given; `recovering` is false"
                .to_owned(),
        },
        Manual {
            what: "Stop the server, put the recovered directory in its place, start it".to_owned(),
            script: between(call, &names(call), HALT, SWAP, "", LAUNCH),
            changes: true,
            expect: "no error".to_owned(),
        },
        Manual {
            what: "See that it takes writes".to_owned(),
            script: waiting(call, LOOK),
            changes: false,
            expect: "`in_recovery` is `f`, and `timeline` is a new one".to_owned(),
        },
    ]
}

/// A look, once the server answers.
fn waiting(call: &Call<'_>, sql: &str) -> String {
    let psql = psql(call, "maintenance", "");
    let n = "n=0; ";
    format!("{n}until {psql} -qc '' 2>/dev/null; do n=$((n+1)); [ $n -lt 60 ] || break; sleep 1; done\n{}", statements(&psql, &[], sql))
}

/// What a person types to take it back.
pub fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    vec![Manual {
        what: "Only if nothing was written to it since: stop it, and put the directory back that stood there".to_owned(),
        script: between(call, &names(call), HALT, BACK, "[ ! -e \"$DATA\" ] || ", LAUNCH),
        changes: true,
        expect: "no error".to_owned(),
    }]
}
