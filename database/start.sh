#!/bin/sh
# Starts a database. Its own settings are in /data/valkey.conf, made at the first start: who is whose replica is changed
# there by Sentinel, and has to be found again after a restart.
#
#   REPLICA_OF   host and port to copy from at first; empty for the one that is copied
set -eu

settings=/data/valkey.conf
if [ ! -f "$settings" ]; then
    {
        echo "include /etc/database/valkey.conf"
        echo "${REPLICA_OF:+replicaof $REPLICA_OF}"
    } >"$settings.new"
    mv "$settings.new" "$settings"
fi
# Given here and not in the file, so that another password only needs a restart.
exec valkey-server "$settings" --requirepass "$SAGAMART_STORE_PASSWORD" --masterauth "$SAGAMART_STORE_PASSWORD"
