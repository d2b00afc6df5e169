//! What a mixed load works on.

/// Options of a mixed load.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct MixOptions {
    /// Instead of measuring checkouts, send a mix of everything that the API has and let the referee judge it: direct
    /// changes, finds, orders built and checked out, again and at the same time, on few hot records and many cold ones
    #[arg(long, conflicts_with_all = ["rate", "baseline", "hot_item", "orders"], help_heading = "Mixed load")]
    pub mix: bool,

    /// End after so many operations, if that is before the time is over
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Mixed load")]
    pub mix_operations: Option<u64>,

    /// Items, and as many users
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000_000), help_heading = "Mixed load")]
    pub mix_records: u32,

    /// Of these, how many items and how many users are hot
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000), help_heading = "Mixed load")]
    pub mix_hot: u32,

    /// This share of the operations is on the hot ones
    #[arg(long, value_name = "PERCENT", default_value_t = 40, value_parser = clap::value_parser!(u8).range(0..=100), help_heading = "Mixed load")]
    pub mix_hot_percent: u8,

    /// Units of each item at the start: few enough to run out
    #[arg(long, value_name = "UNITS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000), help_heading = "Mixed load")]
    pub mix_stock: u64,

    /// Credit of each user at the start: little enough to run out
    #[arg(long, value_name = "CREDIT", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000), help_heading = "Mixed load")]
    pub mix_credit: u64,
}

impl Default for MixOptions {
    fn default() -> Self {
        Self {
            mix: false,
            mix_operations: None,
            mix_records: 500,
            mix_hot: 4,
            mix_hot_percent: 40,
            mix_stock: 30,
            mix_credit: 60,
        }
    }
}
