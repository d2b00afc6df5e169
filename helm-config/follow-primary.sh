#!/bin/sh
# Before a replicated database starts: who is the primary? Runs in an init container of the Valkey chart, after the chart's own.
#
# The chart makes pod 0 the primary at every start. After a failover that would be wrong: pod 0 would come back as a second primary,
# and the one that Sentinel chose would, once restarted, copy pod 0 over itself. So the Sentinels are asked, and two of three must
# agree. Only a pod with an empty volume, in a namespace that has no Sentinels yet, takes the chart's word.
set -eu

config=${VALKEY_CONFIG:-/data/conf/valkey.conf}
database=${POD_NAME%-*}
headless="$database-headless.$NAMESPACE.svc.${CLUSTER_DOMAIN:-cluster.local}"
self=${VALKEY_ANNOUNCE:-$POD_NAME.$headless}
patience_s=${PATIENCE_SECONDS:-60}

say() { printf 'follow-primary.sh: %s\n' "$*" >&2; }

# What two of the three Sentinels say, as "host port"; nothing where they do not.
agreed() {
    for sentinel in ${SENTINELS:-sentinel-0.sentinel:26379 sentinel-1.sentinel:26379 sentinel-2.sentinel:26379}; do
        timeout 3 valkey-cli -h "${sentinel%:*}" -p "${sentinel#*:}" --raw sentinel get-master-addr-by-name "${database%-db}" 2>/dev/null |
            tr '\n' ' ' || true
        echo
    done | grep -E '^[A-Za-z0-9.-]+ [0-9]+ $' | sort | uniq -c | awk '$1 >= 2 { print $2, $3; exit }'
}

# Settings that the chart gives to replicas alone, while here any pod may become one; the last of a setting counts.
settings() {
    printf '\nreplica-announce-ip %s\n' "$self"
    printf 'masteruser default\nmasterauth "%s"\n' "$VALKEY_PASSWORD"
}

# The configuration with what this script knows in place of the chart's `replicaof`. That line must go, also where a primary starts: with
# `replicaof no one` below it Valkey forgets the host, still takes itself for a replica, connects to itself and drops its data.
# write_config [HOST PORT]
write_config() {
    {
        grep -viE '^[[:space:]]*(replicaof|slaveof)[[:space:]]' "$config" || true
        settings
        if [ $# -gt 0 ]; then printf 'replicaof %s\n' "$*"; fi
    } >"$config.new"
    mv "$config.new" "$config"
}

begin=$(date +%s)
until primary=$(agreed) && [ -n "$primary" ]; do
    if [ ! -d "$(dirname "$config")/../appendonlydir" ] && ! getent hosts sentinel >/dev/null; then
        say "an empty volume, and no Sentinels in this namespace: the chart's choice stands"
        settings >>"$config"
        exit 0
    fi
    if [ $(($(date +%s) - begin)) -ge "$patience_s" ]; then
        say "no two Sentinels agree on a primary of ${database%-db}, so this pod must not start as one: apply k8s/overlays/cluster"
        exit 1
    fi
    sleep 1
done

if [ "${primary% *}" = "$self" ] && [ "${primary#* }" = "${VALKEY_PORT:-6379}" ]; then
    say "this pod is the primary"
    write_config
else
    say "the primary is $primary"
    write_config "${primary% *}" "${primary#* }"
fi
