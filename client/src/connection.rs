//! The connection to the scheduler's leader: discovery, deadlines, retries.
//!
//! Shared by all clones of a client. The leader is looked up through `GetMembers` at the start and again after each transport error;
//! the cluster id learnt at the start never changes, a scheduler of another cluster is refused.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use proto::operatorpb::{self, operators_client::OperatorsClient};
use proto::pdpb::{self, pd_client::PdClient};
use slog::{Logger, debug, warn};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::backoff::Backoff;
use crate::error::{Error, Result};

/// Establishing one TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// One attempt of one call.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Attempts of one call, the first one included. With the delays below, calls ride out about five seconds without a scheduler.
const ATTEMPTS: usize = 9;
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// Idle connections are probed, so that a dead scheduler is noticed before the next call needs it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Responses carry a header with the cluster id and, on failure, an error.
pub(crate) trait Answer {
    fn header(&self) -> Option<&pdpb::ResponseHeader>;
}

macro_rules! answers {
    ($($response:ident),* $(,)?) => {
        $(impl Answer for pdpb::$response {
            fn header(&self) -> Option<&pdpb::ResponseHeader> {
                self.header.as_ref()
            }
        })*
    };
}

answers!(
    AllocIdResponse,
    AskBatchSplitResponse,
    BootstrapResponse,
    GetAllStoresResponse,
    GetClusterConfigResponse,
    GetGcSafePointResponse,
    GetMembersResponse,
    GetOperatorResponse,
    GetRegionResponse,
    GetStoreResponse,
    IsBootstrappedResponse,
    PutStoreResponse,
    ReportBatchSplitResponse,
    ScanRegionsResponse,
    StoreHeartbeatResponse,
    TsoResponse,
    UpdateGcSafePointResponse,
);

impl Answer for operatorpb::AddOperatorResponse {
    fn header(&self) -> Option<&pdpb::ResponseHeader> {
        self.header.as_ref()
    }
}

/// The scheduler that leads, as far as this client knows.
struct Leader {
    url: String,
    client: PdClient<Channel>,
    operators: OperatorsClient<Channel>,
}

/// See the module's documentation.
pub(crate) struct Connection {
    endpoints: Vec<String>,
    cluster_id: u64,
    leader: RwLock<Leader>,
    logger: Logger,
}

impl Connection {
    /// Asks the endpoints one after the other until one leads to the leader.
    pub(crate) async fn open(endpoints: Vec<String>, logger: Logger) -> Result<Self> {
        let endpoints = endpoints.iter().map(|e| normalise(e)).collect::<Result<Vec<_>>>()?;
        if endpoints.is_empty() {
            return Err(Error::NoEndpoint);
        }
        let (cluster_id, leader) = discover(&endpoints, None).await?;
        debug!(logger, "connected to the scheduler"; "leader" => &leader.url, "cluster_id" => cluster_id);
        Ok(Self { endpoints, cluster_id, leader: RwLock::new(leader), logger })
    }

    pub(crate) fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    pub(crate) fn logger(&self) -> &Logger {
        &self.logger
    }

    /// The header that every request carries.
    pub(crate) fn header(&self) -> Option<pdpb::RequestHeader> {
        Some(pdpb::RequestHeader { cluster_id: self.cluster_id, ..Default::default() })
    }

    /// A handle on the current leader; clones share the connection.
    pub(crate) fn leader(&self) -> PdClient<Channel> {
        self.leader.read().unwrap_or_else(PoisonError::into_inner).client.clone()
    }

    /// The same for the service of operators.
    pub(crate) fn operators(&self) -> OperatorsClient<Channel> {
        self.leader.read().unwrap_or_else(PoisonError::into_inner).operators.clone()
    }

    /// Looks for the leader again. A failure leaves the old one in place: its channel reconnects by itself.
    pub(crate) async fn refresh(&self) {
        match discover(&self.endpoints, Some(self.cluster_id)).await {
            Ok((_, leader)) => *self.leader.write().unwrap_or_else(PoisonError::into_inner) = leader,
            Err(error) => debug!(self.logger, "looking for the scheduler"; "error" => %error),
        }
    }

    /// Makes one call, again with backoff while the transport fails; checks the response's header.
    pub(crate) async fn call<Req, Resp, F, Fut>(&self, method: &'static str, request: Req, send: F) -> Result<Resp>
    where
        Req: Clone,
        Resp: Answer,
        F: Fn(PdClient<Channel>, Req) -> Fut,
        Fut: Future<Output = std::result::Result<Response<Resp>, Status>>,
    {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        let mut attempt = 1;
        loop {
            let error = match tokio::time::timeout(CALL_TIMEOUT, send(self.leader(), request.clone())).await {
                Ok(Ok(response)) => return checked(method, response.into_inner()),
                Ok(Err(status)) => Error::from_status(method, &status),
                Err(_) => Error::Timeout { method, after: CALL_TIMEOUT },
            };
            if !error.is_transport() || attempt == ATTEMPTS {
                return Err(error);
            }
            let delay = backoff.step();
            warn!(self.logger, "scheduler call failed, trying again"; "method" => method, "attempt" => attempt,
                "delay_ms" => delay.as_millis() as u64, "error" => %error);
            attempt += 1;
            tokio::time::sleep(delay).await;
            self.refresh().await;
        }
    }
}

/// Turns an error in the response's header into one of ours.
pub(crate) fn checked<Resp: Answer>(method: &'static str, response: Resp) -> Result<Resp> {
    let header = response.header().ok_or(Error::MissingField { method, field: "header" })?;
    match &header.error {
        Some(error) if error.r#type() != pdpb::ErrorType::Ok => Err(Error::from_header(method, error)),
        _ => Ok(response),
    }
}

/// `http://host:port` of `host:port` or of a URL; the only form that endpoints have inside this crate.
fn normalise(endpoint: &str) -> Result<String> {
    let bad = |reason: &str| Error::BadEndpoint { endpoint: endpoint.to_owned(), reason: reason.to_owned() };
    let address = endpoint.trim().trim_end_matches('/');
    if address.starts_with("https://") {
        return Err(bad("TLS is not supported"));
    }
    let address = address.strip_prefix("http://").unwrap_or(address);
    let (host, port) = address.rsplit_once(':').ok_or_else(|| bad("the port is missing"))?;
    if host.is_empty() || host.contains(['/', ' ']) {
        return Err(bad("the host is missing or malformed"));
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(format!("http://{address}")),
        _ => Err(bad("the port is not a number from 1 to 65535")),
    }
}

/// Finds the leader through any endpoint. `expected` is the cluster this client belongs to, if it knows yet.
async fn discover(endpoints: &[String], expected: Option<u64>) -> Result<(u64, Leader)> {
    let mut causes = Vec::new();
    let mut first_fatal = None;
    for endpoint in endpoints {
        match leader_through(endpoint, expected).await {
            Ok(found) => return Ok(found),
            Err(error) => {
                causes.push(error.to_string());
                if !error.is_retryable() && first_fatal.is_none() {
                    first_fatal = Some(error);
                }
            }
        }
    }
    // With several endpoints one wrong address must not hide that the others are only down for a moment.
    match first_fatal {
        Some(error) if endpoints.len() == 1 => Err(error),
        _ => Err(Error::Unreachable { causes: causes.join("; ") }),
    }
}

/// Asks one endpoint who leads, and connects to that member.
async fn leader_through(endpoint: &str, expected: Option<u64>) -> Result<(u64, Leader)> {
    let (client, operators, members) = members_of(endpoint).await?;
    let actual = members.header.as_ref().map_or(0, |header| header.cluster_id);
    if actual == 0 {
        return Err(Error::NotAScheduler { endpoint: endpoint.to_owned(), reason: "no cluster id".into() });
    }
    if let Some(expected) = expected
        && expected != actual
    {
        return Err(Error::ClusterMismatch { endpoint: endpoint.to_owned(), expected, actual });
    }
    let urls = members.leader.map(|leader| leader.client_urls).unwrap_or_default();
    if members.members.len() <= 1 || urls.iter().any(|url| url.trim_end_matches('/') == endpoint) {
        // A single scheduler leads by itself, also where its advertised address cannot be reached from here.
        return Ok((actual, Leader { url: endpoint.to_owned(), client, operators }));
    }
    for url in &urls {
        let Ok(url) = normalise(url) else { continue };
        if let Ok((client, operators, _)) = members_of(&url).await {
            return Ok((actual, Leader { url, client, operators }));
        }
    }
    Err(Error::Unreachable { causes: format!("{endpoint} names no leader that answers (its addresses: {urls:?})") })
}

async fn members_of(endpoint: &str) -> Result<(PdClient<Channel>, OperatorsClient<Channel>, pdpb::GetMembersResponse)> {
    let unreachable = |reason: String| Error::Unreachable { causes: format!("{endpoint}: {reason}") };
    let channel = Endpoint::from_shared(endpoint.to_owned())
        .map_err(|error| Error::BadEndpoint { endpoint: endpoint.to_owned(), reason: error.to_string() })?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect()
        .await
        .map_err(|error| unreachable(with_sources(&error)))?;
    let operators = OperatorsClient::new(channel.clone());
    let mut client = PdClient::new(channel);
    let request = pdpb::GetMembersRequest::default();
    let response = match tokio::time::timeout(CALL_TIMEOUT, client.get_members(request)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) if status.code() == Code::Unimplemented => {
            return Err(Error::NotAScheduler { endpoint: endpoint.to_owned(), reason: status.message().to_owned() });
        }
        Ok(Err(status)) => return Err(unreachable(with_sources(&status))),
        Err(_) => return Err(unreachable(format!("no answer within {CALL_TIMEOUT:?}"))),
    };
    let response = checked("GetMembers", response)?;
    Ok((client, operators, response))
}

/// tonic's errors say "transport error" and keep the reason in their sources.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_host_and_port_with_an_optional_scheme() {
        assert_eq!(normalise("127.0.0.1:2379").unwrap(), "http://127.0.0.1:2379");
        assert_eq!(normalise("http://pd.local:2379/").unwrap(), "http://pd.local:2379");
        for bad in ["", "127.0.0.1", "127.0.0.1:", ":2379", "host:0", "host:70000", "https://host:1", "a b:1"] {
            let error = normalise(bad).unwrap_err();
            assert!(!error.is_retryable(), "{bad:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_named_in_the_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let logger = Logger::root(slog::Discard, slog::o!());
        let error = Connection::open(vec![address.to_string()], logger).await.err().unwrap();
        assert!(error.is_retryable());
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
