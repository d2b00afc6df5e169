//! Clients: what they ask, how their messages travel, and what they make of the answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use contract::CheckoutId;
use order::Orders;
use saga::{CallError, CallOptions, Handle, IdempotencyKey, Timestamp};
use tokio::sync::oneshot;

use super::{
    climate::FaultKind, connection::wait, desks::Desks, lock::lock, random::Random, replica::EPOCH_MS, task,
    world::World,
};
use crate::{
    History, Service,
    market::role::{self, Role},
    plan::Setup,
    shop::{Operation, Outcome},
};

/// How much longer than a checkout may take a client waits for an answer.
const GRACE: Duration = Duration::from_secs(2);

/// What the clients of one round have in common.
pub(crate) struct Round {
    pub(crate) number: u64,
    pub(crate) setup: Setup,
    pub(crate) history: Mutex<History>,
    /// When each operation was begun and ended.
    pub(crate) times: Mutex<BTreeMap<usize, (Duration, Duration)>>,
    /// The final answers to each operation that was sent with a key.
    answers: Mutex<BTreeMap<usize, Outcome>>,
}

impl Round {
    pub(crate) fn new(number: u64, setup: Setup) -> Self {
        Self { number, setup, history: Mutex::default(), times: Mutex::default(), answers: Mutex::default() }
    }

    /// A name for an attempt that no other try of any operation has.
    fn attempt(&self, operation: usize, tries: u64) -> CheckoutId {
        let round = u128::from(self.number) << 20;
        CheckoutId::from_random(((round + operation as u128 + 1) << 64) | (u128::from(tries) << 32))
    }

    /// The operation of this round that began an attempt.
    pub(crate) fn operation_of(&self, attempt: CheckoutId) -> Option<usize> {
        let number = u128::from_be_bytes(attempt.to_bytes()) >> 64;
        let first = (u128::from(self.number) << 20) + 1;
        let operation = usize::try_from(number.checked_sub(first)?).ok()?;
        (operation < self.setup.plan.operations.len()).then_some(operation)
    }
}

/// What became of one message.
type Heard = Result<Outcome, CallError>;

/// What the copies of a request have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    /// Nothing: there must be none.
    None,
    /// The client's key.
    Key,
    /// As a gateway makes them, of a checkout: the name of the attempt, and when it was asked.
    Attempt(u64),
}

fn copies_of(world: &World, asked: &Operation, random: &mut Random) -> Copies {
    if asked.is_find() {
        return Copies::None;
    }
    if random.in_thousand(600) {
        return Copies::Key;
    }
    let is_checkout = matches!(asked, Operation::Checkout { .. });
    if is_checkout && random.in_thousand(700) {
        world.reach("copies of a checkout");
        let now = EPOCH_MS.unsigned_abs() + u64::try_from(world.now().as_millis()).expect("runs last hours");
        return Copies::Attempt(now);
    }
    Copies::None
}

/// Whether the same request with the same key gets this answer again.
fn is_final(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Busy | Outcome::InCheckout)
}

/// Sends an operation until it is answered, or, where it has no key, until it may have arrived. Returns what the client is
/// told, whether or not that binds all copies of the request.
pub(crate) async fn perform(
    world: Arc<World>,
    round: Arc<Round>,
    operation: usize,
    random: &mut Random,
) -> Option<Outcome> {
    let asked = round.setup.operation(operation).clone();
    let copies = copies_of(&world, &asked, random);
    let begun = world.now();
    lock(&round.history).begin(operation);
    world.note(format_args!("client asks {operation}: {asked:?}"));
    let mut sent = 0;
    let outcome = loop {
        let repeats = copies != Copies::None && random.in_thousand(world.rate(FaultKind::RequestsRepeated));
        let mut heard = send(&world, &round, operation, sent, copies, random);
        sent += 1;
        if repeats {
            world.reach("request repeated");
            drop(send(&world, &round, operation, sent, copies, random));
            sent += 1;
        }
        let patience = world.climate.checkout_timeout + world.climate.patience + GRACE;
        match tokio::time::timeout(patience, &mut heard).await {
            Ok(Ok(Ok(outcome))) => break Some(outcome),
            // Nothing was begun.
            Ok(Ok(Err(CallError::Stopped))) => world.reach("answer: not serving"),
            Ok(Ok(Err(CallError::Overloaded))) => world.reach("answer: overloaded"),
            Ok(Ok(Err(CallError::Unavailable | CallError::Moved))) => world.reach("answer: unavailable"),
            Ok(Ok(Err(CallError::KeyReused))) => {
                world.breaks(format!("operation {operation} is told that its key is another's"));
                return None;
            }
            Ok(Ok(Err(CallError::Unknown)) | Err(_)) | Err(_) => {
                world.reach("answer lost, outcome unknown");
                if copies == Copies::None {
                    break None;
                }
            }
        }
        wait(random.wait(100)).await;
    };
    world.note(format_args!("client is told {operation}: {outcome:?}"));
    let outcome = outcome?;
    if sent > 1 && !is_final(&outcome) {
        // A copy of the request may still be under way, and is not bound by this answer.
        return Some(outcome);
    }
    if sent > 1 {
        world.reach("answered after a repetition");
    }
    lock(&round.times).insert(operation, (begun, world.now()));
    lock(&round.history).end(operation, outcome.clone());
    Some(outcome)
}

/// Sends one message to some replica; the answer comes through the channel, if it comes.
fn send(
    world: &Arc<World>,
    round: &Arc<Round>,
    operation: usize,
    tries: u64,
    copies: Copies,
    random: &mut Random,
) -> oneshot::Receiver<Heard> {
    let replica = random.pick(&world.serving(role::service_of(round.setup.operation(operation))));
    let is_late = random.in_thousand(world.rate(FaultKind::MessagesLate));
    let ms_max = if is_late { 8000 } else { world.climate.network_ms };
    let (there, back) = (random.delay(ms_max), random.delay(ms_max));
    let is_lost = random.in_thousand(world.rate(FaultKind::RequestsLost));
    let is_unheard = random.in_thousand(world.rate(FaultKind::AnswersLost));
    let (answer, heard) = oneshot::channel();
    let (world, round, under_way) = (Arc::clone(world), Arc::clone(round), world.send_off());
    task::spawn(&Arc::clone(&world), "a request on its way", async move {
        wait(there).await;
        let addressed = &world.replicas[replica];
        if is_lost || addressed.is_isolated() {
            return;
        }
        let told = match addressed.desks() {
            None => Err(CallError::Stopped),
            Some(desks) => {
                addressed.thawed().await;
                let ended = addressed.ended();
                let told = tokio::select! {
                    biased;
                    told = ask(&world, (&desks, addressed.now()), &round, operation, tries, copies) => told,
                    () = addressed.gone(ended) => Err(CallError::Unknown),
                };
                addressed.thawed().await;
                told
            }
        };
        compare(&world, &round, operation, copies, &told);
        wait(back).await;
        if !is_unheard && !addressed.is_isolated() {
            // A client that is gone needs no answer.
            drop(answer.send(told));
        }
        drop(under_way);
    });
    heard
}

/// All answers to one request with a key are the same.
fn compare(world: &World, round: &Round, operation: usize, copies: Copies, told: &Heard) {
    let Ok(outcome) = told else { return };
    if copies != Copies::Key || !is_final(outcome) {
        return;
    }
    let mut answers = lock(&round.answers);
    match answers.get(&operation) {
        None => drop(answers.insert(operation, outcome.clone())),
        Some(first) if first == outcome => world.reach("key replayed"),
        Some(first) => {
            world.breaks(format!("operation {operation} was answered {first:?}, and repeated, {outcome:?}"));
        }
    }
}

/// Asks a replica, once the message is there.
async fn ask(
    world: &World,
    (desks, now): (&Desks, Timestamp),
    round: &Round,
    operation: usize,
    tries: u64,
    copies: Copies,
) -> Heard {
    let setup = &round.setup;
    let asked = setup.operation(operation);
    let key = (copies == Copies::Key).then(|| IdempotencyKey {
        key: format!("{}-{operation}", round.number).into(),
        fingerprint: saga::fingerprint([format!("{asked:?}").as_bytes()]),
        retention: None,
    });
    let patience = Some(world.climate.patience);
    match role::service_of(asked) {
        Service::Order => {
            let mut command = Orders::command(setup, operation, &[]);
            if let order::Command::Checkout { attempt, asked, .. } = &mut command {
                (*attempt, *asked) = match copies {
                    Copies::Attempt(first_asked) => (round.attempt(operation, 0), first_asked),
                    Copies::Key | Copies::None => (round.attempt(operation, tries), now.0),
                };
            }
            let options = CallOptions { key, patience: None };
            if matches!((&command, copies), (order::Command::Checkout { .. }, Copies::Attempt(_))) {
                return call(desks.of::<Orders>(), setup, asked, command, options).await;
            }
            check_out(world, desks, setup, asked, command, options).await
        }
        service => contract::of!(service, P => {
            let command = P::command(setup, operation, &[]);
            call(desks.of::<P>(), setup, asked, command, CallOptions { key, patience }).await
        }),
    }
}

/// As the route does: whoever asked alone, and too late for what the order remembers, asks anew.
async fn check_out(
    world: &World,
    desks: &Desks,
    setup: &Setup,
    asked: &Operation,
    mut command: order::Command,
    options: CallOptions,
) -> Heard {
    let handle = desks.of::<Orders>().ok_or(CallError::Stopped)?;
    let partition = handle.partition_of(role::name_of(setup, asked).as_bytes());
    loop {
        let reply = handle.call(partition, command.clone(), options.clone()).await?;
        match command.asked_anew(&reply) {
            Some(anew) => {
                world.reach("asked anew");
                command = anew;
            }
            None => return Ok(Orders::outcome(setup, &reply)),
        }
    }
}

async fn call<P: Role>(
    handle: Option<&Handle<P>>,
    setup: &Setup,
    asked: &Operation,
    command: P::Command,
    options: CallOptions,
) -> Heard {
    let handle = handle.ok_or(CallError::Stopped)?;
    let partition = handle.partition_of(role::name_of(setup, asked).as_bytes());
    let reply = handle.call(partition, command, options).await?;
    Ok(P::outcome(setup, &reply))
}

/// Asks a replica without a network in between: `None` where it gives no answer.
pub(crate) async fn ask_directly(world: &World, replica: usize, round: &Round, operation: usize) -> Option<Outcome> {
    let desks = world.replicas[replica].desks()?;
    let desks = (&desks, world.replicas[replica].now());
    ask(world, desks, round, operation, 0, Copies::None).await.ok()
}

/// Puts the plan's books in place, through any replica that answers.
pub(crate) async fn initialise(world: &World, setup: &Setup) {
    async fn put<P: Role<Command: Clone>>(world: &World, setup: &Setup) {
        for partition in 0..setup.plan.partitions.of(P::SERVICE) {
            for command in P::initial(setup, partition) {
                for replica in (0..world.replicas.len()).cycle() {
                    let desks = world.replicas[replica].desks();
                    if let Some(handle) = desks.as_ref().and_then(Desks::of::<P>)
                        && let Ok(reply) = handle.call(partition, command.clone(), CallOptions::default()).await
                        && P::outcome(setup, &reply) == Outcome::Done
                    {
                        break;
                    }
                    wait(Duration::from_millis(10)).await;
                }
            }
        }
    }
    for service in Service::ALL {
        contract::of!(service, P => put::<P>(world, setup).await);
    }
}
