//! One connection to one server.

use redis::{Cmd, FromRedisValue, Pipeline, aio::MultiplexedConnection};

use crate::error::Failure;

/// A connection that many tasks use at the same time; clones share it.
#[derive(Clone)]
pub(crate) struct Connection(pub(crate) MultiplexedConnection);

impl Connection {
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Failure> {
        command.query_async(&mut self.0).await.map_err(Failure::from)
    }

    /// Sends commands together; those that the server refuses do not keep it from the others.
    pub(crate) async fn ask_all<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, Failure> {
        pipeline.query_async(&mut self.0).await.map_err(Failure::from)
    }
}
