//! The workspace's own commands: `cargo xtask <command>`.
#![allow(clippy::print_stdout, reason = "a command talks to whoever called it")]

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

  cargo xtask autobahn [CASE...]     every case of Autobahn's, or those that match, for instance '6.4.*'; with `server` or
                                     `client` in front of them, only against that
  cargo xtask bench                  Tidewire against floor and peers; --help lists its options
  cargo xtask floors                 no crate imports upwards
  cargo xtask fuzz [TARGET...]       ten minutes of libFuzzer for each target; more options are libFuzzer's own
  cargo xtask test                   everything that must hold before a change goes in
    --full                           every stage, and all of each: no shards
    --shard NUMBER/OF                this part of what is run in shards, for instance 3/8, instead of the one that HEAD names
    --stage NAME...                  only these stages: format, floors, lints, wasm, unit, instructions, node, browser,
                                     autobahn, reference; with --full all of each
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
