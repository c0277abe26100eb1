//! Makes doc tests of the Rust blocks in `README.md` and `docs/`.
//!
//! GitHub shows the hidden lines (`# `) of a block, so the documents have none. What a fragment needs around it comes in
//! here: the names of `src/<document>.rs`, and an async function that has the document's parameters and takes `?`.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The values that the fragments of a document take for granted, as parameters.
const PARAMETERS: [(&str, &str); 4] = [
    ("README", "io: Server"),
    ("guide", "io: Server"),
    ("limits", ""),
    (
        "websocket",
        "app: axum::Router, mut file: File, listener: TcpListener, mut members: Vec<ws::Sender>, \
         news: ws::PreparedMessage, mut prices: Prices, mut request: Request, mut socket: WebSocket, token: &str",
    ),
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tests = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where"));
    let mut documents = vec![root.join("README.md")];
    println!("cargo::rerun-if-changed={}", root.join("docs").display());
    for entry in fs::read_dir(root.join("docs")).expect("a folder") {
        documents.push(entry.expect("an entry").path());
    }
    for document in documents {
        let name = document.file_stem().and_then(|name| name.to_str()).expect("a name");
        if document.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        println!("cargo::rerun-if-changed={}", document.display());
        let text = fs::read_to_string(&document).expect("a document");
        if !text.contains("```rust") {
            continue;
        }
        let (_, parameters) =
            PARAMETERS.iter().find(|(document, _)| *document == name).unwrap_or_else(|| {
                panic!("{name}.md has Rust: give it a line in PARAMETERS, and a module in src/lib.rs")
            });
        let test = doc_test(&text, &name.to_lowercase(), parameters);
        fs::write(tests.join(format!("{name}.md")), test).expect("a written test");
    }
}

/// The blocks alone, each line where it is in the document: what the compiler says names the line there.
///
/// For that the fences move outwards, onto the empty lines around a block, and leave theirs to what is put around the code.
fn doc_test(document: &str, module: &str, parameters: &str) -> String {
    let mut test: Vec<String> = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        test.push(String::new());
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if language != "rust" {
            assert!(!language.starts_with("rust"), "{module}, line {}: say `rust`, and no more", test.len());
            test.resize(test.len() + block.len() + 1, String::new());
            continue;
        }
        assert!(!block.iter().any(|line| line.starts_with("# ")), "{module}, line {}: hidden", test.len());
        assert_eq!(lines.next(), Some(""), "{module}, line {}: an empty line has to follow", test.len());
        let is_program = block.iter().any(|line| line.contains("fn main()"));
        let (before, behind) = if is_program {
            (String::new(), "")
        } else {
            let names = format!("use tidewire_snippets::{module}::*;");
            let function =
                format!("async fn fragment({parameters}) -> Result<(), Box<dyn std::error::Error>>");
            (format!("{names} {function} {{ let _ = {{"), "}; Ok(()) } fn main() {}")
        };
        let fence = test.len() - 2;
        test[fence] = "```no_run".to_owned();
        test[fence + 1] = format!("# {before}");
        test.extend(block.into_iter().map(str::to_owned));
        test.extend([format!("# {behind}"), "```".to_owned()]);
    }
    test.join("\n")
}
