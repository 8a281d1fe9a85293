//! What the server answers: to a script with a clock of its own, and over real sockets.

mod script;

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream as ClientStream},
    time::Duration,
};

use crate::{
    TcpListener, accept_all,
    connection::{self, Limits},
    thread,
};
use script::{Answer, Script, answers};

/// The answers to `input`, which are the same if it comes whole or byte by byte.
fn answered(input: &str) -> Vec<Answer> {
    let whole = answers(&Script::whole(input).serve());
    let bytes = answers(&Script::bytes(input).serve());
    let no_continue = |mut it: Vec<Answer>| {
        it.retain(|it| it.status != 100);
        it
    };
    let whole = no_continue(whole);
    assert_eq!(whole, no_continue(bytes), "whole, and byte by byte");
    whole
}

/// The one answer to `input`, after which the connection ends.
fn refused(input: &str) -> u16 {
    // What follows a refused request must never be taken for another.
    let input = format!("{input}\r\n\r\nGET / HTTP/1.1\r\nHost: smuggled\r\n\r\n");
    let answers = answered(&input);
    assert_eq!(answers.len(), 1, "one answer to {input:?}: {answers:?}");
    assert_eq!(answers[0].field("connection"), Some("close"));
    answers[0].status
}

fn statuses(input: &str) -> Vec<u16> {
    answered(input).iter().map(|it| it.status).collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

fn post(fields: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: here\r\n{fields}\r\n{body}")
}

#[test]
fn get_is_answered_by_a_whole_response() {
    let text = Script::whole(GET).serve();
    let (date, rest) = text
        .strip_prefix("HTTP/1.1 200 OK\r\nServer: sward\r\nDate: ")
        .and_then(|it| it.split_once(" GMT\r\n"))
        .expect("status, server, date");
    assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37".len());
    assert_eq!(
        rest,
        "Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"
    );
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let head = GET.replacen("GET", "HEAD", 1);
    let text = Script::whole(format!("{head}{GET}")).serve();
    let (head, get) = text.split_at(text.rfind("HTTP/1.1").expect("two answers"));
    assert_eq!(get, format!("{head}Hello, World!"));
    let missing = answered("HEAD /none HTTP/1.1\r\nHost: here\r\n\r\n");
    assert_eq!((missing[0].status, missing[0].body.as_str()), (404, ""));
}

#[test]
fn a_batch_of_requests_is_answered_in_order_by_one_write() {
    let mut input = String::new();
    for number in 0..50 {
        let body = format!("number {number}");
        input += &post(&format!("Content-Length: {}\r\n", body.len()), &body);
    }
    assert!(input.len() < 4096, "one read");
    let mut script = Script::whole(input.as_str());
    script.silent = true;
    let answers = answers(&script.serve());
    let bodies = answers.iter().map(|it| it.body.clone());
    assert!(bodies.eq((0..50).map(|it| format!("number {it}"))));
    assert_eq!((script.sent.len(), script.reads), (1, 2));
}

#[test]
fn what_is_answered_is_sent_before_more_is_awaited() {
    let mut script = Script::whole(format!("{GET}{GET}GET / HT"));
    script.silent = true;
    script.serve();
    let counts: Vec<_> = script.sent.iter().map(|it| it.len() > 200).collect();
    assert_eq!(counts, [true, false], "two answers; later a 408");
    assert_eq!(
        answers(&script.text()).last().map(|it| it.status),
        Some(408)
    );
}

#[test]
fn batches_cut_anywhere_give_the_same_answers() {
    let chunked = post(
        "Transfer-Encoding: chunked\r\n",
        "3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
    );
    let input = format!(
        "{GET}{chunked}{}{GET}",
        post("Content-Length: 4\r\n", "four")
    );
    let expected = answered(&input);
    assert_eq!(expected[1].body, "abc0123456789");
    assert_eq!(expected[2].body, "four");
    assert_eq!(expected.len(), 4);
    for cut in 1..input.len() {
        let (first, second) = input.split_at(cut);
        let mut script = Script::new([first.into(), second.into()]);
        assert_eq!(answers(&script.serve()), expected, "cut at {cut}");
    }
}

#[test]
fn a_batch_longer_than_every_buffer_is_answered_whole() {
    let mut script = Script::whole(GET.repeat(5000));
    script.window = 1000;
    let answers = answers(&script.serve());
    assert_eq!(answers.len(), 5000);
    assert!(answers.iter().all(|it| it.body == "Hello, World!"));
}

#[test]
fn connections_persist_by_the_rules_of_their_version() {
    let connections = |version: &str, option: &str| {
        let request = format!("GET / HTTP/{version}\r\nHost: here\r\n{option}\r\n");
        let answers = answered(&format!("{request}{request}"));
        let said = answers.iter().map(|it| it.field("connection"));
        said.map(|it| it.unwrap_or("-").to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(connections("1.1", ""), "- -");
    assert_eq!(connections("1.1", "Connection: keep-alive\r\n"), "- -");
    assert_eq!(connections("1.1", "Connection: Close\r\n"), "close");
    assert_eq!(connections("1.1", "Connection: te , close\r\n"), "close");
    assert_eq!(connections("1.0", ""), "close");
    assert_eq!(
        connections("1.0", "Connection: Keep-Alive\r\n"),
        "keep-alive keep-alive"
    );
    assert_eq!(
        connections("1.0", "Connection: keep-alive\r\nConnection: close\r\n"),
        "close"
    );
    assert_eq!(statuses("GET / HTTP/1.0\r\n\r\n"), [200], "no Host needed");
}

#[test]
fn a_body_by_length_comes_back() {
    let answers = answered(&post("Content-Length: 5\r\n", "\r\n\0ab"));
    assert_eq!(answers[0].body, "\r\n\0ab");
    assert_eq!(
        answers[0].field("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(answered(&post("", ""))[0].body, "");
    // Of the largest size, and in one read with the next request.
    let body = "x".repeat(1 << 20);
    let fields = format!("Content-Length: {}\r\n", body.len());
    let text = Script::whole(post(&fields, &body) + GET).serve();
    let answers = self::answers(&text);
    assert!(answers[0].body == body && answers[1].body == "Hello, World!");
}

#[test]
fn a_chunked_body_comes_back() {
    let chunked = |body: &str| {
        let input = post("Transfer-Encoding: Chunked\r\n", body) + GET;
        let answers = answered(&input);
        assert_eq!(answers[1].body, "Hello, World!");
        answers[0].body.clone()
    };
    assert_eq!(chunked("0\r\n\r\n"), "");
    assert_eq!(chunked("3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"), "abcd");
    assert_eq!(
        chunked("00C \t;name=\"v\";x\r\n0\r\n\r\n\r\n0\r\n\r\n\r\n0;last\r\nA: b\r\nC:\r\n\r\n"),
        "0\r\n\r\n\r\n0\r\n\r\n"
    );
    let mut body = String::new();
    for _ in 0..100 {
        write!(body, "1fF\r\n{}\r\n", "y".repeat(0x1ff)).expect("a string takes it");
    }
    assert_eq!(chunked(&(body + "0\r\n\r\n")), "y".repeat(0x1ff * 100));
}

#[test]
fn malformed_chunks_are_refused() {
    let chunked = |body: &str| refused(&post("Transfer-Encoding: chunked\r\n", body));
    assert_eq!(chunked("\r\n"), 400);
    assert_eq!(chunked("g\r\n"), 400);
    assert_eq!(chunked("+1\r\na\r\n0\r\n"), 400);
    assert_eq!(chunked("0x1\r\na\r\n0\r\n"), 400);
    assert_eq!(chunked(" 1\r\na\r\n0\r\n"), 400);
    assert_eq!(chunked("1 \r\na\r\n0\r\n"), 400);
    assert_eq!(chunked("1\na\r\n0\r\n"), 400);
    assert_eq!(chunked("1;\ra\r\na\r\n0\r\n"), 400);
    assert_eq!(chunked("1\r\nab\r\n0\r\n"), 400);
    assert_eq!(chunked("0\r\nno colon\r\n"), 400);
    assert_eq!(chunked("ffffffffffffffff\r\n"), 413);
    assert_eq!(chunked("10000000000000000\r\n"), 413);
    assert_eq!(chunked("100001\r\n"), 413);
    let full = format!("100000\r\n{}\r\n1\r\n", "x".repeat(1 << 20));
    let text = Script::whole(post("Transfer-Encoding: chunked\r\n", &full)).serve();
    assert_eq!(answers(&text)[0].status, 413, "too large by a second chunk");
}

#[test]
fn chunk_extensions_and_trailers_are_bounded() {
    let chunked = |body: &str| refused(&post("Transfer-Encoding: chunked\r\n", body));
    assert_eq!(chunked(&format!("1;{}\r\na\r\n", "e".repeat(300))), 400);
    let many = format!("1;{}\r\na\r\n", "e".repeat(200)).repeat(100);
    assert_eq!(chunked(&many), 431);
    let many = (0..40).fold(String::new(), |sum, it| sum + &format!("T{it}: v\r\n"));
    assert_eq!(chunked(&format!("0\r\n{many}\r\n")), 431);
    let long = format!("0\r\nA: b\r\nT: {}\r\n", "v".repeat(20_000));
    assert_eq!(chunked(&long), 431);
}

#[test]
fn a_body_that_nobody_wants_is_passed_over() {
    let body = format!("Content-Length: {}\r\n\r\n{GET}", GET.len());
    let input = format!("GET / HTTP/1.1\r\nHost: here\r\n{body}{GET}");
    assert_eq!(statuses(&input), [200, 200]);
    let input = format!("POST /none HTTP/1.1\r\nHost: here\r\n{body}{GET}");
    assert_eq!(statuses(&input), [404, 200]);
}

#[test]
fn continue_is_sent_when_the_body_is_held_back() {
    let head = post("Expect: 100-Continue\r\nContent-Length: 4\r\n", "");
    let mut script = Script::new([GET.into(), head.clone().into(), "four".into()]);
    let answers = answers(&script.serve());
    let statuses: Vec<_> = answers.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [200, 100, 200]);
    assert_eq!(answers[2].body, "four");
    assert_eq!(script.sent[1], b"HTTP/1.1 100 Continue\r\n\r\n");
    // Not when the body is there, when there is none, or when the client cannot know the answer.
    let text = Script::whole(format!("{head}four")).serve();
    assert!(!text.contains("HTTP/1.1 100"));
    let text = Script::whole(post("Expect: 100-continue\r\n", "")).serve();
    assert!(!text.contains("HTTP/1.1 100"));
    let old = head.replacen("1.1", "1.0", 1);
    let text = Script::new([old.into(), "four".into()]).serve();
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("four"));
}

#[test]
fn a_body_that_would_be_refused_is_not_asked_for() {
    let expect = "Host: here\r\nExpect: 100-continue\r\nContent-Length:";
    let last = |line: &str, length: &str| refused(&format!("{line}\r\n{expect} {length}"));
    assert_eq!(last("POST /echo HTTP/1.1", "9999999"), 413);
    assert_eq!(last("POST /none HTTP/1.1", "4"), 404);
    assert_eq!(last("PUT /echo HTTP/1.1", "4"), 405);
    assert_eq!(
        refused("GET / HTTP/1.1\r\nHost: a\r\nExpect: the worst"),
        417
    );
}

#[test]
fn paths_and_methods_that_are_not_there_say_so() {
    let one = |line: &str| {
        let answers = answered(&format!("{line} HTTP/1.1\r\nHost: here\r\n\r\n{GET}"));
        assert_eq!(answers[1].status, 200, "the connection stays");
        let allow = answers[0].field("allow").unwrap_or("-").to_owned();
        (answers[0].status, allow)
    };
    assert_eq!(one("GET /none"), (404, "-".into()));
    assert_eq!(one("GET /echo/"), (404, "-".into()));
    assert_eq!(one("OPTIONS *"), (404, "-".into()));
    assert_eq!(one("DELETE /"), (405, "GET, HEAD".into()));
    assert_eq!(one("HEAD /echo"), (405, "POST".into()));
    assert_eq!(one("GET /?query=/echo"), (200, "-".into()));
    assert_eq!(one("GET http://here"), (200, "-".into()));
    assert_eq!(one("POST http://here/echo?x"), (200, "-".into()));
}

#[test]
fn malformed_requests_are_refused() {
    let with = |fields: &str| refused(&format!("POST /echo HTTP/1.1\r\n{fields}"));
    assert_eq!(refused("nonsense"), 400);
    assert_eq!(refused("GET /"), 400);
    assert_eq!(refused("GET  / HTTP/1.1\r\nHost: a"), 400);
    assert_eq!(refused("\u{16}\u{3}\u{1}"), 400, "TLS");
    assert_eq!(with("Host: a\r\nno colon"), 400);
    assert_eq!(with("Host : a"), 400);
    assert_eq!(with("Host: a\r\n folded: b"), 400);
    assert_eq!(with("Host: a\r\nX: \0"), 400);
    assert_eq!(with("X: y"), 400, "no Host");
    assert_eq!(with("Host: a\r\nHost: b"), 400);
}

#[test]
fn ambiguous_framing_is_refused() {
    let with = |fields: &str| refused(&format!("POST /echo HTTP/1.1\r\nHost: a\r\n{fields}"));
    let length = "Content-Length: 5";
    let chunked = "Transfer-Encoding: chunked";
    assert_eq!(with(&format!("{length}\r\nContent-Length: 6")), 400);
    assert_eq!(with(&format!("{length}\r\n{chunked}")), 400);
    assert_eq!(with(&format!("{chunked}\r\n{length}")), 400);
    assert_eq!(with("Content-Length: 5, 5"), 400);
    assert_eq!(with("Content-Length: +5"), 400);
    assert_eq!(with("Content-Length: -5"), 400);
    assert_eq!(with("Content-Length: 5 5"), 400);
    assert_eq!(with("Content-Length: 0x5"), 400);
    assert_eq!(with("Content-Length:"), 400);
    assert_eq!(with("Transfer-Encoding:"), 400);
    assert_eq!(with(&format!("{chunked}, chunked")), 400);
    assert_eq!(with(&format!("{chunked}\r\n{chunked}")), 400);
    assert_eq!(with(&format!("{chunked}, gzip")), 400);
    assert_eq!(with("Transfer-Encoding: gzip"), 501);
    assert_eq!(with("Transfer-Encoding: gzip, chunked"), 501);
    assert_eq!(with("Transfer-Encoding: xchunked"), 501);
    let old = format!("POST /echo HTTP/1.0\r\n{chunked}");
    assert_eq!(refused(&old), 400, "HTTP/1.0 has no chunks");
}

#[test]
fn versions_that_we_do_not_speak_are_refused() {
    assert_eq!(refused("GET / HTTP/2.0\r\nHost: a"), 505);
    assert_eq!(refused("PRI * HTTP/2.0"), 505);
    assert_eq!(refused("GET / HTTP/0.9"), 505);
    assert_eq!(refused("GET / HTTP/3"), 505);
    assert_eq!(refused("GET / HTTP/1.2\r\nHost: a"), 505);
    assert_eq!(refused("GET / HTTP/x.y\r\nHost: a"), 400);
    assert_eq!(refused("GET / FTP/1.1\r\nHost: a"), 400);
}

#[test]
fn heads_are_bounded() {
    let with = |fields: &str| refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}"));
    let many = |count| (0..count).fold(String::new(), |sum, it| sum + &format!("F{it}: v\r\n"));
    assert_eq!(with(&many(64)), 431);
    let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", many(63));
    assert_eq!(statuses(&input), [200]);
    assert_eq!(with(&format!("Long: {}", "v".repeat(17_000))), 431);
    assert_eq!(refused(&format!("GET /{}", "p".repeat(17_000))), 414);
    // Up to the limit all is well, however the head lies in the buffer.
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nLong: {}\r\n\r\n",
        "v".repeat(16_000)
    );
    assert_eq!(statuses(&format!("{GET}{long}{long}{GET}")), [200; 4]);
}

#[test]
fn bodies_are_bounded() {
    let with = |length: &str| refused(&post(&format!("Content-Length: {length}\r\n"), ""));
    assert_eq!(with("1048577"), 413);
    assert_eq!(with("18446744073709551615"), 413);
    assert_eq!(with("99999999999999999999999999"), 413);
}

#[test]
fn what_ends_in_the_middle_is_refused_and_what_ends_between_is_not() {
    assert_eq!(statuses(""), []);
    assert_eq!(statuses("\r\n\r\n"), []);
    assert_eq!(statuses(&format!("\r\n{GET}\r\n\n{GET}\r\n")), [200, 200]);
    assert_eq!(statuses(&format!("{GET}GET / HTT")), [200, 400]);
    assert_eq!(statuses(&post("Content-Length: 5\r\n", "four")), [400]);
    let chunked = "Transfer-Encoding: chunked\r\n";
    for end in [
        "",
        "3",
        "3\r\n",
        "3\r\nabc",
        "3\r\nabc\r",
        "0\r\n",
        "0\r\nT: ",
    ] {
        assert_eq!(statuses(&post(chunked, end)), [400], "after {end:?}");
    }
}

/// What is answered to a client that sends a byte every `pace`, and how long it held us.
fn trickled(input: &str, pace: Duration) -> (Vec<u16>, Duration) {
    let mut script = Script::bytes(input);
    (script.pace, script.silent) = (pace, true);
    let begin = script.now.get();
    let answers = answers(&script.serve());
    let statuses = answers.iter().map(|it| it.status).collect();
    (statuses, script.now.get() - begin)
}

#[test]
fn a_head_that_trickles_in_is_cut_off() {
    let limits = Limits::default();
    let (statuses, held) = trickled(GET, Duration::from_secs(1));
    assert_eq!(statuses, [408]);
    assert!(held <= limits.head + limits.linger + Duration::from_secs(1));
    // Slow, but not too slow; then idle.
    let (statuses, held) = trickled(GET, Duration::from_millis(100));
    assert_eq!(statuses, [200]);
    assert!(held >= limits.idle && held < limits.idle + limits.head);
}

#[test]
fn a_body_that_trickles_in_is_cut_off() {
    let limits = Limits::default();
    for fields in ["Content-Length: 5000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = post(fields, "");
        let body = "1\r\na\r\n".repeat(500);
        let mut script = Script::new(
            [head.into_bytes()]
                .into_iter()
                .chain(body.bytes().map(|it| vec![it])),
        );
        (script.pace, script.silent) = (Duration::from_millis(500), true);
        let begin = script.now.get();
        let answers = answers(&script.serve());
        assert_eq!(answers[0].status, 408);
        assert_eq!(answers.len(), 1);
        let held = script.now.get() - begin;
        assert!(held <= limits.body + limits.linger + Duration::from_secs(1));
    }
}

#[test]
fn an_idle_client_is_left_without_a_word() {
    let mut script = Script::whole(GET);
    script.silent = true;
    let begin = script.now.get();
    assert_eq!(answers(&script.serve()).len(), 1);
    assert_eq!(script.now.get() - begin, Limits::default().idle);
}

#[test]
fn after_a_trickle_the_idle_limit_is_back() {
    let input = format!("{GET}{GET}");
    let (first, second) = input.split_at(GET.len() + 10);
    let parts = [first, second, GET].map(|it| it.as_bytes().to_vec());
    let mut script = Script::new(parts);
    // Longer than a head may take in all, shorter than a client may idle.
    (script.pace, script.silent) = (Duration::from_secs(9), true);
    assert_eq!(answers(&script.serve()).len(), 3);
    assert_eq!(script.read_timeout.get(), Limits::default().idle);
}

#[test]
fn a_client_that_takes_no_answers_is_left() {
    let mut script = Script::whole(GET);
    script.window = 0;
    let result = connection::serve(&mut script, Limits::default());
    assert_eq!(result.map_err(|it| it.kind()), Err(ErrorKind::Other));
    assert!(script.sent.is_empty());
}

/// A server on a port of its own, for as long as the test process lives.
fn server(limits: Limits) -> ClientStream {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its number");
    drop(thread::spawn(move || accept_all(&listener, limits)));
    let client = ClientStream::connect(address).expect("a connection");
    let limit = Some(Duration::from_secs(30));
    client.set_read_timeout(limit).expect("a time limit");
    client
}

fn rest(mut client: &ClientStream) -> String {
    let mut text = String::new();
    client
        .read_to_string(&mut text)
        .expect("answers, then an end");
    text
}

#[test]
fn real_sockets_get_their_batches() {
    let mut client = server(Limits::default());
    let input = post("Content-Length: 3\r\n", "abc") + GET;
    client
        .write_all(input.repeat(300).as_bytes())
        .expect("sent");
    client.shutdown(Shutdown::Write).expect("half closed");
    let answers = answers(&rest(&client));
    assert_eq!(answers.len(), 600);
    for pair in answers.chunks(2) {
        assert_eq!((&*pair[0].body, &*pair[1].body), ("abc", "Hello, World!"));
    }
}

#[test]
fn real_sockets_get_bodies_and_refusals_whole() {
    let mut client = server(Limits::default());
    client.set_nodelay(true).expect("no delay");
    for byte in post("Content-Length: 3\r\n", "abc").bytes() {
        client.write_all(&[byte]).expect("sent");
    }
    // The rest of this is still on its way when it is refused, and must not reset the answer.
    let large = post("Content-Length: 4000000\r\n", &"x".repeat(4_000_000));
    client.write_all(large.as_bytes()).expect("sent");
    let answers = answers(&rest(&client));
    let statuses: Vec<_> = answers.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [200, 413]);
    assert_eq!(answers[0].body, "abc");
}

#[test]
fn real_sockets_meet_the_deadlines() {
    let short = Duration::from_millis(50);
    let limits = Limits {
        head: short,
        idle: short,
        linger: short,
        ..Limits::default()
    };
    let mut slow = server(limits);
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").expect("sent");
    assert_eq!(answers(&rest(&slow))[0].status, 408);
    let idle = server(limits);
    assert_eq!(rest(&idle), "");
}
