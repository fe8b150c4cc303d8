//! A DNS server that a test steers: over UDP and TCP, with records of its choice, failures and silence.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// The most that an answer over UDP may have here before it is cut.
const DATAGRAM_BYTES_MAX: usize = 512;
/// How long the answer that there is no such name may be believed, in seconds.
const NEGATIVE_TTL: u32 = 1;

/// How a question for a name is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// With these records, each with its time to live in seconds; those of other names come beside.
    Records(Vec<(String, RData)>, u32),
    /// With this code.
    Code(ResponseCode),
    /// Not at all.
    Silence,
}

/// A DNS server; gone when dropped.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// By name in lower case, without the last dot. Other names do not exist.
    names: BTreeMap<String, Answer>,
    /// Whether nobody is answered.
    silent: bool,
    /// Every question so far.
    asked: Vec<(String, RecordType)>,
    /// Questions over TCP.
    over_tcp: usize,
}

impl DnsServer {
    pub(crate) async fn start() -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let (address, state) = (tcp.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let Some(mut answer) = answer(&shared, &buffer[..length]) else { continue };
                let mut bytes = answer.to_vec().unwrap();
                if bytes.len() > DATAGRAM_BYTES_MAX {
                    answer.answers.clear();
                    answer.additionals.clear();
                    answer.metadata.truncation = true;
                    bytes = answer.to_vec().unwrap();
                }
                udp.send_to(&bytes, from).await.ok();
            }
        });
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = tcp.accept().await {
                connections.spawn(talk(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// Has a name answered so from now on.
    pub(crate) fn answer(&self, name: &str, answer: Answer) {
        self.state.lock().names.insert(name.to_owned(), answer);
    }

    /// Has a name exist no more.
    pub(crate) fn forget(&self, name: &str) {
        self.state.lock().names.remove(name);
    }

    /// Answers nobody, or everybody again.
    pub(crate) fn silence(&self, silent: bool) {
        self.state.lock().silent = silent;
    }

    /// How often it was asked for a name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.state.lock().asked.iter().filter(|(asked, _)| asked == name).count()
    }

    /// How often it was asked over TCP.
    pub(crate) fn asked_over_tcp(&self) -> usize {
        self.state.lock().over_tcp
    }
}

async fn talk(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; usize::from(length)];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        state.lock().over_tcp += 1;
        let Some(answer) = answer(&state, &question) else { continue };
        let bytes = answer.to_vec().unwrap();
        stream.write_u16(bytes.len().try_into().unwrap()).await.ok();
        stream.write_all(&bytes).await.ok();
    }
}

/// The whole answer to a question, or none.
fn answer(state: &Mutex<State>, question: &[u8]) -> Option<Message> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let name = query.name().to_lowercase().to_utf8();
    let name = name.trim_end_matches('.');
    let mut state = state.lock();
    state.asked.push((name.to_owned(), query.query_type()));
    let told = state.names.get(name).cloned().unwrap_or(Answer::Code(ResponseCode::NXDomain));
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    match told {
        _ if state.silent => return None,
        Answer::Silence => return None,
        Answer::Code(code) => answer.metadata.response_code = code,
        Answer::Records(records, ttl) => {
            for (owner, data) in records {
                let record = Record::from_rdata(fqdn(&owner), ttl, data);
                if owner != name {
                    answer.add_additional(record);
                } else if record.record_type() == query.query_type() {
                    answer.add_answer(record);
                }
            }
        }
    }
    let code = answer.metadata.response_code;
    if answer.answers.is_empty() && matches!(code, ResponseCode::NXDomain | ResponseCode::NoError) {
        let soa = SOA::new(fqdn("ns.test"), fqdn("admin.test"), 1, 60, 60, 60, NEGATIVE_TTL);
        answer.add_authority(Record::from_rdata(fqdn("test"), NEGATIVE_TTL, RData::SOA(soa)));
    }
    Some(answer)
}

fn fqdn(name: &str) -> Name {
    let mut name = Name::from_utf8(name).unwrap();
    name.set_fqdn(true);
    name
}

/// An SRV record of a name.
pub(crate) fn srv(name: &str, priority: u16, weight: u16, port: u16, target: &str) -> (String, RData) {
    (name.to_owned(), RData::SRV(SRV::new(priority, weight, port, fqdn(target))))
}

/// An address of a name.
pub(crate) fn at(name: &str, ip: &str) -> (String, RData) {
    (name.to_owned(), RData::from(ip.parse::<IpAddr>().unwrap()))
}
