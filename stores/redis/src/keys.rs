//! The keys of one partition, and the commands on them.

use bytes::Bytes;
use redis::Cmd;
use saga::{
    LogName, Partition,
    store::{
        Commit, Identity, RESIDENT,
        position::{epoch_of, sequence_of},
    },
};

use crate::nodes::slot_of;

/// The keys of one partition. They share a hash tag, so that a cluster keeps them together.
pub(crate) struct Keys {
    pub(crate) slot: u16,
    tag: String,
    meta: String,
    records: String,
    residents: String,
    cursors: String,
    log: String,
}

impl Keys {
    pub(crate) fn new(service: &str, partition: Partition) -> Self {
        let tag = format!("{service}:{partition}");
        let key = |name: &str| format!("{{{tag}}}:{name}");
        Self {
            slot: slot_of(&tag),
            meta: key("meta"),
            records: key("records"),
            residents: key("residents"),
            cursors: key("cursors"),
            log: key("log"),
            tag,
        }
    }

    /// The key that says what the service's data look like. It is beside the first partition's.
    pub(crate) fn description(&self) -> String {
        format!("{{{}}}:store", self.tag)
    }

    pub(crate) fn describe(&self) -> Cmd {
        let mut command = redis::cmd("GET");
        command.arg(self.description());
        command
    }

    /// A page of records, or of residents.
    pub(crate) fn scan(&self, residents: bool, cursor: u64) -> Cmd {
        /// Some more than so many at once.
        const COUNT: u32 = 500;
        let mut command = redis::cmd("HSCAN");
        command.arg(if residents { &self.residents } else { &self.records }).arg(cursor).arg("COUNT").arg(COUNT);
        command
    }

    /// The entries of the log that come after the id `after`, as they are.
    pub(crate) fn entries(&self, after: &str) -> Cmd {
        /// An entry may hold a few hundred events.
        const COUNT: u32 = 16;
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.log).arg(format!("({after}")).arg("+").arg("COUNT").arg(COUNT);
        command
    }

    /// The key of the list of living replicas.
    pub(crate) fn members(&self) -> String {
        format!("{{{}}}:members", self.tag)
    }

    /// The key of what the data belong with: an identity by the name of each other service.
    fn bonds(&self) -> String {
        format!("{{{}}}:bonds", self.tag)
    }

    pub(crate) fn bind(&self, peer: &str, met: Identity) -> Cmd {
        let mut command = redis::cmd("HSETNX");
        command.arg(self.bonds()).arg(peer).arg(met.to_string());
        command
    }

    pub(crate) fn bound_to(&self, peer: &str) -> Cmd {
        let mut command = redis::cmd("HGET");
        command.arg(self.bonds()).arg(peer);
        command
    }

    pub(crate) fn unbind(&self, peer: &str) -> Cmd {
        let mut command = redis::cmd("HDEL");
        command.arg(self.bonds()).arg(peer);
        command
    }

    /// `making`: the data are being made, so the partition need not be there.
    pub(crate) fn prepare(&self, identity: Identity, making: bool) -> Cmd {
        let keys = [&*self.meta, &*self.records, &*self.residents, &*self.cursors, &*self.log];
        let mut command = function("saga_3_prepare", &keys, 0);
        command.arg(identity.to_string()).arg(u8::from(making));
        command
    }

    pub(crate) fn begin_epoch(&self, above: u64) -> Cmd {
        let mut command = function("saga_3_begin", &[&self.meta], 0);
        command.arg(above);
        command
    }

    pub(crate) fn load(&self, wanted: &[Bytes]) -> Cmd {
        let bytes = wanted.iter().map(Bytes::len).sum();
        let keys = [&*self.meta, &*self.records, &*self.residents, &*self.cursors];
        let mut command = function("saga_3_load", &keys, bytes);
        for key in wanted {
            command.arg(key.as_ref());
        }
        command
    }

    pub(crate) fn residents(&self) -> Cmd {
        function("saga_3_residents", &[&self.meta, &self.residents], 0)
    }

    pub(crate) fn commit(&self, commit: &Commit) -> Cmd {
        let writes = commit.writes.iter().map(|write| write.key.len() + write.value.as_ref().map_or(0, Bytes::len));
        let bytes = writes.chain(commit.events.iter().map(Bytes::len)).sum();
        let keys = [&*self.meta, &*self.records, &*self.residents, &*self.cursors, &*self.log];
        let mut command = function("saga_3_commit", &keys, bytes);
        command.arg(epoch_of(commit.expected_head)).arg(sequence_of(commit.expected_head));
        command.arg(epoch_of(commit.trim)).arg(sequence_of(commit.trim));
        let of_kind = |resident: bool| {
            let writes = commit.writes.iter().filter(move |write| is_resident(&write.key) == resident);
            (writes.clone().filter(|write| write.value.is_some()), writes.filter(|write| write.value.is_none()))
        };
        let kinds = [of_kind(false), of_kind(true)];
        for (puts, removes) in &kinds {
            command.arg(puts.clone().count()).arg(removes.clone().count());
        }
        command.arg(commit.cursors.len()).arg(commit.events.len());
        for (puts, removes) in kinds {
            for write in puts.chain(removes) {
                command.arg(write.key.as_ref()).arg(write.value.as_deref());
            }
        }
        for cursor in &commit.cursors {
            command.arg(cursor.log.to_string()).arg(cursor.position);
        }
        for event in &commit.events {
            command.arg(event.as_ref());
        }
        command
    }

    pub(crate) fn read(&self, after: u64, limit: usize) -> Cmd {
        let mut command = function("saga_3_read", &[&self.meta, &self.log], 0);
        command.arg(epoch_of(after)).arg(sequence_of(after)).arg(limit);
        command
    }

    pub(crate) fn fence(&self, head: u64) -> Cmd {
        let mut command = function("saga_3_fence", &[&self.meta, &self.log], 0);
        command.arg(epoch_of(head)).arg(sequence_of(head));
        command
    }

    /// Looks at a partition whose keys may contradict each other; repairs it where that is wanted.
    pub(crate) fn repair(&self, is_wanted: bool) -> Cmd {
        let mut command = function("saga_3_repair", &[&self.meta, &self.cursors, &self.log], 0);
        command.arg(u8::from(is_wanted));
        command
    }

    pub(crate) fn beat(&self, id: u64, entry: &str, milliseconds: u128) -> Cmd {
        let mut command = function("saga_3_beat", &[&self.members()], 0);
        command.arg(id).arg(entry).arg(milliseconds.to_string());
        command
    }

    pub(crate) fn leave(&self, id: u64) -> Cmd {
        let mut command = redis::cmd("HDEL");
        command.arg(self.members()).arg(id);
        command
    }
}

/// A call of a function of the library, still without its arguments, of which there are so many `bytes`.
fn function(name: &str, keys: &[&str], bytes: usize) -> Cmd {
    /// What the keys, the numbers and the name take.
    const OVERHEAD_BYTES: usize = 256;
    let mut command = Cmd::with_capacity(16, bytes + OVERHEAD_BYTES);
    command.arg("FCALL").arg(name).arg(keys.len()).arg(keys);
    command
}

fn is_resident(key: &[u8]) -> bool {
    key.first() == Some(&RESIDENT)
}

/// The name of a log as [`LogName`] shows it.
pub(crate) fn parse_log_name(text: &str) -> Option<LogName> {
    let (service, partition) = text.rsplit_once('/')?;
    Some(LogName { service: service.into(), partition: partition.parse().ok()? })
}
