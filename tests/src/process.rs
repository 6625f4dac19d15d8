//! A child process that can be signalled and does not outlive the test.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::trouble::{Trouble, tail};

/// Gets each line that a child prints.
pub(crate) type ReadLine = Box<dyn FnMut(&str) + Send>;

/// A child that is killed when this is dropped, and also if the test itself is killed: see
/// [`leash`].
#[derive(Debug)]
pub(crate) struct Process {
    /// What it is to do, for error messages.
    what: String,
    log: PathBuf,
    child: Child,
    leash: Child,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a command whose standard error, and output if nobody reads that, go to a log.
    /// `read` gets each line of its standard output, on a thread of its own.
    pub(crate) fn start(
        what: &str,
        command: &mut Command,
        log: &Path,
        read: Option<ReadLine>,
    ) -> Result<Process, Trouble> {
        let refused = |error| Trouble::refused(format!("start {what}"), &error);
        let file = File::options().create(true).append(true).open(log).map_err(refused)?;
        let copy = file.try_clone().map_err(refused)?;
        let stdout = if read.is_some() { Stdio::piped() } else { copy.into() };
        command.stderr(file).stdout(stdout);
        let mut child = command.spawn().map_err(refused)?;
        let leash = leash(child.id()).map_err(|error| {
            let _ = child.kill();
            refused(error)
        })?;
        let reader = child.stdout.take().zip(read);
        let reader = reader.map(|(stdout, read)| std::thread::spawn(|| each_line(stdout, read)));
        Ok(Process { what: what.into(), log: log.into(), child, leash, reader })
    }

    /// Closes the child's standard input after writing this to it.
    pub(crate) fn feed(&mut self, input: &str) -> Result<(), Trouble> {
        let Some(mut stdin) = self.child.stdin.take() else { return Ok(()) };
        let refused = |error| Trouble::refused(format!("write to {}", self.what), &error);
        stdin.write_all(input.as_bytes()).map_err(refused)
    }

    /// Its exit status, if it has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end, and until all that it printed was read.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Trouble> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                self.finish_reading();
                return Ok(status);
            }
            if Instant::now() > end {
                return Err(self.late(limit));
            }
            // There is no wait with a limit in std; this polls for the end.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal, unless it has ended: its number may be another's by then.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Trouble> {
        if let Some(status) = self.exited() {
            return Err(self.failed(status));
        }
        let refused = |error: rustix::io::Errno| {
            Trouble::refused(format!("signal {}", self.what), &error.into())
        };
        kill_process(Pid::from_child(&self.child), signal).map_err(refused)
    }

    /// SIGKILL, which also ends a paused process; then waits for its end.
    pub(crate) fn kill(&mut self) {
        // The only error is that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.finish_reading();
    }

    pub(crate) fn failed(&self, status: ExitStatus) -> Trouble {
        let (what, log) = (self.what.clone(), tail(&self.log));
        Trouble::Failed { what, status: status.to_string(), log }
    }

    pub(crate) fn late(&self, limit: Duration) -> Trouble {
        Trouble::Late { what: self.what.clone(), limit, log: tail(&self.log) }
    }

    fn finish_reading(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic there is in a test's own reader and was shown on its thread.
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // A line lets the leash go; errors mean that it is gone already.
        if let Some(mut stdin) = self.leash.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.leash.wait();
    }
}

/// How long a program may run that does one thing. Thirty times what it takes on a quiet machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a program to its end: what it printed. Programs print what went wrong either way, so that
/// an error has the end of the log and all that was printed.
pub(crate) fn run(
    what: &str,
    command: &mut Command,
    input: &str,
    log: &Path,
) -> Result<String, Trouble> {
    let (printed, lines) = std::sync::mpsc::channel();
    let read = Box::new(move |line: &str| {
        // Nobody listens once the program was given up.
        let _ = printed.send(format!("{line}\n"));
    });
    let mut process = Process::start(what, command.stdin(Stdio::piped()), log, Some(read))?;
    process.feed(input)?;
    let status = process.wait(LIMIT)?;
    let printed: String = lines.try_iter().collect();
    if status.success() {
        return Ok(printed);
    }
    let (what, status, log) = (what.into(), status.to_string(), tail(log) + "\n" + &printed);
    Err(Trouble::Failed { what, status, log })
}

/// A shell that kills the child when our end of its standard input closes without a line, which
/// happens however this process ends. A Java broker would go on for ever.
fn leash(child: u32) -> std::io::Result<Child> {
    let script = r#"trap "" INT TERM HUP; read -r line || kill -KILL "$1""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "leash"]).arg(child.to_string());
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

fn each_line(stdout: ChildStdout, mut read: ReadLine) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}
