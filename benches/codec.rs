//! Decoding and encoding, each beside its floor.
#![allow(clippy::expect_used, missing_docs)] // a benchmark that can't run fails by panicking

mod cpu_time;

use std::{fmt::Debug, hint::black_box};

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Bencher, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use p2pchat_benches::{
    field, fields, floor,
    frames::{asking_codec, list, message, registry_codec, request},
};
use p2pchat_proto::{Dialect, Limits, Message, codec::PeerCodec};
use tokio_util::codec::{Decoder, LinesCodec};

use crate::cpu_time::CpuTime;

/// Where a line's fields are, or nothing for what has more of them than a floor says anything about.
type Slices = fn(&str) -> bool;

/// Decodes a buffer of frames, `frames` times `wire`, by the codec and by the floors.
fn decode<C: Decoder>(
    group: &mut BenchmarkGroup<'_, CpuTime>,
    wire: &Bytes,
    frames: usize,
    slices: Option<Slices>,
    codec: impl Fn() -> C,
) {
    let buffer = BytesMut::from(wire.repeat(frames).as_slice());
    group.throughput(cpu_time::each(frames));
    group.bench_function("floor", |b| {
        b.iter_batched_ref(
            || buffer.clone(),
            |buf| {
                while let Some(line) = floor(buf) {
                    black_box(line);
                }
            },
            BatchSize::SmallInput,
        );
    });
    if let Some(slices) = slices {
        group.bench_function("floor with field slices", |b| {
            b.iter_batched_ref(
                || buffer.clone(),
                |buf| {
                    while let Some(line) = floor_with(buf, slices) {
                        black_box(line);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("codec", |b| {
        b.iter_batched_ref(
            || (codec(), buffer.clone()),
            |(codec, buf)| {
                while let Ok(Some(item)) = codec.decode(buf) {
                    black_box(item);
                }
            },
            BatchSize::SmallInput,
        );
    });
}

fn floor_with(buf: &mut BytesMut, slices: Slices) -> Option<bool> {
    let end = memchr::memchr(b'\n', buf)?;
    let line = buf.split_to(end + 1).freeze();
    Some(str::from_utf8(&line).is_ok_and(slices))
}

/// Encodes a message `frames` times into one buffer, and copies its bytes as often.
fn encode<M: Message>(group: &mut BenchmarkGroup<'_, CpuTime>, message: &M, frames: usize) {
    let wire = message.to_bytes(Dialect::Canonical);
    let buffer = BytesMut::with_capacity(wire.len() * frames + 1024);
    group.throughput(cpu_time::each(frames));
    group.bench_function("floor", |b| {
        b.iter_batched_ref(
            || BytesMut::with_capacity(buffer.capacity()),
            |out| {
                for _ in 0..frames {
                    out.extend_from_slice(black_box(&wire));
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("encode", |b| {
        b.iter_batched_ref(
            || BytesMut::with_capacity(buffer.capacity()),
            |out| {
                for _ in 0..frames {
                    black_box(message).encode(out, Dialect::Canonical);
                }
            },
            BatchSize::SmallInput,
        );
    });
}

fn decoding(c: &mut Criterion<CpuTime>) {
    let peer_codec = || PeerCodec::new(Limits::DEFAULT);
    decode(
        &mut c.benchmark_group("decode/short request"),
        &request().to_bytes(Dialect::Canonical),
        64,
        Some(|line| black_box(field(line)).is_some()),
        registry_codec,
    );
    decode(
        &mut c.benchmark_group("decode/64-byte message"),
        &message(64).to_bytes(Dialect::Canonical),
        64,
        Some(|line| black_box(fields(line)).is_some()),
        peer_codec,
    );
    decode(
        &mut c.benchmark_group("decode/16 KiB message"),
        &message(16_384).to_bytes(Dialect::Canonical),
        // One more, and the buffer would be larger than what a codec keeps.
        3,
        None,
        peer_codec,
    );
    decode(
        &mut c.benchmark_group("decode/1,000-record list"),
        &list().to_bytes(Dialect::Canonical),
        1,
        None,
        asking_codec,
    );
}

/// Feeds a codec one frame in pieces of that size.
fn feed<D: Decoder<Error: Debug>>(
    b: &mut Bencher<'_, CpuTime>,
    wire: &[u8],
    piece: usize,
    codec: impl Fn() -> D,
) {
    b.iter_batched_ref(
        || (codec(), BytesMut::with_capacity(wire.len())),
        |(codec, buf)| {
            for piece in wire.chunks(piece) {
                buf.extend_from_slice(piece);
                black_box(codec.decode(buf).expect("a piece of a good frame"));
            }
        },
        BatchSize::SmallInput,
    );
}

/// One frame that arrives whole, in pieces of 16 bytes, and byte by byte; beside it tokio-util's codec for lines, and
/// putting the pieces into the buffer.
fn chunked(c: &mut Criterion<CpuTime>) {
    for size in [1_024, 16_384] {
        let wire = message(size).to_bytes(Dialect::Canonical);
        let mut group = c.benchmark_group(format!("chunked/{size}-byte message"));
        for piece in [wire.len(), 16, 1] {
            group.bench_function(format!("pieces of {piece}"), |b| {
                feed(b, &wire, piece, || PeerCodec::new(Limits::DEFAULT));
            });
            group.bench_function(format!("lines of {piece}"), |b| {
                feed(b, &wire, piece, || LinesCodec::new_with_max_length(65_536));
            });
            group.bench_function(format!("buffering of {piece}"), |b| {
                b.iter_batched_ref(
                    || BytesMut::with_capacity(wire.len()),
                    |buf| {
                        for piece in wire.chunks(piece) {
                            buf.extend_from_slice(black_box(piece));
                        }
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn encoding(c: &mut Criterion<CpuTime>) {
    encode(&mut c.benchmark_group("encode/short request"), &request(), 64);
    encode(&mut c.benchmark_group("encode/64-byte message"), &message(64), 64);
    encode(&mut c.benchmark_group("encode/16 KiB message"), &message(16_384), 4);
    encode(&mut c.benchmark_group("encode/1,000-record list"), &list(), 1);
}

criterion_group!(name = benches; config = cpu_time::criterion(); targets = decoding, chunked, encoding);
criterion_main!(benches);
