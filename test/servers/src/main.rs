//! Fetches every server that tests use, so that no test has to wait for it.

use std::process::ExitCode;

use test_servers::Kind;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]
fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for kind in Kind::ALL {
        match kind.install() {
            Ok(program) => println!("{kind}: {}", program.version()),
            Err(reason) => {
                eprintln!("{kind}: {reason}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
