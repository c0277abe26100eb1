//! A side for tests. It records the messages and the errors of its socket, and runs tasks when the test requests it.

use std::cell::RefCell;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use engineio_proto::EncodedMessage;
use socketio_proto::{Decoder, DecoderLimits, Packet};
use tidewire_handlers::{
    Acknowledge, BoxFuture, EventHandler, EventQueue, EventRegistry, EventTable, Extract, Handler,
    HandlerContext, HandlerEnv, HandlerError, HandlerKind, IntoReply, MaybeSend, OnEvent, Registration, Side,
    Spawn, State, StateMap,
};

#[derive(Debug)]
pub(crate) enum TestSide {}

impl Side for TestSide {
    type Socket = Shared;
    type Env<'a> = &'a Peer;
    type Spawn = ManualSpawn;
}

/// The socket. It is an extractor of this side.
#[derive(Debug, Clone)]
pub(crate) struct Socket(Arc<Shared>);

impl Socket {
    pub(crate) fn disconnect(&self) {
        self.0.disconnected.store(true, Ordering::Relaxed);
    }
}

impl<K: HandlerKind<Side = TestSide>> Extract<K> for Socket {
    fn extract(context: &mut HandlerContext<'_, TestSide>) -> Result<Self, HandlerError> {
        Ok(Self(Arc::clone(&context.env().socket)))
    }
}

/// The lines that handlers logged, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn say(&self, line: impl Display) {
        self.0.lock().expect("no panic").push(line.to_string());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

/// A gate at which handlers wait until the test releases them one by one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<AtomicUsize>);

impl Gate {
    pub(crate) async fn pass(&self) {
        poll_fn(|_| {
            let passed =
                self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| open.checked_sub(1));
            if passed.is_ok() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    sent: Log,
    errors: Log,
    disconnected: AtomicBool,
}

impl Acknowledge for Shared {
    fn namespace(&self) -> &str {
        "/"
    }

    fn send_ack(&self, message: EncodedMessage<'_>) {
        self.sent.say(message.text());
    }

    fn report_error(self: Arc<Self>, error: &HandlerError, event: Option<&str>) {
        self.errors.say(format_args!("{}: {error}", event.unwrap_or("-")));
    }
}

/// A socket, its handlers and its queue.
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    pub(crate) queue: EventQueue<TestSide>,
    wakes: Arc<Wakes>,
}

#[derive(Debug)]
pub(crate) struct Peer {
    socket: Arc<Shared>,
    pub(crate) states: StateMap,
    events: Mutex<EventTable<TestSide>>,
    /// The table that the socket uses. The test registers all handlers before the first event.
    used: OnceLock<EventTable<TestSide>>,
    pub(crate) own: Option<(&'static str, EventHandler<TestSide>)>,
    pub(crate) max_concurrent: usize,
    unhandled: Log,
}

impl HandlerEnv for &Peer {
    type Side = TestSide;

    fn reborrow(&self) -> &Peer {
        self
    }

    fn socket(&self) -> &Arc<Shared> {
        &self.socket
    }

    fn states(&self) -> &StateMap {
        &self.states
    }

    fn event_table(&self) -> &EventTable<TestSide> {
        self.used.get_or_init(|| self.events.lock().expect("no panic").clone())
    }

    fn socket_handler(&self, event: &str) -> Option<EventHandler<TestSide>> {
        self.own.as_ref().filter(|(name, _)| *name == event).map(|(_, handler)| handler.clone())
    }

    fn is_disconnected(&self) -> bool {
        self.socket.disconnected.load(Ordering::Relaxed)
    }

    fn max_concurrent_handlers(&self) -> usize {
        self.max_concurrent
    }

    fn on_unhandled(&self, event: &str) {
        self.unhandled.say(event);
    }
}

impl EventRegistry<TestSide> for Peer {
    fn update_event_table(&self, change: &mut dyn FnMut(&mut EventTable<TestSide>)) {
        change(&mut self.events.lock().expect("no panic"));
    }
}

impl Peer {
    pub(crate) fn on<M, H>(&self, event: &str, handler: H) -> Registration<'_, TestSide>
    where
        H: Handler<OnEvent<TestSide>, M>,
        H::Output: IntoReply,
    {
        Registration::register(self, Some(event.into()), EventHandler::new(handler))
    }
}

impl Connection {
    /// Creates a connection with a [`Log`] and a [`Gate`] as state of its handlers.
    pub(crate) fn new() -> (Self, Log, Gate) {
        let (log, gate) = (Log::default(), Gate::default());
        let mut states = StateMap::default();
        states.insert(log.clone());
        states.insert(gate.clone());
        let peer = Peer {
            socket: Arc::default(),
            states,
            events: Mutex::default(),
            used: OnceLock::new(),
            own: None,
            max_concurrent: 2,
            unhandled: Log::default(),
        };
        (Self { peer, queue: EventQueue::new(), wakes: Arc::default() }, log, gate)
    }

    pub(crate) fn socket(&self) -> Socket {
        Socket(Arc::clone(&self.peer.socket))
    }

    /// Handles a packet: `2["event"]`, or `27["event"]` of a peer that requests an acknowledgement with the id 7.
    pub(crate) fn receive(&mut self, packet: &str) {
        let waker = Waker::from(Arc::clone(&self.wakes));
        let mut decoder = Decoder::new(&DecoderLimits::default());
        let Ok(Some(Packet::Event { event, ack, .. })) = decoder.decode_text(packet) else {
            panic!("{packet}")
        };
        self.queue.handle_event(&event, ack, &&self.peer, &mut TaskContext::from_waker(&waker));
    }

    /// Like `receive`, but returns the number of allocations that handling the decoded event took.
    pub(crate) fn receive_counted(&mut self, packet: &str) -> u64 {
        let waker = Waker::from(Arc::clone(&self.wakes));
        let mut decoder = Decoder::new(&DecoderLimits::default());
        let Ok(Some(Packet::Event { event, ack, .. })) = decoder.decode_text(packet) else {
            panic!("{packet}")
        };
        let mut cx = TaskContext::from_waker(&waker);
        allocation_counter::measure(|| self.queue.handle_event(&event, ack, &&self.peer, &mut cx)).count_total
    }

    /// Queues an event that must not be handled yet.
    pub(crate) fn receive_early(&mut self, packet: &str) {
        let mut decoder = Decoder::new(&DecoderLimits::default());
        let Ok(Some(Packet::Event { event, ack, .. })) = decoder.decode_text(packet) else {
            panic!("{packet}")
        };
        self.queue.push(&event, ack);
    }

    pub(crate) fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.queue.poll(&&self.peer, &mut TaskContext::from_waker(&waker))
    }

    /// Returns whether the task of the connection was woken since the last call.
    pub(crate) fn take_wake(&self) -> bool {
        self.wakes.0.swap(false, Ordering::Relaxed)
    }

    /// Runs the tasks, and polls the connection whenever it is woken, until all of them wait.
    pub(crate) fn run(&mut self) {
        loop {
            run_tasks();
            if !self.take_wake() {
                return;
            }
            let _ = self.poll();
        }
    }

    /// Releases one handler from the gate, then runs everything until it waits again.
    pub(crate) fn open(&mut self, gate: &Gate) {
        gate.0.fetch_add(1, Ordering::Relaxed);
        self.run();
    }

    #[track_caller]
    pub(crate) fn expect_sent(&self, packets: &[&str]) {
        assert_eq!(self.peer.socket.sent.take(), packets);
    }

    #[track_caller]
    pub(crate) fn expect_errors(&self, errors: &[&str]) {
        assert_eq!(self.peer.socket.errors.take(), errors);
    }

    #[track_caller]
    pub(crate) fn expect_unhandled(&self, events: &[&str]) {
        assert_eq!(self.peer.unhandled.take(), events);
    }
}

#[derive(Debug, Default)]
struct Wakes(AtomicBool);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[track_caller]
pub(crate) fn expect_said(log: &Log, lines: &[&str]) {
    assert_eq!(log.take(), lines);
}

/// A handler that waits at the gate. It logs its start and its end.
pub(crate) async fn wait(State(log): State<Log>, State(gate): State<Gate>) {
    log.say("start");
    gate.pass().await;
    log.say("end");
}

thread_local! {
    static TASKS: RefCell<Vec<BoxFuture<()>>> = const { RefCell::new(Vec::new()) };
}

/// Each test runs on its own thread, so the tasks in the thread-local belong to the test.
#[derive(Debug)]
pub(crate) enum ManualSpawn {}

/// Returns the number of unfinished tasks.
pub(crate) fn tasks() -> usize {
    TASKS.with_borrow(Vec::len)
}

/// Polls every task once.
pub(crate) fn run_tasks() {
    let mut tasks = TASKS.take();
    tasks.retain_mut(|task| task.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending());
    TASKS.with_borrow_mut(|spawned| spawned.splice(..0, tasks).for_each(drop));
}

impl Spawn for ManualSpawn {
    type Task<T: MaybeSend + 'static> = Task<T>;

    fn spawn<T: MaybeSend + 'static>(mut future: BoxFuture<T>) -> Task<T> {
        let outcome = Arc::new(Mutex::new((None, None::<Waker>)));
        let task = Task(Arc::clone(&outcome));
        let run = poll_fn(move |cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
            let result = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(value)) => Ok(value),
                Err(panic) => Err(HandlerError::from_panic(&*panic)),
            };
            let mut outcome = outcome.lock().expect("no panic");
            outcome.0 = Some(result);
            if let Some(waker) = outcome.1.take() {
                waker.wake();
            }
            Poll::Ready(())
        });
        TASKS.with_borrow_mut(|tasks| tasks.push(Box::pin(run)));
        task
    }
}

type Outcome<T> = (Option<Result<T, HandlerError>>, Option<Waker>);

#[derive(Debug)]
pub(crate) struct Task<T>(Arc<Mutex<Outcome<T>>>);

impl<T> Future for Task<T> {
    type Output = Result<T, HandlerError>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut outcome = self.0.lock().expect("no panic");
        outcome.1 = Some(cx.waker().clone());
        outcome.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}
