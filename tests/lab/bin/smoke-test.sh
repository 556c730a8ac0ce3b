#!/bin/sh
# Is the platform served from this region? Follows the DNS record as a client does, and asks the app. Reads only.
#   smoke-test.sh --region REGION [--direct]      --direct: without DNS, straight at the region's load balancer
set -eu
region= direct=
while [ $# -gt 0 ]; do
    case $1 in
    --region) region=$2; shift 2 ;;
    --direct) direct=1; shift ;;
    *) echo "smoke-test: unknown argument $1" >&2; exit 2 ;;
    esac
done
case $region in
"$LAB_REGION_EAST") url=$LAB_APP_EAST_URL ;;
"$LAB_REGION_WEST") url=$LAB_APP_WEST_URL ;;
*) echo "smoke-test: --region $LAB_REGION_EAST or $LAB_REGION_WEST" >&2; exit 2 ;;
esac
if [ -z "$direct" ]; then
    address=$("$(dirname "$0")/resolve" -a)
    [ "http://$address" = "$url" ] || { echo "FAIL dns: $LAB_RECORD goes to $address, not to $region" >&2; exit 1; }
    echo "ok   dns: $LAB_RECORD goes to $region"
fi
health=$(curl -sf -m 5 "$url/healthz") || { echo "FAIL healthz: $(curl -s -m 5 "$url/healthz" || echo no answer)" >&2; exit 1; }
case $health in
*'"region": "'"$region"'"'*'"writable": true'*) echo "ok   healthz: the database of $region takes writes" ;;
*) echo "FAIL healthz: $health" >&2; exit 1 ;;
esac
orders=$(curl -sf -m 5 "$url/" | sed -n 's/.*"orders": \([0-9]*\).*/\1/p')
[ "${orders:-0}" -gt 0 ] || { echo "FAIL orders: none" >&2; exit 1; }
echo "ok   orders: $orders"
