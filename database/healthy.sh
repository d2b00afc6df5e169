#!/bin/sh
# Succeeds when the database has loaded its data and answers; a replica must also be connected to whom it copies.
set -eu

REDISCLI_AUTH=$(cat "$SAGAMART_STORE_PASSWORD_FILE")
export REDISCLI_AUTH
role=$(valkey-cli role)
case "$role" in
master*) ;;
slave*connected*) ;;
*)
    echo "$role"
    exit 1
    ;;
esac
