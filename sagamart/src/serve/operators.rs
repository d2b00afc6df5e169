//! What a process says to operators of itself: what only it knows, as a snapshot of what it counts anyway.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use contract::{Remark, Service};
use observer::Observer;
use saga::{ConsumerView, Handle, Inspection, Participant, Partition, PartitionView, ReplicasView, ServiceView};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Idempotency, Path, Problem,
    call::call,
    openapi::{AnyProblem, NotFound},
    operator::Instruction,
};

struct Process {
    inspection: Inspection,
    /// What an answer promises.
    durability: &'static str,
    notes: Notes,
}

/// How long it may take until the history is certain to hear of what an operator had done.
const NOTE_WAIT: Duration = Duration::from_secs(2);

type Noted = Pin<Box<dyn Future<Output = Result<(), Problem>> + Send>>;

/// Has a partition of each service of the process say to observers what an operator had done to it.
#[derive(Clone, Default)]
pub(crate) struct Notes(BTreeMap<&'static str, Note>);

type Note = Arc<dyn Fn(Partition, Remark, Remark) -> Noted + Send + Sync>;

impl Notes {
    /// With another service, which says it upon a command.
    pub(crate) fn with<P: Participant>(
        mut self,
        handle: Handle<P>,
        command: impl Fn(Remark, Remark) -> P::Command + Send + Sync + 'static,
    ) -> Self {
        let note = move |partition, by, because| -> Noted {
            let (handle, command) = (handle.clone(), command(by, because));
            Box::pin(async move {
                call(&handle, partition, command, Idempotency::default(), Some(NOTE_WAIT)).await.map(drop)
            })
        };
        self.0.insert(P::NAME, Arc::new(note));
        self
    }
}

/// The routes of a process that runs what `inspection` looks at, and keeps it as `durability` says; what operators do is said by `notes`.
pub(crate) fn router(inspection: Inspection, durability: &'static str, notes: Notes) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_services))
        .routes(routes!(show_partition))
        .routes(routes!(redeliver))
        .with_state(Arc::new(Process { inspection, durability, notes }))
}

/// What runs in this process.
#[derive(Debug, Serialize, ToSchema)]
struct Services {
    /// Each service.
    services: Vec<ShownService>,
}

/// One service, as this process knows it.
#[derive(Debug, Serialize, ToSchema)]
struct ShownService {
    /// Its name.
    service: &'static str,
    /// What an answer promises.
    durability: &'static str,
    /// Its partitions.
    partitions: Vec<ShownPartition>,
    /// Its replicas, where it may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<ShownReplicas>,
}

/// The replicas of a service, as one of them sees them.
#[derive(Debug, Serialize, ToSchema)]
struct ShownReplicas {
    /// The internal address of the replica that answers.
    address: String,
    /// Whether it could read the membership list lately.
    is_reached: bool,
    /// What it lacks of others, so that it is not fit.
    lacks: Vec<String>,
    /// Who is on the list.
    members: Vec<ShownMember>,
}

/// A replica on the membership list.
#[derive(Debug, Serialize, ToSchema)]
struct ShownMember {
    /// Its internal address.
    address: String,
    /// Whether it reaches what its partitions need. One that is not fit gets none while another one is.
    is_fit: bool,
}

/// One partition. What only its owner knows is 0, and empty, elsewhere.
#[derive(Debug, Serialize, ToSchema)]
struct ShownPartition {
    /// Its number.
    partition: Partition,
    /// The internal address of its owner, as far as it is known, where the service may have several replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Whether this process is its owner.
    is_owned: bool,
    /// Whether its state is in memory.
    is_loaded: bool,
    /// Whether it answers nothing, for want of the right data.
    stands_still: bool,
    /// Why it does not do all of its work.
    reasons: Vec<String>,
    /// How many commits it had.
    head: u64,
    /// The number of the last event of its log.
    log_end: u64,
    /// Events that are kept for a consumer or an open checkout.
    retained: u64,
    /// How many events of others it has not consumed.
    lag: u64,
    /// Each service that consumes its log, as its partition that is furthest behind.
    consumers: Vec<ShownConsumer>,
    /// Deliveries in its mailbox.
    deliveries: usize,
    /// Requests in its mailbox.
    requests: usize,
    /// Requests that were taken and not answered.
    waiting: u64,
    /// Checkouts begun and not decided (order).
    in_flight: u64,
    /// Of those, checkouts past their deadline.
    stuck: u64,
    /// Checkouts for which something is held (stock, payment).
    held: u64,
    /// For how many seconds the longest of them has been held.
    held_seconds_max: u64,
    /// Checkouts that wait for what others hold.
    parked: u64,
    /// What waits until it is durable.
    gate: ShownGate,
}

/// Who consumes a log.
#[derive(Debug, Serialize, ToSchema)]
struct ShownConsumer {
    /// The service.
    service: String,
    /// Its partition.
    partition: Partition,
    /// The number of the last event that it has consumed, if it has said so.
    consumed: Option<u64>,
    /// How many events it is behind.
    lag: u64,
    /// Whether nobody waits for it.
    is_observer: bool,
}

/// Whose log is consumed.
#[derive(Debug, Serialize, ToSchema)]
struct ShownSource {
    /// The service.
    service: String,
    /// Its partition.
    partition: Partition,
    /// The number of the last event that was consumed.
    consumed: Option<u64>,
    /// How many events of it are known and not consumed.
    lag: u64,
}

/// The durability gate, as a partition sees it.
#[derive(Debug, Serialize, ToSchema)]
struct ShownGate {
    /// The position of the partition's last commit.
    committed: u64,
    /// Up to which position all is durable; nothing where every commit is at once.
    durable: Option<u64>,
    /// Commits and answers that wait for it.
    waiting: u64,
    /// Why nothing passes any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    poisoned: Option<String>,
}

/// One partition, with every log that it consumes and everybody who consumes its own.
#[derive(Debug, Serialize, ToSchema)]
struct Detail {
    /// Its service.
    service: &'static str,
    /// What it is like; `consumers` are all of them here.
    partition: ShownPartition,
    /// The logs that it consumes.
    sources: Vec<ShownSource>,
}

impl ShownService {
    fn new(ServiceView { service, partitions, replicas }: ServiceView, durability: &'static str) -> Self {
        let behind = |partition: PartitionView| {
            let consumers = furthest_behind(&partition.consumers);
            ShownPartition::new(&partition, consumers)
        };
        Self {
            service,
            durability,
            partitions: partitions.into_iter().map(behind).collect(),
            replicas: replicas.map(ShownReplicas::from),
        }
    }
}

impl From<ReplicasView> for ShownReplicas {
    fn from(ReplicasView { address, members, is_reached, lacks, .. }: ReplicasView) -> Self {
        let member = |member: saga::Member| ShownMember { address: member.address, is_fit: member.is_fit };
        Self { address, is_reached, lacks, members: members.into_iter().map(member).collect() }
    }
}

/// Of each consuming service, the partition that is furthest behind: with many partitions, all of them are a list for nobody.
fn furthest_behind(consumers: &[ConsumerView]) -> Vec<ShownConsumer> {
    let mut worst: BTreeMap<&str, &ConsumerView> = BTreeMap::new();
    for consumer in consumers {
        let known = worst.entry(&consumer.log.service).or_insert(consumer);
        if consumer.lag > known.lag {
            *known = consumer;
        }
    }
    worst.into_values().map(ShownConsumer::from).collect()
}

impl From<&ConsumerView> for ShownConsumer {
    fn from(ConsumerView { log, consumed, lag, is_observer }: &ConsumerView) -> Self {
        let (consumed, lag, is_observer) = (*consumed, *lag, *is_observer);
        Self { service: log.service.as_ref().to_owned(), partition: log.partition, consumed, lag, is_observer }
    }
}

impl ShownPartition {
    fn new(view: &PartitionView, consumers: Vec<ShownConsumer>) -> Self {
        Self {
            partition: view.log.partition,
            owner: view.owner.clone(),
            is_owned: view.is_owned,
            is_loaded: view.is_loaded,
            stands_still: view.stands_still,
            reasons: view.reasons.clone(),
            head: view.head,
            log_end: view.log_end,
            retained: view.retained,
            lag: view.sources.iter().map(|source| source.lag).sum(),
            consumers,
            deliveries: view.queues.deliveries,
            requests: view.queues.requests,
            waiting: view.queues.waiting,
            in_flight: view.in_flight,
            stuck: view.stuck,
            held: view.held,
            held_seconds_max: view.held_seconds_max,
            parked: view.parked,
            gate: ShownGate {
                committed: view.gate.committed,
                durable: view.gate.durable,
                waiting: view.gate.waiting,
                poisoned: view.gate.poisoned.clone(),
            },
        }
    }
}

/// Shows what runs in this process: partitions with their owners, queues and lags, and the replicas of a service.
#[utoipa::path(get, path = "/services", tag = "process", responses((status = 200, body = Services), AnyProblem))]
async fn list_services(State(process): State<Arc<Process>>) -> Json<Services> {
    let durability = process.durability;
    let services = process.inspection.services().into_iter().map(|view| ShownService::new(view, durability)).collect();
    Json(Services { services })
}

/// Shows one partition with every log that it consumes, and every partition that consumes its own.
#[utoipa::path(
    get, path = "/services/{service}/partitions/{partition}", tag = "process",
    params(
        ("service" = String, Path, description = "The service."),
        ("partition" = u16, Path, description = "The partition's number."),
    ),
    responses((status = 200, body = Detail), AnyProblem, NotFound),
)]
async fn show_partition(
    State(process): State<Arc<Process>>,
    Path((service, partition)): Path<(String, Partition)>,
) -> Result<Json<Detail>, Problem> {
    let (service, view) = find(&process, &service, partition)?;
    let source = |source: &saga::SourceView| ShownSource {
        service: source.log.service.as_ref().to_owned(),
        partition: source.log.partition,
        consumed: source.consumed,
        lag: source.lag,
    };
    Ok(Json(Detail {
        service,
        sources: view.sources.iter().map(source).collect(),
        partition: ShownPartition::new(&view, view.consumers.iter().map(ShownConsumer::from).collect()),
    }))
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
struct Redelivered {
    /// Whether it was only tried.
    dry_run: bool,
    /// What was done, or would be.
    message: String,
}

/// Has a partition read the logs that it consumes again, from where it is: what a lost delivery may have left. What it has
/// consumed is not applied a second time. Only the process that owns the partition does it. The history is told who had it done and why.
#[utoipa::path(
    post, path = "/services/{service}/partitions/{partition}/redeliver", tag = "process",
    params(
        ("service" = String, Path, description = "The service."),
        ("partition" = u16, Path, description = "The partition's number."),
        Instruction,
    ),
    responses((status = 200, body = Redelivered), AnyProblem, NotFound),
)]
async fn redeliver(
    State(process): State<Arc<Process>>,
    Path((service, partition)): Path<(String, Partition)>,
    Instruction { by, because, dry_run }: Instruction,
) -> Result<Json<Redelivered>, Problem> {
    let (by, because): (Remark, Remark) = (Instruction::remark("by", &by)?, Instruction::remark("because", &because)?);
    let (service, view) = find(&process, &service, partition)?;
    if !view.is_owned {
        let owner = view.owner.as_deref().unwrap_or("a replica that is not known");
        return Err(Problem::not_found(format!("the owner of {service}/{partition} is another process: {owner}")));
    }
    let sources: Vec<_> = view
        .sources
        .iter()
        .map(|source| format!("{} after event {} ({} behind)", source.log, source.consumed.unwrap_or(0), source.lag))
        .collect();
    let sources = sources.join(", ");
    if dry_run {
        return Ok(Json(Redelivered { dry_run, message: format!("would read {sources}") }));
    }
    tracing::info!(service, partition, %by, %because, "an operator has the logs of the sources read again");
    process.inspection.redeliver(service, partition);
    // It is done first: a partition that is stuck may not be able to say so.
    let told = match process.notes.0.get(service) {
        Some(note) => note(partition, by, because).await,
        None => Ok(()),
    };
    let told =
        told.map_or_else(|problem| format!("; the history was not told: {}", problem.detail()), |()| String::new());
    Ok(Json(Redelivered { dry_run, message: format!("reads {sources}{told}") }))
}

/// A partition of a service that runs in this process, whichever replica owns it.
fn find(process: &Process, service: &str, partition: Partition) -> Result<(&'static str, PartitionView), Problem> {
    let mut names = Service::ALL.map(Service::name).into_iter().chain([Observer::NAME]);
    let name = names.find(|name| *name == service);
    let found = name.and_then(|name| Some((name, process.inspection.partition(name, partition)?)));
    found.ok_or_else(|| Problem::not_found(format!("no partition {service}/{partition} runs in this process")))
}
