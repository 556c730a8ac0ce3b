#!/bin/sh
# Makes the quickstart's order system in DIR, as it stands on a bad morning: its database is damaged, its newest backup
# too, and a writer goes on as if nothing had happened. Needs sh and coreutils; no server, no network, no sqlite3.
#
#   make.sh DIR      makes it, or makes it anew
#
#   DIR/data/orders.db      the live database: pages in its middle are overwritten
#   DIR/backups/            orders-TIME.db (UTC): 26 hours old with 400 orders, 2 hours old with 480, both good;
#                           35 minutes old, cut off in the middle
#   DIR/restored/           empty: where a restored database goes
#   DIR/current             link to the directory that the order system reads: `data`
#   DIR/bin/                start-writer, stop-writer, writer-gone, switch, switched, smoke
#   DIR/run/                writer.pid, heartbeat, orders.log (what the writer took since)
#
# The writer ends by itself after ten minutes, or when DIR is removed.
set -eu
[ $# = 1 ] || { echo "usage: make.sh DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
if [ -e "$1/.quickstart" ]; then
    "$1/bin/stop-writer" >/dev/null
    tries=0
    until "$1/bin/writer-gone" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "make.sh: the writer in $1 does not stop" >&2; exit 1; }
        sleep 0.1
    done
    rm -rf "$1"
elif [ -e "$1" ] && [ -n "$(ls -A "$1")" ]; then
    echo "make.sh: $1 is there already, and is not the quickstart's" >&2
    exit 1
fi
mkdir -p "$1"
cd "$1"
touch .quickstart
mkdir data backups restored run
cp -R "$here/bin" bin
chmod +x bin/*
ln -s data current

# Pages 10 to 13 of the live database, 1024 bytes each, are lost to somebody's mistake.
cp "$here/seed/live.db" data/orders.db
head -c 4096 /dev/zero | tr '\0' '#' | dd of=data/orders.db bs=1024 seek=9 conv=notrunc 2>/dev/null

now=$(date +%s)
backup() { # backup MINUTES-OLD FILE
    at=$((now - $1 * 60))
    name=backups/orders-$(date -u -d "@$at" +%Y%m%dT%H%M%SZ).db
    cat "$2" >"$name"
    touch -d "@$at" "$name"
}
backup 1560 "$here/seed/older.db"
backup 120 "$here/seed/newer.db"
head -c 9000 "$here/seed/live.db" >run/cut
backup 35 run/cut
rm run/cut
bin/start-writer >/dev/null
echo "made $(pwd): a damaged database, three backups of which two are good, and a writer (pid $(cat run/writer.pid))"
