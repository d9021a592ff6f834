//! The DNS as this machine is configured to ask it: name servers, the search list, the hosts file.
//!
//! Decides whom to ask. Trusts `/etc/resolv.conf` and `/etc/hosts`, and reads them again when they have changed.
//! Guarantees that an answer is called authentic only where a name server of this very machine said so: on any
//! other way somebody may have set that bit. Signatures are not validated here: behind a forwarder that drops them
//! that would end all mail, and whoever wants DANE has a validating resolver on the loopback.

use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, TryFutureExt};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{ConnectionProvider, Hosts, PoolContext, Resolver, system_conf};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// How often it is looked whether they have changed.
const GLANCE: Duration = Duration::from_secs(5);
/// Octets of a hosts file that are read.
const MAX_HOSTS: u64 = 4 * 1024 * 1024;
/// How long a name server has, and how often it is asked again.
const MOST_PATIENCE: Duration = Duration::from_secs(5);
const MOST_ATTEMPTS: usize = 3;
/// Questions on one TCP connection.
const ON_A_CONNECTION: usize = 256;

/// What answers questions, as the files say it now.
pub(crate) struct Dns {
    pub(crate) resolver: Resolver<Wary>,
    pub(crate) hosts: Hosts,
    /// What a name without a dot is looked for in.
    pub(crate) search: Vec<Name>,
}

impl Dns {
    /// By the table's name servers, or those of the system where it names none.
    fn read(nameservers: &[SocketAddr]) -> Result<Self, NetError> {
        // Without that file, as the C library does it: this machine is asked.
        let local = || {
            let server = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            (ResolverConfig::from_name_servers(vec![server]), ResolverOpts::default())
        };
        let (system, said) = system_conf::read_system_conf().unwrap_or_else(|_| local());
        let (domain, search, mut servers) = system.into_parts();
        if !nameservers.is_empty() {
            servers = nameservers.iter().map(nameserver).collect();
        }
        let config = ResolverConfig::from_name_servers(servers);
        let resolver = Resolver::builder_with_config(config, Wary::default()).with_options(options(&said));
        let search = search.into_iter().chain(domain).collect();
        Ok(Self { resolver: resolver.build()?, hosts: hosts(), search })
    }
}

/// What of the system's options is taken, within bounds.
fn options(said: &ResolverOpts) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = said.timeout.min(MOST_PATIENCE);
    options.attempts = said.attempts.min(MOST_ATTEMPTS);
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true;
    options.max_active_requests = ON_A_CONNECTION;
    options
}

/// The name of a domain as the DNS has it: RFC 5890.
pub(crate) fn to_ascii(name: &str) -> Option<String> {
    let ascii = Name::from_str_relaxed(name).ok()?.to_ascii();
    let name: smap_common::lookup::Name = ascii.parse().ok()?;
    Some(name.as_str().to_owned())
}

fn nameserver(server: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

fn hosts() -> Hosts {
    let mut hosts = Hosts::default();
    // A line that is none is left out, as is a file that is not there.
    if let Ok(file) = File::open(HOSTS)
        && hosts.read_hosts_conf(file.take(MAX_HOSTS)).is_err()
    {
        return Hosts::default();
    }
    hosts
}

/// The DNS, read anew when its files have changed.
pub(crate) struct Current {
    nameservers: Vec<SocketAddr>,
    state: Mutex<State>,
}

struct State {
    dns: Arc<Dns>,
    stamp: Stamp,
    looked: Instant,
}

impl Current {
    pub(crate) fn read(nameservers: Vec<SocketAddr>) -> Result<Self, NetError> {
        let (stamp, dns) = (Stamp::now(), Arc::new(Dns::read(&nameservers)?));
        Ok(Self { nameservers, state: Mutex::new(State { dns, stamp, looked: Instant::now() }) })
    }

    /// As it is now. What it has cached is forgotten when the files change.
    pub(crate) fn dns(&self) -> Arc<Dns> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= GLANCE {
            state.looked = Instant::now();
            let stamp = Stamp::now();
            if stamp != state.stamp
                && let Ok(dns) = Dns::read(&self.nameservers)
            {
                (state.dns, state.stamp) = (Arc::new(dns), stamp);
            }
        }
        Arc::clone(&state.dns)
    }
}

/// By what a file is seen to have changed: device, number, seconds, the rest of them, size.
type Facts = (u64, u64, i64, i64, u64);

/// The files as they were; `None` is one that was not there.
#[derive(PartialEq, Eq)]
struct Stamp([Option<Facts>; 2]);

impl Stamp {
    fn now() -> Self {
        Self([RESOLV_CONF, HOSTS].map(|file| {
            let facts = fs::metadata(file).ok()?;
            Some((facts.dev(), facts.ino(), facts.mtime(), facts.mtime_nsec(), facts.size()))
        }))
    }
}

/// Makes connections that ask whether an answer is authentic, and believe it of this machine only.
#[derive(Clone, Default)]
pub(crate) struct Wary(TokioRuntimeProvider);

/// One of them.
#[derive(Clone)]
pub(crate) struct WaryConnection {
    inner: DnsExchange<TokioRuntimeProvider>,
    is_local: bool,
}

impl ConnectionProvider for Wary {
    type Conn = WaryConnection;
    type FutureConn = BoxFuture<'static, Result<WaryConnection, NetError>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        cx: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let is_local = ip.to_canonical().is_loopback();
        let connection = self.0.new_connection(ip, config, cx)?;
        Ok(connection.map_ok(move |inner| WaryConnection { inner, is_local }).boxed())
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.0
    }
}

impl DnsHandle for WaryConnection {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, mut request: DnsRequest) -> Self::Response {
        let is_local = self.is_local;
        // RFC 6840 section 5.7: whoever sets it in a question wants it in the answer.
        request.metadata.authentic_data = is_local;
        let answers = self.inner.send(request);
        Box::pin(answers.map(move |answer| {
            answer.map(|mut response| {
                response.metadata.authentic_data &= is_local;
                response
            })
        }))
    }
}
