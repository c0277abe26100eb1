//! `cargo xtask fuzz`: runs libFuzzer on the targets of `fuzz/`, starting from the seeds there.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, ensure};

use crate::{environment, process};

/// The duration of the run of one target.
const SECONDS: u32 = 600;

/// Runs targets. `words` are names of targets, and options of libFuzzer, which begin with a dash. Without names, all targets
/// run.
pub(crate) fn command(words: &[&str]) -> Result<bool> {
    ensure!(
        process::succeeds(process::cargo().args(["fuzz", "--version"]))?,
        "cargo-fuzz is missing; run `cargo install cargo-fuzz`"
    );
    let folder = environment::root()?.join("fuzz");
    let (options, names): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
    let all = targets(&folder)?;
    let names = if names.is_empty() { all.iter().map(String::as_str).collect() } else { names };
    let mut clean = true;
    for name in names {
        ensure!(
            all.iter().any(|target| target == name),
            "there is no target {name:?}; the targets are {}",
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

/// Runs one target. libFuzzer writes new inputs to `corpus`, and inputs that fail to `artifacts`. Git ignores both.
fn run(folder: &Path, name: &str, options: &[&str]) -> Result<bool> {
    let corpus = folder.join("corpus").join(name);
    fs::create_dir_all(&corpus)?;
    let mut fuzz = process::cargo();
    // Coverage and sanitizers are unstable options of the compiler. The code itself uses no unstable feature.
    fuzz.env("RUSTC_BOOTSTRAP", env::var_os("RUSTC_BOOTSTRAP").unwrap_or_else(|| "1".into()));
    fuzz.args(["fuzz", "run", "--fuzz-dir"]).arg(folder).arg(name);
    fuzz.arg(corpus).arg(folder.join("seeds").join(name)).arg("--");
    let dictionary = folder.join("dictionaries").join(name).with_extension("dict");
    if dictionary.exists() {
        fuzz.arg(format!("-dict={}", dictionary.display()));
    }
    fuzz.arg(format!("-max_total_time={SECONDS}"));
    // An input of 2 KiB that takes ten seconds counts as a failure too.
    fuzz.args(["-max_len=2048", "-timeout=10", "-print_final_stats=1"]).args(options);
    process::succeeds(&mut fuzz)
}
