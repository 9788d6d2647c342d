//! Real handshakes in memory: who gets in, who does not, and with which dates.

use super::*;
use crate::tls::pki::{Authority, Request};
use rustls::{ClientConnection, Connection, ServerConnection};

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const DAY: u64 = 86_400_000;
const CLUSTER: ClusterId = ClusterId([7; 16]);

fn today() -> Timestamp {
    NOW
}
fn on_day_89() -> Timestamp {
    Timestamp(NOW.0 + 89 * DAY)
}
fn on_day_91() -> Timestamp {
    Timestamp(NOW.0 + 91 * DAY)
}
fn forty_days_early() -> Timestamp {
    Timestamp(NOW.0 - 40 * DAY)
}

fn identity(authority: &Authority, cluster: ClusterId, node: u64) -> Identity {
    let request = Request::new().unwrap();
    let name = PeerName {
        cluster,
        node: NodeId(node),
    };
    let certificate = authority.issue(&request.csr_pem, name, NOW).unwrap();
    Identity::from_pem(
        authority.certificate_pem().into(),
        certificate,
        request.key_pem,
    )
    .unwrap()
}

fn everyone() -> IsMember {
    Arc::new(|_| true)
}

fn tls(identity: &Identity, is_member: IsMember, now: Now) -> PeerTls {
    PeerTls::new(identity, is_member, Arc::default(), now).unwrap()
}

/// Shakes hands to the end, each side's bytes to the other, or until one of them refuses.
fn handshake(
    client: &Arc<ClientConfig>,
    name: ServerName<'static>,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let mut client = Connection::from(ClientConnection::new(client.clone(), name)?);
    let mut server = Connection::from(ServerConnection::new(server.clone())?);
    for _ in 0..8 {
        for from_client in [true, false] {
            let (sender, receiver) = if from_client {
                (&mut client, &mut server)
            } else {
                (&mut server, &mut client)
            };
            let mut bytes = Vec::new();
            while sender.wants_write() {
                sender.write_tls(&mut bytes).unwrap();
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                receiver.read_tls(&mut rest).unwrap();
                receiver.process_new_packets()?;
            }
        }
    }
    match (client, server) {
        (Connection::Client(client), Connection::Server(server)) => Ok((client, server)),
        _ => unreachable!("they were made so above"),
    }
}

#[test]
fn two_members_know_each_other_by_node() {
    let authority = Authority::found(CLUSTER, NOW).unwrap();
    let one = tls(&identity(&authority, CLUSTER, 1), everyone(), today);
    let two = tls(&identity(&authority, CLUSTER, 2), everyone(), today);
    let (client, server) = handshake(&one.client, one.server_name(NodeId(2)), &two.server).unwrap();
    assert_eq!(peer_of(server.peer_certificates()).unwrap(), one.name);
    assert_eq!(peer_of(client.peer_certificates()).unwrap(), two.name);
    assert!(two.tolerated.list().is_empty());
}

#[test]
fn the_wrong_node_the_wrong_cluster_and_no_certificate_are_refused() {
    let authority = Authority::found(CLUSTER, NOW).unwrap();
    let one = tls(&identity(&authority, CLUSTER, 1), everyone(), today);
    let two = tls(&identity(&authority, CLUSTER, 2), everyone(), today);
    assert!(
        handshake(&one.client, one.server_name(NodeId(3)), &two.server).is_err(),
        "expected 3, reached 2"
    );

    let foreign = tls(
        &identity(&Authority::found(CLUSTER, NOW).unwrap(), CLUSTER, 1),
        everyone(),
        today,
    );
    assert!(
        handshake(&foreign.client, one.server_name(NodeId(2)), &two.server).is_err(),
        "another authority"
    );

    let elsewhere = tls(
        &identity(&authority, ClusterId([8; 16]), 1),
        everyone(),
        today,
    );
    assert!(
        handshake(&elsewhere.client, one.server_name(NodeId(2)), &two.server).is_err(),
        "another cluster"
    );

    let newcomer = join_client(identity(&authority, CLUSTER, 1).authority, CLUSTER, today).unwrap();
    assert!(
        handshake(&newcomer, one.server_name(NodeId(2)), &two.server).is_err(),
        "no certificate"
    );
}

#[test]
fn a_removed_node_is_refused_on_both_ends() {
    let authority = Authority::found(CLUSTER, NOW).unwrap();
    let without_one: IsMember = Arc::new(|node| node != NodeId(1));
    let one = tls(&identity(&authority, CLUSTER, 1), everyone(), today);
    let two = tls(&identity(&authority, CLUSTER, 2), without_one, today);
    let refused = handshake(&one.client, one.server_name(NodeId(2)), &two.server).unwrap_err();
    assert!(
        refused.to_string().contains("Removed(NodeId(1))"),
        "{refused}"
    );
    assert!(handshake(&two.client, two.server_name(NodeId(1)), &one.server).is_err());
}

#[test]
fn an_expired_certificate_is_tolerated_within_the_grace_reported_and_refused_after() {
    let authority = Authority::found(CLUSTER, NOW).unwrap();
    let (one, two) = (
        identity(&authority, CLUSTER, 1),
        identity(&authority, CLUSTER, 2),
    );
    for now in [on_day_89 as Now, forty_days_early] {
        let (left, right) = (tls(&one, everyone(), now), tls(&two, everyone(), now));
        handshake(&left.client, left.server_name(NodeId(2)), &right.server).unwrap();
        assert_eq!(
            right.tolerated.list(),
            [(NodeId(1), one.validity.not_after)]
        );
        assert_eq!(left.tolerated.list(), [(NodeId(2), two.validity.not_after)]);
    }
    let (left, right) = (
        tls(&one, everyone(), on_day_91),
        tls(&two, everyone(), on_day_91),
    );
    assert!(handshake(&left.client, left.server_name(NodeId(2)), &right.server).is_err());
}

#[test]
fn grace_is_for_dates_only_and_the_alarm_ends_with_a_renewal() {
    let authority = Authority::found(CLUSTER, NOW).unwrap();
    let one = identity(&authority, CLUSTER, 1);
    let two = tls(&identity(&authority, CLUSTER, 2), everyone(), on_day_89);
    let foreign = identity(&Authority::found(CLUSTER, NOW).unwrap(), CLUSTER, 1);
    let foreign = tls(&foreign, everyone(), on_day_89);
    assert!(handshake(&foreign.client, two.server_name(NodeId(2)), &two.server).is_err());
    let old = tls(&one, everyone(), on_day_89);
    assert!(handshake(&old.client, old.server_name(NodeId(3)), &two.server).is_err());

    handshake(&old.client, old.server_name(NodeId(2)), &two.server).unwrap();
    assert_eq!(two.tolerated.list().len(), 1);
    let csr = Request::renewal(&one.key_pem).unwrap();
    let renewed = one
        .renewed(authority.issue(&csr, one.name, on_day_89()).unwrap())
        .unwrap();
    let fresh = tls(&renewed, everyone(), on_day_89);
    handshake(&fresh.client, fresh.server_name(NodeId(2)), &two.server).unwrap();
    assert!(two.tolerated.list().is_empty());
}

#[test]
fn a_newcomer_trusts_only_the_authority_of_its_token() {
    let authority = Authority::found(CLUSTER, NOW).unwrap();
    let two = identity(&authority, CLUSTER, 2);
    let node = tls(&two, everyone(), today);
    let any = || ServerName::try_from("192.0.2.1").unwrap();
    let newcomer = join_client(two.authority, CLUSTER, today).unwrap();
    let (client, server) = handshake(&newcomer, any(), &node.join_server).unwrap();
    assert_eq!(client.alpn_protocol(), Some(JOIN_PROTOCOL));
    assert!(server.peer_certificates().is_none());
    let exported = |connection: &rustls::ConnectionCommon<_>| {
        connection.export_keying_material([0; 32], b"t", None)
    };
    assert_eq!(
        exported(&client).unwrap(),
        server.export_keying_material([0; 32], b"t", None).unwrap()
    );

    let other = identity(&Authority::found(CLUSTER, NOW).unwrap(), CLUSTER, 2).authority;
    let misled = join_client(other, CLUSTER, today).unwrap();
    assert!(handshake(&misled, any(), &node.join_server).is_err());
    let other_cluster = join_client(two.authority, ClusterId([8; 16]), today).unwrap();
    assert!(handshake(&other_cluster, any(), &node.join_server).is_err());

    // The right authority's certificate shown beside a leaf that another one signed proves nothing.
    let mut impostor = identity(&Authority::found(CLUSTER, NOW).unwrap(), CLUSTER, 2);
    impostor.ca_pem = authority.certificate_pem().into();
    let impostor = tls(&impostor, everyone(), today);
    assert!(handshake(&newcomer, any(), &impostor.join_server).is_err());
}
