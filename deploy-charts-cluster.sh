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

  install      (default) namespace, passwords, a Valkey with two replicas for each service, Envoy Gateway
  uninstall    removes what `install` installed; data only with --delete-data

  --context NAME             kubectl's context (default: the current one)
  --gateway envoy|none       Envoy Gateway (default), or what you have
  --storage-class NAME       for the databases' volumes (default: the cluster's)
  --delete-data              with uninstall: the volumes and passwords too
  --dry-run                  shows each command without running it
  --help                     this text

Needs kubectl, helm 3.8 or newer, and the right to create namespaces and custom resource definitions.
Afterwards: kubectl apply -k k8s/overlays/cluster, which brings the Sentinels that make the databases fail over.
TEXT
}

action=install gateway=envoy context='' storage_class='' dry_run=no delete_data=no
envoy_version=v1.9.2
envoy_namespace=envoy-gateway-system

while (($#)); do
    case $1 in
        install | uninstall) action=$1 ;;
        --context)
            context=${2:-}
            [[ -n $context ]] || fail "--context needs a name"
            shift
            ;;
        --gateway)
            gateway=${2:-}
            [[ $gateway =~ ^(envoy|none)$ ]] || fail "--gateway is envoy or none, not '$gateway'"
            shift
            ;;
        --storage-class)
            storage_class=${2:-}
            [[ -n $storage_class ]] || fail "--storage-class needs a name"
            shift
            ;;
        --delete-data) delete_data=yes ;;
        --dry-run) dry_run=yes ;;
        --help | -h)
            usage
            exit
            ;;
        *) fail "what is '$1'? --help says what there is" ;;
    esac
    shift
done
[[ $delete_data == no || $action == uninstall ]] || fail "--delete-data goes with uninstall"

require kubectl helm
require_helm
if [[ -z $context ]]; then
    context=$(kubectl config current-context) || fail "kubectl has no current context; name one with --context"
fi
say "the context is $context"
require_cluster
in_cluster auth can-i create customresourcedefinitions --quiet || fail "you may not create custom resource definitions in '$context'"

case $action in
    install)
        database_arguments=(
            --values helm-config/valkey-cluster.yaml
            --set-file 'extraInitContainers[0].command[2]=helm-config/follow-primary.sh'
        )
        if [[ -n $storage_class ]]; then
            database_arguments+=(--set "replica.persistence.storageClass=$storage_class")
        fi
        install_databases "${database_arguments[@]}"
        if [[ $gateway == envoy ]]; then
            say "the Gateway API implementation Envoy Gateway, chart $envoy_version"
            run helm upgrade envoy-gateway oci://docker.io/envoyproxy/gateway-helm --install --kube-context "$context" \
                --namespace "$envoy_namespace" --create-namespace --version "$envoy_version" \
                --values helm-config/envoy-gateway.yaml --wait --timeout 5m
        fi
        say "done. Next: kubectl --context $context apply -k k8s/overlays/cluster"
        ;;
    uninstall)
        say "removing Envoy Gateway; the definitions of the Gateway API stay, for others may use them"
        run helm uninstall envoy-gateway --kube-context "$context" --namespace "$envoy_namespace" --ignore-not-found --wait
        uninstall_databases
        say "done"
        ;;
esac
