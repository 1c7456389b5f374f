//! A small HTTP server: one page, and one long body that a client can check (RFC 9112).

use core::fmt::Write;
use heapless::String;
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::Duration;

const PORT: u16 = 80;
/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest request that is understood.
const LONGEST: usize = 512;

const PAGE: &[u8] = b"<!doctype html><title>sva-os</title><p>Served by safe Rust over an NE2000.\n";
/// How long the long body is.
const LONG: usize = 150_000;

/// The byte of the long body at `index`.
fn long(index: usize) -> u8 {
    let [low, middle, high, ..] = index.to_le_bytes();
    (low ^ middle ^ high).wrapping_mul(167)
}

/// One connection after the other.
pub(super) struct Server {
    request: String<LONGEST>,
    answer: Option<Answer>,
    served: u32,
}

/// What is being sent.
struct Answer {
    head: String<128>,
    body: Body,
    /// How much of head and body is gone.
    sent: usize,
}

#[derive(Clone, Copy)]
enum Body {
    Page,
    Long,
    None,
}

impl Body {
    const fn length(self) -> usize {
        match self {
            Self::Page => PAGE.len(),
            Self::Long => LONG,
            Self::None => 0,
        }
    }

    fn byte(self, index: usize) -> Option<u8> {
        match self {
            Self::Page => PAGE.get(index).copied(),
            Self::Long => (index < LONG).then(|| long(index)),
            Self::None => None,
        }
    }
}

impl Server {
    pub(super) const fn new() -> Self {
        Self { request: String::new(), answer: None, served: 0 }
    }

    /// How many requests were answered.
    pub(super) const fn served(&self) -> u32 {
        self.served
    }

    /// Goes on as far as the socket lets it.
    pub(super) fn poll(&mut self, socket: &mut Socket<'_>) {
        if !socket.is_open() {
            self.request.clear();
            self.answer = None;
            socket.set_timeout(Some(PATIENCE));
            // The port is not 0 and the socket is closed, so it listens.
            _ = socket.listen(PORT);
        }
        self.receive(socket);
        self.send(socket);
        if socket.state() == State::CloseWait && self.answer.is_none() {
            socket.close();
        }
    }

    fn receive(&mut self, socket: &mut Socket<'_>) {
        while self.answer.is_none() && socket.can_recv() {
            let request = &mut self.request;
            let full = socket.recv(|bytes| {
                let full = bytes.iter().any(|byte| request.push(char::from(*byte)).is_err());
                (bytes.len(), full)
            });
            if request.ends_with("\r\n\r\n") || full.unwrap_or(true) {
                self.answer = Some(answer(request));
            }
        }
    }

    fn send(&mut self, socket: &mut Socket<'_>) {
        let Some(answer) = &mut self.answer else { return };
        if !socket.may_send() {
            return;
        }
        while socket.can_send() && answer.sent < answer.length() {
            let count = socket.send(|room| {
                let bytes = (answer.sent..).map_while(|index| answer.byte(index));
                let count = room.iter_mut().zip(bytes).map(|(to, byte)| *to = byte).count();
                (count, count)
            });
            answer.sent += count.unwrap_or_default();
        }
        if answer.sent == answer.length() {
            self.answer = None;
            self.request.clear();
            self.served += 1;
            socket.close();
        }
    }
}

impl Answer {
    fn length(&self) -> usize {
        self.head.len() + self.body.length()
    }

    fn byte(&self, index: usize) -> Option<u8> {
        match index.checked_sub(self.head.len()) {
            None => self.head.as_bytes().get(index).copied(),
            Some(index) => self.body.byte(index),
        }
    }
}

/// The answer to a request, whose first line names what is wanted.
fn answer(request: &str) -> Answer {
    let mut words = request.split([' ', '\r']);
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/")) => ("200 OK", Body::Page),
        (Some("GET"), Some("/long")) => ("200 OK", Body::Long),
        (Some("GET"), Some(_)) => ("404 Not Found", Body::None),
        _ => ("400 Bad Request", Body::None),
    };
    let mut head = String::new();
    let length = body.length();
    // It is shorter than what there is room for.
    _ = write!(head, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    Answer { head, body, sent: 0 }
}
