//! `sagamart check-database`: reads all that is in a redis database, and repairs what contradicts itself.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use contract::{Event, Service};
use saga::{Participant, Partition, check_record, read_event};
use store_redis::{Examination, Options, State, Verdict};

use crate::serve::{DatabaseOptions, StoreAddress};

/// Reads everything that order, stock and payment keep in a redis database, and says what is wrong with it: partitions that
/// contradict themselves, records and events that cannot be read.
///
/// The services may go on meanwhile. Without --repair nothing is changed. Exits with 1 if anything is wrong.
#[derive(Args, Debug)]
pub(crate) struct CheckDatabase {
    /// Where the data are, as given with --store: redis://…, redis-sentinel://… or redis-cluster://…
    #[arg(value_name = "URL")]
    store: StoreAddress,

    #[command(flatten)]
    database: DatabaseOptions,

    /// Also repair partitions that contradict themselves, where there is a safe way: finish a commit that was written but for
    /// its last step, drop events of a commit that nothing else knows of. Make a copy of the database first
    #[arg(long)]
    repair: bool,

    /// With --repair: say what would be done, and do nothing
    #[arg(long, requires = "repair")]
    dry_run: bool,
}

/// Why a check could not be made to its end.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Open(#[from] store_redis::OpenError),
    #[error("{0}")]
    Store(#[from] saga::store::Error),
    #[error("this reads redis databases; `sagamart check-data` reads a directory")]
    Directory,
    #[error("there are no data of order, stock or payment")]
    Nothing,
    #[error("{0}")]
    Write(#[from] io::Error),
}

impl CheckDatabase {
    pub(crate) async fn run(self) -> ExitCode {
        match self.check(&mut io::stdout()).await {
            Ok(0) => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => super::failed(&error),
        }
    }

    /// How much is wrong.
    async fn check(&self, out: &mut impl Write) -> Result<u64, Error> {
        let (mut services, mut wrong) = (0, 0);
        let StoreAddress::Redis(url) = &self.store else { return Err(Error::Directory) };
        for service in Service::ALL {
            let options = self.database.adapt(Options::new(url, service.name(), 1));
            let Some(data) = Examination::open(options).await? else { continue };
            services += 1;
            for partition in 0..data.partitions() {
                wrong += contract::of!(service, P => self.partition::<P>(&data, partition, out).await?);
            }
        }
        if services == 0 {
            return Err(Error::Nothing);
        }
        writeln!(out, "{}", if wrong == 0 { "nothing is wrong".to_owned() } else { format!("{wrong} wrong") })?;
        Ok(wrong)
    }

    async fn partition<P: Participant>(
        &self,
        data: &Examination,
        partition: Partition,
        out: &mut impl Write,
    ) -> Result<u64, Error> {
        let log = format!("{}/{partition}", P::NAME);
        let does = self.repair && !self.dry_run;
        let state = if does { data.repair(partition).await } else { data.state(partition).await };
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                writeln!(out, "{log}: {error}")?;
                return Ok(1);
            }
        };
        let mut wrong = u64::from(!(matches!(state.verdict, Verdict::Whole) || does && is_repaired(&state)));
        writeln!(out, "{log}: {}", says(&state, does))?;
        let (mut records, mut events, mut unreadable) = (0_u64, 0_u64, Vec::new());
        data.records(partition, |key, value| {
            records += 1;
            if let Err(error) = check_record::<P>(key, value) {
                unreadable.push(format!("record {}: {error}", key.escape_ascii()));
            }
        })
        .await?;
        data.events(partition, |position, event| {
            events += 1;
            if let Err(error) = read_event::<Event>(event) {
                unreadable.push(format!("event {position}: {error}"));
            }
        })
        .await?;
        for line in &unreadable {
            writeln!(out, "{log}: unreadable: {line}")?;
        }
        wrong += unreadable.len() as u64;
        writeln!(out, "{log}: {records} records and {events} events read")?;
        Ok(wrong)
    }
}

fn is_repaired(state: &State) -> bool {
    matches!(state.verdict, Verdict::Finish | Verdict::Drop)
}

fn says(state: &State, was_done: bool) -> String {
    let State { verdict, epoch, head, end, log_end: (log_epoch, log_end), right: (right_head, right_end) } = *state;
    if verdict == Verdict::Whole {
        return format!("whole, {head} commits, {end} events");
    }
    let found = format!(
        "meta says {head} commits and that the log ends at {epoch}-{end}; the log ends at {log_epoch}-{log_end}"
    );
    let what = match (verdict, was_done) {
        (Verdict::Finish, true) => format!("finished: {right_head} commits, the log ends at {right_end}"),
        (Verdict::Finish, false) => format!(
            "the last commit lacks its last step, and --repair does it: {right_head} commits, the log ends at {right_end}"
        ),
        (Verdict::Drop, true) => format!("dropped what came after {right_end}"),
        (Verdict::Drop, false) => format!("nothing knows of the events after {right_end}, and --repair drops them"),
        (Verdict::Lost, _) => "events are gone that may be needed: take a replica or a copy of the database".to_owned(),
        _ => "nothing says which is right: take a replica or a copy of the database".to_owned(),
    };
    format!("{found}: {what}")
}
