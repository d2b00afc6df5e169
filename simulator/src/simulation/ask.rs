//! Asking the history.

/// How often a history that does not answer is asked again.
pub(super) const TRIES: usize = 200;

/// A question to the history, through any process that answers it.
macro_rules! ask {
    ($world:expr, $history:ident => $question:expr) => {
        'answered: {
            for _ in 0..$crate::simulation::ask::TRIES {
                for replica in &$world.replicas {
                    let Some(handle) = replica.desks().and_then(|desks| desks.history) else { continue };
                    let $history = observer::History(handle);
                    if let Ok(answer) = $question.await {
                        break 'answered Ok(answer);
                    }
                }
                $crate::simulation::connection::wait($crate::simulation::inspect::LOOK).await;
            }
            Err("the history does not answer".to_owned())
        }
    };
}

pub(super) use ask;
