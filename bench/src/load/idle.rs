//! Idle connections: the cost of opening them, their memory before and after some activity, and the memory that remains
//! after they have closed.

use anyhow::Result;

use super::broadcast::{Room, join};
use super::echo::Echo;
use super::fleet::Fleet;
use super::measure::{Reading, Row};
use super::options::{Options, Protocol, Workload};
use super::script::{Kind, Script};
use crate::host::{peak, resident, settle};

/// The number of broadcasts in a burst, and their size.
const BURST: u32 = 20;
const BURST_SIZE: usize = 1024;

pub(super) fn run(options: &Options) -> Result<Row> {
    let Workload::Idle { connections } = options.workload else { unreachable!() };
    let process = options.process;
    let mut row = Row::new(options);
    // One connection was opened and closed before, so that a server's one-time allocations are not counted.
    drop(Fleet::open(options.address, options.protocol, 1)?);
    settle(process)?;
    let start = resident(process)?;
    row.set("start_mib", mebibytes(start));
    let each = |bytes: u64| (bytes as f64 - start as f64) / connections as f64;

    let before = Reading::take(process)?;
    let mut fleet = Fleet::open(options.address, options.protocol, connections)?;
    let opened = Reading::take(process)?;
    row.set_cpu_each("cpu_us_per_handshake", before, opened, connections);
    settle(process)?;
    row.set("bytes_fresh", each(resident(process)?));

    let kind = if options.protocol == Protocol::Raw { Kind::Raw } else { Kind::Event };
    let mut echo = Echo::new(Script::new(kind, 32), connections);
    echo.limit(connections as u64);
    echo.begin(&mut fleet, 1)?;
    echo.finish(&mut fleet)?;
    row.set_tally(echo.tally());
    settle(process)?;
    row.set("bytes_after_message", each(resident(process)?));

    if options.protocol == Protocol::SocketIo {
        join(&mut fleet)?;
        settle(process)?;
        row.set("bytes_joined", each(resident(process)?));
        let mut room = Room::new(Script::new(Kind::Broadcast, BURST_SIZE), connections);
        room.send_all(&mut fleet, BURST as usize, BURST)?;
        row.set_tally(room.tally());
        settle(process)?;
        row.set("bytes_after_burst", each(resident(process)?));
    }
    row.set("disconnected", fleet.gone() as f64);
    row.set("peak_mib", mebibytes(peak(process)?));

    let before = Reading::take(process)?;
    drop(fleet);
    settle(process)?;
    row.set_cpu_each("cpu_us_per_close", before, Reading::take(process)?, connections);
    row.set("left_mib", mebibytes(resident(process)?));
    Ok(row)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
