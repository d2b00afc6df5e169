//! What a process says to operators of itself: its partitions and the replicas of its service.

use std::io::Write;

use serde::Deserialize;

use super::{Error, client::Address, read_from};

/// How it goes, from well to unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    Well,
    Unwell,
    Unreached,
}

#[derive(Debug, Deserialize)]
pub(super) struct Process {
    pub(super) services: Vec<Service>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Service {
    pub(super) service: String,
    pub(super) partitions: Vec<Partition>,
    replicas: Option<Replicas>,
}

#[derive(Debug, Deserialize)]
struct Replicas {
    address: String,
    is_reached: bool,
    lacks: Vec<String>,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    address: String,
    is_fit: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Partition {
    pub(super) partition: u16,
    owner: Option<String>,
    pub(super) is_owned: bool,
    is_loaded: bool,
    stands_still: bool,
    reasons: Vec<String>,
    head: u64,
    log_end: u64,
    pub(super) lag: u64,
    consumers: Vec<Consumer>,
    deliveries: u64,
    requests: u64,
    pub(super) waiting: u64,
    pub(super) in_flight: u64,
    pub(super) held: u64,
    pub(super) parked: u64,
    gate: Gate,
}

#[derive(Debug, Deserialize)]
struct Consumer {
    lag: u64,
    is_observer: bool,
}

#[derive(Debug, Deserialize)]
struct Gate {
    waiting: u64,
    poisoned: Option<String>,
}

/// Asks a process what it is like; nothing where it does not say, as an observer does not.
pub(super) async fn ask(address: &Address) -> Result<Option<Process>, Error> {
    let answer = address.get("/services").await?;
    if answer.status != 200 {
        return Ok(None);
    }
    read_from(address, &answer.body).map(Some)
}

impl Process {
    /// Shows it: a line for each service, and for each partition that does not do all of its work, or with `all` for each.
    pub(super) fn show(&self, out: &mut impl Write, address: &Address, all: bool) -> Result<Health, Error> {
        writeln!(out, "process at {address}")?;
        let mut health = Health::Well;
        for service in &self.services {
            health = health.max(service.show(out)?);
        }
        if all {
            writeln!(
                out,
                "  {:<12}{:>10}{:>10}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
                "partition", "head", "log", "lag", "behind", "mailbox", "waiting", "open", "parked", "gate"
            )?;
        }
        for (service, partition) in self.partitions() {
            health = health.max(partition.show(out, &service.service, all)?);
        }
        Ok(health)
    }

    fn partitions(&self) -> impl Iterator<Item = (&Service, &Partition)> {
        self.services.iter().flat_map(|service| service.partitions.iter().map(move |partition| (service, partition)))
    }
}

impl Service {
    /// Whether several replicas may share it.
    pub(super) fn has_replicas(&self) -> bool {
        self.replicas.is_some()
    }

    pub(super) fn show(&self, out: &mut impl Write) -> Result<Health, Error> {
        let Self { service, partitions, replicas } = self;
        let owned = partitions.iter().filter(|partition| partition.is_owned).count();
        let Some(Replicas { address, is_reached, lacks, members }) = replicas else {
            writeln!(out, "  {service}: owner of {owned} of {} partitions", partitions.len())?;
            return Ok(Health::Well);
        };
        writeln!(out, "  {service}: owner of {owned} of {} partitions, as {address}", partitions.len())?;
        if !is_reached {
            writeln!(out, "  {service}: the membership list is NOT reached")?;
        }
        for Member { address, is_fit } in members {
            writeln!(out, "  {service}: member {address}{}", if *is_fit { "" } else { ", NOT fit" })?;
        }
        for lack in lacks {
            writeln!(out, "  {service}: {lack}")?;
        }
        let is_well = *is_reached && lacks.is_empty() && members.iter().all(|member| member.is_fit);
        Ok(if is_well { Health::Well } else { Health::Unwell })
    }
}

impl Partition {
    /// How far the consumer is behind that is furthest behind; an observer may be as far as it likes.
    fn behind(&self) -> u64 {
        self.consumers.iter().filter(|consumer| !consumer.is_observer).map(|consumer| consumer.lag).max().unwrap_or(0)
    }

    /// Its lag, how far behind its consumers are, its mailbox, who waits, what is open, what is parked, and what waits at the gate.
    pub(super) fn cells(&self) -> [u64; 7] {
        [
            self.lag,
            self.behind(),
            self.deliveries + self.requests,
            self.waiting,
            self.in_flight + self.held,
            self.parked,
            self.gate.waiting,
        ]
    }

    /// Where its owner is reached, as far as is known.
    pub(super) fn owner(&self) -> &str {
        self.owner.as_deref().unwrap_or("not known")
    }

    /// Why it does not do all of its work, where this process is its owner.
    fn complaints(&self) -> Vec<String> {
        if !self.is_owned {
            return Vec::new();
        }
        let poisoned = self.gate.poisoned.iter().map(|reason| format!("nothing is durable any more: {reason}"));
        let loading = (!self.is_loaded && self.reasons.is_empty()).then(|| "its data are being loaded".to_owned());
        self.reasons.iter().cloned().chain(poisoned).chain(loading).collect()
    }

    /// Shows why it does not do all of its work, or with `all` what it is like.
    pub(super) fn show(&self, out: &mut impl Write, service: &str, all: bool) -> Result<Health, Error> {
        let name = format!("{service}/{}", self.partition);
        if all && self.is_owned {
            let cells: String = self.cells().iter().map(|cell| format!("{cell:>8}")).collect();
            writeln!(out, "  {name:<12}{:>10}{:>10}{cells}", self.head, self.log_end)?;
        } else if all {
            writeln!(out, "  {name:<12}owner: {}", self.owner())?;
        }
        let said = self.complaints();
        let is_well = !self.is_owned || said.is_empty() && !self.stands_still;
        for reason in said {
            writeln!(out, "  {name}{}: {reason}", if self.stands_still { " stands still" } else { "" })?;
        }
        Ok(if is_well { Health::Well } else { Health::Unwell })
    }
}
