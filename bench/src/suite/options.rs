//! The command line of a run.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::workloads::Planned;
use crate::load::Protocol;

const USAGE: &str = "\
Runs the bench and prints its tables.

  --rounds N                      rounds of all servers in turn (5)
  --seconds S                     seconds of each measurement, after a second of warm-up (2)
  --in-turn N                     echo workloads only: in each round all servers at once, or all clients, of which one at a time
                                  is loaded, or goes on, each for N turns of a twentieth of a second. Tells a few per cent on a
                                  machine that is not quiet
  --servers NAME,...              only these servers, and the clients of these names
  --protocol raw|socket.io        only this protocol
  --workloads NAME,...            only workloads whose names begin so, for instance echo,idle
  --add 'NAME PROTOCOL COMMAND'   a further server for this run; PROTOCOL is raw, socket.io or both, and COMMAND
                                  contains {port}, on which it listens at 127.0.0.1
  --json FILE                     keeps every row of every round
  --tables FILE                   measures nothing; prints the tables of the rows in FILE
  --no-counts                     without system calls, instructions and allocations per message
  --check FILE                    only Tidewire's instructions per message, against those recorded in FILE:
                                  fails where they are more than 5 % worse; a FILE that is not there is written
";

#[derive(Debug, Clone)]
pub struct Options {
    pub rounds: usize,
    pub seconds: f64,
    pub in_turn: Option<usize>,
    pub servers: Vec<String>,
    pub protocol: Option<Protocol>,
    pub workloads: Vec<String>,
    pub added: Vec<String>,
    pub json: Option<PathBuf>,
    pub tables: Option<PathBuf>,
    pub counts: bool,
    pub check: Option<PathBuf>,
}

impl Options {
    /// Parses the command line. Returns `None` if it only requests help.
    pub fn from_arguments(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self {
            rounds: 5,
            seconds: 2.0,
            in_turn: None,
            servers: Vec::new(),
            protocol: None,
            workloads: Vec::new(),
            added: Vec::new(),
            json: None,
            tables: None,
            counts: true,
            check: None,
        };
        let list = |value: &str| value.split(',').map(str::to_owned).collect();
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            if matches!(option.as_str(), "--help" | "-h" | "help") {
                print!("{USAGE}");
                return Ok(None);
            }
            if option == "--no-counts" {
                options.counts = false;
                continue;
            }
            let value = rest.next().with_context(|| format!("{option} needs a value\n\n{USAGE}"))?;
            match option.as_str() {
                "--rounds" => options.rounds = value.parse().context("--rounds")?,
                "--seconds" => options.seconds = value.parse().context("--seconds")?,
                "--in-turn" => options.in_turn = Some(value.parse().context("--in-turn")?),
                "--servers" => options.servers = list(value),
                "--protocol" => options.protocol = Some(Protocol::named(value)?),
                "--workloads" => options.workloads = list(value),
                "--add" => options.added.push(value.clone()),
                "--tables" => options.tables = Some(value.into()),
                "--json" => options.json = Some(value.into()),
                "--check" => options.check = Some(value.into()),
                _ => bail!("unknown option {option}\n\n{USAGE}"),
            }
        }
        Ok(Some(options))
    }

    pub(super) fn wants(&self, planned: &Planned) -> bool {
        let named =
            self.workloads.is_empty() || self.workloads.iter().any(|prefix| planned.name.starts_with(prefix));
        named && self.protocol.is_none_or(|protocol| protocol == planned.protocol)
    }
}
