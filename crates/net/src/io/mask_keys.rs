//! The keys with which a client masks its frames.
//!
//! Hot path. If a script could predict the next key, it could choose the bytes on the wire, and a proxy might parse
//! them as HTTP. Therefore each key is new and comes from the system's random source (RFC 6455 §5.3, §10.3). A system
//! call for each key would cost more than the frame, so a thread fetches 256 keys at a time.

use std::cell::RefCell;

const KEYS_PER_REFILL: usize = 256;

thread_local! {
    static KEYS: RefCell<Vec<[u8; 4]>> = const { RefCell::new(Vec::new()) };
}

/// Returns an unpredictable key that was not returned before.
pub(crate) fn mask_key() -> [u8; 4] {
    KEYS.with_borrow_mut(|spare| match spare.pop() {
        Some(key) => key,
        None => {
            let mut bytes = [0; KEYS_PER_REFILL * 4];
            getrandom::fill(&mut bytes)
                .expect("the system's random source works, as it did in the handshake");
            let (keys, _) = bytes.as_chunks();
            spare.extend_from_slice(keys);
            spare.pop().expect("it was filled just now")
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_is_used_twice() {
        let keys: HashSet<_> = (0..4 * KEYS_PER_REFILL).map(|_| mask_key()).collect();
        // Two of a thousand random 32-bit numbers are equal once in eight thousand runs. Four are practically never
        // equal.
        assert!(keys.len() > 4 * KEYS_PER_REFILL - 4, "{}", keys.len());
    }

    #[test]
    fn threads_have_keys_of_their_own() {
        let mine: HashSet<_> = (0..KEYS_PER_REFILL).map(|_| mask_key()).collect();
        let theirs =
            std::thread::spawn(|| (0..KEYS_PER_REFILL).map(|_| mask_key()).collect::<HashSet<_>>()).join();
        assert!(mine.intersection(&theirs.expect("no panic")).count() < 4);
    }
}
