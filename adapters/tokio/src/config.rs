//! The settings that every client of a cluster shares, and what is wrong with them.

use std::time::Duration;

use handover_core::machine::ConfigError;

/// How to reach a cluster. Shared by the consumer, the producer and the admin helper.
///
/// ```
/// use handover_tokio::ClientConfig;
/// use std::time::Duration;
///
/// let mut config = ClientConfig::new("kafka-1:9092, kafka-2:9092");
/// config.request_timeout = Duration::from_secs(10);
/// assert!(config.validate().is_ok());
///
/// let wrong = ClientConfig::new("kafka-1").validate().unwrap_err();
/// assert_eq!(wrong.setting, "bootstrap");
/// assert_eq!(
///     wrong.to_string(),
///     "bootstrap names \"kafka-1\", which has no port; write it as host:port, such as localhost:9092",
/// );
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The brokers to ask first, each as `host:port`. One that can be reached is enough.
    pub bootstrap: Vec<String>,
    /// The name under which the broker's log and quotas know this client.
    pub client_id: String,
    /// How long opening a connection may take, the exchange of versions included. Default 10 s.
    pub connect_timeout: Duration,
    /// How long an answer may take before the connection is given up. Default 30 s.
    pub request_timeout: Duration,
    /// The first and the longest wait before a failed broker is tried again. Default 50 ms and
    /// 1 s; doubled each time, with 20 % of jitter either way.
    pub retry_backoff: (Duration, Duration),
    /// The age at which the knowledge of topics and leaders is asked for anew, also when nothing
    /// failed. Default 5 min.
    pub metadata_max_age: Duration,
    /// The largest answer taken from a broker, in bytes; a larger one closes the connection.
    /// Default 128 MiB.
    pub max_answer_bytes: usize,
}

impl ClientConfig {
    /// The defaults, for the brokers of a list that is separated by commas.
    pub fn new(bootstrap: impl AsRef<str>) -> ClientConfig {
        let addresses = bootstrap.as_ref().split(',').map(str::trim).filter(|a| !a.is_empty());
        ClientConfig {
            bootstrap: addresses.map(String::from).collect(),
            client_id: String::from("handover"),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            retry_backoff: (Duration::from_millis(50), Duration::from_secs(1)),
            metadata_max_age: Duration::from_secs(300),
            max_answer_bytes: 128 << 20,
        }
    }

    /// Checks every setting, and says of the first wrong one what is wrong and what to do.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.bootstrap.is_empty() {
            let fix = "name at least one broker as host:port";
            return Err(ConfigError::new("bootstrap", "is empty", fix));
        }
        for address in &self.bootstrap {
            check_address(address)?;
        }
        if self.client_id.len() > 249 {
            let fix = "use a short name, such as the application's";
            return Err(ConfigError::new("client_id", "is longer than 249 bytes", fix));
        }
        for (setting, value) in [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("retry_backoff", self.retry_backoff.0),
            ("metadata_max_age", self.metadata_max_age),
        ] {
            check_duration(setting, value)?;
        }
        if self.retry_backoff.0 > self.retry_backoff.1 {
            let problem = "starts longer than it ends";
            return Err(ConfigError::new("retry_backoff", problem, "exchange the two"));
        }
        if self.max_answer_bytes < 1 << 16 {
            let fix = "allow at least 64 KiB, and more than max.message.bytes of any topic read";
            return Err(ConfigError::new("max_answer_bytes", "is too small", fix));
        }
        Ok(())
    }
}

/// Kafka writes durations as milliseconds in 32 bits with a sign.
pub(crate) fn check_duration(setting: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value < Duration::from_millis(1) {
        let problem = "is shorter than a millisecond";
        return Err(ConfigError::new(setting, problem, "give it at least a millisecond"));
    }
    if i32::try_from(value.as_millis()).is_err() {
        let problem = "does not fit Kafka's 32 bits";
        return Err(ConfigError::new(setting, problem, "keep it under 24 days"));
    }
    Ok(())
}

/// What [`check_duration`] let through, as Kafka writes it.
pub(crate) fn millis(value: Duration) -> i32 {
    i32::try_from(value.as_millis()).unwrap_or(i32::MAX)
}

fn check_address(address: &str) -> Result<(), ConfigError> {
    let fix = "write it as host:port, such as localhost:9092";
    let Some((host, port)) = address.rsplit_once(':') else {
        let problem = format!("names {address:?}, which has no port");
        return Err(ConfigError::new("bootstrap", problem, fix));
    };
    if host.is_empty() || port.parse::<u16>().is_err() {
        let problem = format!("names {address:?}, which is no host and port");
        return Err(ConfigError::new("bootstrap", problem, fix));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut ClientConfig)) -> &'static str {
        let mut config = ClientConfig::new("localhost:9092");
        change(&mut config);
        config.validate().unwrap_err().setting
    }

    #[test]
    fn each_setting_is_checked_and_named() {
        assert_eq!(wrong(|c| c.bootstrap.clear()), "bootstrap");
        assert_eq!(wrong(|c| c.bootstrap.push("host:99999".into())), "bootstrap");
        assert_eq!(wrong(|c| c.bootstrap.push(":9092".into())), "bootstrap");
        assert_eq!(wrong(|c| c.client_id = "x".repeat(250)), "client_id");
        assert_eq!(wrong(|c| c.connect_timeout = Duration::ZERO), "connect_timeout");
        assert_eq!(wrong(|c| c.request_timeout = Duration::MAX), "request_timeout");
        assert_eq!(wrong(|c| c.retry_backoff.0 = Duration::from_secs(9)), "retry_backoff");
        assert_eq!(wrong(|c| c.metadata_max_age = Duration::ZERO), "metadata_max_age");
        assert_eq!(wrong(|c| c.max_answer_bytes = 10), "max_answer_bytes");
    }

    #[test]
    fn a_list_may_have_spaces_and_a_comma_at_its_end() {
        let config = ClientConfig::new(" a:1 ,[::1]:2, ");
        assert_eq!(config.bootstrap, ["a:1", "[::1]:2"]);
        assert_eq!(config.validate(), Ok(()));
    }
}
