use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::{Mutex, mpsc as blocking};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tower::service_fn;

use super::*;
use crate::http::{HttpLimits, HttpService, Listener};

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

async fn listener(workers: usize) -> (Listener, SocketAddr) {
    let listener = Listener::bind("127.0.0.1:0", HttpLimits::default()).await.unwrap().workers(workers);
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn serve<S: HttpService>(workers: usize, service: S) -> SocketAddr {
    let (listener, address) = listener(workers).await;
    tokio::spawn(listener.serve(service, pending()));
    address
}

fn thread_name() -> String {
    thread::current().name().unwrap_or("no name").to_owned()
}

/// A connection that stays open, and makes one request after the other.
struct Client(TcpStream);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(soon(TcpStream::connect(address)).await.unwrap())
    }

    /// Returns the body of the response.
    async fn get(&mut self, path: &str) -> String {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
        let mut response = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&response).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    return body.to_owned();
                }
            }
            response.push(soon(self.0.read_u8()).await.unwrap());
        }
    }
}

#[tokio::test]
async fn connections_are_spread_evenly_and_stay_on_their_worker() {
    let service =
        service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(thread_name())) });
    let address = serve(3, service).await;
    let mut clients = Vec::new();
    let mut counts = BTreeMap::<_, usize>::new();
    for _ in 0..6 {
        let mut client = Client::connect(address).await;
        let worker = client.get("/").await;
        *counts.entry(worker.clone()).or_default() += 1;
        clients.push((client, worker));
    }
    let expected = (0..3).map(|number| (format!("tidewire-{number}"), 2)).collect();
    assert_eq!(counts, expected);
    for (client, worker) in &mut clients {
        assert_eq!(client.get("/").await, *worker);
    }
    // A place that becomes free is taken.
    let (_, worker) = clients.remove(3);
    loop {
        // The worker notices the end a moment later.
        let mut client = Client::connect(address).await;
        if client.get("/").await == worker {
            break;
        }
    }
}

#[tokio::test]
async fn without_workers_connections_are_served_on_the_runtime_of_the_caller() {
    let service =
        service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(thread_name())) });
    let address = serve(0, service).await;
    assert_eq!(Client::connect(address).await.get("/").await, thread_name());
}

#[tokio::test]
async fn a_blocked_worker_gets_no_more_connections_while_one_waits_for_it() {
    let (release, blocked) = blocking::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let (started, mut starts) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        if request.uri().path() == "/block" {
            let _ = started.send(());
            let _ = blocked.lock().unwrap().recv();
        }
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    });
    let address = serve(2, service).await;
    let blocking = tokio::spawn(async move { Client::connect(address).await.get("/block").await });
    soon(starts.recv()).await.unwrap();

    // The first one balances the numbers of tasks, and the second one waits for the blocked worker.
    let mut first = Client::connect(address).await;
    first.get("/").await;
    let (responded, mut responses) = mpsc::unbounded_channel();
    let mut second = Client::connect(address).await;
    tokio::spawn(async move {
        second.get("/").await;
        let _ = responded.send(());
    });
    let mut others = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(address).await;
        client.get("/").await;
        // Open connections count for their worker.
        others.push(client);
    }
    assert!(responses.try_recv().is_err());
    release.send(()).unwrap();
    soon(responses.recv()).await.unwrap();
    soon(blocking).await.unwrap();
}

#[tokio::test]
async fn tasks_go_on_after_the_end_of_the_listener_and_the_threads_end_after_the_last_one() {
    thread_local! {
        static AT_EXIT: RefCell<Option<mpsc::UnboundedSender<()>>> = const { RefCell::new(None) };
    }
    let (at_exit, mut exits) = mpsc::unbounded_channel();
    let (report, mut reports) = mpsc::unbounded_channel();
    let (go, wait) = oneshot::channel::<()>();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let service = service_fn(move |_: Request<Incoming>| {
        AT_EXIT.set(Some(at_exit.clone()));
        if let Some(wait) = wait.lock().unwrap().take() {
            let report = report.clone();
            tokio::spawn(async move {
                let _ = wait.await;
                // Timers still work.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let _ = report.send(thread_name());
            });
        }
        async { Ok::<_, Infallible>(Response::new(thread_name())) }
    });
    let (listener, address) = listener(2).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(listener.serve(service, async { drop(stopped.await) }));
    let (mut first, mut second) = (Client::connect(address).await, Client::connect(address).await);
    let worker = first.get("/").await;
    assert_ne!(second.get("/").await, worker);
    stop.send(()).unwrap();
    soon(serving).await.unwrap();
    go.send(()).unwrap();
    assert_eq!(soon(reports.recv()).await.unwrap(), worker);
    // The senders are dropped with the threads.
    assert!(soon(exits.recv()).await.is_none());
}

#[tokio::test]
async fn a_connection_is_closed_if_its_service_panics_and_the_worker_goes_on() {
    let service = service_fn(|request: Request<Incoming>| {
        assert_ne!(request.uri().path(), "/panic");
        async { Ok::<_, Infallible>(Response::new(thread_name())) }
    });
    let address = serve(1, service).await;
    let (mut client, mut other) = (Client::connect(address).await, Client::connect(address).await);
    assert_eq!(other.get("/").await, "tidewire-0");
    client.0.write_all(b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    assert!(matches!(soon(client.0.read(&mut [0])).await, Ok(0) | Err(_)));
    assert_eq!(other.get("/").await, "tidewire-0");
    assert_eq!(Client::connect(address).await.get("/").await, "tidewire-0");
}
