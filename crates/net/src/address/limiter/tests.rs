//! Tests of the limiter. Permits are released at times that the tests choose.

use super::*;

fn limiter(limits: AddressLimits) -> AddressLimiter {
    AddressLimiter::new(limits)
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn known(limiter: &AddressLimiter) -> usize {
    limiter.table.shards.iter().map(|shard| shard.lock().unwrap().networks.len()).sum()
}

fn request(ip: &str) -> Parts {
    let mut request = http::Request::new(()).into_parts().0;
    request.extensions.insert(ClientAddress::new(ip.parse().unwrap()));
    request
}

#[test]
fn an_address_has_at_most_max_sessions() {
    let limiter = limiter(AddressLimits { max_sessions: 2, ..AddressLimits::default() });
    let admit = |network| limiter.try_admit(network, None, false, at(0));
    let first = admit(1).unwrap();
    let _second = admit(1).unwrap();
    assert_eq!(admit(1).unwrap_err(), AddressLimitError::TooManySessions);
    let _other = admit(2).unwrap();
    drop(first);
    let third = admit(1).unwrap().unwrap();
    assert_eq!(admit(1).unwrap_err(), AddressLimitError::TooManySessions);
    third.release();
    third.release();
    let _fourth = admit(1).unwrap();
    drop(third);
    assert_eq!(admit(1).unwrap_err(), AddressLimitError::TooManySessions);
}

#[test]
fn new_sessions_are_limited_to_a_burst_and_a_rate() {
    let limiter =
        limiter(AddressLimits { new_sessions_per_second: 10, burst: 3, ..AddressLimits::default() });
    let open = |network, millis| {
        limiter
            .try_admit(network, None, false, at(millis))
            .map(|permit| permit.unwrap().release_at(at(millis)))
    };
    let admit = |millis| open(1, millis);
    let retry_after =
        |millis| AddressLimitError::TooManyNewSessions { retry_after: Duration::from_millis(millis) };
    assert_eq!([admit(0), admit(0), admit(0)], [Ok(()); 3]);
    assert_eq!(admit(0), Err(retry_after(100)));
    // A refused client does not wait longer because it has tried again.
    assert_eq!(admit(60), Err(retry_after(40)));
    assert_eq!([admit(100), admit(100)], [Ok(()), Err(retry_after(100))]);
    assert_eq!([admit(5_000), admit(5_000), admit(5_000)], [Ok(()); 3]);
    assert_eq!(admit(5_000), Err(retry_after(100)));
    assert_eq!(open(2, 5_000), Ok(()));
}

#[test]
fn the_largest_number_means_no_limit() {
    let none = AddressLimits {
        max_sessions: usize::MAX,
        new_sessions_per_second: u32::MAX,
        burst: u32::MAX,
        max_unauthenticated: usize::MAX,
        max_unauthenticated_per_connection: usize::MAX,
        max_http_connections: usize::MAX,
        include_private: true,
    };
    let limiter = limiter(none);
    let permits: Result<Vec<_>, _> = (0..100_000).map(|_| limiter.try_admit(1, None, true, at(0))).collect();
    assert_eq!(permits.unwrap().len(), 100_000);
}

#[test]
fn those_that_are_not_authenticated_are_limited_for_each_address_and_connection() {
    let limits = AddressLimits {
        max_unauthenticated: 3,
        max_unauthenticated_per_connection: 2,
        ..AddressLimits::default()
    };
    let limiter = limiter(limits);
    let (first, second) = (ConnectionSessions::default(), ConnectionSessions::default());
    let admit = |connection| limiter.try_admit(1, connection, true, at(0)).map(Option::unwrap);
    let permits = [admit(Some(&first)).unwrap(), admit(Some(&first)).unwrap()];
    assert_eq!(admit(Some(&first)).unwrap_err(), AddressLimitError::TooManyOnConnection);
    let _third = admit(Some(&second)).unwrap();
    assert_eq!(admit(None).unwrap_err(), AddressLimitError::TooManyUnauthenticated);
    permits[0].set_authenticated();
    permits[0].set_authenticated();
    let _fourth = admit(Some(&first)).unwrap();
    assert_eq!(admit(None).unwrap_err(), AddressLimitError::TooManyUnauthenticated);
    drop(permits);
    let _fifth = admit(Some(&first)).unwrap();
}

#[test]
fn without_authentication_all_that_one_connection_has_open_are_limited() {
    let limits = AddressLimits {
        max_unauthenticated: 1,
        max_unauthenticated_per_connection: 2,
        ..AddressLimits::default()
    };
    let limiter = limiter(limits);
    let (first, second) = (ConnectionSessions::default(), ConnectionSessions::default());
    let admit = |connection| limiter.try_admit(1, Some(connection), false, at(0)).map(Option::unwrap);
    let permits = [admit(&first).unwrap(), admit(&first).unwrap()];
    assert_eq!(admit(&first).unwrap_err(), AddressLimitError::TooManyOnConnection);
    let _other = admit(&second).unwrap();
    permits[0].set_authenticated();
    let _third = admit(&first).unwrap();
    assert_eq!(admit(&first).unwrap_err(), AddressLimitError::TooManyOnConnection);
    drop(permits);
    let _fourth = admit(&first).unwrap();
}

#[test]
fn one_connection_of_a_proxy_carries_many_clients_and_is_not_limited() {
    let limits = AddressLimits { max_unauthenticated_per_connection: 1, ..AddressLimits::default() };
    let limiter = limiter(limits);
    let connection = ConnectionSessions::default();
    let admit = |client, peer: &str| {
        let mut request = request(client);
        request.extensions.insert(PeerAddress(peer.parse().unwrap()));
        request.extensions.insert(connection.clone());
        limiter.admit(&request, true)
    };
    let _clients: Vec<_> = ["203.0.113.1", "203.0.113.1", "203.0.113.2"]
        .map(|client| admit(client, "127.0.0.1:80").unwrap().unwrap())
        .into();
    let _direct = admit("203.0.113.1", "[::ffff:203.0.113.1]:5").unwrap().unwrap();
    assert_eq!(admit("203.0.113.1", "203.0.113.1:5").unwrap_err(), AddressLimitError::TooManyOnConnection);
}

#[test]
fn what_the_sessions_of_one_address_keep_is_limited() {
    let limiter = limiter(AddressLimits::default());
    let admit = |network| limiter.try_admit(network, None, false, at(0)).unwrap().unwrap();
    let (first, second, other) = (admit(1), admit(1), admit(2));
    assert!(first.try_retain(60, 100) && !second.try_retain(41, 100) && other.try_retain(100, 100));
    assert!(second.try_retain(40, 100));
    first.release();
    first.release();
    let third = admit(1);
    assert!(!third.try_retain(61, 100) && third.try_retain(60, 100));
    drop((second, third));
    assert!(admit(1).try_retain(100, 100));
}

#[test]
fn the_log_names_the_limit() {
    let limits = AddressLimits { max_sessions: 1, max_http_connections: 1, ..AddressLimits::default() };
    let connections = ConnectionLimiter::new(&limits, TrustedProxies::default());
    let error = AddressLimitError::TooManySessions;
    assert_eq!(error.limit(limiter(limits).open_limit), "max_sessions");
    assert_eq!(error.limit(connections.limiter.open_limit), "max_http_connections");
}

#[test]
fn private_addresses_proxies_and_unknown_ones_are_not_limited() {
    let limits = AddressLimits { max_sessions: 1, ..AddressLimits::default() };
    let unknown = http::Request::new(()).into_parts().0;
    let mut proxy = request("203.0.113.1");
    proxy.extensions.insert(ClientAddress::of_proxy("203.0.113.1".parse().unwrap()));
    let by_default = limiter(limits.clone());
    for request in [&request("127.0.0.1"), &request("10.0.0.1"), &request("fd00::1"), &unknown, &proxy] {
        assert!(by_default.admit(request, true).unwrap().is_none(), "{request:?}");
    }
    assert!(by_default.admit(&request("203.0.113.1"), true).unwrap().is_some());
    let all = limiter(AddressLimits { include_private: true, ..limits });
    let _first = all.admit(&request("127.0.0.1"), true).unwrap().unwrap();
    assert!(all.admit(&request("127.0.0.1"), true).is_err());
    assert!(all.admit(&unknown, true).unwrap().is_none() && all.admit(&proxy, true).unwrap().is_none());
}

#[test]
fn ipv6_addresses_of_one_network_are_one_client() {
    let limiter = limiter(AddressLimits { max_sessions: 1, ..AddressLimits::default() });
    let _first = limiter.admit(&request("2001:db8::1"), false).unwrap();
    assert!(limiter.admit(&request("2001:db8::2"), false).is_err());
    assert!(limiter.admit(&request("2001:db8:0:1::1"), false).is_ok());
}

#[test]
fn addresses_with_nothing_open_are_forgotten() {
    let limiter = limiter(AddressLimits { new_sessions_per_second: 1, ..AddressLimits::default() });
    let admit = |network, now| limiter.try_admit(network, None, true, now).unwrap().unwrap();
    let held: Vec<_> = (0..100).map(|network| admit(network, at(0))).collect();
    for network in 100..10_000 {
        // Until a second later, it counts that they have opened one.
        admit(network, at(0)).release_at(at(500));
    }
    assert_eq!(known(&limiter), 10_000);
    for network in 100..200 {
        admit(network, at(2_000)).release_at(at(4_000));
    }
    assert_eq!(known(&limiter), 9_900);
    // Every shard gets a new session.
    for network in 10_000..11_000 {
        admit(network, at(20_000)).release_at(at(22_000));
    }
    assert_eq!(known(&limiter), 100);
    held.iter().for_each(|permit| permit.release_at(at(30_000)));
    assert_eq!(known(&limiter), 0);
    assert!(limiter.table.shards.iter().all(|shard| shard.lock().unwrap().networks.capacity() <= 64));
}

#[test]
fn a_full_table_admits_further_addresses_without_a_limit() {
    let limits = AddressLimits { new_sessions_per_second: 1, max_sessions: 1, ..AddressLimits::default() };
    let limiter = AddressLimiter { max_networks_per_shard: 8, ..limiter(limits) };
    for network in 0..10_000 {
        limiter.try_admit(network, None, false, at(0)).unwrap().unwrap().release_at(at(0));
    }
    assert!(known(&limiter) <= SHARDS * 8);
    // Addresses with something open are not forgotten. When there are too many, further ones are not limited.
    let held: Vec<_> =
        (0..10_000).map(|network| limiter.try_admit(network, None, false, at(9)).unwrap()).collect();
    assert_eq!(held.iter().flatten().count(), SHARDS * 8);
    assert_eq!(known(&limiter), SHARDS * 8);
    for (network, permit) in held.iter().enumerate() {
        assert_eq!(limiter.try_admit(network as u128, None, false, at(9)).is_err(), permit.is_some());
    }
}

#[test]
fn a_table_full_of_open_sessions_is_searched_once_in_an_interval() {
    let limits = AddressLimits { new_sessions_per_second: 1, ..AddressLimits::default() };
    let limiter = AddressLimiter { max_networks_per_shard: 8, ..limiter(limits) };
    let admit_many = |first: u128, now| {
        let networks = first..first + 1_000;
        let admitted = networks.map(|network| limiter.try_admit(network, None, false, now).unwrap());
        admitted.flatten().collect::<Vec<_>>()
    };
    // The addresses that find no room have searched for it.
    let open = admit_many(0, at(0));
    assert_eq!(open.len(), SHARDS * 8);
    // A search would now find that these addresses can be forgotten.
    open.iter().for_each(|permit| permit.release_at(at(10)));
    assert_eq!(admit_many(1_000, at(9_999)).len(), 0);
    assert_eq!(admit_many(2_000, at(10_000)).len(), SHARDS * 8);
}
