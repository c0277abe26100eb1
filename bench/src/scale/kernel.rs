//! The memory of the kernel for connections: the objects of its slab caches, and the buffers of TCP.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use super::Added;

const PAGE: f64 = 4096.0;
/// A cache counts if each connection adds at least so many objects, at all numbers of connections. Other caches change
/// because other programs run.
const OBJECTS: f64 = 0.7;

/// The number of objects of a cache, and the bytes that each takes, with its share of what is left over in a slab.
#[derive(Debug, Clone, Copy)]
struct Cache {
    objects: f64,
    each: f64,
}

#[derive(Debug, Clone)]
pub(super) struct Kernel {
    caches: BTreeMap<String, Cache>,
    tcp_buffers: f64,
}

impl Kernel {
    pub(super) fn read() -> Result<Self> {
        let slabs =
            fs::read_to_string("/proc/slabinfo").context("/proc/slabinfo, which only root may read")?;
        let sockets = fs::read_to_string("/proc/net/sockstat")?;
        let pages = sockets
            .lines()
            .find_map(|line| line.strip_prefix("TCP:")?.rsplit(' ').next()?.parse::<f64>().ok())
            .context("the buffers of TCP in sockstat")?;
        Ok(Self { caches: slabs.lines().filter_map(cache).collect(), tcp_buffers: pages * PAGE })
    }

    pub(super) fn since(&self, earlier: &Self) -> Self {
        let caches = self.caches.iter().map(|(name, cache)| {
            let before = earlier.caches.get(name).map_or(0.0, |cache| cache.objects);
            (name.clone(), Cache { objects: cache.objects - before, each: cache.each })
        });
        Self { caches: caches.collect(), tcp_buffers: self.tcp_buffers - earlier.tcp_buffers }
    }

    pub(super) fn tcp_buffers(&self) -> f64 {
        self.tcp_buffers
    }

    pub(super) fn objects(&self, cache: &str) -> f64 {
        self.caches.get(cache).map_or(0.0, |cache| cache.objects)
    }

    pub(super) fn bytes(&self, cache: &str) -> f64 {
        self.caches.get(cache).map_or(0.0, |cache| cache.objects * cache.each)
    }
}

/// Returns the caches to which every connection adds an object.
pub(super) fn caches(found: &[Added]) -> Vec<String> {
    let Some(first) = found.first() else { return Vec::new() };
    let grows =
        |name: &&String| found.iter().all(|added| added.kernel.objects(name) >= OBJECTS * added.connections);
    first.kernel.caches.keys().filter(grows).cloned().collect()
}

/// Parses `name active_objects objects size objects_per_slab pages_per_slab …`.
fn cache(line: &str) -> Option<(String, Cache)> {
    let mut fields = line.split_whitespace();
    let name = fields.next()?;
    let [objects, _, _, per_slab, pages] = std::array::from_fn(|_| fields.next()?.parse::<f64>().ok());
    Some((name.to_owned(), Cache { objects: objects?, each: pages? * PAGE / per_slab? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_slabinfo_has_the_objects_and_their_share_of_a_slab() {
        let line = "TCP 26 39 2368 13 8 : tunables 0 0 0 : slabdata 1 1 0";
        let (name, cache) = cache(line).unwrap();
        assert_eq!((name.as_str(), cache.objects, cache.each.round()), ("TCP", 26.0, 2521.0));
    }

    #[test]
    fn titles_are_no_caches() {
        assert!(cache("slabinfo - version: 2.1").is_none());
        assert!(cache("# name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>").is_none());
    }
}
