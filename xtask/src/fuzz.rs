//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`, from the inputs that are kept there.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, ensure};

use crate::{environment, process};

/// How long for each target.
const SECONDS: u32 = 600;

/// `words` are targets, all if there are none, and options of libFuzzer, which begin with a dash.
pub(crate) fn command(words: &[&str]) -> Result<bool> {
    ensure!(
        process::succeeds(process::cargo().args(["fuzz", "--version"]))?,
        "cargo-fuzz is missing: cargo install cargo-fuzz"
    );
    let folder = environment::root()?.join("fuzz");
    let (options, names): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
    let all = targets(&folder)?;
    let names = if names.is_empty() { all.iter().map(String::as_str).collect() } else { names };
    let mut clean = true;
    for name in names {
        ensure!(
            all.iter().any(|target| target == name),
            "there is no target {name:?}; there are {}",
            all.join(", ")
        );
        clean &= run(&folder, name, &options)?;
    }
    Ok(clean)
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let seeds = folder.join("seeds");
    let entries = fs::read_dir(&seeds).with_context(|| format!("cannot read {}", seeds.display()))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// What is found on the way goes to `corpus`, which git ignores; what breaks a promise, to `artifacts`.
fn run(folder: &Path, name: &str, options: &[&str]) -> Result<bool> {
    let corpus = folder.join("corpus").join(name);
    fs::create_dir_all(&corpus)?;
    let mut fuzz = process::cargo();
    // Coverage and sanitizers are unstable options of the compiler, the code needs none.
    fuzz.env("RUSTC_BOOTSTRAP", env::var_os("RUSTC_BOOTSTRAP").unwrap_or_else(|| "1".into()));
    fuzz.args(["fuzz", "run", "--fuzz-dir"]).arg(folder).arg(name);
    fuzz.arg(corpus).arg(folder.join("seeds").join(name)).arg("--");
    let dictionary = folder.join("dictionaries").join(name).with_extension("dict");
    if dictionary.exists() {
        fuzz.arg(format!("-dict={}", dictionary.display()));
    }
    fuzz.arg(format!("-max_total_time={SECONDS}"));
    // An input of 2 KiB that takes seconds is a finding too.
    fuzz.args(["-max_len=2048", "-timeout=10", "-print_final_stats=1"]).args(options);
    process::succeeds(&mut fuzz)
}
