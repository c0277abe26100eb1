//! `cargo xtask floors`: checks that each crate imports only from floors below its own. A floor is a layer of crates.

mod rule;
mod table;

use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use rule::{Edge, Kind};

/// The result of the check.
#[derive(Debug)]
pub(crate) struct Report {
    /// The number of checked crates.
    pub(crate) crates: usize,
    /// The number of crates that break a rule.
    pub(crate) offenders: usize,
    /// One line for each violation.
    pub(crate) complaints: Vec<String>,
}

/// Prints the report. Returns `Ok(true)` if no crate breaks a rule.
pub(crate) fn command() -> Result<bool> {
    let report = check()?;
    for complaint in &report.complaints {
        println!("{complaint}");
    }
    if report.complaints.is_empty() {
        println!("{} crates, none imports upwards", report.crates);
    }
    Ok(report.complaints.is_empty() && report.crates > 0)
}

/// Checks every crate under `crates/`.
pub(crate) fn check() -> Result<Report> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
    let home = metadata.workspace_root.join("crates");
    let mut report = Report { crates: 0, offenders: 0, complaints: Vec::new() };
    for package in metadata.workspace_packages() {
        let Some(folder) = folder_under(home.as_std_path(), package.manifest_path.as_std_path()) else {
            continue;
        };
        let complaints = complaints_about(&metadata, folder, package);
        report.crates += 1;
        report.offenders += usize::from(!complaints.is_empty());
        report.complaints.extend(complaints);
    }
    Ok(report)
}

/// The existing packages that must compile for browsers too: floors 0 to 2, and the crates in `ALSO_PORTABLE`.
pub(crate) fn portable_packages() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
    let home = metadata.workspace_root.join("crates");
    let portable = |package: &&Package| {
        folder_under(home.as_std_path(), package.manifest_path.as_std_path()).is_some_and(rule::is_portable)
    };
    let packages = metadata.workspace_packages();
    Ok(packages.into_iter().filter(portable).map(|package| package.name.to_string()).collect())
}

fn complaints_about(metadata: &Metadata, folder: &str, package: &Package) -> Vec<String> {
    let home = metadata.workspace_root.join("crates");
    let mut complaints = Vec::new();
    complaints.extend(rule::complaint_about_crate(folder, &package.name));
    for dependency in &package.dependencies {
        let kind = match dependency.kind {
            DependencyKind::Development => Kind::Development,
            _ => Kind::Normal,
        };
        // A path dependency is one of our crates. Its name in the manifest does not matter.
        let complaint = match &dependency.path {
            Some(path) => match folder_under(home.as_std_path(), path.join("Cargo.toml").as_std_path()) {
                Some(imported) => rule::complaint_about_edge(&Edge { from: folder, to: imported, kind }),
                None => Some(format!("{folder} imports {}, which is not under crates/", dependency.name)),
            },
            None => rule::complaint_about_import(folder, &dependency.name, kind),
        };
        complaints.extend(complaint);
    }
    complaints
}

/// The folder of the manifest, if that folder is directly under `home`.
fn folder_under<'a>(home: &Path, manifest: &'a Path) -> Option<&'a str> {
    let folder = manifest.parent()?;
    if folder.parent()? != home {
        return None;
    }
    folder.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crates_directly_under_the_home_have_a_folder() {
        let home = Path::new("/repository/crates");
        assert_eq!(folder_under(home, Path::new("/repository/crates/ws/Cargo.toml")), Some("ws"));
        assert_eq!(folder_under(home, Path::new("/repository/xtask/Cargo.toml")), None);
        assert_eq!(folder_under(home, Path::new("/repository/crates/ws/fuzz/Cargo.toml")), None);
    }

    #[test]
    fn the_machines_are_portable_and_the_crates_with_sockets_are_not() -> Result<()> {
        let packages = portable_packages()?;
        for machine in
            ["ws-proto", "engineio-proto", "socketio-proto", "adapter", "handlers", "engineio-client"]
        {
            assert!(packages.contains(&format!("tidewire-{machine}")), "{machine}");
        }
        assert!(!packages.contains(&"tidewire-net".to_owned()));
        Ok(())
    }

    #[test]
    fn the_workspace_keeps_its_own_rule() -> Result<()> {
        let report = check()?;
        assert_eq!(report.complaints, Vec::<String>::new());
        assert!(report.crates > 0);
        Ok(())
    }
}
