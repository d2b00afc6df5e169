//! What must hold after every call, for any sequence of calls.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::books::{Account, Books, Heard, Letter, Name, Observed, Saga};
use crate::hold::{Change, Claim, Hold, Ticket, Vote};

const ACCOUNTS: [Account; 2] = ['a', 'b'];
const SAGAS: Saga = 8;

#[derive(Clone, Debug)]
enum Call {
    Request(Saga, Vec<(Account, u64)>),
    Skip(Saga),
    /// The saga is decided: committed if it holds and the flag is set, else released.
    Decide(Saga, bool),
    Take(Account, u64),
    Add(Account, u64),
    Read(Account),
    /// The patience of the n-th caller from the last is over.
    Expire(u64, Account),
    Restart,
}

fn account() -> impl Strategy<Value = Account> {
    prop::sample::select(ACCOUNTS.to_vec())
}

fn wanted() -> impl Strategy<Value = Vec<(Account, u64)>> {
    prop_oneof![
        (account(), 0_u64..4).prop_map(|wanted| vec![wanted]),
        (0_u64..4, 0_u64..4, any::<bool>()).prop_map(|(first, second, swap)| {
            let mut wanted = vec![('a', first), ('b', second)];
            if swap {
                wanted.reverse();
            }
            wanted
        }),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let saga = || 0..SAGAS;
    prop_oneof![
        6 => (saga(), wanted()).prop_map(|(saga, wanted)| Call::Request(saga, wanted)),
        1 => saga().prop_map(Call::Skip),
        6 => (saga(), any::<bool>()).prop_map(|(saga, well)| Call::Decide(saga, well)),
        2 => (account(), 0_u64..4).prop_map(|(account, quantity)| Call::Take(account, quantity)),
        1 => (account(), 0_u64..3).prop_map(|(account, quantity)| Call::Add(account, quantity)),
        2 => account().prop_map(Call::Read),
        1 => (0_u64..3, account()).prop_map(|(back, account)| Call::Expire(back, account)),
        1 => Just(Call::Restart),
    ]
}

/// The protocol's side of the bargain: each saga asks once or is skipped, and is decided once.
#[derive(Default)]
struct Sagas {
    asked: BTreeMap<Saga, Vec<(Account, u64)>>,
    decided: BTreeMap<Saga, ()>,
    votes: BTreeMap<Saga, Vec<Vote<Account>>>,
    callers: u64,
    answered: BTreeMap<u64, ()>,
    /// What was added, less what was taken for good.
    expected: BTreeMap<Account, u64>,
    initial: BTreeMap<Account, u64>,
    /// What sagas took for good.
    committed: BTreeMap<Account, u64>,
    taking: BTreeMap<u64, (Account, u64)>,
}

impl Sagas {
    fn run(&mut self, books: &mut Books, call: Call) -> Vec<Heard> {
        match call {
            Call::Request(saga, wanted) if !self.asked.contains_key(&saga) => {
                self.asked.insert(saga, wanted.clone());
                books.request(saga, &wanted)
            }
            Call::Skip(saga) if !self.asked.contains_key(&saga) => {
                self.asked.insert(saga, Vec::new());
                books.skip(saga)
            }
            Call::Decide(saga, well) if !self.decided.contains_key(&saga) => {
                self.decided.insert(saga, ());
                if well && matches!(books.holds.get(&saga), Some(Hold::Held { .. })) {
                    let wanted = self.asked[&saga].clone();
                    for (account, quantity) in &wanted {
                        *self.expected.get_mut(account).expect("a known account") -= quantity;
                        *self.committed.entry(*account).or_default() += quantity;
                    }
                    return books.commit(saga, &wanted);
                }
                books.release(saga)
            }
            Call::Take(account, quantity) => {
                self.callers += 1;
                self.taking.insert(self.callers, (account, quantity));
                books.take(self.callers, account, quantity)
            }
            Call::Add(account, quantity) => {
                *self.expected.get_mut(&account).expect("a known account") += quantity;
                books.add(account, quantity)
            }
            Call::Read(account) => {
                self.callers += 1;
                books.read(self.callers, account)
            }
            Call::Expire(back, account) => books.expire(self.callers.saturating_sub(back), account),
            Call::Restart => {
                *books = books.restarted();
                Vec::new()
            }
            Call::Request(..) | Call::Skip(_) | Call::Decide(..) => Vec::new(),
        }
    }

    fn hear(&mut self, heard: Vec<Heard>) {
        for heard in heard {
            match heard {
                Heard::Vote(saga, vote) => self.votes.entry(saga).or_default().push(vote),
                Heard::Answer(request, outcome) => {
                    assert!(self.answered.insert(request, ()).is_none(), "{request} is answered twice");
                    if let (Some((account, quantity)), Ok(())) = (self.taking.get(&request), outcome) {
                        *self.expected.get_mut(account).expect("a known account") -= quantity;
                    }
                }
                Heard::Shown(request, _) => {
                    assert!(self.answered.insert(request, ()).is_none(), "{request} is answered twice");
                }
            }
        }
    }

    /// Each who waits has said so, once; each change was said, and together they are what callers were told.
    fn check_observed(&self, books: &Books) {
        let mut waited: BTreeMap<Saga, usize> = BTreeMap::new();
        let mut told: BTreeMap<Account, i64> = BTreeMap::new();
        for observed in &books.observed {
            match observed {
                Observed::Parked(saga, wait) => {
                    *waited.entry(*saga).or_default() += 1;
                    assert!(wait.ahead > 0 || wait.wanted > wait.free, "saga {saga} waits for nothing: {wait:?}");
                }
                Observed::Changed(accounts, change, _) => {
                    let [account] = accounts[..] else { panic!("one account for each caller") };
                    *told.entry(account).or_default() += match change {
                        Change::Added(quantity) => *quantity as i64,
                        Change::Taken(quantity) => -(*quantity as i64),
                        other => panic!("nobody asked for {other:?}"),
                    };
                }
            }
        }
        assert!(waited.values().all(|times| *times == 1), "{waited:?}");
        for (saga, hold) in &books.holds {
            assert!(!matches!(hold, Hold::Parked { .. }) || waited.contains_key(saga), "saga {saga} waits unsaid");
        }
        for account in ACCOUNTS {
            let (told, committed) = (told.get(&account).copied().unwrap_or_default(), self.committed.get(&account));
            let total = self.initial[&account] as i64 + told - committed.copied().unwrap_or_default() as i64;
            assert_eq!(total, books.balance(account).0 as i64, "the events explain the total of {account}");
        }
    }

    fn check(&self, books: &Books) {
        for (account, pool) in &books.pools {
            assert_eq!(pool.total(), self.expected[account], "the total of {account}");
            assert_eq!(pool.shortfall(), 0);
            assert!(pool.held() <= pool.total());
        }
        for (account, pool) in &books.pools {
            let holding: Vec<&Claim<Letter>> = books
                .holds
                .values()
                .filter_map(|hold| match hold {
                    Hold::Held { claims } => Some(claims.iter().filter(|claim| claim.account.account() == *account)),
                    _ => None,
                })
                .flatten()
                .collect();
            let held: u64 = holding.iter().map(|claim| claim.quantity).sum();
            assert_eq!(pool.held(), held, "what is held of {account}");
            assert_eq!(pool.has_holds(), !holding.is_empty());
        }
        nobody_waits_in_vain(books);
        self.check_observed(books);
        for (saga, votes) in &self.votes {
            assert_eq!(votes.len(), 1, "saga {saga}: {votes:?}");
        }
    }
}

/// A place belongs to a parked saga or a caller; nobody who is first everywhere could be served, and nobody who is first in a
/// pool's queue could never be. One that is first elsewhere is refused when its turn comes where there will never be enough: looking
/// for it earlier would cost a look at all who wait.
fn nobody_waits_in_vain(books: &Books) {
    let mut places: BTreeMap<Saga, usize> = BTreeMap::new();
    for (account, pool) in &books.pools {
        for parked in pool.parked() {
            let claims = match parked.ticket {
                Ticket::Direct(_) => vec![Claim::new(Letter::from(*account), parked.quantity)],
                Ticket::Saga(Name(saga)) => {
                    *places.entry(saga).or_default() += 1;
                    match &books.holds[&saga] {
                        Hold::Parked { claims, .. } => claims.clone(),
                        other => panic!("saga {saga} waits for {account} and is {other:?}"),
                    }
                }
            };
            let fits_everywhere = claims.iter().all(|claim| {
                let pool = &books.pools[&claim.account.account()];
                pool.is_first(&parked.ticket) && pool.fits(claim.quantity)
            });
            assert!(!fits_everywhere, "{parked:?} could be served");
            let never = |claim: &Claim<Letter>| {
                let pool = &books.pools[&claim.account.account()];
                pool.is_first(&parked.ticket) && pool.shortage(claim.quantity).is_some()
            };
            assert!(!claims.iter().any(never), "{parked:?} will never be served");
        }
    }
    for (saga, hold) in &books.holds {
        if let Hold::Parked { claims, .. } = hold {
            assert_eq!(places.get(saga), Some(&claims.len()), "the places of saga {saga}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_invented_and_everybody_is_told_once(
        totals in (0_u64..6, 0_u64..6),
        parked_max in 0_usize..4,
        calls in vec(call(), 0..60),
    ) {
        let mut books = Books::new(ACCOUNTS.into_iter().zip([totals.0, totals.1]));
        books.parked_max = parked_max;
        let mut sagas = Sagas {
            expected: ACCOUNTS.into_iter().zip([totals.0, totals.1]).collect(),
            initial: ACCOUNTS.into_iter().zip([totals.0, totals.1]).collect(),
            ..Sagas::default()
        };
        for call in calls {
            let restart = matches!(call, Call::Restart);
            let heard = sagas.run(&mut books, call);
            sagas.hear(heard);
            // Whoever stood behind a forgotten caller is looked at when the hold that the caller waited for ends. The
            // check below is for places that no such end will free, so it looks at them now.
            if restart {
                for account in ACCOUNTS {
                    let heard = books.add(account, 0);
                    sagas.hear(heard);
                }
            }
            sagas.check(&books);
        }
        settle(&mut books, &mut sagas);
        prop_assert!(books.is_at_rest(), "{books:?}");
        prop_assert_eq!(sagas.votes.len(), SAGAS as usize, "every saga was spoken about");
    }
}

/// Every saga hears what it has not heard yet.
fn settle(books: &mut Books, sagas: &mut Sagas) {
    for saga in 0..SAGAS {
        for call in [Call::Skip(saga), Call::Decide(saga, true)] {
            let heard = sagas.run(books, call);
            sagas.hear(heard);
            sagas.check(books);
        }
    }
}
