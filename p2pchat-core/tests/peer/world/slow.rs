//! Streams on which things take their time, and such as nothing comes through any more.

use p2pchat_core::peer::StreamId;
use p2pchat_proto::PeerMessage;

use super::World;

/// What is on its way to one end of a stream.
pub(super) enum Coming {
    Said(PeerMessage),
    Closed,
}

impl World {
    /// Whether what is said to this end takes its time, or never comes.
    pub(super) fn is_on_its_way(&self, node: usize, stream: StreamId) -> bool {
        let end = self.nodes[node].streams.get(&stream);
        self.slow || end.is_none_or(|end| end.broken || !end.coming.is_empty())
    }

    pub(super) fn comes(&mut self, node: usize, stream: StreamId, coming: Coming) {
        if let Some(end) = self.nodes[node].streams.get_mut(&stream).filter(|end| !end.broken) {
            end.coming.push_back(coming);
        }
    }

    /// The ends that something is on its way to.
    fn awaited(&self) -> Vec<(usize, StreamId)> {
        let ends = self.nodes.iter().enumerate();
        let ends =
            ends.flat_map(|(node, it)| it.streams.iter().map(move |(stream, end)| (node, *stream, end)));
        ends.filter(|(.., end)| !end.coming.is_empty()).map(|(node, stream, _)| (node, stream)).collect()
    }

    /// So much of what is on its way arrives at one of the ends.
    pub(crate) fn arrive(&mut self, which: usize, count: usize) {
        let awaited = self.awaited();
        let Some(&(node, stream)) = awaited.get(which % awaited.len().max(1)) else { return };
        for _ in 0..count {
            let end = self.nodes[node].streams.get_mut(&stream);
            match end.and_then(|end| end.coming.pop_front()) {
                Some(Coming::Said(message)) => {
                    self.nodes[node].solo.peer.handle_stream_message(self.now, stream, message);
                }
                Some(Coming::Closed) => self.stream_closes(node, stream),
                None => break,
            }
            self.run();
        }
    }

    /// Everybody reaches everybody, at once. What was on its way arrives, or its streams are good for nothing any more, which
    /// their ends have to find out.
    pub(crate) fn make_whole(&mut self, arrives: bool) {
        (self.slow, self.cut_after) = (false, None);
        self.apart.clear();
        while let Some(&(node, stream)) = self.awaited().first() {
            if arrives {
                self.arrive(0, 1);
            } else {
                self.break_stream(node, stream);
            }
        }
        self.run();
    }

    fn break_stream(&mut self, node: usize, stream: StreamId) {
        let Some(end) = self.nodes[node].streams.get_mut(&stream) else { return };
        end.broken = true;
        end.coming.clear();
        let (other, theirs) = (end.node, end.stream);
        if let Some(end) = self.nodes[other].streams.get_mut(&theirs) {
            end.broken = true;
            end.coming.clear();
        }
    }
}
