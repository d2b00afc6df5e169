//! Containers are killed and started again under load, as the README types it.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    docker::{command, inspect, run},
    gateway,
    load::{Answers, Load, Miss, Watch},
    project::{BASE, HIGHLY_AVAILABLE, Project, SERVICES},
};

/// A network of its own for each, so that what one leaves behind is in nobody's way.
const BASE_SUBNET: &str = "10.213.48";
const HIGHLY_AVAILABLE_SUBNET: &str = "10.213.49";

/// How long a killed container stays down: long enough for the gateway to try it again in vain.
const DOWN: Duration = Duration::from_secs(2);
/// Longer than Sentinel takes to replace a primary, so that what happens meanwhile is seen.
const FAILOVER: Duration = Duration::from_secs(5);
const REPLICAS_TIMEOUT: Duration = Duration::from_secs(60);

/// What clients noticed of a fault.
#[derive(Debug)]
struct Noticed {
    fault: String,
    answers: Answers,
    misses: Vec<Miss>,
}

impl Noticed {
    /// From the first read that was not answered to the end of the last.
    fn outage(&self) -> Duration {
        let began = self.misses.iter().map(|miss| miss.sent).min();
        let ended = self.misses.iter().map(|miss| miss.ended).max();
        began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began)
    }

    /// One line for whoever watches the run.
    #[expect(clippy::print_stdout, reason = "what each fault cost is worth seeing in a run that passes, too")]
    fn show(&self) {
        let Answers { succeeded, refused, unknown } = &self.answers;
        let outage = self.outage().as_secs_f64();
        println!(
            "{}: {succeeded} checkouts succeeded, refused {refused:?}, unknown {unknown:?}; reads out for {outage:.2} s {:?}",
            self.fault,
            self.misses.first().map(|miss| &miss.what),
        );
    }

    /// Nobody noticed anything: every read was answered, and every checkout in time to be told how it ended. On a machine that
    /// is too slow for the load some reach their deadline, with or without a fault; that is an answer.
    fn assert_invisible(&self) {
        let Self { fault, answers: Answers { succeeded, refused, unknown }, misses } = self;
        let late = refused.iter().all(|(reason, _)| reason == "timeout");
        assert!(*succeeded > 0 && late && unknown.is_empty(), "{fault} was noticed: {self:?}");
        assert!(misses.is_empty(), "{fault}: reads were not answered: {misses:?}");
    }

    /// Something was done all the same; how much is not asserted.
    fn assert_survived(&self) {
        assert!(self.answers.succeeded > 0, "{self:?}");
    }
}

/// What happens to a container.
#[derive(Clone, Copy)]
enum Fault {
    /// `docker kill`, and `docker start` after a while.
    Killed(Duration),
    /// `docker pause`, and `docker unpause` after a while: to others it looks like a very slow one.
    Frozen(Duration),
}

/// Lets it happen to a service's container under load, and waits until the container is well again.
async fn suffer(project: &Project, service: &str, fault: Fault, load_seconds: u64) -> Noticed {
    let container = project.container(service);
    let load = Load::start(project, load_seconds).await;
    let watch = Watch::start(project);
    let (begin, end, lasts, name) = match fault {
        Fault::Killed(lasts) => ("kill", "start", lasts, "killed"),
        Fault::Frozen(lasts) => ("pause", "unpause", lasts, "frozen"),
    };
    run(&mut command(&[begin, &container]));
    sleep(lasts).await;
    run(&mut command(&[end, &container]));
    project.await_healthy(&[container]);
    let answers = load.finish();
    let noticed = Noticed { fault: format!("{service} {name}"), answers, misses: watch.stop().await };
    noticed.show();
    noticed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_container_may_be_killed_and_the_loss_of_one_replica_of_a_service_is_not_noticed() {
    let project = Project::up("sagamart-test", &[BASE], BASE_SUBNET);
    for container in project.containers() {
        assert_hardened(&container);
    }
    gateway::answers_of_its_own_are_problems(&project).await;
    gateway::every_kind_of_problem_is_explained(&project).await;
    gateway::keys_of_clients_are_passed_on(&project).await;
    for number in [1, 2] {
        for service in SERVICES {
            let replica = format!("{service}-service-{number}");
            suffer(&project, &replica, Fault::Killed(DOWN), 8).await.assert_invisible();
        }
    }
    suffer(&project, "order-service-1", Fault::Frozen(DOWN), 8).await.assert_survived();
    for database in ["order-db", "stock-db", "payment-db"] {
        suffer(&project, database, Fault::Killed(DOWN), 8).await.assert_survived();
    }
    suffer(&project, "gateway", Fault::Killed(DOWN), 8).await.assert_survived();
    gateway::a_service_without_replicas_is_a_clear_503(&project).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_replicated_databases_any_one_of_them_may_be_killed() {
    let project = Project::up("sagamart-test-ha", &[BASE, HIGHLY_AVAILABLE], HIGHLY_AVAILABLE_SUBNET);
    for container in project.containers() {
        assert_hardened(&container);
    }
    for service in SERVICES {
        for database in ["db", "db-replica"] {
            await_replica(&project, service).await;
            let database = format!("{service}-{database}");
            suffer(&project, &database, Fault::Killed(FAILOVER), 10).await.assert_survived();
        }
    }
    suffer(&project, "sentinel-1", Fault::Killed(DOWN), 6).await.assert_survived();
}

/// Until the primary of a service has its replica again, the loss of another database is the loss of a second one.
async fn await_replica(project: &Project, service: &str) {
    let ask_sentinel = ["valkey-cli", "-p", "26379", "sentinel", "replicas", service];
    let sentinel = project.container("sentinel-2");
    let deadline = Instant::now() + REPLICAS_TIMEOUT;
    loop {
        let answer = run(command(&["exec", &sentinel]).args(ask_sentinel));
        if answer.lines().filter(|line| *line == "ok").count() == 1 {
            return;
        }
        assert!(Instant::now() < deadline, "{service} has not got its replica again: {answer}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// What the documentation says of every container, as Docker has it.
fn assert_hardened(container: &str) {
    let state = inspect(container);
    let at = |pointer: &str| state.pointer(pointer).unwrap_or_else(|| panic!("{container} has no {pointer}"));
    assert_eq!(at("/State/Health/Status"), "healthy", "{container}");
    assert_eq!(at("/HostConfig/ReadonlyRootfs"), true, "{container}");
    assert_eq!(at("/HostConfig/Privileged"), false, "{container}");
    assert_eq!(at("/HostConfig/CapDrop"), &serde_json::json!(["ALL"]), "{container}");
    assert_eq!(at("/HostConfig/SecurityOpt"), &serde_json::json!(["no-new-privileges:true"]), "{container}");
    assert_eq!(at("/HostConfig/RestartPolicy/Name"), "unless-stopped", "{container}");
    let user = at("/Config/User").as_str().unwrap_or_default();
    let user_id = user.split(':').next().and_then(|id| id.parse::<u32>().ok());
    assert!(user_id.is_some_and(|id| id > 0), "{container} runs as {user:?}");
    for bound in ["Memory", "NanoCpus", "PidsLimit"] {
        let limit = at(&format!("/HostConfig/{bound}")).as_i64();
        assert!(limit.is_some_and(|limit| limit > 0), "{container} has no {bound}");
    }
    let published = at("/HostConfig/PortBindings").as_object().map(|ports| ports.values().collect::<Vec<_>>());
    let published = published.unwrap_or_default();
    if container.ends_with("-gateway-1") {
        assert_eq!(published.len(), 1, "{container}: {published:?}");
        let address = published.first().and_then(|port| port.pointer("/0/HostIp"));
        assert_eq!(address.and_then(|address| address.as_str()), Some("127.0.0.1"), "{container}: {published:?}");
    } else {
        assert!(published.is_empty(), "{container} publishes {published:?}");
    }
}
