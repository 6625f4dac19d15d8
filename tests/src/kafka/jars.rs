//! Apache Kafka's jars, fetched once with Maven.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::process;
use crate::trouble::Trouble;

/// A version of Apache Kafka that Maven Central has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Version(&'static str);

impl Version {
    /// The last of the 3 series: classic protocol on the Scala coordinator by default.
    pub const V3_9: Version = Version("3.9.1");
    /// The newest: both protocols on the new coordinator.
    pub const V4_3: Version = Version("4.3.1");

    /// Another one, such as `4.1.2`.
    pub const fn new(version: &'static str) -> Version {
        Version(version)
    }

    /// The version as Maven knows it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    pub(crate) fn is_3(self) -> bool {
        self.0.starts_with("3.")
    }
}

/// The jars of one version in a folder.
#[derive(Clone, Debug)]
pub struct Jars {
    version: Version,
    folder: PathBuf,
}

impl Jars {
    /// Finds the jars in `$HANDOVER_KAFKA_CACHE` or `target/kafka-jars`, or has Maven fetch them.
    /// Fails in one sentence if Java or Maven is missing.
    pub fn fetch(version: Version) -> Result<Jars, Trouble> {
        require_java()?;
        let cache = std::env::var_os("HANDOVER_KAFKA_CACHE").map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| target().join("kafka-jars"));
        let folder = cache.join(version.0);
        if !folder.is_dir() {
            download(version, &cache, &folder)?;
        }
        Ok(Jars { version, folder })
    }

    /// Which version they are.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Compiles and runs a Java source of this package's folder `kafka`: what it printed.
    pub fn run_source(&self, file: &str, input: &str) -> Result<String, Trouble> {
        let refused = |error| Trouble::refused("make a file for Java's log", &error);
        let log = tempfile::NamedTempFile::new().map_err(refused)?;
        let source = format!("{FILES}/{file}");
        process::run(file, &mut self.java("512m", &source), input, log.path())
    }

    /// A command that runs a class with this much heap. Compiled quickly rather than well, as
    /// all of it is short-lived.
    pub(crate) fn java(&self, heap: &str, class: &str) -> Command {
        let logging = if self.version.is_3() {
            "-Dlog4j.configuration=file:KAFKA/log4j.properties"
        } else {
            "-Dlog4j2.configurationFile=KAFKA/log4j2.properties"
        };
        let mut java = Command::new("java");
        java.args([&format!("-Xmx{heap}"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        java.arg(logging.replace("KAFKA", FILES)).arg("-cp").arg(self.folder.join("*")).arg(class);
        java
    }
}

/// The package's files for Kafka: the project for Maven, the logging, Java sources.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kafka");

fn target() -> PathBuf {
    let built = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"));
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(built, PathBuf::from)
}

const JAVA: Trouble =
    Trouble::Missing { program: "java", install: "install a JDK of version 17 or later" };
const MAVEN: Trouble =
    Trouble::Missing { program: "mvn", install: "install Maven 3.6 or later, or fill the cache" };

fn require_java() -> Result<(), Trouble> {
    let told = output("ask java for its version", Command::new("java").arg("-version"), JAVA)?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    if java_version(&told).is_some_and(|version| version >= 17) { Ok(()) } else { Err(JAVA) }
}

/// 17 of `openjdk version "17.0.15" 2025-04-15`, 1 of `java version "1.8.0_392"`.
fn java_version(told: &str) -> Option<u32> {
    let (_, version) = told.split_once("version \"")?;
    version.split(['.', '"', '-']).next()?.parse().ok()
}

/// Fetches into a folder of this process and renames it, so that two that fetch at the same time
/// do not see each other's half.
fn download(version: Version, cache: &Path, folder: &Path) -> Result<(), Trouble> {
    let what = format!("fetch Kafka {} with Maven", version.0);
    std::fs::create_dir_all(cache).map_err(|error| Trouble::refused(&what, &error))?;
    let part = tempfile::tempdir_in(cache).map_err(|error| Trouble::refused(&what, &error))?;
    let jars = part.path().join("jars");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(Path::new(FILES).join("pom.xml"));
    maven.args(["-P", if version.is_3() { "kafka-3" } else { "kafka-4" }]);
    maven.arg(format!("-Dkafka.version={}", version.0));
    maven.arg(format!("-DoutputDirectory={}", jars.display()));
    let told = output(&what, maven.arg("dependency:copy-dependencies"), MAVEN)?;
    if !told.status.success() {
        let log = String::from_utf8_lossy(&told.stdout).into_owned();
        return Err(Trouble::Failed { what, status: told.status.to_string(), log });
    }
    match std::fs::rename(&jars, folder) {
        // Another process was quicker.
        Err(_) if folder.is_dir() => Ok(()),
        renamed => renamed.map_err(|error| Trouble::refused(what, &error)),
    }
}

fn output(what: &str, command: &mut Command, missing: Trouble) -> Result<Output, Trouble> {
    command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing,
        _ => Trouble::refused(what, &error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_tells_its_version_in_two_ways() {
        assert_eq!(java_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(java_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(java_version("openjdk version \"24-ea\" 2025-03-18"), Some(24));
        assert_eq!(java_version("java version \"1.8.0_392\""), Some(1));
        assert_eq!(java_version("no idea"), None);
    }

    #[test]
    fn what_is_missing_is_said_in_one_sentence() {
        let nowhere = &mut Command::new("there-is-no-such-program");
        let error = output("ask", nowhere, MAVEN).unwrap_err();
        let sentence = "mvn is missing: install Maven 3.6 or later, or fill the cache";
        assert_eq!(error.to_string(), sentence);
        assert_eq!(JAVA.to_string(), "java is missing: install a JDK of version 17 or later");
    }
}
