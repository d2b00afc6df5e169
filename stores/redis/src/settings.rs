//! What a server says of its settings and its memory, and whether that goes with the promise.

use crate::{Promise, connection::Connection, error::Failure};

/// The part of `maxmemory` above which callers' new work is refused. What is left is for what runs already: a checkout that
/// was begun needs a few hundred bytes to end, and the server's memory is looked at once a second.
const FULL_PERCENT: u64 = 90;

/// What was seen of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Whether it knows WAITAOF.
    pub(crate) waits_for_disks: bool,
    /// Whether it keeps an append-only file that all data are in.
    pub(crate) has_file: bool,
    /// Why it cannot keep the promise, and what to set.
    pub(crate) unfit: Option<String>,
    /// Why it should not be given new work, if its memory is nearly used up.
    pub(crate) full: Option<String>,
}

/// Two answers of a server.
struct Said {
    info: String,
    /// Names and values in turn; `None` where it does not tell.
    settings: Option<Vec<String>>,
}

impl Said {
    /// A line of INFO.
    fn info(&self, name: &str) -> &str {
        let value = self.info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim()
    }

    fn number(&self, name: &str) -> u64 {
        self.info(name).parse().unwrap_or(0)
    }

    /// A setting, where the server tells.
    fn setting(&self, name: &str) -> Option<&str> {
        let mut pairs = self.settings.as_ref()?.chunks_exact(2);
        pairs.find_map(|pair| match pair {
            [key, value] if key == name => Some(value.as_str()),
            _ => None,
        })
    }
}

/// Looks at a server, of which it was known whether it `had_file`. It is asked for its settings while it `tells` them. Who promises
/// nothing is content with any.
pub(crate) async fn inspect(
    connection: &mut Connection,
    promise: Option<Promise>,
    had_file: bool,
    tells: &mut bool,
) -> Result<Inspection, Failure> {
    let info: String = connection.ask(&redis::cmd("INFO")).await?;
    let mut said = Said { info, settings: None };
    if *tells {
        let mut question = redis::cmd("CONFIG");
        question.arg("GET").arg(&["appendfsync", "no-appendfsync-on-rewrite"]);
        match connection.ask(&question).await {
            Ok(settings) => said.settings = Some(settings),
            Err(Failure::Denied(_) | Failure::Refused(_)) => *tells = false,
            Err(failure) => return Err(failure),
        }
    }
    judge(&said, promise, had_file)
}

fn judge(said: &Said, promise: Option<Promise>, had_file: bool) -> Result<Inspection, Failure> {
    let version = version_in(said.info("redis_version")).ok_or_else(|| Failure::unexpected("INFO names no version"))?;
    let waits_for_disks = version >= (7, 2);
    // Without WAITAOF the primary's own flush is known by its answer only.
    let must_flush_first = match promise {
        Some(Promise::Always) => true,
        Some(Promise::Replicated) => !waits_for_disks,
        Some(Promise::Everysec) | None => false,
    };
    // Switched on while the server runs, the file is written from the beginning; until that is done, a crash loses all of it.
    let is_writing = said.info("aof_rewrite_in_progress") != "0" || said.info("aof_rewrite_scheduled") != "0";
    let is_first = !had_file || said.info("aof_base_size") == "0";
    let is_on = said.info("aof_enabled") == "1";
    let has_file = is_on && !(is_first && is_writing);
    let setting = |name: &str| if must_flush_first { said.setting(name) } else { None };
    let unfit = if version < (7, 0) {
        let (major, minor) = version;
        Some(format!("is version {major}.{minor}: Valkey 8 or Redis 7.0 is needed"))
    } else if promise.is_none() {
        None
    } else if !is_on {
        Some("keeps no append-only file: set `appendonly yes`".to_owned())
    } else if !has_file {
        Some("has just begun its append-only file, which does not hold everything yet".to_owned())
    } else if setting("appendfsync").is_some_and(|value| value != "always") {
        Some("does not flush before it answers, which is promised: set `appendfsync always`".to_owned())
    } else if setting("no-appendfsync-on-rewrite").is_some_and(|value| value != "no") {
        let what = "does not flush while it saves a snapshot or rewrites its file, which is promised";
        Some(format!("{what}: set `no-appendfsync-on-rewrite no`"))
    } else if said.info("maxmemory_policy") != "noeviction" {
        Some("may throw away data when memory is short: set `maxmemory-policy noeviction`".to_owned())
    } else {
        None
    };
    Ok(Inspection { waits_for_disks, has_file, unfit, full: full(said) })
}

/// As the server computes whether it has memory left.
fn full(said: &Said) -> Option<String> {
    let max = said.number("maxmemory");
    let used = said.number("used_memory").saturating_sub(said.number("mem_not_counted_for_evict"));
    // Divided first, for a product of so many bytes might be too big.
    (max > 0 && used / FULL_PERCENT >= max / 100)
        .then(|| format!("has used {used} of the {max} bytes of memory that it may use (`maxmemory`)"))
}

/// Of Redis, or the version of Redis that Valkey says it is compatible with.
fn version_in(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str], settings: &[&str]) -> Said {
        let usual = [
            "redis_version:7.2.4",
            "aof_enabled:1",
            "aof_rewrite_in_progress:0",
            "aof_rewrite_scheduled:0",
            "aof_base_size:88",
            "maxmemory:0",
            "maxmemory_policy:noeviction",
            "used_memory:1000",
            "mem_not_counted_for_evict:0",
        ];
        // The first line of a name counts.
        let info = lines.iter().chain(&usual).map(|line| format!("{line}\r\n")).collect();
        let usual = ["appendfsync", "always", "no-appendfsync-on-rewrite", "no"];
        let settings = settings.iter().chain(&usual).map(|&text| text.to_owned()).collect();
        Said { info, settings: Some(settings) }
    }

    fn unfit(said: &Said, promise: Promise) -> Option<String> {
        judge(said, Some(promise), true).expect("a version").unfit
    }

    #[test]
    fn each_promise_needs_its_settings() {
        let all = [Promise::Always, Promise::Replicated, Promise::Everysec];
        assert_eq!(all.map(|promise| unfit(&said(&[], &[]), promise)), [None, None, None]);
        let cases: [(Said, &str, [bool; 3]); 6] = [
            (said(&["redis_version:6.2.1"], &[]), "7.0", [true, true, true]),
            (said(&["aof_enabled:0"], &[]), "`appendonly yes`", [true, true, true]),
            (said(&["maxmemory_policy:volatile-lru"], &[]), "noeviction", [true, true, true]),
            (said(&[], &["appendfsync", "everysec"]), "`appendfsync always`", [true, false, false]),
            (said(&["redis_version:7.0.15"], &["appendfsync", "no"]), "`appendfsync always`", [true, true, false]),
            (said(&[], &["no-appendfsync-on-rewrite", "yes"]), "on-rewrite no`", [true, false, false]),
        ];
        for (said, word, expected) in cases {
            let found = all.map(|promise| unfit(&said, promise));
            assert_eq!(found.each_ref().map(Option::is_some), expected, "{word}");
            assert!(found.iter().flatten().all(|reason| reason.contains(word)), "{found:?}");
            if word != "7.0" {
                assert_eq!(judge(&said, None, true).expect("a version").unfit, None, "nothing is promised");
            }
        }
    }

    #[test]
    fn a_file_counts_once_it_holds_everything() {
        let rewriting = said(&["aof_rewrite_in_progress:1"], &[]);
        assert_eq!(unfit(&rewriting, Promise::Always), None, "the file that it replaces holds everything");
        let first = said(&["aof_rewrite_in_progress:1", "aof_base_size:0"], &[]);
        assert!(unfit(&first, Promise::Always).is_some());
        assert!(judge(&rewriting, Some(Promise::Always), false).expect("a version").unfit.is_some());
    }

    #[test]
    fn memory_is_full_a_little_before_the_server_says_so() {
        let full = |used: &str, rest: &[&str]| {
            let used = format!("used_memory:{used}");
            full(&said(&[rest, &["maxmemory:100000", used.as_str()]].concat(), &[])).is_some()
        };
        assert!(!full("89999", &[]));
        assert!(full("90000", &[]));
        assert!(!full("90000", &["mem_not_counted_for_evict:1000"]));
        assert!(!full("90000", &["maxmemory:0"]), "no bound");
    }
}
