//! Name servers, asked and changed as DNS itself has it: questions by UDP, then by TCP where an answer does not fit; changes
//! (RFC 2136) by TCP alone, signed (TSIG). It does not know hosted zones, nor why a record changes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use crate::world::{Answer, Fault, NameAnswer, NameServer, Names, RecordSet};

/// How long one question by UDP waits before it is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// How far the clocks of both ends may be apart, in seconds.
const FUDGE_S: u16 = 300;

/// The largest answer by UDP.
const PAYLOAD: u16 = 1232;

/// Name servers.
pub(super) struct Real;

#[async_trait]
impl Names for Real {
    async fn ask(&self, server: &NameServer, name: &str, kind: &str, timeout_ms: u64) -> Answer<NameAnswer> {
        let limit = Duration::from_millis(timeout_ms);
        match timeout(limit, ask(server, name, kind)).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::unreachable(format!("{} gave no answer", server.at))),
        }
    }

    async fn update(
        &self,
        server: &NameServer,
        zone: &str,
        old: Option<&RecordSet>,
        new: Option<&RecordSet>,
        timeout_ms: u64,
    ) -> Answer<()> {
        let limit = Duration::from_millis(timeout_ms);
        match timeout(limit, update(server, zone, old, new)).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::lost(format!("{} was asked to change zone {zone}, and gave no answer", server.at))),
        }
    }
}

/// `HOST`, `HOST:PORT`, `[V6]:PORT` or a bare address of either kind.
fn split(at: &str) -> Answer<(String, u16)> {
    let bad = || Fault::refused(format!("`{at}` is no name server: write it as host or host:port"));
    if let Some(rest) = at.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(bad)?;
        let port = if port.is_empty() { Some(53) } else { port.strip_prefix(':').and_then(|p| p.parse().ok()) };
        return Ok((host.to_owned(), port.ok_or_else(bad)?));
    }
    match at.split_once(':') {
        Some((host, port)) if !port.contains(':') => Ok((host.to_owned(), port.parse().map_err(|_| bad())?)),
        _ if at.is_empty() => Err(bad()),
        _ => Ok((at.to_owned(), 53)),
    }
}

async fn address(at: &str) -> Answer<SocketAddr> {
    let (host, port) = split(at)?;
    let found = lookup_host((host.as_str(), port)).await.map_err(|e| Fault::unreachable(format!("no address of {at}: {e}")))?.next();
    found.ok_or_else(|| Fault::unreachable(format!("no address of {at}")))
}

fn named(text: &str) -> Answer<Name> {
    let mut name = Name::from_ascii(text).map_err(|_| Fault::refused(format!("`{text}` is not a name that DNS can hold")))?;
    name.set_fqdn(true);
    Ok(name)
}

fn kind_of(text: &str) -> Answer<RecordType> {
    text.parse().map_err(|_| Fault::refused(format!("`{text}` is not a type of record")))
}

async fn ask(server: &NameServer, name: &str, kind: &str) -> Answer<NameAnswer> {
    let (at, name, kind) = (address(&server.at).await?, named(name)?, kind_of(kind)?);
    let mut message = Message::new(rand_id(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut query = Query::new();
    query.set_name(name).set_query_type(kind);
    message.add_query(query);
    message.set_edns({
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        edns
    });
    let bytes = message.to_vec().map_err(|e| Fault::refused(format!("the question cannot be written: {e}")))?;
    let mut first = None;
    if !server.stream {
        first = Some(by_udp(at, &server.at, &bytes, &message).await?).filter(|answer| !answer.metadata.truncation);
    }
    let answer = match first {
        Some(answer) => answer,
        None => {
            let said = by_tcp(at, &server.at, &bytes).await?;
            read(&said, &message).ok_or_else(|| Fault::refused(format!("{} gave an answer that cannot be read", server.at)))?
        }
    };
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if answer.metadata.truncation => {
            Err(Fault::refused(format!("{} gave an answer that is cut", server.at)))
        }
        ResponseCode::NoError | ResponseCode::NXDomain => values(&answer, kind),
        other => Err(Fault::refused(format!("{} refuses to answer: {other}", server.at))),
    }
}

/// An id that nobody can guess, so that nobody else answers.
fn rand_id() -> u16 {
    Message::query().metadata.id
}

async fn by_udp(at: SocketAddr, shown: &str, bytes: &[u8], asked: &Message) -> Answer<Message> {
    let any: SocketAddr = if at.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let lost = |e: std::io::Error| Fault::unreachable(format!("{shown} cannot be reached: {e}"));
    let socket = UdpSocket::bind(any).await.map_err(lost)?;
    socket.connect(at).await.map_err(lost)?;
    let mut buffer = vec![0; 1 << 16];
    // The caller's own limit ends this.
    loop {
        socket.send(bytes).await.map_err(lost)?;
        let answer = timeout(AGAIN, async {
            loop {
                let n = socket.recv(&mut buffer).await?;
                if let Some(answer) = read(&buffer[..n], asked) {
                    return Ok(answer);
                }
            }
        });
        if let Ok(answer) = answer.await {
            return answer.map_err(lost);
        }
    }
}

/// An answer to this question and no other.
fn read(bytes: &[u8], asked: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let fits = answer.metadata.id == asked.metadata.id && answer.metadata.message_type == MessageType::Response;
    let same = answer.queries.is_empty() && answer.metadata.response_code != ResponseCode::NoError || answer.queries == asked.queries;
    (fits && same).then_some(answer)
}

/// One exchange by TCP. What could not be sent is `unreachable`, what was sent and not answered `lost`.
async fn by_tcp(at: SocketAddr, shown: &str, bytes: &[u8]) -> Answer<Vec<u8>> {
    let mut stream = TcpStream::connect(at).await.map_err(|e| Fault::unreachable(format!("{shown} cannot be reached: {e}")))?;
    let lost = |e: std::io::Error| Fault::lost(format!("{shown} was asked, and gave no answer: {e}"));
    let length = u16::try_from(bytes.len()).map_err(|_| Fault::refused("the message is longer than DNS can hold"))?;
    let whole = [&length.to_be_bytes()[..], bytes].concat();
    stream.write_all(&whole).await.map_err(lost)?;
    let length = stream.read_u16().await.map_err(lost)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(lost)?;
    Ok(answer)
}

/// The values of a type at the end of the chain of names, and how long the whole chain may be kept.
fn values(answer: &Message, kind: RecordType) -> Answer<NameAnswer> {
    let mut found = NameAnswer { values: Vec::new(), ttl_s: None, authoritative: answer.metadata.authoritative };
    for record in &answer.answers {
        if record.record_type() == kind {
            found.values.push(text(&record.data)?);
        } else if record.record_type() != RecordType::CNAME {
            continue;
        }
        found.ttl_s = Some(found.ttl_s.map_or(record.ttl, |ttl: u32| ttl.min(record.ttl)));
    }
    // Where there is nothing, the zone says for how long that may be believed.
    if found.values.is_empty() && found.ttl_s.is_none() {
        found.ttl_s = answer.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        });
    }
    found.values.sort();
    Ok(found)
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// A value as people write it.
fn text(data: &RData) -> Answer<String> {
    Ok(match data {
        RData::A(a) => a.0.to_string(),
        RData::AAAA(a) => a.0.to_string(),
        RData::CNAME(n) => plain(&n.0),
        RData::NS(n) => plain(&n.0),
        RData::PTR(n) => plain(&n.0),
        RData::MX(mx) => format!("{} {}", mx.preference, plain(&mx.exchange)),
        RData::SRV(s) => format!("{} {} {} {}", s.priority, s.weight, s.port, plain(&s.target)),
        RData::TXT(t) => t.txt_data.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" "),
        other => return Err(Fault::refused(format!("records of type {} cannot be read here", other.record_type()))),
    })
}

fn quoted(part: &[u8]) -> String {
    let shown = part.iter().map(|&b| match b {
        b'"' | b'\\' => format!("\\{}", b as char),
        b' '..=b'~' => (b as char).to_string(),
        _ => format!("\\{b:03}"),
    });
    format!("\"{}\"", shown.collect::<String>())
}

/// The other way round.
fn data(kind: RecordType, value: &str) -> Answer<RData> {
    let bad = || Fault::refused(format!("`{value}` is no value of a record of type {kind}"));
    let name = |text: &str| named(text).map_err(|_| bad());
    let words: Vec<&str> = value.split_whitespace().collect();
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    Ok(match (kind, words.as_slice()) {
        (RecordType::A, [a]) => RData::A(A(a.parse().map_err(|_| bad())?)),
        (RecordType::AAAA, [a]) => RData::AAAA(AAAA(a.parse().map_err(|_| bad())?)),
        (RecordType::CNAME, [n]) => RData::CNAME(CNAME(name(n)?)),
        (RecordType::NS, [n]) => RData::NS(NS(name(n)?)),
        (RecordType::PTR, [n]) => RData::PTR(PTR(name(n)?)),
        (RecordType::MX, [p, n]) => RData::MX(MX::new(number(p)?, name(n)?)),
        (RecordType::SRV, [p, w, port, n]) => RData::SRV(SRV::new(number(p)?, number(w)?, number(port)?, name(n)?)),
        (RecordType::TXT, _) => RData::TXT(TXT::from_bytes(parts(value).ok_or_else(bad)?.iter().map(Vec::as_slice).collect())),
        (RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::NS | RecordType::PTR | RecordType::MX | RecordType::SRV, _) => {
            return Err(bad());
        }
        _ => return Err(Fault::refused(format!("records of type {kind} cannot be written here"))),
    })
}

/// The texts of a TXT record: in quotes, or the whole value as one.
fn parts(value: &str) -> Option<Vec<Vec<u8>>> {
    if !value.starts_with('"') {
        return (value.len() <= 255).then(|| vec![value.as_bytes().to_vec()]);
    }
    let mut out = Vec::new();
    let mut rest = value.bytes().peekable();
    while let Some(open) = rest.next() {
        if open == b' ' {
            continue;
        }
        if open != b'"' {
            return None;
        }
        let mut part = Vec::new();
        loop {
            match rest.next()? {
                b'"' => break,
                b'\\' => match rest.next()? {
                    digit @ b'0'..=b'9' => {
                        let code = [digit, rest.next()?, rest.next()?];
                        part.push(std::str::from_utf8(&code).ok()?.parse().ok()?);
                    }
                    other => part.push(other),
                },
                other => part.push(other),
            }
        }
        if part.len() > 255 {
            return None;
        }
        out.push(part);
    }
    Some(out)
}

fn records(set: &RecordSet, ttl_s: u64) -> Answer<Vec<Record>> {
    let (name, kind) = (named(&set.name)?, kind_of(&set.kind)?);
    let ttl = u32::try_from(ttl_s).map_err(|_| Fault::refused("the TTL is longer than DNS can hold"))?;
    set.values.iter().map(|value| Ok(Record::from_rdata(name.clone(), ttl, data(kind, value)?))).collect()
}

/// A record without data, which stands for all of a name and a type.
fn all_of(set: &RecordSet, class: DNSClass) -> Answer<Record> {
    let mut record = Record::update0(named(&set.name)?, 0, kind_of(&set.kind)?);
    record.dns_class = class;
    Ok(record)
}

async fn update(server: &NameServer, zone: &str, old: Option<&RecordSet>, new: Option<&RecordSet>) -> Answer<()> {
    let at = address(&server.at).await?;
    let mut message = Message::new(rand_id(), MessageType::Query, OpCode::Update);
    let mut query = Query::new();
    query.set_name(named(zone)?).set_query_type(RecordType::SOA);
    message.add_query(query);
    match (old, new) {
        // Exactly these values must be there, or none at all.
        (Some(old), _) => {
            message.add_answers(records(old, 0)?);
            message.add_authority(all_of(old, DNSClass::ANY)?);
        }
        (None, Some(new)) => drop(message.add_answer(all_of(new, DNSClass::NONE)?)),
        (None, None) => return Ok(()),
    }
    if let Some(new) = new {
        message.add_authorities(records(new, new.ttl_s)?);
    }
    let verifier = match &server.key {
        Some(key) => sign(&mut message, key)?,
        None => None,
    };
    let bytes = message.to_vec().map_err(|e| Fault::refused(format!("the change cannot be written: {e}")))?;
    let said = by_tcp(at, &server.at, &bytes).await?;
    let lost = |why: &str| Fault::lost(format!("{} was asked to change zone {zone}: {why}", server.at));
    let answer = Message::from_vec(&said).map_err(|_| lost("its answer cannot be read"))?;
    if answer.metadata.id != message.metadata.id || answer.metadata.op_code != OpCode::Update {
        return Err(lost("its answer is to something else"));
    }
    match answer.metadata.response_code {
        ResponseCode::NoError => match verifier {
            Some(mut verifier) => verifier.verify(&said).map(drop).map_err(|_| lost("its answer is not signed with the key")),
            None => Ok(()),
        },
        ResponseCode::YXRRSet | ResponseCode::NXRRSet | ResponseCode::YXDomain | ResponseCode::NXDomain => {
            Err(Fault::refused(format!("{} says that the record is not what it was: somebody changed it meanwhile", server.at)))
        }
        // It may have begun.
        ResponseCode::ServFail => Err(lost("it says that it failed")),
        other => Err(Fault::refused(format!("{} refuses to change zone {zone}: {other}", server.at))),
    }
}

fn sign(message: &mut Message, key: &crate::world::NameKey) -> Answer<Option<hickory_proto::rr::TSigVerifier>> {
    // No word of what it holds: it is a secret.
    let secret = STANDARD.decode(key.secret.trim()).map_err(|_| Fault::refused("the TSIG key is not base64"))?;
    let algorithm = match key.algorithm.as_str() {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        other => return Err(Fault::refused(format!("`{other}` is no algorithm of a TSIG key that is known here"))),
    };
    let signer = TSigner::new(secret, algorithm, named(&key.name)?, FUDGE_S);
    let signer = signer.map_err(|e| Fault::refused(format!("the TSIG key cannot be used: {e}")))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs());
    message.finalize(&signer, now).map_err(|e| Fault::refused(format!("the change cannot be signed: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_written_in_the_usual_ways() {
        for (text, host, port) in
            [("ns1", "ns1", 53), ("ns1:5353", "ns1", 5353), ("::1", "::1", 53), ("[::1]:54", "::1", 54), ("[::1]", "::1", 53)]
        {
            assert_eq!(split(text).unwrap(), (host.to_owned(), port));
        }
        for text in ["", "ns1:dns", "[::1", "[::1]x"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_survive_being_written_and_read() {
        for (kind, value) in [
            (RecordType::A, "192.0.2.1"),
            (RecordType::AAAA, "2001:db8::1"),
            (RecordType::CNAME, "lb.example.com"),
            (RecordType::MX, "10 mail.example.com"),
            (RecordType::SRV, "1 2 443 a.example.com"),
            (RecordType::TXT, "\"a \\\"b\\\" \\\\ \\195\\188\" \"c\""),
        ] {
            assert_eq!(text(&data(kind, value).unwrap()).unwrap(), value);
        }
        assert_eq!(text(&data(RecordType::TXT, "v=spf1 -all").unwrap()).unwrap(), "\"v=spf1 -all\"");
        for (kind, value) in [(RecordType::A, "1.2.3"), (RecordType::MX, "mail"), (RecordType::TXT, "\"open"), (RecordType::CNAME, "a b")] {
            assert!(data(kind, value).is_err(), "{value}");
        }
    }
}
