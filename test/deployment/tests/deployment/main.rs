//! Manifests, chart and scripts, held against what Kubernetes, helm and the binary take.

mod chart;
mod documents;
mod drain;
mod hardening;
mod network;
mod routes;
mod schemas;
mod scripts;
mod ties;
