//! Why a database cannot be opened.

use std::{io, path::PathBuf};

use saga::Partition;

/// Why a database cannot be opened. Whatever the reason, no data was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another handle in this one, has the database open.
    #[error("{} is in use by {}", directory.display(), process(*.holder))]
    Locked {
        /// The database's directory.
        directory: PathBuf,
        /// The process that has it open, where the operating system says so.
        holder: Option<u32>,
    },
    /// The directory is there, and there is no database in it to be read.
    #[error("{} is no database: there is no META in it", directory.display())]
    NoDatabase {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory holds something else.
    #[error(
        "{} is neither empty nor a database: it holds {entry:?}; choose another directory or empty this one",
        directory.display()
    )]
    NotADatabase {
        /// The directory.
        directory: PathBuf,
        /// A file in it that does not belong to a database.
        entry: String,
    },
    /// The database was written by another version of this program, in a format that this one does not know.
    #[error("{} is in format {found:?}, and this program knows format {supported} only", file.display())]
    UnknownFormat {
        /// The file that names the format.
        file: PathBuf,
        /// The format it names.
        found: String,
        /// The format that this program writes.
        supported: u32,
    },
    /// A file is damaged or missing. The database needs to be restored from a copy.
    #[error("{} is corrupt at byte {offset}: {what}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file, in bytes from its start; 0 where the whole file is meant.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory that was to be read or written.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

fn process(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |holder| format!("another process ({holder})"))
}

impl OpenError {
    pub(crate) fn corrupt(file: impl Into<PathBuf>, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.into(), offset, what: what.into() }
    }

    /// For `map_err`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Why a service's store cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The service's data has another number of partitions. It is fixed when the data is created.
    #[error("the data of service {service:?} has {stored} partitions, not {asked}")]
    PartitionsDiffer {
        /// The service.
        service: String,
        /// How many partitions its data has.
        stored: Partition,
        /// How many were asked for.
        asked: Partition,
    },
    /// A name is 1 to 64 letters, digits, `_` or `-`.
    #[error("{0:?} is no name for a service: 1 to 64 letters, digits, '_' or '-'")]
    Name(String),
    /// A service has at least one partition.
    #[error("service {0:?} needs at least one partition")]
    NoPartitions(String),
    /// A database holds at most 256 services.
    #[error("the database holds 256 services already")]
    TooMany,
    /// The operating system refused to record the new service.
    #[error("the new service could not be recorded: {0}")]
    Io(#[from] io::Error),
}
