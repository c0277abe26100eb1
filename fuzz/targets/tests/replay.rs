//! Replays every input in `fuzz/seeds` through its target, so that fixed bugs stay fixed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tidewire_fuzz_targets::TARGETS;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("the folder can be read").path()).collect()
}

/// Returns the names in a folder, without their extensions.
fn names_in(folder: &str) -> BTreeSet<String> {
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    files_in(&fuzz_folder().join(folder)).into_iter().filter_map(stem).collect()
}

/// Prints which input it was if the target panics.
struct Running(PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

fn replay(name: &str) {
    let target = TARGETS.into_iter().find(|(other, _)| *other == name).expect("the target exists").1;
    let files = files_in(&fuzz_folder().join("seeds").join(name));
    assert!(!files.is_empty(), "{name} has no inputs");
    for file in files {
        let input = fs::read(&file).expect("the input can be read");
        let _running = Running(file);
        target(&input);
    }
}

macro_rules! replay {
    ($($test:ident: $target:literal)*) => {
        $(#[test]
        fn $test() {
            replay($target);
        })*

        const REPLAYED: &[&str] = &[$($target),*];
    };
}

replay! {
    a_client_survives_any_server_and_connects_to_the_next: "client"
    what_a_client_asks_for_a_server_accepts_and_answers_are_taken_as_the_model_takes_them: "client_handshake"
    clients_send_and_move_in_turn_and_end_once: "client_session"
    cluster_messages_are_read_and_written_again: "cluster_messages"
    two_endpoints_get_what_the_other_compressed: "compressed_endpoints"
    compressed_frames_are_decoded_as_frames_are: "compressed_frames"
    two_endpoints_get_what_the_other_sent: "endpoints"
    frames_are_decoded_alike_at_all_split_points_and_as_the_model_says: "frame_decoder"
    handshakes_are_accepted_exactly_if_the_model_accepts_them: "handshake"
    polling_payloads_say_what_the_websocket_form_says: "polling_payload"
    polling_payloads_of_revision_3_are_read_as_the_model_reads_them: "polling_payload_revision3"
    sessions_keep_their_heartbeat_and_move_once: "session"
    arguments_are_read_and_written_as_by_serde_json: "socketio_arguments"
    connections_end_once_and_so_does_every_wait: "socketio_connections"
    messagepack_is_read_as_by_rmpv_and_written_again: "socketio_messagepack"
    socketio_packets_are_accepted_as_serde_json_would_and_survive_a_relay: "socketio_packet"
    values_are_relayed_with_every_byte_and_read_as_by_serde_json: "socketio_value"
}

#[test]
fn every_target_has_its_program_its_inputs_and_its_replay() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in("fuzz_targets"), targets);
    assert_eq!(names_in("seeds"), targets);
    assert_eq!(REPLAYED.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), targets);
}
