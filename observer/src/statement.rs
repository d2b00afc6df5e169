//! Statements of account: what there was after each change.

use contract::{Amount, Change};
use web::Problem;

use crate::query::{Cursor, Found, Row};

/// What there is after each change, from the last one back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) after: Option<u64>,
    /// Whether all changes since it was created or set make what there is now.
    pub(crate) adds_up: Option<bool>,
}

impl Running {
    /// From the balance on, or from where an earlier answer ended.
    pub(crate) fn from_cursor(cursor: Option<&str>, balance: Amount) -> Result<(Option<Cursor>, Self), Problem> {
        let Some(cursor) = cursor else {
            return Ok((None, Self { after: Some(balance.get()), adds_up: None }));
        };
        let (place, running) = cursor.split_once('~').unwrap_or((cursor, ""));
        let wrong =
            || Problem::malformed("cursor: it is what an earlier answer gave as `next`").with("parameter", "cursor");
        let place: Cursor = place.parse().map_err(|_| wrong())?;
        let after = if running.is_empty() { None } else { Some(running.parse().map_err(|_| wrong())?) };
        Ok((Some(place), Self { after, adds_up: None }))
    }

    /// To go on later after a place.
    pub(crate) fn cursor(&self, place: Cursor) -> String {
        format!("{place}~{}", self.after.map_or_else(String::new, |after| after.to_string()))
    }

    /// What there is after a change, of which that is known after the next one.
    pub(crate) fn next(&mut self, row: &Row) -> Option<u64> {
        let known = self.after;
        let (balance, before) = match row.found {
            Found::Checkout(_, amount) => (known, known.and_then(|after| after.checked_add(amount.get()))),
            Found::Change(change @ (Change::Created | Change::Set), total) => {
                // It begins anew: what was before it is another account.
                let total = if change == Change::Created { 0 } else { total.get() };
                self.adds_up = self.adds_up.or_else(|| known.map(|after| after == total));
                (Some(total), None)
            }
            Found::Change(Change::Added(amount), total) => {
                let after = known.unwrap_or(total.get());
                (Some(after), after.checked_sub(amount.get()))
            }
            Found::Change(Change::Taken(amount), total) => {
                let after = known.unwrap_or(total.get());
                (Some(after), after.checked_add(amount.get()))
            }
        };
        self.after = before;
        balance
    }
}
