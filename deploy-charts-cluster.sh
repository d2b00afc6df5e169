#!/usr/bin/env bash
# Prepares a cluster for `kubectl apply -k k8s/overlays/cluster`: replicated databases and a Gateway API implementation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=helm-config/functions.sh
source helm-config/functions.sh

usage() {
    cat <<'TEXT'
Prepares a cluster for the shop. Can be run again at any time: what is there is kept or brought up to date.

Usage: ./deploy-charts-cluster.sh [install|uninstall] [OPTION...]

  install      (default) namespace, secrets, a Valkey with two replicas for each service and for the observer, Envoy Gateway
  uninstall    removes what `install` installed; data only with --delete-data

  --context NAME             kubectl's context (default: the current one)
  --gateway envoy|none       Envoy Gateway (default), or what you have
  --storage-class NAME       for the databases' volumes (default: the cluster's)
TEXT
    common_help
    cat <<'TEXT'

Needs kubectl, helm 3.8 or newer, and the right to create namespaces and custom resource definitions.
Afterwards: kubectl apply -k k8s/overlays/cluster, which brings the Sentinels that make the databases fail over.
TEXT
}

gateway=envoy storage_class=''
envoy_version=v1.9.2
envoy_namespace=envoy-gateway-system

while (($#)); do
    case $1 in
        install | uninstall) action=$1 ;;
        --context) context=$(value_of 'a name' "$@"); shift ;;
        --gateway) gateway=$(word_of 'envoy|none' "$@"); shift ;;
        --storage-class) storage_class=$(value_of 'a name' "$@"); shift ;;
        *) common_option "$1" ;;
    esac
    shift
done
require kubectl helm
if [[ -z $context ]]; then
    context=$(kubectl config current-context) || fail "kubectl has no current context; name one with --context"
fi
say "the context is $context"
require_all
in_cluster auth can-i create customresourcedefinitions --quiet || fail "you may not create custom resource definitions in '$context'"

# Volumes from before, and neither databases nor Sentinels: a database that starts asks the Sentinels who was the primary, and waits.
are_volumes_kept() {
    if in_namespace get statefulset --output name | grep -qE '/(order-db|sentinel)$'; then return 1; fi
    in_namespace get persistentvolumeclaim --selector app.kubernetes.io/name=valkey --output name | grep -q .
}

case $action in
    install)
        if are_volumes_kept; then kept=yes; else kept=no; fi
        # What names a database is given here: the chart takes these values as they stand.
        database_arguments=(
            --values helm-config/valkey-cluster.yaml
            --set-file 'extraInitContainers[0].command[2]=helm-config/follow-primary.sh'
            --set 'extraInitContainers[0].env[2].valueFrom.secretKeyRef.name=DATABASE'
            --set 'topologySpreadConstraints[0].labelSelector.matchLabels.app\.kubernetes\.io/instance=DATABASE'
        )
        if [[ -n $storage_class ]]; then
            database_arguments+=(--set "replica.persistence.storageClass=$storage_class")
        fi
        install_databases "${database_arguments[@]}"
        if [[ $gateway == envoy ]]; then
            say "the Gateway API implementation Envoy Gateway, chart $envoy_version"
            helm_release upgrade envoy-gateway "$envoy_namespace" oci://docker.io/envoyproxy/gateway-helm --install --create-namespace \
                --version "$envoy_version" --values helm-config/envoy-gateway.yaml --wait --timeout 5m
        fi
        if [[ $kept == yes ]]; then
            fail "the databases have volumes from before, and wait for the Sentinels, which know the primary: kubectl --context $context apply -k k8s/overlays/cluster, then run this again"
        fi
        await_databases statefulset
        say "done. Next: kubectl --context $context apply -k k8s/overlays/cluster"
        ;;
    uninstall)
        say "removing Envoy Gateway; the definitions of the Gateway API stay, for others may use them"
        helm_release uninstall envoy-gateway "$envoy_namespace" --ignore-not-found --wait
        uninstall_databases
        if [[ $delete_data == yes ]]; then
            # What they remember of databases that are gone would make them fail new ones over.
            say "removing the Sentinels and their volumes"
            change_namespace delete statefulset sentinel --ignore-not-found
            remove_volumes app.kubernetes.io/name=sentinel
        fi
        say "done"
        ;;
esac
