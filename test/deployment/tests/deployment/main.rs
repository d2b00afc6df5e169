//! Manifests, chart and scripts, held against what Kubernetes, helm and the binary take.

mod apply;
mod chart;
mod compose;
mod documents;
mod drain;
mod failover;
mod hardening;
mod network;
mod routes;
mod schemas;
mod scripts;
mod stage;
mod starts;
mod ties;
mod values;
