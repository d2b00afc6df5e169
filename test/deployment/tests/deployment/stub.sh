#!/usr/bin/env bash
# Stands in for kubectl, helm and minikube where a deployment script is tried: writes down how it was called, refuses what the real
# tool would refuse (its own help says which flags it takes), and plays a cluster that remembers Secrets.
#
# STUB_STATE    folder with the record (`calls`, one line per call, words parted by tabs) and the cluster's Secrets
# STUB_TOOLS    folder of the real kubectl and helm
# STUB_CACHE    folder where the real tools' helps are kept between calls
# STUB_FAIL     a text: a call whose words contain it fails
# STUB_VERSION  what the cluster says it is; `none` for no cluster
# STUB_SETS     names of the StatefulSets that are there
# STUB_CLAIMS   names of the volumes' claims that are there
# STUB_HELM     what helm says it is; without it, the real one is asked
set -euo pipefail

tool=${0##*/}
record=$tool
for word in "$@"; do record+=$'\t'$word; done
printf '%s\n' "$record" >>"$STUB_STATE/calls"

refuse() {
    printf 'stub %s: %s\n' "$tool" "$*" >&2
    exit 1
}

# The words that are neither flags nor values of the flags that stand before the command.
words=()
skip=no
for word in "$@"; do
    if [[ $skip == yes ]]; then
        skip=no
        continue
    fi
    case $word in
        --context | --namespace | --profile) skip=yes ;;
        -*) ;;
        *) words+=("$word") ;;
    esac
done
command="${words[*]:0:3}"

known_flags() {
    case $tool in
        helm) "$STUB_TOOLS/helm" "${words[0]}" --help ;;
        kubectl)
            "$STUB_TOOLS/kubectl" "${words[@]:0:3}" --help
            "$STUB_TOOLS/kubectl" options
            ;;
        # There is no real minikube at hand: these are the flags of its documentation.
        minikube)
            case $command in
                status*) echo "--profile" ;;
                "image build"*) echo "--profile --tag --file" ;;
                "addons enable"*) echo "--profile" ;;
                *) refuse "no such command: $command" ;;
            esac
            ;;
    esac
}

case "$tool ${words[0]:-}" in
    "kubectl "create | "kubectl "auth | "kubectl "rollout | "kubectl "config | minikube*) kept="$tool-${words[0]}-${words[1]:-}" ;;
    *) kept="$tool-${words[0]:-}" ;;
esac
if [[ ! -f "$STUB_CACHE/$kept" ]]; then
    known_flags >"$STUB_CACHE/$kept.$$"
    mv "$STUB_CACHE/$kept.$$" "$STUB_CACHE/$kept"
fi
known=$(<"$STUB_CACHE/$kept")
for word in "$@"; do
    [[ $word == --* ]] || continue
    flag=${word%%=*}
    grep -qE -- "(^|[[:space:],])$flag([[:space:]=,]|\$)" <<<"$known" || refuse "unknown flag: $flag of $command"
done

if [[ -n ${STUB_FAIL:-} && "$tool $*" == *"$STUB_FAIL"* ]]; then refuse "told to fail"; fi

# Files that a call names have to be there.
previous=''
for word in "$@"; do
    case $previous in
        --values | --filename) [[ -f $word || -d $word ]] || refuse "no such file: $word" ;;
        --set-file) [[ -f ${word#*=} ]] || refuse "no such file: ${word#*=}" ;;
    esac
    previous=$word
done

case "$tool $command" in
    "helm version"*)
        if [[ -n ${STUB_HELM:-} ]]; then printf '%s' "$STUB_HELM"; else exec "$STUB_TOOLS/helm" "$@"; fi
        ;;
    "kubectl version"*)
        [[ ${STUB_VERSION:-} != none ]] || refuse "the connection to the server was refused"
        printf '{\n  "clientVersion": {\n    "gitVersion": "v1.20.0"\n  },\n  "serverVersion": {\n    "gitVersion": "%s"\n  }\n}\n' "${STUB_VERSION:-v1.37.1}"
        ;;
    "kubectl get statefulset"*) printf '%s' "${STUB_SETS:-}" ;;
    "kubectl get persistentvolumeclaim"*) printf '%s' "${STUB_CLAIMS:-}" ;;
    "kubectl get storageclass"*) echo storageclass.storage.k8s.io/standard ;;
    "kubectl get secret"*) [[ -f "$STUB_STATE/secret-${words[2]}" ]] || refuse "not found" ;;
    "kubectl create secret"*)
        [[ ! -f "$STUB_STATE/secret-${words[3]}" ]] || refuse "already exists"
        cat >"$STUB_STATE/secret-${words[3]}"
        ;;
    "kubectl delete secret"*) rm -f "$STUB_STATE/secret-${words[2]}" ;;
    "kubectl config current-context"*) echo somewhere ;;
esac
