//! A web server that misbehaves as real ones do: one script of behaviours, one connection each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with one request. Bytes that it sends begin where the request's Range says, if it obeys ranges.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// All as it should be, ranges and If-Range included.
    Serve,
    /// The same under another ETag, so that a beginning cannot be gone on with.
    NewVersion,
    /// The whole file with status 200, whatever was asked.
    IgnoreRange,
    /// As Serve, but the connection closes after so many bytes.
    Drop(usize),
    /// As Serve, but silence after so many bytes.
    Stall(usize),
    /// A byte now and then.
    Trickle,
    /// A complete answer with only so many bytes.
    Truncate(usize),
    /// No length, and more than there is.
    Overlong,
    /// A promise of more than comes.
    WrongLength,
    /// The right length, and one byte wrong.
    Corrupt,
    /// A part that begins elsewhere.
    WrongPart,
    /// A part without Content-Range.
    NamelessPart,
    /// A status and nothing else.
    Status(u16),
    /// Status 503 with Retry-After: 0.
    Busy,
    /// To another path.
    Redirect(&'static str),
    /// Not HTTP.
    Garbage,
    /// No answer.
    Silence,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

pub(crate) struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Serves `body` under every path; the n-th request gets the n-th act, and all after that the last.
    pub(crate) fn new(body: Vec<u8>, acts: Vec<Act>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen_too, stop_too) = (seen.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut acts = acts.into_iter();
            let mut act = acts.next().unwrap();
            for stream in listener.incoming() {
                if stop_too.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let Some(request) = read(&stream) else { continue };
                seen_too.lock().unwrap().push(request.clone());
                // A client that went away is none of the server's business.
                let _ = answer(&act, &request, &body, &mut stream, &stop_too);
                act = acts.next().unwrap_or(act);
            }
        });
        Server { address, seen, stop }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://")); // wakes it
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_string();
    let mut request = Request { path, range: None, if_range: None };
    for line in lines.take_while(|l| !l.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_lowercase().as_str() {
            "range" => request.range = Some(value.to_string()),
            "if-range" => request.if_range = Some(value.to_string()),
            _ => {}
        }
    }
    Some(request)
}

const TAG: &str = "\"one\"";

fn answer(
    act: &Act,
    request: &Request,
    body: &[u8],
    stream: &mut TcpStream,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let tag = if matches!(act, Act::NewVersion) { "\"two\"" } else { TAG };
    let obeys = !matches!(act, Act::IgnoreRange) && request.if_range.as_deref().is_none_or(|t| t == tag);
    let first = request
        .range
        .as_deref()
        .filter(|_| obeys)
        .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let from = first.unwrap_or(0);
    if from >= body.len() && first.is_some() {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let rest = &body[from..];
    let head = |length: Option<usize>, from: usize| {
        let status = if first.is_some() { "206 Partial Content" } else { "200 OK" };
        let mut head = format!("HTTP/1.1 {status}\r\nETag: {tag}\r\nConnection: close\r\n");
        if let Some(length) = length {
            head += &format!("Content-Length: {length}\r\n");
        }
        if first.is_some() {
            head += &format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
        }
        head + "\r\n"
    };
    let whole = head(Some(rest.len()), from);
    let wait = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        while !stop.load(Ordering::Relaxed) {
            match stream.read(&mut [0; 64]) {
                Ok(0) => break, // the client gave up
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        Ok(())
    };
    match act {
        Act::Serve | Act::NewVersion | Act::IgnoreRange => {
            stream.write_all(whole.as_bytes())?;
            stream.write_all(rest)
        }
        Act::Drop(n) => {
            stream.write_all(whole.as_bytes())?;
            stream.write_all(&rest[..rest.len().min(*n)])
        }
        Act::Stall(n) => {
            stream.write_all(whole.as_bytes())?;
            stream.write_all(&rest[..rest.len().min(*n)])?;
            wait(stream)
        }
        Act::Trickle => {
            stream.write_all(whole.as_bytes())?;
            for byte in rest {
                stream.write_all(&[*byte])?;
                std::thread::sleep(Duration::from_millis(30));
            }
            Ok(())
        }
        Act::Truncate(n) => {
            let n = rest.len().min(*n);
            stream.write_all(head(Some(n), from).as_bytes())?;
            stream.write_all(&rest[..n])
        }
        Act::Overlong => {
            stream.write_all(head(None, from).as_bytes())?;
            stream.write_all(rest)?;
            stream.write_all(b"and more")
        }
        Act::WrongLength => {
            stream.write_all(head(Some(rest.len() + 100), from).as_bytes())?;
            stream.write_all(rest)
        }
        Act::Corrupt => {
            let mut wrong = rest.to_vec();
            let middle = wrong.len() / 2;
            wrong[middle] ^= 1;
            stream.write_all(whole.as_bytes())?;
            stream.write_all(&wrong)
        }
        Act::WrongPart => {
            stream.write_all(head(Some(rest.len()), from.saturating_sub(1)).as_bytes())?;
            stream.write_all(rest)
        }
        Act::NamelessPart => {
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                rest.len()
            )?;
            stream.write_all(rest)
        }
        Act::Status(code) => {
            let page = "<html>no</html>";
            write!(
                stream,
                "HTTP/1.1 {code} Oh\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            )
        }
        Act::Busy => {
            let head =
                "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes())
        }
        Act::Redirect(path) => {
            let head = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n";
            write!(stream, "{head}Location: {path}\r\n\r\n")
        }
        Act::Garbage => stream.write_all(b"220 smtp.example.org ESMTP\r\n"),
        Act::Silence => wait(stream),
    }
}
