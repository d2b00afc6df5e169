#!/bin/bash
# Makes what the compose files need from Debian's packages, for machines that reach no container registry: the base images
# under the names the files use, and `docker compose` where the machine has none. What is there already is left as it is,
# so where a registry is at hand, `docker compose pull` first makes the tests run on the published images.
#
#   images.sh SCRATCH          the images that run, and the Compose and Buildx plug-ins in SCRATCH/docker/cli-plugins
#   images.sh SCRATCH rust     the image that compiles, with this machine's Rust toolchain in it
#
# Needs Docker's daemon, and root, for a Debian system is installed into a folder.
set -euo pipefail

scratch=$(mkdir -p "$1" && cd "$1" && pwd)
wanted=${2:-run}

# Its packages are those of the published images: nginx 1.26, Valkey 8.1, Prometheus 2.53, and Compose 2.
suite=trixie
base=debian:trixie-slim
valkey=valkey/valkey:8.1
nginx=nginx:1.26
prometheus=prom/prometheus:v2.53.3
rust=rust:1.91-slim-trixie

note() { echo "images: $*" >&2; }

have() { docker image inspect "$1" >/dev/null 2>&1; }

install() { apt-get install --quiet --yes --no-install-recommends "$@" >"$scratch/apt.log" 2>&1 || {
    cat "$scratch/apt.log" >&2
    return 1
}; }
export DEBIAN_FRONTEND=noninteractive

# Debian's archive as this machine's own sources name it, so that mirrors are respected.
archive() { apt-get indextargets --format '$(LABEL) $(REPO_URI)' | awk -v label="$1" '$1 == label { print $2; exit }'; }

find_archives() {
    [ -n "$(archive Debian)" ] || apt-get update --quiet >/dev/null
    archive=$(archive Debian)
    [ -n "$archive" ] || { note "apt knows no archive of Debian's"; exit 1; }
    security=$(archive Debian-Security)
}

sources() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keyring] $archive $suite main"
    if [ -n "$security" ]; then echo "deb [signed-by=$keyring] $security $suite-security main"; fi
}

# A package's files, unpacked into a folder without being installed. apt's own state is not touched.
unpack() {
    local folder=$1 apt=$scratch/apt
    shift
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/packages"
    sources >"$apt/sources.list"
    local options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
        -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
    apt-get "${options[@]}" --quiet update >/dev/null
    (cd "$apt/packages" && apt-get "${options[@]}" --quiet download "${@/%//$suite}" >/dev/null)
    local package
    for package in "$apt"/packages/*.deb; do dpkg --extract "$package" "$folder"; done
}

plug_ins() {
    if docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; then return; fi
    local plug_ins=$scratch/docker/cli-plugins
    if [ -x "$plug_ins/docker-compose" ] && [ -x "$plug_ins/docker-buildx" ]; then return; fi
    note "no docker compose on this machine: taking Debian's"
    find_archives
    rm -rf "$scratch/plug-ins"
    unpack "$scratch/plug-ins" docker-compose docker-buildx
    mkdir -p "$plug_ins"
    find "$scratch/plug-ins" -path '*/cli-plugins/*' -type f -exec install -m 755 {} "$plug_ins/" \;
    rm -rf "$scratch/plug-ins"
}

# A minimal Debian in a folder, once per run.
system() {
    [ ! -d "$scratch/$suite" ] || return 0
    find_archives
    command -v debootstrap >/dev/null || install debootstrap
    note "installing a minimal Debian $suite"
    debootstrap --variant=minbase "$suite" "$scratch/$suite" "$archive" >"$scratch/debootstrap.log" 2>&1 || {
        tail -20 "$scratch/debootstrap.log" >&2
        return 1
    }
    sources >"$scratch/$suite/etc/apt/sources.list"
    chroot "$scratch/$suite" apt-get update --quiet >/dev/null
}

# A copy of it with more packages.
system_with() {
    local folder=$scratch/$1
    shift
    system
    rm -rf "$folder"
    cp --archive "$scratch/$suite" "$folder"
    chroot "$folder" apt-get install --quiet --yes --no-install-recommends "$@" >"$folder.log" 2>&1 || {
        tail -20 "$folder.log" >&2
        return 1
    }
}

# What is in a folder, as an image; options as for `docker import`.
import() {
    local folder=$scratch/$1 image=$2
    shift 2
    tar -C "$folder" --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./proc/*' \
        --exclude='./sys/*' --exclude='./dev/*' -c . |
        docker import --change 'LABEL org.opencontainers.image.description="made from packages of Debian"' "$@" - "$image" >/dev/null
    note "made $image"
}

# In their published images the users have these numbers, which the compose file names.
make_valkey() {
    system_with valkey valkey-server
    chroot "$scratch/valkey" sh -ec 'userdel valkey; groupadd --system --non-unique --gid 999 valkey-group
        useradd --system --uid 999 --gid 999 --home-dir /data valkey; mkdir /data; chown 999:999 /data'
    import valkey "$valkey" --change 'VOLUME /data' --change 'WORKDIR /data' --change 'CMD ["valkey-server"]'
}

make_nginx() {
    system_with nginx nginx curl
    chroot "$scratch/nginx" sh -ec 'groupadd --system --gid 101 nginx; useradd --system --uid 101 --gid 101 nginx'
    import nginx "$nginx" --change 'CMD ["nginx", "-g", "daemon off;"]'
}

make_prometheus() {
    system_with prometheus prometheus
    chroot "$scratch/prometheus" sh -ec 'mkdir --parents /prometheus; chown 65534:65534 /prometheus'
    import prometheus "$prometheus" --change 'VOLUME /prometheus' --change 'CMD ["prometheus"]'
}

make_rust() {
    system_with rust gcc libc6-dev ca-certificates
    cp --archive "$(rustc --print sysroot)" "$scratch/rust/usr/local/rust"
    rm -rf "$scratch/rust/usr/local/rust/share"
    # What this machine trusts, its registry of crates included.
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$scratch/rust/etc/ssl/certs/ca-certificates.crt"
    import rust "$rust" --change 'ENV CARGO_HOME=/usr/local/cargo' \
        --change 'ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
}

# Mounted file systems would be removed with the folders; there are none, and this makes sure.
clean() { rm -rf --one-file-system "${scratch:?}/$suite" "$scratch/valkey" "$scratch/nginx" "$scratch/prometheus" "$scratch/rust"; }

clean
trap clean EXIT
plug_ins
case $wanted in
run)
    have "$base" || { system && import "$suite" "$base" --change 'CMD ["bash"]'; }
    have "$valkey" || make_valkey
    have "$nginx" || make_nginx
    have "$prometheus" || make_prometheus
    ;;
rust)
    have "$rust" || make_rust
    ;;
*)
    note "no such set of images: $wanted"
    exit 2
    ;;
esac
