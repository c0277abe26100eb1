//! The keys with which a client masks its frames.
//!
//! Hot path. A script that knows the next key chooses what its bytes look like on the wire, and so what a proxy takes them
//! for; so each key is new and comes from the system (RFC 6455 §5.3, §10.3). A call for each would cost more than the
//! frame: a thread asks for 256 at a time.

use std::cell::RefCell;

const KEYS_PER_REFILL: usize = 256;

thread_local! {
    static SPARE: RefCell<Vec<[u8; 4]>> = const { RefCell::new(Vec::new()) };
}

/// A key that nobody can foresee, and that is used once.
pub(crate) fn mask_key() -> [u8; 4] {
    SPARE.with_borrow_mut(|spare| match spare.pop() {
        Some(key) => key,
        None => {
            let mut bytes = [0; KEYS_PER_REFILL * 4];
            getrandom::fill(&mut bytes).expect("the system has random bytes, as it had for the handshake");
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
        // Two of a thousand random numbers of 32 bits are the same once in eight thousand runs, four hardly ever.
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
