#!/bin/sh
# Starts one of the three Sentinels that watch the databases.
# A Sentinel writes what it learns into its configuration file, so the file is made once and then only gets its passwords afresh.
set -eu

config=${SENTINEL_CONFIG:-/data/sentinel.conf}
domain=${CLUSTER_DOMAIN:-cluster.local}
port=${SENTINEL_PORT:-26379}
databases=${SENTINEL_DATABASES:-order stock payment observer}

say() { printf 'sentinel.sh: %s\n' "$*" >&2; }

# One of the databases' passwords: a file per database, mounted from its Secret.
password_of() {
    file="${SENTINEL_PASSWORDS:-/passwords}/$1/password"
    [ -s "$file" ] || { say "there is no password in $file: is the Secret $1-db there?"; exit 1; }
    password=$(cat "$file")
    case $password in
        *[!A-Za-z0-9_.-]*) say "the password of $1-db has characters that this script does not write into a configuration file"; exit 1 ;;
    esac
    printf '%s' "$password"
}

# The primary that the other Sentinels know, or else the first pod, which the chart begins with: "host port".
primary_of() {
    for peer in 0 1 2; do
        host="sentinel-$peer.sentinel"
        [ "sentinel-$peer" = "$POD_NAME" ] && continue
        answer=$(timeout 3 valkey-cli -h "$host" -p "$port" --raw sentinel get-master-addr-by-name "$1" 2>/dev/null | tr '\n' ' ') || continue
        case $answer in
            *[!A-Za-z0-9.\ -]* | '') ;;
            *' '*) printf '%s' "${answer% }"; return ;;
        esac
    done
    printf '%s' "${SENTINEL_FIRST_PRIMARY:-$1-db-0.$1-db-headless.$NAMESPACE.svc.$domain 6379}"
}

if [ ! -s "$config" ]; then
    say "making $config"
    {
        printf 'port %s\n' "$port"
        printf 'dir %s\n' "$(dirname "$config")"
        # Pods keep their names and change their addresses.
        printf 'sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n'
        printf 'sentinel announce-ip %s\n' "${SENTINEL_ANNOUNCE:-$POD_NAME.sentinel.$NAMESPACE.svc.$domain}"
        for database in $databases; do
            printf 'sentinel monitor %s %s 2\n' "$database" "$(primary_of "$database")"
            printf 'sentinel down-after-milliseconds %s 5000\n' "$database"
            printf 'sentinel failover-timeout %s 30000\n' "$database"
            printf 'sentinel parallel-syncs %s 1\n' "$database"
        done
    } >"$config.new"
    mv "$config.new" "$config"
fi

for database in $databases; do
    password=$(password_of "$database")
    grep -v "^sentinel auth-pass $database " "$config" >"$config.new"
    printf 'sentinel auth-pass %s %s\n' "$database" "$password" >>"$config.new"
    mv "$config.new" "$config"
done

# Not `valkey-sentinel`: not every package of Valkey has it, and it is the same program.
exec valkey-server "$config" --sentinel
