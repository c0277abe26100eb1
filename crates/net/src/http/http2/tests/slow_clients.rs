//! Clients that read a response slowly or not at all.

use super::*;

/// A timeout of slow clients, which need a part of it for each step. A busy machine does not delay a step by as much.
const SLOW: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_response_that_is_not_read_resets_only_its_stream() {
    let limit = Duration::from_millis(300);
    let server = Server::start(HttpLimits { write_timeout: limit, ..HttpLimits::default() }).await;
    for window in [0, 1, 1_000, 100_000] {
        let mut builder = Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(10_000_000);
        let mut client = Client::connect(server.address, builder).await;
        let (response, mut stream) = client.begin(get("/large")).await;
        let response = soon(response).await.unwrap();
        let reason = soon(poll_fn(|cx| stream.poll_reset(cx))).await.unwrap();
        assert_eq!(reason, Reason::CANCEL, "{window}");
        drop(response);
        let (response, _) = client.begin(get("/hello")).await;
        assert_eq!(soon(response).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_response_that_is_read_slowly_arrives() {
    let server = Server::start(HttpLimits { write_timeout: SLOW, ..HttpLimits::default() }).await;
    let mut client = server.client().await;
    let (response, _) = client.begin(get("/large")).await;
    let mut body = soon(response).await.unwrap().into_body();
    let (mut taken, mut slow) = (0, 5);
    while let Some(data) = soon(body.data()).await {
        let count = data.unwrap().len();
        taken += count;
        if slow > 0 {
            // The delay simulates a slow client.
            sleep(SLOW / 4).await;
            slow -= 1;
        }
        body.flow_control().release_capacity(count).unwrap();
    }
    assert_eq!(taken, LARGE);
}

#[tokio::test]
async fn the_stream_with_the_largest_unread_response_is_reset_and_the_others_go_on() {
    let server = Server::start(HttpLimits::default()).await;
    // Each stream has a window of its own, so that none waits for another.
    let mut builder = Builder::new();
    builder.initial_connection_window_size(10_000_000);
    let mut client = Client::connect(server.address, builder).await;
    let (small, _) = client.begin(get("/counted")).await;
    let small = soon(small).await.unwrap();
    server.counts(LARGE).await;
    let (large, mut sender) = client.begin(get("/counted/larger")).await;
    let large = soon(large).await.unwrap();
    server.counts(LARGE * 5 / 2).await;
    let (last, _) = client.begin(get("/counted")).await;
    let reason = soon(poll_fn(|cx| sender.poll_reset(cx))).await.unwrap();
    assert_eq!(reason, Reason::CANCEL);
    drop(large);
    server.counts(2 * LARGE).await;
    assert_eq!(read(small.into_body()).await.unwrap().len(), LARGE);
    let last = soon(last).await.unwrap();
    assert_eq!(read(last.into_body()).await.unwrap().len(), LARGE);
    server.counts(0).await;
}

#[tokio::test]
async fn the_last_bytes_of_a_response_do_not_keep_the_others_in_memory() {
    let server = Server::start(HttpLimits::default()).await;
    // The window ends within the last piece of the response, so h2 holds the rest of that piece.
    let mut builder = Builder::new();
    builder.initial_window_size(LARGE as u32 - 100).initial_connection_window_size(10_000_000);
    let mut client = Client::connect(server.address, builder).await;
    // Another request keeps the connection open.
    let _never = client.begin(get("/never")).await;
    let (response, _) = client.begin(get("/counted")).await;
    let mut body = soon(response).await.unwrap().into_body();
    let mut taken = 0;
    while taken < LARGE - 100 {
        taken += soon(body.data()).await.unwrap().unwrap().len();
    }
    server.counts(0).await;
}

#[tokio::test]
async fn a_request_that_crosses_a_goaway_gets_its_complete_response_however_slowly_it_is_read() {
    let limits = HttpLimits { header_read_timeout: SLOW, write_timeout: SLOW, ..HttpLimits::default() };
    let server = Server::start(limits).await;
    let mut talks = tokio::task::JoinSet::new();
    // If two events are ready at the same time, the order is random. So repeat the test.
    for _ in 0..30 {
        talks.spawn(response_after_goaway(server.address));
    }
    soon(talks.join_all()).await;
}

/// Sends raw frames, because `h2` would send no request after a GOAWAY.
async fn response_after_goaway(server: SocketAddr) {
    let get = |id: u8, path: &str| {
        let block = [&[0x82, 0x86, 0x44, path.len() as u8], path.as_bytes(), &[0x41, 1, b'h']].concat();
        [&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, id], &block[..]].concat()
    };
    let window = |id: u8, size: u32| [&[0, 0, 4, 8, 0, 0, 0, 0, id][..], &size.to_be_bytes()].concat();
    let mut stream = TcpStream::connect(server).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let wire = [PREFACE, &settings, &window(0, 4_000_000), &get(1, "/hello")].concat();
    stream.write_all(&wire).await.unwrap();
    let mut taken = 0;
    let mut goaway_received = false;
    let mut slow = 0;
    while taken < MEDIUM {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("the rest of the response");
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await.expect("the rest of the response");
        match (head[3], head[8]) {
            (7, _) if !goaway_received => {
                goaway_received = true;
                stream.write_all(&get(3, "/medium")).await.unwrap();
            }
            (0, 3) => {
                taken += length;
                slow += 1;
                if slow < 6 {
                    // A slow client: it takes longer than the limit in all, and less for each step.
                    sleep(SLOW / 4).await;
                    stream.write_all(&window(3, length as u32)).await.unwrap();
                } else if slow == 6 {
                    stream.write_all(&window(3, MEDIUM as u32)).await.unwrap();
                }
            }
            _ => {}
        }
    }
}
