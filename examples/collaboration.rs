//! A text that several people edit: `cargo run -p tidewire --example collaboration`.
//!
//! The server gives each edit the next version, and sends it to all, to its author too. So all clients make the same changes in
//! the same order, and have the same text. An edit must be made for the current version. If somebody else was faster, the
//! server refuses it: its author applies the edits that have come meanwhile, moves the own one, and sends it again. The module
//! `collab` of ProseMirror works in this way too.
//!
//! A client that has lost its connection for a moment recovers its session: it gets the edits that it has missed, in order, and
//! goes on. If it was away for too long, it gets the whole text. So a page has two handlers: `snapshot` replaces the text, and
//! `edit` changes it. They need not know why the one or the other comes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tidewire::server::{ConnectionStateRecovery, Data, HandlerError, Server, Socket, State};

const ROOM: &str = "document";
/// The largest text, in bytes and with one more for each line. Without a limit, clients could fill the memory.
const MAX_SIZE: usize = 1_000_000;
/// How many edits the server remembers by their id, and the longest id in bytes. A UUID has 36.
const MAX_REMEMBERED: usize = 1_000;
const MAX_ID: usize = 64;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    server().listen("127.0.0.1:3000").await
}

/// Replaces lines of the text by others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Edit {
    /// Unique, and chosen by the author, who so knows the own edits among all.
    id: String,
    /// The version of the text before the edit. After it, the version is one more.
    base: u64,
    /// The first line that is removed, and how many are removed.
    first: usize,
    removed: usize,
    inserted: Vec<String>,
}

/// The acknowledgement of an edit: the version that it has made, or the current version, for which it was too late.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Accepted(u64),
    Stale(u64),
}

/// The event `snapshot`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Text {
    version: u64,
    lines: Vec<String>,
}

impl Text {
    /// Makes an edit. The clients do the same.
    fn apply(&mut self, edit: &Edit) -> Result<(), HandlerError> {
        let range = edit.first..edit.first.saturating_add(edit.removed);
        let Some(removed) = self.lines.get(range.clone()) else {
            return Err(HandlerError::new("there are no such lines"));
        };
        let size = |lines: &[String]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
        if size(&self.lines) - size(removed) + size(&edit.inserted) > MAX_SIZE {
            return Err(HandlerError::new("the text would be too large"));
        }
        self.lines.splice(range, edit.inserted.iter().cloned());
        self.version += 1;
        Ok(())
    }
}

/// In your program, a database keeps the text too, and one of its transactions assigns the version.
#[derive(Default)]
struct Document {
    text: Text,
    /// The last edits, and the version that each has made.
    accepted: VecDeque<(String, u64)>,
}

impl Document {
    fn edit(&mut self, io: &Server, edit: Edit) -> Result<Answer, HandlerError> {
        // A client that has lost its connection before the acknowledgement sends the edit again. It is made only once.
        if let Some((_, version)) = self.accepted.iter().find(|(id, _)| *id == edit.id) {
            return Ok(Answer::Accepted(*version));
        }
        if edit.id.len() > MAX_ID {
            return Err(HandlerError::new(format!("an id has at most {MAX_ID} bytes")));
        }
        if edit.base != self.text.version {
            return Ok(Answer::Stale(self.text.version));
        }
        self.text.apply(&edit)?;
        // The caller holds the lock, and `emit` does not wait. So the edits are sent in the order of their versions.
        //
        // Not with `socket.to`, which leaves out the author: if its connection breaks before the acknowledgement, the author
        // could not recover the own edit.
        io.to(ROOM).emit("edit", &edit);
        if self.accepted.len() == MAX_REMEMBERED {
            self.accepted.pop_front();
        }
        self.accepted.push_back((edit.id, self.text.version));
        Ok(Answer::Accepted(self.text.version))
    }
}

fn server() -> Server {
    let io = Server::builder()
        .connection_state_recovery(ConnectionStateRecovery::default())
        .state(Mutex::new(Document::default()))
        .build();
    io.on_connection(open);
    io.on("edit", async |io: Server, document: State<Mutex<Document>>, Data(edit): Data<Edit>| {
        document.lock().unwrap_or_else(PoisonError::into_inner).edit(&io, edit)
    });
    io
}

async fn open(socket: Socket, document: State<Mutex<Document>>) -> Result<(), HandlerError> {
    if socket.recovered() {
        // It is in the room already, and has got what it has missed.
        return Ok(());
    }
    let joined = {
        // No edit comes between the room and the snapshot. The snapshot is an event and not an acknowledgement, because the
        // edits that follow must not overtake it.
        let document = document.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = socket.join(ROOM);
        socket.emit("snapshot", &document.text);
        joined
    };
    Ok(joined.await?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use tidewire::testing::{self, Client};

    use super::*;

    type Tested<T = ()> = Result<T, Box<dyn std::error::Error>>;

    /// What a page does.
    struct Editor {
        client: Client,
        text: Text,
        /// Counts the snapshots.
        snapshots: usize,
    }

    impl Editor {
        async fn open(io: &Server) -> Tested<Self> {
            let mut editor =
                Self { client: testing::connect(io).await?, text: Text::default(), snapshots: 0 };
            editor.follow().await?;
            Ok(editor)
        }

        /// Applies the next event.
        async fn follow(&mut self) -> Tested {
            let event = self.client.recv_any().await?;
            if event.name() == "snapshot" {
                self.text = event.data()?;
                self.snapshots += 1;
                return Ok(());
            }
            let edit: Edit = event.data()?;
            assert_eq!(edit.base, self.text.version, "no version is missing, and none comes twice");
            self.text.apply(&edit).map_err(|error| error.to_string().into())
        }

        /// Appends a line to what this editor sees.
        fn append(&self, line: &str) -> Edit {
            let Text { version, lines } = &self.text;
            Edit {
                id: line.to_owned(),
                base: *version,
                first: lines.len(),
                removed: 0,
                inserted: vec![line.to_owned()],
            }
        }

        async fn send(&mut self, edit: &Edit) -> Tested<Answer> {
            Ok(self.client.emit_with_ack("edit", edit).await?)
        }
    }

    #[tokio::test]
    async fn of_two_edits_at_once_the_later_is_made_again_and_all_have_the_same_text() -> Tested {
        let io = server();
        let (mut ann, mut bob) = (Editor::open(&io).await?, Editor::open(&io).await?);
        assert_eq!(ann.send(&ann.append("Ann was here")).await?, Answer::Accepted(1));
        assert_eq!(bob.send(&bob.append("Bob too")).await?, Answer::Stale(1));
        bob.follow().await?;
        assert_eq!(bob.send(&bob.append("Bob too")).await?, Answer::Accepted(2));
        for (editor, edits) in [(&mut ann, 2), (&mut bob, 1)] {
            for _ in 0..edits {
                editor.follow().await?;
            }
            assert_eq!(editor.text.lines, ["Ann was here", "Bob too"]);
        }
        assert_eq!(Editor::open(&io).await?.text, ann.text, "who comes later has it too");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_an_editor_gets_the_edits_that_it_has_missed() -> Tested {
        let io = server();
        let (mut ann, mut bob) = (Editor::open(&io).await?, Editor::open(&io).await?);
        for round in 0..10 {
            ann.client.link().down();
            ann.client.disconnected().await?;
            for number in 0..round {
                bob.send(&bob.append(&format!("{round} {number}"))).await?;
                bob.follow().await?;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
            ann.client.link().restore();
            ann.client.reconnect().await?;
            for _ in 0..round {
                ann.follow().await?;
            }
            assert_eq!(ann.text, bob.text);
        }
        assert_eq!(ann.snapshots, 1, "only at the beginning");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn an_editor_that_was_away_for_too_long_gets_the_text() -> Tested {
        let io = server();
        let (mut ann, mut bob) = (Editor::open(&io).await?, Editor::open(&io).await?);
        ann.client.link().down();
        bob.send(&bob.append("all is new")).await?;
        tokio::time::sleep(Duration::from_secs(600)).await;
        ann.client.link().restore();
        ann.client.reconnect().await?;
        ann.follow().await?;
        assert_eq!((ann.text.lines.as_slice(), ann.snapshots), (["all is new".to_owned()].as_slice(), 2));
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn an_edit_whose_acknowledgement_was_lost_is_made_once() -> Tested {
        let io = server();
        let (mut ann, mut bob) = (Editor::open(&io).await?, Editor::open(&io).await?);
        let edit = ann.append("once");
        ann.client.link().stop_reading();
        ann.client.emit("edit", &edit).await?;
        bob.follow().await?;
        ann.client.link().cut();
        ann.client.disconnected().await?;
        ann.client.link().restore();
        ann.client.reconnect().await?;
        assert_eq!(ann.send(&edit).await?, Answer::Accepted(1));
        ann.follow().await?;
        assert_eq!(ann.text, bob.text);
        ann.client.expect_nothing().await?;
        Ok(())
    }

    #[tokio::test]
    async fn an_edit_outside_the_text_is_refused() -> Tested {
        let io = server();
        let mut ann = Editor::open(&io).await?;
        let edit = Edit { first: 1, removed: usize::MAX, ..ann.append("x") };
        let refused: Value = ann.client.emit_with_ack("edit", &edit).await?;
        assert_eq!(refused, json!({ "error": "there are no such lines" }));
        Ok(())
    }
}
