//! Clients: what they ask, how their messages travel, and what they make of the answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use contract::CheckoutId;
use order::Orders;
use payment::Payment;
use saga::{CallError, CallOptions, Handle, IdempotencyKey};
use stock::Stock;
use tokio::sync::oneshot;

use super::{
    climate::FaultKind,
    connection::wait,
    process::Desks,
    random::Random,
    world::{World, lock},
};
use crate::{
    History, ServiceName,
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

/// Whether the same request with the same key gets this answer again.
fn is_final(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Busy | Outcome::InCheckout)
}

/// Sends an operation until it is answered, or, where it has no key, until it may have arrived.
pub(crate) async fn perform(world: Arc<World>, round: Arc<Round>, operation: usize, random: &mut Random) {
    let asked = round.setup.operation(operation).clone();
    let has_key = !asked.is_find() && random.in_thousand(700);
    let begun = world.now();
    lock(&round.history).begin(operation);
    world.note(format_args!("client asks {operation}: {asked:?}"));
    let mut sent = 0;
    let outcome = loop {
        let repeats = has_key && random.in_thousand(world.rate(FaultKind::RequestsRepeated));
        let mut heard = send(&world, &round, operation, sent, has_key, random);
        sent += 1;
        if repeats {
            world.reach("request repeated");
            drop(send(&world, &round, operation, sent, has_key, random));
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
                return;
            }
            Ok(Ok(Err(CallError::Unknown)) | Err(_)) | Err(_) => {
                world.reach("answer lost, outcome unknown");
                if !has_key {
                    break None;
                }
            }
        }
        wait(random.wait(100)).await;
    };
    world.note(format_args!("client is told {operation}: {outcome:?}"));
    let Some(outcome) = outcome else { return };
    if sent > 1 && !is_final(&outcome) {
        // A copy of the request may still be under way, and is not bound by this answer.
        return;
    }
    if sent > 1 {
        world.reach("answered after a repetition");
    }
    lock(&round.times).insert(operation, (begun, world.now()));
    lock(&round.history).end(operation, outcome);
}

/// Sends one message to some replica; the answer comes through the channel, if it comes.
fn send(
    world: &Arc<World>,
    round: &Arc<Round>,
    operation: usize,
    tries: u64,
    has_key: bool,
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
    tokio::spawn(async move {
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
                    told = ask(&world, &desks, &round, operation, tries, has_key) => told,
                    () = addressed.gone(ended) => Err(CallError::Unknown),
                };
                addressed.thawed().await;
                told
            }
        };
        compare(&world, &round, operation, has_key, &told);
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
fn compare(world: &World, round: &Round, operation: usize, has_key: bool, told: &Heard) {
    let Ok(outcome) = told else { return };
    if !has_key || !is_final(outcome) {
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
async fn ask(world: &World, desks: &Desks, round: &Round, operation: usize, tries: u64, has_key: bool) -> Heard {
    let setup = &round.setup;
    let asked = setup.operation(operation);
    let key = has_key.then(|| IdempotencyKey {
        key: format!("{}-{operation}", round.number).into(),
        fingerprint: saga::fingerprint([format!("{asked:?}").as_bytes()]),
        retention: None,
    });
    let patience = Some(world.climate.patience);
    match role::service_of(asked) {
        ServiceName::Order => {
            let mut command = Orders::command(setup, operation, &[]);
            if let order::Command::Checkout { attempt, .. } = &mut command {
                *attempt = round.attempt(operation, tries);
            }
            call(desks.order.as_ref(), setup, asked, command, CallOptions { key, patience: None }).await
        }
        ServiceName::Stock => {
            let command = Stock::command(setup, operation, &[]);
            call(desks.stock.as_ref(), setup, asked, command, CallOptions { key, patience }).await
        }
        ServiceName::Payment => {
            let command = Payment::command(setup, operation, &[]);
            call(desks.payment.as_ref(), setup, asked, command, CallOptions { key, patience }).await
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
    ask(world, &desks, round, operation, 0, false).await.ok()
}

/// Puts the plan's books in place, through any replica that answers.
pub(crate) async fn initialise(world: &World, setup: &Setup) {
    async fn put<P: Role>(
        world: &World,
        setup: &Setup,
        partitions: u16,
        desk: impl Fn(&Desks) -> Option<&Handle<P>>,
        is_done: impl Fn(&P::Reply) -> bool,
    ) where
        P::Command: Clone,
    {
        for partition in 0..partitions {
            for command in P::initial(setup, partition) {
                for replica in (0..world.replicas.len()).cycle() {
                    let desks = world.replicas[replica].desks();
                    if let Some(handle) = desks.as_ref().and_then(&desk)
                        && let Ok(reply) = handle.call(partition, command.clone(), CallOptions::default()).await
                        && is_done(&reply)
                    {
                        break;
                    }
                    wait(Duration::from_millis(10)).await;
                }
            }
        }
    }
    let partitions = setup.plan.partitions;
    let done = |reply: &order::Reply| *reply == order::Reply::Done;
    put::<Orders>(world, setup, partitions.order, |desks| desks.order.as_ref(), done).await;
    let done = |reply: &stock::Reply| *reply == stock::Reply::Done;
    put::<Stock>(world, setup, partitions.stock, |desks| desks.stock.as_ref(), done).await;
    let done = |reply: &payment::Reply| *reply == payment::Reply::Done;
    put::<Payment>(world, setup, partitions.payment, |desks| desks.payment.as_ref(), done).await;
}
