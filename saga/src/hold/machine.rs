//! The state machine of a saga's record, and the queues of the pools that it asks.

use super::{Change, Claim, Hold, Holder, Pool, Pools, Refusal, Ticket, Vote, Wait, pools::Verdict};
use crate::Missing;

type ClaimOf<P> = Claim<<P as Holder>::Account>;
type TicketOf<P> = Ticket<<P as Holder>::Saga>;
type Queued<P> = Option<(TicketOf<P>, Vec<ClaimOf<P>>)>;

/// What a saga's cues do.
impl<P: Holder> Pools<'_, '_, P> {
    /// A saga asks for all of `claims` (each pool at most once) or nothing.
    pub(super) fn request(
        &mut self,
        saga: P::Saga,
        context: &P::Context,
        mut claims: Vec<ClaimOf<P>>,
    ) -> Result<(), Missing> {
        match self.hold(saga)? {
            None => {}
            Some(Hold::Tombstone) => {
                self.set_hold(saga, None);
                self.vote(context, Vote::Withdrawn);
                return Ok(());
            }
            // Asked before: a request is heard once, but being asked again must not hurt.
            Some(_) => return Ok(()),
        }
        match self.arrive(Ticket::Saga(saga), &claims)? {
            Verdict::Granted => {
                self.hold_all(&mut claims)?;
                self.set_hold(saga, Some(Hold::Held { claims }));
                self.vote(context, Vote::Held);
            }
            Verdict::Parked => {
                self.note("parked");
                self.say_parked(context, &claims)?;
                self.set_hold(saga, Some(Hold::Parked { claims, context: context.clone() }));
            }
            Verdict::Refused(account, refusal) => {
                self.set_hold(saga, Some(Hold::Refused));
                self.vote(context, Vote::Refused { account, refusal });
            }
        }
        Ok(())
    }

    /// A participant before this one refused: the saga will never ask here.
    pub(super) fn skip(&mut self, saga: P::Saga, context: &P::Context) -> Result<(), Missing> {
        let next = match self.hold(saga)? {
            None => Some(Hold::Skipped),
            Some(Hold::Tombstone) => None,
            Some(_) => return Ok(()),
        };
        self.set_hold(saga, next);
        self.vote(context, Vote::Withdrawn);
        Ok(())
    }

    /// The saga was decided for: what it holds is taken. `claims` is what it asked for, in case the hold was lost.
    pub(super) fn commit(&mut self, saga: P::Saga, claims: Vec<ClaimOf<P>>) -> Result<(), Missing> {
        let held = match self.hold(saga)? {
            Some(Hold::Held { claims }) => Some(claims.clone()),
            Some(Hold::Parked { claims, .. }) => {
                let claims = claims.clone();
                self.leave_queues(Ticket::Saga(saga), &claims)?;
                None
            }
            _ => None,
        };
        if held.is_none() {
            // The decision stands whatever this participant remembers of it.
            self.note("anomaly");
        }
        let had_hold = held.is_some();
        let claims = held.unwrap_or(claims);
        for claim in &claims {
            let was_there = self.change(&claim.account, |pool| {
                if had_hold {
                    pool.release(claim.quantity, claim.generation);
                }
                pool.take(claim.quantity)
            })?;
            if was_there == Some(false) {
                self.note("shortfall");
            }
        }
        self.set_hold(saga, None);
        self.note("committed");
        self.wake(&claims)
    }

    /// The saga was decided against: whatever it has here is undone. Cannot fail, and is exempt from every bound.
    pub(super) fn release(&mut self, saga: P::Saga, context: &P::Context) -> Result<(), Missing> {
        match self.hold(saga)? {
            None => {
                self.note("tombstone");
                self.set_hold(saga, Some(Hold::Tombstone));
                Ok(())
            }
            Some(Hold::Tombstone) => Ok(()),
            Some(Hold::Refused | Hold::Skipped) => {
                self.set_hold(saga, None);
                Ok(())
            }
            Some(Hold::Held { claims }) => {
                let claims = claims.clone();
                for claim in &claims {
                    self.change(&claim.account, |pool| pool.release(claim.quantity, claim.generation))?;
                }
                self.set_hold(saga, None);
                self.note("released");
                self.wake(&claims)
            }
            Some(Hold::Parked { claims, .. }) => {
                let claims = claims.clone();
                self.leave_queues(Ticket::Saga(saga), &claims)?;
                self.set_hold(saga, None);
                self.note("unparked");
                self.vote(context, Vote::Withdrawn);
                self.wake(&claims)
            }
        }
    }

    /// A newcomer: served if it fits and overtakes nobody who wants the same, refused if it never fits, else parked.
    pub(super) fn arrive(
        &mut self,
        ticket: TicketOf<P>,
        claims: &[ClaimOf<P>],
    ) -> Result<Verdict<P::Account>, Missing> {
        let parked_max = self.holder.parked_max();
        let (mut fits, mut crowded) = (true, None);
        for claim in claims {
            let Some(pool) = self.peek(&claim.account)? else {
                return Ok(Verdict::Refused(claim.account.clone(), Refusal::Unknown));
            };
            if let Some(shortage) = pool.shortage(claim.quantity) {
                return Ok(Verdict::Refused(claim.account.clone(), Refusal::Short(shortage)));
            }
            fits &= pool.parked().is_empty() && pool.fits(claim.quantity);
            if pool.parked().len() >= parked_max {
                crowded = Some(claim.account.clone());
            }
        }
        if fits {
            return Ok(Verdict::Granted);
        }
        if let Some(account) = crowded {
            return Ok(Verdict::Refused(account, Refusal::Busy));
        }
        for claim in claims {
            if let Some(pool) = self.queue_of(ticket, &claim.account)? {
                pool.park(ticket, claim.quantity);
            }
        }
        Ok(Verdict::Parked)
    }

    /// Says what keeps a saga waiting that has its places in the queues by now, at the end of each.
    fn say_parked(&mut self, context: &P::Context, claims: &[ClaimOf<P>]) -> Result<(), Missing> {
        for claim in claims {
            let Some(pool) = self.peek(&claim.account)? else { continue };
            let ahead = pool.parked().len().saturating_sub(1);
            if ahead > 0 || !pool.fits(claim.quantity) {
                let (account, wanted, free) = (claim.account.clone(), claim.quantity, pool.free());
                self.parked(context, Wait { account, wanted, free, ahead });
                break;
            }
        }
        Ok(())
    }

    /// The pool for a change of its queue, of which the places of sagas alone are stored.
    fn queue_of(&mut self, ticket: TicketOf<P>, account: &P::Account) -> Result<Option<&mut Pool<P::Saga>>, Missing> {
        match ticket {
            Ticket::Saga(_) => self.pool(account),
            Ticket::Direct(_) => self.waiters(account),
        }
    }

    fn hold_all(&mut self, claims: &mut [ClaimOf<P>]) -> Result<(), Missing> {
        for claim in claims {
            if let Some(generation) = self.change(&claim.account, |pool| pool.hold(claim.quantity))? {
                claim.generation = generation;
            }
        }
        Ok(())
    }

    fn leave_queues(&mut self, ticket: TicketOf<P>, claims: &[ClaimOf<P>]) -> Result<(), Missing> {
        for claim in claims {
            if let Some(pool) = self.queue_of(ticket, &claim.account)? {
                pool.unpark(&ticket);
            }
        }
        Ok(())
    }

    /// After the pools of `claims` changed: serves or refuses whoever is first in their queues, for as long as that
    /// changes anything, and answers readers. Each who waits is looked at only when it is first, so the work is in
    /// proportion to who leaves, not to who waits.
    pub(super) fn wake(&mut self, claims: &[ClaimOf<P>]) -> Result<(), Missing> {
        let mut accounts: Vec<P::Account> = claims.iter().map(|claim| claim.account.clone()).collect();
        while let Some(account) = accounts.pop() {
            while let Some((ticket, claims)) = self.first_in_queue(&account)? {
                let verdict = self.judge(&ticket, &claims)?;
                if matches!(verdict, Verdict::Parked) {
                    break;
                }
                self.leave_queues(ticket, &claims)?;
                let others = claims.iter().map(|claim| claim.account.clone()).filter(|other| *other != account);
                accounts.extend(others);
                self.note("unparked");
                self.serve(ticket, claims, verdict)?;
            }
            let readers = self.waiters(&account)?.map(Pool::drained_readers).unwrap_or_default();
            for reader in readers {
                self.show(reader, &account)?;
            }
        }
        Ok(())
    }

    fn first_in_queue(&mut self, account: &P::Account) -> Result<Queued<P>, Missing> {
        let Some(first) = self.peek(account)?.and_then(|pool| pool.parked().front().copied()) else {
            return Ok(None);
        };
        let claims = match first.ticket {
            Ticket::Direct(_) => vec![Claim::new(account.clone(), first.quantity)],
            Ticket::Saga(saga) => match self.hold(saga)? {
                Some(Hold::Parked { claims, .. }) => claims.clone(),
                // A place without a record is nobody's: give it up.
                _ => vec![Claim::new(account.clone(), u64::MAX)],
            },
        };
        Ok(Some((first.ticket, claims)))
    }

    /// What is to become of one who is first in a queue.
    fn judge(&mut self, ticket: &TicketOf<P>, claims: &[ClaimOf<P>]) -> Result<Verdict<P::Account>, Missing> {
        let mut served = true;
        for claim in claims {
            let Some(pool) = self.peek(&claim.account)? else {
                return Ok(Verdict::Refused(claim.account.clone(), Refusal::Unknown));
            };
            if let Some(shortage) = pool.shortage(claim.quantity) {
                return Ok(Verdict::Refused(claim.account.clone(), Refusal::Short(shortage)));
            }
            served &= pool.is_first(ticket) && pool.fits(claim.quantity);
        }
        Ok(if served { Verdict::Granted } else { Verdict::Parked })
    }

    fn serve(
        &mut self,
        ticket: TicketOf<P>,
        mut claims: Vec<ClaimOf<P>>,
        verdict: Verdict<P::Account>,
    ) -> Result<(), Missing> {
        match (ticket, verdict) {
            (_, Verdict::Parked) => Ok(()),
            (Ticket::Direct(request), Verdict::Granted) => {
                for claim in &claims {
                    self.change(&claim.account, |pool| pool.take(claim.quantity))?;
                    self.answer(request, &claim.account, Ok(()));
                    self.changed(&claim.account, Change::Taken(claim.quantity))?;
                }
                Ok(())
            }
            (Ticket::Direct(request), Verdict::Refused(account, refusal)) => {
                self.answer(request, &account, Err(refusal));
                Ok(())
            }
            (Ticket::Saga(saga), verdict) => {
                let Some(Hold::Parked { context, .. }) = self.hold(saga)? else {
                    return Ok(());
                };
                let context = context.clone();
                match verdict {
                    Verdict::Granted => {
                        self.hold_all(&mut claims)?;
                        self.set_hold(saga, Some(Hold::Held { claims }));
                        self.vote(&context, Vote::Held);
                    }
                    Verdict::Refused(account, refusal) => {
                        self.set_hold(saga, Some(Hold::Refused));
                        self.vote(&context, Vote::Refused { account, refusal });
                    }
                    Verdict::Parked => {}
                }
                Ok(())
            }
        }
    }
}
