//! Two real nodes on loopback, with real certificates, asking each other.

use std::{error::Error as _, io, sync::atomic::AtomicUsize};

use arc_swap::ArcSwap;
use futures_util::{FutureExt, future::BoxFuture};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    cluster::{
        fetch::{FetchError, fetch_file},
        net::TlsNet,
        serve::{Inbound, Range, Server},
    },
    model::words::{BlobHash, ClusterId, Timestamp},
    tasks::Stop,
    tls::{
        identity::Identity,
        peer::{IsMember, PeerTls},
        pki::{Authority, PeerName, Request as CertificateRequest},
    },
};

const CLUSTER: ClusterId = ClusterId([7; 16]);
const SOON: Duration = Duration::from_secs(5);

/// A node that echoes, and has one file that breaks off at first.
struct Echo {
    file: Vec<u8>,
    breaks_after: Option<usize>,
    offsets: Arc<Mutex<Vec<u64>>>,
    hung: Arc<AtomicUsize>,
}

impl Echo {
    fn new() -> Self {
        Self {
            file: Vec::new(),
            breaks_after: None,
            offsets: Arc::default(),
            hung: Arc::default(),
        }
    }
}

impl Inbound for Echo {
    fn call(
        &self,
        from: NodeId,
        path: &str,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refused>> {
        let hung = self.hung.clone();
        let path = path.to_owned();
        async move {
            match path.as_str() {
                "echo" => Ok(Bytes::from([from.0.to_string().as_bytes(), &body].concat())),
                "panic" => panic!("asked to"),
                "hang" => {
                    hung.fetch_add(1, Ordering::SeqCst);
                    std::future::pending().await
                }
                _ => Err(Refused::UnknownPath),
            }
        }
        .boxed()
    }

    fn stream(
        &self,
        _from: NodeId,
        path: &str,
        mut source: FrameSource,
        sink: FrameSink,
    ) -> Result<BoxFuture<'static, ()>, Refused> {
        if path != "echo" {
            return Err(Refused::UnknownPath);
        }
        Ok(async move {
            while let Ok(Some(frame)) = source.next().await {
                if sink.send(&frame).await.is_err() {
                    break;
                }
            }
        }
        .boxed())
    }

    fn range(
        &self,
        _from: NodeId,
        path: &str,
        offset: u64,
    ) -> BoxFuture<'static, Result<Range, Refused>> {
        if path != "file" {
            return std::future::ready(Err(Refused::Absent)).boxed();
        }
        self.offsets.lock().unwrap().push(offset);
        let first = offset == 0;
        let rest = self.file[usize::try_from(offset).unwrap()..].to_vec();
        let total = self.file.len() as u64;
        let rest: Box<dyn AsyncRead + Send + Unpin> = match self.breaks_after {
            Some(after) if first => Box::new(io::Cursor::new(rest[..after].to_vec()).chain(Broken)),
            _ => Box::new(io::Cursor::new(rest)),
        };
        std::future::ready(Ok(Range { total, rest })).boxed()
    }

    fn join(&self, _binding: [u8; 32], request: Bytes) -> BoxFuture<'static, Bytes> {
        std::future::ready(request).boxed()
    }
}

struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(io::Error::other("the disk failed")))
    }
}

struct Node {
    transport: Transport<TlsNet>,
    peer: Peer,
    fenced: watch::Receiver<Option<u32>>,
    stop: Stop,
    running: tokio::task::JoinHandle<crate::tasks::Outcome>,
}

fn today() -> Timestamp {
    Timestamp(1_795_000_000_000)
}

struct Maker {
    authority: Authority,
    members: Arc<Mutex<Vec<u64>>>,
}

impl Maker {
    fn new() -> Self {
        let members = Arc::new(Mutex::new(vec![1, 2, 3]));
        Self {
            authority: Authority::found(CLUSTER, today()).unwrap(),
            members,
        }
    }

    async fn node(&self, id: u64, generation: u32, inbound: Echo, listen: SocketAddr) -> Node {
        self.node_of(
            Allegiance {
                cluster: CLUSTER,
                generation,
                node: NodeId(id),
            },
            inbound,
            listen,
        )
        .await
    }

    async fn node_of(&self, us: Allegiance, inbound: Echo, listen: SocketAddr) -> Node {
        let request = CertificateRequest::new().unwrap();
        let name = PeerName {
            cluster: CLUSTER,
            node: us.node,
        };
        let certificate = self
            .authority
            .issue(&request.csr_pem, name, today())
            .unwrap();
        let ca = self.authority.certificate_pem().to_owned();
        let identity = Identity::from_pem(ca, certificate, request.key_pem).unwrap();
        let members = self.members.clone();
        let is_member: IsMember = Arc::new(move |node| members.lock().unwrap().contains(&node.0));
        // The handshake trusts everyone here, so that what requests are refused for can be seen.
        let tls = PeerTls::new(&identity, Arc::new(|_| true), Arc::default(), today).unwrap();
        let listener = TcpListener::bind(listen).await.unwrap();
        let peer = Peer {
            id: us.node,
            address: listener.local_addr().unwrap(),
        };
        let net = Arc::new(TlsNet::new(listener, Arc::new(ArcSwap::from_pointee(tls))));
        let (sender, fenced) = watch::channel(None);
        let sender = Arc::new(sender);
        let server = Server::new(
            net.clone(),
            us,
            is_member,
            sender.clone(),
            Arc::new(inbound),
        );
        let stop = Stop::new();
        let running = tokio::spawn(server.run(stop.clone()));
        Node {
            transport: Transport::new(net, us, sender),
            peer,
            fenced,
            stop,
            running,
        }
    }

    async fn pair(&self) -> (Node, Node) {
        (
            self.node(1, 1, Echo::new(), any()).await,
            self.node(2, 1, Echo::new(), any()).await,
        )
    }
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn echo(from: &Node, to: Peer) -> Result<Bytes, CallError> {
    from.transport
        .call(
            to,
            Channel::Control,
            "echo",
            Bytes::from_static(b" says hello"),
            SOON,
        )
        .await
}

#[tokio::test]
async fn a_call_is_answered_and_the_caller_is_known() {
    let (one, two) = Maker::new().pair().await;
    assert_eq!(echo(&one, two.peer).await.unwrap(), "1 says hello");
    assert_eq!(echo(&two, one.peer).await.unwrap(), "2 says hello");
    let unknown = one
        .transport
        .call(two.peer, Channel::Bulk, "nothing", Bytes::new(), SOON)
        .await;
    assert!(matches!(
        unknown,
        Err(CallError::Refused {
            refused: Refused::UnknownPath,
            ..
        })
    ));
    let most = Bytes::from(vec![1; limits::PEER_FRAME_BYTES_MAX + 1]);
    let large = one
        .transport
        .call(two.peer, Channel::Bulk, "echo", most, SOON)
        .await;
    assert!(matches!(large, Err(CallError::TooLarge { .. })));
    let answer_too_large = Bytes::from(vec![1; limits::PEER_FRAME_BYTES_MAX]);
    let large = one
        .transport
        .call(two.peer, Channel::Bulk, "echo", answer_too_large, SOON)
        .await;
    assert!(
        matches!(large, Err(CallError::TooLarge { .. })),
        "its answer is one byte longer"
    );
}

#[tokio::test]
async fn a_panic_in_a_request_ends_that_request_only() {
    let (one, two) = Maker::new().pair().await;
    let (_sink, mut source) = one
        .transport
        .open_stream(two.peer, Channel::Control, "echo", SOON)
        .await
        .unwrap();
    let failed = one
        .transport
        .call(two.peer, Channel::Control, "panic", Bytes::new(), SOON)
        .await
        .unwrap_err();
    assert!(
        matches!(
            failed,
            CallError::Refused {
                refused: Refused::Failed,
                ..
            }
        ),
        "{failed:?}"
    );
    assert!(!failed.may_have_been_done());
    assert_eq!(echo(&one, two.peer).await.unwrap(), "1 says hello");
    assert!(
        source.next().now_or_never().is_none(),
        "the stream on the same connection lives on"
    );
}

#[tokio::test]
async fn frames_are_pipelined_both_ways_in_order() {
    let (one, two) = Maker::new().pair().await;
    let (sink, mut source) = one
        .transport
        .open_stream(two.peer, Channel::Log, "echo", SOON)
        .await
        .unwrap();
    let sending = tokio::spawn(async move {
        for number in 0..500u32 {
            let mut frame = number.to_be_bytes().to_vec();
            frame.resize(4 + (number as usize * 37) % 5_000, 7);
            sink.send(&frame).await.unwrap();
        }
        sink.send(&vec![9; limits::PEER_FRAME_BYTES_MAX])
            .await
            .unwrap();
        assert!(matches!(
            sink.send(&vec![9; limits::PEER_FRAME_BYTES_MAX + 1]).await,
            Err(frames::FrameError::TooLarge { .. })
        ));
    });
    for number in 0..500u32 {
        let frame = source.next_within(SOON).await.unwrap().unwrap();
        assert_eq!(frame[..4], number.to_be_bytes());
    }
    assert_eq!(
        source.next_within(SOON).await.unwrap().unwrap().len(),
        limits::PEER_FRAME_BYTES_MAX
    );
    sending.await.unwrap();
    assert!(
        source.next_within(SOON).await.unwrap().is_none(),
        "both sides end in good order"
    );
}

#[tokio::test]
async fn the_wrong_node_at_an_address_is_never_spoken_to() {
    let (one, two) = Maker::new().pair().await;
    let mistaken = Peer {
        id: NodeId(3),
        ..two.peer
    };
    let error = echo(&one, mistaken).await.unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Unreachable {
                source: NetError::Handshake(_),
                ..
            }
        ),
        "{error:?}"
    );
    let resting = echo(&one, mistaken).await.unwrap_err();
    assert!(
        matches!(resting, CallError::Resting { .. }),
        "told at once: {resting:?}"
    );
}

#[tokio::test]
async fn nodes_left_behind_by_a_recovery_are_refused_and_learn_it_from_either_side() {
    let maker = Maker::new();
    let new = maker.node(1, 2, Echo::new(), any()).await;
    let old = maker.node(2, 1, Echo::new(), any()).await;
    let refused = echo(&old, new.peer).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CallError::Refused {
                refused: Refused::Generation { theirs: 2 },
                ..
            }
        ),
        "{refused:?}"
    );
    assert_eq!(*old.fenced.borrow(), Some(2));

    let other_old = maker.node(3, 1, Echo::new(), any()).await;
    let refused = echo(&new, other_old.peer).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CallError::Refused {
                refused: Refused::Generation { theirs: 1 },
                ..
            }
        ),
        "{refused:?}"
    );
    assert_eq!(*other_old.fenced.borrow(), Some(2), "by being asked");
    assert_eq!(*new.fenced.borrow(), None);
}

#[tokio::test]
async fn another_cluster_is_refused_even_with_our_certificates() {
    let maker = Maker::new();
    let us = Allegiance {
        cluster: ClusterId([9; 16]),
        generation: 1,
        node: NodeId(1),
    };
    let stranger = maker.node_of(us, Echo::new(), any()).await;
    let two = maker.node(2, 1, Echo::new(), any()).await;
    let refused = echo(&stranger, two.peer).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CallError::Refused {
                refused: Refused::Cluster,
                ..
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_node_removed_while_connected_is_refused_at_its_next_request() {
    let maker = Maker::new();
    let (one, two) = maker.pair().await;
    echo(&one, two.peer).await.unwrap();
    maker.members.lock().unwrap().retain(|node| *node != 1);
    let refused = echo(&one, two.peer).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CallError::Refused {
                refused: Refused::NotAMember,
                ..
            }
        ),
        "{refused:?}"
    );
    assert!(echo(&two, one.peer).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_nothing_is_closed() {
    let two = Maker::new().node(2, 1, Echo::new(), any()).await;
    let began = clock::monotonic();
    let mut silent = TcpStream::connect(two.peer.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(began.elapsed() >= Duration::from_millis(limits::PEER_HANDSHAKE_MS));
    assert!(began.elapsed() < Duration::from_millis(limits::PEER_HANDSHAKE_MS * 2));
}

#[tokio::test]
async fn silent_callers_do_not_keep_members_out() {
    let (one, two) = Maker::new().pair().await;
    let mut silent = Vec::new();
    for _ in 0..limits::PEER_HANDSHAKES_MAX + 20 {
        silent.push(TcpStream::connect(two.peer.address).await.unwrap());
    }
    assert_eq!(echo(&one, two.peer).await.unwrap(), "1 says hello");
    // Well before its own time is up, so it is the flood that ended it.
    let ended = Duration::from_millis(limits::PEER_HANDSHAKE_MS / 3);
    let read = timeout(ended, silent[0].read(&mut [0; 8])).await;
    assert_eq!(read.expect("the oldest made room").unwrap_or(0), 0);
}

#[tokio::test]
async fn a_node_that_comes_back_is_found_again() {
    let maker = Maker::new();
    let (one, two) = maker.pair().await;
    echo(&one, two.peer).await.unwrap();
    two.stop.cancel();
    two.running.await.unwrap().unwrap();
    drop(two.transport);
    let gone = echo(&one, two.peer).await.unwrap_err();
    assert!(
        matches!(
            gone,
            CallError::Unreachable { .. } | CallError::Broken { .. }
        ),
        "{gone:?}"
    );

    let back = maker.node(2, 1, Echo::new(), two.peer.address).await;
    let deadline = clock::monotonic() + SOON;
    while let Err(error) = echo(&one, back.peer).await {
        assert!(
            clock::monotonic() < deadline,
            "{error:?} {:?}",
            error.source()
        );
        // waits because a dial that failed rests before the next
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_call_without_an_answer_may_have_been_done() {
    let maker = Maker::new();
    let one = maker.node(1, 1, Echo::new(), any()).await;
    let echo_node = Echo::new();
    let hung = echo_node.hung.clone();
    let two = maker.node(2, 1, echo_node, any()).await;
    echo(&one, two.peer).await.unwrap();
    let short = Duration::from_millis(50);
    let error = one
        .transport
        .call(two.peer, Channel::Control, "hang", Bytes::new(), short)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::TimedOut { .. }) && error.may_have_been_done(),
        "{error:?}"
    );
    assert_eq!(hung.load(Ordering::SeqCst), 1);
    assert_eq!(echo(&one, two.peer).await.unwrap(), "1 says hello");
}

#[tokio::test]
async fn an_interrupted_file_resumes_and_a_wrong_one_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let file: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
    let hash = BlobHash(Sha256::digest(&file).into());
    let maker = Maker::new();
    let one = maker.node(1, 1, Echo::new(), any()).await;
    let breaking = Echo {
        file,
        breaks_after: Some(100_000),
        ..Echo::new()
    };
    let offsets = breaking.offsets.clone();
    let two = maker.node(2, 1, breaking, any()).await;
    let fetch = |wanted, most| fetch_file(&one.transport, two.peer, "file", wanted, most, &path);

    assert!(matches!(
        fetch(hash, 10).await,
        Err(FetchError::TooLarge { total: 300_000, .. })
    ));
    let broke = fetch(hash, 1_000_000).await.unwrap_err();
    assert!(
        matches!(broke, FetchError::Peer(_) | FetchError::Short { .. }),
        "{broke:?}"
    );
    let left = std::fs::metadata(crate::durable::temporary_name(&path))
        .unwrap()
        .len();
    assert!(left > 0 && left < 300_000, "{left}");
    fetch(hash, 1_000_000).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap().len(), 300_000);
    assert_eq!(
        *offsets.lock().unwrap(),
        [0, 0, left],
        "the rest, and only the rest"
    );

    let wrong = fetch(BlobHash([0; 32]), 1_000_000).await;
    let wrong = match wrong {
        Err(FetchError::Damaged { .. }) => wrong,
        _ => fetch(BlobHash([0; 32]), 1_000_000).await,
    };
    assert!(
        matches!(wrong, Err(FetchError::Damaged { .. })),
        "{wrong:?}"
    );
    assert!(!crate::durable::temporary_name(&path).exists());
}
