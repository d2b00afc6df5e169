# shellcheck shell=bash
# What deploy-charts-minikube.sh and deploy-charts-cluster.sh share.
action=install context='' dry_run=no delete_data=no

namespace=sagamart
peers=sagamart-peers
databases=(order-db stock-db payment-db observer-db)

# Tried with this version; `auth.usersExistingSecret` and others are templates only in later ones, so every value here is literal.
valkey_repository=https://valkey.io/valkey-helm/
valkey_version=0.10.0

say() { printf '==> %s\n' "$*"; }
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# A command as a person types it: only what the shell would change is quoted.
typed() {
    local word words=()
    for word in "$@"; do
        if [[ ! $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then word="'${word//\'/\'\\\'\'}'"; fi
        words+=("$word")
    done
    printf '%s' "${words[*]}"
}

# Shows a command, and runs it unless this is a dry run.
run() {
    printf '    %s\n' "$(typed "$@")"
    if [[ $dry_run == no ]]; then "$@"; fi
}

in_cluster() { kubectl --context "$context" "$@"; }
in_namespace() { in_cluster --namespace "$namespace" "$@"; }
change_cluster() { run kubectl --context "$context" "$@"; }
change_namespace() { change_cluster --namespace "$namespace" "$@"; }

# helm_release ACTION RELEASE NAMESPACE [ARGUMENT...]
helm_release() {
    local verb=$1 release=$2 where=$3
    shift 3
    run helm "$verb" "$release" --kube-context "$context" --namespace "$where" "$@"
}

# The value of an option: value_of WHAT OPTION [VALUE...]
value_of() {
    [[ -n ${3:-} ]] || fail "$2 needs $1"
    printf '%s' "$3"
}

# The same where it is one of a few words: word_of 'WORD|WORD' OPTION [VALUE...]
word_of() {
    [[ ${3:-} =~ ^($1)$ ]] || fail "$2 is one of $1, not '${3:-}'"
    printf '%s' "$3"
}

common_help() {
    cat <<'TEXT'
  --delete-data              with uninstall: the volumes, the passwords and the shop's secret too
  --dry-run                  shows each command without running it
  --help                     this text
TEXT
}

# Options that both scripts have, and words that are none.
common_option() {
    case $1 in
        --delete-data) delete_data=yes ;;
        --dry-run) dry_run=yes ;;
        --help | -h)
            usage
            exit
            ;;
        *) fail "what is '$1'? --help says what there is" ;;
    esac
}

require() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool is not installed; see docs/deploying.md"
    done
}

# What the tools and the cluster must be, before anything is changed.
require_all() {
    [[ $delete_data == no || $action == uninstall ]] || fail "--delete-data goes with uninstall"
    require_helm
    require_cluster
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

# A secret is made once and then kept: a database and its service read their password from there, and all processes of the shop what they
# show each other. It is never shown to others, nor an argument: ensure_secret NAME KEY WHAT
ensure_secret() {
    local name=$1 key=$2 what=$3
    local create=(kubectl --context "$context" --namespace "$namespace" create secret generic "$name" "--from-file=$key=/dev/stdin")
    if in_namespace get secret "$name" >/dev/null 2>&1; then
        say "the Secret $name is there: kept"
        return
    fi
    say "making $what"
    printf '    %s | %s\n' "head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'" "$(typed "${create[@]}")"
    if [[ $dry_run == yes ]]; then return; fi
    head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' | "${create[@]}"
}

# install_databases [HELM ARGUMENT...], in which DATABASE stands for the name of each.
install_databases() {
    local database
    say "the namespace $namespace"
    change_cluster apply --filename k8s/namespace/namespace.yaml
    ensure_secret "$peers" secret "a secret for the processes of the shop"
    for database in "${databases[@]}"; do
        ensure_secret "$database" password "a password for $database"
        say "the database $database: the official Valkey chart $valkey_version"
        helm_release upgrade "$database" "$namespace" valkey --install --repo "$valkey_repository" --version "$valkey_version" \
            --values helm-config/valkey.yaml --set "fullnameOverride=$database" --set "auth.usersExistingSecret=$database" \
            "${@//DATABASE/$database}"
    done
}

# Until each is ready, or an error: await_databases KIND
await_databases() {
    local database
    for database in "${databases[@]}"; do
        say "waiting for the database $database"
        change_namespace rollout status "$1/$database" --timeout 5m
    done
}

# remove_volumes LABEL: claims, and with them the data.
remove_volumes() { change_namespace delete persistentvolumeclaim --selector "$1" --ignore-not-found; }

uninstall_databases() {
    local database
    for database in "${databases[@]}"; do
        say "removing the database $database"
        helm_release uninstall "$database" "$namespace" --ignore-not-found --wait
    done
    if [[ $delete_data == no ]]; then
        say "volumes, passwords and the shop's secret are kept; uninstall --delete-data removes them"
        return
    fi
    for database in "${databases[@]}"; do
        say "removing the volumes and the password of $database"
        remove_volumes "app.kubernetes.io/instance=$database"
        change_namespace delete secret "$database" --ignore-not-found
    done
    say "removing the secret of the shop"
    change_namespace delete secret "$peers" --ignore-not-found
}
