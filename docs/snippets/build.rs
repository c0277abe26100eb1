//! Makes doc tests of the Rust blocks in `README.md` and `docs/`, and of the Rust programs that the binary's home page offers.
//!
//! GitHub shows the hidden lines (`# `) of a block, so the documents have none. This script adds the code that a
//! fragment needs: it imports the names of `src/<document>.rs`, and puts the fragment into an async function that has
//! the document's parameters and allows `?`.
//!
//! A block with a `#[tokio::test]` becomes a module of `tests/documents.rs`, which runs it.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The values that the fragments of a document use without defining them, as parameters of a function.
const PARAMETERS: [(&str, &str); 11] = [
    ("README", ""),
    ("client", "socket: Socket"),
    ("cluster", ""),
    ("deployment", ""),
    ("engineio", "mut members: Vec<Sender>, news: &str, server: Server, mut socket: Socket"),
    ("from-node", "io: Server, namespace: Namespace, socket: Socket"),
    ("guide", "io: Server"),
    ("limits", ""),
    ("metrics", ""),
    ("recipes", "io: Server"),
    (
        "websocket",
        "app: axum::Router, mut file: File, listener: TcpListener, mut members: Vec<ws::Sender>, \
         news: ws::PreparedMessage, mut prices: Prices, mut request: Request, mut socket: WebSocket, token: &str",
    ),
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tests = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let mut run = String::new();
    let mut documents = vec![root.join("README.md")];
    println!("cargo::rerun-if-changed={}", root.join("docs").display());
    for entry in fs::read_dir(root.join("docs")).expect("docs/ is readable") {
        documents.push(entry.expect("docs/ is readable").path());
    }
    for document in documents {
        let name = document.file_stem().and_then(|name| name.to_str()).expect("a document has a UTF-8 name");
        if document.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        println!("cargo::rerun-if-changed={}", document.display());
        let text = fs::read_to_string(&document).expect("a document is readable");
        if !text.contains("```rust") {
            continue;
        }
        let (_, parameters) =
            PARAMETERS.iter().find(|(document, _)| *document == name).unwrap_or_else(|| {
                panic!("{name}.md has a Rust block: add an entry to PARAMETERS, and a module to src/lib.rs")
            });
        let test = doc_test(&text, &name.to_lowercase().replace('-', "_"), parameters);
        fs::write(tests.join(format!("{name}.md")), test).expect("OUT_DIR is writable");
        run.extend(test_modules(&text, &name.to_lowercase().replace('-', "_")));
    }
    fs::write(tests.join("tests.rs"), run).expect("OUT_DIR is writable");
    let page = root.join("web/pages/src/home/snippets.ts");
    println!("cargo::rerun-if-changed={}", page.display());
    let text = fs::read_to_string(&page).expect("the page's programs are readable");
    fs::write(tests.join("home-page.md"), programs_of_the_page(&text)).expect("OUT_DIR is writable");
}

/// Marks the blocks that are run.
const TEST: &str = "#[tokio::test";

/// Returns the Rust blocks of a document that contain tests, each as a module.
fn test_modules(document: &str, name: &str) -> Vec<String> {
    let blocks = document.split("\n```rust\n").skip(1).filter_map(|rest| rest.split("\n```\n").next());
    let tests = blocks.filter(|block| block.contains(TEST)).enumerate();
    tests.map(|(number, block)| format!("mod {name}_{number} {{\n{block}\n}}\n")).collect()
}

/// Returns the Rust programs in a TypeScript file as doc tests. Each is a template string that begins with `use`. What the
/// page puts into it is inside a Rust string.
fn programs_of_the_page(script: &str) -> String {
    let programs: Vec<_> = script
        .split("text: `use ")
        .skip(1)
        .map(|rest| rest.split('`').next().expect("a split has a first part"))
        .collect();
    assert_eq!(programs.len(), 2, "the home page offers a program for Socket.IO and one for WebSocket");
    programs.iter().map(|program| format!("```no_run\nuse {program}\n```\n\n")).collect()
}

/// Returns the Rust blocks of a document as doc tests. Every line of code keeps its line number, so that compiler
/// errors name the line in the document.
///
/// To keep the numbers, the fences move to the empty lines around a block. The added code takes the lines of the
/// fences.
fn doc_test(document: &str, module: &str, parameters: &str) -> String {
    let mut test: Vec<String> = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        test.push(String::new());
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if language != "rust" || block.iter().any(|line| line.starts_with(TEST)) {
            assert!(
                language == "rust" || !language.starts_with("rust"),
                "{module}, line {}: write `rust` without attributes",
                test.len()
            );
            test.resize(test.len() + block.len() + 1, String::new());
            continue;
        }
        assert!(
            !block.iter().any(|line| line.starts_with("# ")),
            "{module}, line {}: remove the hidden line",
            test.len()
        );
        assert_eq!(
            lines.next(),
            Some(""),
            "{module}, line {}: add an empty line after the block",
            test.len()
        );
        let is_program = block.iter().any(|line| line.contains("fn main()"));
        let (before, after) = if is_program {
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
        test.extend([format!("# {after}"), "```".to_owned()]);
    }
    test.join("\n")
}
