//! The commands of the feature `tools`, where it is off: each says how to get it.

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, Subcommand};

#[derive(Subcommand, Debug)]
pub(crate) enum Tool {
    #[command(hide = true)]
    Bench(Missing),
    #[command(hide = true)]
    Audit(Missing),
    #[command(hide = true)]
    Check(Missing),
    #[command(hide = true)]
    Sim(Missing),
}

/// Whatever the command would take.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Missing {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Tool {
    #[expect(clippy::print_stderr, reason = "it is all that there is to say")]
    pub(crate) fn run(self) -> ExitCode {
        eprintln!("sagamart: {self}");
        ExitCode::FAILURE
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (command, Missing { arguments }) = match self {
            Self::Bench(missing) => ("bench", missing),
            Self::Audit(missing) => ("audit", missing),
            Self::Check(missing) => ("check", missing),
            Self::Sim(missing) => ("sim", missing),
        };
        let arguments: String = arguments.iter().map(|argument| format!(" {}", argument.display())).collect();
        write!(
            formatter,
            "this program was built without `{command}`, to be built faster. With it:\n\n  \
             cargo run --release --features tools -- {command}{arguments}"
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser, Debug)]
    #[command(name = "sagamart")]
    struct Program {
        #[command(subcommand)]
        tool: Tool,
    }

    fn said(arguments: &[&str]) -> String {
        Program::try_parse_from([&["sagamart"], arguments].concat()).unwrap().tool.to_string()
    }

    #[test]
    fn each_command_says_how_to_get_it_with_all_that_it_was_given() {
        for (arguments, with) in [
            (
                &["bench", "--orders", "60000", "--url", "http://[::1]:8000"] as &[&str],
                "bench --orders 60000 --url http://[::1]:8000",
            ),
            (&["audit", "history.jsonl"], "audit history.jsonl"),
            (&["check", "--deep"], "check --deep"),
            (&["sim"], "sim"),
            // Not clap's own, which knows no option of them.
            (&["bench", "--help"], "bench --help"),
            (&["sim", "-h"], "sim -h"),
        ] {
            let said = said(arguments);
            assert!(said.contains(&format!("without `{}`", arguments[0])), "{said}");
            assert!(said.ends_with(&format!("\n\n  cargo run --release --features tools -- {with}")), "{said}");
        }
    }

    #[test]
    fn it_fails() {
        let tool = Program::try_parse_from(["sagamart", "sim"]).unwrap().tool;
        assert_eq!(tool.run(), ExitCode::FAILURE);
    }

    /// Hidden ones are for the tools themselves.
    #[cfg(feature = "tools")]
    #[test]
    fn every_tool_that_people_call_is_known_and_none_is_offered() {
        let names = |program: clap::Command, hidden: bool| {
            let commands = program.get_subcommands().filter(|command| command.is_hide_set() == hidden);
            commands.map(|command| command.get_name().to_owned()).collect::<Vec<_>>()
        };
        let tools = <crate::tools::Tool as Subcommand>::augment_subcommands(clap::Command::new("tools"));
        assert_eq!(names(Program::command(), true), names(tools, false));
        assert_eq!(names(Program::command(), false), [] as [&str; 0]);
    }
}
