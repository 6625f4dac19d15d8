//! Real Apache Kafka: nodes from jars on loopback, for as long as a test wants them.
//!
//! ```no_run
//! use handover_tests::kafka::{Setup, Version};
//!
//! let mut kafka = Setup::new(Version::V4_3).nodes(3).start()?;
//! kafka.java().create_topic("orders", 6, 3)?;
//! kafka.kill(2);
//! kafka.restart(2)?;
//! # Ok::<(), handover_tests::trouble::Trouble>(())
//! ```

mod jars;
mod node;

use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

pub use jars::{Jars, Version};

use crate::java::Java;
use crate::process::Process;
use crate::trouble::Trouble;
use node::{Node, Ports};

/// How long a node may take to format, start or stop. Twenty times what it takes on a quiet
/// machine with two cores.
const LIMIT: Duration = Duration::from_secs(120);

/// What cluster to start.
#[derive(Clone, Debug)]
pub struct Setup {
    version: Version,
    nodes: usize,
    settings: Vec<(String, String)>,
}

impl Setup {
    /// One node of this version, with the coordinator that the version has by default: in 3.9
    /// the Scala one.
    pub fn new(version: Version) -> Setup {
        Setup { version, nodes: 1, settings: Vec::new() }
    }

    /// So many nodes, each a broker and a controller.
    pub fn nodes(mut self, nodes: usize) -> Setup {
        self.nodes = nodes;
        self
    }

    /// A setting of every node, over the harness's own.
    pub fn set(mut self, key: &str, value: &str) -> Setup {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// The new coordinator and with it the consumer protocol, which 4.0 and later have anyway.
    pub fn new_coordinator(self) -> Setup {
        self.set("group.coordinator.rebalance.protocols", "classic,consumer")
    }

    /// Fetches what is missing, formats and starts the nodes, and waits for their listeners.
    pub fn start(self) -> Result<Kafka, Trouble> {
        let jars = Jars::fetch(self.version)?;
        let refused = |error| Trouble::refused("make a folder for Kafka", &error);
        let folder = tempfile::tempdir().map_err(refused)?;
        let ports: Vec<Ports> = (0..self.nodes).map(|_| Ports::free()).collect();
        let new = |id| Node::new(id, &ports, &self, folder.path());
        let mut nodes: Vec<Node> = (1..=self.nodes).map(new).collect::<Result<_, _>>()?;
        // All at once: each takes seconds of one core.
        let formats: Vec<Process> =
            nodes.iter().map(|node| node.format(&jars)).collect::<Result<_, _>>()?;
        for mut format in formats {
            let status = format.wait(LIMIT)?;
            if !status.success() {
                return Err(format.failed(status));
            }
        }
        nodes.iter_mut().try_for_each(|node| node.launch(&jars))?;
        nodes.iter_mut().try_for_each(|node| node.wait_for_listener(LIMIT))?;
        let bootstrap: Vec<String> = nodes.iter().map(Node::address).collect();
        let java = Java::new(jars.clone(), &bootstrap.join(","))?;
        Ok(Kafka { nodes, jars, java, _folder: folder })
    }
}

/// A running cluster. Dropping it kills the nodes and removes their data.
#[derive(Debug)]
pub struct Kafka {
    // Before the folder: the nodes end before their data goes.
    nodes: Vec<Node>,
    jars: Jars,
    java: Java,
    _folder: TempDir,
}

impl Kafka {
    /// All nodes, as `host:port` with commas between.
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// One node, counted from 1, as `host:port`.
    pub fn address(&self, node: usize) -> String {
        self.nodes[node - 1].address()
    }

    /// The Java tools of the same version, bound to this cluster.
    pub fn java(&self) -> Java {
        self.java.clone()
    }

    /// Kills a node without warning.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node - 1].kill();
    }

    /// Lets a node hand its leaderships over and end.
    pub fn stop(&mut self, node: usize) -> Result<(), Trouble> {
        self.nodes[node - 1].stop(LIMIT)
    }

    /// Starts a killed or stopped node again, on its data and ports, and waits for its listener.
    pub fn restart(&mut self, node: usize) -> Result<(), Trouble> {
        self.nodes[node - 1].launch(&self.jars)?;
        self.nodes[node - 1].wait_for_listener(LIMIT)
    }

    /// Stops a node's clock: its connections stay and nothing is answered.
    pub fn pause(&mut self, node: usize) -> Result<(), Trouble> {
        self.nodes[node - 1].signal(Signal::STOP)
    }

    /// Lets a paused node go on.
    pub fn resume(&mut self, node: usize) -> Result<(), Trouble> {
        self.nodes[node - 1].signal(Signal::CONT)
    }

    /// What a node logged: warnings and worse.
    pub fn log(&self, node: usize) -> String {
        self.nodes[node - 1].log()
    }
}
