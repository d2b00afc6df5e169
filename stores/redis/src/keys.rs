//! The keys of one partition, and the commands on them.

use bytes::Bytes;
use redis::Cmd;
use saga::{
    LogName, Partition,
    store::{
        Commit, RESIDENT,
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

    /// The key of the list of living replicas.
    pub(crate) fn members(&self) -> String {
        format!("{{{}}}:members", self.tag)
    }

    pub(crate) fn prepare(&self) -> Cmd {
        function("saga_2_prepare", &[&self.meta], 0)
    }

    pub(crate) fn load(&self, wanted: &[Bytes]) -> Cmd {
        let bytes = wanted.iter().map(Bytes::len).sum();
        let keys = [&*self.meta, &*self.records, &*self.residents, &*self.cursors];
        let mut command = function("saga_2_load", &keys, bytes);
        for key in wanted {
            command.arg(key.as_ref());
        }
        command
    }

    pub(crate) fn residents(&self) -> Cmd {
        function("saga_2_residents", &[&self.meta, &self.residents], 0)
    }

    pub(crate) fn commit(&self, commit: &Commit) -> Cmd {
        let writes = commit.writes.iter().map(|write| write.key.len() + write.value.as_ref().map_or(0, Bytes::len));
        let bytes = writes.chain(commit.events.iter().map(Bytes::len)).sum();
        let keys = [&*self.meta, &*self.records, &*self.residents, &*self.cursors, &*self.log];
        let mut command = function("saga_2_commit", &keys, bytes);
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
        let mut command = function("saga_2_read", &[&self.meta, &self.log], 0);
        command.arg(epoch_of(after)).arg(sequence_of(after)).arg(limit);
        command
    }

    pub(crate) fn fence(&self, head: u64) -> Cmd {
        let mut command = function("saga_2_fence", &[&self.meta], 0);
        command.arg(epoch_of(head)).arg(sequence_of(head));
        command
    }

    pub(crate) fn beat(&self, id: u64, address: &str, milliseconds: u128) -> Cmd {
        let mut command = function("saga_2_beat", &[&self.members()], 0);
        command.arg(id).arg(address).arg(milliseconds.to_string());
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
