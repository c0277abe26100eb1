//! The workspace's own commands: `cargo xtask <command>`.
#![allow(clippy::print_stdout, reason = "a command prints its results")]

mod autobahn;
mod bench;
mod environment;
mod floors;
mod fuzz;
mod process;
mod shard;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
The workspace's own commands.

  cargo xtask autobahn [CASE...]     run every case of Autobahn's test suite, or the cases that match, for instance '6.4.*';
                                     a leading `server` or `client` limits the run to that program
  cargo xtask bench                  compare Tidewire with a bare epoll server and with peers; --help lists the options
  cargo xtask floors                 check that each crate imports only from lower floors (layers)
  cargo xtask fuzz [TARGET...]       run libFuzzer for ten minutes on each target; further options go to libFuzzer
  cargo xtask test                   run every check that a change must pass
    --full                           run every stage completely, without shards
    --shard NUMBER/OF                run this shard, for instance 3/8, instead of the one that HEAD selects
    --stage NAME...                  run only these stages: format, floors, lints, wasm, unit, instructions, node, browser,
                                     autobahn, reference; with --full completely
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["autobahn", patterns @ ..] => autobahn::command(patterns),
        ["bench", options @ ..] => bench::command(options),
        ["floors"] => floors::command(),
        ["fuzz", words @ ..] => fuzz::command(words),
        ["test", options @ ..] => test::command(options),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [unknown, ..] => Err(anyhow::anyhow!("unknown command {unknown:?}\n\n{USAGE}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
