//! Decoding and encoding a message of 90 bytes, beside floors and beside other protocols' crates on their equals.
//!
//! Ours goes through the codec, which also finds the frame's end; the others are handed exactly one line or frame, and are
//! asked for what they own afterwards.
#![allow(clippy::expect_used, missing_docs)] // a benchmark that can't run fails by panicking

mod cpu_time;

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use p2pchat_benches::{fields, floor, frames::message};
use p2pchat_proto::{Dialect, Limits, Message, PeerMessage, codec::PeerCodec};
use redis_protocol::resp2::{
    decode::{decode as decode_redis, decode_bytes_mut},
    encode::extend_encode,
    types::{BytesFrame, OwnedFrame},
};
use tokio_util::codec::Decoder;

use crate::cpu_time::CpuTime;

const TIMES: usize = 64;
/// `DIRECT_MESSAGE <alice> <bob> ` and the LF take 30 bytes.
const TEXT: usize = 60;

fn ours() -> (PeerMessage, Bytes) {
    let message = message(TEXT);
    let wire = message.to_bytes(Dialect::Canonical);
    assert_eq!(wire.len(), 90);
    (message, wire)
}

fn text(size: usize) -> String {
    "The quick brown fox jumps over the lazy dog, then rests a while.".chars().take(size).collect()
}

/// The same in IRC, of the same length.
fn irc() -> String {
    let line = format!(":alice!alice@example.org PRIVMSG bob :{}\r\n", text(50));
    assert_eq!(line.len(), 90);
    line
}

/// The same in RESP: four strings.
fn redis() -> Bytes {
    let wire = format!("*4\r\n$7\r\nMESSAGE\r\n$5\r\nalice\r\n$3\r\nbob\r\n$46\r\n{}\r\n", text(46));
    assert_eq!(wire.len(), 90);
    wire.into()
}

fn decoding(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("decode 90 bytes");
    let (_, wire) = ours();
    let buffer = BytesMut::from(wire.repeat(TIMES).as_slice());
    group.throughput(cpu_time::each(TIMES));
    let mut lines = |name: &str, take: fn(&mut BytesMut) -> bool| {
        group.bench_function(name, |b| {
            b.iter_batched_ref(|| buffer.clone(), |buf| while take(buf) {}, BatchSize::SmallInput);
        });
    };
    lines("floor: LF, UTF-8, split", |buf| black_box(floor(buf)).is_some());
    lines("floor: and field slices", |buf| {
        let Some(end) = memchr::memchr(b'\n', buf) else { return false };
        let line = buf.split_to(end + 1).freeze();
        black_box(str::from_utf8(&line).ok().and_then(fields)).is_some()
    });
    group.bench_function("p2pchat", |b| {
        b.iter_batched_ref(
            || (PeerCodec::new(Limits::DEFAULT), buffer.clone()),
            |(codec, buf)| {
                while let Ok(Some(item)) = codec.decode(buf) {
                    black_box(item.expect("a message"));
                }
            },
            BatchSize::SmallInput,
        );
    });
    let line = irc();
    group.bench_function("irc-proto", |b| {
        b.iter(|| {
            for _ in 0..TIMES {
                black_box(black_box(&line).parse::<irc_proto::Message>().expect("a message"));
            }
        });
    });
    let wire = redis();
    group.bench_function("redis-protocol, owned", |b| {
        b.iter(|| {
            for _ in 0..TIMES {
                black_box(decode_redis(black_box(&wire)).expect("a frame").expect("whole"));
            }
        });
    });
    let frames = BytesMut::from(wire.repeat(TIMES).as_slice());
    group.bench_function("redis-protocol, slices", |b| {
        b.iter_batched_ref(
            || frames.clone(),
            |buf| {
                while let Ok(Some(frame)) = decode_bytes_mut(buf) {
                    black_box(frame);
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn encoding(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("encode 90 bytes");
    group.throughput(cpu_time::each(TIMES));
    let (message, wire) = ours();
    let mut out = BytesMut::with_capacity(wire.len() * TIMES);
    group.bench_function("floor: copy", |b| {
        b.iter(|| {
            out.clear();
            (0..TIMES).for_each(|_| out.extend_from_slice(black_box(&wire)));
        });
    });
    group.bench_function("p2pchat", |b| {
        b.iter(|| {
            out.clear();
            (0..TIMES).for_each(|_| black_box(&message).encode(&mut out, Dialect::Canonical));
        });
    });
    let line = irc().parse::<irc_proto::Message>().expect("a message");
    group.bench_function("irc-proto", |b| {
        b.iter(|| {
            out.clear();
            (0..TIMES).for_each(|_| out.extend_from_slice(black_box(&line).to_string().as_bytes()));
        });
    });
    let (owned, _): (OwnedFrame, usize) = decode_redis(&redis()).expect("a frame").expect("whole");
    let frame: BytesFrame = owned.into_bytes_frame();
    group.bench_function("redis-protocol", |b| {
        b.iter(|| {
            out.clear();
            (0..TIMES).for_each(|_| _ = black_box(extend_encode(&mut out, black_box(&frame), false)));
        });
    });
    group.finish();
}

criterion_group!(name = benches; config = cpu_time::criterion(); targets = decoding, encoding);
criterion_main!(benches);
