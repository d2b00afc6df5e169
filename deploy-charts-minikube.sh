#!/usr/bin/env bash
# Prepares a minikube for `kubectl apply -f k8s/`: images, a Valkey per service, an ingress controller.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=helm-config/functions.sh
source helm-config/functions.sh

usage() {
    cat <<'TEXT'
Prepares a running minikube for the shop. Can be run again at any time: what is there is kept or brought up to date.

Usage: ./deploy-charts-minikube.sh [install|images|uninstall] [OPTION...]

  install      (default) namespace, passwords, a Valkey for each service, an ingress controller
  images       builds the images of the three services inside minikube
  uninstall    removes what `install` installed; data only with --delete-data

  --ingress traefik|addon|none   the Traefik chart (default), minikube's addon `ingress`, or what you have
  --profile NAME                 minikube's profile, which is also kubectl's context (default: minikube)
  --delete-data                  with uninstall: the volumes and passwords too
  --dry-run                      shows each command without running it
  --help                         this text

Needs minikube, kubectl, and helm 3.8 or newer. Afterwards: kubectl apply -f k8s/
TEXT
}

action=install ingress=traefik context=minikube dry_run=no delete_data=no
traefik_version=41.4.0

while (($#)); do
    case $1 in
        install | images | uninstall) action=$1 ;;
        --ingress)
            ingress=${2:-}
            [[ $ingress =~ ^(traefik|addon|none)$ ]] || fail "--ingress is traefik, addon or none, not '$ingress'"
            shift
            ;;
        --profile)
            context=${2:-}
            [[ -n $context ]] || fail "--profile needs a name"
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

build_images() {
    local service
    for service in order stock payment; do
        say "the image sagamart/$service:0.1.0, built inside minikube"
        run minikube --profile "$context" image build --tag "sagamart/$service:0.1.0" --file "$service/Dockerfile" .
    done
}

install_ingress() {
    case $ingress in
        traefik)
            say "the ingress controller Traefik, chart $traefik_version"
            run helm upgrade traefik oci://ghcr.io/traefik/helm/traefik --install --kube-context "$context" \
                --namespace traefik --create-namespace --version "$traefik_version" \
                --values helm-config/traefik.yaml --wait --timeout 5m
            ;;
        addon)
            say "minikube's addon ingress (ingress-nginx: retired in March 2026, no more fixes)"
            run minikube --profile "$context" addons enable ingress
            ;;
        none) say "no ingress controller: as asked" ;;
    esac
}

require minikube kubectl helm
require_helm
minikube --profile "$context" status >/dev/null || fail "minikube's profile '$context' does not run: minikube start --profile $context"
require_cluster

case $action in
    images) build_images ;;
    install)
        install_databases --values helm-config/valkey-minikube.yaml
        for database in "${databases[@]}"; do wait_for "deployment/$database"; done
        install_ingress
        say "done. Next: ./deploy-charts-minikube.sh images, unless the images are there, and kubectl apply -f k8s/"
        ;;
    uninstall)
        say "removing the ingress controller Traefik"
        run helm uninstall traefik --kube-context "$context" --namespace traefik --ignore-not-found --wait
        uninstall_databases
        say "done"
        ;;
esac
