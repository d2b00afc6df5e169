//! Reading a history back, with ids replaced by numbers: a few million operations fit in memory.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde::Deserialize;
use smol_str::SmolStr;

use super::{Entry, Fault, Final, Kind, OrderFound, Preface, entry::FORMAT};
use crate::{Error, Outcome, Result};

/// A line longer than this is none of ours: an order of a hundred lines takes some kilobytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Ids of one sort by number and back.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Vec<SmolStr>,
    numbers: HashMap<SmolStr, u32>,
}

impl Names {
    /// The number of an id, a new one if it was never seen.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("fewer names than fit into memory");
        let name = SmolStr::new(name);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// The number of an id that was seen.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The id with this number.
    #[must_use]
    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("?", SmolStr::as_str)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Something with a balance: the stock of an item or the credit of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Account {
    /// The item with this number.
    Item(u32),
    /// The user with this number.
    User(u32),
}

/// What an operation asked for and read.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Adds to or (below zero) takes from an account.
    Change(Account, i64),
    /// Reads an account; `None` when nothing was read.
    Find(Account, Option<i64>),
    /// Creates an order for a user.
    Create {
        /// Whose.
        user: u32,
        /// Which, once it is known.
        order: Option<u32>,
    },
    /// Adds a line.
    AddItem {
        /// To this order.
        order: u32,
        /// Of this item.
        item: u32,
        /// So many units.
        quantity: i64,
    },
    /// Checks an order out.
    Checkout {
        /// Which.
        order: u32,
        /// The item that a refusal blamed.
        blamed: Option<u32>,
    },
    /// Reads an order.
    FindOrder {
        /// Which.
        order: u32,
        /// What was read.
        read: Option<Box<OrderRead>>,
    },
}

/// An order as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRead {
    /// Whether it was checked out.
    pub paid: bool,
    /// Pairs of item and quantity, sorted.
    pub lines: Vec<(u32, i64)>,
    /// Whose.
    pub user: u32,
    /// What it costs.
    pub total_cost: i64,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The connection that asked.
    pub client: u32,
    /// When it was sent.
    pub start: u64,
    /// When its answer was there.
    pub end: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it did not succeed.
    pub reason: Option<SmolStr>,
    /// What was asked and read.
    pub action: Action,
}

/// What was there after the last operation; `None` for what the server does not know any more.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Stock by item.
    pub stock: HashMap<u32, Option<i64>>,
    /// Price by item.
    pub price: HashMap<u32, i64>,
    /// Credit by user.
    pub credit: HashMap<u32, Option<i64>>,
    /// Orders.
    pub orders: HashMap<u32, Option<OrderRead>>,
    /// Whether the last line said that nothing is missing.
    pub complete: bool,
}

impl Known {
    /// Whether nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stock.is_empty() && self.credit.is_empty() && self.orders.is_empty()
    }
}

/// A whole history.
#[derive(Clone, Debug)]
pub struct History {
    /// What was there at first.
    pub preface: Preface,
    /// Every operation, in the order of the file.
    pub operations: Vec<Operation>,
    /// What was done to the server.
    pub faults: Vec<Fault>,
    /// What was there at last.
    pub state: Known,
    /// The ids of items.
    pub items: Names,
    /// The ids of users.
    pub users: Names,
    /// The ids of orders.
    pub orders: Names,
    /// Whether the last line was cut off, as after a crash of the recording program.
    pub cut_off: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Other {
    Fault(Fault),
    Final(Final),
}

/// Reads a history.
///
/// A last line that is cut off is left out and noted in [`History::cut_off`].
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::History`] with the line's number when it is not a history.
pub fn read(path: &Path) -> Result<History> {
    let mut lines = Lines::open(path)?;
    let Some((first, _)) = lines.next()? else {
        return Err(lines.invalid("it is empty"));
    };
    let preface: Preface = serde_json::from_slice(&first).map_err(|error| lines.invalid(no_preface(&first, &error)))?;
    if preface.history != FORMAT {
        return Err(lines.invalid(format!("format {}, but this program reads {FORMAT}", preface.history)));
    }
    let mut history = History::new(preface);
    while let Some((line, whole)) = lines.next()? {
        match history.line(&line) {
            Ok(()) => {}
            // A line without its line feed may have been cut anywhere.
            Err(_) if !whole => history.cut_off = true,
            Err(error) => return Err(lines.invalid(error)),
        }
    }
    Ok(history)
}

/// Why a first line does not begin a history.
fn no_preface(first: &[u8], error: &serde_json::Error) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(first).ok();
    match json.as_ref().and_then(|json| json.get("history")) {
        Some(format) if format == FORMAT => format!("the history's first line is not whole: {error}"),
        Some(format) => format!("format {format}, but this program reads {FORMAT}"),
        None => "this is no history: it does not begin with the line that `sagamart bench --history FILE` begins with"
            .to_owned(),
    }
}

/// Reads a final state, the `final` lines of a history, into a history in place of the one that it has.
///
/// # Errors
/// As [`read`].
pub fn read_state(path: &Path, history: &mut History) -> Result<()> {
    history.state = Known::default();
    let mut lines = Lines::open(path)?;
    while let Some((line, _)) = lines.next()? {
        // A whole history may serve as a state: its other lines do not matter here.
        match serde_json::from_slice::<Final>(&line) {
            Ok(state) => history.state(state),
            Err(_) if line.starts_with(b"{\"final\"") => {
                return Err(lines.invalid("not a line of a final state"));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

impl History {
    /// A history without operations.
    #[must_use]
    pub fn new(preface: Preface) -> Self {
        let numbered = |count: u64| {
            let mut names = Names::default();
            for number in 0..count {
                names.number(itoa::Buffer::new().format(number));
            }
            names
        };
        Self {
            operations: Vec::new(),
            faults: Vec::new(),
            state: Known::default(),
            items: numbered(preface.items.into()),
            users: numbered(preface.users.into()),
            orders: numbered(preface.orders),
            cut_off: false,
            preface,
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.starts_with(b"{\"op\"") {
            let entry: Entry = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            return self.entry(entry);
        }
        match serde_json::from_slice(line).map_err(|_| "neither an operation, a fault nor a final state")? {
            Other::Fault(fault) => self.faults.push(fault),
            Other::Final(state) => self.state(state),
        }
        Ok(())
    }

    /// Appends an operation.
    ///
    /// # Errors
    /// When a member is missing.
    pub fn entry(&mut self, entry: Entry) -> Result<(), String> {
        if entry.end < entry.start {
            return Err("an operation ends before it starts".to_owned());
        }
        let missing = |member: &str| format!("{} without `{member}`", entry.op.name());
        let amount = || {
            let amount = entry.amount.ok_or_else(|| missing("amount"))?;
            i64::try_from(amount).map_err(|_| "an amount that is too large".to_owned())
        };
        let item = entry.item.as_deref().map(|item| self.items.number(item));
        let user = entry.user.as_deref().map(|user| self.users.number(user));
        let order = entry.order.as_deref().map(|order| self.orders.number(order));
        let of_item = || item.map(Account::Item).ok_or_else(|| missing("item"));
        let of_user = || user.map(Account::User).ok_or_else(|| missing("user"));
        let of_order = || order.ok_or_else(|| missing("order"));
        let action = match entry.op {
            Kind::AddStock => Action::Change(of_item()?, amount()?),
            Kind::SubtractStock => Action::Change(of_item()?, -amount()?),
            Kind::AddFunds => Action::Change(of_user()?, amount()?),
            Kind::Pay => Action::Change(of_user()?, -amount()?),
            Kind::FindItem => Action::Find(of_item()?, entry.value),
            Kind::FindUser => Action::Find(of_user()?, entry.value),
            Kind::CreateOrder => Action::Create { user: user.ok_or_else(|| missing("user"))?, order },
            Kind::AddItem => {
                Action::AddItem { order: of_order()?, item: item.ok_or_else(|| missing("item"))?, quantity: amount()? }
            }
            Kind::Checkout => Action::Checkout { order: of_order()?, blamed: item },
            Kind::FindOrder => {
                let order = of_order()?;
                let read = entry.found.as_ref().map(|found| Box::new(self.order_read(found)));
                Action::FindOrder { order, read }
            }
        };
        let Entry { client, start, end, outcome, reason, .. } = entry;
        self.operations.push(Operation { client, start, end, outcome, reason, action });
        Ok(())
    }

    fn order_read(&mut self, found: &OrderFound) -> OrderRead {
        let mut lines: Vec<(u32, i64)> =
            found.items.iter().map(|(item, quantity)| (self.items.number(item), *quantity)).collect();
        lines.sort_unstable();
        OrderRead { paid: found.paid, lines, user: self.users.number(&found.user_id), total_cost: found.total_cost }
    }

    /// Appends a part of the final state.
    pub fn state(&mut self, state: Final) {
        match state {
            Final::Item { item, stock, price } => {
                let item = self.items.number(&item);
                self.state.stock.insert(item, stock);
                self.state.price.extend(price.map(|price| (item, price)));
            }
            Final::User { user, credit } => {
                let user = self.users.number(&user);
                self.state.credit.insert(user, credit);
            }
            Final::Order { order, found } => {
                let order = self.orders.number(&order);
                let found = found.map(|found| self.order_read(&found));
                self.state.orders.insert(order, found);
            }
            Final::End { .. } => self.state.complete = true,
        }
    }

    /// When the last operation ended.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.operations.iter().map(|operation| operation.end).max().unwrap_or(0)
    }
}

struct Lines {
    reader: BufReader<File>,
    path: String,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(Error::io(format!("cannot read {shown}")))?;
        Ok(Self { reader: BufReader::with_capacity(1 << 18, file), path: shown, number: 0 })
    }

    /// The next line that is not empty, and whether it has its line feed.
    fn next(&mut self) -> Result<Option<(Vec<u8>, bool)>> {
        loop {
            let mut line = Vec::with_capacity(256);
            let mut limited = std::io::Read::take(&mut self.reader, LINE_BYTES_MAX as u64);
            limited.read_until(b'\n', &mut line).map_err(Error::io(format!("cannot read {}", self.path)))?;
            self.number += 1;
            if line.is_empty() {
                return Ok(None);
            }
            if line.len() >= LINE_BYTES_MAX {
                return Err(self.invalid("the line is too long"));
            }
            let whole = line.last() == Some(&b'\n');
            if !line.trim_ascii().is_empty() {
                return Ok(Some((line, whole)));
            }
        }
    }

    fn invalid(&self, reason: impl std::fmt::Display) -> Error {
        Error::History { path: self.path.clone(), line: self.number, reason: reason.to_string() }
    }
}
