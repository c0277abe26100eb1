use std::future::poll_fn;
use std::sync::Arc;

use super::super::latest_messages::MAX_LATEST_KEYS;
use super::*;

fn wake(pushed: Result<Option<Waker>, PushError>) {
    if let Some(waker) = pushed.unwrap() {
        waker.wake();
    }
}

/// Returns an outbox whose transport accepts nothing.
fn behind(limit: usize) -> Outbox {
    let outbox = Outbox::new(limit);
    assert!(outbox.park(0, false, &Context::from_waker(Waker::noop())));
    outbox
}

fn push(outbox: &Outbox, text: &str, policy: SlowReaderPolicy<'_>) -> PushOutcome {
    outbox.push(WireBytes::Slice(text.as_bytes()), policy).unwrap().outcome
}

fn latest(name: &str) -> SlowReaderPolicy<'_> {
    SlowReaderPolicy::KeepLatest(LatestKey { scope: "/", name })
}

/// Writes everything that can be written, turn by turn, as text.
fn written(outbox: &Outbox) -> String {
    let cx = Context::from_waker(Waker::noop());
    let mut queue = WriteQueue::new();
    let mut written = Vec::new();
    loop {
        outbox.drain_and_take_signals(&mut queue);
        written.extend(queue.to_contiguous());
        queue.clear();
        if outbox.park(0, true, &cx) {
            return String::from_utf8(written).unwrap();
        }
    }
}

fn overflowing_push(outbox: &Outbox, bytes: WireBytes<'_>) -> Result<Option<Waker>, PushError> {
    outbox.push(bytes, SlowReaderPolicy::Disconnect).map(|pushed| pushed.waker)
}

/// Writes everything, as a driver whose transport accepts all bytes.
fn write_all(outbox: &Outbox, cx: &Context<'_>) -> Vec<u8> {
    let mut queue = WriteQueue::new();
    outbox.drain_and_take_signals(&mut queue);
    let written = queue.to_contiguous();
    outbox.park(0, true, cx);
    written
}

#[test]
fn a_push_beyond_the_limit_is_refused_and_a_lone_large_one_is_not() {
    let outbox = Outbox::new(10);
    wake(outbox.try_push(WireBytes::Slice(&[0; 50])));
    assert_eq!(outbox.try_push(WireBytes::Slice(&[0])).map(|_| ()), Err(PushError::Full));
    assert!(!outbox.take_signals().overflowed);
    assert_eq!(outbox.buffered(), 50);
}

#[test]
fn bytes_count_until_the_driver_has_written_them() {
    let outbox = Outbox::new(10);
    wake(outbox.try_push(WireBytes::Slice(&[0; 8])));
    let mut queue = WriteQueue::new();
    outbox.drain_and_take_signals(&mut queue);
    assert_eq!(outbox.try_push(WireBytes::Slice(&[0; 8])).map(|_| ()), Err(PushError::Full));
    assert!(outbox.park(1, false, &Context::from_waker(Waker::noop())));
    assert!(!outbox.is_writable());
    wake(outbox.try_push(WireBytes::Slice(&[0; 8])));
}

#[test]
fn after_an_overflow_nothing_more_is_taken_so_that_there_is_no_gap() {
    let outbox = behind(10);
    wake(overflowing_push(&outbox, WireBytes::Slice(&[1; 8])));
    wake(overflowing_push(&outbox, WireBytes::Slice(&[2; 8])));
    assert!(outbox.take_signals().overflowed);
    assert_eq!(overflowing_push(&outbox, WireBytes::Slice(&[3])).map(|_| ()), Err(PushError::Full));
    assert_eq!(write_all(&outbox, &Context::from_waker(Waker::noop())), [1; 8]);
}

#[test]
fn while_the_transport_has_accepted_everything_a_burst_may_take_four_times_the_limit_and_no_more() {
    let outbox = Outbox::new(10);
    for _ in 0..4 {
        assert_eq!(push(&outbox, "0123456789", SlowReaderPolicy::Disconnect), PushOutcome::Queued);
    }
    assert_eq!(outbox.try_push(WireBytes::Slice(b"x")).map(|_| ()), Err(PushError::Full));
    assert_eq!(push(&outbox, "x", SlowReaderPolicy::Disconnect), PushOutcome::Overflowed);
    assert_eq!(outbox.buffered(), 40);
}

#[test]
fn once_the_transport_has_not_accepted_everything_the_limit_is_strict() {
    let outbox = Outbox::new(10);
    assert_eq!(push(&outbox, "0123456789x", SlowReaderPolicy::Disconnect), PushOutcome::Queued);
    let mut queue = WriteQueue::new();
    outbox.drain_and_take_signals(&mut queue);
    // The driver still writes.
    assert_eq!(push(&outbox, "x", SlowReaderPolicy::Disconnect), PushOutcome::Overflowed);
    assert!(outbox.take_signals().overflowed);
}

#[test]
fn a_volatile_message_is_dropped_where_another_one_would_end_the_connection() {
    let outbox = Outbox::new(10);
    assert_eq!(push(&outbox, "01234567", SlowReaderPolicy::Drop), PushOutcome::Queued);
    assert_eq!(push(&outbox, "too long", SlowReaderPolicy::Drop), PushOutcome::Dropped);
    let outbox = behind(10);
    assert_eq!(push(&outbox, "x", SlowReaderPolicy::Drop), PushOutcome::Dropped);
    assert_eq!(written(&outbox), "");
}

#[test]
fn a_connection_that_is_not_behind_gets_every_message_of_a_key() {
    let outbox = Outbox::new(1_000);
    for text in ["a1 ", "x ", "a2 "] {
        assert_eq!(push(&outbox, text, latest("a")), PushOutcome::Queued);
    }
    assert_eq!(written(&outbox), "a1 x a2 ");
}

#[test]
fn for_a_connection_that_is_behind_the_latest_message_of_a_key_follows_what_is_queued() {
    let outbox = behind(1_000);
    assert_eq!(push(&outbox, "a1 ", latest("a")), PushOutcome::Kept);
    assert_eq!(push(&outbox, "b1 ", latest("b")), PushOutcome::Kept);
    assert_eq!(push(&outbox, "x ", SlowReaderPolicy::Disconnect), PushOutcome::Queued);
    assert_eq!(push(&outbox, "a2 ", latest("a")), PushOutcome::Replaced);
    assert_eq!(outbox.buffered(), "b1 x a2 ".len() + 2);
    assert_eq!(written(&outbox), "x b1 a2 ");
    assert_eq!((outbox.buffered(), outbox.take_signals().latest), (0, HeldMemory::default()));
    assert_eq!(push(&outbox, "a3 ", latest("a")), PushOutcome::Queued);
}

#[test]
fn kept_messages_wait_until_the_transport_has_accepted_all_bytes() {
    let outbox = Outbox::new(1_000);
    let cx = Context::from_waker(Waker::noop());
    assert_eq!(push(&outbox, "0123456789", latest("a")), PushOutcome::Queued);
    let mut queue = WriteQueue::new();
    outbox.drain_and_take_signals(&mut queue);
    assert_eq!(push(&outbox, "a1", latest("a")), PushOutcome::Kept, "the driver still writes");
    assert!(outbox.park(4, false, &cx));
    assert_eq!(push(&outbox, "a2", latest("a")), PushOutcome::Replaced);
    assert!(outbox.park(4, true, &cx), "a transport that makes frames of the rest");
    assert_eq!(push(&outbox, "a3", latest("a")), PushOutcome::Replaced);
    assert!(!outbox.park(0, true, &cx), "there is something to send now");
    assert_eq!(written(&outbox), "a3");
}

#[test]
fn a_burst_for_a_key_is_kept_once_much_waits_for_the_driver() {
    let outbox = Outbox::new(1024 * 1024);
    let text = "x".repeat(1_000);
    let queued = (0..10_000).filter(|_| push(&outbox, &text, latest("a")) == PushOutcome::Queued).count();
    assert_eq!(queued, MAX_QUEUED_BEFORE_LATEST.div_ceil(text.len()));
    push(&outbox, "end", latest("a"));
    assert_eq!(written(&outbox).len(), queued * text.len() + 3);
    let small = Outbox::new(10);
    for _ in 0..100 {
        push(&small, "state", latest("a"));
    }
    assert_eq!(written(&small), "statestate");
}

#[test]
fn a_message_of_a_key_after_a_burst_of_others_does_not_end_the_connection() {
    let outbox = Outbox::new(10);
    for _ in 0..3 {
        push(&outbox, "0123456789", SlowReaderPolicy::Disconnect);
    }
    assert_eq!(push(&outbox, "01234", latest("a")), PushOutcome::Kept);
    assert_eq!(push(&outbox, "01234", latest("b")), PushOutcome::Overflowed, "beyond four times the limit");
}

#[test]
fn kept_messages_count_for_the_limit_and_an_overflow_ends_the_connection() {
    let outbox = behind(10);
    assert_eq!(push(&outbox, "0123456", latest("a")), PushOutcome::Kept);
    assert_eq!(push(&outbox, "012345678", latest("a")), PushOutcome::Replaced, "with its key, ten bytes");
    let more = |policy| outbox.try_push_with(WireBytes::Slice(b"x"), policy).map(|_| ());
    assert_eq!(more(latest("b")), Err(PushError::Full));
    assert_eq!(more(SlowReaderPolicy::Disconnect), Err(PushError::Full));
    assert_eq!(push(&outbox, "0123456789", latest("a")), PushOutcome::Replaced, "nothing else is queued");
    assert_eq!(push(&outbox, "x", latest("b")), PushOutcome::Overflowed);
    assert_eq!(written_at_the_end(&outbox), "0123456789");
}

/// Takes everything, as a driver that closes.
fn written_at_the_end(outbox: &Outbox) -> String {
    let mut queue = WriteQueue::new();
    outbox.drain_all_into(&mut queue);
    String::from_utf8(queue.to_contiguous()).unwrap()
}

#[test]
fn a_message_with_one_key_too_many_is_queued_as_any_other() {
    let outbox = behind(1_000_000);
    for number in 0..MAX_LATEST_KEYS {
        assert_eq!(push(&outbox, "k", latest(&number.to_string())), PushOutcome::Kept);
    }
    assert_eq!(push(&outbox, "q", latest("more")), PushOutcome::Queued);
    assert_eq!(push(&outbox, "r", latest("0")), PushOutcome::Replaced);
    let written = written(&outbox);
    assert!(written.starts_with("qk") && written.ends_with("kr"), "{written}");
}

#[test]
fn the_messages_of_a_scope_can_be_sent_first_or_dropped() {
    let outbox = behind(1_000);
    let of = |scope| SlowReaderPolicy::KeepLatest(LatestKey { scope, name: "a" });
    for scope in ["/a", "/b", "/c"] {
        push(&outbox, scope, of(scope));
    }
    outbox.discard_latest("/a");
    outbox.release_latest("/b");
    push(&outbox, " end of b ", SlowReaderPolicy::Disconnect);
    assert_eq!(written(&outbox), "/b end of b /c");
}

#[test]
fn a_new_transport_gets_the_kept_messages_too() {
    let outbox = behind(1_000);
    push(&outbox, "kept", latest("a"));
    push(&outbox, "queued ", SlowReaderPolicy::Disconnect);
    let mut queue = WriteQueue::new();
    outbox.change_framing((), &mut queue);
    assert_eq!(queue.to_contiguous(), b"queued kept");
    outbox.close();
    assert_eq!(outbox.buffered(), 0);
}

#[test]
fn after_an_overflow_a_task_that_waits_for_capacity_waits_for_the_end() {
    let outbox = behind(10);
    let mut cx = Context::from_waker(Waker::noop());
    wake(outbox.try_push(WireBytes::Slice(&[1; 2])));
    wake(overflowing_push(&outbox, WireBytes::Slice(&[2; 9])));
    assert!(outbox.poll_capacity(1, &mut cx).is_pending(), "a message that would fit is refused too");
    outbox.close();
    assert_eq!(outbox.poll_capacity(1, &mut cx), Poll::Ready(Err(PushError::Closed)));
}

#[test]
fn a_push_wakes_only_a_driver_that_sleeps() {
    let outbox = Outbox::new(1_000);
    let cx = Context::from_waker(Waker::noop());
    let wakes = || outbox.try_push(WireBytes::Slice(&[1])).unwrap().is_some();
    assert!(!wakes(), "it has not slept yet");
    write_all(&outbox, &cx);
    assert!(wakes(), "it sleeps");
    assert!(!wakes(), "it is being woken");
    write_all(&outbox, &cx);
    outbox.unpark();
    assert!(!wakes(), "something else has woken it");
    assert!(!outbox.park(0, true, &cx), "the push in the meantime keeps it awake");
}

#[test]
fn draining_the_bytes_keeps_the_signals() {
    let outbox = Outbox::new(10);
    outbox.notify();
    outbox.drain_into(&mut WriteQueue::new());
    assert!(outbox.take_signals().notified);
    assert!(!outbox.take_signals().notified);
}

#[test]
fn while_the_transport_is_not_writable_only_a_notification_wakes_the_driver() {
    let outbox = Outbox::new(1_000);
    let cx = Context::from_waker(Waker::noop());
    assert!(outbox.park(5, false, &cx));
    assert!(outbox.try_push(WireBytes::Slice(&[1])).unwrap().is_none());
    outbox.notify();
    assert!(!outbox.park(5, false, &cx));
}

#[tokio::test]
async fn a_task_that_waits_for_capacity_is_woken_when_there_is_some() {
    let outbox = Arc::new(Outbox::new(10));
    wake(outbox.try_push(WireBytes::Slice(&[0; 10])));
    let waiting = tokio::spawn({
        let outbox = Arc::clone(&outbox);
        async move { poll_fn(|cx| outbox.poll_capacity(1, cx)).await }
    });
    tokio::task::yield_now().await;
    write_all(&outbox, &Context::from_waker(Waker::noop()));
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[test]
fn there_is_capacity_if_the_message_fits_and_at_most_half_of_the_limit_is_used() {
    for (queued, length, has_capacity) in [
        (5, 5, true),
        (6, 1, false),
        (4, 7, false),
        (3, 7, true),
        (1, 10, false),
        (0, 10, true),
        (1, 50, false),
        (0, 50, true),
    ] {
        let outbox = Outbox::new(10);
        wake(outbox.try_push(WireBytes::Slice(&vec![0; queued])));
        let ready = outbox.poll_capacity(length, &mut Context::from_waker(Waker::noop())).is_ready();
        assert_eq!(ready, has_capacity, "{length} bytes after {queued}");
        assert!(!ready || outbox.try_push(WireBytes::Slice(&vec![0; length])).is_ok());
    }
}

#[tokio::test]
async fn no_message_is_lost_between_many_pushing_threads_and_one_driver() {
    const THREADS: u32 = 4;
    const MESSAGES: u32 = 2_000;
    let outbox = Arc::new(Outbox::new(usize::MAX));
    let pushing: Vec<_> = (0..THREADS)
        .map(|_| {
            let outbox = Arc::clone(&outbox);
            std::thread::spawn(move || {
                (0..MESSAGES).for_each(|_| wake(outbox.try_push(WireBytes::Slice(&[7]))));
            })
        })
        .collect();
    let mut received = 0;
    poll_fn(|cx| {
        loop {
            let mut queue = WriteQueue::new();
            outbox.drain_and_take_signals(&mut queue);
            received += queue.len();
            if received == (THREADS * MESSAGES) as usize {
                return Poll::Ready(());
            }
            if outbox.park(0, true, cx) {
                return Poll::Pending;
            }
        }
    })
    .await;
    pushing.into_iter().for_each(|thread| thread.join().unwrap());
}
