//! Containers are stopped, killed and started again, idle and under load, as the README types it.

use std::time::{Duration, Instant};

use sagamart_black_box::{Outcome, Shop};
use tokio::time::sleep;

use crate::{
    crowd::{self, Crowd},
    docker::{command, inspect, run},
    gateway,
    load::{Answers, Load, Watch},
    monitoring, observer,
    project::{BASE, HIGHLY_AVAILABLE, Project, SERVICES},
    secrets, walk,
};

/// A network of its own for each, so that what one leaves behind is in nobody's way.
const BASE_SUBNET: &str = "10.213.48";
const HIGHLY_AVAILABLE_SUBNET: &str = "10.213.49";

/// How long a killed container stays down: long enough for the gateway to try it again in vain.
const DOWN: Duration = Duration::from_secs(2);
/// Longer than Sentinel takes to replace a primary, so that what happens meanwhile is seen.
const FAILOVER: Duration = Duration::from_secs(5);
const REPLICAS_TIMEOUT: Duration = Duration::from_secs(60);

/// What happens to a container.
#[derive(Clone, Copy)]
enum Fault {
    /// `docker kill`, and `docker start` after a while.
    Killed(Duration),
    /// `docker pause`, and `docker unpause` after a while: to others it looks like a very slow one.
    Frozen(Duration),
}

/// Faults that clients may notice, one after the other under one load, which is audited at its end.
struct Trial<'a> {
    project: &'a Project,
    load: Load,
    watch: Watch,
    began: Instant,
    faults: Vec<String>,
}

impl<'a> Trial<'a> {
    async fn start(project: &'a Project, load_seconds: u64) -> Self {
        let load = Load::start(project, load_seconds).await;
        Self { project, load, watch: Watch::start(project), began: Instant::now(), faults: Vec::new() }
    }

    /// Lets it happen to a service's container, and waits until the container is well again.
    async fn suffer(&mut self, service: &str, fault: Fault) {
        let container = self.project.container(service);
        let (begin, end, lasts) = match fault {
            Fault::Killed(lasts) => ("kill", "start", lasts),
            Fault::Frozen(lasts) => ("pause", "unpause", lasts),
        };
        self.faults.push(format!("{begin} {service} at {:.1} s", self.began.elapsed().as_secs_f64()));
        run(&mut command(&[begin, &container]));
        sleep(lasts).await;
        run(&mut command(&[end, &container]));
        self.project.await_healthy(&[container]);
    }

    /// Whatever clients were answered, the books are right, and some were served.
    #[expect(clippy::print_stdout, reason = "what faults cost is worth seeing in a run that passes, too")]
    async fn finish(self) {
        let Answers { succeeded, refused, unknown } = self.load.finish();
        println!(
            "{:#?}\n{succeeded} checkouts succeeded, refused {refused:?}, unknown {unknown:?}; reads:",
            self.faults
        );
        for miss in self.watch.stop().await.iter().step_by(20) {
            println!("  at {:.1} s {}", (miss.sent - self.began).as_secs_f64(), miss.what);
        }
        assert!(succeeded > 0, "{:?}", self.faults);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_container_may_be_stopped_or_killed_and_the_loss_of_one_replica_of_a_service_is_not_noticed() {
    let project = Project::up("sagamart-test", &[BASE], BASE_SUBNET);
    for container in project.containers() {
        assert_hardened(&container);
    }
    gateway::answers_of_its_own_are_problems(&project).await;
    gateway::every_kind_of_problem_is_explained(&project).await;
    gateway::keys_of_clients_are_passed_on(&project).await;
    walk::up_ps_kill_start_ps_logs(&project);
    secrets::each_is_shown_to_nobody_else(&project);
    secrets::a_later_start_keeps_them(&project);
    secrets::a_process_without_it_gets_nothing(&project).await;
    secrets::who_is_on_another_network_reaches_nothing(&project);
    monitoring::prometheus_reaches_every_replica(&project).await;
    observer::operators_are_let_in_on_loopback_alone(&project).await;
    observer::what_was_checked_out_is_explained(&project).await;
    observer::one_replica_is_enough(&project).await;
    observer::checkouts_go_on_without_the_history_which_catches_up(&project).await;
    nobody_notices_while_idle(&project).await;
    nobody_notices_under_load(&project).await;
    for (service, verb) in [("order-service-2", "stop"), ("stock-service-1", "kill"), ("payment-service-1", "stop")] {
        let replica = project.container(service);
        let fault = async { drop(run(&mut command(&[verb, &replica]))) };
        crowd::only_what_is_there_is_sold(&project, fault).await;
        project.start(&replica);
    }
    let mut trial = Trial::start(&project, 25).await;
    trial.suffer("order-service-1", Fault::Frozen(DOWN)).await;
    for container in ["order-db", "stock-db", "payment-db", "gateway"] {
        trial.suffer(container, Fault::Killed(DOWN)).await;
    }
    trial.finish().await;
    gateway::a_service_without_replicas_is_a_clear_503(&project).await;
}

/// Every replica, in an order in which each service keeps one that has been up for a while.
fn replicas() -> impl Iterator<Item = String> {
    [1, 2].into_iter().flat_map(|number| SERVICES.map(|service| format!("{service}-service-{number}")))
}

/// A fleet that does nothing has nothing to find a replica's absence by but what the replica said when it left.
async fn nobody_notices_while_idle(project: &Project) {
    let shop = Shop::new(project.client());
    let item = shop.item_with(1, 1_000).await;
    for replica in replicas().map(|replica| project.container(&replica)) {
        sleep(DOWN).await;
        run(&mut command(&["stop", &replica]));
        for _ in 0..5 {
            let user = shop.user_with(1).await;
            let order = shop.order_of(&user, &[(&item, 1)]).await;
            assert_eq!(shop.checkout(&order).await, Outcome::Succeeded, "{replica} was stopped while nothing was done");
        }
        project.start(&replica);
    }
}

/// Every replica is stopped and started, and killed and started, while fifty users buy without pause; then one that keeps the history
/// is killed, and its database, and the history has what was bought all the same.
#[expect(clippy::print_stdout, reason = "what was done is worth seeing in a run that passes, too")]
async fn nobody_notices_under_load(project: &Project) {
    // What the reads read.
    for path in ["/orders/batch_init/1/1/1/1", "/stock/batch_init/1/1/1", "/payment/batch_init/1/1"] {
        Shop::new(project.client()).succeed(path).await;
    }
    let told_before = observer::completed(project).await;
    let crowd = Crowd::start(project).await;
    let watch = Watch::start(project);
    let mut faults = Vec::new();
    for replica in replicas() {
        let container = project.container(&replica);
        for verb in ["stop", "kill"] {
            faults.push((crowd.seconds(), format!("{verb} {replica}")));
            run(&mut command(&[verb, &container]));
            sleep(DOWN).await;
            project.start(&container);
        }
    }
    for service in ["observer-service-1", "observer-db"] {
        let container = project.container(service);
        faults.push((crowd.seconds(), format!("kill {service}")));
        run(&mut command(&["kill", &container]));
        sleep(DOWN).await;
        project.start(&container);
    }
    let bought = crowd.finish().await;
    println!("{} units sold while replicas were stopped and killed: {faults:.1?}", bought.units);
    assert!(bought.noticed.is_empty() && bought.units > 0, "of {faults:.1?} was noticed {:.1?}", bought.noticed);
    let misses = watch.stop().await;
    assert!(misses.is_empty(), "of {faults:.1?} reads noticed {misses:?}");
    let told = observer::completed(project).await - told_before;
    // And the one that was bought to see how far the history is.
    assert_eq!(told, bought.units + 1, "what the history has of {} units", bought.units);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_replicated_databases_any_one_of_them_may_be_killed() {
    let project = Project::up("sagamart-test-ha", &[BASE, HIGHLY_AVAILABLE], HIGHLY_AVAILABLE_SUBNET);
    for container in project.containers() {
        assert_hardened(&container);
    }
    let mut trial = Trial::start(&project, 60).await;
    for service in SERVICES {
        for database in ["db", "db-replica"] {
            await_replica(&project, service).await;
            trial.suffer(&format!("{service}-{database}"), Fault::Killed(FAILOVER)).await;
        }
    }
    trial.suffer("sentinel-1", Fault::Killed(DOWN)).await;
    trial.finish().await;
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
pub(crate) fn assert_hardened(container: &str) {
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
    let on_loopback = ["-gateway-1", "-prometheus-1", "-observer-service-1-1", "-observer-service-2-1"];
    if on_loopback.iter().any(|name| container.ends_with(name)) {
        assert_eq!(published.len(), 1, "{container}: {published:?}");
        let address = published.first().and_then(|port| port.pointer("/0/HostIp"));
        assert_eq!(address.and_then(|address| address.as_str()), Some("127.0.0.1"), "{container}: {published:?}");
    } else {
        assert!(published.is_empty(), "{container} publishes {published:?}");
    }
}
