#!/bin/sh
# Starts a database. Its settings are in /data/valkey.conf, made at the first start: who copies whom is written there by
# Sentinel, and has to be found again after a restart.
#
#   SAGAMART_STORE_PASSWORD_FILE   the file with the password
#   REPLICA_OF   address and port to copy from at first; empty for the one that is copied
#   SENTINELS    addresses to ask who is primary now; empty where there are none
#   DATABASE     the name under which Sentinels watch it
set -eu

# Nobody else's to read: Sentinel has the database write its password there.
umask 077
settings=/data/valkey.conf
if [ ! -f "$settings" ]; then
    {
        echo "include /etc/database/valkey.conf"
        echo "${REPLICA_OF:+replicaof $REPLICA_OF}"
    } >"$settings.new"
    mv "$settings.new" "$settings"
fi
# What Sentinel had the database write down of the password, which may be another one now.
grep -vE '^(requirepass|masterauth|user default) ' "$settings" >"$settings.new"
mv "$settings.new" "$settings"

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

# The password is read from standard input (`-`), after the file, so that another one only needs a restart; and nobody sees it in the list
# of processes.
password=$(cat "$SAGAMART_STORE_PASSWORD_FILE")
exec valkey-server "$settings" "$@" - <<SETTINGS
requirepass $password
masterauth $password
SETTINGS
