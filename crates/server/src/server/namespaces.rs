//! The namespaces of a server and their parents.
//!
//! Code of the program (adapters, patterns, the hook) never runs under the lock of the table.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use adapter::{AdapterFactory, Ready};
use net::LogRateLimit;
use net::metrics::{self, Series};
use socketio_proto::Excerpt;
use tokio::sync::Semaphore;

use super::builder::in_memory;
use super::shared::ServerShared;
use crate::handler::ConnectError;
use crate::limits::Limits;
use crate::namespace::{Admits, Child, INVALID_NAMESPACE, Namespace, Parent};
use crate::observer::Observation;

/// The namespaces of a server, and the parents that clients create namespaces of.
pub(crate) struct Namespaces {
    table: RwLock<Table>,
    shared: Arc<ServerShared>,
    adapter: Box<dyn AdapterFactory>,
    /// Whether a namespace that a client has caused is removed with its last socket.
    removes_empty_children: bool,
    on_new_namespace: Mutex<Option<NewNamespaceHook>>,
    /// One permit for each check of a predicate that may still wait.
    pub(crate) pending_checks: Arc<Semaphore>,
    limit_log: LogRateLimit,
    /// Clients choose how often a hook that panics is called.
    hook_log: LogRateLimit,
}

pub(super) type NewNamespaceHook = Arc<dyn Fn(&Namespace) + Send + Sync>;

struct Table {
    namespaces: HashMap<Box<str>, Namespace>,
    /// In the order of their creation.
    parents: Arc<[Arc<Parent>]>,
    /// The number of namespaces that clients have caused.
    from_clients: usize,
}

/// The namespace that a client may use, and what keeps it from being removed.
pub(crate) type Joined = (Namespace, Option<ChildMember>);

impl Namespaces {
    pub(super) fn new(
        root: Namespace,
        shared: Arc<ServerShared>,
        adapter: Box<dyn AdapterFactory>,
        removes_empty_children: bool,
    ) -> Self {
        root.set_ready(&|| {});
        let namespaces = HashMap::from([("/".into(), root)]);
        let max_pending_checks = shared.limits.max_pending_namespace_checks.min(Semaphore::MAX_PERMITS);
        Self {
            table: RwLock::new(Table { namespaces, parents: Arc::default(), from_clients: 0 }),
            shared,
            adapter,
            removes_empty_children,
            on_new_namespace: Mutex::default(),
            pending_checks: Arc::new(Semaphore::new(max_pending_checks)),
            limit_log: LogRateLimit::new(),
            hook_log: LogRateLimit::new(),
        }
    }

    /// Returns the namespace with this name. Creates it for the program if it does not exist.
    pub(super) fn get_or_create(self: &Arc<Self>, name: &str) -> Namespace {
        let parents = {
            let table = self.read();
            if let Some(namespace) = table.namespaces.get(name) {
                return namespace.clone();
            }
            Arc::clone(&table.parents)
        };
        let parent = parents.iter().find(|parent| parent.matches(name));
        let created = self.create(name, parent.map(|parent| (&**parent, false)));
        let namespace = {
            let mut table = self.write();
            if let Some(earlier) = table.namespaces.get(name) {
                // The new namespace and its adapter are dropped after the lock is released.
                return earlier.clone();
            }
            table.namespaces.insert(name.into(), created.clone());
            created
        };
        self.announce(&namespace);
        namespace
    }

    /// Returns the namespace that a client requests, if it exists.
    pub(crate) fn join(self: &Arc<Self>, name: &str) -> Option<Joined> {
        let namespace = {
            let table = self.read();
            let namespace = table.namespaces.get(name)?.clone();
            self.count_member(&namespace);
            namespace
        };
        Some(self.joined(namespace))
    }

    /// Returns the parents that may create the namespace `name` for a client.
    ///
    /// # Errors
    /// Returns the error for the client if there are none, or if the name is too long.
    pub(crate) fn parents_for(&self, name: &str) -> Result<Arc<[Arc<Parent>]>, ConnectError> {
        let parents = Arc::clone(&self.read().parents);
        if parents.is_empty() {
            return Err(ConnectError::new(INVALID_NAMESPACE));
        }
        if name.len() > self.limits().max_namespace_name_len {
            return Err(ConnectError::new(NAME_TOO_LONG));
        }
        Ok(parents)
    }

    /// Returns the namespace that a client requests. Creates it as a child of `parent` if it does not exist by now.
    ///
    /// # Errors
    /// Returns the error for the client if clients have caused too many namespaces.
    pub(crate) fn join_child(self: &Arc<Self>, name: &str, parent: &Parent) -> Result<Joined, ConnectError> {
        if let Some(joined) = self.join(name) {
            return Ok(joined);
        }
        // Adapters may be expensive, so none is created at the limit.
        self.check_count(&self.read())?;
        let created = self.create(name, Some((parent, true)));
        let (namespace, is_new) = {
            let mut table = self.write();
            let (namespace, is_new) = match table.namespaces.get(name) {
                Some(earlier) => (earlier.clone(), false),
                None => {
                    self.check_count(&table)?;
                    table.namespaces.insert(name.into(), created.clone());
                    table.from_clients += 1;
                    (created.clone(), true)
                }
            };
            self.count_member(&namespace);
            (namespace, is_new)
        };
        if is_new {
            self.announce(&namespace);
        }
        drop(created);
        Ok(self.joined(namespace))
    }

    /// Returns what creates the adapter of each namespace.
    pub(crate) fn adapter_factory(&self) -> &dyn AdapterFactory {
        &*self.adapter
    }

    /// Returns the namespace that every server has.
    pub(crate) fn root(&self) -> Option<Namespace> {
        self.read().namespaces.get("/").cloned()
    }

    /// Closes the adapters of all namespaces. Returns what to wait for.
    pub(super) fn close_adapters(&self) -> Vec<Ready> {
        let mut closed = Vec::new();
        for namespace in self.find_namespaces(&|_| true) {
            closed.push(namespace.close_adapter());
        }
        closed
    }

    /// Adds a parent after the others.
    pub(super) fn add_parent(&self, admits: Admits) -> Arc<Parent> {
        let mut table = self.write();
        let id = table.parents.len();
        let template = self.detached(&format!("/_{id}"));
        let parent = Arc::new(Parent::new(id, template, admits));
        let mut parents = table.parents.to_vec();
        parents.push(Arc::clone(&parent));
        table.parents = parents.into();
        parent
    }

    /// Returns the children of a parent.
    pub(crate) fn children(&self, parent: &Parent) -> Vec<Namespace> {
        self.find_namespaces(&|namespace| namespace.child().is_some_and(|child| child.is_of(parent)))
    }

    fn find_namespaces(&self, is_wanted: &dyn Fn(&Namespace) -> bool) -> Vec<Namespace> {
        let mut found = Vec::new();
        for namespace in self.read().namespaces.values() {
            if is_wanted(namespace) {
                found.push(namespace.clone());
            }
        }
        found
    }

    /// Creates a namespace that is not in the table and has no sockets.
    pub(crate) fn detached(&self, name: &str) -> Namespace {
        Namespace::new(name, Arc::clone(&self.shared), &in_memory)
    }

    pub(super) fn set_on_new_namespace(&self, hook: NewNamespaceHook) {
        let former = self.hook().replace(hook);
        drop(former);
    }

    /// Creates a namespace. `parent` is its parent, and whether a client has caused it.
    fn create(&self, name: &str, parent: Option<(&Parent, bool)>) -> Namespace {
        let (shared, adapter) = (Arc::clone(&self.shared), &*self.adapter);
        let namespace = match parent {
            None => Namespace::new(name, shared, adapter),
            Some((parent, is_from_client)) => {
                Namespace::new_child(name, shared, adapter, parent, Child::new(parent, is_from_client))
            }
        };
        namespace.observe_rooms();
        namespace
    }

    /// Calls the observers and the hook for a new namespace. Clients that request the namespace meanwhile wait until the hook is done.
    fn announce(&self, namespace: &Namespace) {
        namespace.set_ready(&|| {
            tracing::debug!(namespace = %Excerpt(namespace.name()), "namespace created");
            self.shared.observers.notify(|| Observation::NamespaceCreated { namespace });
            let hook = self.hook().clone();
            // The hook is the program's code: if it panics, the connection must survive.
            if let Some(hook) = hook
                && catch_unwind(AssertUnwindSafe(|| hook(namespace))).is_err()
            {
                self.hook_log.try_log(|suppressed| {
                    let namespace = namespace.name();
                    tracing::error!(namespace, suppressed, "the hook for new namespaces panicked");
                });
            }
        });
    }

    /// Counts a socket of a namespace. The caller holds the lock of the table.
    fn count_member(&self, namespace: &Namespace) {
        if let Some(child) = self.removable(namespace) {
            child.sockets.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn joined(self: &Arc<Self>, namespace: Namespace) -> Joined {
        namespace.wait_until_ready();
        let member = self.removable(&namespace).is_some().then(|| {
            ChildMember(Box::new(Membership { namespaces: Arc::clone(self), namespace: namespace.clone() }))
        });
        (namespace, member)
    }

    /// Returns the child if it is removed with its last socket.
    fn removable<'n>(&self, namespace: &'n Namespace) -> Option<&'n Child> {
        namespace.child().filter(|child| child.is_from_client && self.removes_empty_children)
    }

    fn check_count(&self, table: &Table) -> Result<(), ConnectError> {
        let max = self.limits().max_client_namespaces;
        if table.from_clients < max {
            return Ok(());
        }
        metrics::count(Series::MaxNamespaces);
        self.limit_log.try_log(|suppressed| {
            tracing::warn!(max, suppressed, "refused a namespace: clients have caused too many");
        });
        Err(ConnectError::new(TOO_MANY_NAMESPACES))
    }

    /// Removes a namespace that a client has caused, unless it has a socket, or a session that may be recovered.
    pub(crate) fn remove_if_empty(self: &Arc<Self>, namespace: &Namespace) {
        if self.removable(namespace).is_none()
            || namespace.recovery().is_some_and(|kept| kept.kept().sessions > 0)
        {
            return;
        }
        let removed: Option<Namespace> = {
            let mut table = self.write();
            let is_empty = namespace.child().is_some_and(Child::is_empty);
            if !is_empty || !table.namespaces.get(namespace.name()).is_some_and(|found| found.is(namespace)) {
                return;
            }
            table.namespaces.remove(namespace.name())
        };
        let place = ClientPlace(Arc::clone(self));
        tracing::debug!(namespace = %Excerpt(namespace.name()), "namespace removed");
        self.shared.observers.notify(|| Observation::NamespaceRemoved { namespace });
        if let Some(namespace) = &removed {
            // The adapter leaves the cluster, whether or not somebody waits for it.
            let closing = namespace.close_adapter();
            // Until then, the namespace counts. Otherwise clients could create and leave namespaces faster than the message bus
            // can follow, and what waits for the bus would have no limit.
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) if !closing.is_now() => net::spawn_boxed(&runtime, async move {
                    closing.await;
                    drop(place);
                }),
                _ => drop(place),
            }
        }
        // Dropped after the lock is released, because its handlers and its adapter may run code of the program.
        drop(removed);
    }

    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn hook(&self) -> std::sync::MutexGuard<'_, Option<NewNamespaceHook>> {
        self.on_new_namespace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a removed namespace among those that clients have caused, until this is dropped.
struct ClientPlace(Arc<Namespaces>);

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.0.write().from_clients -= 1;
    }
}

/// A socket's part in a namespace that a client has caused. When the last one is dropped, the namespace is removed.
pub(crate) struct ChildMember(Box<Membership>);

struct Membership {
    namespaces: Arc<Namespaces>,
    namespace: Namespace,
}

impl Drop for ChildMember {
    fn drop(&mut self) {
        let Membership { namespaces, namespace } = &*self.0;
        if namespace.child().is_some_and(|child| child.sockets.fetch_sub(1, Ordering::AcqRel) == 1) {
            namespaces.remove_if_empty(namespace);
        }
    }
}

const TOO_MANY_NAMESPACES: &str = "Too many namespaces";
const NAME_TOO_LONG: &str = "The name of the namespace is too long";
