# shellcheck shell=bash
# What deploy-charts-minikube.sh and deploy-charts-cluster.sh share. They set the three variables from their arguments.
context='' dry_run=no delete_data=no

namespace=sagamart
databases=(order-db stock-db payment-db)

valkey_repository=https://valkey.io/valkey-helm/
valkey_version=0.10.0

say() { printf '==> %s\n' "$*"; }
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Shows a command, and runs it unless this is a dry run.
run() {
    printf '    %s\n' "$*"
    if [[ $dry_run == no ]]; then "$@"; fi
}

in_cluster() { kubectl --context "$context" "$@"; }

require() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool is not installed; see docs/deploying.md"
    done
}

# Charts in registries (oci://) need 3.8.
require_helm() {
    local version major minor
    version=$(helm version --template '{{.Version}}') || fail "helm does not say its version"
    IFS=. read -r major minor _ <<<"${version#v}"
    [[ $major =~ ^[0-9]+$ && $minor =~ ^[0-9]+$ ]] || fail "helm says '$version', which is no version"
    ((major > 3 || (major == 3 && minor >= 8))) || fail "helm is $version; 3.8 or newer is needed"
}

# The pods' preStop `sleep` is in every cluster from 1.30.
require_cluster() {
    local version major minor
    version=$(in_cluster version --output json | sed -n '/"serverVersion"/,$s/.*"gitVersion": *"v\([0-9.]*\).*/\1/p' | head -n 1) || version=''
    [[ -n $version ]] || fail "no cluster answers in the context '$context'"
    IFS=. read -r major minor _ <<<"$version"
    ((major > 1 || (major == 1 && minor >= 30))) || fail "the cluster is $version; Kubernetes 1.30 or newer is needed"
    in_cluster get storageclass --output name | grep -q . || fail "the cluster has no storage class, and databases need volumes"
}

# A password is made once and then kept: the database and its service read it from there.
ensure_password() {
    local database=$1
    if in_cluster --namespace "$namespace" get secret "$database" >/dev/null 2>&1; then
        say "the Secret $database is there: kept"
        return
    fi
    say "making a password for $database"
    printf '    %s\n' "kubectl create secret generic $database (a random password, never shown)"
    if [[ $dry_run == yes ]]; then return; fi
    head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' |
        in_cluster --namespace "$namespace" create secret generic "$database" --from-file=password=/dev/stdin
}

# install_databases [HELM ARGUMENT...]
install_databases() {
    local database
    say "the namespace $namespace"
    run in_cluster apply --filename k8s/namespace/namespace.yaml
    for database in "${databases[@]}"; do
        ensure_password "$database"
        say "the database $database: the official Valkey chart $valkey_version"
        run helm upgrade "$database" valkey --install --kube-context "$context" --namespace "$namespace" \
            --repo "$valkey_repository" --version "$valkey_version" \
            --values helm-config/valkey.yaml --set "fullnameOverride=$database" "$@"
    done
}

wait_for() {
    say "waiting for $*"
    run in_cluster --namespace "$namespace" rollout status "$1" --timeout 5m
}

uninstall_databases() {
    local database
    for database in "${databases[@]}"; do
        say "removing the database $database"
        run helm uninstall "$database" --kube-context "$context" --namespace "$namespace" --ignore-not-found --wait
    done
    if [[ $delete_data == no ]]; then
        say "volumes and passwords are kept; uninstall --delete-data removes them"
        return
    fi
    for database in "${databases[@]}"; do
        say "removing the volumes and the password of $database"
        run in_cluster --namespace "$namespace" delete persistentvolumeclaim --selector "app.kubernetes.io/instance=$database" --ignore-not-found
        run in_cluster --namespace "$namespace" delete secret "$database" --ignore-not-found
    done
}
