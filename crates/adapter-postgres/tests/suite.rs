//! The tests that every adapter must pass.

use crate::cluster::PostgresCluster;

mod two_servers {
    use super::*;

    adapter::adapter_suite!(PostgresCluster::start(2));
}

mod three_servers {
    use super::*;

    adapter::adapter_suite!(PostgresCluster::start(3));
}
