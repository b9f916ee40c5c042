//! Decoding and encoding, each beside its floor.
#![allow(clippy::expect_used, missing_docs)] // a benchmark that can't run fails by panicking

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use p2pchat_benches::{
    floor,
    frames::{asking_codec, list, message, registry_codec, request},
};
use p2pchat_proto::{Dialect, Limits, Message, codec::PeerCodec};
use tokio_util::codec::Decoder;

/// Decodes a buffer of frames, `frames` times `wire`, by the codec and by the floor.
fn decode<C: Decoder>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    wire: &Bytes,
    frames: usize,
    codec: impl Fn() -> C,
) {
    let buffer = BytesMut::from(wire.repeat(frames).as_slice());
    group.throughput(Throughput::Elements(frames as u64));
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

/// Encodes a message `frames` times into one buffer, and copies its bytes as often.
fn encode<M: Message>(group: &mut BenchmarkGroup<'_, WallTime>, message: &M, frames: usize) {
    let wire = message.to_bytes(Dialect::Canonical);
    let buffer = BytesMut::with_capacity(wire.len() * frames + 1024);
    group.throughput(Throughput::Elements(frames as u64));
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

fn decoding(c: &mut Criterion) {
    let peer_codec = || PeerCodec::new(Limits::DEFAULT);
    decode(
        &mut c.benchmark_group("decode/short request"),
        &request().to_bytes(Dialect::Canonical),
        64,
        registry_codec,
    );
    decode(
        &mut c.benchmark_group("decode/64-byte message"),
        &message(64).to_bytes(Dialect::Canonical),
        64,
        peer_codec,
    );
    decode(
        &mut c.benchmark_group("decode/16 KiB message"),
        &message(16_384).to_bytes(Dialect::Canonical),
        4,
        peer_codec,
    );
    decode(
        &mut c.benchmark_group("decode/1,000-record list"),
        &list().to_bytes(Dialect::Canonical),
        1,
        asking_codec,
    );
}

/// One frame that arrives whole, in pieces of 16 bytes, and byte by byte.
fn chunked(c: &mut Criterion) {
    for size in [1_024, 16_384] {
        let wire = message(size).to_bytes(Dialect::Canonical);
        let mut group = c.benchmark_group(format!("chunked/{size}-byte message"));
        group.throughput(Throughput::Bytes(wire.len() as u64));
        for piece in [wire.len(), 16, 1] {
            group.bench_function(format!("pieces of {piece}"), |b| {
                b.iter_batched_ref(
                    || (PeerCodec::new(Limits::DEFAULT), BytesMut::with_capacity(wire.len())),
                    |(codec, buf)| {
                        for piece in wire.chunks(piece) {
                            buf.extend_from_slice(piece);
                            black_box(codec.decode(buf).expect("no input/output"));
                        }
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn encoding(c: &mut Criterion) {
    encode(&mut c.benchmark_group("encode/short request"), &request(), 64);
    encode(&mut c.benchmark_group("encode/64-byte message"), &message(64), 64);
    encode(&mut c.benchmark_group("encode/16 KiB message"), &message(16_384), 4);
    encode(&mut c.benchmark_group("encode/1,000-record list"), &list(), 1);
}

criterion_group!(benches, decoding, chunked, encoding);
criterion_main!(benches);
