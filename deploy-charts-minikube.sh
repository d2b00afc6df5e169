#!/usr/bin/env bash
# Prepares a minikube for `kubectl apply -f k8s/`: images, a Valkey for each service, an ingress controller.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=helm-config/functions.sh
source helm-config/functions.sh

usage() {
    cat <<'TEXT'
Prepares a running minikube for the shop. Can be run again at any time: what is there is kept or brought up to date.

Usage: ./deploy-charts-minikube.sh [install|images|uninstall] [OPTION...]

  install      (default) namespace, secrets, a Valkey for each service and for the observer, an ingress controller
  images       builds the images of the services and of the observer inside minikube
  uninstall    removes what `install` installed; data only with --delete-data

  --ingress traefik|addon|none
                             the Traefik chart (default), minikube's addon `ingress`, or what you have
  --profile NAME             minikube's profile, which is also kubectl's context (default: minikube)
TEXT
    common_help
    cat <<'TEXT'

Needs minikube, kubectl, and helm 3.8 or newer. Afterwards: kubectl apply -f k8s/
TEXT
}

ingress=traefik context=minikube
traefik_version=41.4.0

while (($#)); do
    case $1 in
        install | images | uninstall) action=$1 ;;
        --ingress) ingress=$(word_of 'traefik|addon|none' "$@"); shift ;;
        --profile) context=$(value_of 'a name' "$@"); shift ;;
        *) common_option "$1" ;;
    esac
    shift
done
require minikube kubectl helm
minikube --profile "$context" status >/dev/null || fail "minikube's profile '$context' does not run: minikube start --profile $context"
require_all

build_images() {
    local service
    for service in order stock payment observer; do
        say "the image sagamart/$service:0.1.0, built inside minikube"
        run minikube --profile "$context" image build --tag "sagamart/$service:0.1.0" --file "$service/Dockerfile" .
    done
}

install_ingress() {
    case $ingress in
        traefik)
            say "the ingress controller Traefik, chart $traefik_version"
            helm_release upgrade traefik traefik oci://ghcr.io/traefik/helm/traefik --install --create-namespace \
                --version "$traefik_version" --values helm-config/traefik.yaml --wait --timeout 5m
            ;;
        addon)
            say "minikube's addon ingress (ingress-nginx: retired in March 2026, no more fixes)"
            run minikube --profile "$context" addons enable ingress
            ;;
        none) say "no ingress controller: as asked" ;;
    esac
}

case $action in
    images) build_images ;;
    install)
        install_databases --values helm-config/valkey-minikube.yaml
        install_ingress
        await_databases deployment
        say "done. Next: ./deploy-charts-minikube.sh images, unless the images are there, and kubectl apply -f k8s/"
        ;;
    uninstall)
        say "removing the ingress controller Traefik"
        helm_release uninstall traefik traefik --ignore-not-found --wait
        uninstall_databases
        say "done"
        ;;
esac
