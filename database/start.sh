#!/bin/sh
# Starts a database. Its settings are in /data/valkey.conf, made at the first start: who copies whom is written there by
# Sentinel, and has to be found again after a restart.
#
#   REPLICA_OF   address and port to copy from at first; empty for the one that is copied
#   SENTINELS    addresses to ask who is primary now; empty where there are none
#   DATABASE     the name under which Sentinels watch it
set -eu

settings=/data/valkey.conf
if [ ! -f "$settings" ]; then
    {
        echo "include /etc/database/valkey.conf"
        echo "${REPLICA_OF:+replicaof $REPLICA_OF}"
    } >"$settings.new"
    mv "$settings.new" "$settings"
fi

# A primary that was away may have been replaced: it must not take itself for one again until Sentinel notices.
for sentinel in ${SENTINELS:-}; do
    primary=$(timeout 1 valkey-cli -h "$sentinel" -p 26379 sentinel get-master-addr-by-name "$DATABASE" | head -n 1) || continue
    case "$primary" in
    "" | *[!0-9.]*) ;;
    "$(hostname -i)") break ;;
    *)
        set -- --replicaof "$primary" 6379
        break
        ;;
    esac
done

# The password is given here and not in the file, so that another one only needs a restart.
exec valkey-server "$settings" "$@" --requirepass "$SAGAMART_STORE_PASSWORD" --masterauth "$SAGAMART_STORE_PASSWORD"
