//! One node: its settings, its folder, its process.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Jars, Setup};
use crate::process::Process;
use crate::trouble::{Trouble, tail};

/// The cluster's id: "handover-tests-1" in Kafka's base 64.
const CLUSTER: &str = "aGFuZG92ZXItdGVzdHMtMQ";

/// A broker and controller in one process.
#[derive(Debug)]
pub(super) struct Node {
    id: usize,
    port: u16,
    settings: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Node {
    /// Writes the settings of node `id`, counted from 1.
    pub(super) fn new(
        id: usize,
        ports: &[Ports],
        setup: &Setup,
        folder: &Path,
    ) -> Result<Node, Trouble> {
        let file = folder.join(format!("node{id}.properties"));
        let lines = settings(id, ports, setup, folder);
        let lines: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let refused = |error| Trouble::refused("write a node's settings", &error);
        std::fs::write(&file, lines).map_err(refused)?;
        let (port, log) = (ports[id - 1].broker, folder.join(format!("node{id}.log")));
        Ok(Node { id, port, settings: file, log, process: None })
    }

    /// Begins to format the storage.
    pub(super) fn format(&self, jars: &Jars) -> Result<Process, Trouble> {
        let mut java = jars.java("256m", "kafka.tools.StorageTool");
        java.args(["format", "-t", CLUSTER, "-c"]).arg(&self.settings);
        Process::start(&format!("formatting node {}", self.id), &mut java, &self.log, None)
    }

    /// Begins to run.
    pub(super) fn launch(&mut self, jars: &Jars) -> Result<(), Trouble> {
        let mut java = jars.java("512m", "kafka.Kafka");
        java.arg(&self.settings).stdin(Stdio::null());
        let what = format!("node {}", self.id);
        self.process = Some(Process::start(&what, &mut java, &self.log, None)?);
        Ok(())
    }

    /// Waits until its listener takes connections.
    pub(super) fn wait_for_listener(&mut self, limit: Duration) -> Result<(), Trouble> {
        let end = Instant::now() + limit;
        let log = self.log.clone();
        let Some(process) = &mut self.process else { return Err(self.not_running()) };
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port).into();
        while TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_err() {
            if let Some(status) = process.exited() {
                return Err(process.failed(status));
            }
            if Instant::now() > end {
                let what = format!("the listener of node {}", self.id);
                return Err(Trouble::Late { what, limit, log: tail(&log) });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), Trouble> {
        match &mut self.process {
            Some(process) => process.signal(signal),
            None => Err(self.not_running()),
        }
    }

    /// Kills it; it may be launched again.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// Lets it hand its leaderships over and end.
    pub(super) fn stop(&mut self, limit: Duration) -> Result<(), Trouble> {
        self.signal(Signal::TERM)?;
        if let Some(mut process) = self.process.take() {
            process.wait(limit)?;
        }
        Ok(())
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn not_running(&self) -> Trouble {
        let what = format!("reach node {}", self.id);
        Trouble::Refused { what, error: "it does not run; restart it first".into() }
    }
}

/// The two ports of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    broker: u16,
    controller: u16,
}

impl Ports {
    pub(super) fn free() -> Ports {
        Ports { broker: free_port(), controller: free_port() }
    }
}

/// A free loopback port below the range from which connections take theirs, so that none of them
/// takes it while a node restarts. Each is given out once.
fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let given = given.get_or_insert_default();
    loop {
        let port = fastrand::u16(10_000..32_000);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
}

/// Everything that is quick, small, or has to be; the setup's own settings decide at last.
fn settings(id: usize, ports: &[Ports], setup: &Setup, folder: &Path) -> BTreeMap<String, String> {
    let Ports { broker, controller } = ports[id - 1];
    let replicas = ports.len().min(3).to_string();
    let voter = |(at, ports): (usize, &Ports)| format!("{}@127.0.0.1:{}", at + 1, ports.controller);
    let voters: Vec<String> = ports.iter().enumerate().map(voter).collect();
    let mut settings: BTreeMap<String, String> = [
        ("process.roles", "broker,controller"),
        ("controller.listener.names", "CONTROLLER"),
        ("inter.broker.listener.name", "PLAINTEXT"),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.num.partitions", "5"),
        ("offsets.topic.replication.factor", &replicas),
        ("transaction.state.log.num.partitions", "5"),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", "1"),
        ("log.cleaner.dedupe.buffer.size", "16777216"),
        // A dead broker is noticed within 6 s instead of 9.
        ("broker.session.timeout.ms", "6000"),
        ("broker.heartbeat.interval.ms", "1000"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "1000"),
        ("group.consumer.min.session.timeout.ms", "1000"),
        ("group.consumer.session.timeout.ms", "6000"),
        ("group.consumer.min.heartbeat.interval.ms", "100"),
        ("group.consumer.heartbeat.interval.ms", "500"),
        ("group.consumer.migration.policy", "bidirectional"),
    ]
    .map(|(key, value)| (key.into(), value.into()))
    .into();
    settings.extend(
        [
            ("node.id", id.to_string()),
            ("broker.rack", format!("rack{id}")),
            ("controller.quorum.voters", voters.join(",")),
            (
                "listeners",
                format!("PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}"),
            ),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{broker}")),
            ("log.dirs", folder.join(format!("data{id}")).display().to_string()),
        ]
        .map(|(key, value)| (key.into(), value)),
    );
    if !setup.version.is_3() {
        settings.insert("share.coordinator.state.topic.replication.factor".into(), replicas);
        settings.insert("share.coordinator.state.topic.min.isr".into(), "1".into());
    }
    settings.extend(setup.settings.iter().cloned());
    settings
}
