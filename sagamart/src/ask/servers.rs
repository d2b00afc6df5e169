//! Which processes of a shop are asked what they are like.

use clap::Args;

use super::client::Address;

/// The options of those that ask several.
#[derive(Args, Clone, Debug)]
pub(super) struct Servers {
    /// Where another process of the shop lets operators in (its --admin-listen), which shows its metrics, its partitions and
    /// the replicas of its service; may be said several times. What --admin names is asked without it
    #[arg(long = "replica", value_name = "URL", env = "SAGAMART_REPLICA_ADMIN", value_delimiter = ',')]
    replicas: Vec<Address>,
}

impl Servers {
    /// Whoever is asked, each once; the one that --admin names is the first.
    pub(super) fn with(&self, admin: &Address) -> Vec<Address> {
        let mut all = vec![admin.clone()];
        for replica in &self.replicas {
            if !all.contains(replica) {
                all.push(replica.clone());
            }
        }
        all
    }
}
