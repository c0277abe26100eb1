//! The compiler's errors for mistakes in handlers say what to do. The tests look only for the words of this project, and for
//! the names of what is wrong.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

/// A mistake, and what its error must contain.
type Case = (&'static str, &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "guard",
        "io.on(\"x\", async |s: State<std::sync::Mutex<u8>>| { let g = s.lock().unwrap(); later().await; drop(g); });",
        &["`Send`", "MutexGuard", "await"],
    ),
    (
        "nine_parameters",
        "async fn nine(_: A, _: A, _: A, _: A, _: A, _: A, _: A, _: A, _: A) {} type A = Socket; io.on(\"x\", nine);",
        &["a handler has at most eight parameters", "Data((a, b, c))"],
    ),
    (
        "state_of_axum",
        "mod axum { pub struct State<S>(pub S); } io.on(\"x\", async |axum::State(_): axum::State<u8>| {});",
        &[
            "axum::State<u8>` cannot be a parameter of this handler",
            "the extractors of axum have the same names",
        ],
    ),
    (
        "not_async",
        "io.on(\"x\", |socket: Socket| socket.emit(\"y\", ()));",
        &["the handler returns `()`, which is not a future: a handler must be async", "async |..|"],
    ),
    (
        "reference",
        "io.on(\"x\", async |_: &Socket| {});",
        &["Socket` cannot be a parameter of this handler", "by value: `Socket`, not `&Socket`"],
    ),
    (
        "no_deserialize",
        "struct Message; io.on(\"x\", async |_: Data<Message>| {});",
        &["Deserialize", "Message", "Data<Message>"],
    ),
    (
        "captures",
        "let rooms = std::sync::Arc::new(1); io.on(\"x\", async move |_: Socket| drop(rooms.clone()));",
        &["captures", "HandlerFn"],
    ),
    (
        "data_without_event",
        "io.on_connection(async |_: Data<u8>| {});",
        &["this handler is called without an event, so it cannot take `Data`"],
    ),
    (
        "reason_without_disconnect",
        "io.on(\"x\", async |_: DisconnectReason| {});",
        &["DisconnectReason` cannot be a parameter of this handler"],
    ),
    (
        "argument_without_data",
        "io.on(\"x\", async |_: String| {});",
        &["String` cannot be a parameter of this handler", "an argument of the event is taken as `Data<T>`"],
    ),
    (
        "type_of_the_program",
        "struct Claims; io.on(\"x\", async |_: Claims| {});",
        &["Claims` cannot be a parameter of this handler", "if it implements `Extract`"],
    ),
    (
        "value",
        "io.on(\"x\", async || 42);",
        &["an event handler cannot return `{integer}`", "`Reply(value)`"],
    ),
    (
        "text_as_error",
        "io.on(\"x\", async || Err::<(), _>(\"text\"));",
        &["an event handler cannot return `Result<(), &str>`", "`HandlerError::new(text)`"],
    ),
    (
        "text_as_rejection",
        "io.middleware(async || Err::<(), _>(\"text\"));",
        &["a middleware cannot return `Result<(), &str>`", "`Err(ConnectError::new(text))`"],
    ),
];

/// What a program may write.
const VALID: &str = "
    io.on(\"x\", async || Ok::<_, HandlerError>(Reply(1)));
    io.on(\"x\", async |_: A, _: A, _: A, _: A, _: A, _: A, _: A, _: A| Reply((1, 2))); type A = Socket;
    let rooms = std::sync::Arc::new(1);
    io.on(\"x\", move |_: Socket| { let rooms = rooms.clone(); async move { drop(rooms) } });
    async fn join(_: Socket, Data(_): Data<String>) {}
    io.on(\"x\", join);
";

#[test]
fn each_mistake_in_a_handler_has_an_error_that_says_what_to_do() {
    let compiler = Compiler::new();
    assert_eq!(compiler.errors("valid", VALID), "");
    // Two at a time, as many as the machines of the tests have cores.
    let (first, second) = CASES.split_at(CASES.len() / 2);
    let check = |cases: &[Case]| {
        for (name, handler, expected) in cases {
            let errors = compiler.errors(name, handler);
            for words in *expected {
                assert!(errors.contains(words), "{name}: no `{words}` in\n{errors}");
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| check(first));
        check(second);
    });
}

/// Compiles programs against the crate that these tests were built with.
struct Compiler {
    dependencies: PathBuf,
    library: PathBuf,
    output: PathBuf,
}

impl Compiler {
    fn new() -> Self {
        let program = env::current_exe().expect("a path");
        let dependencies = program.parent().expect("a folder").to_owned();
        // There may be one for each set of features. The last one that was built has the current source.
        let libraries = fs::read_dir(&dependencies).expect("a folder").filter_map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(OsStr::to_str)?;
            let is_library = name.starts_with("libtidewire_server-") && name.ends_with(".rlib");
            is_library.then_some(path)
        });
        let modified = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).expect("a time");
        let library = libraries.max_by_key(modified).expect("the crate is built");
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_errors");
        fs::create_dir_all(&output).expect("a folder");
        Self { dependencies, library, output }
    }

    /// Returns the compiler's errors for a function body. `io` is the server.
    fn errors(&self, name: &str, body: &str) -> String {
        let source = self.output.join(format!("{name}.rs"));
        let program = format!(
            "#![allow(warnings)]\nuse tidewire_server::*;\nasync fn later() {{}}\npub fn register(io: Server) {{ {body} }}\n"
        );
        fs::write(&source, program).expect("written");
        let mut rustc = Command::new("rustc");
        rustc.current_dir(env!("CARGO_MANIFEST_DIR")).arg(&source).arg("--out-dir").arg(&self.output);
        rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--color=never"]);
        rustc.arg("-L").arg(format!("dependency={}", self.dependencies.display()));
        rustc.arg("--extern").arg(format!("tidewire_server={}", self.library.display()));
        let output = rustc.output().expect("rustc runs");
        String::from_utf8(output.stderr).expect("text")
    }
}
