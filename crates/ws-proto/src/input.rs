//! The bytes of one read that the decoder consumes.

/// Bytes that have been read from the stream and not yet decoded.
///
/// An `Input` borrows the driver's buffer mutably, because payloads are unmasked in place. The events borrow from the
/// buffer and not from the `Input`, so several of them can be alive at once.
#[derive(Debug)]
pub struct Input<'b> {
    rest: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// Creates an input of all `bytes`, none of them decoded yet.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Input { rest: bytes }
    }

    /// Returns whether all bytes have been decoded.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the number of bytes that are still to be decoded.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Returns the bytes that have not been decoded. A driver keeps them if it stops in the middle of a read.
    pub fn into_rest(self) -> &'b mut [u8] {
        self.rest
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.rest
    }

    /// Consumes `count` bytes, or all of them if there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> &'b mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut(count.min(rest.len()));
        self.rest = rest;
        taken
    }

    pub(crate) fn discard(&mut self) {
        self.rest = &mut [];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_bytes_outlive_the_input_and_the_rest_stays() {
        let mut bytes = *b"abcdef";
        let mut input = Input::new(&mut bytes);
        let first = input.take(2);
        let second = input.take(1);
        assert_eq!(input.len(), 3);
        assert_eq!(input.into_rest(), b"def");
        assert_eq!((&*first, &*second), (&b"ab"[..], &b"c"[..]));
    }

    #[test]
    fn taking_more_than_there_is_takes_all() {
        let mut bytes = *b"abc";
        let mut input = Input::new(&mut bytes);
        assert_eq!(input.take(9), b"abc");
        assert!(input.is_empty());
    }
}
