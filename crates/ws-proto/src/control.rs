//! Control frames: their payload, the queue of frames to send, and a frame that has partially arrived.

use std::fmt;
use std::ops::Deref;

use crate::close::CloseFrame;
use crate::frame::{MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, Opcode, encode_frame};
use crate::time::PeerDeadline;

/// The payload of a Ping or Pong: at most 125 bytes (RFC 6455 §5.5). An empty payload owns no memory.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct ControlPayload(Box<[u8]>);

impl ControlPayload {
    /// Creates a payload from a copy of `payload`.
    ///
    /// # Errors
    ///
    /// `payload` is longer than 125 bytes.
    pub fn new(payload: &[u8]) -> Result<Self, ControlTooLong> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(ControlTooLong { len: payload.len() });
        }
        Ok(ControlPayload(payload.into()))
    }
}

impl Deref for ControlPayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for ControlPayload {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The payload is too long for a control frame. Nothing was queued.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ControlTooLong {
    /// The length of the payload.
    pub len: usize,
}

impl fmt::Display for ControlTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len } = self;
        write!(f, "control frame payload of {len} bytes exceeds the limit of {MAX_CONTROL_PAYLOAD}")
    }
}

impl std::error::Error for ControlTooLong {}

/// A control frame to write, returned by [`Connection::poll_transmit`](crate::Connection::poll_transmit).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlFrame {
    opcode: Opcode,
    payload: Box<[u8]>,
}

impl ControlFrame {
    /// Returns the type of the frame: Ping, Pong or Close.
    pub fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// Returns the payload before masking. The payload of a Close is the encoded code and reason.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Appends the frame to `out`. A client must pass a `masking_key` that is new and unpredictable for every frame
    /// (§5.3, §10.3). A server must pass `None`.
    pub fn encode_into(&self, out: &mut Vec<u8>, masking_key: Option<[u8; 4]>) {
        encode_frame(self.opcode, &self.payload, masking_key, out);
    }
}

/// The state of control frames that lives longer than one call, and the beginning of a header. It is boxed, because
/// most of the time a connection has none of it.
#[derive(Default, Debug)]
pub(crate) struct ControlState {
    /// The beginning of a header, of any frame, if a read ended inside the header.
    pub(crate) partial_header: [u8; MAX_HEADER_LEN],
    /// The part of a control frame's payload that has arrived, if a read ended inside the frame: at most 125 bytes.
    pub(crate) partial_payload: Vec<u8>,
    /// At most one frame of each type is queued. A later Pong replaces an earlier one (§5.5.3 allows it), so a flood
    /// of Pings from a peer that does not read costs no memory.
    pong: Option<ControlPayload>,
    ping: Option<ControlPayload>,
    close: Option<Box<[u8]>>,
    /// The deadline of the close.
    pub(crate) close_deadline: Option<PeerDeadline>,
}

impl ControlState {
    pub(crate) fn queue_pong(&mut self, payload: ControlPayload) {
        self.pong = Some(payload);
    }

    pub(crate) fn queue_ping(&mut self, payload: ControlPayload) {
        self.ping = Some(payload);
    }

    pub(crate) fn queue_close(&mut self, frame: Option<CloseFrame>) {
        self.close = Some(frame.map(|frame| frame.encode()).unwrap_or_default());
    }

    /// Drops a queued Pong and Ping, but keeps a Close.
    pub(crate) fn clear_ping_pong(&mut self) {
        self.pong = None;
        self.ping = None;
    }

    /// Returns the next frame to send. The Close is last, since nothing may follow it.
    pub(crate) fn pop_queued(&mut self) -> Option<ControlFrame> {
        let control = |opcode, payload| ControlFrame { opcode, payload };
        let pong = self.pong.take().map(|payload| control(Opcode::Pong, payload.0));
        pong.or_else(|| self.ping.take().map(|payload| control(Opcode::Ping, payload.0)))
            .or_else(|| self.close.take().map(|payload| control(Opcode::Close, payload)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partial_payload.is_empty()
            && self.pong.is_none()
            && self.ping.is_none()
            && self.close.is_none()
            && self.close_deadline.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_125_bytes_fits_and_one_more_does_not() {
        assert!(ControlPayload::new(&[0; 125]).is_ok());
        assert_eq!(ControlPayload::new(&[0; 126]), Err(ControlTooLong { len: 126 }));
    }

    #[test]
    fn a_control_frame_is_written_with_and_without_mask() {
        // RFC 6455 §5.7: an unmasked Ping and a masked Pong, both "Hello".
        let mut out = Vec::new();
        let ping = ControlFrame { opcode: Opcode::Ping, payload: (*b"Hello").into() };
        ping.encode_into(&mut out, None);
        assert_eq!(out, [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        let pong = ControlFrame { opcode: Opcode::Pong, ..ping };
        pong.encode_into(&mut out, Some([0x37, 0xfa, 0x21, 0x3d]));
        assert_eq!(out, [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn the_close_goes_last_and_the_latest_pong_wins() {
        let payload = |bytes: &[u8]| ControlPayload::new(bytes).unwrap();
        let mut state = ControlState::default();
        state.queue_close(None);
        state.queue_ping(payload(b"ping"));
        state.queue_pong(payload(b"old"));
        state.queue_pong(payload(b"new"));
        let queued: Vec<_> = std::iter::from_fn(|| state.pop_queued()).collect();
        let queued: Vec<_> = queued.iter().map(|control| (control.opcode(), control.payload())).collect();
        assert_eq!(queued, [(Opcode::Pong, &b"new"[..]), (Opcode::Ping, b"ping"), (Opcode::Close, b"")]);
        assert!(state.is_empty());
    }
}
