#!/bin/sh
# Starts a Sentinel that watches the three services' databases and makes a replica the primary when theirs is gone. What it
# learns (who is primary, which vote was the last) it keeps in /data/sentinel.conf.
#
#   SENTINEL_WATCHES   of each database its name and address, such as "order=10.0.0.1"; passwords are in /etc/env
set -eu

settings=/data/sentinel.conf
if [ ! -f "$settings" ]; then
    {
        echo "port 26379"
        echo "dir /tmp"
        for watched in $SENTINEL_WATCHES; do
            name=${watched%%=*}
            password=$(sed -n 's/^SAGAMART_STORE_PASSWORD=//p' "/etc/env/${name}_redis.env")
            # Two of the three Sentinels have to agree.
            echo "sentinel monitor $name ${watched#*=} 6379 2"
            echo "sentinel auth-pass $name $password"
            # Longer than a loaded machine keeps a live database waiting.
            echo "sentinel down-after-milliseconds $name 3000"
            echo "sentinel failover-timeout $name 10000"
            echo "sentinel parallel-syncs $name 1"
        done
    } >"$settings.new"
    mv "$settings.new" "$settings"
fi
exec valkey-server "$settings" --sentinel --protected-mode no
