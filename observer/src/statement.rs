//! Statements of account: what there was after each change, and whether all changes make what there is now.
//!
//! Changes are in the order in which they were heard of, and what a checkout took is heard of from order, not from whoever
//! keeps the account. So a checkout may come before the account's creation, and on the other side of a bulk command that
//! set the account. Sums are the same in any order; a total that was set is not.

use contract::{Amount, Change};
use web::Problem;

use crate::query::{Cursor, Found, Row};

/// How the account began, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// Nothing is known of it.
    Unseen,
    /// It was created, with nothing. More of what was taken may have been heard of before that.
    Created,
    /// A bulk command set it; and whether what came after it makes what there is now, where that is certain.
    Set(Option<bool>),
}

/// What there is after each change, from the last one back.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Below zero where the last changes heard of are not the last that happened.
    after: Option<i64>,
    beginning: Beginning,
    has_gap: bool,
}

impl Running {
    /// From what there is now on.
    #[must_use]
    pub fn new(balance: Amount) -> Self {
        Self { after: Some(signed(balance)), beginning: Beginning::Unseen, has_gap: false }
    }

    /// From the balance on, or from where an earlier answer ended.
    pub(crate) fn from_cursor(cursor: Option<&str>, balance: Amount) -> Result<(Option<Cursor>, Self), Problem> {
        let Some(cursor) = cursor else { return Ok((None, Self::new(balance))) };
        let wrong =
            || Problem::malformed("cursor: it is what an earlier answer gave as `next`").with("parameter", "cursor");
        let mut parts = cursor.split('~');
        let place = parts.next().and_then(|place| place.parse().ok()).ok_or_else(wrong)?;
        let after = match parts.next() {
            None | Some("") => None,
            Some(after) => Some(after.parse().map_err(|_| wrong())?),
        };
        let flags = parts.next().unwrap_or("");
        let beginning = match flags.chars().find(|flag| *flag != 'g') {
            None => Beginning::Unseen,
            Some('c') => Beginning::Created,
            Some('t') => Beginning::Set(Some(true)),
            Some('s') => Beginning::Set(None),
            Some(_) => return Err(wrong()),
        };
        Ok((Some(place), Self { after, beginning, has_gap: flags.contains('g') }))
    }

    /// To go on later after a place.
    pub(crate) fn cursor(&self, place: Cursor) -> String {
        let after = self.after.map_or_else(String::new, |after| after.to_string());
        let beginning = match self.beginning {
            Beginning::Unseen => "",
            Beginning::Created => "c",
            Beginning::Set(Some(_)) => "t",
            Beginning::Set(None) => "s",
        };
        format!("{place}~{after}~{beginning}{}", if self.has_gap { "g" } else { "" })
    }

    /// Takes note that something was missed where the changes come from.
    pub fn note_gap(&mut self) {
        self.has_gap = true;
    }

    /// What there is after a change, of which that is known after the next one.
    pub fn next(&mut self, row: &Row) -> Option<u64> {
        let known = self.after;
        let (balance, before) = match row.found {
            Found::Checkout(_, amount) => (known, known.map(|after| after + signed(amount))),
            Found::Change(Change::Created, _) => {
                if self.beginning == Beginning::Unseen {
                    self.beginning = Beginning::Created;
                }
                (Some(0), known)
            }
            Found::Change(Change::Set, total) => {
                // It begins anew: what was before it is another account.
                if self.beginning == Beginning::Unseen {
                    self.beginning = Beginning::Set((known == Some(signed(total))).then_some(true));
                }
                (Some(signed(total)), None)
            }
            Found::Change(Change::Added(amount), total) => {
                let after = known.unwrap_or(signed(total));
                (Some(after), Some(after - signed(amount)))
            }
            Found::Change(Change::Taken(amount), total) => {
                let after = known.unwrap_or(signed(total));
                (Some(after), Some(after + signed(amount)))
            }
        };
        self.after = before;
        balance.and_then(|balance| u64::try_from(balance).ok())
    }

    /// Whether all changes since the account was created or set make what there is now, once no more of them `is_end`: `None`
    /// where that cannot be told.
    #[must_use]
    pub fn adds_up(&self, is_end: bool) -> Option<bool> {
        match self.beginning {
            Beginning::Set(adds_up) => adds_up,
            Beginning::Created if is_end => match self.after? {
                0 => Some(true),
                _ => (!self.has_gap).then_some(false),
            },
            Beginning::Created | Beginning::Unseen => None,
        }
    }
}

fn signed(amount: Amount) -> i64 {
    i64::try_from(amount.get()).expect("amounts are below 2^53")
}

#[cfg(test)]
mod tests {
    use contract::{Id, OrderId};

    use super::*;

    fn amount(value: u64) -> Amount {
        Amount::new(value).expect("a small number")
    }

    fn row(found: Found) -> Row {
        Row { cursor: Cursor::default(), at: 0, found }
    }

    fn paid(value: u64) -> Row {
        row(Found::Checkout(OrderId(Id::from_number(1)), amount(value)))
    }

    fn changed(change: Change, total: u64) -> Row {
        row(Found::Change(change, amount(total)))
    }

    /// With the cursor of an answer after every row.
    fn statement(balance: u64, rows: &[Row], has_gap: bool) -> Option<bool> {
        let mut running = Running::new(amount(balance));
        for row in rows {
            running.next(row);
            if has_gap {
                running.note_gap();
            }
            let cursor = running.cursor(row.cursor);
            running = Running::from_cursor(Some(&cursor), amount(0)).expect("its own cursor").1;
        }
        assert_eq!(running.adds_up(false), running.adds_up(true).filter(|_| !is_created(rows)));
        running.adds_up(true)
    }

    fn is_created(rows: &[Row]) -> bool {
        rows.iter().any(|row| matches!(row.found, Found::Change(Change::Created, _)))
    }

    #[test]
    fn a_checkout_that_was_heard_of_before_the_creation_counts() {
        let created = changed(Change::Created, 0);
        let added = changed(Change::Added(amount(10)), 10);
        assert_eq!(statement(8, &[added.clone(), created.clone(), paid(2)], false), Some(true));
        assert_eq!(statement(8, &[added.clone(), created.clone()], false), Some(false));
        assert_eq!(statement(8, &[added, created], true), None, "the rest may be what was missed");
    }

    #[test]
    fn a_total_that_was_set_among_checkouts_may_be_before_them_or_after() {
        let set = changed(Change::Set, 9);
        assert_eq!(statement(7, &[paid(2), set.clone()], false), Some(true));
        assert_eq!(statement(9, &[paid(2), set.clone()], false), None);
        assert_eq!(statement(7, &[set, paid(2)], false), None);
    }
}
