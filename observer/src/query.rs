//! What can be asked of the history, and what it answers.

use std::{fmt, str::FromStr};

use contract::{Amount, Change, ItemId, OrderId, Remark, Sum, UserId};
use minicbor::{Decode, Encode};

use crate::{
    filter::Filter,
    ledger::Ledger,
    page::{Act, Noted, Story},
};

/// A place in the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Cursor {
    /// The page.
    #[n(0)]
    pub page: u64,
    /// The place on it.
    #[n(1)]
    pub place: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.page, self.place)
    }
}

/// A text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a cursor is what an earlier answer gave as `next`")
    }
}

impl std::error::Error for CursorError {}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (page, place) = text.split_once('-').ok_or(CursorError)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(page) || !digits(place) {
            return Err(CursorError);
        }
        Ok(Self { page: page.parse().map_err(|_| CursorError)?, place: place.parse().map_err(|_| CursorError)? })
    }
}

/// One thing that was heard of, and where it is.
pub type Placed = (Cursor, Noted);

/// What moves are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Account {
    /// An item's units.
    #[n(0)]
    Item(#[n(0)] ItemId),
    /// A user's credit.
    #[n(1)]
    User(#[n(0)] UserId),
}

impl Account {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Item(item) => item.as_str(),
            Self::User(user) => user.as_str(),
        }
    }
}

/// What can be asked. Each question is answered from a bounded number of pages; `next` in the answer says from where on to
/// ask for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// Checkouts: those that are decided, the last decided first; or, where that is the state that is asked for, those that are
    /// not, the one that has been so for longest first.
    #[n(0)]
    Checkouts {
        /// What they have to be like.
        #[n(0)]
        filter: Filter,
        /// Those after this one.
        #[n(1)]
        after: Option<Cursor>,
        /// No more than so many.
        #[n(2)]
        limit: u32,
    },
    /// All attempts of an order.
    #[n(1)]
    Order {
        /// Which.
        #[n(0)]
        order: OrderId,
        /// What is on pages before this.
        #[n(1)]
        after: Option<Cursor>,
    },
    /// What was added to an account and taken from it, the last first.
    #[n(2)]
    Account {
        /// Which.
        #[n(0)]
        account: Account,
        /// What comes after this.
        #[n(1)]
        after: Option<Cursor>,
        /// No more than so much.
        #[n(2)]
        limit: u32,
        /// What happened up to this time only, in milliseconds since 1970.
        #[n(3)]
        until: Option<u64>,
    },
    /// Everything, in the order in which it was heard of.
    #[n(3)]
    Events {
        /// What comes after this; `None`: what comes from now on.
        #[n(0)]
        after: Option<Cursor>,
        /// No more than so much.
        #[n(1)]
        limit: u32,
    },
    /// How far the history goes.
    #[n(4)]
    Span,
    /// What all events come to.
    #[n(5)]
    Ledger,
    /// To count from what the services say that there is, where it is not known what there was and nothing was heard since.
    #[n(6)]
    CountFrom {
        /// As [`Ledger::heard`] was.
        #[n(0)]
        heard: u64,
        /// What all items have.
        #[n(1)]
        units: Sum,
        /// What all users have.
        #[n(2)]
        credit: Sum,
    },
    /// What operators had done last.
    #[n(7)]
    Acts,
    /// An operator had the observer's own partition read the logs of its sources again.
    #[n(8)]
    Redelivered {
        /// Who says so.
        #[n(0)]
        by: Remark,
        /// Why.
        #[n(1)]
        because: Remark,
    },
}

/// A checkout, and where its decision is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// To go on after it.
    #[n(0)]
    pub cursor: Cursor,
    /// What is known of it.
    #[n(1)]
    pub story: Story,
}

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Found {
    /// A checkout took so much.
    #[n(0)]
    Checkout(#[n(0)] OrderId, #[n(1)] Amount),
    /// A caller changed it, and what it had then.
    #[n(1)]
    Change(#[n(0)] Change, #[n(1)] Amount),
}

/// One line of a statement of account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Row {
    /// To go on after it.
    #[n(0)]
    pub cursor: Cursor,
    /// When, in milliseconds since 1970.
    #[n(1)]
    pub at: u64,
    /// What.
    #[n(2)]
    pub found: Found,
}

/// Some lines of a statement of account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Changes {
    /// The last first.
    #[n(0)]
    pub rows: Vec<Row>,
    /// Where there may be more.
    #[n(1)]
    pub next: Option<Cursor>,
    /// Whether something was missed where they were looked for, which may have been changes.
    #[n(2)]
    pub has_gap: bool,
}

/// How far the history goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Span {
    /// When the oldest of it happened, in milliseconds since 1970; `None` where there is nothing.
    #[n(0)]
    pub from: Option<u64>,
    /// Pages that are kept.
    #[n(1)]
    pub pages: u64,
    /// About how many bytes they take.
    #[n(2)]
    pub bytes: u64,
    /// Checkouts that were decided for, since the beginning.
    #[n(3)]
    pub completed: u64,
    /// Checkouts that were decided against, since the beginning.
    #[n(4)]
    pub cancelled: u64,
    /// Events that were missed, since the beginning.
    #[n(5)]
    pub missed: u64,
    /// Checkouts that are not decided.
    #[n(6)]
    pub undecided: u64,
    /// Whether some of those may have been decided unheard.
    #[n(7)]
    pub is_doubtful: bool,
}

/// What all events come to, and what it is to be read with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counts {
    /// The sums.
    #[n(0)]
    pub ledger: Ledger,
    /// Checkouts that are not decided.
    #[n(1)]
    pub undecided: u64,
    /// Events that were missed, since the beginning of the history.
    #[n(2)]
    pub missed: u64,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    /// To [`Command::Checkouts`].
    #[n(0)]
    Checkouts {
        /// The checkouts.
        #[n(0)]
        entries: Vec<Entry>,
        /// Where there may be more.
        #[n(1)]
        next: Option<Cursor>,
    },
    /// To [`Command::Order`].
    #[n(1)]
    Order {
        /// The attempts, the last one first.
        #[n(0)]
        stories: Vec<Story>,
        /// Where there may be more.
        #[n(1)]
        next: Option<Cursor>,
    },
    /// To [`Command::Account`].
    #[n(2)]
    Account(#[n(0)] Changes),
    /// To [`Command::Events`].
    #[n(3)]
    Events {
        /// Each with its place.
        #[n(0)]
        events: Vec<Placed>,
        /// To ask for what comes after them.
        #[n(1)]
        next: Cursor,
        /// Whether what came after the place that was asked for is gone.
        #[n(2)]
        is_cut: bool,
    },
    /// To [`Command::Span`].
    #[n(4)]
    Span(#[n(0)] Span),
    /// To [`Command::Ledger`] and [`Command::CountFrom`].
    #[n(5)]
    Ledger(#[n(0)] Counts),
    /// To [`Command::Acts`] and [`Command::Redelivered`]: the last one first.
    #[n(6)]
    Acts(#[n(0)] Vec<Act>),
}
