#!/bin/sh
# Starts a Sentinel that watches the three services' databases and makes a replica the primary when theirs is gone. What it
# learns (who is primary, which vote was the last) it keeps in /data/sentinel.conf.
#
#   SENTINEL_WATCHES   of each database its name and address, such as "order=10.0.0.1"; its password is in /secrets/order/password
set -eu

umask 077
settings=/data/sentinel.conf
if [ ! -f "$settings" ]; then
    {
        echo "port 26379"
        echo "dir /tmp"
        for watched in $SENTINEL_WATCHES; do
            name=${watched%%=*}
            # Two of the three Sentinels have to agree.
            echo "sentinel monitor $name ${watched#*=} 6379 2"
            # Longer than a loaded machine keeps a live database waiting.
            echo "sentinel down-after-milliseconds $name 3000"
            echo "sentinel failover-timeout $name 10000"
            echo "sentinel parallel-syncs $name 1"
        done
    } >"$settings.new"
    mv "$settings.new" "$settings"
fi

# Passwords as they are now, in place of those that it wrote down before.
{
    grep -v '^sentinel auth-pass ' "$settings"
    for watched in $SENTINEL_WATCHES; do
        name=${watched%%=*}
        echo "sentinel auth-pass $name $(cat "/secrets/$name/password")"
    done
} >"$settings.new"
mv "$settings.new" "$settings"
exec valkey-server "$settings" --sentinel --protected-mode no
